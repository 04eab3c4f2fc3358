import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Log points of up to about 1,000 steps in one row: rows are what a hosted database bills. */
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
    /** metric → the same summary as an attempt's, over this chunk. */
    summary: text().notNull(),
    /** metric → the lowest and highest point of every block of up to 64 points. */
    blocks: text().notNull(),
    /** One segment a heartbeat: [{a: arrival, q: seq, m: [metric, …], p: [[step, epoch, ms, v1, …], …]}]. */
    points: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.taskId, t.attempt, t.chunk] })],
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
