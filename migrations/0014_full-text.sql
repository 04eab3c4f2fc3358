-- The words of a run. Scripts that are written without spaces come with a space around each of their
-- characters (src/search/words.ts), so that unicode61 makes a word of each. Sizes of documents are
-- left out: nothing ranks by them. It keeps its text, so that a dump holds it like any other table.
CREATE VIRTUAL TABLE task_text USING fts5(
  task_name, experiment_group, notes, tags, sample_prompts,
  tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);
--> statement-breakpoint
CREATE TRIGGER training_task_purged AFTER DELETE ON training_task
BEGIN
  DELETE FROM task_text WHERE rowid = OLD.id;
END;
--> statement-breakpoint
-- Runs from before: in the same form, a character at a time.
INSERT INTO task_text (rowid, task_name, experiment_group, notes, tags, sample_prompts)
WITH RECURSIVE
part(id, field, text) AS (
  SELECT id, 'task_name', task_name FROM training_task
  UNION ALL SELECT id, 'experiment_group', experiment_group FROM training_task
  UNION ALL SELECT id, 'notes', notes FROM training_task
  UNION ALL SELECT id, 'sample_prompts', sample_prompts FROM training_task
  UNION ALL SELECT t.id, 'tags.' || e.key, e.key || ' ' || e.value FROM training_task t, json_each(t.tags) e
),
letter(id, field, at, c, rest) AS (
  SELECT id, field, 0, '', text FROM part WHERE text IS NOT NULL
  UNION ALL SELECT id, field, at + 1, substr(rest, 1, 1), substr(rest, 2) FROM letter WHERE rest <> ''
),
spaced(id, field, text) AS (
  SELECT id, field, group_concat(CASE WHEN unicode(c) BETWEEN 3584 AND 4255 OR unicode(c) BETWEEN 4352 AND 4607
    OR unicode(c) BETWEEN 6016 AND 6143 OR unicode(c) BETWEEN 11904 AND 55215 OR unicode(c) BETWEEN 63744 AND 64255
    OR unicode(c) BETWEEN 65381 AND 65500 OR unicode(c) BETWEEN 110592 AND 262143
    THEN ' ' || c || ' ' ELSE c END, '')
  FROM (SELECT * FROM letter ORDER BY id, field, at) GROUP BY id, field
)
SELECT id,
  max(CASE WHEN field = 'task_name' THEN text END), max(CASE WHEN field = 'experiment_group' THEN text END),
  max(CASE WHEN field = 'notes' THEN text END),
  nullif(json_group_object(substr(field, 6), text) FILTER (WHERE field LIKE 'tags.%'), '{}'),
  max(CASE WHEN field = 'sample_prompts' THEN text END)
FROM spaced GROUP BY id;
