import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { noteChange } from "../../platform/audit/note.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { chain, ifChanged } from "../../platform/db/batch.ts";
import { mirror, mirrorRun, statuses, trainingTask } from "../../platform/db/schema.ts";
import { toWire } from "../../platform/db/wire.ts";
import type { App } from "../../platform/http/context.ts";
import {
  decodeCursor,
  encodeCursor,
  page,
  pageAnswer,
  pageQuery,
} from "../../platform/http/page.ts";
import { flag, idParam } from "../../platform/http/params.ts";
import { notFound } from "../../platform/http/problem.ts";
import { describe, validate } from "../../platform/http/validate.ts";
import { ownMirror } from "./own.ts";
import { baseOf } from "./server.ts";

const runStates = ["waiting", "open", "done", "refused"] as const;

const runAnswer = z
  .object({
    task_id: z.int(),
    task_name: z.string(),
    task_status: z.enum(statuses),
    state: z
      .enum(runStates)
      .describe(
        "waiting: the run has not begun. open: it is written while it trains, or its end is on its way. done: all of it is there. refused: the server does not take it, as `error` says.",
      ),
    points: z.int().describe("Log points that are written."),
    points_total: z.int().describe("Log points that the run has."),
    experiment_id: z.string().nullable().describe("The other server's ids."),
    run_id: z.string().nullable(),
    run_url: z.string().nullable().describe("The run's page on the other server."),
    status: z.int().nullable().describe("The HTTP status of the last answer."),
    error: z.string().nullable().describe("What was wrong with it, in words."),
    tries: z.int().describe("Failed tries since the last success."),
    created_at: z.string(),
    written_at: z.string().nullable(),
  })
  .meta({ id: "MirroredRun" });

const shownState = sql<
  (typeof runStates)[number]
>`iif(${mirrorRun.state} = 'done' and ${mirrorRun.runId} is null, 'waiting', ${mirrorRun.state})`;

const runColumns = {
  taskId: mirrorRun.taskId,
  taskName: trainingTask.taskName,
  taskStatus: trainingTask.status,
  state: shownState,
  points: mirrorRun.points,
  pointsTotal: sql<number>`(select coalesce(sum(a.points), 0) from task_attempt a where a.task_id = ${mirrorRun.taskId})`,
  experimentId: mirrorRun.experimentId,
  runId: mirrorRun.runId,
  status: mirrorRun.status,
  error: mirrorRun.error,
  tries: mirrorRun.tries,
  createdAt: mirrorRun.createdAt,
  writtenAt: mirrorRun.writtenAt,
};

/** A line of the log, with the address of the run's page in MLflow. */
const toLine = (
  url: string,
  row: { [K in keyof typeof runColumns]: unknown } & {
    experimentId: string | null;
    runId: string | null;
  },
) =>
  ({
    ...toWire(row),
    run_url:
      row.runId && row.experimentId
        ? `${baseOf(url)}/#/experiments/${row.experimentId}/runs/${row.runId}`
        : null,
  }) as z.infer<typeof runAnswer>;

const taskParam = z.object({
  id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  task: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER),
});

export const mirrorLog = new Hono<App>()
  .get(
    "/:id/runs",
    describe({
      summary: "A mirror's log",
      description: "What was written of each run, and how far it is.",
      tag: "Mirrors",
      answer: { schema: pageAnswer(runAnswer), description: "Runs, newest first." },
      errors: { 404: "No such mirror of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { id } = c.req.valid("param");
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor
        ? decodeCursor("mirror-runs", cursor, z.tuple([z.int(), z.int()]))
        : undefined;
      const {
        mirrors: [found],
        rows,
      } = await chain(db, {
        mirrors: db.select({ url: mirror.url }).from(mirror).where(ownMirror(id, auth)),
        rows: db
          .select(runColumns)
          .from(mirrorRun)
          .innerJoin(trainingTask, eq(trainingTask.id, mirrorRun.taskId))
          .where(
            and(
              sql`${mirrorRun.mirrorId} = (select ${mirror.id} from mirror where ${ownMirror(id, auth)})`,
              before?.[0] === id ? lt(mirrorRun.taskId, before[1]) : undefined,
            ),
          )
          .orderBy(desc(mirrorRun.taskId))
          .limit(limit + 1),
      });
      if (!found) throw notFound("own-mirror", { id });
      return c.json(
        page(
          rows.map((row) => toLine(found.url, row)),
          limit,
          (last) => encodeCursor("mirror-runs", [id, last.task_id]),
        ),
      );
    },
  )
  .post(
    "/:id/runs/:task/retry",
    describe({
      summary: "Write a run again",
      description:
        "The next minute tries anew, also where the server or the run failed. `anew=true` forgets the run there: it is looked for again, or made again where it was deleted.",
      tag: "Mirrors",
      answer: { schema: runAnswer, description: "The run, open." },
      errors: { 404: "No such mirror of yours, or it has no such run." },
    }),
    allow("tasks:write"),
    validate("param", taskParam),
    validate("query", z.strictObject({ anew: flag().default(false) })),
    async (c) => {
      const { id, task } = c.req.valid("param");
      const { anew } = c.req.valid("query");
      const { auth, db } = c.var;
      const mine = sql`exists (select 1 from mirror where ${ownMirror(id, auth)})`;
      const which = and(eq(mirrorRun.mirrorId, id), eq(mirrorRun.taskId, task), mine);
      const {
        mirrors: [found],
        rows: [row],
      } = await chain(db, {
        again: db
          .update(mirrorRun)
          .set({
            ...{ state: "open", nextAt: null, status: null, error: null, tries: 0 },
            ...(anew && {
              ...{ experimentId: null, runId: null, written: null },
              ...{ attempt: 0, arrival: 0, points: 0 },
            }),
          })
          .where(which),
        noted: noteChange(db, auth, "again", "mirror.retry", id, { task, anew }),
        rested: ifChanged("noted", (changed) =>
          db
            .update(mirror)
            .set({ nextAt: null })
            .where(and(ownMirror(id, auth), changed)),
        ),
        mirrors: db.select({ url: mirror.url }).from(mirror).where(ownMirror(id, auth)),
        rows: db
          .select(runColumns)
          .from(mirrorRun)
          .innerJoin(trainingTask, eq(trainingTask.id, mirrorRun.taskId))
          .where(which),
      });
      if (!found) throw notFound("own-mirror", { id });
      if (!row) throw notFound("mirrored-run", { mirror: id, id: task });
      return c.json(toLine(found.url, row));
    },
  );
