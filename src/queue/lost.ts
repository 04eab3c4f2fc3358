import { and, sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { takeOutage } from "../platform/db/outage.ts";
import { fromNow, now } from "../platform/db/time.ts";
import { taskEvent } from "../platform/events.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { loseAttempts } from "../runs/attempts.ts";
import { goesBack, isStale, lastHeard, loseRuns } from "../runs/states.ts";

/** Running tasks looked at in one statement, and statements a minute: the next minute continues. */
const LOOKED_AT = 5_000;
const LOOKS_A_MINUTE = 4;
/** Tasks given up in one batch. */
const LOST_AT_ONCE = 250;
/** The cron trigger fires once a minute: a longer pause means that the database was away. */
const PAUSE_SEC = 90;

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
    const {
      sweep: [sweep],
      seen: [seen],
    } = await chain(db, {
      sweep: db.all<{ deadline: string; due: number; place: number }>(sql`
        insert into lost_sweep (id, swept_at, grace_until) values (1, ${now}, ${now})
        on conflict do update set
          grace_until = iif(swept_at < ${fromNow(-PAUSE_SEC)} or ${outage && look === 0}, ${fromNow(config.LOST_AFTER_SEC)}, grace_until),
          swept_at = excluded.swept_at
        returning ${fromNow(-config.LOST_AFTER_SEC)} as deadline, grace_until <= ${now} as due, place`),
      seen: db.all<{ count: number; last: number; stale: string }>(sql`
        select count(*) as count, max(id) as last, json_group_array(id) filter (where ${lastHeard} < deadline) as stale
        from (select id, heartbeat_at, started_at, created_at, ${fromNow(-config.LOST_AFTER_SEC)} as deadline
          from training_task indexed by training_task_status
          where status = 'running' and deleted_at is null and id > (select place from lost_sweep) and ${faults.sound(sql`id`)}
          order by id limit ${LOOKED_AT})`),
    });
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
  const stale = sql`id in (select value from json_each(${JSON.stringify(ids)})) and ${isStale(deadline)}`;
  // The tasks change last: until then each statement finds the same ones by what they are.
  await chain(db, {
    attempts: loseAttempts(db, stale),
    events: taskEvent(
      db,
      "lost",
      and(stale, sql`not cancel_requested`),
      sql`json_object('heartbeat_at', heartbeat_at, 'agent', agent, 'requeued', json(iif(${goesBack}, 'true', 'false')))`,
    ),
    lost: loseRuns(db, stale),
  });
}
