-- The state machine of a run. Several wings change a status; one trigger refuses a wrong change from
-- any of them.

-- A status changes only along the arrows of the state machine. A finished run starts again only with a
-- higher attempt, except a lost run whose box reports again.
CREATE TRIGGER training_task_state BEFORE UPDATE OF status ON training_task
WHEN NEW.status <> OLD.status AND NOT (
  (OLD.status = 'pending' AND NEW.status IN ('running', 'cancelled'))
  OR (OLD.status = 'running' AND NEW.status IN ('pending', 'success', 'failed', 'cancelled'))
  OR (OLD.status IN ('failed', 'cancelled') AND NEW.status IN ('running', 'pending') AND NEW.attempt > OLD.attempt)
  OR (OLD.status = 'failed' AND OLD.failure_reason IS 'lost' AND NEW.status = 'running')
)
BEGIN
  SELECT RAISE(ABORT, 'illegal state change');
END;

-- The attempt number never decreases, because log chunks and files are keyed by it.
CREATE TRIGGER training_task_attempt BEFORE UPDATE OF attempt ON training_task
WHEN NEW.attempt < OLD.attempt
BEGIN
  SELECT RAISE(ABORT, 'attempts only go up');
END;
