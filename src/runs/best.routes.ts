import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { handedTo } from "../files/uploaders.ts";
import { curveOf } from "../metrics/curve.ts";
import {
  attemptsQuery,
  lossNames,
  MOST_CHUNKS,
  metricNames,
  metricOf,
  readLogs,
  toAttempts,
} from "../metrics/read.ts";
import { bestOfMetric } from "../metrics/settle.ts";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { metricSummary, trainingTask, weight } from "../platform/db/schema.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { metricName } from "../shared/metric-name.ts";
import { validationLossOf } from "../shared/metrics.ts";

const bestAnswer = z.object({
  metric: z.string().nullable().describe("null: the run has reported no loss."),
  value: z.number().nullable(),
  step: z.int().nullable().describe("null where nobody knows the steps of the run."),
  checkpoint: z
    .object({
      weight_id: z.int(),
      filename: z.string(),
      step: z.int(),
      distance: z.int().describe("Steps between the file and the best step."),
    })
    .nullable()
    .describe(
      "The stored checkpoint, or final file, whose step is nearest; of two as near the one of the later step, then the newer file.",
    ),
  reason: z
    .enum(["no-values", "no-steps", "too-long", "no-checkpoint"])
    .nullable()
    .describe(
      "Why something is null: `no-values`: no value of the metric is finite; `no-steps`: nobody knows the steps of the run; `too-long`: the curve has too many points to look through, and its best is not stored; `no-checkpoint`: no stored file of the run has a step.",
    ),
});
type Best = z.infer<typeof bestAnswer>;

/** The file nearest to a step, of those that the run's curve goes through: a resumed run leaves later ones behind. */
async function nearestFile(
  db: Db,
  auth: Auth,
  taskId: number,
  best: number,
): Promise<Best["checkpoint"]> {
  // The final file is that of the last step, whether its trainer says so or not.
  const step: SQL<number> = sql`coalesce(${weight.step}, iif(${weight.kind} = 'final',
    (select max(last_step) from task_attempt a where a.task_id = ${taskId} and a.attempt <= ${weight.attempt}), null))`;
  const isLeftBehind = sql`exists (select 1 from task_attempt later where later.task_id = ${taskId}
    and later.attempt > ${weight.attempt} and later.first_step <= ${step})`;
  const distance = sql<number>`abs(${step} - ${best})`;
  const [found] = await db
    .select({ weight_id: weight.id, filename: weight.filename, step, distance })
    .from(weight)
    .innerJoin(trainingTask, eq(trainingTask.id, weight.taskId))
    .where(
      and(
        eq(weight.taskId, taskId),
        isNull(trainingTask.deletedAt),
        readable(auth),
        handedTo(auth),
        isNull(weight.deletedAt),
        sql`${weight.state} = 'complete' and ${weight.kind} in ('checkpoint', 'final')`,
        sql`${step} is not null and not ${isLeftBehind}`,
      ),
    )
    .orderBy(distance, sql`${step} desc`, sql`${weight.id} desc`)
    .limit(1);
  return found ?? null;
}

export const bestCheckpoints = new Hono<App>().get(
  "/:id/best",
  describe({
    summary: "Get the best value of a metric and its checkpoint",
    description:
      "Answers the lowest smoothed value of a metric, or the highest of an accuracy, a reward or a similarity (docs/glossary.md), its step, and the stored file that is nearest to it. A series of fewer than 40 finite values, as a validation's, is not smoothed. A running task has the best so far.",
    tag: "Tasks",
    answer: {
      schema: bestAnswer,
      description: "The best value.",
      example: {
        ...{ metric: "val/loss", value: 0.0913, step: 1200 },
        checkpoint: {
          ...{ weight_id: 7, filename: "aki-000006.safetensors", step: 1206, distance: 6 },
        },
        reason: null,
      },
    },
    errors: { 404: "No such task, or it has no such metric.", 422: "A parameter is not valid." },
  }),
  allow("tasks:read", { box: true }),
  validate("param", idParam),
  validate(
    "query",
    z.strictObject({
      metric: metricName
        .optional()
        .describe("Default: the validation loss where the run has one, else the loss."),
    }),
  ),
  async (c) => {
    const taskId = c.req.valid("param").id;
    const { metric: asked } = c.req.valid("query");
    const { db, auth } = c.var;
    const where = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth));
    const {
      task: [task],
      rows,
      stored,
    } = await chain(db, {
      task: db
        .select({
          status: trainingTask.status,
          unstepped: sql<number | null>`progress ->> 'unstepped'`,
        })
        .from(trainingTask)
        .where(where),
      rows: attemptsQuery(db, taskId),
      stored: db
        .select({
          metric: metricSummary.metric,
          value: metricSummary.best,
          step: metricSummary.bestStep,
        })
        .from(metricSummary)
        .where(eq(metricSummary.taskId, taskId)),
    });
    if (!task) throw notFound("task", { id: taskId });
    const attempts = toAttempts(rows);
    const names = metricNames(attempts);
    const loss = metricOf(attempts, lossNames);
    const metric = asked === "loss" ? loss : (asked ?? validationLossOf(names) ?? loss);
    if (!names.includes(metric)) {
      if (asked !== undefined) throw notFound("metric", { task: taskId, metric: asked });
      return c.json(without(null, "no-values"));
    }
    const row =
      task.status === "running" ? undefined : stored.find((found) => found.metric === metric);
    let best =
      row && row.value !== null && row.step !== null ? { value: row.value, step: row.step } : null;
    if (!best) {
      const read = await readLogs(db, where, taskId, [metric], { limit: MOST_CHUNKS + 1 });
      if (!read) throw notFound("task", { id: taskId });
      if (read.outlines.length > MOST_CHUNKS) return c.json(without(metric, "too-long"));
      best = bestOfMetric(metric, curveOf(read.attempts, read.outlines, read.raw, metric).buckets);
      if (!best) return c.json(without(metric, "no-values"));
    }
    if (task.unstepped)
      return c.json({ ...without(metric, "no-steps"), value: best.value } satisfies Best);
    const checkpoint = await nearestFile(db, auth, taskId, best.step);
    const reason = checkpoint ? null : ("no-checkpoint" as const);
    return c.json({ metric, value: best.value, step: best.step, checkpoint, reason });
  },
);

const without = (metric: string | null, reason: NonNullable<Best["reason"]>): Best => ({
  ...{ metric, value: null, step: null, checkpoint: null },
  reason,
});
