import { type SQL, sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { FORM } from "../platform/db/schema.ts";
import { isSystemMetric, MOST_SYSTEM_METRICS } from "../shared/system-metrics.ts";
import { bucketsOf, packBucket, type StoredBucket } from "./buckets.ts";
import {
  mergeSummaries,
  type Point,
  pointsOf,
  type Segment,
  type Summary,
  summarise,
  withMetrics,
} from "./points.ts";

/**
 * Metrics of a heartbeat that its own statement merges into what is stored: the database has one
 * writer, and the time that merging takes grows with the metrics and with what is stored of them.
 * More are merged in the Worker, out of what it read beforehand.
 */
const MERGED_BY_STATEMENT = 64;
/** The shortest summary of a metric: what is stored in fewer bytes than so many take is no more metrics. */
const LEAST_SUMMARY_BYTES = 110;

/**
 * Points of a chunk, and bytes of its points and blocks, before the next one is begun: each heartbeat writes
 * its chunk anew, so that these bytes bound what it costs. sum-up.ts has the bounds of those brought together.
 */
const OPEN_POINTS = 1000;
const OPEN_BYTES = 24 * 1024;
/** SQLite functions take 127 arguments at most: json_set's pairs are nested in groups. */
const PAIRS = 60;

const path = (metric: string) => `$."${metric}"`;
const json = (value: unknown) => JSON.stringify(value);

/** Nests calls of `json_set(…)`, so that any number of pairs fits. */
function withPairs(target: SQL, pairs: SQL[]): SQL {
  let result = target;
  for (let i = 0; i < pairs.length; i += PAIRS)
    result = sql`json_set(${result}, ${sql.join(pairs.slice(i, i + PAIRS), sql`, `)})`;
  return result;
}

/** A stored sum with another added; null, as soon as no double holds it. */
const addSum = (type: SQL, old: SQL, sum: number | null) =>
  sql`case when ${type} = 'null' or abs(coalesce(${old}, 0) + ${sum}) > 1.7976931348623157e308 then null else coalesce(${old}, 0) + ${sum} end`;

/**
 * SQL for a stored summary with a heartbeat's summaries merged in. It is spelled out a metric
 * because json_each would count a read row a metric, and rows are what is billed.
 */
function mergeSummary(old: SQL, summaries: [string, Summary][]): SQL {
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
      'sum', ${addSum(sql`json_type(${old}, ${`${path(metric)}.sum`})`, at("sum"), s.sum)},
      'min', ${extreme("min", sql`<`)},
      'max', ${extreme("max", sql`>`)},
      'last', json(case when coalesce(${at("last[0]")}, -1) <= ${s.last[0]} then ${json(s.last)} else ${kept("last")} end))`;
  });
  return withPairs(old, pairs);
}

/** The parts of an attempt that merging in the Worker needs: they change only with `received`. */
export type Stored = {
  received: number;
  lastSeq: number;
  gaps: string;
  summary: string;
};

/** An attempt as it is stored, for merging in the Worker; null where it does not exist yet. */
export async function readStored(db: Db, taskId: number, attempt: SQL): Promise<Stored | null> {
  const [row] = await db.all<Stored>(sql`
    select received, last_seq as "lastSeq", gaps, summary from task_attempt
    where task_id = ${taskId} and attempt = ${attempt}`);
  return row ?? null;
}

type Summaries = Record<string, Summary>;

/** Whether the statement of a heartbeat merges it, decided without reading the database. */
export const mergesByStatement = (segment: Segment): boolean =>
  segment.metrics.length <= MERGED_BY_STATEMENT;

/**
 * A segment with as many metrics as an attempt may have, and the names of those that were too many. Figures
 * of the machine count by themselves, so that a box of many GPUs takes no place from the metrics.
 */
export function boundMetrics(segment: Segment, stored: Stored | null, most: number) {
  const known = new Set(Object.keys(stored ? JSON.parse(stored.summary) : {}));
  let figures = [...known].filter(isSystemMetric).length;
  const dropped: string[] = [];
  const kept = withMetrics(segment, (metric) => {
    if (known.has(metric)) return true;
    const isFigure = isSystemMetric(metric);
    if (isFigure ? figures >= MOST_SYSTEM_METRICS : known.size - figures >= most) {
      dropped.push(metric);
      return false;
    }
    known.add(metric);
    if (isFigure) figures++;
    return true;
  });
  return { segment: kept, dropped };
}

/** Metrics that an attempt may have beside those of a heartbeat, whichever these are; as boundMetrics() counts. */
function roomFor(summaries: [string, Summary][], most: number): number {
  const figures = summaries.filter(([metric]) => isSystemMetric(metric)).length;
  const own = summaries.length - figures;
  return Math.max(
    0,
    Math.min(
      own > 0 ? most - own : Number.POSITIVE_INFINITY,
      figures > 0 ? MOST_SYSTEM_METRICS - figures : most,
    ),
  );
}

/** A heartbeat's log points, ready to be put behind those already there. */
export type Append = ReturnType<typeof prepareAppend>;

/**
 * Prepares a heartbeat's segment; null when it brought no point. With `stored` (null: nothing is)
 * summaries are merged here, and `guard` holds while the attempt is as it was read; without, the
 * statement merges them, and `guard` holds while the attempt surely has fewer than `most` metrics. `byTime`: of
 * several values of one step, the last is the one that was logged last, whenever it arrives.
 */
export function prepareAppend(
  segment: Segment,
  most: number,
  stored?: Stored | null,
  byTime = false,
) {
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
  const blocks = byMetric.map(([metric, points]): [string, StoredBucket[]] => [
    metric,
    bucketsOf(points).map(packBucket),
  ]);
  const blocksJson = json([Object.fromEntries(blocks)]);
  const tail = `"m":${json(segment.metrics)},"p":${json(segment.rows)}}`;
  const summaryOver = (text: string | null): string => {
    const stored: Summaries = JSON.parse(text ?? "{}");
    // A metric may be called `__proto__`, which no assignment makes a field.
    const all = new Map(Object.entries(stored));
    for (const [metric, own] of summaries) {
      const older = all.get(metric);
      all.set(metric, older ? mergeSummaries(older, own, byTime) : own);
    }
    return json(Object.fromEntries(all));
  };
  const merged =
    stored === undefined
      ? {
          attemptSummary: mergeSummary(sql`summary`, summaries),
          guard: sql`length(summary) < ${roomFor(summaries, most) * LEAST_SUMMARY_BYTES}`,
        }
      : {
          attemptSummary: sql`${summaryOver(stored?.summary ?? null)}`,
          guard: sql`received = ${stored?.received ?? 0}`,
        };
  return {
    count: segment.rows.length,
    size: tail.length,
    blocksSize: blocksJson.length,
    firstStep: first[0],
    lastStep: last[0],
    summaryJson: json(Object.fromEntries(summaries)),
    blocksJson,
    ...merged,
    /** The end of the stored segment; its beginning, the arrival number, is known to SQL alone. */
    segmentTail: tail,
  };
}

/**
 * Whether a heartbeat still fits the attempt's open chunk. Its blocks count as if those of each heartbeat
 * in it, which are `received - open_chunk + 1`, were as long as this one's.
 */
const fitsChunk = (append: { count: number; size: number; blocksSize: number }): SQL =>
  sql`(open_chunk > 0 and open_count + ${append.count} <= ${OPEN_POINTS}
    and open_size + ${append.size} + (received - open_chunk + 2) * ${append.blocksSize} <= ${OPEN_BYTES})`;

/** The columns of an attempt after a heartbeat's points. */
export const recordPoints = (append: NonNullable<Append>): Record<string, SQL> => ({
  open_chunk: sql`case when ${fitsChunk(append)} then open_chunk else received + 1 end`,
  open_count: sql`case when ${fitsChunk(append)} then open_count else 0 end + ${append.count}`,
  open_size: sql`case when ${fitsChunk(append)} then open_size else 0 end + ${append.size}`,
  points: sql`points + ${append.count}`,
  bytes: sql`bytes + ${append.size}`,
  overlap: sql`max(overlap, coalesce(last_step, -1) >= ${append.firstStep})`,
  first_step: sql`min(coalesce(first_step, ${append.firstStep}), ${append.firstStep})`,
  last_step: sql`max(coalesce(last_step, 0), ${append.lastStep})`,
  summary: append.attemptSummary,
});

/** Two JSON arrays in one, without reading either. */
const joined = (first: SQL, second: SQL) =>
  sql`substr(${first}, 1, length(${first}) - 1) || ',' || substr(${second}, 2)`;

/**
 * Puts the points behind the attempt's open chunk, or begins the next; those without a number rank by their
 * arrival. Comes right after the statement
 * that accepted the heartbeat: `accepted` is the condition that it did.
 */
export const appendPoints = (
  db: Db,
  append: NonNullable<Append>,
  { taskId, attempt, seq }: { taskId: number; attempt: number | SQL; seq: number | null },
  accepted: SQL,
) =>
  db.run(sql`
  insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, form, summary, blocks, points)
  select a.task_id, a.attempt, a.open_chunk, a.received, ${append.firstStep}, ${append.lastStep},
    ${append.count}, ${append.size}, ${FORM.open}, '{}', ${append.blocksJson},
    '[{"a":' || a.received || ${seq === null ? sql`',"q":' || a.received` : `,"q":${seq}`} || ${`,${append.segmentTail}]`}
  from task_attempt a where a.task_id = ${taskId} and a.attempt = ${attempt} and ${accepted}
  on conflict (task_id, attempt, chunk) do update set
    arrival = excluded.arrival,
    first_step = min(first_step, excluded.first_step),
    last_step = max(last_step, excluded.last_step),
    count = count + excluded.count,
    size = size + excluded.size,
    blocks = iif(form = ${FORM.open}, ${joined(sql`blocks`, sql`excluded.blocks`)}, blocks),
    points = ${joined(sql`points`, sql`excluded.points`)}`);

/** The warning that an attempt has as many metrics as it may: points of further ones were left out. */
export const warnOfMetrics = (dropped: string[], most: number) => ({
  code: "too-many-metrics",
  message: `This attempt has ${most} metrics, as many as it may. What was logged under ${dropped.length} further names was left out: ${dropped.slice(0, 5).join(", ")}${dropped.length > 5 ? ", …" : ""}.`,
  path: "logs",
});
