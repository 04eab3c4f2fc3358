import { sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import type { Statement } from "./db/batch.ts";
import type { Db } from "./db/client.ts";

/** Rows of each kind a call; the next minute goes on. */
const AT_ONCE = 200;
const TASKS_AT_ONCE = 500;

const ago = (days: number) => sql`strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') - ${days})`;

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
    where e.created_at < ${ago(days)}
      and not exists (select 1 from delivery d where d.event_id = e.id and d.state = 'waiting')`;
  return [
    db.run(sql`delete from delivery where event_id in (${old})`),
    db.run(sql`delete from event where id in (${old})`),
    db.run(sql`
      delete from webhook where id in (
        select id from webhook where deleted_at is not null and deleted_at < ${ago(days)} order by deleted_at limit ${AT_ONCE})
      and id < (select max(id) from webhook) and not exists (select 1 from delivery d where d.webhook_id = webhook.id)`),
  ];
}

/**
 * Lets go of the Idempotency-Keys of runs and attempts: in the order of runs, each looked at once, up
 * to the first that is too young. An import's source stays, since it counts for good.
 */
function keyStatements(db: Db, days: number): Statement[] {
  const place = sql`coalesce((select place from purge_place where id = 1), 0)`;
  const next = sql`(
    select coalesce(min(iif(created_at >= ${ago(days)} and import_source is null, id, null)) - 1, max(id), ${place})
    from (select id, created_at, import_source from training_task where id > ${place} order by id limit ${TASKS_AT_ONCE}))`;
  return [
    db.run(sql`
      update training_task set registration_key = 'done:' || id
      where id > ${place} and id <= ${next} and registration_key glob '[0-9]*'`),
    db.run(sql`
      update task_attempt set opened_with = null
      where task_id > ${place} and task_id <= ${next} and opened_with is not null and started_at < ${ago(days)}`),
    db.run(sql`
      insert into purge_place (id, place) values (1, ${next})
      on conflict (id) do update set place = excluded.place where excluded.place > place`),
  ];
}

/**
 * Purges what has had its time, within bounds: events and deliveries, Idempotency-Keys, facts about data
 * that no run names any more, sessions that have ended, tokens that have expired. One round trip.
 */
export async function purgeOld(db: Db, config: Config): Promise<void> {
  const { EVENTS_DAYS, IDEMPOTENCY_DAYS, DATASETS_DAYS } = config;
  const statements: Statement[] = [
    ...(EVENTS_DAYS > 0 ? eventStatements(db, EVENTS_DAYS) : []),
    ...(IDEMPOTENCY_DAYS > 0 ? keyStatements(db, IDEMPOTENCY_DAYS) : []),
    ...(DATASETS_DAYS > 0
      ? [
          db.run(sql`
            delete from dataset where id in (
              select id from dataset where links <= 0 and created_at < ${ago(DATASETS_DAYS)} order by created_at limit ${AT_ONCE})
            and id < (select max(id) from dataset)`),
        ]
      : []),
  ];
  await db.batch([
    db.run(sql`
      delete from session where id in (
        select id from session where ends_at < ${ago(0)} order by ends_at limit ${AT_ONCE})`),
    db.run(sql`
      delete from box_enrolment where token_hash in (
        select token_hash from box_enrolment where expires_at < ${ago(1)} order by expires_at limit ${AT_ONCE})`),
    ...statements,
  ]);
}
