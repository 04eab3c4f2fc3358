import { sql } from "drizzle-orm";
import { type Bucket, bucketOf, meanOfBucket } from "../metrics/buckets.ts";
import type { StoredSegment, Summary } from "../metrics/points.ts";
import {
  type MetricNames,
  type OutlineRow,
  outlineColumns,
  partOf,
  pointsOfSegments,
  toOutline,
} from "../metrics/read.ts";
import type { Db } from "../platform/db/client.ts";

/** How many chunks of a run are looked at, spread over its length; most runs have fewer. */
const CHUNKS = 12;
const POINTS = 40;
/** Runs up to this many points are drawn from the points themselves. */
const RAW_POINTS = 200;

/** Means of POINTS equal stretches of the curve: what a line of a hundred pixels can show. */
export function outline(points: [step: number, value: number][]): [number, number][] {
  if (points.length <= POINTS) return points;
  const size = points.length / POINTS;
  return Array.from({ length: POINTS }, (_, n) => {
    const part = points.slice(Math.floor(n * size), Math.floor((n + 1) * size));
    const sum = part.reduce((total, [, value]) => total + value, 0);
    return [part.at(-1)?.[0] ?? 0, sum / part.length];
  });
}

/** About how many chunks an attempt `a` has at most: large ones hold 1,000 points, those that take points in 24 kB. */
const chunksOf = sql`max(a.points / 500, a.bytes / 8192, a.received / 8)`;

/**
 * Small curves of the latest attempt of some tasks, in one round trip. Of each run the chunks at
 * CHUNKS places of its length are found by key, so that a very long one costs no more than a short.
 */
export async function readSparklines(db: Db, ids: number[], names: MetricNames) {
  const rows = await db.all<
    OutlineRow & { id: number; last: string | null; points: string | null }
  >(sql`
    select a.task_id as id, ${partOf(sql`a.summary`, names)} as last, ${outlineColumns(names, sql`true`)},
      case when a.points <= ${RAW_POINTS} then c.points end as points
    from training_task t
    join task_attempt a on a.task_id = t.id and a.attempt = t.attempt
    join json_each(${JSON.stringify(Array.from({ length: CHUNKS }, (_, n) => n))}) k
      on k.value <= ${chunksOf}
    join log_chunk c on c.task_id = a.task_id and c.attempt = a.attempt and c.chunk = (
      select max(chunk) from log_chunk where task_id = a.task_id and attempt = a.attempt
        and chunk <= 1 + (a.received - 1) * k.value / min(${CHUNKS - 1}, max(1, ${chunksOf})))
    where t.id in (${sql.join(
      ids.map((id) => sql`${id}`),
      sql`, `,
    )}) and t.deleted_at is null
    group by a.task_id, c.chunk order by a.task_id, c.chunk`);
  const parse = <T>(text: string | null): T | null => (text === null ? null : JSON.parse(text));
  const of = (row: (typeof rows)[number]): Bucket[] => {
    const segments = parse<StoredSegment[]>(row.points);
    const metric = segments && names.find((name) => segments.some((s) => s.m.includes(name)));
    if (segments && metric) return pointsOfSegments(segments, metric).map(bucketOf);
    const { whole, blocks } = toOutline(row);
    return blocks ?? (whole ? [whole] : []);
  };
  return ids.flatMap((id) => {
    const mine = rows.filter((row) => row.id === id);
    const points = mine
      .flatMap(of)
      .flatMap((bucket): [number, number][] => {
        const mean = meanOfBucket(bucket);
        return mean === null ? [] : [[bucket.last[0], mean]];
      })
      .sort((a, b) => a[0] - b[0]);
    if (points.length === 0) return [];
    const last = parse<Summary>(mine[0]?.last ?? null)?.last[3];
    return [{ id, last: typeof last === "number" ? last : null, points: outline(points) }];
  });
}
