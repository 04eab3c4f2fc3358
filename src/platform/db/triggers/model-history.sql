-- Decisions on versions and changes of checks are append-only: a trigger binds every statement, also
-- one that somebody types at the database.

-- No statement edits a change of checks.
CREATE TRIGGER model_checks_change_keep BEFORE UPDATE ON model_checks_change
BEGIN
  SELECT RAISE(ABORT, 'changes to checks are append-only');
END;

-- No statement deletes a change of checks.
CREATE TRIGGER model_checks_change_stay BEFORE DELETE ON model_checks_change
BEGIN
  SELECT RAISE(ABORT, 'changes to checks are append-only');
END;

-- No statement changes a decision.
CREATE TRIGGER model_review_keep BEFORE UPDATE ON model_review
BEGIN
  SELECT RAISE(ABORT, 'decisions are append-only');
END;

-- No statement deletes a decision.
CREATE TRIGGER model_review_stay BEFORE DELETE ON model_review
BEGIN
  SELECT RAISE(ABORT, 'decisions are append-only');
END;
