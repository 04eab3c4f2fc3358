-- The states of a version: draft → in_review → approved | rejected, approved ⇄ released, → retired.
-- A draft may be given up, and a submission withdrawn. `released` means: carries `production`.
CREATE TRIGGER model_version_state BEFORE UPDATE OF state ON model_version
WHEN NEW.state <> OLD.state AND NOT (
  (OLD.state = 'draft' AND NEW.state IN ('in_review', 'retired'))
  OR (OLD.state = 'in_review' AND NEW.state IN ('draft', 'rejected'))
  OR (OLD.state = 'in_review' AND NEW.state = 'approved' AND NEW.approved_at IS NOT NULL)
  OR (OLD.state = 'approved' AND NEW.state IN ('released', 'retired'))
  OR (OLD.state = 'released' AND NEW.state = 'approved')
)
BEGIN
  SELECT RAISE(ABORT, 'illegal state change');
END;
--> statement-breakpoint
CREATE TRIGGER model_version_carries BEFORE UPDATE OF state ON model_version
WHEN NEW.state <> OLD.state AND (
  (NEW.state = 'released') <> EXISTS (SELECT 1 FROM model_alias a WHERE a.version_id = NEW.id AND a.alias = 'production')
  OR (NEW.state IN ('rejected', 'retired') AND EXISTS (SELECT 1 FROM model_alias a WHERE a.version_id = NEW.id))
)
BEGIN
  SELECT RAISE(ABORT, 'state and aliases differ');
END;
--> statement-breakpoint
-- What a version is never changes, and an approval is never undone.
CREATE TRIGGER model_version_fixed BEFORE UPDATE ON model_version
WHEN NEW.model_id <> OLD.model_id OR NEW.number <> OLD.number OR NEW.weight_id <> OLD.weight_id
  OR NEW.task_id <> OLD.task_id OR NEW.object_id <> OLD.object_id OR NEW.sha256 <> OLD.sha256
  OR (OLD.approved_at IS NOT NULL AND NEW.approved_at IS NOT OLD.approved_at)
  OR (NEW.approved_at IS NOT NULL AND OLD.approved_at IS NULL AND NEW.state <> 'approved')
BEGIN
  SELECT RAISE(ABORT, 'what a version is does not change');
END;
--> statement-breakpoint
CREATE TRIGGER model_version_stay BEFORE DELETE ON model_version
BEGIN
  SELECT RAISE(ABORT, 'versions stay');
END;
--> statement-breakpoint
CREATE TRIGGER model_review_keep BEFORE UPDATE ON model_review
BEGIN
  SELECT RAISE(ABORT, 'decisions are append-only');
END;
--> statement-breakpoint
CREATE TRIGGER model_review_stay BEFORE DELETE ON model_review
BEGIN
  SELECT RAISE(ABORT, 'decisions are append-only');
END;
--> statement-breakpoint
CREATE TRIGGER model_alias_move_keep BEFORE UPDATE ON model_alias_move
BEGIN
  SELECT RAISE(ABORT, 'the history of aliases is append-only');
END;
--> statement-breakpoint
CREATE TRIGGER model_alias_move_stay BEFORE DELETE ON model_alias_move
BEGIN
  SELECT RAISE(ABORT, 'the history of aliases is append-only');
END;
--> statement-breakpoint
-- A move begins where the alias is, and ends at a version that may carry it.
CREATE TRIGGER model_alias_move_guard BEFORE INSERT ON model_alias_move
WHEN NEW.from_version_id IS NOT (SELECT a.version_id FROM model_alias a WHERE a.model_id = NEW.model_id AND a.alias = NEW.alias)
  OR (NEW.version_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM model_version v JOIN model m ON m.id = v.model_id
    WHERE v.id = NEW.version_id AND v.model_id = NEW.model_id AND (
      v.state IN ('approved', 'released')
      OR (v.state IN ('draft', 'in_review') AND NEW.alias <> 'production'
        AND NOT EXISTS (SELECT 1 FROM json_each(m.protected_aliases) p WHERE p.value = NEW.alias)))))
BEGIN
  SELECT RAISE(ABORT, 'this version cannot carry this alias');
END;
--> statement-breakpoint
CREATE TRIGGER model_alias_move_apply AFTER INSERT ON model_alias_move
BEGIN
  DELETE FROM model_alias WHERE NEW.version_id IS NULL AND model_id = NEW.model_id AND alias = NEW.alias;
  INSERT INTO model_alias (model_id, alias, version_id, move_id, moved_at)
    SELECT NEW.model_id, NEW.alias, NEW.version_id, NEW.id, NEW.at WHERE NEW.version_id IS NOT NULL
    ON CONFLICT (model_id, alias) DO UPDATE SET version_id = excluded.version_id, move_id = excluded.move_id, moved_at = excluded.moved_at;
  UPDATE model_version SET state = 'approved', version = version + 1, updated_at = NEW.at
    WHERE NEW.alias = 'production' AND id = NEW.from_version_id AND id IS NOT NEW.version_id AND state = 'released';
  UPDATE model_version SET state = 'released', version = version + 1, updated_at = NEW.at, released_at = coalesce(released_at, NEW.at)
    WHERE NEW.alias = 'production' AND id = NEW.version_id AND state = 'approved';
END;
--> statement-breakpoint
-- The rows that versions stand on: all but those of versions given up before they were approved.
CREATE VIEW version_hold AS
SELECT id AS version_id, weight_id, object_id, task_id FROM model_version
WHERE approved_at IS NOT NULL OR state IN ('draft', 'in_review')
UNION ALL
SELECT version_id, weight_id, object_id, NULL FROM review_sample;
--> statement-breakpoint
CREATE TRIGGER weight_held BEFORE DELETE ON weight
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.weight_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this weight');
END;
--> statement-breakpoint
CREATE TRIGGER stored_object_held BEFORE UPDATE OF state ON stored_object
WHEN OLD.state = 'complete' AND NEW.state <> 'complete' AND EXISTS (SELECT 1 FROM version_hold h WHERE h.object_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this object');
END;
--> statement-breakpoint
CREATE TRIGGER stored_object_stay BEFORE DELETE ON stored_object
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.object_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this object');
END;
--> statement-breakpoint
CREATE TRIGGER training_task_held BEFORE DELETE ON training_task
WHEN EXISTS (SELECT 1 FROM version_hold h WHERE h.task_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'a model version stands on this task');
END;
