/*
 * States of runs as MLflow's client tells them. A run of the ledger that has succeeded begins no more: the
 * record then keeps what the client says, and points are stored all the same.
 */
import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { noteChange } from "../../platform/audit/note.ts";
import { writable } from "../../platform/auth/access.ts";
import { chain } from "../../platform/db/batch.ts";
import type { App } from "../../platform/http/context.ts";
import { ApiError } from "../../platform/http/problem.ts";
import { finishRun } from "../../runs/finish.ts";
import { openNext } from "../../runs/open.ts";
import { report } from "../../runs/report.ts";
import { restoreRuns, trashRuns } from "../../runs/states.ts";
import { runIdOf } from "./form.ts";
import { changeRecord, makeRecord, type RunStatus } from "./record.ts";
import { type HeldRun, mine, noRun } from "./write.ts";

const endOf = { FINISHED: "success", FAILED: "failed", KILLED: "cancelled" } as const;

/** A clock that differs by less is taken for the service's own. */
const SAME_CLOCK_MS = 60_000;
const LONGEST_SEC = 400 * 86_400;

/** Seconds since the end and that the run took, where the client's times say another thing than now. */
function lasted(run: HeldRun, endTime: number | undefined) {
  const start = run.record?.start_time;
  if (endTime === undefined) return {};
  const ago = (Date.now() - endTime) / 1000;
  if (ago * 1000 < SAME_CLOCK_MS || ago > LONGEST_SEC) return {};
  const took = start === undefined ? -1 : (endTime - start) / 1000;
  return { endedAgo: ago, ...(took >= 0 && took <= LONGEST_SEC && { duration: took }) };
}

/**
 * Ends a run or lets it go on, as the client says; the record's status and end follow. A run that the ledger's
 * own client records is not the trainer's to end: the client sees how it ends. Throws ApiError.
 */
export async function changeState(
  c: Context<App>,
  run: HeldRun,
  status: RunStatus | undefined,
  endTime: number | undefined,
) {
  const { db, joins } = c.var;
  const { taskId } = run;
  if (joins === taskId && status !== "RUNNING") return;
  let kept: RunStatus | null | undefined = status === undefined ? undefined : null;
  if (status === "FINISHED" || status === "FAILED" || status === "KILLED")
    kept = await end(c, run, status, endTime);
  else if (status === "RUNNING") kept = await goOn(c, run);
  else if (status === "SCHEDULED") kept = status;
  const sets: SQL[] = [
    ...(kept ? [sql`'$.status', ${kept}`] : []),
    ...(endTime !== undefined ? [sql`'$.end_time', ${endTime}`] : []),
  ];
  const base = kept === null ? sql`json_remove(record, '$.status')` : sql`record`;
  if (kept === undefined && sets.length === 0) return;
  const where = mine(c, taskId);
  await chain(db, {
    made: run.record === null && makeRecord(db, taskId, { alone: false, record: {} }, where),
    kept: changeRecord(
      db,
      taskId,
      sets.length ? sql`json_set(${base}, ${sql.join(sets, sql`, `)})` : base,
      sql`exists (select 1 from training_task where ${where})`,
    ),
  });
}

/** Ends a run; the status to keep where it had ended in another way. */
async function end(
  c: Context<App>,
  run: HeldRun,
  status: keyof typeof endOf,
  endTime: number | undefined,
): Promise<RunStatus | null> {
  try {
    await finishRun(c, {
      taskId: run.taskId,
      attempt: undefined,
      status: endOf[status],
      ...lasted(run, endTime),
    });
    return null;
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "already-finished") throw error;
    return status;
  }
}

/** Lets a run go on that has ended: what had failed, or was cancelled, as its next attempt. */
async function goOn(c: Context<App>, { taskId, status }: HeldRun): Promise<RunStatus | null> {
  if (status === "success") return "RUNNING";
  // Brings back a run that was thought lost, begins one that waits, and changes nothing of any other.
  const segment = { metrics: [], rows: [] };
  const now = await report(c, { taskId, attempt: undefined, seq: null, segment });
  if (now.status === "running") return null;
  await openNext(c, {
    taskId,
    fromStep: null,
    openedWith: null,
    gpuInfo: null,
    cudaVersion: null,
    hourlyPrice: null,
    nodeInfo: null,
  });
  return null;
}

/**
 * Puts a run into the trash. One under way is ended first, as cancelled; the record keeps that MLflow's client
 * takes it for running, so that it goes on where it was once it is restored.
 */
export async function trashRun(c: Context<App>, run: HeldRun) {
  const { db, auth } = c.var;
  const { taskId } = run;
  if (run.deleted) return;
  if (run.status === "running") {
    await changeState(c, run, "KILLED", undefined);
    await chain(db, {
      kept: changeRecord(db, taskId, sql`json_set(record, '$.status', 'RUNNING')`),
    });
  }
  const where = sql`${mine(c, taskId)} and ${writable(auth)}`;
  const { trashed } = await chain(db, {
    trashed: trashRuns(db, where),
    noted: noteChange(db, auth, "trashed", "task.delete", taskId),
  });
  if (trashed.rowsAffected === 0) throw noRun(runIdOf(taskId));
}

/** Takes a run out of the trash; one that is not there stays as it is. */
export async function restoreRun(c: Context<App>, run: HeldRun) {
  const { db, auth } = c.var;
  if (!run.deleted) return;
  await chain(db, {
    restored: restoreRuns(db, sql`id = ${run.taskId} and ${writable(auth)}`),
    noted: noteChange(db, auth, "restored", "task.restore", run.taskId),
  });
}
