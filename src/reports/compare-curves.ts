import { type SQL, sql } from "drizzle-orm";
import { coarsen, shownValue } from "../metrics/buckets.ts";
import { curveOf } from "../metrics/curve.ts";
import type { Point, StoredSegment, Value } from "../metrics/points.ts";
import {
  type AttemptLogs,
  eachColumns,
  type MetricNames,
  metricOf,
  type OutlineRow,
  outlinesOf,
} from "../metrics/read.ts";
import type { Db } from "../platform/db/client.ts";

/** How closely each of several runs is read. */
export type Detail = {
  /** Chunks of a run that its curve is drawn from; of more, every second, third, … is taken. */
  chunks: number;
  /** Runs of up to so many chunks are drawn from their blocks, longer ones from chunks as a whole. */
  fine: number;
  /** Runs up to this size are drawn from their points themselves. */
  rawPoints: number;
  rawBytes: number;
};

export const alignments = ["step", "epoch", "time"] as const;

type ChunkRow = OutlineRow & { id: number; chunks: number; points: string | null };
type AttemptRow = {
  id: number;
  attempt: number;
  points: number;
  firstStep: number | null;
  received: number;
  overlap: number;
  summaries: string | null;
};

/**
 * Statements that read the curves of some tasks under the first of `names` each of them has; `ids` is a list
 * of ids, or a query that finds them.
 */
export const curveStatements = (db: Db, ids: SQL, names: MetricNames, detail: Detail) => ({
  attempts: db.all<AttemptRow>(sql`
      select task_id as id, attempt, points, first_step as "firstStep", received, overlap,
        (select json_group_object(key, json(value)) from json_each(summary)
          where ${sql.join(
            names.map((name) => sql`key = ${name}`),
            sql` or `,
          )}) as summaries
      from task_attempt where task_id in (${ids}) order by task_id, attempt`),
  chunks: db.all<ChunkRow>(sql`
      with sizes as materialized (
        select task_id, sum(points) <= ${detail.rawPoints} and sum(bytes) <= ${detail.rawBytes} as small
        from task_attempt where task_id in (${ids}) group by task_id),
      -- A list, for a window function reads each chunk several times.
      lists as materialized (
        select task_id, count(*) as chunks, json_group_array(json_array(attempt, chunk)) as list
        from (select task_id, attempt, chunk from log_chunk where task_id in (${ids}) order by task_id, attempt, chunk)
        group by task_id)
      select c.task_id as id, l.chunks, ${eachColumns(names, sql`(l.chunks <= ${detail.fine} and not s.small)`)},
        iif(s.small, c.points, null) as points
      from lists l join sizes s on s.task_id = l.task_id
      cross join json_each(l.list) n
      cross join log_chunk c on c.task_id = l.task_id and c.attempt = n.value ->> 0 and c.chunk = n.value ->> 1
      where (n.key + 1) % ((l.chunks + ${detail.chunks - 1}) / ${detail.chunks}) = 0 or n.key = 0 or n.key + 1 = l.chunks
      order by 1, 3, 4`),
});

const parse = <T>(text: string | null): T | null => (text === null ? null : JSON.parse(text));

/** The place of a point on the axis; `begin` is when the run's first point was (ms). */
function placeOf(
  [step, epoch, ms]: Point,
  align: (typeof alignments)[number],
  begin: number | null,
): number | null {
  if (align === "step") return step;
  if (align === "epoch") return epoch;
  return ms === null || begin === null ? null : (ms - begin) / 1000;
}

type CurveRows = { attempts: AttemptRow[]; chunks: ChunkRow[] };

/**
 * A task's curve, out of the rows that the statements brought. `oneOf`: it is drawn from one of so many
 * chunks, and its counts are of these.
 */
export function taskCurve(id: number, rows: CurveRows, names: MetricNames, detail: Detail) {
  const attempts = rows.attempts
    .filter((row) => row.id === id)
    .map(
      ({ summaries, overlap, ...row }): AttemptLogs => ({
        ...row,
        overlap: overlap !== 0,
        summaries: parse(summaries) ?? {},
      }),
    );
  const chunks = rows.chunks.filter((row) => row.id === id);
  const metric = metricOf(attempts, names);
  const raw = chunks.flatMap(({ attempt, points: stored }) =>
    stored === null ? [] : [{ attempt, segments: JSON.parse(stored) as StoredSegment[] }],
  );
  const oneOf = Math.max(1, Math.ceil((chunks[0]?.chunks ?? 0) / detail.chunks));
  return { metric, oneOf, ...curveOf(attempts, outlinesOf(chunks, names, attempts), raw, metric) };
}

/** A task's curve as [place, value], out of the rows that the statements brought. */
export function alignedCurve(
  id: number,
  rows: CurveRows,
  { names, align, most }: { names: MetricNames; align: (typeof alignments)[number]; most: number },
  detail: Detail,
): { metric: string; points: [number, Value][] } {
  const { metric, buckets } = taskCurve(id, rows, names, detail);
  const points = coarsen(buckets, most).map((bucket): Point => {
    const [step, epoch, ms] = bucket.last;
    return [step, epoch, ms, shownValue(bucket)];
  });
  const begin = points.find(([, , ms]) => ms !== null)?.[2] ?? null;
  return {
    metric,
    points: points.flatMap((point): [number, Value][] => {
      const place = placeOf(point, align, begin);
      return place === null ? [] : [[place, point[3]]];
    }),
  };
}
