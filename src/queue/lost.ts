import { and, sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { takeOutage } from "../platform/db/outage.ts";
import { fromNow, now } from "../platform/db/time.ts";
import { taskEvent } from "../platform/events.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { loseAttempts, settleSilentAttempts } from "../runs/attempts.ts";
import { endSilentRuns, goesBack, isStale, lastHeard, loseRuns } from "../runs/states.ts";

/** Running tasks looked at in one statement, and statements a minute: the next minute continues. */
const LOOKED_AT = 5_000;
const LOOKS_A_MINUTE = 4;
/** Tasks given up in one batch. */
const LOST_AT_ONCE = 250;
/** The cron trigger fires once a minute: a longer pause means that the database was away. */
const PAUSE_SEC = 90;

/**
 * The trackers that alone record a run, of which no heartbeats come: null of other runs, `trackio` where
 * Trackio's client is among them. Looked up of stale runs only.
 */
const recordedBy = sql`(select min(iif(r.tracker = 'trackio', 'trackio', 'z')) from tracker_run r where r.task_id = id and r.alone)`;

/**
 * Gives up runs that nobody has heard of for LOST_AFTER_SEC: back to the queue while attempts are
 * left, else `failed` with reason `lost`; `cancelled` where that was asked. Runs that a tracker's client
 * alone records have TRACKER_LOST_MIN; one of Trackio, whose client tells no end, is `success` after
 * TRACKER_SILENCE_MIN. Only the database's
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
      seen: db.all<{ count: number; last: number; stale: string; silent: string }>(sql`
        select count(*) as count, max(id) as last,
          json_group_array(id) filter (where heard < iif(by is null, deadline, ${minutesAgo(config.TRACKER_LOST_MIN)}) and by is not 'trackio') as stale,
          json_group_array(id) filter (where heard < ${minutesAgo(config.TRACKER_SILENCE_MIN)} and by = 'trackio') as silent
        from (select id, heard, deadline, iif(heard < deadline, ${recordedBy}, null) as by from (select id, ${lastHeard} as heard, ${fromNow(-config.LOST_AFTER_SEC)} as deadline
          from training_task indexed by training_task_status
          where status = 'running' and deleted_at is null and id > (select place from lost_sweep) and ${faults.sound(sql`id`)}
          order by id limit ${LOOKED_AT}))`),
    });
    if (!sweep?.due || !seen) break;
    const silent = new Set<number>(JSON.parse(seen.silent));
    const stale: number[] = [...JSON.parse(seen.stale), ...silent];
    const ids = stale.sort((a, b) => a - b).slice(0, LOST_AT_ONCE);
    const more = ids.length < stale.length || seen.count === LOOKED_AT;
    const place = !more ? 0 : ids.length < stale.length ? (ids.at(-1) ?? 0) : seen.last;
    await faults.each(ids, async (part) => {
      const lostOnes = part.filter((id) => !silent.has(id));
      const silentOnes = part.filter((id) => silent.has(id));
      if (lostOnes.length) await giveUp(db, lostOnes, sweep.deadline);
      if (silentOnes.length) await endSilent(db, config, silentOnes, sweep.deadline);
    });
    if (place !== sweep.place) await db.run(sql`update lost_sweep set place = ${place}`);
    lost += ids.length;
    if (!more) break;
  }
  return lost;
}

const minutesAgo = (minutes: number) => fromNow(-minutes * 60);

/** Ends those of the tasks that are still not heard of since the deadline as success, in one batch. */
async function endSilent(db: Db, config: Config, ids: number[], deadline: string) {
  const stale = sql`id in (select value from json_each(${JSON.stringify(ids)})) and ${isStale(deadline)}`;
  const reason = `Went silent: nothing was logged for ${config.TRACKER_SILENCE_MIN} minutes. Trackio's client does not report the end of a run.`;
  await chain(db, {
    attempts: settleSilentAttempts(db, stale, reason),
    events: taskEvent(
      db,
      "finished",
      and(stale, sql`not cancel_requested`),
      sql`json_object('final_loss', null, 'total_duration_sec', null, 'cost', null, 'failure_reason', null, 'exit_code', null, 'error_message', ${reason})`,
    ),
    ended: endSilentRuns(db, stale, reason),
  });
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
