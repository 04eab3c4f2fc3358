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
import { curveOf, curveWithin } from "./curve.ts";
import { metricName, type Point, type StoredSegment, type Value } from "./points.ts";
import {
  type AttemptLogs,
  attemptsQuery,
  type ChunkText,
  cutoffOf,
  lossNames,
  metricOf,
  nextChunks,
  type Place,
  pointsOfSegments,
  readLogs,
  readRange,
  toAttempts,
} from "./read.ts";

/** Chunks whose summaries one curve reads: 2,000,000 points' worth. */
const MOST_CHUNKS = 2000;

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
  from_step: step.optional().describe("With `to_step`: only this part of the run, in full detail."),
  to_step: step.optional(),
  format: z.enum(["json", "csv"]).default("json"),
});

const wirePoint = z.tuple([
  z.number(),
  z.number().nullable(),
  z.string().nullable(),
  z.union([z.number(), z.string()]),
]);
const curveAnswer = z.object({
  metric: z.string(),
  total: z.int(),
  points: z.array(wirePoint).describe("[step, epoch, time, value], by step."),
  next_since: z.string(),
  replaces_from: z
    .int()
    .nullable()
    .optional()
    .describe(
      "With `since`: drop the points from this step on first, because a later attempt replaces them.",
    ),
  metrics: z.array(z.string()).optional().describe("All metrics of the run."),
  attempts: z
    .array(z.object({ attempt: z.int(), total: z.int(), points: z.array(wirePoint) }))
    .optional()
    .describe("With attempt=all."),
});

const toWirePoint = ([step, epoch, ms, value]: Point): [
  number,
  number | null,
  string | null,
  Value,
] => [step, epoch, ms === null ? null : new Date(ms).toISOString(), value];

const nextSince = (attempts: AttemptLogs[]) => {
  const last = attempts.at(-1);
  return `${last?.attempt ?? 0}.${last?.received ?? 0}`;
};

/** All points of a metric as CSV, a page of chunks at a time, so that memory stays bounded. */
function streamCsv(
  db: Db,
  taskId: number,
  attempts: AttemptLogs[],
  metric: string,
  only: number | "all" | undefined,
) {
  const encoder = new TextEncoder();
  let place: Place = { attempt: 0, chunk: 0 };
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
      for (const row of rows) {
        place = row;
        const segments: StoredSegment[] = JSON.parse(row.points);
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
      "Thins the curve to max_points so that peaks survive. `since` asks for newer points only, `from_step` and `to_step` for a part in full detail; `format=csv` streams every point. Where attempts overlap, the later one replaces the earlier one from its first step on.",
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
    const names = query.metric === "loss" ? lossNames : ([query.metric] as const);

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
      const {
        task: [task],
        rows,
        chunks,
      } = await chain(db, {
        task: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
        rows: attemptsQuery(db, taskId),
        // Chunks are ordered by arrival, and the one that holds the next heartbeat may be an old one.
        chunks: db.all<ChunkText & { arrival: number }>(sql`
          select attempt, chunk, arrival, points from log_chunk where task_id = ${taskId} and (attempt > ${attempt}
            or (attempt = ${attempt} and chunk >= coalesce((select max(chunk) from log_chunk
              where task_id = ${taskId} and attempt = ${attempt} and chunk <= ${arrival + 1}), 0)))
          order by attempt, chunk limit 4`),
      });
      if (!task) throw notFound("task", { id: taskId });
      const attempts = toAttempts(rows);
      const metric = metricOf(attempts, names);
      const fresh = chunks.map((chunk) => ({
        ...chunk,
        segments: (JSON.parse(chunk.points) as StoredSegment[]).filter(
          (segment) => chunk.attempt > attempt || segment.a > arrival,
        ),
      }));
      const points = attempts.flatMap((a) => {
        const cutoff = cutoffOf(attempts, a.attempt);
        const segments = fresh
          .filter((chunk) => chunk.attempt === a.attempt)
          .flatMap((chunk) => chunk.segments);
        return pointsOfSegments(segments, metric).filter((point) => point[0] < cutoff);
      });
      const last = chunks.at(-1);
      const next =
        last && chunks.length === 4 ? `${last.attempt}.${last.arrival}` : nextSince(attempts);
      const cut = cutoffOf(attempts, attempt);
      return c.json({
        metric,
        total: points.length,
        points: points.map(toWirePoint),
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
      const { total, points } = curveWithin(
        attempts,
        outlines,
        raw,
        metric,
        range,
        query.max_points,
      );
      const next_since = nextSince(attempts);
      return c.json({ metric, total, points: points.map(toWirePoint), next_since });
    }

    const read = await readLogs(db, where, taskId, names, { limit: MOST_CHUNKS });
    if (!read) throw notFound("task", { id: taskId });
    const metric = metricOf(read.attempts, names);
    const curve = (attempts: AttemptLogs[]) => {
      const of = <T extends { attempt: number }>(rows: T[]) =>
        rows.filter((row) => attempts.some((a) => a.attempt === row.attempt));
      const { total, points } = curveOf(
        attempts,
        of(read.outlines),
        of(read.raw),
        metric,
        query.max_points,
      );
      return { total, points: points.map(toWirePoint) };
    };
    const metrics = [...new Set(read.attempts.flatMap((a) => Object.keys(a.summaries)))].sort();
    const common = { metric, metrics, next_since: nextSince(read.attempts) };
    if (query.attempt === "all") {
      const attempts = read.attempts.map((a) => ({ attempt: a.attempt, ...curve([a]) }));
      return c.json({
        ...common,
        total: attempts.reduce((sum, a) => sum + a.total, 0),
        points: [],
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
