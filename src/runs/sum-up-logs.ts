import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { sumUp, together } from "../metrics/sum-up.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { FORM } from "../platform/db/schema.ts";
import type { JobFaults } from "../platform/faults.ts";
import type { App } from "../platform/http/context.ts";
import { closeChunk } from "./attempts.ts";

/*
 * A chunk that takes points in is small, and keeps of each heartbeat what it came to, so that a heartbeat
 * costs what is new. Those that take in nothing more come together to chunks of about 1,000 points, which are
 * summed up for good, out of their points and behind an answer.
 */

/** Chunks that are looked through at a time. */
const AT_ONCE = 512;
/** Bytes of points that are read at a time, but for a single chunk's. */
const MOST_BYTES = 4_000_000;
const MOST_CALLS = 10;

type Outline = {
  taskId: number;
  attempt: number;
  chunk: number;
  arrival: number;
  firstStep: number;
  lastStep: number;
  count: number;
  size: number;
};
type Texts = Map<string, string>;

const nameOf = (place: Pick<Outline, "taskId" | "attempt" | "chunk">) =>
  `${place.taskId}.${place.attempt}.${place.chunk}`;

const outlineOf = sql`c.task_id as "taskId", c.attempt, c.chunk, c.arrival, c.first_step as "firstStep",
  c.last_step as "lastStep", c.count, c.size`;

/** The points of some chunks, of those that are as they were. */
async function readPoints(db: Db, chunks: Outline[]): Promise<Texts> {
  const places = sql.join(
    chunks.map((c) => sql`(${c.taskId}, ${c.attempt}, ${c.chunk}, ${c.arrival})`),
    sql`, `,
  );
  const rows = await db.all<Pick<Outline, "taskId" | "attempt" | "chunk"> & { points: string }>(sql`
    select c.task_id as "taskId", c.attempt, c.chunk, c.points from (values ${places}) n
    cross join log_chunk c on c.task_id = n.column1 and c.attempt = n.column2 and c.chunk = n.column3 and c.arrival = n.column4`);
  return new Map(rows.map((row) => [nameOf(row), row.points]));
}

/**
 * The statements that bring a group together in the row of its first chunk, unless it is done or its last has
 * taken in more meanwhile. An attempt whose open chunk is among them begins the next with what comes after.
 */
function bringTogether(db: Db, group: Outline[], texts: Texts, name: string): Record<string, Part> {
  const [first, ...others] = group;
  const last = group.at(-1);
  const points = group.flatMap((chunk) => texts.get(nameOf(chunk)) ?? []);
  if (!first || !last || points.length < group.length) return {};
  const all = `[${points.map((text) => text.slice(1, -1)).join(",")}]`;
  const { summary, blocks } = sumUp(JSON.parse(all));
  const { taskId, attempt, chunk, arrival } = first;
  const ofAttempt = sql`task_id = ${taskId} and attempt = ${attempt}`;
  const isSame = others.length
    ? sql`exists (select 1 from log_chunk l where l.task_id = ${taskId} and l.attempt = ${attempt}
        and l.chunk = ${last.chunk} and l.arrival = ${last.arrival})`
    : sql`true`;
  const sum = (of: "count" | "size") => group.reduce((total, one) => total + one[of], 0);
  const merged = db.run(sql`
    update log_chunk set form = ${FORM.whole}, summary = ${summary}, blocks = ${blocks}, points = ${all},
      arrival = ${last.arrival}, first_step = ${Math.min(...group.map((one) => one.firstStep))},
      last_step = ${Math.max(...group.map((one) => one.lastStep))}, count = ${sum("count")}, size = ${sum("size")}
    where ${ofAttempt} and chunk = ${chunk} and arrival = ${arrival} and form <> ${FORM.whole} and ${isSame}`);
  const removed =
    others.length > 0 &&
    ifChanged(`merged${name}`, (changed) =>
      db.run(sql`
        delete from log_chunk where ${ofAttempt} and chunk > ${chunk} and chunk <= ${last.chunk} and ${changed}`),
    );
  const closed = ifChanged(removed ? `removed${name}` : `merged${name}`, (changed) =>
    closeChunk(db, { taskId, attempt, chunk: last.chunk }, changed),
  );
  return { [`merged${name}`]: merged, [`removed${name}`]: removed, [`closed${name}`]: closed };
}

/** Sums groups of chunks up, each as one chunk, in reads of about 4 MB. */
async function sumUpGroups(db: Db, groups: Outline[][]): Promise<void> {
  const bytesOf = (group: Outline[]) => group.reduce((sum, { size }) => sum + size, 0);
  for (let start = 0; start < groups.length; ) {
    let end = start + 1;
    let bytes = bytesOf(groups[start] ?? []);
    for (; end < groups.length; end++) {
      bytes += bytesOf(groups[end] ?? []);
      if (bytes > MOST_BYTES) break;
    }
    const some = groups.slice(start, end);
    const texts = await readPoints(db, some.flat());
    const parts = some.map((group, n) => bringTogether(db, group, texts, String(n)));
    const statements = Object.assign({}, ...parts);
    if (Object.keys(statements).length > 0) await chain(db, statements);
    start = end;
  }
}

/** The next chunks, of the attempts `a` under a condition, behind those of their attempt that are summed up. */
const waiting = (db: Db, condition: SQL) =>
  db.all<Outline>(sql`
    select ${outlineOf} from task_attempt a
    join log_chunk c on c.task_id = a.task_id and c.attempt = a.attempt and c.chunk > coalesce((
      select b.chunk from log_chunk b
      where b.task_id = a.task_id and b.attempt = a.attempt and b.form <> ${FORM.open}
      order by b.chunk desc limit 1), 0)
    where ${condition} order by c.attempt, c.chunk limit ${AT_ONCE}`);

/** Sums up the chunks of an attempt that take in nothing more, but for the newest that make no whole one yet. */
export async function sumUpClosed(db: Db, taskId: number, attempt: number): Promise<void> {
  const closed = sql`a.task_id = ${taskId} and a.attempt = ${attempt} and c.chunk < a.open_chunk`;
  await sumUpGroups(db, together(await waiting(db, closed), false));
}

/** Sums up all chunks of a run that has ended. */
export async function sumUpRun(db: Db, taskId: number): Promise<void> {
  for (let calls = 0; calls < MOST_CALLS; calls++) {
    const chunks = await waiting(db, sql`a.task_id = ${taskId}`);
    if (chunks.length === 0) return;
    await sumUpGroups(db, together(chunks, chunks.length < AT_ONCE));
  }
}

/** Lets this happen behind the answer; where it fails, the next heartbeat or the run's end does it. */
export const sumUpLater = (c: Context<App>, done: Promise<void>) =>
  c.var.later(
    done.catch((error: unknown) => {
      console.error("a chunk is not summed up yet", error instanceof Error ? error.name : "");
    }),
  );

/** Chunks of an older release that a minute sums up. */
const OLD_A_MINUTE = 40;

/**
 * Gives chunks of an older release what curves read of them now; until then their means are coarser. Answers
 * the tasks that they are of: none, once all are done.
 */
export async function sumUpOld(db: Db, faults: JobFaults): Promise<number[]> {
  const chunks = await db.all<Outline>(sql`
    select ${outlineOf} from log_chunk c
    where form = ${sql.raw(String(FORM.old))} and ${faults.sound(sql`task_id`)}
    order by task_id, attempt, chunk limit ${OLD_A_MINUTE}`);
  const ids = [...new Set(chunks.map(({ taskId }) => taskId))];
  await faults.each(ids, (some) =>
    sumUpGroups(
      db,
      chunks.filter(({ taskId }) => some.includes(taskId)).map((chunk) => [chunk]),
    ),
  );
  return ids;
}
