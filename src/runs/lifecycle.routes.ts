import { and } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { logEntry, toSegment } from "../metrics/points.ts";
import { noteChange } from "../platform/audit/note.ts";
import { writable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { failureReasons, statuses, trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, limitBody, notValid, validate } from "../platform/http/validate.ts";
import { runFields } from "../shared/run-fields.ts";
import { taskAnswer, writableFields } from "./fields.ts";
import { finishRun } from "./finish.ts";
import { openNext } from "./open.ts";
import { taskColumns } from "./queries.ts";
import { report, runOf } from "./report.ts";
import { cancelRuns } from "./states.ts";

const attemptNumber = z.int().min(1);
const seq = z.int().min(1).max(1_000_000_000);

const hardware = {
  gpu_info: writableFields.gpu_info.nullish(),
  node_info: writableFields.node_info.nullish(),
  cuda_version: writableFields.cuda_version.nullish(),
  hourly_price: writableFields.hourly_price.nullish(),
};

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
      const { attempt, guard } = await openNext(c, {
        taskId,
        fromStep: body.from_step ?? null,
        openedWith: c.req.header("Idempotency-Key")?.slice(0, 200) ?? null,
        gpuInfo: body.gpu_info ?? null,
        cudaVersion: body.cuda_version ?? null,
        hourlyPrice: body.hourly_price ?? null,
        nodeInfo: body.node_info ?? null,
      });
      return c.json({
        attempt,
        heartbeat_interval_sec: c.var.config.HEARTBEAT_INTERVAL_SEC,
        guard,
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
      const body = c.req.valid("json");
      requireAttempt(c.var.auth, body.attempt);
      const answer = await report(c, {
        taskId: c.req.valid("param").id,
        attempt: body.attempt,
        seq: body.seq,
        segment: toSegment(body.logs ?? []),
        progress: body.progress,
        tail: body.tail,
      });
      return c.json(answer);
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
      requireAttempt(c.var.auth, body.attempt);
      const { task, missing } = await finishRun(c, {
        taskId,
        attempt: body.attempt,
        status: body.status,
        failureReason: body.failure_reason,
        errorMessage: body.error_message,
        exitCode: body.exit_code,
        finalLoss: body.final_loss,
        lastSeq: body.last_seq,
        endedAgo: body.ended_sec_ago,
        duration: body.duration_sec,
      });
      return c.json({ task: toWire(task), missing });
    },
  );
