-- Points of logs as rows. A log is stored as chunks of JSON, because a hosted database bills by rows;
-- these views let SQL read single points.

-- Every value of every chunk, as it was received.
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

-- One value for each metric and step of an attempt: where a box sent a step again, the last one that
-- it sent.
CREATE VIEW log_point AS
SELECT task_id, attempt, metric, step, epoch, ms, value, loss_metric
FROM log_row WHERE overlap = 0 AND value IS NOT NULL
UNION ALL
SELECT task_id, attempt, metric, step, epoch, ms, value, loss_metric
FROM (
  SELECT *, row_number() OVER (PARTITION BY task_id, attempt, metric, step ORDER BY seq DESC, position DESC) AS nth
  FROM log_row WHERE overlap = 1 AND value IS NOT NULL
) WHERE nth = 1;

-- Points with a timestamp; a value that is not a finite number is in the column special.
CREATE VIEW metric_point AS
SELECT task_id, attempt, metric, step, epoch,
  CASE WHEN typeof(value) <> 'text' THEN value END AS value,
  CASE WHEN typeof(value) = 'text' THEN value END AS special,
  strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch') AS timestamp
FROM log_point;

-- The curve of the loss over all attempts of a run: a later attempt replaces the steps from which it
-- continued.
CREATE VIEW training_log AS
SELECT p.task_id * 10000000000 + p.step AS id, p.task_id, p.step, p.epoch,
  CASE WHEN typeof(p.value) <> 'text' THEN p.value END AS loss,
  strftime('%Y-%m-%dT%H:%M:%fZ', p.ms / 1000.0, 'unixepoch') AS timestamp
FROM log_point p
WHERE p.metric = p.loss_metric AND p.step < coalesce((
  SELECT min(b.first_step) FROM task_attempt b WHERE b.task_id = p.task_id AND b.attempt > p.attempt
), 9223372036854775807);
