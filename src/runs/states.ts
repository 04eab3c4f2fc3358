/*
 * The states of runs: every statement that changes what a run is, for the chains of those who ask. The
 * rights and the place in a chain are the caller's; what follows from an event is decided here. Registering
 * is register.ts, the rows of attempts are attempts.ts.
 *
 * A run that has yet to begin (`pending`) is `new`; `put back`, outside the queue, for its next attempt; or
 * in the queue: `waiting` for a time or for other runs, `ready`, `given back` by a box that was taken away,
 * or ready again since its lease is over. One under way (`running`) is `leased` while the queue would give
 * it to another box after this one, else `running`; `stopping` once a person has cancelled it. One that has
 * ended is `success`, `failed`, `lost` (failed, and back at its next heartbeat), `cancelled`, `called off`
 * (cancelled before it began) or `imported` from elsewhere; and any but one under way may be `trashed`.
 *
 * Each cell is the state that an event leads to, with + where it opens an attempt; = where the state stays;
 * or the HTTP status of a refusal, which changes nothing. Events: `open` the next attempt by hand, `claim`
 * by a box, heartbeat (`beat`), the end as success (`succeed`), as failed (`fail`), as cancelled (`stop`) or
 * because the box is taken away (`preempt`), `lease ends`, the `silence` of a tracker's client that alone records
 * the run and tells no end, `cancel`, `retry` and `requeue` by people, `due`:
 * the time that it waits for has come, `trash`, `restore`, `points` of an import, and the `purge` of the
 * trash. states.test.ts reads this table and walks each cell.
 *
 * | event      | new         | put back    | waiting     | ready        | given back | lease over |
 * |------------|-------------|-------------|-------------|--------------|------------|------------|
 * | open       | running +   | running +   | leased +    | leased +     | leased +   | leased +   |
 * | claim      | =           | =           | =           | leased +     | leased +   | leased +   |
 * | beat       | running +   | running +   | leased +    | leased +     | =          | leased     |
 * | succeed    | success +   | success +   | success +   | success +    | 409        | success    |
 * | fail       | failed +    | failed +    | failed +    | failed +     | 409        | failed     |
 * | stop       | cancelled + | cancelled + | cancelled + | cancelled +  | 409        | cancelled  |
 * | preempt    | failed +    | failed +    | waiting +   | given back + | =          | given back |
 * | lease ends | =           | =           | =           | =            | =          | =          |
 * | silence    | =           | =           | =           | =            | =          | =          |
 * | cancel     | called off  | cancelled   | called off  | called off   | cancelled  | cancelled  |
 * | retry      | 409         | 409         | 409         | 409          | 409        | 409        |
 * | requeue    | ready       | ready       | =           | =            | ready      | ready      |
 * | due        | =           | =           | ready       | =            | =          | =          |
 * | trash      | trashed     | trashed     | trashed     | trashed      | trashed    | trashed    |
 * | restore    | 404         | 404         | 404         | 404          | 404        | 404        |
 * | points     | 409         | 409         | 409         | 409          | 409        | 409        |
 * | purge      | =           | =           | =           | =            | =          | =          |
 *
 * | event      | running   | leased     | stopping  |
 * |------------|-----------|------------|-----------|
 * | open       | running + | leased +   | running + |
 * | claim      | =         | =          | =         |
 * | beat       | =         | =          | =         |
 * | succeed    | success   | success    | success   |
 * | fail       | failed    | failed     | failed    |
 * | stop       | cancelled | cancelled  | cancelled |
 * | preempt    | failed    | given back | cancelled |
 * | lease ends | lost      | lease over | cancelled |
 * | silence    | success   | success    | cancelled |
 * | cancel     | stopping  | stopping   | =         |
 * | retry      | 409       | 409        | 409       |
 * | requeue    | ready     | ready      | ready     |
 * | due        | =         | =          | =         |
 * | trash      | 409       | 409        | 409       |
 * | restore    | 404       | 404        | 404       |
 * | points     | 409       | 409        | 409       |
 * | purge      | =         | =          | =         |
 *
 * | event      | success | failed    | lost      | cancelled | called off   | imported   | trashed |
 * |------------|---------|-----------|-----------|-----------|--------------|------------|---------|
 * | open       | 409     | running + | running + | running + | running +    | 409        | 404     |
 * | claim      | =       | =         | =         | =         | =            | =          | =       |
 * | beat       | =       | =         | running   | =         | called off + | imported + | 404     |
 * | succeed    | =       | 409       | success   | 409       | 409          | =          | 404     |
 * | fail       | 409     | =         | failed    | 409       | 409          | 409        | 404     |
 * | stop       | 409     | 409       | cancelled | =         | =            | 409        | 404     |
 * | preempt    | 409     | =         | failed    | 409       | 409          | 409        | 404     |
 * | lease ends | =       | =         | =         | =         | =            | =          | =       |
 * | silence    | =       | =         | =         | =         | =            | =          | =       |
 * | cancel     | 409     | 409       | 409       | =         | =            | 409        | 404     |
 * | retry      | 409     | put back  | put back  | put back  | put back     | 409        | 404     |
 * | requeue    | 409     | ready     | ready     | ready     | ready        | 409        | 404     |
 * | due        | =       | =         | =         | =         | =            | =          | =       |
 * | trash      | trashed | trashed   | trashed   | trashed   | trashed      | trashed    | 404     |
 * | restore    | 404     | 404       | 404       | 404       | 404          | 404        | failed  |
 * | points     | 409     | 409       | 409       | 409       | 409          | imported + | 404     |
 * | purge      | =       | =         | =         | =         | =            | =          | gone    |
 *
 * Beneath, the trigger training_task_state refuses each change of `status` that no event makes.
 */
import { and, isNull, type SQL, sql } from "drizzle-orm";
import type { Append } from "../metrics/append.ts";
import type { Db } from "../platform/db/client.ts";
import { type failureReasons, type statuses, trainingTask } from "../platform/db/schema.ts";
import { ago, now } from "../platform/db/time.ts";
import type { JsonValue } from "../shared/json.ts";
import { isOpened, type Lasted, nextAttempt, timesOf, totals } from "./attempts.ts";
import { changeQueueColumns, type QueueChange } from "./queue-options.ts";

/** The number of the task's current attempt: that of a task not yet begun is its first. */
export const currentAttempt = sql<number>`max(${trainingTask.attempt}, 1)`;

/**
 * States that a heartbeat makes or keeps `running`: a run merely thought lost comes back, and one
 * that its box gave back does not.
 */
const isAlive = sql`(status = 'running' or (status = 'failed' and failure_reason = 'lost') or (status = 'pending' and not exists (
  select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = training_task.attempt and a.failure_reason = 'preempted')))`;

/** Whether a queued task whose box is gone waits for another box, rather than having failed. */
export const goesBack = sql`(not cancel_requested and queue_waiting is not null and attempt < attempt_limit)`;

/** Nothing is left of the end of the attempt before. */
const noEnd = {
  finishedAt: null,
  failureReason: null,
  errorMessage: null,
  exitCode: null,
  cancelRequested: false,
};

/** An attempt begins, on a machine of which only what its box says replaces what was known. */
const beginAttempt = (keyId: number, agent: string | null, hardware: Hardware) => ({
  ...noEnd,
  // It may begin before the step at which the one before lost its loss; its end tells of both.
  nonfiniteFromStep: null,
  status: "running" as const,
  attempt: nextAttempt,
  keyId,
  agent,
  startedAt: sql`coalesce(started_at, ${now})`,
  heartbeatAt: now,
  updatedAt: now,
  gpuInfo: sql`coalesce(${hardware.gpuInfo}, gpu_info)`,
  cudaVersion: sql`coalesce(${hardware.cudaVersion}, cuda_version)`,
  hourlyPrice: sql`coalesce(${hardware.hourlyPrice}, hourly_price)`,
  nodeInfo: sql`coalesce(${hardware.nodeInfo === null ? null : JSON.stringify(hardware.nodeInfo)}, node_info)`,
});

/** The machine of an attempt. */
type Hardware = {
  gpuInfo: string | null;
  cudaVersion: string | null;
  hourlyPrice: number | SQL | null;
  nodeInfo: JsonValue;
};

/** Whether a key may not begin a task: a person has cancelled it. A box's own Ctrl-C leaves an attempt. */
export const isUnwanted = sql`(cancel_requested or (status = 'cancelled' and attempt = 0))`;

/** Opens the next attempt of a run, for whoever runs it without the queue. */
export const openRun = (db: Db, where: SQL | undefined, keyId: number, hardware: Hardware) =>
  db
    .update(trainingTask)
    .set({ ...beginAttempt(keyId, null, hardware), ...totals })
    .where(where);

/** Gives a ready task of the queue to a box's slot, as its next attempt. */
export const claimRun = (
  db: Db,
  where: SQL,
  { keyId, agent, ...hardware }: Hardware & { keyId: number; agent: string },
) =>
  db
    .update(trainingTask)
    .set(beginAttempt(keyId, agent, hardware))
    .where(sql`${where} and status = 'pending' and queue_waiting = 0 and deleted_at is null`);

/** Starts the lease of a task anew. */
export const renewLease = (db: Db, where: SQL) =>
  db.update(trainingTask).set({ heartbeatAt: now }).where(where);

/** What a heartbeat says of a run, beside its points. */
type Seen = {
  watch: SQL<string>;
  progress: SQL | undefined;
  nonfiniteFromStep: SQL | undefined;
};

/** A heartbeat lets a run begin, or come back. Only a change of state touches the index on it. */
export const startRun = (db: Db, where: SQL | undefined, seen: Seen) =>
  db
    .update(trainingTask)
    .set({
      ...seen,
      heartbeatAt: now,
      attempt: currentAttempt,
      status: "running",
      startedAt: sql`coalesce(started_at, ${now})`,
      finishedAt: null,
      failureReason: null,
      errorMessage: null,
      updatedAt: now,
    })
    .where(and(where, sql`status <> 'running'`, isAlive));

/** A heartbeat of a run that it does not start: under way, or after its end. */
export const beatRun = (db: Db, where: SQL | undefined, seen: Seen, append: Append) =>
  db
    .update(trainingTask)
    .set({
      ...seen,
      heartbeatAt: sql`case when status = 'running' then ${now} else heartbeat_at end`,
      // Points that come after the end change the figures drawn from them.
      settleAt: append
        ? sql`case when status = 'running' then settle_at else ${now} end`
        : undefined,
    })
    .where(where);

/** Lets a run that ends before its first heartbeat, or came back from the dead, pass `running`. */
export const passRunning = (db: Db, where: SQL | undefined) =>
  db
    .update(trainingTask)
    .set({
      attempt: currentAttempt,
      status: "running",
      startedAt: sql`coalesce(started_at, ${now})`,
      failureReason: null,
    })
    .where(and(where, isAlive, sql`status <> 'running'`));

/**
 * Ends a run as its box says. `preempted`: a box that is taken away gives a queued task back. A run that
 * a person cancelled, or that its box gave back, is not the box's to begin again.
 */
export const endRun = (
  db: Db,
  where: SQL | undefined,
  {
    status,
    failureReason,
    settled,
    received,
    endedAgo,
    duration,
    figures,
    ...end
  }: Lasted & {
    status: (typeof statuses)[number];
    failureReason: (typeof failureReasons)[number] | null;
    errorMessage: string | null;
    exitCode: number | null;
    finalLoss: number | null;
    finalLossReported: boolean;
    figures: Figures;
    settled: boolean;
    /** Heartbeats of all attempts that the figures were drawn from: one that came since is drawn by the job. */
    received: number;
  },
) => {
  const preempted = failureReason === "preempted";
  const times = timesOf({ endedAgo, duration });
  const began = sql`iif(agent is null, min(started_at, ${times.started}), started_at)`;
  const ended = sql`max(${times.ended}, coalesce(${began}, ''))`;
  return db
    .update(trainingTask)
    .set({
      ...end,
      ...drawn(figures, status === "success"),
      status: preempted
        ? sql`case when cancel_requested then 'cancelled' when ${goesBack} then 'pending' else 'failed' end`
        : status,
      failureReason: preempted
        ? sql`iif(cancel_requested or ${goesBack}, null, 'preempted')`
        : failureReason,
      cancelRequested: false,
      keyId: preempted
        ? sql`iif(cancel_requested or ${goesBack}, null, key_id)`
        : sql`iif(cancel_requested, null, key_id)`,
      startedAt: began,
      finishedAt: preempted ? sql`iif(${goesBack}, null, ${ended})` : ended,
      heartbeatAt: now,
      updatedAt: now,
      settleAt: settled
        ? sql`iif((select coalesce(sum(received), 0) from task_attempt a where a.task_id = training_task.id) = ${received}, null, ${now})`
        : now,
    })
    .where(and(where, isAlive, sql`status = 'running'`));
};

/** What is drawn from a run's points, beside its final loss. */
export type Figures = {
  convergenceStep: number | null;
  bestLoss: number | null;
  bestStep: number | null;
  /** Undefined leaves what heartbeats have noted. */
  nonfiniteFromStep: number | null | undefined;
};

/** The columns of these figures. A run that failed has converged nowhere. */
const drawn = (figures: Figures, succeeded: boolean | SQL) => ({
  convergenceStep: sql`iif(${succeeded}, ${stepOrNull(figures.convergenceStep)}, null)`,
  bestLoss: figures.bestLoss,
  bestStep: stepOrNull(figures.bestStep),
  nonfiniteFromStep:
    figures.nonfiniteFromStep === undefined ? undefined : stepOrNull(figures.nonfiniteFromStep),
});

/** A step drawn from a run's points; null where its points have no steps, but are ordered by their time alone. */
const stepOrNull = (step: number | null) => sql`iif(progress ->> 'unstepped', null, ${step})`;

/** Adds up what a run's attempts took. */
export const addUpAttempts = (db: Db, where: SQL) =>
  db.update(trainingTask).set(totals).where(where);

/**
 * Cancels runs that have not ended: a waiting one at once, a running one by its next heartbeat. A box
 * whose lease had ended holds the task no more; one that has just registered it has yet to learn.
 */
export const cancelRuns = (db: Db, where: SQL | undefined) =>
  db
    .update(trainingTask)
    .set({
      keyId: sql`case when status = 'pending' and attempt > 0 then null else key_id end`,
      status: sql`case when status = 'pending' then 'cancelled' else status end`,
      finishedAt: sql`case when status = 'pending' then ${now} else finished_at end`,
      cancelRequested: sql`status = 'running'`,
      updatedAt: now,
    })
    .where(and(where, sql`status in ('pending', 'running')`));

/** Running tasks whose last sign of life was before a time. */
export const isStale = (deadline: SQL | string) =>
  sql`status = 'running' and deleted_at is null and ${lastHeard} < ${deadline}`;

/** When a running task was last heard of. */
export const lastHeard = sql`coalesce(heartbeat_at, started_at, created_at)`;

/** Ends runs whose leases have ended. A box that was only cut off may take its run back, unless it was cancelled. */
export const loseRuns = (db: Db, where: SQL) =>
  db
    .update(trainingTask)
    .set({
      status: sql`case when cancel_requested then 'cancelled' when ${goesBack} then 'pending' else 'failed' end`,
      failureReason: sql`iif(cancel_requested or ${goesBack}, null, 'lost')`,
      cancelRequested: false,
      keyId: sql`iif(cancel_requested, null, key_id)`,
      finishedAt: sql`iif(${goesBack}, null, ${now})`,
      settleAt: sql`iif(${goesBack}, settle_at, ${now})`,
      updatedAt: now,
      ...totals,
    })
    .where(where);

/**
 * Ends runs as success that a tracker's client alone records which tells no end, at their last sign of life;
 * `reason` says so. A cancelled one ends as cancelled. The figures are drawn by the scheduled job.
 */
export const endSilentRuns = (db: Db, where: SQL, reason: string) =>
  db
    .update(trainingTask)
    .set({
      status: sql`iif(cancel_requested, 'cancelled', 'success')`,
      errorMessage: sql`iif(cancel_requested, null, ${reason})`,
      cancelRequested: false,
      finishedAt: lastHeard,
      settleAt: now,
      updatedAt: now,
      ...totals,
    })
    .where(where);

/** From which states a run is tried again, or put into the queue. */
export const isRetriable = sql`status in ('failed', 'cancelled')`;
export const isRequeuable = sql`status <> 'success'`;

/**
 * Puts a run back to `pending`, for its next attempt. One that was tried gets the next attempt's number,
 * so that a box which is still at it gets the answer `superseded`; and no key holds it until the next
 * claim. `change` puts it into the queue; without, a run that no queue gave stays with the key that
 * holds it, to be begun by hand.
 */
export const putBackRun = (db: Db, where: SQL | undefined, change: QueueChange | null) =>
  db
    .update(trainingTask)
    .set({
      ...noEnd,
      status: "pending",
      attempt: sql`iif(${isOpened}, max(attempt, 1) + 1, attempt + (status <> 'pending'))`,
      keyId: change === null ? sql`iif(queue_waiting is null, key_id, null)` : null,
      agent: null,
      updatedAt: now,
      ...totals,
      ...(change === null
        ? { attemptLimit: sql`attempt + max_attempts` }
        : changeQueueColumns(change)),
    })
    .where(where);

/** Counts the time that has come off what queued tasks wait for: at 0 a trigger puts them into their lanes. */
export const releaseDueRuns = (db: Db, where: SQL) =>
  db.run(sql`
    update training_task set queue_due_at = null, queue_waiting = queue_waiting - 1
    where ${where} and queue_due_at <= ${now}`);

/** A change that people see, and that If-Match compares. */
const edited = { updatedAt: now, version: sql`version + 1` };

/** Changes what people may write of runs. */
export const editRuns = (
  db: Db,
  where: SQL | undefined,
  change: Partial<{
    [K in keyof typeof trainingTask.$inferInsert]: (typeof trainingTask.$inferInsert)[K] | SQL;
  }>,
) =>
  db
    .update(trainingTask)
    .set({ ...change, ...edited })
    .where(where);

/** Puts runs that are not under way into the trash. */
export const trashRuns = (db: Db, where: SQL | undefined) =>
  editRuns(db, and(where, isNull(trainingTask.deletedAt), sql`status <> 'running'`), {
    deletedAt: now,
  });

/** Takes runs out of the trash. */
export const restoreRuns = (db: Db, where: SQL | undefined) =>
  editRuns(db, and(where, sql`deleted_at is not null`), { deletedAt: null });

/** Writes the figures drawn from a run's points, unless more points have come since `settleAt`. */
export const settleRun = (
  db: Db,
  { id, settleAt }: { id: number; settleAt: string | null },
  { finalLoss, figures }: { finalLoss: number | null; figures: Figures },
) => {
  const { convergenceStep, ...others } = drawn(figures, sql`status = 'success'`);
  return db
    .update(trainingTask)
    .set({
      // What a box or an import says stays where the points say nothing else.
      finalLoss: sql`case when final_loss_reported then final_loss else coalesce(${finalLoss}, iif(import_source is null, null, final_loss)) end`,
      convergenceStep: sql`coalesce(${convergenceStep}, iif(import_source is null, null, convergence_step))`,
      ...others,
      settleAt: null,
    })
    .where(sql`id = ${id} and settle_at = ${settleAt}`);
};

/** Has the figures of ended runs drawn anew, once all of their points are in today's form. */
export const settleAgain = (db: Db, ids: number[]) =>
  db.run(sql`
    update training_task set settle_at = coalesce(settle_at, ${now})
    where id in (select value from json_each(${JSON.stringify(ids)})) and status not in ('pending', 'running')
      and not exists (select 1 from log_chunk c where c.task_id = training_task.id and c.form = 0)`);

/**
 * Notes points of an imported run, and the step that its latest attempt has reached with them: its
 * figures are drawn anew by the scheduled job.
 */
export const noteImportedPoints = (
  db: Db,
  where: SQL | undefined,
  { attempt, lastStep }: { attempt: number; lastStep: number },
) => {
  const latest = sql`coalesce(watch ->> 'attempt', 0)`;
  const reached = sql`case when ${latest} > ${attempt} then watch ->> 'reached'
    when ${latest} = ${attempt} then max(coalesce(watch ->> 'reached', watch ->> 'step', 0), ${lastStep}) else ${lastStep} end`;
  return db.run(sql`
    update training_task set attempt = max(attempt, 1), settle_at = ${now},
      watch = json_set(coalesce(watch, '{}'), '$.attempt', max(${latest}, ${attempt}), '$.reached', ${reached})
    where ${where}`);
};

/**
 * Lets `weights_path` name the task's final file: of the latest attempt, the last completed. A
 * file of a superseded attempt that completes late changes nothing. With `removed`, a final file
 * that is deleted, the path may become null. `taskId` null does nothing.
 */
export const pointAtFinal = (
  db: Db,
  taskId: SQL | number | null,
  removed: string | null = null,
) => {
  const last = sql`(
    select w.filename from weight w
    where w.task_id = training_task.id and w.kind = 'final' and w.state = 'complete' and w.deleted_at is null
    order by w.attempt desc, w.completed_at desc, w.id desc limit 1)`;
  return db.run(
    sql`update training_task set weights_path = ${last}, updated_at = ${now}
      where id = ${taskId} and weights_path is not ${last} and (${last} is not null or weights_path = ${removed})`,
  );
};

/** Lets trashed runs wait for a time longer before they are purged. */
export const postponePurge = (db: Db, where: SQL, since: SQL) =>
  db.run(sql`update training_task set trash_since = ${since} where ${where}`);

/** Deletes trashed runs for good. */
export const deleteRuns = (db: Db, where: SQL) =>
  db.run(sql`delete from training_task where ${where}`);

/** Frees an Idempotency-Key that registered a run more than so many days ago. An import may state that it was recorded long ago. */
export const freeRegistrationKey = (db: Db, registrationKey: string, days: number) =>
  db.run(sql`
    update training_task set registration_key = registration_key || ':until:' || id
    where registration_key = ${registrationKey} and import_source is null and created_at < ${ago(days, "days")}`);

/** Forgets the Idempotency-Keys that registered the runs under `where`; the source of an import stays. */
export const forgetRegistrationKeys = (db: Db, where: SQL) =>
  db.run(sql`
    update training_task set registration_key = 'done:' || id
    where ${where} and registration_key glob '[0-9]*'`);
