import { type SQL, sql } from "drizzle-orm";
import {
  extremesByBlock,
  type Point,
  pointsOf,
  type Segment,
  type Summary,
  summarise,
} from "./points.ts";

/** Rows of a chunk before the next one is begun, and bytes of its points. */
const CHUNK_POINTS = 1000;
const CHUNK_BYTES = 128 * 1024;
/** SQLite functions take 127 arguments at most: json_set's pairs are nested in groups. */
const PAIRS = 60;

const path = (metric: string) => `$."${metric}"`;
const json = (value: unknown) => JSON.stringify(value);

/** Nests `json_set(…)` or `json_insert(…)` calls, so that any number of pairs fits. */
function withPairs(name: "json_set" | "json_insert", target: SQL, pairs: SQL[]): SQL {
  let result = target;
  for (let i = 0; i < pairs.length; i += PAIRS)
    result = sql`${sql.raw(name)}(${result}, ${sql.join(pairs.slice(i, i + PAIRS), sql`, `)})`;
  return result;
}

/** A stored sum with another added; null, as soon as no double holds it. */
const summed = (type: SQL, old: SQL, sum: number | null) =>
  sql`case when ${type} = 'null' or abs(coalesce(${old}, 0) + ${sum}) > 1.7976931348623157e308 then null else coalesce(${old}, 0) + ${sum} end`;

/**
 * SQL for a stored summary with a heartbeat's summaries merged in. It is spelled out a metric
 * because json_each would count a read row a metric, and rows are what is billed.
 */
function mergedSummary(old: SQL, summaries: [string, Summary][]): SQL {
  const pairs = summaries.map(([metric, s]) => {
    const at = (field: string) => sql`${old} ->> ${`${path(metric)}.${field}`}`;
    const kept = (field: string) => sql`json_extract(${old}, ${`${path(metric)}.${field}`})`;
    // Equal keeps the old point. A null extreme (no finite value yet) loses to any number.
    const extreme = (field: "min" | "max", better: SQL) => {
      const point = s[field];
      return point === null
        ? sql`json(${kept(field)})`
        : sql`json(case when ${at(`${field}[3]`)} is null or ${point[3]} ${better} ${at(`${field}[3]`)} then ${json(point)} else ${kept(field)} end)`;
    };
    return sql`${path(metric)}, json_object(
      'count', coalesce(${at("count")}, 0) + ${s.count},
      'nonfinite_count', coalesce(${at("nonfinite_count")}, 0) + ${s.nonfinite_count},
      'sum', ${summed(sql`json_type(${old}, ${`${path(metric)}.sum`})`, at("sum"), s.sum)},
      'min', ${extreme("min", sql`<`)},
      'max', ${extreme("max", sql`>`)},
      'last', json(case when coalesce(${at("last[0]")}, -1) <= ${s.last[0]} then ${json(s.last)} else ${kept("last")} end))`;
  });
  return withPairs("json_set", old, pairs);
}

/** SQL for stored blocks with a heartbeat's blocks put behind each metric's. */
function mergedBlocks(old: SQL, blocks: [string, Point[]][]): SQL {
  const begun = withPairs(
    "json_insert",
    old,
    blocks.map(([metric]) => sql`${path(metric)}, json('[]')`),
  );
  return withPairs(
    "json_insert",
    begun,
    blocks.flatMap(([metric, points]) =>
      points.map((point) => sql`${`${path(metric)}[#]`}, json(${json(point)})`),
    ),
  );
}

/** A heartbeat's log points, ready to be put behind those already there. */
export type Append = ReturnType<typeof prepareAppend>;

/** Prepares a heartbeat's segment; null when it brought no point. */
export function prepareAppend(segment: Segment) {
  const [first] = segment.rows;
  const last = segment.rows.at(-1);
  if (!first || !last) return null;
  const byMetric = segment.metrics
    .map((metric): [string, Point[]] => [metric, pointsOf(segment, metric)])
    .filter(([, points]) => points.length > 0);
  const summaries = byMetric.map(([metric, points]): [string, Summary] => [
    metric,
    summarise(points),
  ]);
  const blocks = byMetric.map(([metric, points]): [string, Point[]] => [
    metric,
    extremesByBlock(points),
  ]);
  const tail = `"m":${json(segment.metrics)},"p":${json(segment.rows)}}`;
  return {
    count: segment.rows.length,
    size: tail.length,
    firstStep: first[0],
    lastStep: last[0],
    summaryJson: json(Object.fromEntries(summaries)),
    blocksJson: json(Object.fromEntries(blocks)),
    mergedSummary: (old: SQL) => mergedSummary(old, summaries),
    mergedBlocks: (old: SQL) => mergedBlocks(old, blocks),
    /** The end of the stored segment; its beginning, the arrival number, is known to SQL alone. */
    segmentTail: tail,
  };
}

/** Whether a heartbeat of `count` points and `size` bytes still fits the attempt's open chunk. */
const fits = (append: { count: number; size: number }): SQL =>
  sql`(open_chunk > 0 and open_count + ${append.count} <= ${CHUNK_POINTS} and open_size + ${append.size} <= ${CHUNK_BYTES})`;

/** The assignments that note a heartbeat's points in the attempt's row (on conflict do update). */
export const attemptAssignments = (append: NonNullable<Append>): SQL => sql`
  , open_chunk = case when ${fits(append)} then open_chunk else received + 1 end
  , open_count = case when ${fits(append)} then open_count else 0 end + ${append.count}
  , open_size = case when ${fits(append)} then open_size else 0 end + ${append.size}
  , points = points + ${append.count}
  , bytes = bytes + ${append.size}
  , overlap = max(overlap, coalesce(last_step, -1) >= ${append.firstStep})
  , first_step = min(coalesce(first_step, ${append.firstStep}), ${append.firstStep})
  , last_step = max(coalesce(last_step, 0), ${append.lastStep})
  , summary = ${append.mergedSummary(sql`summary`)}`;

/**
 * Puts the points behind the attempt's open chunk, or begins the next. Runs right behind the
 * statement that accepted the heartbeat: changes() is 0 when that one changed nothing.
 */
export const appendPoints = (
  append: NonNullable<Append>,
  taskId: number,
  attempt: SQL,
  seq: number,
): SQL => sql`
  insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points)
  select a.task_id, a.attempt, a.open_chunk, a.received, ${append.firstStep}, ${append.lastStep},
    ${append.count}, ${append.size}, ${append.summaryJson}, ${append.blocksJson},
    '[{"a":' || a.received || ${`,"q":${seq},${append.segmentTail}]`}
  from task_attempt a where a.task_id = ${taskId} and a.attempt = ${attempt} and changes() = 1
  on conflict (task_id, attempt, chunk) do update set
    arrival = excluded.arrival,
    first_step = min(first_step, excluded.first_step),
    last_step = max(last_step, excluded.last_step),
    count = count + excluded.count,
    size = size + excluded.size,
    summary = ${append.mergedSummary(sql`log_chunk.summary`)},
    blocks = ${append.mergedBlocks(sql`log_chunk.blocks`)},
    points = substr(points, 1, length(points) - 1) || ',' || substr(excluded.points, 2)`;
