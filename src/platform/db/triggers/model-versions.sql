-- Versions of models. An approved version is evidence: the rules hold for every statement, also for
-- one that somebody types at the database.

-- The file, run, object and number of a version never change, and its approval time is set once, by
-- the approval.
CREATE TRIGGER model_version_fixed BEFORE UPDATE ON model_version
WHEN NEW.model_id <> OLD.model_id OR NEW.number <> OLD.number OR NEW.weight_id <> OLD.weight_id
  OR NEW.task_id <> OLD.task_id OR NEW.object_id <> OLD.object_id OR NEW.sha256 <> OLD.sha256
  OR (OLD.approved_at IS NOT NULL AND NEW.approved_at IS NOT OLD.approved_at)
  OR (NEW.approved_at IS NOT NULL AND OLD.approved_at IS NULL AND NEW.state <> 'approved')
BEGIN
  SELECT RAISE(ABORT, 'what a version is does not change');
END;

-- The state of a version changes only along the arrows from draft to released and retired.
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

-- A version is released exactly while it carries the alias production, and a version that is rejected
-- or retired carries no alias. The rule is about two tables, which no CHECK can read.
CREATE TRIGGER model_version_carries BEFORE UPDATE OF state ON model_version
WHEN NEW.state <> OLD.state AND (
  (NEW.state = 'released') <> EXISTS (SELECT 1 FROM model_alias a WHERE a.version_id = NEW.id AND a.alias = 'production')
  OR (NEW.state IN ('rejected', 'retired') AND EXISTS (SELECT 1 FROM model_alias a WHERE a.version_id = NEW.id))
)
BEGIN
  SELECT RAISE(ABORT, 'state and aliases differ');
END;

-- No statement deletes a version, so that its number is never given again.
CREATE TRIGGER model_version_stay BEFORE DELETE ON model_version
BEGIN
  SELECT RAISE(ABORT, 'versions stay');
END;
