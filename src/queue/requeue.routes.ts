import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import { audit, briefly, ifChanged } from "../platform/audit/audit.ts";
import { writable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { explainRoom, roomFor } from "../platform/bounds.ts";
import { taskAttempt, trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { toWire } from "../platform/http/wire.ts";
import { lastSignOfLife, opened, totals } from "../runs/attempts.ts";
import { taskAnswer } from "../runs/fields.ts";
import { taskColumns } from "../runs/queries.ts";
import {
  defaults,
  notBefore,
  type QueueChange,
  queueChange,
  wholeGb,
} from "../runs/queue-options.ts";

/** What of a task's queue columns changes; what is not said stays, or takes its default. */
function requeued(change: QueueChange) {
  const { at, dueAt, open } = notBefore(change.not_before);
  const memory = change.min_gpu_memory_gb;
  const kept = <T>(said: T | undefined, column: SQL, otherwise: T) =>
    sql<T>`coalesce(${said ?? null}, ${column}, ${otherwise})`;
  const maxAttempts = kept(change.max_attempts, sql`max_attempts`, defaults.max_attempts);
  return {
    priority: kept(change.priority, sql`priority`, defaults.priority),
    labels: sql`coalesce(${change.labels ? JSON.stringify(change.labels) : null}, labels, ${JSON.stringify(defaults.labels)})`,
    minGpuMemoryGb: kept(
      memory === undefined ? undefined : wholeGb(memory),
      sql`min_gpu_memory_gb`,
      defaults.min_gpu_memory_gb,
    ),
    maxAttempts,
    // One that waits keeps the attempts it has left; any other begins to count with its next.
    attemptLimit: sql<number>`case
      when status = 'pending' and queue_waiting is not null then attempt_limit - max_attempts + ${maxAttempts}
      when status = 'pending' then max(attempt, 1) - 1 + ${maxAttempts}
      else attempt + ${maxAttempts} end`,
    notBefore: change.not_before === undefined ? undefined : at,
    queueDueAt: change.not_before === undefined ? undefined : dueAt,
    queueWaiting: sql<number>`(select count(*) from task_dependency d where d.task_id = training_task.id and d.met = 0)
      + ${change.not_before === undefined ? sql`(queue_due_at is not null)` : open}`,
  };
}

/**
 * Puts a task back to `pending`. One that was tried gets the next attempt's number, so that a box
 * which is still at it gets the answer `superseded`; and no key holds it until the next claim. A run
 * that no queue gave stays with the key that holds it, to be begun by hand.
 */
async function putBack(
  c: Context<App>,
  taskId: number,
  action: "task.retry" | "task.requeue",
  from: SQL,
  change: QueueChange | null,
) {
  const { db, auth, config } = c.var;
  const mine = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), writable(auth));
  const fits = and(from, roomFor(config, sql`training_task.user_id`, { database_bytes: 0 }));
  const [, [changed], , [task]] = await db.batch([
    db
      .update(taskAttempt)
      .set({ status: "failed", failureReason: "preempted", ...lastSignOfLife })
      .where(
        sql`status = 'running' and (task_id, attempt) = (select id, attempt from training_task where ${and(mine, fits)})`,
      ),
    db
      .update(trainingTask)
      .set({
        status: "pending",
        attempt: sql`iif(${opened}, max(attempt, 1) + 1, attempt + (status <> 'pending'))`,
        finishedAt: null,
        failureReason: null,
        errorMessage: null,
        exitCode: null,
        cancelRequested: false,
        keyId: change === null ? sql`iif(queue_waiting is null, key_id, null)` : null,
        agent: null,
        updatedAt: now,
        ...totals,
        ...(change === null ? { attemptLimit: sql`attempt + max_attempts` } : requeued(change)),
      })
      .where(and(mine, fits))
      .returning({ id: trainingTask.id }),
    audit(db, auth, action, ifChanged(taskId), change ? briefly(change) : undefined),
    db.select(taskColumns).from(trainingTask).where(mine),
  ]);
  if (!task) throw notFound("own-task", { id: taskId });
  if (!changed) {
    const full = await explainRoom(db, config, task.userId, { database_bytes: 0 });
    if (full) throw full;
  }
  return { changed: changed !== undefined, task };
}

export const requeue = new Hono<App>()
  .post(
    "/:id/retry",
    describe({
      summary: "Try a failed or cancelled run again",
      description:
        "It is `pending` again, for its next attempt. One from the queue goes back there with all its attempts; any other is begun by hand: `lora-ledger run --resume-task ID`.",
      tag: "Queue",
      answer: { schema: taskAnswer, description: "The task." },
      errors: {
        404: "No such task that is yours.",
        409: "It has neither failed nor been cancelled.",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const ended = sql`status in ('failed', 'cancelled')`;
      const { changed, task } = await putBack(c, id, "task.retry", ended, null);
      if (!changed)
        throw refuse(
          "not-ended",
          { case: task.status === "running" ? "running" : "other", task: id, status: task.status },
          { extra: { current_status: task.status } },
        );
      return c.json(toWire(task));
    },
  )
  .post(
    "/:id/requeue",
    describe({
      summary: "Put a task into the queue",
      description:
        "Any task that has not succeeded, queued before or not; options that are not given stay as they are. A running one is taken from its box, which is told `superseded` at its next heartbeat. A waiting one keeps its place unless its priority changes.",
      tag: "Queue",
      answer: { schema: taskAnswer, description: "The task, pending." },
      errors: { 404: "No such task that is yours.", 409: "It has ended in success." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("json", queueChange),
    async (c) => {
      const { id } = c.req.valid("param");
      const open = sql`status <> 'success'`;
      const { changed, task } = await putBack(c, id, "task.requeue", open, c.req.valid("json"));
      if (!changed)
        throw refuse(
          "task-ended",
          { case: "repeat", task: id },
          { extra: { current_status: task.status } },
        );
      return c.json(toWire(task));
    },
  );
