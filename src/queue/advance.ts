import { type SQL, sql } from "drizzle-orm";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { now } from "../platform/db/time.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { releaseDueRuns } from "../runs/states.ts";

/** Tasks made ready in one call, of either kind; the next minute continues. */
const AT_ONCE = 200;

/**
 * Makes tasks ready whose `not_before` has come, and those that waited for a success which had too
 * many dependents to release at once. Triggers put them into their lanes.
 */
export async function advanceQueue(
  db: Db,
  faults: JobFaults = faultsOf(db, "advanceQueue"),
): Promise<void> {
  const released = (task: SQL) => sql`queue_release r
    cross join task_dependency d indexed by task_dependency_unmet on d.depends_on = r.task_id and d.met = 0
    where ${task}`;
  const due = await db.all<{ id: number }>(sql`
    select id from (
      select id from training_task where queue_due_at <= ${now} and ${faults.sound(sql`id`)}
      order by queue_due_at limit ${AT_ONCE})
    union select task_id from (
      select d.task_id from ${released(faults.sound(sql`d.task_id`))} limit ${AT_ONCE})`);
  await faults.each(
    due.map(({ id }) => id),
    (ids) => {
      const these = sql`(select value from json_each(${JSON.stringify(ids)}))`;
      return chain(db, {
        due: releaseDueRuns(db, sql`id in ${these}`),
        met: db.run(sql`
          update task_dependency set met = 1 where (depends_on, task_id) in (
            select d.depends_on, d.task_id from ${released(sql`d.task_id in ${these}`)})`),
      });
    },
  );
  await db.run(sql`
    delete from queue_release where task_id in (select task_id from queue_release limit ${AT_ONCE})
      and not exists (select 1 from task_dependency d where d.depends_on = queue_release.task_id and d.met = 0)`);
}
