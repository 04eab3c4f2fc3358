import { asc, eq, type SQL, sql } from "drizzle-orm";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { FORM, taskAttempt, trainingTask } from "../platform/db/schema.ts";
import { type Bucket, mergeAll, type StoredBucket, unpackBucket } from "./buckets.ts";
import type { Point, StoredSegment, Summary } from "./points.ts";

/** Runs up to this size are read point by point; larger ones through their chunks' summaries. */
const RAW_POINTS = 5000;
const RAW_BYTES = 1_000_000;

/** Chunks that one curve reads: about 10,000,000 points of few metrics, 170,000 of 500. */
export const MOST_CHUNKS = 10_000;
/** Chunks × metrics that one answer reads of several metrics, and the fewest chunks of each. */
const MOST_PARTS = 48_000;
const LEAST_CHUNKS = 2000;

/** Names of a metric: the first one that an attempt has counts. */
export type MetricNames = readonly [string, ...string[]];
export const lossNames: MetricNames = [
  "loss",
  "loss/average",
  "loss/current",
  "train/loss",
  "train_loss",
];

/** The names of a metric that is asked for: the loss has several. */
export const namesOf = (metric: string): MetricNames => (metric === "loss" ? lossNames : [metric]);

export type AttemptLogs = {
  attempt: number;
  points: number;
  firstStep: number | null;
  received: number;
  overlap: boolean;
  summaries: Record<string, Summary>;
};

/** One metric of a chunk: all of it as one bucket, and in blocks where they were asked for and are there. */
export type ChunkOutline = {
  attempt: number;
  chunk: number;
  whole: Bucket | null;
  blocks: Bucket[] | null;
};

export type RawChunk = { attempt: number; segments: StoredSegment[] };

/** SQL for a metric's part of a chunk's JSON column, under the first name that is there. */
export const partOf = (column: SQL, names: MetricNames) => {
  const parts = names.map((name) => sql`json_extract(${column}, ${`$."${name}"`})`);
  return parts.length === 1 ? sql`${parts[0]}` : sql`coalesce(${sql.join(parts, sql`, `)})`;
};

const totalOf = (column: "points" | "bytes", taskId: number) =>
  sql`(select coalesce(sum(${sql.raw(column)}), 0) from task_attempt where task_id = ${taskId})`;

const parse = <T>(text: string | null): T | null => (text === null ? null : JSON.parse(text));

export type OutlineRow = {
  attempt: number;
  chunk: number;
  form: number;
  firstStep: number;
  summary: string | null;
  blocks: string | null;
};

/** The bucket that an older release's summary comes to, which does not know where it began, nor which its odd values are. */
const ofSummary = (firstStep: number, summary: Summary): Bucket => ({
  first: Math.min(firstStep, summary.last[0]),
  ...{ last: summary.last, count: summary.count, sum: summary.sum },
  ...{ min: summary.min, max: summary.max },
  ...{ nan: summary.nonfinite_count, inf: 0, ninf: 0, nonfiniteFrom: null },
});

/**
 * The columns of a chunk that toOutline() reads, of the table under the name `c`. Of one that takes points in,
 * there is a list for each heartbeat.
 */
export const outlineColumns = (names: MetricNames, withBlocks: SQL) => sql`
  c.attempt, c.chunk, c.form, c.first_step as "firstStep", ${partOf(sql`c.summary`, names)} as summary,
  case c.form
    when ${FORM.open} then (select json_group_array(json(${partOf(sql`h.value`, names)})) from json_each(c.blocks) h)
    when ${FORM.whole} then iif(${withBlocks}, ${partOf(sql`c.blocks`, names)}, null) end as blocks`;

export const toOutline = ({ summary, blocks, ...chunk }: OutlineRow): ChunkOutline =>
  outlineOf(chunk, parse(summary), parse(blocks));

/** A chunk, and one metric's part of its columns, of which the form tells what they are. */
function outlineOf(
  { attempt, chunk, form, firstStep }: Omit<OutlineRow, "summary" | "blocks">,
  summary: unknown,
  parts: unknown,
): ChunkOutline {
  if (form === FORM.open) {
    const lists = (parts as (StoredBucket[] | null)[] | null) ?? [];
    const blocks = lists.flatMap((list) => list ?? []).map(unpackBucket);
    return { attempt, chunk, whole: blocks.length > 0 ? mergeAll(blocks) : null, blocks };
  }
  const whole =
    summary === null
      ? null
      : form === FORM.old
        ? ofSummary(firstStep, summary as Summary)
        : unpackBucket(summary as StoredBucket);
  const blocks = (parts as StoredBucket[] | null)?.map(unpackBucket) ?? null;
  return { attempt, chunk, whole, blocks };
}

/** The columns of a chunk that toOutlines() reads: those of outlineColumns(), each with a list of all metrics. */
const outlinesColumns = (metrics: MetricNames[], withBlocks: SQL) => {
  const parts = (column: SQL) =>
    sql`json_array(${sql.join(
      metrics.map((names) => sql`json(${partOf(column, names)})`),
      sql`, `,
    )})`;
  return sql`
  c.attempt, c.chunk, c.form, c.first_step as "firstStep", ${parts(sql`c.summary`)} as summary,
  case c.form
    when ${FORM.open} then (select json_group_array(${parts(sql`h.value`)}) from json_each(c.blocks) h)
    when ${FORM.whole} then iif(${withBlocks}, ${parts(sql`c.blocks`)}, null) end as blocks`;
};

/** One chunk of each metric, in the order of outlinesColumns(). */
function toOutlines({ summary, blocks, ...chunk }: OutlineRow, metrics: number): ChunkOutline[] {
  const summaries = parse<unknown[]>(summary) ?? [];
  const parts = parse<unknown[]>(blocks);
  return Array.from({ length: metrics }, (_, n) =>
    outlineOf(
      chunk,
      summaries[n] ?? null,
      // Of a chunk that takes points in, there is such a list for each heartbeat.
      chunk.form === FORM.open
        ? (parts as unknown[][] | null)?.map((list) => list[n] ?? null)
        : (parts?.[n] ?? null),
    ),
  );
}

/** The columns of a chunk that outlinesOf() reads: a metric's under each of its names. */
export const eachColumns = (names: MetricNames, withBlocks: SQL) =>
  outlinesColumns(
    names.map((name) => [name]),
    withBlocks,
  );

/** A metric's part of chunks, under the name that the run has it by: a chunk may hold another of its names alone. */
export function outlinesOf(rows: OutlineRow[], names: MetricNames, attempts: AttemptLogs[]) {
  const name = names.indexOf(metricOf(attempts, names));
  return rows.flatMap((row) => toOutlines(row, names.length)[name] ?? []);
}

/** Statements that read an attempt's figures, newest last. */
export const attemptsQuery = (db: Db, taskId: number) =>
  db
    .select({
      attempt: taskAttempt.attempt,
      points: taskAttempt.points,
      firstStep: taskAttempt.firstStep,
      received: taskAttempt.received,
      overlap: taskAttempt.overlap,
      summary: taskAttempt.summary,
    })
    .from(taskAttempt)
    .where(eq(taskAttempt.taskId, taskId))
    .orderBy(asc(taskAttempt.attempt));

export const toAttempts = (rows: Awaited<ReturnType<typeof attemptsQuery>>): AttemptLogs[] =>
  rows.map(({ summary, ...row }) => ({ ...row, summaries: JSON.parse(summary) }));

/** A chunk of a task, for reading page after page where none comes to another in between. */
export type ChunkPlace = { attempt: number; chunk: number };

/** The points of a run that is small enough to be read whole, newest first. */
const rawChunks = (db: Db, taskId: number) =>
  db.all<{ attempt: number; points: string }>(sql`
    select attempt, points from log_chunk where task_id = ${taskId}
    order by attempt desc, chunk desc limit (select case
      when ${totalOf("points", taskId)} <= ${RAW_POINTS} and ${totalOf("bytes", taskId)} <= ${RAW_BYTES} then 200 else 0 end)`);

const toRaw = (row: { attempt: number; points: string }): RawChunk => ({
  attempt: row.attempt,
  segments: JSON.parse(row.points),
});

/** One round trip for a task's logs under `where` (which names the task and who may see it). */
export async function readLogs(
  db: Db,
  where: SQL | undefined,
  taskId: number,
  names: MetricNames,
  page: { limit: number; after?: ChunkPlace; newestFirst?: boolean },
) {
  const order = sql.raw(page.newestFirst ? "desc" : "asc");
  const after = page.after
    ? sql`and (attempt, chunk) ${sql.raw(page.newestFirst ? "<" : ">")} (${page.after.attempt}, ${page.after.chunk})`
    : sql``;
  const {
    task: [task],
    attempts,
    outlines,
    raw,
  } = await chain(db, {
    task: db
      .select({ id: trainingTask.id, status: trainingTask.status, attempt: trainingTask.attempt })
      .from(trainingTask)
      .where(where),
    attempts: attemptsQuery(db, taskId),
    // Blocks of middling runs; of a very long one the chunks as a whole are fine enough.
    outlines: db.all<OutlineRow>(sql`
      select ${eachColumns(names, sql`${totalOf("points", taskId)} <= 300000`)}
      from log_chunk c where task_id = ${taskId} ${after}
      order by attempt ${order}, chunk ${order} limit ${page.limit}`),
    raw: rawChunks(db, taskId),
  });
  if (!task) return null;
  return {
    ...task,
    attempts: toAttempts(attempts),
    outlines: outlinesOf(outlines, names, toAttempts(attempts)),
    /** The points of a run that is small enough, newest first; else none. */
    raw: raw.map(toRaw),
  };
}

/** Points × metrics up to which an answer draws them from blocks: it stays below 4 MB. */
const MOST_FINE = 1_000_000;

/**
 * One round trip for several metrics of a task's logs under `where` (which names the task and who may see it):
 * its rows are those of one metric. Runs that are too large for all these metrics are read coarser.
 */
export async function readManyLogs(
  db: Db,
  where: SQL | undefined,
  taskId: number,
  metrics: MetricNames[],
) {
  const points = totalOf("points", taskId);
  const all = metrics.flat();
  const chunks = Math.max(LEAST_CHUNKS, Math.min(MOST_CHUNKS, Math.floor(MOST_PARTS / all.length)));
  const {
    task: [task],
    attempts,
    outlines,
    raw,
  } = await chain(db, {
    task: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
    attempts: attemptsQuery(db, taskId),
    outlines: db.all<OutlineRow>(sql`
      select ${outlinesColumns(
        all.map((name) => [name]),
        sql`${points} <= ${Math.floor(MOST_FINE / metrics.length)}`,
      )}
      from log_chunk c where task_id = ${taskId} order by attempt, chunk limit ${chunks}`),
    raw: rawChunks(db, taskId),
  });
  if (!task) return null;
  const rows = outlines.map((row) => toOutlines(row, all.length));
  const found = toAttempts(attempts);
  return {
    attempts: found,
    /** Of each metric, its part of the chunks, under the name that the run has it by. */
    outlines: metrics.map((names) => {
      const name = all.indexOf(metricOf(found, names));
      return rows.flatMap((row) => row[name] ?? []);
    }),
    raw: raw.map(toRaw),
  };
}

/**
 * The outlines of several metrics in one round trip: for each chunk behind a place a list with one of each metric.
 * So many metrics and chunks that the answer stays small are the caller's to choose.
 */
export async function readOutlines(
  db: Db,
  taskId: number,
  metrics: string[],
  page: { limit: number; after?: ChunkPlace },
): Promise<ChunkOutline[][]> {
  const withBlocks = sql`${totalOf("points", taskId)} <= 150000`;
  const after = page.after
    ? sql`and (attempt, chunk) > (${page.after.attempt}, ${page.after.chunk})`
    : sql``;
  const rows = await db.all<OutlineRow>(sql`
    select ${outlinesColumns(
      metrics.map((metric) => [metric]),
      withBlocks,
    )}
    from log_chunk c where task_id = ${taskId} ${after} order by attempt, chunk limit ${page.limit}`);
  return rows.map((row) => toOutlines(row, metrics.length));
}

/** One round trip for the part of a task's logs between two steps: point by point where that is little. */
export async function readRange(
  db: Db,
  where: SQL | undefined,
  taskId: number,
  names: MetricNames,
  [from, to]: readonly [number, number],
  limit: number,
) {
  const {
    task: [task],
    attempts,
    rows,
  } = await chain(db, {
    task: db.select({ id: trainingTask.id }).from(trainingTask).where(where),
    attempts: attemptsQuery(db, taskId),
    rows: db.all<OutlineRow & { points: string | null }>(sql`
      select ${eachColumns(names, sql`total > ${RAW_BYTES}`)},
        case when total <= ${RAW_BYTES} then points end as points
      from (select *, sum(size) over () as total from log_chunk
        where task_id = ${taskId} and last_step >= ${from} and first_step <= ${to}) c
      order by attempt, chunk limit ${limit}`),
  });
  if (!task) return null;
  return {
    attempts: toAttempts(attempts),
    outlines: outlinesOf(rows, names, toAttempts(attempts)),
    raw: rows.flatMap(({ attempt, points }): RawChunk[] =>
      points === null ? [] : [{ attempt, segments: JSON.parse(points) }],
    ),
  };
}

/** The names of a run's metrics. */
export const metricNames = (attempts: AttemptLogs[]): string[] => [
  ...new Set(attempts.flatMap(({ summaries }) => Object.keys(summaries))),
];

/** The name under which a task's attempts have the metric, or the first one asked for. */
export const metricOf = (attempts: AttemptLogs[], names: MetricNames): string =>
  names.find((name) => attempts.some((a) => Object.hasOwn(a.summaries, name))) ?? names[0];

/**
 * From which step on an attempt's points count no more: the first step of any later one. A resumed
 * run's curve so goes on from its checkpoint.
 */
export const cutoffOf = (attempts: AttemptLogs[], attempt: number): number =>
  Math.min(
    Number.POSITIVE_INFINITY,
    ...attempts.filter((a) => a.attempt > attempt).flatMap((a) => a.firstStep ?? []),
  );

/** One metric's points of some stored segments: by step, of two for one step the higher seq's. */
export function pointsOfSegments(segments: StoredSegment[], metric: string): Point[] {
  const bySeq = [...segments].sort((a, b) => a.q - b.q);
  const points = new Map<number, Point>();
  let ascending = true;
  let before = -1;
  for (const segment of bySeq) {
    const column = segment.m.indexOf(metric) + 3;
    if (column === 2) continue;
    for (const row of segment.p) {
      const value = row[column];
      if (value === null || value === undefined) continue;
      ascending &&= row[0] > before;
      before = row[0];
      points.set(row[0], [row[0], row[1], row[2], value]);
    }
  }
  const list = [...points.values()];
  return ascending ? list : list.sort((a, b) => a[0] - b[0]);
}

/** The points of the whole run, from the raw chunks of all attempts. */
export function effectivePoints(attempts: AttemptLogs[], raw: RawChunk[], metric: string): Point[] {
  return attempts
    .flatMap(({ attempt }) => {
      const cutoff = cutoffOf(attempts, attempt);
      const segments = raw.filter((c) => c.attempt === attempt).flatMap((c) => c.segments);
      return pointsOfSegments(segments, metric).filter((point) => point[0] < cutoff);
    })
    .sort((a, b) => a[0] - b[0]);
}

/** Whether `raw` holds every chunk there is. */
export const isComplete = (attempts: AttemptLogs[], raw: RawChunk[]): boolean => {
  const points = attempts.reduce((sum, a) => sum + a.points, 0);
  const read = raw.reduce((sum, c) => sum + c.segments.reduce((n, s) => n + s.p.length, 0), 0);
  return read >= points;
};

/** A place among a run's heartbeats, by their arrival numbers: chunks may come together between two reads. */
export type Place = { attempt: number; arrival: number };
export type ChunkText = Place & { chunk: number; points: string };

/** The chunks of a task that hold heartbeats behind a place, and maybe some before it. */
export const chunksBehind = (taskId: number, { attempt, arrival }: Place) => sql`
  task_id = ${taskId} and (attempt > ${attempt} or arrival > ${arrival})
    and (attempt, chunk) >= (${attempt}, coalesce((select max(chunk) from log_chunk
      where task_id = ${taskId} and attempt = ${attempt} and chunk <= ${arrival + 1}), 0))`;

/** The next chunks behind a place, at most about 3 MB of points unless said, at least one. */
export const nextChunks = (
  taskId: number,
  after: Place,
  attempt: number | undefined,
  most = 3_000_000,
) => {
  const behind = sql`${chunksBehind(taskId, after)}
    ${attempt === undefined ? sql`` : sql`and attempt = ${attempt}`}`;
  return sql`
    select c.attempt, c.chunk, c.arrival, c.points from (
      select attempt, chunk, sum(size) over (order by attempt, chunk) as upto, row_number() over (order by attempt, chunk) as nth
      from log_chunk where ${behind} order by attempt, chunk limit 48) n
    join log_chunk c on c.task_id = ${taskId} and c.attempt = n.attempt and c.chunk = n.chunk
    where n.upto <= ${most} or n.nth = 1 order by c.attempt, c.chunk`;
};

/** The segments of such a chunk that lie behind the place. */
export function segmentsBehind(chunk: ChunkText, { attempt, arrival }: Place): StoredSegment[] {
  const segments: StoredSegment[] = JSON.parse(chunk.points);
  return chunk.attempt > attempt ? segments : segments.filter(({ a }) => a > arrival);
}
