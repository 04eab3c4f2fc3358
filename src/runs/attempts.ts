/*
 * The attempts of runs: every statement that opens, keeps, closes or fills a row of `task_attempt`, for
 * the chains of those who change a run (states.ts has the run's own statements, and what each event does).
 * An attempt is `running`, or has ended as `success`, `failed` or `cancelled`; a `lost` one runs again at
 * its next heartbeat. Chunks of points that an attempt's row counts are metrics/append.ts.
 */
import { type SQL, sql } from "drizzle-orm";
import { type Append, recordPoints } from "../metrics/append.ts";
import { firstSeq, isAwaited, recordSeq } from "../metrics/seq.ts";
import { assign } from "../platform/db/assign.ts";
import type { Db } from "../platform/db/client.ts";
import { type statuses, taskAttempt } from "../platform/db/schema.ts";
import { ago, now } from "../platform/db/time.ts";
import { cutText } from "../platform/http/text.ts";
import type { PastAttempts } from "./fields.ts";
import { inUtc } from "./past.ts";

/** The columns of an attempt as answers give them. */
export const attemptColumns = {
  attempt: taskAttempt.attempt,
  status: taskAttempt.status,
  startedAt: taskAttempt.startedAt,
  heartbeatAt: taskAttempt.heartbeatAt,
  finishedAt: taskAttempt.finishedAt,
  durationSec: taskAttempt.durationSec,
  cost: taskAttempt.cost,
  fromStep: taskAttempt.fromStep,
  gpuInfo: taskAttempt.gpuInfo,
  cudaVersion: taskAttempt.cudaVersion,
  hourlyPrice: taskAttempt.hourlyPrice,
  exitCode: taskAttempt.exitCode,
  failureReason: taskAttempt.failureReason,
  errorMessage: taskAttempt.errorMessage,
  points: taskAttempt.points,
  firstStep: taskAttempt.firstStep,
  lastStep: taskAttempt.lastStep,
  lastSeq: taskAttempt.lastSeq,
  nodeInfo: taskAttempt.nodeInfo,
  tail: taskAttempt.tail,
};

/** Whether the task's current attempt was ever opened; a task that counts none may have a first one. */
export const isOpened = sql`exists (select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = max(training_task.attempt, 1))`;

/**
 * The number of the attempt to open next: the current one where it has yet to be opened (a new task,
 * or one that people put back), else the one after it.
 */
export const nextAttempt = sql<number>`max(training_task.attempt, 1)
  + (${isOpened} or (training_task.status <> 'pending' and training_task.attempt > 0))`;

/** Seconds and money of all attempts of the task being updated. */
export const totals = {
  totalDurationSec: sql<number>`(select sum(duration_sec) from task_attempt a where a.task_id = training_task.id)`,
  cost: sql<number>`(select sum(cost) from task_attempt a where a.task_id = training_task.id)`,
};

/** Characters of the console's end that an attempt keeps. */
const TAIL_LENGTH = 16_384;

export const cutTail = (tail: string) => cutText(tail, -TAIL_LENGTH);

/** Ends an attempt's row at its last sign of life: what it used up to then is counted. */
const lastSignOfLife = {
  finishedAt: sql<string>`coalesce(finished_at, heartbeat_at, started_at)`,
  durationSec: sql<number>`coalesce(duration_sec, (julianday(coalesce(heartbeat_at, started_at)) - julianday(started_at)) * 86400.0)`,
  cost: sql<number>`coalesce(cost, (julianday(coalesce(heartbeat_at, started_at)) - julianday(started_at)) * 24.0 * hourly_price)`,
};

/** Opens the current attempt of the task that the statement before set to `running` for the caller's key. */
export const openAttempt = (
  db: Db,
  {
    taskId,
    keyId,
    fromStep,
    openedWith,
  }: { taskId: number; keyId: number; fromStep: number | null; openedWith: string | null },
  condition: SQL,
) =>
  db.run(sql`
    insert into task_attempt (task_id, user_id, attempt, key_id, heartbeat_at, from_step, gpu_info, cuda_version, hourly_price, node_info, opened_with)
    select id, user_id, attempt, ${keyId}, ${now}, ${fromStep}, gpu_info, cuda_version, hourly_price, node_info, ${openedWith}
    from training_task where id = ${taskId} and ${condition}`);

/** Opens the current attempts of the tasks under `where` that have none yet: those just claimed. */
export const openClaimedAttempt = (db: Db, where: SQL | undefined) =>
  db.run(sql`
    insert into task_attempt (task_id, user_id, attempt, key_id, agent, heartbeat_at, gpu_info, cuda_version, hourly_price, node_info)
    select id, user_id, attempt, key_id, agent, heartbeat_at, gpu_info, cuda_version, hourly_price, node_info
    from training_task where ${where} and not exists (
      select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = training_task.attempt)`);

/** Closes the attempt before the one to be opened, under the conditions on its task; a running one was lost. */
export const closeAttemptBefore = (db: Db, taskId: number, mayOpen: SQL | undefined) =>
  db
    .update(taskAttempt)
    .set({
      status: sql`case when status = 'running' then 'failed' else status end`,
      failureReason: sql`case when status = 'running' then 'lost' else failure_reason end`,
      ...lastSignOfLife,
    })
    .where(
      sql`task_id = ${taskId} and attempt = (select attempt from training_task where ${mayOpen})`,
    );

/** Takes the running attempt from the box of the task under `where`, which people put back. */
export const preemptAttempt = (db: Db, where: SQL | undefined) =>
  db
    .update(taskAttempt)
    .set({ status: "failed", failureReason: "preempted", ...lastSignOfLife })
    .where(
      sql`status = 'running' and (task_id, attempt) = (select id, attempt from training_task where ${where})`,
    );

/** Ends the running attempts of the tasks under `where`, whose leases have ended. */
export const loseAttempts = (db: Db, where: SQL) =>
  db
    .update(taskAttempt)
    .set({
      status: sql`(select iif(t.cancel_requested, 'cancelled', 'failed') from training_task t where t.id = task_id)`,
      failureReason: sql`(select iif(t.cancel_requested, null, 'lost') from training_task t where t.id = task_id)`,
      ...lastSignOfLife,
    })
    .where(
      sql`status = 'running' and (task_id, attempt) in (select id, attempt from training_task where ${where})`,
    );

/** Ends the running attempts of the tasks under `where` as success, since nothing else will be said of them. */
export const settleSilentAttempts = (db: Db, where: SQL, reason: string) =>
  db
    .update(taskAttempt)
    .set({
      status: sql`(select iif(t.cancel_requested, 'cancelled', 'success') from training_task t where t.id = task_id)`,
      errorMessage: sql`(select iif(t.cancel_requested, null, ${reason}) from training_task t where t.id = task_id)`,
      ...lastSignOfLife,
    })
    .where(
      sql`status = 'running' and (task_id, attempt) in (select id, attempt from training_task where ${where})`,
    );

/** Values that a heartbeat writes to the row of its attempt. */
type Heartbeat = { keyId: number; seq: number | null; tail: string | null };

/** The row of an attempt after a sign of life: a lost attempt runs again. */
const revive: Record<string, SQL> = {
  heartbeat_at: sql`excluded.heartbeat_at`,
  status: sql`case when status = 'failed' and failure_reason = 'lost' then 'running' else status end`,
  failure_reason: sql`case when failure_reason = 'lost' then null else failure_reason end`,
  finished_at: sql`case when failure_reason = 'lost' then null else finished_at end`,
  duration_sec: sql`case when failure_reason = 'lost' then null else duration_sec end`,
  cost: sql`case when failure_reason = 'lost' then null else cost end`,
};

/**
 * Notes a heartbeat, with its points, in the attempt of the task under `where`, if it isAwaited() and
 * the points' own guard holds; of what has no number, `fresh` holds instead. The first one opens the attempt: a task that was imported, or cancelled
 * while it waited, counts none, and this is its first.
 */
export const recordHeartbeat = (
  db: Db,
  where: SQL | undefined,
  { keyId, seq, tail }: Heartbeat,
  append: Append,
  fresh?: SQL,
) => {
  const { lastSeq, gaps } = seq === null ? { lastSeq: 0, gaps: "[]" } : firstSeq(seq);
  return db.run(sql`
    insert into task_attempt (task_id, user_id, attempt, status, started_at, finished_at,
      key_id, heartbeat_at, gpu_info, cuda_version, hourly_price, node_info,
      last_seq, gaps, received, open_chunk, open_count, open_size, points, bytes, first_step, last_step, summary, tail)
    select id, user_id, max(attempt, 1), status, coalesce(started_at, ${now}), finished_at,
      ${keyId}, ${now}, gpu_info, cuda_version, hourly_price, node_info,
      ${lastSeq}, ${gaps}, 1,
      ${append ? 1 : 0}, ${append?.count ?? 0}, ${append?.size ?? 0}, ${append?.count ?? 0}, ${append?.size ?? 0},
      ${append?.firstStep ?? null}, ${append?.lastStep ?? null}, ${append?.summaryJson ?? "{}"}, ${tail}
    from training_task where ${where}
    on conflict (task_id, attempt) do update set ${assign({
      ...revive,
      received: sql`received + 1`,
      tail:
        seq === null
          ? sql`coalesce(excluded.tail, tail)`
          : sql`case when ${seq} > last_seq then coalesce(excluded.tail, tail) else tail end`,
      ...(seq !== null && recordSeq(seq)),
      ...(append && recordPoints(append)),
    })}
    where ${seq === null ? (fresh ?? sql`true`) : isAwaited(seq)} and ${append?.guard ?? sql`true`}`);
};

/**
 * Notes that an attempt is alive whose heartbeat's points find no room: its number stays missing.
 * Answers whether the heartbeat had come before.
 */
export const keepAttemptAlive = (db: Db, where: SQL | undefined, { keyId, seq, tail }: Heartbeat) =>
  db.all<{ known: number }>(sql`
    insert into task_attempt (task_id, user_id, attempt, status, started_at, finished_at, key_id, heartbeat_at,
      gpu_info, cuda_version, hourly_price, node_info, tail)
    select id, user_id, max(attempt, 1), status, coalesce(started_at, ${now}), finished_at, ${keyId}, ${now},
      gpu_info, cuda_version, hourly_price, node_info, ${tail}
    from training_task where ${where}
    on conflict (task_id, attempt) do update set
      heartbeat_at = excluded.heartbeat_at, tail = coalesce(excluded.tail, tail)
    returning ${seq === null ? sql`0` : sql`not ${isAwaited(seq)}`} as known`);

/**
 * When an attempt ended and how long it took, in seconds by its box's clock, where the box says so: what it
 * recorded without a network arrives long after. Null: it ends now.
 */
export type Lasted = { endedAgo: number | null; duration: number | null };

/** The times of such an attempt by the database's clock; `started` is the latest that it can have begun. */
export const timesOf = ({ endedAgo, duration }: Lasted) => ({
  ended: endedAgo === null ? now : ago(endedAgo, "seconds"),
  started: ago((endedAgo ?? 0) + (duration ?? 0), "seconds"),
});

/** How an attempt ended, as its box says. */
type End = {
  status: (typeof statuses)[number];
  exitCode: number | null;
  failureReason: string | null;
  errorMessage: string | null;
} & Lasted;

/** Ends the current attempt of a task under the condition that the task ended; one without a row gets one. */
export const endAttempt = (
  db: Db,
  { taskId, keyId }: { taskId: number; keyId: number },
  { status, exitCode, failureReason, errorMessage, ...lasted }: End,
  condition: SQL,
) => {
  const { ended, started } = timesOf(lasted);
  const duration = lasted.duration ?? 0;
  // When a box pulled a run, the ledger's own clock saw; its word moves only what nobody saw begin.
  const began = sql`iif(agent is null, min(started_at, excluded.started_at), started_at)`;
  const over = sql`max(excluded.finished_at, ${began})`;
  const days = sql`(julianday(${over}) - julianday(${began}))`;
  return db.run(sql`
    insert into task_attempt (task_id, user_id, attempt, key_id, status, heartbeat_at, started_at, finished_at, duration_sec, cost, exit_code, failure_reason, error_message, gpu_info, cuda_version, hourly_price, node_info)
    select id, user_id, attempt, ${keyId}, ${status}, ${now}, ${started}, ${ended}, ${duration}, ${lasted.duration} / 3600.0 * hourly_price, ${exitCode}, ${failureReason}, ${errorMessage}, gpu_info, cuda_version, hourly_price, node_info
    from training_task where id = ${taskId} and ${condition}
    on conflict (task_id, attempt) do update set
      status = excluded.status, started_at = ${began}, finished_at = ${over},
      exit_code = excluded.exit_code, failure_reason = excluded.failure_reason, error_message = excluded.error_message,
      duration_sec = ${days} * 86400.0, cost = ${days} * 24.0 * hourly_price`);
};

const pastNames = [
  "attempt",
  "status",
  "started_at",
  "heartbeat_at",
  "finished_at",
  "duration_sec",
  "cost",
  "from_step",
  "gpu_info",
  "cuda_version",
  "hourly_price",
  "exit_code",
  "failure_reason",
  "error_message",
  "node_info",
  "tail",
];

/** Adds the attempts that an import states to the task that `taskId` selects; null: it states none. */
export function importAttempts(db: Db, taskId: SQL, keyId: number, attempts: PastAttempts) {
  if (attempts.length === 0) return null;
  const safe = attempts.map(({ node_info, tail, ...attempt }) => ({
    ...inUtc(attempt),
    tail: tail && cutTail(tail),
    node_info: node_info && JSON.stringify(node_info),
  }));
  const columns = sql.raw(pastNames.join(", "));
  const values = sql.raw(pastNames.map((name) => `a.value ->> '${name}'`).join(", "));
  return db.run(sql`
    insert into task_attempt (task_id, user_id, key_id, ${columns})
    select t.id, (select user_id from training_task o where o.id = t.id), ${keyId}, ${values} from (select ${taskId} as id) t, json_each(${JSON.stringify(safe)}) a
    where t.id is not null on conflict do nothing`);
}

/** Adds the attempt of an imported task under `where` that its import did not state: it was one. */
export const importAttempt = (
  db: Db,
  where: SQL | undefined,
  { keyId, attempt }: { keyId: number; attempt: number },
) =>
  db.run(sql`
    insert into task_attempt (task_id, user_id, attempt, key_id, status, started_at, finished_at, duration_sec, gpu_info)
    select id, user_id, ${attempt}, ${keyId}, status, coalesce(started_at, created_at), finished_at, total_duration_sec, gpu_info
    from training_task where ${where} on conflict do nothing`);

/** Notes points of an imported attempt, whose numbers only go up; `where` is the condition on its task. */
export const importPoints = (
  db: Db,
  { taskId, attempt, seq }: { taskId: number; attempt: number; seq: number },
  append: NonNullable<Append>,
  where: SQL | undefined,
) =>
  db.run(sql`
    update task_attempt set ${assign({
      last_seq: sql`${seq}`,
      received: sql`received + 1`,
      ...recordPoints(append),
    })}
    where task_id = ${taskId} and attempt = ${attempt} and last_seq < ${seq} and ${append.guard}
      and exists (select 1 from training_task where ${where})`);

/** Lets an attempt begin a new chunk with its next points, where this one takes them in. */
export const closeChunk = (
  db: Db,
  { taskId, attempt, chunk }: { taskId: number; attempt: number; chunk: number },
  condition: SQL,
) =>
  db.run(sql`
    update task_attempt set open_chunk = 0, open_count = 0, open_size = 0
    where task_id = ${taskId} and attempt = ${attempt} and open_chunk = ${chunk} and ${condition}`);

/** Forgets the Idempotency-Keys that opened attempts of tasks in a range of ids, `days` after they began. */
export const forgetOpeningKeys = (db: Db, days: number, range: SQL) =>
  db.run(sql`
    update task_attempt set opened_with = null
    where ${range} and opened_with is not null and started_at < ${ago(days, "days")}`);
