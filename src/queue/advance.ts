import { sql } from "drizzle-orm";
import type { Db } from "../db/client.ts";
import { now } from "../db/schema.ts";

/** Tasks made ready in one call, of either kind; the next minute goes on. */
const AT_ONCE = 200;

/**
 * Makes tasks ready whose `not_before` has come, and those that waited for a success which had too
 * many dependents to release at once. Triggers put them into their lanes.
 */
export async function advanceQueue(db: Db): Promise<void> {
  await db.batch([
    db.run(sql`
      update training_task set queue_due_at = null, queue_waiting = queue_waiting - 1
      where id in (select id from training_task where queue_due_at <= ${now} order by queue_due_at limit ${AT_ONCE})`),
    db.run(sql`
      update task_dependency set met = 1 where (depends_on, task_id) in (
        select d.depends_on, d.task_id from queue_release r
          cross join task_dependency d indexed by task_dependency_unmet on d.depends_on = r.task_id and d.met = 0
        limit ${AT_ONCE})`),
    db.run(sql`
      delete from queue_release where task_id in (select task_id from queue_release limit ${AT_ONCE})
        and not exists (select 1 from task_dependency d where d.depends_on = queue_release.task_id and d.met = 0)`),
  ]);
}
