import { and, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { metricName } from "../shared/metric-name.ts";
import { bucketOf } from "./buckets.ts";
import { curveOf, curveWithin } from "./curve.ts";
import {
  nextSince,
  perPoint,
  thinned,
  thinnings,
  toWireCurve,
  toWirePoint,
  wirePoint,
} from "./curve-answer.ts";
import type { Point, StoredSegment } from "./points.ts";
import {
  type AttemptLogs,
  attemptsQuery,
  type ChunkText,
  chunksBehind,
  cutoffOf,
  MOST_CHUNKS,
  metricNames,
  metricOf,
  namesOf,
  nextChunks,
  type Place,
  pointsOfSegments,
  readLogs,
  readRange,
  segmentsBehind,
  toAttempts,
} from "./read.ts";

/** What one answer to `since` takes up: rows, and bytes of their points. */
const NEWS_ROWS = 200;
const NEWS_BYTES = 1_000_000;

const step = z.coerce.number().int().min(0).max(9_999_999_999);

const logsQuery = z.strictObject({
  metric: metricName.default("loss"),
  max_points: z.coerce.number().int().min(1).max(10_000).default(1000),
  attempt: z
    .union([z.literal("all"), z.coerce.number().int().min(1)])
    .optional()
    .describe("The number of one attempt, or `all`; default: the curve of the whole run."),
  since: z
    .string()
    .regex(/^\d{1,9}\.\d{1,12}$/, "must be next_since of an answer")
    .optional()
    .describe("`next_since` of an earlier answer: only newer points are answered."),
  thin: z
    .enum(thinnings)
    .default("mean")
    .describe(
      "How the answer thins a long curve: `mean` gives the mean of each stretch, with its extremes beside; `extremes` gives the lowest and the highest point of each; `raw` gives every point, and refuses a curve of more than max_points.",
    ),
  from_step: step.optional().describe("With `to_step`: only this part of the run, in full detail."),
  to_step: step.optional(),
  format: z.enum(["json", "csv"]).default("json"),
});

const curveAnswer = z.object({
  metric: z.string(),
  total: z.int(),
  points: z
    .array(wirePoint)
    .describe(
      "[step, epoch, time, value], by step. A point that covers several has the step, epoch and time of the last of them, and the mean of their finite values.",
    ),
  ...perPoint,
  next_since: z.string(),
  replaces_from: z
    .int()
    .nullable()
    .optional()
    .describe(
      "With `since`: drop the points from this step on first, because a later attempt replaces them.",
    ),
  metrics: z.array(z.string()).optional().describe("All metrics of the run."),
  ends_early: z
    .literal(true)
    .optional()
    .describe(
      "The run goes on behind the last point: one answer reads 10,000 chunks of points at most. `from_step` reads on.",
    ),
  attempts: z
    .array(z.object({ attempt: z.int(), total: z.int(), points: z.array(wirePoint), ...perPoint }))
    .optional()
    .describe("With attempt=all."),
});

/** All points of a metric as CSV, a page of chunks at a time, so that memory stays bounded. */
function streamCsv(
  db: Db,
  taskId: number,
  attempts: AttemptLogs[],
  metric: string,
  only: number | "all" | undefined,
) {
  const encoder = new TextEncoder();
  let place: Place = { attempt: 0, arrival: 0 };
  /** Segments of an attempt in which steps came twice, held until all of them are known. */
  let held: { attempt: number; segments: StoredSegment[] } = { attempt: 0, segments: [] };
  const line = (attempt: number, points: Point[]) => {
    const cutoff = only === undefined ? cutoffOf(attempts, attempt) : Number.POSITIVE_INFINITY;
    return points
      .filter((point) => point[0] < cutoff)
      .map(
        (point) =>
          `${only === "all" ? `${attempt},` : ""}${toWirePoint(point)
            .map((v) => v ?? "")
            .join(",")}\r\n`,
      )
      .join("");
  };
  const release = () => line(held.attempt, pointsOfSegments(held.segments, metric));
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(
        encoder.encode(`${only === "all" ? "attempt," : ""}step,epoch,time,value\r\n`),
      );
    },
    async pull(controller) {
      const rows = await db.all<ChunkText>(
        nextChunks(taskId, place, typeof only === "number" ? only : undefined),
      );
      let text = "";
      const before = place;
      for (const row of rows) {
        place = row;
        const segments = segmentsBehind(row, before);
        if (row.attempt !== held.attempt) {
          text += release();
          held = { attempt: row.attempt, segments: [] };
        }
        if (attempts.find((a) => a.attempt === row.attempt)?.overlap)
          held.segments.push(...segments);
        else text += line(row.attempt, pointsOfSegments(segments, metric));
      }
      if (rows.length === 0) text += release();
      if (text) controller.enqueue(encoder.encode(text));
      if (rows.length === 0) controller.close();
    },
  });
}

export const logs = new Hono<App>().get(
  "/:id/logs",
  describe({
    summary: "Get the curve of a metric",
    description:
      "Answers the curve in at most max_points, each the mean of a stretch with its lowest and highest value beside. `since` asks for newer points only, `from_step` and `to_step` for a part in full detail; `format=csv` streams every point. Where attempts overlap, the later one replaces the earlier one from its first step on.",
    tag: "Logs",
    answer: {
      schema: curveAnswer,
      description: "The curve.",
      also: ["text/csv"],
      example: {
        metric: "loss",
        total: 2,
        points: [
          [1, 0, "2026-05-01T10:00:00.000Z", 0.9],
          [2, 0, "2026-05-01T10:00:01.000Z", 0.8],
        ],
        ...{ first_step: [1, 2], low: [0.9, 0.8], high: [0.9, 0.8] },
        ...{ count: [1, 1], nonfinite: [0, 0] },
        next_since: "1.1",
      },
    },
    errors: { 404: "No such task.", 422: "A parameter is not valid." },
  }),
  allow("tasks:read", { box: true }),
  validate("param", idParam),
  validate("query", logsQuery),
  async (c) => {
    const taskId = c.req.valid("param").id;
    const query = c.req.valid("query");
    const { db, auth } = c.var;
    const where = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth));
    const names = namesOf(query.metric);

    if (query.format === "csv") {
      const {
        task: [task],
        rows,
      } = await chain(db, {
        task: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
        rows: attemptsQuery(db, taskId),
      });
      if (!task) throw notFound("task", { id: taskId });
      const attempts = toAttempts(rows);
      return c.body(
        streamCsv(db, taskId, attempts, metricOf(attempts, names), query.attempt),
        200,
        {
          "Content-Type": "text/csv; charset=utf-8",
          "Content-Disposition": `attachment; filename="task-${taskId}-logs.csv"`,
        },
      );
    }

    if (query.since !== undefined) {
      if (query.attempt !== undefined)
        throw notValid([
          { path: "since", message: "goes without attempt: it follows the run as it stands" },
        ]);
      const [attempt = 0, arrival = 0] = query.since.split(".").map(Number);
      const place = { attempt, arrival };
      const {
        task: [task],
        rows,
        chunks,
      } = await chain(db, {
        task: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
        rows: attemptsQuery(db, taskId),
        chunks: db.all<ChunkText & { found: number }>(sql`
          select attempt, chunk, arrival, points, found from (
            select attempt, chunk, arrival, points, sum(size) over (order by attempt, chunk) as upto,
              row_number() over (order by attempt, chunk) as nth, count(*) over () as found
            from log_chunk where ${chunksBehind(taskId, place)} order by attempt, chunk limit ${NEWS_ROWS})
          where upto <= ${NEWS_BYTES} or nth = 1 order by attempt, chunk`),
      });
      if (!task) throw notFound("task", { id: taskId });
      const attempts = toAttempts(rows);
      const metric = metricOf(attempts, names);
      const fresh = chunks.map((chunk) => ({
        ...chunk,
        segments: segmentsBehind(chunk, place),
      }));
      const points = attempts.flatMap((a) => {
        const cutoff = cutoffOf(attempts, a.attempt);
        const segments = fresh
          .filter((chunk) => chunk.attempt === a.attempt)
          .flatMap((chunk) => chunk.segments);
        return pointsOfSegments(segments, metric).filter((point) => point[0] < cutoff);
      });
      const last = chunks.at(-1);
      const isAll = !last || (chunks.length === last.found && last.found < NEWS_ROWS);
      const next = isAll ? nextSince(attempts) : `${last.attempt}.${last.arrival}`;
      const cut = cutoffOf(attempts, attempt);
      return c.json({
        metric,
        ...toWireCurve(points.length, points.map(bucketOf)),
        metrics: metricNames(attempts).sort(),
        next_since: next,
        replaces_from: attempt > 0 && Number.isFinite(cut) ? cut : null,
      });
    }

    if (query.from_step !== undefined || query.to_step !== undefined) {
      if (query.attempt !== undefined)
        throw notValid([{ path: "from_step", message: "goes without attempt" }]);
      const range = [query.from_step ?? 0, query.to_step ?? 9_999_999_999] as const;
      const part = await readRange(db, where, taskId, names, range, MOST_CHUNKS);
      if (!part) throw notFound("task", { id: taskId });
      const { attempts, outlines, raw } = part;
      const metric = metricOf(attempts, names);
      const curve = curveWithin(attempts, outlines, raw, metric, range);
      return c.json({
        metric,
        ...thinned(curve, query.thin, query.max_points),
        next_since: nextSince(attempts),
      });
    }

    const read = await readLogs(db, where, taskId, names, { limit: MOST_CHUNKS + 1 });
    if (!read) throw notFound("task", { id: taskId });
    const endsEarly = read.outlines.length > MOST_CHUNKS;
    if (endsEarly) read.outlines.pop();
    const metric = metricOf(read.attempts, names);
    const curve = (attempts: AttemptLogs[]) => {
      const of = <T extends { attempt: number }>(rows: T[]) =>
        rows.filter((row) => attempts.some((a) => a.attempt === row.attempt));
      return thinned(
        curveOf(attempts, of(read.outlines), of(read.raw), metric),
        query.thin,
        query.max_points,
      );
    };
    const metrics = metricNames(read.attempts).sort();
    const common = {
      ...{ metric, metrics, next_since: nextSince(read.attempts) },
      ...(endsEarly && { ends_early: true as const }),
    };
    if (query.attempt === "all") {
      const attempts = read.attempts.map((a) => ({ attempt: a.attempt, ...curve([a]) }));
      return c.json({
        ...common,
        ...toWireCurve(
          attempts.reduce((sum, a) => sum + a.total, 0),
          [],
        ),
        attempts,
      });
    }
    const chosen =
      query.attempt === undefined
        ? read.attempts
        : read.attempts.filter((a) => a.attempt === query.attempt);
    if (query.attempt !== undefined && chosen.length === 0)
      throw notFound("attempt", { attempt: query.attempt, task: taskId });
    return c.json({ ...common, ...curve(chosen) });
  },
);
