import { and, inArray, isNull, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { coarsen } from "../metrics/buckets.ts";
import { perPoint, toWireCurve, wirePoint } from "../metrics/curve-answer.ts";
import { namesOf } from "../metrics/read.ts";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { metricName } from "../shared/metric-name.ts";
import { readGroupings } from "./aggregates.ts";
import { curveStatements, type Detail, taskCurve } from "./compare-curves.ts";
import { groupCurves, MOST_GROUPS } from "./curve-groups.ts";

const MOST_RUNS = 50;
/** Points of all curves of an answer together. */
const MOST_POINTS = 12_000;
/** Names of metrics that an answer lists. */
const MOST_NAMES = 1000;

/** How closely each of `runs` curves is read: about 3 MB of points and as much of sums, 8,000 chunks. */
const detailOf = (runs: number): Detail => ({
  chunks: Math.min(400, Math.floor(8000 / runs)),
  fine: Math.min(200, Math.floor(2000 / runs)),
  rawPoints: 5000,
  rawBytes: Math.min(1_000_000, Math.floor(3_000_000 / runs)),
});

const ids = z
  .string()
  .max(1000)
  .regex(/^\d{1,15}(,\d{1,15})*$/, "must be ids with commas between, such as 3,5,8")
  .transform((text) => [...new Set(text.split(",").map(Number))])
  .refine((list) => list.length <= MOST_RUNS, `must name at most ${MOST_RUNS} different tasks`);

const wirePoints = z
  .array(wirePoint)
  .describe(
    "[step, epoch, time, value], by step: the last of the steps that a point covers, and their mean.",
  );
const missing = z
  .array(z.int())
  .describe(
    "Those of `ids` that name no task, one in the trash, or one that the key may not read.",
  );
const oneOf = z
  .int()
  .describe("1, or more where the curve is drawn from one of so many of the run's chunks.");

/** Of `asked`, the tasks that the condition lets through, as a query of their ids. */
const seenBy = (where: SQL | undefined) => sql`select id from training_task where ${where}`;

/** The names of all metrics of the latest attempts of some tasks, as far as an answer holds them. */
const metricNamesOf = (db: Db, tasks: SQL) =>
  db.all<{ name: string }>(sql`
    select distinct m.key as name from training_task t
    join task_attempt a on a.task_id = t.id and a.attempt = t.attempt, json_each(a.summary) m
    where t.id in (${tasks}) order by 1 limit ${MOST_NAMES}`);

export const curves = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "Get the curves of many tasks",
      description: `Answers one metric of up to ${MOST_RUNS} tasks, each as \`/api/tasks/{id}/logs\` does it. Long runs are read less closely the more tasks are asked for; \`one_of\` says so.`,
      tag: "Logs",
      answer: {
        schema: z.object({
          items: z.array(
            z.object({
              id: z.int(),
              metric: z.string().describe("The name under which the task has the metric."),
              total: z.int(),
              points: wirePoints,
              ...perPoint,
              one_of: oneOf,
            }),
          ),
          metrics: z.array(z.string()).describe("All metrics of these tasks."),
          missing,
        }),
        description:
          "The curves in the order of `ids`; without points where a task has no such metric.",
        example: {
          items: [
            {
              ...{ id: 3, metric: "loss", total: 1, points: [[1, 0, null, 0.9]] },
              ...{ first_step: [1], low: [0.9], high: [0.9], count: [1], nonfinite: [0] },
              one_of: 1,
            },
          ],
          metrics: ["loss"],
          missing: [4],
        },
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read", { box: true }),
    validate(
      "query",
      z.strictObject({
        ids,
        metric: metricName.default("loss"),
        max_points: z.coerce
          .number()
          .int()
          .min(2)
          .max(1200)
          .default(400)
          .describe(`Points of each curve at most; all together have at most ${MOST_POINTS}.`),
      }),
    ),
    async (c) => {
      const query = c.req.valid("query");
      const { db, auth } = c.var;
      const where = and(
        ...[inArray(trainingTask.id, query.ids), isNull(trainingTask.deletedAt), readable(auth)],
      );
      const names = namesOf(query.metric);
      const detail = detailOf(query.ids.length);
      const { found, metrics, ...rows } = await chain(db, {
        found: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
        metrics: metricNamesOf(db, seenBy(where)),
        ...curveStatements(db, seenBy(where), names, detail),
      });
      const seen = new Set(found.map(({ id }) => id));
      const most = Math.min(query.max_points, Math.floor(MOST_POINTS / query.ids.length));
      return c.json({
        items: query.ids
          .filter((id) => seen.has(id))
          .map((id) => {
            const { metric, oneOf: one_of, total, buckets } = taskCurve(id, rows, names, detail);
            return { id, metric, ...toWireCurve(total, coarsen(buckets, most)), one_of };
          }),
        metrics: metrics.map(({ name }) => name),
        missing: query.ids.filter((id) => !seen.has(id)),
      });
    },
  )
  .get(
    "/groups",
    describe({
      summary: "Get the curves of groups of tasks",
      description: `Groups up to ${MOST_RUNS} tasks by a field and answers, for each group, the mean of one metric with its spread at aligned steps. The steps are those at which any of the tasks has a point, or, where these are more than max_points, the ends of max_points equal stretches. At a step a task counts with the mean of its points since the step before, or, without any, with the straight line between its neighbouring points; not before its first step, not behind its last, and not beside a NaN or an infinity.`,
      tag: "Logs",
      answer: {
        schema: z.object({
          steps: z.array(z.int()),
          groups: z
            .array(
              z.object({
                group: z.union([z.string(), z.number(), z.null()]),
                ids: z.array(z.int()),
                n: z.array(z.int()).describe("At each step, the tasks that have a value."),
                mean: z.array(z.number().nullable()),
                std: z
                  .array(z.number().nullable())
                  .describe("The sample standard deviation; null where n is less than 2."),
                min: z.array(z.number().nullable()),
                max: z.array(z.number().nullable()),
              }),
            )
            .describe(`By their values; the first ${MOST_GROUPS}.`),
          left_out: z.array(z.int()).describe("Tasks of further groups."),
          tasks: z.array(
            z.object({
              id: z.int(),
              metric: z.string().nullable().describe("null: it has no points of the metric."),
              one_of: oneOf,
            }),
          ),
          missing,
        }),
        description: "The groups.",
        example: {
          steps: [1, 2],
          groups: [
            {
              ...{ group: 16, ids: [3, 5], n: [2, 2], mean: [0.9, 0.8] },
              ...{ std: [0, 0.1], min: [0.9, 0.73], max: [0.9, 0.87] },
            },
          ],
          left_out: [],
          tasks: [
            { id: 3, metric: "loss", one_of: 1 },
            { id: 5, metric: "loss", one_of: 1 },
          ],
          missing: [4],
        },
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        ids,
        group_by: z
          .string()
          .max(300)
          .default("experiment_group")
          .describe(
            "One field: a column, user, config.…, tags.…, or a time such as day(created_at).",
          ),
        metric: metricName.default("loss"),
        max_points: z.coerce
          .number()
          .int()
          .min(2)
          .max(500)
          .default(200)
          .describe("Aligned steps at most."),
      }),
    ),
    async (c) => {
      const query = c.req.valid("query");
      const { db, auth } = c.var;
      const [grouping, ...others] = readGroupings(query.group_by);
      if (!grouping || others.length)
        throw notValid([{ path: "group_by", message: "takes one field" }]);
      const where = and(
        ...[inArray(trainingTask.id, query.ids), isNull(trainingTask.deletedAt), readable(auth)],
      );
      const names = namesOf(query.metric);
      const detail = detailOf(query.ids.length);
      const { found, ...rows } = await chain(db, {
        found: db.all<{ id: number; value: string | number | null }>(
          sql`select training_task.id as id, ${grouping.sql} as value from training_task where ${where}`,
        ),
        ...curveStatements(db, seenBy(where), names, detail),
      });
      const values = new Map(found.map(({ id, value }) => [id, value]));
      const runs = query.ids
        .filter((id) => values.has(id))
        .map((id) => ({
          id,
          group: values.get(id) ?? null,
          ...taskCurve(id, rows, names, detail),
        }));
      return c.json({
        ...groupCurves(runs, query.max_points),
        tasks: runs.map(({ id, metric, oneOf: one_of, buckets }) => ({
          ...{ id, metric: buckets.length ? metric : null, one_of },
        })),
        missing: query.ids.filter((id) => !values.has(id)),
      });
    },
  );
