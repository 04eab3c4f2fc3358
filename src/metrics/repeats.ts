/*
 * Points without a number: trackers' clients send again what was not answered, in other batches than before. A
 * value is known where the attempt has one of the same metric, step and number, and of the same time where both have one.
 */
import { type SQL, sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { pointsOf, type Segment, type StoredSegment, type Summary } from "./points.ts";

/** Newest chunks that are looked through for known values: about the last 64,000 points. */
const LOOKED_THROUGH = 64;
/** Bytes of points that one look reads. */
const MOST_READ = 3_000_000;

const path = (metric: string) => `$."${metric}".last[0]`;

/** The condition, on an attempt's row, that each value of a segment is behind all that its metric has. */
export function allNew(segment: Segment): SQL {
  const behind = segment.metrics.flatMap((metric) => {
    const [first] = pointsOf(segment, metric);
    return first ? [sql`coalesce(task_attempt.summary ->> ${path(metric)}, -1) < ${first[0]}`] : [];
  });
  return behind.length ? sql`(${sql.join(behind, sql` and `)})` : sql`true`;
}

/** The same of an attempt's summary that was read. */
export function isAllNew(segment: Segment, summary: string): boolean {
  const known: Record<string, Summary> = JSON.parse(summary);
  return segment.metrics.every((metric) => {
    const [first] = pointsOf(segment, metric);
    const last = Object.hasOwn(known, metric) ? known[metric]?.last[0] : undefined;
    return !first || last === undefined || last < first[0];
  });
}

/** What an attempt has between the first and the last step of a segment, as far as the newest chunks tell. */
export async function readKnown(
  db: Db,
  taskId: number,
  attempt: SQL,
  segment: Segment,
): Promise<StoredSegment[]> {
  const [first] = segment.rows;
  const last = segment.rows.at(-1);
  if (!first || !last) return [];
  const rows = await db.all<{ points: string }>(sql`
    select points from (
      select chunk, points, sum(size) over (order by chunk desc) as upto from (
        select chunk, first_step, last_step, size, points from log_chunk
        where task_id = ${taskId} and attempt = ${attempt} order by chunk desc limit ${LOOKED_THROUGH})
      where last_step >= ${first[0]} and first_step <= ${last[0]})
    where upto <= ${MOST_READ} order by chunk desc`);
  return rows.flatMap(({ points }): StoredSegment[] => JSON.parse(points));
}

/** A segment without the values that are known, and without those that it has twice. */
export function withoutKnown(segment: Segment, known: StoredSegment[]): Segment {
  const [first] = segment.rows;
  const last = segment.rows.at(-1);
  type Row = Segment["rows"][number];
  const of = (metric: string, [step]: Row, value: unknown, ms: number | null | "any") =>
    `${step} ${ms} ${value} ${metric}`;
  const seen = new Set<string>();
  const note = (metric: string, row: Row, value: unknown) => {
    seen.add(of(metric, row, value, row[2]));
    seen.add(of(metric, row, value, "any"));
  };
  // A client may say the time of a value when it sends it again, and not before.
  const isKnown = (metric: string, row: Row, value: unknown) =>
    row[2] === null
      ? seen.has(of(metric, row, value, "any"))
      : seen.has(of(metric, row, value, row[2])) || seen.has(of(metric, row, value, null));
  for (const { m, p } of known)
    for (const row of p) {
      if (!first || !last || row[0] < first[0] || row[0] > last[0]) continue;
      for (const [n, metric] of m.entries()) {
        const value = row[n + 3];
        if (value !== null && value !== undefined) note(metric, row, value);
      }
    }
  const rows = segment.rows.flatMap((row): Segment["rows"] => {
    const values = segment.metrics.map((metric, n) => {
      const value = row[n + 3] ?? null;
      if (value === null || typeof value === "object") return null;
      if (isKnown(metric, row, value)) return null;
      note(metric, row, value);
      return value;
    });
    return values.some((value) => value !== null)
      ? [[row[0], row[1], row[2], ...values] as Segment["rows"][number]]
      : [];
  });
  return { metrics: segment.metrics, rows };
}
