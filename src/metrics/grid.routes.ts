import { and, eq, isNull } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { metricName } from "../shared/metric-name.ts";
import { curveOf } from "./curve.ts";
import { nextSince, perPoint, thinned, wirePoint } from "./curve-answer.ts";
import { metricOf, namesOf, readManyLogs } from "./read.ts";

/** Metrics of one request, and points of each. */
const MOST_METRICS = 24;
const MOST_POINTS = 600;

const gridQuery = z.strictObject({
  metric: z
    .union([metricName.transform((name) => [name]), z.array(metricName)])
    .pipe(z.array(z.string()).min(1).max(MOST_METRICS))
    .meta({ type: "array", items: { type: "string" }, maxItems: MOST_METRICS })
    .describe(`The metrics, one parameter each: at most ${MOST_METRICS}.`),
  max_points: z.coerce.number().int().min(1).max(MOST_POINTS).default(300),
});

/** Curves of several metrics of one run, as a grid of small charts draws them. */
export const grid = new Hono<App>().get(
  "/:id/curves",
  describe({
    summary: "Get the curves of several metrics",
    description:
      "Answers the curves of up to 24 metrics of a run in one request, each thinned to means as `GET /api/tasks/{id}/logs` does. A metric that the run lacks has no points. Of a long run the curves are coarser than each by itself.",
    tag: "Logs",
    answer: {
      schema: z.object({
        curves: z
          .array(
            z.object({
              metric: z.string(),
              total: z.int(),
              points: z.array(wirePoint).describe("[step, epoch, time, value], by step."),
              ...perPoint,
            }),
          )
          .describe("One for each `metric`, in their order."),
        next_since: z.string(),
      }),
      description: "The curves.",
      example: {
        curves: [
          {
            ...{ metric: "lr/unet", total: 1, points: [[1, 0, "2026-05-01T10:00:00.000Z", 1e-4]] },
            ...{ first_step: [1], low: [1e-4], high: [1e-4], count: [1], nonfinite: [0] },
          },
        ],
        next_since: "1.1",
      },
    },
    errors: { 404: "No such task.", 422: "A parameter is not valid." },
  }),
  allow("tasks:read"),
  validate("param", idParam),
  validate("query", gridQuery),
  async (c) => {
    const taskId = c.req.valid("param").id;
    const { metric: asked, max_points: most } = c.req.valid("query");
    const { db, auth } = c.var;
    const where = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth));
    const metrics = asked.map(namesOf);
    const read = await readManyLogs(db, where, taskId, metrics);
    if (!read) throw notFound("task", { id: taskId });
    const { attempts, outlines, raw } = read;
    return c.json({
      curves: metrics.map((names, n) => {
        const metric = metricOf(attempts, names);
        const curve = curveOf(attempts, outlines[n] ?? [], raw, metric);
        return { metric, ...thinned(curve, "mean", most) };
      }),
      next_since: nextSince(attempts),
    });
  },
);
