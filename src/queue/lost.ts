import { and, sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import type { Db } from "../platform/db/client.ts";
import { takeOutage } from "../platform/db/outage.ts";
import { taskAttempt, trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { taskEvent } from "../platform/events.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { goesBack, lastSignOfLife, totals } from "../runs/attempts.ts";

/** Running tasks looked at in one statement, and statements a minute: the next minute goes on. */
const LOOKED_AT = 5_000;
const LOOKS_A_MINUTE = 4;
/** Tasks given up in one batch. */
const LOST_AT_ONCE = 250;
/** The cron trigger fires once a minute: a longer pause means that the database was away. */
const PAUSE_SEC = 90;

const fromNow = (seconds: number) =>
  sql`strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') + ${seconds} / 86400.0)`;

/** When a running task was last heard of. */
const heard = sql`coalesce(heartbeat_at, started_at, created_at)`;

/**
 * Gives up runs that nobody has heard of for LOST_AFTER_SEC: back to the queue while attempts are
 * left, else `failed` with reason `lost`; `cancelled` where that was asked. Only the database's
 * clock counts. After an outage everybody gets the whole time again, since boxes could not report.
 * Answers with how many were given up.
 */
export async function sweepLost(
  db: Db,
  config: Config,
  faults: JobFaults = faultsOf(db, "sweepLost"),
): Promise<number> {
  const outage = takeOutage() >= config.LOST_AFTER_SEC * 250;
  let lost = 0;
  for (let look = 0; look < LOOKS_A_MINUTE; look++) {
    const [[sweep], [seen]] = await db.batch([
      db.all<{ deadline: string; due: number; place: number }>(sql`
        insert into lost_sweep (id, swept_at, grace_until) values (1, ${now}, ${now})
        on conflict do update set
          grace_until = iif(swept_at < ${fromNow(-PAUSE_SEC)} or ${outage && look === 0}, ${fromNow(config.LOST_AFTER_SEC)}, grace_until),
          swept_at = excluded.swept_at
        returning ${fromNow(-config.LOST_AFTER_SEC)} as deadline, grace_until <= ${now} as due, place`),
      db.all<{ count: number; last: number; stale: string }>(sql`
        select count(*) as count, max(id) as last, json_group_array(id) filter (where ${heard} < deadline) as stale
        from (select id, heartbeat_at, started_at, created_at, ${fromNow(-config.LOST_AFTER_SEC)} as deadline
          from training_task indexed by training_task_status
          where status = 'running' and deleted_at is null and id > (select place from lost_sweep) and ${faults.sound(sql`id`)}
          order by id limit ${LOOKED_AT})`),
    ]);
    if (!sweep?.due || !seen) break;
    const stale: number[] = JSON.parse(seen.stale);
    const ids = stale.sort((a, b) => a - b).slice(0, LOST_AT_ONCE);
    const more = ids.length < stale.length || seen.count === LOOKED_AT;
    const place = !more ? 0 : ids.length < stale.length ? (ids.at(-1) ?? 0) : seen.last;
    await faults.each(ids, (part) => giveUp(db, part, sweep.deadline));
    if (place !== sweep.place) await db.run(sql`update lost_sweep set place = ${place}`);
    lost += ids.length;
    if (!more) break;
  }
  return lost;
}

/** Gives up those of the tasks that are still not heard of since the deadline, in one batch. */
async function giveUp(db: Db, ids: number[], deadline: string) {
  const stale = sql`id in (select value from json_each(${JSON.stringify(ids)}))
    and status = 'running' and deleted_at is null and ${heard} < ${deadline}`;
  // The tasks change last: until then each statement finds the same ones by what they are.
  await db.batch([
    db
      .update(taskAttempt)
      .set({
        status: sql`(select iif(t.cancel_requested, 'cancelled', 'failed') from training_task t where t.id = task_id)`,
        failureReason: sql`(select iif(t.cancel_requested, null, 'lost') from training_task t where t.id = task_id)`,
        ...lastSignOfLife,
      })
      .where(
        sql`status = 'running' and (task_id, attempt) in (select id, attempt from training_task where ${stale})`,
      ),
    taskEvent(
      db,
      "lost",
      and(stale, sql`not cancel_requested`),
      sql`json_object('heartbeat_at', heartbeat_at, 'agent', agent, 'requeued', json(iif(${goesBack}, 'true', 'false')))`,
    ),
    db
      .update(trainingTask)
      .set({
        status: sql`case when cancel_requested then 'cancelled' when ${goesBack} then 'pending' else 'failed' end`,
        failureReason: sql`iif(cancel_requested or ${goesBack}, null, 'lost')`,
        // A box that was only cut off may take its run back, but not one that was cancelled.
        keyId: sql`iif(cancel_requested, null, key_id)`,
        finishedAt: sql`iif(${goesBack}, null, ${now})`,
        settleAt: sql`iif(${goesBack}, settle_at, ${now})`,
        updatedAt: now,
        ...totals,
      })
      .where(stale),
  ]);
}
