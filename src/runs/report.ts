/*
 * What a box, or a tracker's client, reports of a run under way: its points, its progress and the end of its
 * console, in one batch. Heartbeats and the routes of trackers (src/trackers/) store them by report().
 */
import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { tellLater } from "../alerts/outbox.ts";
import {
  type Append,
  appendPoints,
  boundMetrics,
  mergesByStatement,
  prepareAppend,
  readStored,
  type Stored,
  warnOfMetrics,
} from "../metrics/append.ts";
import type { Segment } from "../metrics/points.ts";
import { allNew, readKnown, withoutKnown } from "../metrics/repeats.ts";
import { countGaps, isKnown, MOST_GAPS } from "../metrics/seq.ts";
import { isDue } from "../metrics/sum-up.ts";
import { reportable, reportedOnce } from "../platform/auth/access.ts";
import { nearLimit, overLimit, roomFor } from "../platform/auth/bounds.ts";
import { chain, ifChanged, ifUnchanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { type statuses, trainingTask } from "../platform/db/schema.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { type DiskFacts, diskEvent, prepareWatch } from "./alerts.ts";
import { cutTail, keepAttemptAlive, recordHeartbeat } from "./attempts.ts";
import { beatRun, currentAttempt, startRun } from "./states.ts";
import { sumUpClosed, sumUpLater } from "./sum-up-logs.ts";
/** The task, at the attempt that is named, if the caller may report on it. */
export const runOf = (taskId: number, auth: Auth, attempt: number | undefined): SQL | undefined =>
  and(
    eq(trainingTask.id, taskId),
    isNull(trainingTask.deletedAt),
    reportable(auth),
    attempt === undefined ? undefined : sql`${currentAttempt} = ${attempt}`,
  );

/** Why nothing matched runOf(): throws 404, or 409 with what holds now. */
export async function explainRun(
  db: Db,
  taskId: number,
  auth: Auth,
  attempt: number | undefined,
): Promise<never> {
  const [task] = await db
    .select({
      attempt: trainingTask.attempt,
      status: trainingTask.status,
      mine: sql<number>`${reportable(auth)}`,
    })
    .from(trainingTask)
    .where(
      and(
        eq(trainingTask.id, taskId),
        isNull(trainingTask.deletedAt),
        // A box whose task was taken from it gets 409 and stops; 404 would let it train on.
        or(reportable(auth), reportedOnce(auth)),
      ),
    );
  if (!task) throw notFound("own-task", { id: taskId });
  if (!task.mine)
    throw refuse(
      "superseded",
      { case: "taken", task: taskId, current: task.attempt },
      { extra: { current_attempt: task.attempt } },
    );
  const extra = { current_attempt: task.attempt, current_status: task.status };
  if (attempt !== undefined && attempt < task.attempt)
    throw refuse(
      "superseded",
      { case: "attempt", current: task.attempt, task: taskId, attempt },
      { extra },
    );
  if (attempt !== undefined && attempt > Math.max(task.attempt, 1))
    throw refuse("attempt-unknown", { task: taskId, current: task.attempt, attempt }, { extra });
  throw refuse(
    "conflict",
    { case: "task", task: taskId, status: task.status, attempt: task.attempt },
    { extra },
  );
}

/** Times that a heartbeat is merged anew because others of its attempt came in between. */
const MERGE_TRIES = 6;

/** What is reported of a run. */
export type Report = {
  taskId: number;
  /** Undefined: the current one. */
  attempt: number | undefined;
  /**
   * The number of a heartbeat: the same number again changes nothing. Null of what has none, as trackers'
   * clients send it: a value that is stored already, of the same metric, step and time, changes nothing.
   */
  seq: number | null;
  segment: Segment;
  progress?:
    | (Record<string, unknown> & {
        step?: number | null;
        unstepped?: boolean | null;
        disk?: DiskFacts | null;
      })
    | null;
  tail?: string | null;
};

/** How a run is after a report, and what its box is told. */
export type Reported = {
  status: (typeof statuses)[number];
  attempt: number;
  cancel_requested: boolean;
  heartbeat_interval_sec: number;
  warnings?: { code: string; message: string; path?: string }[];
};

/**
 * Stores a report. The first one opens attempt 1; one of a run that was thought lost brings it back; after
 * the end, points are stored and the run stays ended. Throws ApiError: 404 where the caller may not report
 * on the run, 409 `superseded`, 413 where the points find no room, 503 where many report at once.
 */
export async function report(
  c: Context<App>,
  { taskId, attempt: named, seq, segment: whole, ...said }: Report,
): Promise<Reported> {
  const { db, auth, config } = c.var;
  const progress = said.progress ? JSON.stringify(said.progress) : null;
  const tail = said.tail ? cutTail(said.tail) : null;
  const watch = prepareWatch(config, seq, whole, said.progress);
  const seen = {
    watch: watch.noted,
    progress: progress
      ? sql`case when ${watch.newest} then ${progress} else progress end`
      : undefined,
    nonfiniteFromStep: watch.nonfiniteFromStep,
  };
  const heartbeat = { keyId: auth.keyId, seq, tail };
  const run = runOf(taskId, auth, named);
  const attempt = named ?? sql`(select max(attempt, 1) from training_task where id = ${taskId})`;
  const fresh = seq === null ? allNew(whole) : undefined;
  const store = (append: Append, stored: Stored | null | undefined) => {
    const more = { database_bytes: append?.size ?? 0 };
    const room = append ? roomFor(config, sql`training_task.user_id`, more) : undefined;
    return chain(db, {
      event: watch.event(db, run),
      disk: diskEvent(db, run, said.progress?.disk, watch.newest),
      started: startRun(db, run, seen),
      updated: ifUnchanged("started", (unchanged) =>
        beatRun(db, and(run, unchanged), seen, append),
      ),
      recorded: recordHeartbeat(
        db,
        and(run, room),
        heartbeat,
        append,
        stored === undefined ? fresh : undefined,
      ),
      points:
        append &&
        ifChanged("recorded", (accepted) =>
          appendPoints(db, append, { taskId, attempt, seq }, accepted),
        ),
      // What RETURNING gives is read once more from a table of its own.
      current: db
        .select({
          status: trainingTask.status,
          attempt: currentAttempt,
          cancelRequested: trainingTask.cancelRequested,
          bytes: append
            ? sql<
                number | null
              >`(select bytes from user_use where user_use.user_id = training_task.user_id)`
            : sql<null>`null`,
        })
        .from(trainingTask)
        .where(run),
    });
  };

  let stored: Stored | null | undefined;
  let dropped: string[] = [];
  let append: Append = null;
  let done: Awaited<ReturnType<typeof store>> | undefined;
  for (let tries = 1; ; tries++) {
    // What its own statement cannot merge in little time is merged here, out of what is stored.
    if (tries > 1 || !mergesByStatement(whole))
      stored = await readStored(db, taskId, sql`${attempt}`);
    if (seq !== null && stored) {
      if (tries > 1 && isKnown(stored, seq)) break;
      if (seq > stored.lastSeq + 1 && countGaps(stored) >= MOST_GAPS)
        throw refuse("too-many-gaps", { gaps: MOST_GAPS, next: stored.lastSeq + 1 });
    }
    const news =
      seq === null && stored
        ? withoutKnown(whole, await readKnown(db, taskId, sql`${attempt}`, whole))
        : whole;
    const bounded =
      stored === undefined
        ? { segment: news, dropped: [] }
        : boundMetrics(news, stored, config.MAX_METRICS);
    dropped = bounded.dropped;
    append = prepareAppend(bounded.segment, config.MAX_METRICS, stored, seq === null);
    done = await store(append, stored);
    if (done.event.rowsAffected || done.disk?.rowsAffected) tellLater(c);
    const [task] = done.current;
    if (done.recorded.rowsAffected || !append || !task) break;
    const most = config.MAX_DATABASE_BYTES_PER_USER;
    if (most > 0 && (task.bytes ?? 0) + append.size > most) break;
    // A heartbeat that was there before, or others of the same attempt that came in between.
    if (tries === MERGE_TRIES)
      throw refuse("busy", { case: "heartbeats" }, { headers: { "Retry-After": "1" } });
  }
  if (!done) throw new Error("a heartbeat was stored by no statement");
  const { recorded } = done;
  const [task] = done.current;
  if (!task) return explainRun(db, taskId, auth, named);
  const answered = {
    status: task.status,
    attempt: task.attempt,
    // One that was cancelled while its box was away is told when it comes back.
    cancel_requested: task.cancelRequested || task.status === "cancelled",
    heartbeat_interval_sec: config.HEARTBEAT_INTERVAL_SEC,
  };
  const most = config.MAX_DATABASE_BYTES_PER_USER;
  if (append && most > 0 && recorded.rowsAffected === 0 && (task.bytes ?? 0) + append.size > most) {
    // Its points wait for room, its `seq` stays missing, and the attempt lives on.
    const [kept] = await keepAttemptAlive(db, run, heartbeat);
    // One that was stored before and is repeated has its place.
    if (kept?.known) return answered;
    const { status: current_status, ...more } = answered;
    throw overLimit("database_bytes", task.bytes ?? 0, most, {
      status: 413,
      more: { current_status, ...more },
    });
  }
  if (recorded.rowsAffected && append && isDue(seq, append))
    sumUpLater(c, sumUpClosed(db, taskId, Math.max(task.attempt, 1)));
  const near = append && nearLimit(config, "database_bytes", task.bytes);
  const warnings = [
    ...(dropped.length ? [warnOfMetrics(dropped, config.MAX_METRICS)] : []),
    ...(near ? [near] : []),
  ];
  return { ...answered, ...(warnings.length && { warnings }) };
}
