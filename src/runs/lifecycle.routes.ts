import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
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
import { logEntry, toSegment } from "../metrics/points.ts";
import { countGaps, isKnown, MOST_GAPS, missingRanges } from "../metrics/seq.ts";
import { readForSettling, settle } from "../metrics/settle.ts";
import { isDue } from "../metrics/sum-up.ts";
import { noteChange } from "../platform/audit/note.ts";
import { reportable, reportedOnce, writable } from "../platform/auth/access.ts";
import { explainRoom, nearLimit, overLimit, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged, ifUnchanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { failureReasons, statuses, taskAttempt, trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, limitBody, notValid, validate } from "../platform/http/validate.ts";
import { runFields } from "../shared/run-fields.ts";
import { diskEvent, endEvents, prepareWatch } from "./alerts.ts";
import {
  closeAttemptBefore,
  cutTail,
  endAttempt,
  keepAttemptAlive,
  openAttempt,
  recordHeartbeat,
} from "./attempts.ts";
import { taskAnswer, writableFields } from "./fields.ts";
import { taskColumns } from "./queries.ts";
import {
  addUpAttempts,
  beatRun,
  cancelRuns,
  currentAttempt,
  endRun,
  isUnwanted,
  openRun,
  passRunning,
  startRun,
} from "./states.ts";
import { sumUpClosed, sumUpLater, sumUpRun } from "./sum-up-logs.ts";

const attemptNumber = z.int().min(1);
const seq = z.int().min(1).max(1_000_000_000);

const hardware = {
  gpu_info: writableFields.gpu_info.nullish(),
  node_info: writableFields.node_info.nullish(),
  cuda_version: writableFields.cuda_version.nullish(),
  hourly_price: writableFields.hourly_price.nullish(),
};

/** The task, at the attempt that is named, if the caller may report on it. */
const runOf = (taskId: number, auth: Auth, attempt: number | undefined): SQL | undefined =>
  and(
    eq(trainingTask.id, taskId),
    isNull(trainingTask.deletedAt),
    reportable(auth),
    attempt === undefined ? undefined : sql`${currentAttempt} = ${attempt}`,
  );

/** Why nothing matched runOf(): throws 404, or 409 with what holds now. */
async function explain(
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

/** A box key must say which attempt it is; people get the current one. */
function requireAttempt(auth: Auth, attempt: number | undefined) {
  if (auth.box && attempt === undefined)
    throw notValid([{ path: "attempt", message: "is required of box keys" }]);
}

const heartbeatBody = z.strictObject({
  attempt: attemptNumber
    .optional()
    .describe("Default: the current attempt. Box keys must name it."),
  seq: seq.describe(
    "Counts the heartbeats of an attempt from 1 without gaps; a repeated number changes nothing.",
  ),
  progress: z
    .looseObject({
      epoch: z.number().nullish(),
      step: z.number().nullish(),
      total_steps: z.number().nullish(),
      unstepped: z
        .boolean()
        .nullish()
        .describe(
          "True where nobody knows the steps: each point's `step` then only orders the points, and their times place them.",
        ),
      disk: z
        .strictObject({ free_bytes: z.int().min(0), needed_bytes: z.int().min(0) })
        .nullish()
        .describe(
          "What is left on the disk that checkpoints are written to, and what the next one will need. Raises the event `disk_full`, once an attempt, where less is left than is needed.",
        ),
    })
    .refine((p) => JSON.stringify(p).length <= 4096, "must stay below 4 kB")
    .nullish(),
  logs: z.array(logEntry).max(5000).nullish(),
  tail: z.string().max(65_536).nullish().describe("The last lines of the console."),
});

/** Seconds by a box's clock; a record may wait on a disk for a long time. */
const elapsed = z
  .number()
  .min(0)
  .max(400 * 86_400)
  .nullish();

const finishBody = z.strictObject({
  attempt: attemptNumber.optional(),
  status: z.enum(["success", "failed", "cancelled"]),
  last_seq: z.int().min(0).max(1_000_000_000).optional(),
  error_message: z.string().max(runFields.error_message.longest).nullish(),
  exit_code: z.int().nullish(),
  failure_reason: z.enum(failureReasons).nullish(),
  final_loss: z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])]).nullish(),
  ended_sec_ago: elapsed.describe(
    "Seconds since the attempt ended, of a run that was recorded while the ledger was away. Without it, it ends now.",
  ),
  duration_sec: elapsed.describe(
    "Seconds that the attempt took. It then began at the latest so long before its end, whenever its first heartbeat came.",
  ),
});

/** Times that a heartbeat is merged anew because others of its attempt came in between. */
const MERGE_TRIES = 6;

/** Attempts of one task: an archive names no more either. */
const MOST_ATTEMPTS = 1000;

export const lifecycle = new Hono<App>()
  .post(
    "/:id/attempts",
    describe({
      summary: "Open the next attempt",
      description:
        "Opens an attempt for a retry or a resume. Reports of the attempt before are refused from then on. A repeated Idempotency-Key finds the attempt that it opened.",
      tag: "Runs",
      answer: {
        schema: z.object({
          attempt: z.int(),
          heartbeat_interval_sec: z.number(),
          guard: writableFields.guard.nullable(),
        }),
        description: "The number of the attempt, and the guard of the task.",
        example: { attempt: 2, heartbeat_interval_sec: 30, guard: null },
      },
      errors: {
        403: "`over-limit`: the run's user has reached a bound.",
        404: "You own no such task.",
        409: "The task has succeeded or has used all its attempts; or, for a box key, a person cancelled the task, or the box gave it back.",
      },
    }),
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", z.strictObject({ from_step: z.int().min(0).nullish(), ...hardware })),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      const openedWith = c.req.header("Idempotency-Key")?.slice(0, 200) ?? null;
      const nodeInfo = body.node_info ?? null;
      const again = sql`exists (select 1 from task_attempt a where a.task_id = ${trainingTask.id} and a.attempt = ${trainingTask.attempt} and a.opened_with = ${openedWith})`;
      const more = { database_bytes: nodeInfo === null ? 0 : JSON.stringify(nodeInfo).length };
      const mine = and(runOf(taskId, auth, undefined), writable(auth));
      const mayOpen = and(
        mine,
        sql`status <> 'success'`,
        sql`not ${again}`,
        auth.box ? sql`not ${isUnwanted}` : undefined,
        sql`attempt < ${MOST_ATTEMPTS}`,
        roomFor(config, sql`training_task.user_id`, more),
      );
      const {
        opened: [opened],
        current: [task],
      } = await chain(db, {
        closed: closeAttemptBefore(db, taskId, mayOpen),
        opened: openRun(db, mayOpen, auth.keyId, {
          gpuInfo: body.gpu_info ?? null,
          cudaVersion: body.cuda_version ?? null,
          hourlyPrice: body.hourly_price ?? null,
          nodeInfo,
        }).returning({ attempt: trainingTask.attempt }),
        attempt: ifChanged("opened", (changed) =>
          openAttempt(
            db,
            { taskId, keyId: auth.keyId, fromStep: body.from_step ?? null, openedWith },
            changed,
          ),
        ),
        noted: noteChange(db, auth, "attempt", "task.attempt", taskId),
        current: db
          .select({
            attempt: trainingTask.attempt,
            status: trainingTask.status,
            userId: trainingTask.userId,
            guard: trainingTask.guard,
            again: sql<number>`${again}`,
          })
          .from(trainingTask)
          .where(runOf(taskId, auth, undefined)),
      });
      if (!task) return explain(db, taskId, auth, undefined);
      if (!opened && !task.again && task.status !== "success") {
        const full = await explainRoom(db, config, task.userId, more);
        if (full) throw full;
        if (task.attempt >= MOST_ATTEMPTS)
          throw refuse(
            "too-many-attempts",
            { task: taskId, attempts: task.attempt },
            { extra: { current_attempt: task.attempt } },
          );
        throw refuse(
          "attempt-not-allowed",
          { case: task.status === "pending" ? "queued" : "cancelled", task: taskId },
          { extra: { current_status: task.status } },
        );
      }
      if (!opened && !task.again)
        throw refuse(
          "task-ended",
          { case: "resume", task: taskId, status: task.status },
          { extra: { current_status: task.status } },
        );
      return c.json({
        attempt: opened?.attempt ?? task.attempt,
        heartbeat_interval_sec: config.HEARTBEAT_INTERVAL_SEC,
        guard: task.guard,
      });
    },
  )
  .post(
    "/:id/heartbeat",
    describe({
      summary: "Report progress, log points and the console's tail",
      description:
        "Carries everything that a box reports in one call. The first heartbeat opens attempt 1. After the end of the task, missing heartbeats are still stored; the task stays ended.",
      tag: "Runs",
      answer: {
        schema: z.object({
          status: z.enum(statuses),
          attempt: z.int(),
          cancel_requested: z.boolean(),
          heartbeat_interval_sec: z.number(),
          warnings: z
            .array(z.object({ code: z.string(), message: z.string(), path: z.string().optional() }))
            .optional()
            .describe(
              "`too-many-metrics` names the metrics that were left out. `near-limit`: the stored bytes of the run's user are near their bound.",
            ),
        }),
        description: "The state of the task, and when to report next.",
        example: {
          status: "running",
          attempt: 1,
          cancel_requested: false,
          heartbeat_interval_sec: 30,
        },
      },
      errors: {
        404: "You own no such task.",
        409: "`superseded`: a later attempt has begun, or another box has the task.",
        413: "The body is over 1 MB; or `over-limit`: the points exceed the bound of the run's user. The run still counts as alive, and the box can send the points again once there is room.",
        422: "The body is not valid; nothing was stored.",
      },
    }),
    allow("tasks:write", { box: true }),
    limitBody(1_000_000),
    validate("param", idParam),
    validate("json", heartbeatBody, ["logs"]),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      requireAttempt(auth, body.attempt);
      const whole = toSegment(body.logs ?? []);
      const progress = body.progress ? JSON.stringify(body.progress) : null;
      const tail = body.tail ? cutTail(body.tail) : null;
      const watch = prepareWatch(config, body.seq, whole, body.progress);
      const seen = {
        watch: watch.noted,
        progress: progress
          ? sql`case when ${watch.newest} then ${progress} else progress end`
          : undefined,
        nonfiniteFromStep: watch.nonfiniteFromStep,
      };
      const { seq } = body;
      const heartbeat = { keyId: auth.keyId, seq, tail };
      const run = runOf(taskId, auth, body.attempt);
      const attempt =
        body.attempt ?? sql`(select max(attempt, 1) from training_task where id = ${taskId})`;
      const store = (append: Append) => {
        const more = { database_bytes: append?.size ?? 0 };
        const room = append ? roomFor(config, sql`training_task.user_id`, more) : undefined;
        return chain(db, {
          event: watch.event(db, run),
          disk: diskEvent(db, run, body.progress?.disk, watch.newest),
          started: startRun(db, run, seen),
          updated: ifUnchanged("started", (unchanged) =>
            beatRun(db, and(run, unchanged), seen, append),
          ),
          recorded: recordHeartbeat(db, and(run, room), heartbeat, append),
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
        if (stored && tries > 1 && isKnown(stored, body.seq)) break;
        if (stored && body.seq > stored.lastSeq + 1 && countGaps(stored) >= MOST_GAPS)
          throw refuse("too-many-gaps", { gaps: MOST_GAPS, next: stored.lastSeq + 1 });
        const bounded =
          stored === undefined
            ? { segment: whole, dropped: [] }
            : boundMetrics(whole, stored, config.MAX_METRICS);
        dropped = bounded.dropped;
        append = prepareAppend(bounded.segment, config.MAX_METRICS, stored);
        done = await store(append);
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
      if (!task) return explain(db, taskId, auth, body.attempt);
      const answered = {
        status: task.status,
        attempt: task.attempt,
        // One that was cancelled while its box was away is told when it comes back.
        cancel_requested: task.cancelRequested || task.status === "cancelled",
        heartbeat_interval_sec: config.HEARTBEAT_INTERVAL_SEC,
      };
      const most = config.MAX_DATABASE_BYTES_PER_USER;
      if (
        append &&
        most > 0 &&
        recorded.rowsAffected === 0 &&
        (task.bytes ?? 0) + append.size > most
      ) {
        // Its points wait for room, its `seq` stays missing, and the attempt lives on.
        const [kept] = await keepAttemptAlive(db, run, heartbeat);
        // One that was stored before and is repeated has its place.
        if (kept?.known) return c.json(answered);
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
      return c.json({ ...answered, ...(warnings.length && { warnings }) });
    },
  )
  .post(
    "/:id/cancel",
    describe({
      summary: "Cancel a run",
      description:
        "Cancels a pending task at once. The box of a running task learns of it at the next heartbeat and ends the task as `cancelled`.",
      tag: "Runs",
      answer: {
        schema: taskAnswer,
        description: "The task; `cancel_requested` is true until its box has stopped.",
      },
      errors: { 404: "You own no such task.", 409: "The task has already ended." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const mine = and(runOf(taskId, auth, undefined), writable(auth));
      const {
        cancelled: [changed],
        current: [task],
      } = await chain(db, {
        cancelled: cancelRuns(db, mine).returning({ id: trainingTask.id }),
        noted: noteChange(db, auth, "cancelled", "task.cancel", taskId),
        current: db.select(taskColumns).from(trainingTask).where(mine),
      });
      if (!task) throw notFound("own-task", { id: taskId });
      if (!changed && task.status !== "cancelled")
        throw refuse(
          "already-finished",
          { case: "cancel", task: taskId, status: task.status },
          { extra: { current_status: task.status } },
        );
      return c.json(toWire(task));
    },
  )
  .post(
    "/:id/finish",
    describe({
      summary: "Finish a run",
      description:
        "Ends a run. Without final_loss, the service takes the median of the means of the last tenth of `loss`. A queued run that ends as `failed` with reason `preempted` waits for another box while it has attempts left. `missing` names the ranges of seq that never arrived; they are still accepted.",
      tag: "Runs",
      answer: {
        schema: z.object({
          task: taskAnswer,
          missing: z.array(z.object({ from: z.int(), to: z.int() })),
        }),
        description: "The task as it ended.",
      },
      errors: {
        404: "You own no such task.",
        409: "`superseded`, or the task has already ended in another way.",
      },
    }),
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", finishBody),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const body = c.req.valid("json");
      const { db, auth } = c.var;
      requireAttempt(auth, body.attempt);
      const read = await readForSettling(db, runOf(taskId, auth, body.attempt), taskId);
      if (!read) return explain(db, taskId, auth, body.attempt);
      const figures = settle(read);
      const { status } = body;
      const end = {
        status,
        exitCode: body.exit_code ?? null,
        failureReason: status === "failed" ? (body.failure_reason ?? "error") : null,
        errorMessage: body.error_message || null,
        endedAgo: body.ended_sec_ago ?? null,
        duration: body.duration_sec ?? null,
      };
      // A loss that is no finite number has no place in a REAL column; the points keep it.
      const finalLoss =
        typeof body.final_loss === "string" ? null : (body.final_loss ?? figures.finalLoss);
      const attempt = Math.max(read.attempt, 1);
      const run = runOf(taskId, auth, attempt);
      const {
        ended: [ended],
        current: [task],
        numbers: [numbers],
      } = await chain(db, {
        running: passRunning(db, run),
        ended: endRun(db, run, {
          ...end,
          finalLoss,
          finalLossReported: body.final_loss !== undefined && body.final_loss !== null,
          figures,
          settled: figures.complete,
          received: read.attempts.reduce((sum, one) => sum + one.received, 0),
        }).returning({ id: trainingTask.id }),
        noted: noteChange(db, auth, "ended", "task.finish", taskId, { attempt, status }),
        attempt: ifChanged("noted", (changed) =>
          endAttempt(db, { taskId, keyId: auth.keyId }, end, changed),
        ),
        totals: ifChanged("attempt", (changed) =>
          addUpAttempts(db, sql`id = ${taskId} and ${changed}`),
        ),
        summaries: ifChanged("totals", (changed) => figures.summaryStatement(db, taskId, changed)),
        current: db.select(taskColumns).from(trainingTask).where(run),
        numbers: db
          .select({ gaps: taskAttempt.gaps, lastSeq: taskAttempt.lastSeq })
          .from(taskAttempt)
          .where(and(eq(taskAttempt.taskId, taskId), eq(taskAttempt.attempt, attempt))),
        events: endEvents(db, taskId, attempt, status),
      });
      // A box that is taken away while it runs a queued task gives it back.
      const givenBack = end.failureReason === "preempted" && task?.status === "pending";
      if (!task) return explain(db, taskId, auth, attempt);
      if (!ended && task.status !== status && !givenBack)
        throw refuse(
          "already-finished",
          {
            case: task.status === "success" ? "success" : "finish",
            task: taskId,
            status: task.status,
            wanted: status,
          },
          { extra: { current_status: task.status, current_attempt: task.attempt } },
        );
      if (ended) tellLater(c);
      if (ended) sumUpLater(c, sumUpRun(db, taskId));
      return c.json({
        task: toWire(task),
        missing: missingRanges(numbers ?? { gaps: "[]", lastSeq: 0 }, body.last_seq),
      });
    },
  );
