import { type SQL, sql } from "drizzle-orm";

/** SQL for whether a series is a figure of the machine, by which results are ordered last. */
export const systemLast = (metric: SQL) =>
  sql`(${metric} glob 'gpu.[0-9]*.[a-z]*' or ${metric} glob 'sys.[a-z]*')`;
