import { type SQL, sql } from "drizzle-orm";
import { coarsen, shownValue } from "../metrics/buckets.ts";
import { curveOf } from "../metrics/curve.ts";
import type { Point, StoredSegment, Value } from "../metrics/points.ts";
import {
  type AttemptLogs,
  type MetricNames,
  metricOf,
  type OutlineRow,
  outlineColumns,
  toOutline,
} from "../metrics/read.ts";
import type { Db } from "../platform/db/client.ts";

/** Chunks of a run that its curve is drawn from; of more, every second, third, … is taken. */
const CHUNKS = 200;
/** Runs of up to so many chunks are drawn from their blocks, longer ones from chunks as a whole. */
const FINE_CHUNKS = 20;
/** Runs up to this size are drawn from their points themselves. */
const RAW_POINTS = 500;
const RAW_BYTES = 100_000;

export const alignments = ["step", "epoch", "time"] as const;

type ChunkRow = OutlineRow & { id: number; points: string | null };
type AttemptRow = {
  id: number;
  attempt: number;
  points: number;
  firstStep: number | null;
  received: number;
  overlap: number;
  summaries: string | null;
};

/** Statements that read the curves of some tasks under the first of `names` each of them has. */
export const curveStatements = (db: Db, ids: SQL, names: MetricNames) => ({
  attempts: db.all<AttemptRow>(sql`
      select task_id as id, attempt, points, first_step as "firstStep", received, overlap,
        (select json_group_object(key, json(value)) from json_each(summary)
          where ${sql.join(
            names.map((name) => sql`key = ${name}`),
            sql` or `,
          )}) as summaries
      from task_attempt where task_id in (${ids}) order by task_id, attempt`),
  chunks: db.all<ChunkRow>(sql`
      with numbered as (
        select task_id, attempt, chunk, row_number() over (partition by task_id order by attempt, chunk) as nth,
          count(*) over (partition by task_id) as chunks
        from log_chunk where task_id in (${ids}))
      select c.task_id as id, ${outlineColumns(names, sql`n.chunks <= ${FINE_CHUNKS}`)},
        case when (select sum(points) <= ${RAW_POINTS} and sum(bytes) <= ${RAW_BYTES} from task_attempt a where a.task_id = c.task_id)
          then c.points end as points
      from numbered n
      cross join log_chunk c on c.task_id = n.task_id and c.attempt = n.attempt and c.chunk = n.chunk
      where n.nth % ((n.chunks + ${CHUNKS - 1}) / ${CHUNKS}) = 0 or n.nth = n.chunks
      order by 1, 2, 3`),
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

/** A task's curve as [place, value], out of the rows that the statements brought. */
export function alignedCurve(
  id: number,
  rows: { attempts: AttemptRow[]; chunks: ChunkRow[] },
  asked: { names: MetricNames; align: (typeof alignments)[number]; most: number },
): { metric: string; points: [number, Value][] } {
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
  const metric = metricOf(attempts, asked.names);
  const { buckets } = curveOf(
    attempts,
    chunks.map(toOutline),
    chunks.flatMap(({ attempt, points: stored }) =>
      stored === null ? [] : [{ attempt, segments: JSON.parse(stored) as StoredSegment[] }],
    ),
    metric,
  );
  const points = coarsen(buckets, asked.most).map((bucket): Point => {
    const [step, epoch, ms] = bucket.last;
    return [step, epoch, ms, shownValue(bucket)];
  });
  const begin = points.find(([, , ms]) => ms !== null)?.[2] ?? null;
  return {
    metric,
    points: points.flatMap((point): [number, Value][] => {
      const place = placeOf(point, asked.align, begin);
      return place === null ? [] : [[place, point[3]]];
    }),
  };
}
