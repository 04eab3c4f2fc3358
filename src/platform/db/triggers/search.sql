-- The full-text rows of runs. Code writes them (src/platform/search/words.ts), since SQL cannot split
-- words.

-- The full-text row of a run ends with the run. An FTS5 table takes no foreign key, so a trigger
-- replaces the cascade.
CREATE TRIGGER training_task_purged AFTER DELETE ON training_task
BEGIN
  DELETE FROM task_text WHERE rowid = OLD.id;
END;
