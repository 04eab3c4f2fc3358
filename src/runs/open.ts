import { and, sql } from "drizzle-orm";
import type { Context } from "hono";
import { noteChange } from "../platform/audit/note.ts";
import { writable } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { refuse } from "../platform/http/problem.ts";
import type { JsonValue } from "../shared/json.ts";
import { closeAttemptBefore, openAttempt } from "./attempts.ts";
import { explainRun, runOf } from "./report.ts";
import { isUnwanted, openRun } from "./states.ts";

/** Attempts of one task: an archive names no more either. */
const MOST_ATTEMPTS = 1000;

/** The attempt that is to be opened, and its machine. */
export type Next = {
  taskId: number;
  fromStep: number | null;
  /** The Idempotency-Key: the same again finds the attempt that it opened. */
  openedWith: string | null;
  gpuInfo: string | null;
  cudaVersion: string | null;
  hourlyPrice: number | null;
  nodeInfo: JsonValue;
};

/**
 * Opens the next attempt of a run by hand: its number, and the run's guard. Throws ApiError: 403 `over-limit`,
 * 404 where the caller may not, 409 where the run has succeeded, has used all its attempts, or was cancelled.
 */
export async function openNext(c: Context<App>, next: Next) {
  const { db, auth, config } = c.var;
  const { taskId, openedWith, nodeInfo } = next;
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
      gpuInfo: next.gpuInfo,
      cudaVersion: next.cudaVersion,
      hourlyPrice: next.hourlyPrice,
      nodeInfo,
    }).returning({ attempt: trainingTask.attempt }),
    attempt: ifChanged("opened", (changed) =>
      openAttempt(db, { taskId, keyId: auth.keyId, fromStep: next.fromStep, openedWith }, changed),
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
  if (!task) return explainRun(db, taskId, auth, undefined);
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
  return { attempt: opened?.attempt ?? task.attempt, guard: task.guard };
}
