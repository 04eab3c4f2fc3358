import { sql } from "drizzle-orm";

/** Whether the task's current attempt was ever opened; a task that counts none may have a first one. */
export const opened = sql`exists (select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = max(training_task.attempt, 1))`;

/**
 * The number of the attempt to open next: the current one where it has yet to be opened (a new task,
 * or one that people put back), else the one behind it.
 */
export const nextAttempt = sql<number>`max(training_task.attempt, 1)
  + (${opened} or (training_task.status <> 'pending' and training_task.attempt > 0))`;

/** Ends an attempt's row at its last sign of life: what it used up to then is counted. */
export const lastSignOfLife = {
  finishedAt: sql<string>`coalesce(finished_at, heartbeat_at, started_at)`,
  durationSec: sql<number>`coalesce(duration_sec, (julianday(coalesce(heartbeat_at, started_at)) - julianday(started_at)) * 86400.0)`,
  cost: sql<number>`coalesce(cost, (julianday(coalesce(heartbeat_at, started_at)) - julianday(started_at)) * 24.0 * hourly_price)`,
};

/** Seconds and money of all attempts of the task being updated. */
export const totals = {
  totalDurationSec: sql<number>`(select sum(duration_sec) from task_attempt a where a.task_id = training_task.id)`,
  cost: sql<number>`(select sum(cost) from task_attempt a where a.task_id = training_task.id)`,
};

/** Whether a queued task whose box is gone waits for another box, rather than having failed. */
export const goesBack = sql`(not cancel_requested and queue_waiting is not null and attempt < attempt_limit)`;
