import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import { briefly } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { writable } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { preemptAttempt } from "../runs/attempts.ts";
import { taskAnswer } from "../runs/fields.ts";
import { taskColumns } from "../runs/queries.ts";
import { type QueueChange, queueChange } from "../runs/queue-options.ts";
import { isRequeuable, isRetriable, putBackRun } from "../runs/states.ts";

/** Puts a task back to `pending`, if it is in a state that `from` allows: see putBackRun(). */
async function putBackTask(
  c: Context<App>,
  taskId: number,
  action: "task.retry" | "task.requeue",
  from: SQL,
  change: QueueChange | null,
) {
  const { db, auth, config } = c.var;
  const mine = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), writable(auth));
  const fits = and(from, roomFor(config, sql`training_task.user_id`, { database_bytes: 0 }));
  const {
    putBack: [changed],
    current: [task],
  } = await chain(db, {
    preempted: preemptAttempt(db, and(mine, fits)),
    putBack: putBackRun(db, and(mine, fits), change).returning({ id: trainingTask.id }),
    noted: noteChange(db, auth, "putBack", action, taskId, change ? briefly(change) : undefined),
    current: db.select(taskColumns).from(trainingTask).where(mine),
  });
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
        "The run is `pending` again, for its next attempt. A run from the queue returns there with all its attempts; begin any other run by hand: `lora-ledger run --resume-task ID`.",
      tag: "Queue",
      answer: { schema: taskAnswer, description: "The task." },
      errors: {
        404: "No such task of yours.",
        409: "The run has neither failed nor been cancelled.",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { changed, task } = await putBackTask(c, id, "task.retry", isRetriable, null);
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
        "For any task that has not succeeded, whether it was queued before or not; options that the request leaves out stay as they are. A running task is taken from its box, whose next heartbeat answers `superseded`. A waiting task keeps its place unless its priority changes.",
      tag: "Queue",
      answer: { schema: taskAnswer, description: "The task, pending." },
      errors: { 404: "No such task of yours.", 409: "The task has ended in success." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("json", queueChange),
    async (c) => {
      const { id } = c.req.valid("param");
      const { changed, task } = await putBackTask(
        c,
        id,
        "task.requeue",
        isRequeuable,
        c.req.valid("json"),
      );
      if (!changed)
        throw refuse(
          "task-ended",
          { case: "repeat", task: id },
          { extra: { current_status: task.status } },
        );
      return c.json(toWire(task));
    },
  );
