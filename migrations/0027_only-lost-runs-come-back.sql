-- A failed run without a reason could become running without a new attempt: NOT (… OR NULL) is no refusal.
DROP TRIGGER training_task_state;
--> statement-breakpoint
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
--> statement-breakpoint
-- A cancelled run whose lease had ended kept the request that was thereby met.
UPDATE training_task SET cancel_requested = 0 WHERE status = 'cancelled' AND cancel_requested;
