/*
 * The end of a run as its box, or a tracker's client, reports it: in one place for the finish route and for
 * the routes of trackers (src/trackers/).
 */
import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import { tellLater } from "../alerts/outbox.ts";
import { missingRanges } from "../metrics/seq.ts";
import { readForSettling, settle } from "../metrics/settle.ts";
import { noteChange } from "../platform/audit/note.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { type failureReasons, taskAttempt, trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { refuse } from "../platform/http/problem.ts";
import { endEvents } from "./alerts.ts";
import { endAttempt } from "./attempts.ts";
import { taskColumns } from "./queries.ts";
import { explainRun, runOf } from "./report.ts";
import { addUpAttempts, endRun, passRunning } from "./states.ts";
import { sumUpLater, sumUpRun } from "./sum-up-logs.ts";

/** How a run ended. */
export type End = {
  taskId: number;
  /** Undefined: the current one. */
  attempt: number | undefined;
  status: "success" | "failed" | "cancelled";
  /** Of a failed run; `error` where nothing else is known. */
  failureReason?: (typeof failureReasons)[number] | null;
  errorMessage?: string | null;
  exitCode?: number | null;
  /** Null or undefined: drawn from the points. Non-finite ones are kept by the points alone. */
  finalLoss?: number | "NaN" | "Infinity" | "-Infinity" | null;
  /** The number of the last heartbeat, where they are counted. */
  lastSeq?: number;
  /** Seconds since the end, and that the attempt took. */
  endedAgo?: number | null;
  duration?: number | null;
};

/**
 * Ends a run's attempt: `task` as it then is, and the ranges of `seq` that never arrived. Ending it twice in
 * the same way changes nothing. Throws ApiError: 404 where the caller may not report on the run, 409
 * `superseded`, or `already-finished` where it has ended in another way.
 */
export async function finishRun(c: Context<App>, end: End) {
  const { db, auth } = c.var;
  const { taskId, status } = end;
  const read = await readForSettling(db, runOf(taskId, auth, end.attempt), taskId);
  if (!read) return explainRun(db, taskId, auth, end.attempt);
  const figures = settle(read);
  const said = {
    status,
    exitCode: end.exitCode ?? null,
    failureReason: status === "failed" ? (end.failureReason ?? "error") : null,
    errorMessage: end.errorMessage || null,
    endedAgo: end.endedAgo ?? null,
    duration: end.duration ?? null,
  };
  // A loss that is no finite number has no place in a REAL column; the points keep it.
  const finalLoss = typeof end.finalLoss === "string" ? null : (end.finalLoss ?? figures.finalLoss);
  const attempt = Math.max(read.attempt, 1);
  const run = runOf(taskId, auth, attempt);
  const {
    ended: [ended],
    current: [task],
    numbers: [numbers],
  } = await chain(db, {
    running: passRunning(db, run),
    ended: endRun(db, run, {
      ...said,
      finalLoss,
      finalLossReported: end.finalLoss !== undefined && end.finalLoss !== null,
      figures,
      settled: figures.complete,
      received: read.attempts.reduce((sum, one) => sum + one.received, 0),
    }).returning({ id: trainingTask.id }),
    noted: noteChange(db, auth, "ended", "task.finish", taskId, { attempt, status }),
    attempt: ifChanged("noted", (changed) =>
      endAttempt(db, { taskId, keyId: auth.keyId }, said, changed),
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
  const givenBack = said.failureReason === "preempted" && task?.status === "pending";
  if (!task) return explainRun(db, taskId, auth, attempt);
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
  return { task, missing: missingRanges(numbers ?? { gaps: "[]", lastSeq: 0 }, end.lastSeq) };
}
