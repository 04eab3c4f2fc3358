-- The states of a run: pending → running → success | failed | cancelled. A failed or cancelled run
-- goes on only as a new attempt; one that was merely lost is revived by its own attempt.
CREATE TRIGGER training_task_state BEFORE UPDATE OF status ON training_task
WHEN NEW.status <> OLD.status AND NOT (
  (OLD.status = 'pending' AND NEW.status IN ('running', 'cancelled'))
  OR (OLD.status = 'running' AND NEW.status IN ('pending', 'success', 'failed', 'cancelled'))
  OR (OLD.status IN ('failed', 'cancelled') AND NEW.status IN ('running', 'pending') AND NEW.attempt > OLD.attempt)
  OR (OLD.status = 'failed' AND OLD.failure_reason = 'lost' AND NEW.status = 'running')
)
BEGIN
  SELECT RAISE(ABORT, 'illegal state change');
END;
--> statement-breakpoint
CREATE TRIGGER training_task_attempt BEFORE UPDATE OF attempt ON training_task
WHEN NEW.attempt < OLD.attempt
BEGIN
  SELECT RAISE(ABORT, 'attempts only go up');
END;
--> statement-breakpoint
-- Every row of every segment, with the header it stands under. CROSS JOIN keeps the order of the
-- loops, so that a segment is parsed once a metric and never once a row.
CREATE VIEW log_row AS
SELECT c.task_id, c.attempt, a.overlap, s.value ->> '$.q' AS seq, m.value AS metric, r.key AS position,
  CAST(r.value ->> '$[0]' AS INTEGER) AS step,
  r.value ->> '$[1]' AS epoch,
  r.value ->> '$[2]' AS ms,
  r.value ->> ('$[' || (m.key + 3) || ']') AS value,
  CASE WHEN json_type(a.summary, '$.loss') IS NULL THEN 'loss/average' ELSE 'loss' END AS loss_metric
FROM task_attempt a
CROSS JOIN log_chunk c ON c.task_id = a.task_id AND c.attempt = a.attempt
CROSS JOIN json_each(c.points) s
CROSS JOIN json_each(s.value, '$.m') m
CROSS JOIN json_each(s.value, '$.p') r;
--> statement-breakpoint
-- One row a (task, attempt, metric, step). Only attempts in which a step came twice pay for the
-- choice of the highest seq.
CREATE VIEW log_point AS
SELECT task_id, attempt, metric, step, epoch, ms, value, loss_metric
FROM log_row WHERE overlap = 0 AND value IS NOT NULL
UNION ALL
SELECT task_id, attempt, metric, step, epoch, ms, value, loss_metric
FROM (
  SELECT *, row_number() OVER (PARTITION BY task_id, attempt, metric, step ORDER BY seq DESC, position DESC) AS nth
  FROM log_row WHERE overlap = 1 AND value IS NOT NULL
) WHERE nth = 1;
--> statement-breakpoint
CREATE VIEW metric_point AS
SELECT task_id, attempt, metric, step, epoch,
  CASE WHEN typeof(value) <> 'text' THEN value END AS value,
  CASE WHEN typeof(value) = 'text' THEN value END AS special,
  strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch') AS timestamp
FROM log_point;
--> statement-breakpoint
-- The founding document's table: the loss of the run as it stands, where a later attempt holds from
-- its first step on. The id is the task's and the step's, which are unique together.
CREATE VIEW training_log AS
SELECT p.task_id * 10000000000 + p.step AS id, p.task_id, p.step, p.epoch,
  CASE WHEN typeof(p.value) <> 'text' THEN p.value END AS loss,
  strftime('%Y-%m-%dT%H:%M:%fZ', p.ms / 1000.0, 'unixepoch') AS timestamp
FROM log_point p
WHERE p.metric = p.loss_metric AND p.step < coalesce((
  SELECT min(b.first_step) FROM task_attempt b WHERE b.task_id = p.task_id AND b.attempt > p.attempt
), 9223372036854775807);
