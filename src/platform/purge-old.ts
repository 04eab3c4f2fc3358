import { sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import { chain, type Statement } from "./db/batch.ts";
import type { Db } from "./db/client.ts";
import { ago, now } from "./db/time.ts";

/** Rows of each kind a call; the next minute continues. */
const AT_ONCE = 200;

/**
 * Events of so many days ago with what was sent of them, but for those that are still on their way or
 * were never given to webhooks, and the webhooks that were deleted. The newest of each stays, so that
 * its id is not given again: the cursor would pass over it.
 */
function eventStatements(db: Db, days: number): Statement[] {
  const old = sql`
    select e.id from (
      select id, created_at from event
      where id <= coalesce((select event_id from alert_cursor where id = 1), 0) and id < (select max(id) from event)
      order by id limit ${AT_ONCE}) e
    where e.created_at < ${ago(days, "days")}
      and not exists (select 1 from delivery d where d.event_id = e.id and d.state = 'waiting')`;
  return [
    db.run(sql`delete from delivery where event_id in (${old})`),
    db.run(sql`delete from event where id in (${old})`),
    db.run(sql`
      delete from webhook where id in (
        select id from webhook where deleted_at is not null and deleted_at < ${ago(days, "days")} order by deleted_at limit ${AT_ONCE})
      and id < (select max(id) from webhook) and not exists (select 1 from delivery d where d.webhook_id = webhook.id)`),
  ];
}

/** The log of mirrors that were deleted, then these. The newest stays, so that its id is not given again. */
function mirrorStatements(db: Db): Statement[] {
  const gone = sql`(select id from mirror where deleted_at is not null order by deleted_at limit 20)`;
  return [
    db.run(sql`
      delete from mirror_run where rowid in (
        select rowid from mirror_run where mirror_id in ${gone} limit ${AT_ONCE})`),
    db.run(sql`
      delete from mirror where id in ${gone} and id < (select max(id) from mirror)
        and not exists (select 1 from mirror_run r where r.mirror_id = mirror.id)`),
  ];
}

/**
 * Purges old rows, within bounds: events and deliveries, mirrors that were deleted, sessions that have ended, tokens
 * that have expired, and by the statements `ofRuns` what is old of runs. One round trip.
 */
export async function purgeOld(db: Db, config: Config, ofRuns: Statement[]): Promise<void> {
  const { EVENTS_DAYS } = config;
  await chain(db, {
    sessions: db.run(sql`
      delete from session where id in (
        select id from session where ends_at < ${now} order by ends_at limit ${AT_ONCE})`),
    enrolments: db.run(sql`
      delete from box_enrolment where token_hash in (
        select token_hash from box_enrolment where expires_at < ${ago(1, "days")} order by expires_at limit ${AT_ONCE})`),
    mirrors: mirrorStatements(db),
    events: EVENTS_DAYS > 0 && eventStatements(db, EVENTS_DAYS),
    runs: ofRuns,
  });
}
