import { sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import type { Db } from "../platform/db/client.ts";
import { ago } from "../platform/db/time.ts";
import { recordEvent } from "../platform/events.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";

/** Paid boxes looked at a minute. */
const MOST_BOXES = 500;

/**
 * Tells of boxes that cost money and for BOX_IDLE_AFTER_MIN neither pulled a task nor made a step:
 * once for each time that they fell idle, however long they stay it.
 */
export async function tellIdleBoxes(
  db: Db,
  config: Config,
  faults: JobFaults = faultsOf(db, "tellIdleBoxes"),
): Promise<void> {
  const since = sql`max(enrolled_at, coalesce(claimed_at, ''),
    coalesce((select t.finished_at from training_task t where t.id = claimed_task), ''),
    coalesce((
      select max(t.watch ->> 'at') from training_task t
      where t.key_id = box.key_id and t.status = 'running' and t.agent is not null
    ), ''))`;
  const paid = await db.all<{ id: number }>(sql`
    select id from box where revoked_at is null and hourly_price > 0 and ${faults.sound(sql`id`)}
    order by id desc limit ${MOST_BOXES}`);
  await faults.each(
    paid.map(({ id }) => id),
    (ids) =>
      recordEvent(
        db,
        "box_idle",
        "box",
        sql`
          select id, 0, user_id, null, name,
            json_object('since', since, 'hourly_price', hourly_price, 'gpu_info', gpu_info), since
          from (
            select *, ${since} as since from box
            where id in (select value from json_each(${JSON.stringify(ids)}))
          ) where since < ${ago(config.BOX_IDLE_AFTER_MIN, "minutes")}`,
      ),
  );
}
