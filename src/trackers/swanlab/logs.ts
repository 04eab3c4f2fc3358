/*
 * The console as SwanLab's client sends it: numbered lines, which the run's attempt keeps the end of.
 */
import { sql } from "drizzle-orm";
import type { Db } from "../../platform/db/client.ts";

/** Characters of a console that are kept here; the attempt cuts them again. */
const MOST_TAIL = 20_000;

/**
 * The end of a run's console with lines added that it does not have, by their numbers; null where there are
 * none. The numbers of a client that resumes begin anew, so that only a number that came before in the same
 * minute repeats a line.
 */
export async function addLines(
  db: Db,
  taskId: number,
  lines: { epoch: number; message: string }[],
): Promise<string | null> {
  const [row] = await db.all<{ tail: string | null; last: number | null }>(sql`
    select (select tail from task_attempt where task_id = ${taskId} order by attempt desc limit 1) as tail,
      record ->> '$.line' as last
    from tracker_run where task_id = ${taskId} and tracker = 'swanlab'`);
  const first = Math.min(...lines.map(({ epoch }) => epoch));
  const last = first === 1 ? 0 : (row?.last ?? 0);
  const news = lines.filter(({ epoch }) => epoch > last).sort((a, b) => a.epoch - b.epoch);
  const newest = news.at(-1);
  if (!newest) return null;
  await db.run(sql`
    update tracker_run set record = json_set(record, '$.line', ${newest.epoch})
    where task_id = ${taskId} and tracker = 'swanlab'`);
  const text = news.map(({ message }) => message).join("\n");
  return (row?.tail ? `${row.tail}\n${text}` : text).slice(-MOST_TAIL);
}
