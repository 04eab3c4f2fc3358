import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { tellLater } from "../alerts/outbox.ts";
import { endEvents, prepareWatch } from "../alerts/runs.ts";
import {
  type Append,
  appendPoints,
  attemptAssignments,
  boundMetrics,
  gapsOf,
  isKnown,
  mergesByStatement,
  prepareAppend,
  readStored,
  type Stored,
} from "../metrics/append.ts";
import { logEntry, toSegment } from "../metrics/points.ts";
import { readForSettling, settle } from "../metrics/settle.ts";
import { audit, ifChanged } from "../platform/audit/audit.ts";
import { reportable, reportedOnce, writable } from "../platform/auth/access.ts";
import type { Auth } from "../platform/auth/caller.ts";
import { allow } from "../platform/auth/middleware.ts";
import { explainRoom, nearLimit, overLimit, roomFor } from "../platform/bounds.ts";
import { batchOf } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { failureReasons, statuses, taskAttempt, trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { cutText } from "../platform/http/text.ts";
import { describe, limitBody, notValid, validate } from "../platform/http/validate.ts";
import { toWire } from "../platform/http/wire.ts";
import { goesBack, lastSignOfLife, nextAttempt, totals } from "./attempts.ts";
import { taskAnswer, writableFields } from "./fields.ts";
import { taskColumns } from "./queries.ts";

const attemptNumber = z.int().min(1);
const seq = z.int().min(1).max(1_000_000_000);

const hardware = {
  gpu_info: writableFields.gpu_info.nullish(),
  node_info: writableFields.node_info.nullish(),
  cuda_version: writableFields.cuda_version.nullish(),
  hourly_price: writableFields.hourly_price.nullish(),
};

/**
 * States that a heartbeat makes or keeps `running`: a run merely thought lost comes back, and one
 * that its box gave back does not.
 */
const alive = sql`(status = 'running' or (status = 'failed' and failure_reason = 'lost') or (status = 'pending' and not exists (
  select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = training_task.attempt and a.failure_reason = 'preempted')))`;
const current = sql`max(${trainingTask.attempt}, 1)`;

/** The task, its attempt being the one meant, if the caller may report on it. */
const meant = (taskId: number, auth: Auth, attempt: number | undefined): SQL | undefined =>
  and(
    eq(trainingTask.id, taskId),
    isNull(trainingTask.deletedAt),
    reportable(auth),
    attempt === undefined ? undefined : sql`${current} = ${attempt}`,
  );

/** Why nothing matched meant(): throws 404, or 409 with what holds now. */
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

const closed = {
  finishedAt: now,
  durationSec: sql<number>`(julianday('now') - julianday(started_at)) * 86400.0`,
  cost: sql<number>`(julianday('now') - julianday(started_at)) * 24.0 * hourly_price`,
};

const heartbeatBody = z.strictObject({
  attempt: attemptNumber.optional().describe("Default, except for box keys: the current one."),
  seq: seq.describe(
    "Counts an attempt's heartbeats from 1 without gaps; repeated, it changes nothing.",
  ),
  progress: z
    .looseObject({
      epoch: z.number().nullish(),
      step: z.number().nullish(),
      total_steps: z.number().nullish(),
    })
    .refine((p) => JSON.stringify(p).length <= 4096, "must stay below 4 kB")
    .nullish(),
  logs: z.array(logEntry).max(5000).nullish(),
  tail: z.string().max(65_536).nullish().describe("The last lines of the console."),
});

const finishBody = z.strictObject({
  attempt: attemptNumber.optional(),
  status: z.enum(["success", "failed", "cancelled"]),
  last_seq: z.int().min(0).max(1_000_000_000).optional(),
  error_message: z.string().max(20_000).nullish(),
  exit_code: z.int().nullish(),
  failure_reason: z.enum(failureReasons).nullish(),
  final_loss: z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])]).nullish(),
});

/** Ranges of seq that never came, as [[from, to], …]. */
function missingRanges(gaps: string, lastSeq: number, announced: number | undefined) {
  const ranges: [number, number][] = JSON.parse(gaps);
  if (announced !== undefined && announced > lastSeq) ranges.push([lastSeq + 1, announced]);
  return ranges.map(([from, to]) => ({ from, to }));
}

/**
 * What cancelling sets: a waiting task has ended, a running one learns of it at its next heartbeat. A
 * box whose lease had ended holds the task no more; one that has just registered it has yet to learn.
 */
export const cancelling = {
  keyId: sql`case when status = 'pending' and attempt > 0 then null else key_id end`,
  status: sql`case when status = 'pending' then 'cancelled' else status end`,
  finishedAt: sql`case when status = 'pending' then ${now} else finished_at end`,
  cancelRequested: sql`status = 'running'`,
  updatedAt: now,
};

/** Ranges of heartbeats that may be missing of an attempt: each heartbeat looks through them. */
const MOST_GAPS = 200;
/** Times that a heartbeat is merged anew because others of its attempt came in between. */
const MERGE_TRIES = 6;

export const tooManyMetrics = (dropped: string[], most: number) => ({
  code: "too-many-metrics",
  message: `This attempt has ${most} metrics, as many as it may. What was logged under ${dropped.length} further names was left out: ${dropped.slice(0, 5).join(", ")}${dropped.length > 5 ? ", …" : ""}.`,
  path: "logs",
});
/** Attempts of one task: an archive names no more either. */
const MOST_ATTEMPTS = 1000;
const TAIL_LENGTH = 16_384;

export const lifecycle = new Hono<App>()
  .post(
    "/:id/attempts",
    describe({
      summary: "Open the next attempt",
      description:
        "A retry or a resume. What the attempt before still sends is refused from now on. An Idempotency-Key repeated finds the attempt it opened.",
      tag: "Runs",
      answer: {
        schema: z.object({ attempt: z.int(), heartbeat_interval_sec: z.number() }),
        description: "The attempt's number.",
        example: { attempt: 2, heartbeat_interval_sec: 30 },
      },
      errors: {
        403: "`over-limit`: the bounds of the run's user leave no room.",
        404: "No such task that is yours.",
        409: "The task has ended in success, or has made the most attempts there may be; or, for a box key, a person cancelled it, or the box gave it back.",
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
      // A box begins nothing again that a person has cancelled: its own Ctrl-C leaves an attempt.
      const unwanted = sql`(cancel_requested or (status = 'cancelled' and attempt = 0))`;
      const mine = and(meant(taskId, auth, undefined), writable(auth));
      const mayOpen = and(
        mine,
        sql`status <> 'success'`,
        sql`not ${again}`,
        auth.box ? sql`not ${unwanted}` : undefined,
        sql`attempt < ${MOST_ATTEMPTS}`,
        roomFor(config, sql`training_task.user_id`, more),
      );
      const [, [opened], , , [task]] = await db.batch([
        // What the attempt before has used is counted up to its last sign of life.
        db
          .update(taskAttempt)
          .set({
            status: sql`case when status = 'running' then 'failed' else status end`,
            failureReason: sql`case when status = 'running' then 'lost' else failure_reason end`,
            ...lastSignOfLife,
          })
          .where(
            sql`task_id = ${taskId} and attempt = (select attempt from training_task where ${mayOpen})`,
          ),
        db
          .update(trainingTask)
          .set({
            attempt: nextAttempt,
            keyId: auth.keyId,
            agent: null,
            status: "running",
            startedAt: sql`coalesce(started_at, ${now})`,
            heartbeatAt: now,
            finishedAt: null,
            failureReason: null,
            errorMessage: null,
            exitCode: null,
            cancelRequested: false,
            updatedAt: now,
            gpuInfo: sql`coalesce(${body.gpu_info ?? null}, gpu_info)`,
            cudaVersion: sql`coalesce(${body.cuda_version ?? null}, cuda_version)`,
            hourlyPrice: sql`coalesce(${body.hourly_price ?? null}, hourly_price)`,
            nodeInfo: sql`coalesce(${nodeInfo === null ? null : JSON.stringify(nodeInfo)}, node_info)`,
            ...totals,
          })
          .where(mayOpen)
          .returning({ attempt: trainingTask.attempt }),
        db.run(sql`
          insert into task_attempt (task_id, user_id, attempt, key_id, heartbeat_at, from_step, gpu_info, cuda_version, hourly_price, node_info, opened_with)
          select id, user_id, attempt, ${auth.keyId}, ${now}, ${body.from_step ?? null}, gpu_info, cuda_version, hourly_price, node_info, ${openedWith}
          from training_task where id = ${taskId} and changes() = 1`),
        audit(db, auth, "task.attempt", ifChanged(taskId)),
        db
          .select({
            attempt: trainingTask.attempt,
            status: trainingTask.status,
            userId: trainingTask.userId,
            again: sql<number>`${again}`,
          })
          .from(trainingTask)
          .where(meant(taskId, auth, undefined)),
      ]);
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
      });
    },
  )
  .post(
    "/:id/heartbeat",
    describe({
      summary: "Report progress, log points and the console's tail",
      description:
        "One call carries all that a box has to say. The first one opens attempt 1. After the end, what was missing is still taken without reopening anything.",
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
              "`too-many-metrics`: what was left out. `near-limit`: the bytes of the run's user come near their bound.",
            ),
        }),
        description: "How the task stands, and when to report next.",
        example: {
          status: "running",
          attempt: 1,
          cancel_requested: false,
          heartbeat_interval_sec: 30,
        },
      },
      errors: {
        404: "No such task that is yours.",
        409: "`superseded`: a later attempt has taken over, or the task was taken from this box.",
        413: "Over 1 MB; or `over-limit`: its points are beyond what the run's user may store. The run counts as alive, and the points can be sent again once there is room.",
        422: "Something in it is not valid; nothing was stored.",
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
      const tail = body.tail ? cutText(body.tail, -TAIL_LENGTH) : null;
      const watch = prepareWatch(config, body.seq, whole, body.progress?.step);
      const seen = {
        heartbeatAt: now,
        watch: watch.noted,
        progress: progress
          ? sql`case when ${watch.newest} then ${progress} else progress end`
          : undefined,
      };
      const mine = meant(taskId, auth, body.attempt);
      const attempt =
        body.attempt ?? sql`(select max(attempt, 1) from training_task where id = ${taskId})`;
      const accepted = sql`((${body.seq} > last_seq and (${body.seq} = last_seq + 1 or json_array_length(gaps) < ${MOST_GAPS})) or exists (select 1 from json_each(gaps) where ${body.seq} between value ->> 0 and value ->> 1))`;
      const store = (append: Append) =>
        batchOf(db, {
          told: watch.event(db, mine),
          // Only a change of state touches the index on it; the statement behind is for all other calls.
          begun: db
            .update(trainingTask)
            .set({
              ...seen,
              attempt: current,
              status: "running",
              startedAt: sql`coalesce(started_at, ${now})`,
              finishedAt: null,
              failureReason: null,
              errorMessage: null,
              updatedAt: now,
            })
            .where(and(mine, sql`status <> 'running'`, alive)),
          beaten: db
            .update(trainingTask)
            .set({
              ...seen,
              heartbeatAt: sql`case when status = 'running' then ${now} else heartbeat_at end`,
              // Points that come after the end change the figures drawn from them.
              settleAt: append
                ? sql`case when status = 'running' then settle_at else ${now} end`
                : undefined,
            })
            .where(and(mine, sql`changes() = 0`)),
          // A task that was imported, or cancelled while it waited, counts no attempt: this is its first.
          taken: db.run(sql`
          insert into task_attempt (task_id, user_id, attempt, status, started_at, finished_at,
            key_id, heartbeat_at, gpu_info, cuda_version, hourly_price, node_info,
            last_seq, gaps, received, open_chunk, open_count, open_size, points, bytes, first_step, last_step, summary, tail)
          select id, user_id, max(attempt, 1), status, coalesce(started_at, ${now}), finished_at,
            ${auth.keyId}, ${now}, gpu_info, cuda_version, hourly_price, node_info,
            ${body.seq}, ${body.seq > 1 ? JSON.stringify([[1, body.seq - 1]]) : "[]"}, 1,
            ${append ? 1 : 0}, ${append?.count ?? 0}, ${append?.size ?? 0}, ${append?.count ?? 0}, ${append?.size ?? 0},
            ${append?.firstStep ?? null}, ${append?.lastStep ?? null}, ${append?.summaryJson ?? "{}"}, ${tail}
          from training_task where ${mine} and ${append ? roomFor(config, sql`training_task.user_id`, { database_bytes: append.size }) : sql`true`}
          on conflict (task_id, attempt) do update set
            heartbeat_at = excluded.heartbeat_at,
            status = case when status = 'failed' and failure_reason = 'lost' then 'running' else status end,
            failure_reason = case when failure_reason = 'lost' then null else failure_reason end,
            finished_at = case when failure_reason = 'lost' then null else finished_at end,
            duration_sec = case when failure_reason = 'lost' then null else duration_sec end,
            cost = case when failure_reason = 'lost' then null else cost end,
            received = received + 1,
            tail = case when ${body.seq} > last_seq then coalesce(excluded.tail, tail) else tail end,
            gaps = case
              when ${body.seq} = last_seq + 1 then gaps
              when ${body.seq} > last_seq then json_insert(gaps, '$[#]', json_array(last_seq + 1, ${body.seq - 1}))
              else (select json_group_array(json_array(lo, hi)) from (
                select value ->> 0 as lo, case when ${body.seq} between value ->> 0 and value ->> 1 then ${body.seq - 1} else value ->> 1 end as hi
                  from json_each(gaps)
                union all
                select ${body.seq + 1}, value ->> 1 from json_each(gaps) where ${body.seq} between value ->> 0 and value ->> 1
                order by 1) where lo <= hi) end,
            last_seq = max(last_seq, ${body.seq})
            ${append ? attemptAssignments(append) : sql``}
          where ${accepted} and ${append?.guard ?? sql`true`}`),
          ...(append && { added: db.run(appendPoints(append, taskId, sql`${attempt}`, body.seq)) }),
          // What RETURNING gives is read once more from a table of its own.
          read: db
            .select({
              status: trainingTask.status,
              attempt: sql<number>`${current}`,
              cancelRequested: trainingTask.cancelRequested,
              bytes: append
                ? sql<
                    number | null
                  >`(select bytes from user_use where user_use.user_id = training_task.user_id)`
                : sql<null>`null`,
            })
            .from(trainingTask)
            .where(mine),
        });

      let stored: Stored | null | undefined;
      let dropped: string[] = [];
      let append: Append = null;
      let done: Awaited<ReturnType<typeof store>> | undefined;
      for (let tries = 1; ; tries++) {
        // What its own statement cannot merge in little time is merged here, out of what is stored.
        if (tries > 1 || !mergesByStatement(whole))
          stored = await readStored(db, taskId, sql`${attempt}`);
        if (stored && tries > 1 && isKnown(stored, body.seq)) break;
        if (stored && body.seq > stored.lastSeq + 1 && gapsOf(stored) >= MOST_GAPS)
          throw refuse("too-many-gaps", { gaps: MOST_GAPS, next: stored.lastSeq + 1 });
        const bounded =
          stored === undefined
            ? { segment: whole, dropped: [] }
            : boundMetrics(whole, stored, config.MAX_METRICS);
        dropped = bounded.dropped;
        append = prepareAppend(bounded.segment, config.MAX_METRICS, stored);
        done = await store(append);
        if (done.told.rowsAffected) tellLater(c);
        const [seen] = done.read;
        if (done.taken.rowsAffected || !append || !seen) break;
        const most = config.MAX_DATABASE_BYTES_PER_USER;
        if (most > 0 && (seen.bytes ?? 0) + append.size > most) break;
        // A heartbeat that was there before, or others of the same attempt that came in between.
        if (tries === MERGE_TRIES)
          throw refuse("busy", { case: "heartbeats" }, { headers: { "Retry-After": "1" } });
      }
      if (!done) throw new Error("a heartbeat was stored by no statement");
      const { taken } = done;
      const [task] = done.read;
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
        taken.rowsAffected === 0 &&
        (task.bytes ?? 0) + append.size > most
      ) {
        // Its points wait for room, its `seq` stays missing, and the attempt lives on.
        const [known] = await db.all<{ there: number }>(sql`
          insert into task_attempt (task_id, user_id, attempt, status, started_at, finished_at, key_id, heartbeat_at,
            gpu_info, cuda_version, hourly_price, node_info, tail)
          select id, user_id, max(attempt, 1), status, coalesce(started_at, ${now}), finished_at, ${auth.keyId}, ${now},
            gpu_info, cuda_version, hourly_price, node_info, ${tail}
          from training_task where ${mine}
          on conflict (task_id, attempt) do update set
            heartbeat_at = excluded.heartbeat_at, tail = coalesce(excluded.tail, tail)
          returning not ${accepted} as there`);
        // One that was taken before and is repeated has its place.
        if (known?.there) return c.json(answered);
        const { status: current_status, ...more } = answered;
        throw overLimit("database_bytes", task.bytes ?? 0, most, {
          status: 413,
          more: { current_status, ...more },
        });
      }
      const near = append && nearLimit(config, "database_bytes", task.bytes);
      const warnings = [
        ...(dropped.length ? [tooManyMetrics(dropped, config.MAX_METRICS)] : []),
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
        "A pending task is cancelled at once. A running one is told at its next heartbeat, and its box ends it as `cancelled`.",
      tag: "Runs",
      answer: {
        schema: taskAnswer,
        description: "The task; `cancel_requested` while its box has yet to stop.",
      },
      errors: { 404: "No such task that is yours.", 409: "It has ended already." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const mine = and(meant(taskId, auth, undefined), writable(auth));
      const [[changed], , [task]] = await db.batch([
        db
          .update(trainingTask)
          .set(cancelling)
          .where(and(mine, sql`status in ('pending', 'running')`))
          .returning({ id: trainingTask.id }),
        audit(db, auth, "task.cancel", ifChanged(taskId)),
        db.select(taskColumns).from(trainingTask).where(mine),
      ]);
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
      summary: "Set how a run ended",
      description:
        "A final_loss that is not given is the mean of the last tenth (at most 100 points) of `loss`. A queued run that ends as `failed` with reason `preempted` waits for another box while it has attempts left. `missing` names the ranges of seq that never came; they are still accepted.",
      tag: "Runs",
      answer: {
        schema: z.object({
          task: taskAnswer,
          missing: z.array(z.object({ from: z.int(), to: z.int() })),
        }),
        description: "The task as it ended.",
      },
      errors: {
        404: "No such task that is yours.",
        409: "`superseded`, or the task has ended otherwise.",
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
      const read = await readForSettling(db, meant(taskId, auth, body.attempt), taskId);
      if (!read) return explain(db, taskId, auth, body.attempt);
      const figures = settle(read);
      const { status } = body;
      const reason = status === "failed" ? (body.failure_reason ?? "error") : null;
      const errorMessage = body.error_message || null;
      // A loss that is no finite number has no place in a REAL column; the points keep it.
      const finalLoss =
        typeof body.final_loss === "string" ? null : (body.final_loss ?? figures.finalLoss);
      const attempt = Math.max(read.attempt, 1);
      // A box that is taken away while it runs a queued task gives it back.
      const preempted = reason === "preempted";
      const open = and(meant(taskId, auth, attempt), alive);
      const [, ended, , , , , [task], [numbers]] = await db.batch([
        // A run that ends before its first heartbeat, or came back from the dead, passes `running`.
        db
          .update(trainingTask)
          .set({
            attempt: current,
            status: "running",
            startedAt: sql`coalesce(started_at, ${now})`,
            failureReason: null,
          })
          .where(and(open, sql`status <> 'running'`)),
        db
          .update(trainingTask)
          .set({
            status: preempted
              ? sql`case when cancel_requested then 'cancelled' when ${goesBack} then 'pending' else 'failed' end`
              : status,
            failureReason: preempted
              ? sql`iif(cancel_requested or ${goesBack}, null, 'preempted')`
              : reason,
            errorMessage,
            exitCode: body.exit_code ?? null,
            finalLoss,
            finalLossReported: body.final_loss !== undefined && body.final_loss !== null,
            convergenceStep: figures.convergenceStep,
            cancelRequested: false,
            // A run that a person cancelled, or that its box gave back, is not the box's to begin again.
            keyId: preempted
              ? sql`iif(cancel_requested or ${goesBack}, null, key_id)`
              : sql`iif(cancel_requested, null, key_id)`,
            finishedAt: preempted ? sql`iif(${goesBack}, null, ${now})` : now,
            heartbeatAt: now,
            updatedAt: now,
            settleAt: figures.complete ? null : now,
          })
          .where(and(open, sql`status = 'running'`))
          .returning({ id: trainingTask.id }),
        audit(db, auth, "task.finish", ifChanged(taskId), { attempt, status }),
        db.run(sql`
          insert into task_attempt (task_id, user_id, attempt, key_id, status, heartbeat_at, finished_at, duration_sec, exit_code, failure_reason, error_message, gpu_info, cuda_version, hourly_price, node_info)
          select id, user_id, attempt, ${auth.keyId}, ${status}, ${now}, ${now}, 0, ${body.exit_code ?? null}, ${reason}, ${errorMessage}, gpu_info, cuda_version, hourly_price, node_info
          from training_task where id = ${taskId} and changes() = 1
          on conflict (task_id, attempt) do update set
            status = excluded.status, finished_at = excluded.finished_at, exit_code = excluded.exit_code,
            failure_reason = excluded.failure_reason, error_message = excluded.error_message,
            duration_sec = ${closed.durationSec}, cost = ${closed.cost}`),
        db.update(trainingTask).set(totals).where(sql`id = ${taskId} and changes() = 1`),
        figures.summaryStatement(db, taskId, sql`changes() = 1`),
        db
          .select(taskColumns)
          .from(trainingTask)
          .where(meant(taskId, auth, attempt)),
        db
          .select({ gaps: taskAttempt.gaps, lastSeq: taskAttempt.lastSeq })
          .from(taskAttempt)
          .where(and(eq(taskAttempt.taskId, taskId), eq(taskAttempt.attempt, attempt))),
        ...endEvents(db, taskId, attempt, status),
      ]);
      if (!task) return explain(db, taskId, auth, attempt);
      if (!ended[0] && task.status !== status && !(preempted && task.status === "pending"))
        throw refuse(
          "already-finished",
          { case: "finish", task: taskId, status: task.status, wanted: status },
          { extra: { current_status: task.status, current_attempt: task.attempt } },
        );
      if (ended[0]) tellLater(c);
      return c.json({
        task: toWire(task),
        missing: missingRanges(numbers?.gaps ?? "[]", numbers?.lastSeq ?? 0, body.last_seq),
      });
    },
  );
