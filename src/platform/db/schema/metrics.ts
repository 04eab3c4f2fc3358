import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** What `log_chunk.form` says of a chunk. */
export const FORM = {
  /** Of an older release: `summary` is that of an attempt, `blocks` lacks the means. */
  old: 0,
  /** The points of one heartbeat, without `blocks`. */
  open: 1,
  /** Up to about 1,000 steps, with `summary` and `blocks`. */
  whole: 2,
} as const;

/**
 * Log points: a row a heartbeat, until compact.ts makes one row of about 1,000 steps of them: rows are what a
 * hosted database bills, and a row that grows is written anew as a whole.
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
    /** metric → a stored bucket (metrics/buckets.ts) over this chunk. */
    summary: text().notNull(),
    /** metric → stored buckets of up to 64 points each. */
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
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.metric] }),
    index("metric_summary_last").on(t.metric, t.last),
  ],
);
