import { createTwoFilesPatch } from "diff";
import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import type { Point, Summary } from "../metrics/points.ts";
import { namesOf } from "../metrics/read.ts";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { metricSummary, statuses, taskConfig, trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { shortColumns } from "../runs/queries.ts";
import { metricName } from "../shared/metric-name.ts";
import { isSystemMetric } from "../shared/system-metrics.ts";
import { decodeConfig } from "../trainers/decode.ts";
import { alignedCurve, alignments, curveStatements, type Detail } from "./compare-curves.ts";
import { compareDatasets, datasetStatements } from "./compare-datasets.ts";
import { compareParameters, configLeaves, parameterColumns } from "./compare-parameters.ts";

/** Metrics of an answer. */
const MOST_METRICS = 1000;

const MOST_TASKS = 50;
/** Files larger than this are not compared; of more than FULL tasks each has its share of what those take. */
const MOST_BYTES = 65_536;
const FULL = 20;
/**
 * Lines that two files may differ in before the search for the shortest difference is given up. Its
 * time grows with their square, so that more files share less.
 */
const MOST_EDITS = 1000;

const compareQuery = z.strictObject({
  ids: z
    .string()
    .regex(/^\d{1,15}(,\d{1,15})*$/, "must be ids with commas between, such as 3,5,8")
    .transform((text) => [...new Set(text.split(",").map(Number))])
    .refine(
      (ids) => ids.length >= 2 && ids.length <= MOST_TASKS,
      `must name 2 to ${MOST_TASKS} different tasks`,
    ),
  metric: metricName.default("loss").describe("The metric of the curves."),
  align: z.enum(alignments).default("step").describe("The horizontal axis of the curves."),
  max_points: z.coerce
    .number()
    .int()
    .min(2)
    .max(1000)
    .default(200)
    .describe("Points of each curve at most."),
});

/** How much of each of `tasks` an answer takes up: bytes of its file, and its curve. */
function sharesOf(tasks: number): { bytes: number; detail: Detail } {
  const share = Math.min(1, FULL / tasks);
  return {
    bytes: Math.floor(MOST_BYTES * share),
    detail: {
      ...{ chunks: Math.floor(200 * share), fine: 20 },
      ...{ rawPoints: 500, rawBytes: Math.floor(100_000 * share) },
    },
  };
}

const json = z.json();
const figures = z.object({
  last: z.number().nullable(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  best: z
    .number()
    .nullable()
    .describe("The lowest smoothed value; null of a running task, and where it was not computed."),
  best_step: z.int().nullable(),
  count: z.int(),
});

const comparison = z
  .object({
    tasks: z
      .array(
        z.object({
          id: z.int(),
          user_id: z.int(),
          task_name: z.string(),
          status: z.enum(statuses),
          created_at: z.string(),
          final_loss: z.number().nullable(),
          convergence_step: z.int().nullable(),
          total_duration_sec: z.number().nullable(),
          cost: z.number().nullable(),
        }),
      )
      .describe(
        "The tasks in the order of `ids`; all `values`, `counts` and `series` have this order too.",
      ),
    differ: z
      .array(z.object({ name: z.string(), values: z.array(json) }))
      .describe("Settings that differ between tasks, by the names that filters use."),
    agree: z.array(z.object({ name: z.string(), value: json })),
    metrics: z
      .array(z.object({ metric: z.string(), values: z.array(figures.nullable()) }))
      .describe(
        `At most ${MOST_METRICS} metrics, figures of the machine last. A running task has the values of its current attempt.`,
      ),
    curves: z.object({
      align: z.enum(alignments),
      series: z.array(
        z.object({
          id: z.int(),
          metric: z.string(),
          points: z
            .array(z.tuple([z.number(), z.union([z.number(), z.string()])]))
            .describe("[step, epoch, or seconds since the first point; value]"),
        }),
      ),
    }),
    datasets: z.array(
      z.object({
        name: z.string(),
        same: z.boolean(),
        tasks: z.array(
          z
            .object({
              dataset_id: z.int(),
              image_count: z.int().nullable(),
              repeats: z.int().nullable(),
            })
            .nullable(),
        ),
        tags: z
          .array(z.object({ tag: z.string(), counts: z.array(z.number()) }))
          .describe("Tags whose counts differ, largest difference first, 50 at most."),
        tags_differ: z
          .int()
          .nullable()
          .describe("Number of tags that differ; null: there are too many tags to compare."),
      }),
    ),
    config_diffs: z
      .array(z.object({ id: z.int(), diff: z.string().nullable(), why: z.string().optional() }))
      .describe(
        "Unified diffs of the first task's file with each other task's file; empty: the files are equal.",
      ),
  })
  .meta({ id: "Comparison" });

/** Figures of a metric out of a running attempt's summary. */
const currentFigures = ({ count, ...summary }: Summary) => {
  const value = (point: Point | null) => (typeof point?.[3] === "number" ? point[3] : null);
  return {
    ...{ last: value(summary.last), min: value(summary.min), max: value(summary.max), count },
    ...{ best: null, best_step: null },
  };
};

type File = { id: number; text: string } | { id: number; why: string };

/** The unified diff of two tasks' files, one of `pairs`, or why there is none. */
export function fileDiff(first: File, other: File, pairs: number) {
  const { id } = other;
  if ("why" in first) return { id, diff: null, why: first.why };
  if ("why" in other) return { id, diff: null, why: other.why };
  if (first.text === other.text) return { id, diff: "" };
  const [from, to] = [first.text, other.text].map((text) => text.replaceAll("\r\n", "\n"));
  const most = Math.floor(MOST_EDITS / Math.sqrt(pairs));
  const patch = createTwoFilesPatch(
    ...[`task ${first.id}`, `task ${id}`, from ?? "", to ?? "", undefined, undefined],
    { context: 3, maxEditLength: most },
  );
  if (patch === undefined)
    return { id, diff: null, why: `The files differ in more than ${most} lines.` };
  // Line 1 is a rule that no other tool writes.
  return { id, diff: patch.replace(/^=+\n/, "") };
}

export const compare = new Hono<App>().get(
  "/compare",
  describe({
    summary: "Compare tasks",
    description: `Compares settings, metrics, curves, datasets and the trainers' files of 2 to ${MOST_TASKS} tasks. Of more than ${FULL} tasks, files of less than ${MOST_BYTES} bytes are left out too: all of them together take up as much as those of ${FULL}.`,
    tag: "Tasks",
    answer: { schema: comparison, description: "The comparison." },
    errors: { 404: "One of the tasks does not exist.", 422: "A parameter is not valid." },
  }),
  allow("tasks:read"),
  validate("query", compareQuery),
  async (c) => {
    const { ids, metric, align, max_points } = c.req.valid("query");
    const { db, auth } = c.var;
    const { bytes, detail } = sharesOf(ids.length);
    const list = sql.join(
      ids.map((id) => sql`${id}`),
      sql`, `,
    );
    const names = namesOf(metric);
    const { found, summaries, running, attempts, chunks, links, tags } = await chain(db, {
      found: db
        .select({
          task: shortColumns,
          snapshot: sql<
            string | null
          >`case when length(${taskConfig.snapshot}) <= ${2 * bytes} then ${taskConfig.snapshot} end`,
          file: sql<ArrayBuffer | null>`case when length(${taskConfig.original}) <= ${bytes} then ${taskConfig.original} end`,
          sha256: taskConfig.sha256,
        })
        .from(trainingTask)
        .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
        .where(and(inArray(trainingTask.id, ids), isNull(trainingTask.deletedAt), readable(auth))),
      summaries: db.select().from(metricSummary).where(inArray(metricSummary.taskId, ids)),
      running: db.all<{ id: number; summary: string }>(sql`
        select t.id, a.summary from training_task t
        join task_attempt a on a.task_id = t.id and a.attempt = t.attempt
        where t.id in (${list}) and t.status = 'running' and length(a.summary) <= ${2 * bytes}`),
      ...curveStatements(db, list, names, detail),
      ...datasetStatements(db, list),
    });
    const rows = ids.map((id) => {
      const row = found.find(({ task }) => task.id === id);
      if (!row) throw refuse("not-found", { case: "task", id }, { extra: { task_id: id } });
      return row;
    });
    const settings = rows.map(({ task, snapshot }) => {
      const wire: Record<string, unknown> = toWire(task);
      const own = new Map(
        parameterColumns.map((name) => [name, JSON.parse(JSON.stringify(wire[name] ?? null))]),
      );
      for (const [tag, value] of Object.entries(task.tags ?? {})) own.set(`tags.${tag}`, value);
      return new Map([...own, ...(snapshot ? configLeaves(JSON.parse(snapshot)) : [])]);
    });
    const current = new Map(
      running.map(({ id, summary }) => [
        id,
        new Map<string, Summary>(Object.entries(JSON.parse(summary))),
      ]),
    );
    const ended = new Map(summaries.map((row) => [`${row.taskId} ${row.metric}`, row]));
    const figuresOf = (id: number, name: string) => {
      const own = current.get(id);
      const summary = own?.get(name);
      if (own) return summary ? currentFigures(summary) : null;
      const row = ended.get(`${id} ${name}`);
      return row
        ? {
            ...{ last: row.last, min: row.min, max: row.max, count: row.count },
            ...{ best: row.best, best_step: row.bestStep },
          }
        : null;
    };
    const allNames = [
      ...new Set([
        ...summaries.map((row) => row.metric),
        ...[...current.values()].flatMap((own) => [...own.keys()]),
      ]),
    ].sort();
    // Results first, and the machine behind them.
    const metricNames = [
      ...allNames.filter((name) => !isSystemMetric(name)),
      ...allNames.filter(isSystemMetric),
    ].slice(0, MOST_METRICS);
    const files = rows.map(({ task: { id }, file, sha256 }): File => {
      if (!sha256) return { id, why: `Task ${id} has no file.` };
      if (file === null) return { id, why: `Task ${id}'s file is over ${bytes} bytes.` };
      const decoded = decodeConfig(new Uint8Array(file));
      return decoded ? { id, text: decoded.text } : { id, why: `Task ${id}'s file is no text.` };
    });
    const [first, ...rest] = files;
    return c.json({
      tasks: rows.map(({ task }) => ({
        id: task.id,
        user_id: task.userId,
        task_name: task.taskName,
        status: task.status,
        created_at: task.createdAt,
        final_loss: task.finalLoss,
        convergence_step: task.convergenceStep,
        total_duration_sec: task.totalDurationSec,
        cost: task.cost,
      })),
      ...compareParameters(settings),
      metrics: metricNames.map((name) => ({
        metric: name,
        values: ids.map((id) => figuresOf(id, name)),
      })),
      curves: {
        align,
        series: ids.map((id) => ({
          id,
          ...alignedCurve(id, { attempts, chunks }, { names, align, most: max_points }, detail),
        })),
      },
      datasets: compareDatasets(ids, links, tags),
      config_diffs: first ? rest.map((other) => fileDiff(first, other, rest.length)) : [],
    });
  },
);
