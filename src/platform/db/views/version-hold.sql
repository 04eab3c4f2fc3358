-- Rows that versions of models hold. One view says so for the triggers and for purges and retention.

-- The file, object and run of each version that is in review, was approved, or is a draft of the owner
-- of the run, and the sample images of reviews.
CREATE VIEW version_hold AS
SELECT id AS version_id, weight_id, object_id, task_id FROM model_version
WHERE approved_at IS NOT NULL OR state = 'in_review'
  OR (state = 'draft' AND user_id = (SELECT t.user_id FROM training_task t WHERE t.id = model_version.task_id))
UNION ALL
SELECT version_id, weight_id, object_id, NULL FROM review_sample;
