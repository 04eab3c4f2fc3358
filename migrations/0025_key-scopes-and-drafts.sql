-- Keys that may do all that was usual for their user's role may see, make and revoke keys, as before.
UPDATE api_key SET scopes = json_insert(json_insert(scopes, '$[#]', 'keys:read'), '$[#]', 'keys:write')
WHERE NOT EXISTS (
  SELECT 1 FROM json_each((
    SELECT CASE u.role
      WHEN 'viewer' THEN '["tasks:read","weights:read","models:read"]'
      WHEN 'member' THEN '["tasks:read","weights:read","models:read","tasks:write","weights:write","queue:claim","models:write"]'
      ELSE '["tasks:read","tasks:write","weights:read","weights:write","queue:claim","models:read","models:write","models:approve","models:release","admin"]'
    END FROM user u WHERE u.id = api_key.user_id)) usual
  WHERE usual.value NOT IN (SELECT value FROM json_each(api_key.scopes)));
--> statement-breakpoint
CREATE TRIGGER model_checks_change_keep BEFORE UPDATE ON model_checks_change
BEGIN
  SELECT RAISE(ABORT, 'changes to checks are append-only');
END;
--> statement-breakpoint
CREATE TRIGGER model_checks_change_stay BEFORE DELETE ON model_checks_change
BEGIN
  SELECT RAISE(ABORT, 'changes to checks are append-only');
END;
--> statement-breakpoint
-- As before, but a draft of another user's run holds nothing: its maker need not ask that user.
DROP VIEW version_hold;
--> statement-breakpoint
CREATE VIEW version_hold AS
SELECT id AS version_id, weight_id, object_id, task_id FROM model_version
WHERE approved_at IS NOT NULL OR state = 'in_review'
  OR (state = 'draft' AND user_id = (SELECT t.user_id FROM training_task t WHERE t.id = model_version.task_id))
UNION ALL
SELECT version_id, weight_id, object_id, NULL FROM review_sample;
