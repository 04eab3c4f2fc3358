/*
 * The points of a metric as MLflow's clients read them: every value with its time, over all attempts, in the
 * order in which they arrived.
 */
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { StoredSegment } from "../../metrics/points.ts";
import { readable } from "../../platform/auth/access.ts";
import { chain } from "../../platform/db/batch.ts";
import type { Db } from "../../platform/db/client.ts";
import { trainingTask } from "../../platform/db/schema.ts";
import type { Auth } from "../../platform/http/caller.ts";
import { invalid } from "./body.ts";
import { runIdOf } from "./form.ts";
import { toMs } from "./record.ts";
import { noRun } from "./write.ts";

/** Bytes of points that one answer reads. */
const MOST_READ = 3_000_000;

type Point = { key: string; value: number | string; timestamp: number; step: number };
type Chunk = { attempt: number; chunk: number; points: string; last: number };

/** Where a history goes on: the attempt, the report among its reports, and the row within. */
type Place = number[];

/** When the run began, of points without a time. */
const began = toMs(sql`coalesce(training_task.started_at, training_task.created_at)`);

const cellValue = (value: unknown): number | string | null =>
  typeof value === "number" || typeof value === "string" ? value : null;

/** The metric's points of a segment from a row on. */
function* pointsIn({ m, p }: StoredSegment, key: string, from: number, start: number) {
  const column = m.indexOf(key) + 3;
  if (column === 2) return;
  for (let row = from; row < p.length; row++) {
    const cells = p[row];
    const value = cellValue(cells?.[column]);
    if (!cells || value === null) continue;
    const point: Point = { key, value, timestamp: cells[2] ?? start, step: cells[0] };
    yield { point, row };
  }
}

/** A page of a metric's history, and the place at which the next one begins. Throws MlflowError. */
export async function readHistory(
  db: Db,
  auth: Auth,
  taskId: number,
  { key, limit, place }: { key: string; limit: number; place: Place | undefined },
): Promise<{ points: Point[]; next: Place | null }> {
  const [attempt = 0, arrival = 0, from = 0] = place ?? [];
  const {
    task: [task],
    chunks,
  } = await chain(db, {
    task: db
      .select({ id: trainingTask.id, start: sql<number>`${began}` })
      .from(trainingTask)
      .where(and(eq(trainingTask.id, taskId), readable(auth))),
    chunks: db.all<Chunk>(sql`
      select attempt, chunk, points, last from (
        select attempt, chunk, points, arrival as last,
          sum(size) over (order by attempt, chunk) - size as before
        from log_chunk where task_id = ${taskId}
          and (attempt > ${attempt} or (attempt = ${attempt} and arrival >= ${arrival})))
      where before <= ${MOST_READ} order by attempt, chunk`),
  });
  if (!task) throw noRun(runIdOf(taskId));
  const points: Point[] = [];
  for (const chunk of chunks)
    for (const segment of JSON.parse(chunk.points) as StoredSegment[]) {
      if (chunk.attempt === attempt && segment.a < arrival) continue;
      const first = chunk.attempt === attempt && segment.a === arrival ? from : 0;
      for (const { point, row } of pointsIn(segment, key, first, Number(task.start))) {
        if (points.length === limit)
          return { points: inOrder(points), next: [chunk.attempt, segment.a, row] };
        points.push(point);
      }
    }
  const last = chunks.at(-1);
  const read = chunks.reduce((sum, one) => sum + one.points.length, 0);
  // As many bytes as one answer reads: what is behind them comes with the next.
  return {
    points: inOrder(points),
    next: last && read > MOST_READ ? [last.attempt, last.last + 1, 0] : null,
  };
}

const order = (value: number | string) => (typeof value === "number" ? value : Number(value));
const inOrder = <P extends Point>(points: P[]) =>
  points.sort(
    (a, b) => a.timestamp - b.timestamp || a.step - b.step || order(a.value) - order(b.value) || 0,
  );

/** Reads that one answer about several runs makes at most. */
const MOST_READS = 4;

/**
 * A metric's points of several runs, in the runs' order, at most `limit`: one round trip for each 3 MB of their
 * points. Throws MlflowError where a run is not there, or their points are more than one answer reads.
 */
export async function readHistories(
  db: Db,
  auth: Auth,
  tasks: number[],
  { key, limit }: { key: string; limit: number },
) {
  type Row = Chunk & { nth: number; id: number; start: number };
  const list = JSON.stringify(tasks);
  const all: (Point & { run_id: string })[] = [];
  let place = [-1, 0, 0];
  for (let read = 0; all.length < limit; read++) {
    if (read === MOST_READS)
      throw invalid(
        "The runs have more points than one answer reads. Ask for fewer runs at once, or for each run's history by itself.",
      );
    const { there, rows } = await chain(db, {
      there: db.all<{ missing: number | null }>(sql`
        select n.value as missing from json_each(${list}) n where not exists (
          select 1 from training_task where training_task.id = n.value and ${readable(auth)}) limit 1`),
      rows: db.all<Row>(sql`
        select nth, id, start, attempt, chunk, points, arrival as last from (
          select n.key as nth, training_task.id, ${began} as start, c.attempt, c.chunk, c.points, c.arrival,
            sum(c.size) over (order by n.key, c.attempt, c.chunk) - c.size as before
          from json_each(${list}) n cross join training_task on training_task.id = n.value
          cross join log_chunk c on c.task_id = training_task.id
          where ${readable(auth)} and n.key >= ${place[0]}
            and (n.key, c.attempt, c.chunk) > (${place[0]}, ${place[1]}, ${place[2]}))
        where before <= ${MOST_READ} order by nth, attempt, chunk`),
    });
    const [gone] = there;
    if (gone) throw noRun(runIdOf(Number(gone.missing)));
    for (const { points, id, start } of rows)
      for (const segment of JSON.parse(points) as StoredSegment[])
        for (const { point } of pointsIn(segment, key, 0, Number(start)))
          all.push({ ...point, run_id: runIdOf(id) });
    const last = rows.at(-1);
    const size = rows.reduce((sum, { points }) => sum + points.length, 0);
    if (!last || size <= MOST_READ) break;
    place = [last.nth, last.attempt, last.chunk];
  }
  const rank = new Map(tasks.map((id, n) => [runIdOf(id), n]));
  const nth = (point: { run_id: string }) => rank.get(point.run_id) ?? 0;
  return inOrder(all)
    .sort((a, b) => nth(a) - nth(b))
    .slice(0, limit);
}

/** Bytes of points that are read of one of several runs. */
const MOST_SHARE = 6_000_000;

/** At most so many points of a metric of each run, between two steps, spread evenly. Leaves out runs that are not there. */
export async function readSampled(
  db: Db,
  auth: Auth,
  tasks: number[],
  { key, from, to, most }: { key: string; from: number; to: number; most: number },
) {
  const share = Math.floor(MOST_SHARE / tasks.length);
  const list = JSON.stringify(tasks);
  // Of a run that is too large one chunk of so many is read.
  const within: SQL = sql`c.task_id = training_task.id and c.last_step >= ${from} and c.first_step <= ${to}`;
  const rows = await db.all<{ id: number; start: number; points: string }>(sql`
    select training_task.id, ${began} as start, c.points from json_each(${list}) n
    cross join training_task on training_task.id = n.value
    cross join (select *, row_number() over (partition by task_id order by attempt, chunk) as number,
      sum(size) over (partition by task_id) as total from log_chunk
      where task_id in (select value from json_each(${list})) and last_step >= ${from} and first_step <= ${to}) c
    where ${within} and ${readable(auth)}
      and c.number % (1 + c.total / ${share}) = 0
    order by n.key, c.attempt, c.chunk`);
  const byRun = Map.groupBy(rows, ({ id }) => id);
  return [...byRun].flatMap(([id, chunks]) => {
    const points = chunks.flatMap((chunk) =>
      (JSON.parse(chunk.points) as StoredSegment[]).flatMap((segment) =>
        [...pointsIn(segment, key, 0, Number(chunk.start))]
          .map(({ point }) => point)
          .filter(({ step }) => step >= from && step <= to),
      ),
    );
    points.sort((a, b) => a.step - b.step || a.timestamp - b.timestamp || 0);
    return thinned(points, most).map((point) => ({ run_id: runIdOf(id), ...point }));
  });
}

/** At most so many of a list, evenly, with its first and last. */
function thinned<T>(list: T[], most: number): T[] {
  if (list.length <= most) return list;
  if (most === 1) return list.slice(-1);
  const step = (list.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, n) => list[Math.round(n * step)]).flatMap((one) =>
    one === undefined ? [] : [one],
  );
}
