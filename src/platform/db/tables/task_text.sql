-- Virtual tables, which drizzle cannot declare.

-- The words of a run for the full-text search; rowid is the id of the run. Sizes of documents are left
-- out, since nothing ranks by them.
CREATE VIRTUAL TABLE task_text USING fts5(
  task_name, experiment_group, notes, tags, sample_prompts,
  tokenize = 'unicode61 remove_diacritics 2', columnsize = 0
);
