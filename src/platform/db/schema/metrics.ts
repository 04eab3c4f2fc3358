import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What `log_chunk.form` says of a chunk. */
export const FORM = {
  /** Of an older release: `summary` is that of an attempt, `blocks` lacks the means. */
  old: 0,
  /** One that still takes points in: `blocks` is a list, of each heartbeat metric → stored buckets. */
  open: 1,
  /** One that is summed up: `summary` is metric → stored bucket, `blocks` metric → stored buckets. */
  whole: 2,
} as const;

/**
 * Log points of up to about 1,000 steps in one row: rows are what a hosted database bills. Stored buckets
 * (metrics/buckets.ts) cover up to 64 points each, in `summary` for the whole chunk.
 */
export const logChunk = sqliteTable(
  "log_chunk",
  {
    taskId: integer().notNull(),
    attempt: integer().notNull(),
    /** Arrival number of the first heartbeat in it; `arrival` is that of the last. */
    chunk: integer().notNull(),
    arrival: integer().notNull(),
    firstStep: integer().notNull(),
    lastStep: integer().notNull(),
    count: integer().notNull(),
    size: integer().notNull(),
    summary: text().notNull(),
    blocks: text().notNull(),
    /** One segment a heartbeat: [{a: arrival, q: seq, m: [metric, …], p: [[step, epoch, ms, v1, …], …]}]. */
    points: text().notNull(),
    form: integer().notNull().default(FORM.old),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.attempt, t.chunk] }),
    // What an older release left; empty once the scheduled job has been through it.
    index("log_chunk_old").on(t.taskId, t.attempt, t.chunk).where(sql`form = 0`),
  ],
);

/** A finished task's summary a metric, where filters and orders find it by index. */
export const metricSummary = sqliteTable(
  "metric_summary",
  {
    taskId: integer().notNull(),
    metric: text().notNull(),
    count: integer().notNull(),
    nonfiniteCount: integer().notNull(),
    min: real(),
    max: real(),
    last: real(),
    sum: real(),
    /** The lowest smoothed value and its step; null where the points do not tell. */
    best: real(),
    bestStep: integer(),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.metric] }),
    index("metric_summary_last").on(t.metric, t.last),
    index("metric_summary_best").on(t.metric, t.best),
  ],
);
