import { and, asc, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import * as z from "zod";
import { type Bindings, type Config, readConfig } from "../env.ts";
import { chain, type Statement } from "../platform/db/batch.ts";
import { type Db, openDb } from "../platform/db/client.ts";
import { alertCursor, delivery, event, user, webhook } from "../platform/db/schema.ts";
import { ago, fromNow, now, timeAfter } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { AT_ONCE, backOff, tryDeliveries } from "./deliver.ts";

/** Events given to webhooks at once; the next call continues. */
const EVENTS_AT_ONCE = 100;
const REQUEUED_A_MINUTE = 100;
/** How long a queue may be late before a delivery counts as lost by it. */
const QUEUE_GRACE_SEC = 90;
const HOUR_SEC = 3600;
/** This long before its time a bundle accepts no more deliveries. */
const JOIN_SEC = 5;

type Carrier = { db: Db; env: Bindings; config: Config };

type Filter = Pick<typeof webhook.$inferSelect, "kinds" | "groups" | "users" | "mutes">;
type Fact = Pick<typeof event.$inferSelect, "kind" | "experimentGroup" | "userId">;

/** Whether a webhook's filters accept an event, at a time in ms since 1970. */
export function acceptsEvent(
  { kinds, groups, users, mutes }: Filter,
  fact: Fact,
  time: number,
): boolean {
  const { kind, experimentGroup: group, userId } = fact;
  if (kinds && !kinds.includes(kind)) return false;
  if (groups && (group === null || !groups.includes(group))) return false;
  if (users && (userId === null || !users.includes(userId))) return false;
  return !mutes.some(
    (mute) => mute.group === group && (mute.until === null || Date.parse(mute.until) > time),
  );
}

/** Hands deliveries to the queue; where there is none, the first are tried at once. */
async function dispatch({ db, env, config }: Carrier, ids: number[]) {
  if (ids.length === 0) return;
  if (!env.ALERTS) {
    await tryDeliveries(db, config, ids.slice(0, AT_ONCE));
    return;
  }
  for (let start = 0; start < ids.length; start += 100)
    await env.ALERTS.sendBatch(
      ids.slice(start, start + 100).map((id) => ({ body: { delivery: id } })),
    );
}

/** When the members of a bundle are tried on their own: never, unless they leave it. */
const WITH_THE_BUNDLE = "9999-12-31T00:00:00.000Z";

/**
 * Statements that bundle new deliveries of an hour's ALERTS_PER_HOUR-th on: one of a webhook becomes the
 * head of a bundle, whose message is sent when the first of that hour is an hour old and includes all that
 * come until then. A delivery joins a head only well before that time, so that the head's count does not
 * change while it is sent. `events` and `hooks` are JSON lists of ids.
 */
function bundleStatements(db: Db, config: Config, events: string, hooks: string): Statement[] {
  const most = config.ALERTS_PER_HOUR;
  if (most === 0) return [];
  const beyond = sql`
    select id, webhook_id, first from (
      select d.id, d.webhook_id, d.event_id, d.state, d.attempts,
        row_number() over hour as place, min(d.created_at) over hour as first
      from json_each(${hooks}) h
        cross join delivery d on d.webhook_id = h.value and d.bundle_id is null and d.created_at > ${ago(HOUR_SEC, "seconds")}
      window hour as (partition by d.webhook_id order by d.id))
    where place > ${most} and state = 'waiting' and attempts = 0
      and event_id in (select value from json_each(${events}))`;
  const head = (webhook: SQL) => sql`(
    select max(o.id) from delivery o
    where o.webhook_id = ${webhook} and o.bundle_id = o.id and o.state = 'waiting' and o.attempts = 0
      and o.next_at > ${fromNow(JOIN_SEC)})`;
  return [
    db.run(sql`
      update delivery set bundle_id = id, next_at = (
        select max(${timeAfter(sql`b.first`, HOUR_SEC)}, ${fromNow(2 * JOIN_SEC)})
        from (${beyond}) b where b.id = delivery.id)
      where id in (select min(b.id) from (${beyond}) b where ${head(sql`b.webhook_id`)} is null group by b.webhook_id)`),
    db.run(sql`
      update delivery set bundle_id = ${head(sql`delivery.webhook_id`)}, next_at = ${WITH_THE_BUNDLE}
      where id in (select b.id from (${beyond}) b)`),
  ];
}

/**
 * Gives new events to the webhooks that accept them: one delivery each, no matter who calls and how often.
 * `retryDeliveries` sends the deliveries that this call does not.
 */
export async function tellWebhooks(carrier: Carrier): Promise<void> {
  const { db, config } = carrier;
  const last = sql`coalesce((select event_id from alert_cursor where id = 1), 0)`;
  const {
    events,
    webhooks,
    clock: [clock],
  } = await chain(db, {
    events: db
      .select()
      .from(event)
      .where(sql`id > ${last}`)
      .orderBy(asc(event.id))
      .limit(EVENTS_AT_ONCE),
    webhooks: db
      .select({
        id: webhook.id,
        owner: webhook.userId,
        kinds: webhook.kinds,
        groups: webhook.groups,
        users: webhook.users,
        mutes: webhook.mutes,
        role: user.role,
      })
      .from(webhook)
      .innerJoin(user, eq(user.id, webhook.userId))
      .where(and(webhook.active, isNull(webhook.deletedAt), user.active)),
    clock: db.all<{ now: string }>(sql`select ${now} as now`),
  });
  const newest = events.at(-1);
  if (!newest || !clock) return;
  const wanted = events.flatMap((fact) =>
    webhooks
      .filter((hook) => acceptsEvent(hook, fact, Date.parse(clock.now)))
      // Only admins can mend the service's own troubles.
      .filter((hook) => fact.kind !== "job_failed" || hook.role === "admin")
      .map((hook) => [fact.id, hook.id, hook.owner]),
  );
  const advance = db
    .insert(alertCursor)
    .values({ id: 1, eventId: newest.id })
    .onConflictDoUpdate({
      target: alertCursor.id,
      set: { eventId: sql`max(event_id, excluded.event_id)` },
    });
  if (wanted.length === 0) {
    await advance;
    return;
  }
  const ids = (place: 0 | 1) => JSON.stringify([...new Set(wanted.map((one) => one[place]))]);
  const { made, alone } = await chain(db, {
    // One parameter, however many there are.
    made: db.all<{ id: number }>(sql`
      insert into delivery (event_id, webhook_id, user_id)
      select value ->> 0, value ->> 1, value ->> 2 from json_each(${JSON.stringify(wanted)}) where true
      on conflict do nothing returning id`),
    advanced: advance,
    bundled: bundleStatements(db, config, ids(0), ids(1)),
    alone: db.all<{ id: number }>(sql`
      select id from delivery where bundle_id is null and state = 'waiting'
        and event_id in (select value from json_each(${ids(0)}))`),
  });
  const single = new Set(alone.map(({ id }) => id));
  await dispatch(
    carrier,
    made.map(({ id }) => id).filter((id) => single.has(id)),
  );
}

/** Works after the answer was sent; the scheduled job repeats what fails. */
function later(c: Context<App>, work: (carrier: Carrier) => Promise<void>) {
  const done = work({ db: c.var.db, env: c.env, config: c.var.config });
  c.var.later(
    done.catch((error: unknown) => {
      console.error("alerts wait for the scheduled job", error instanceof Error ? error.name : "");
    }),
  );
}

/** For a handler whose batch has recorded an event. */
export const tellLater = (c: Context<App>) => later(c, tellWebhooks);
export const sendLater = (c: Context<App>, id: number) =>
  later(c, (carrier) => dispatch(carrier, [id]));

/** Gives deliveries up for good, with those of their bundles; they stay visible and can be sent again. */
const bury = (db: Db, which: SQL) =>
  db
    .update(delivery)
    .set({ state: "dead" })
    .where(
      and(
        eq(delivery.state, "waiting"),
        sql`id in (with buried as (${which})
          select id from buried union select m.id from buried b join delivery m on m.bundle_id = b.id)`,
      ),
    );

/** Overdue deliveries; the first try of a bundle, which no queue holds, is due at its time. */
const overdue = (graceSec: number, most: number, more: SQL) =>
  sql`select id from delivery where state = 'waiting' and next_at < ${now}
    and (next_at < ${ago(graceSec, "seconds")} or (bundle_id = id and attempts = 0)) and ${more} order by next_at limit ${most}`;

/** Queues overdue deliveries again, or tries them where there is no queue. */
export async function retryDeliveries(carrier: Carrier): Promise<void> {
  const { db, env, config } = carrier;
  const grace = env.ALERTS ? QUEUE_GRACE_SEC : 0;
  const tired = sql`attempts >= ${config.ALERT_TRIES}`;
  const most = env.ALERTS ? REQUEUED_A_MINUTE : AT_ONCE;
  const { rows } = await chain(db, {
    buried: bury(db, overdue(grace, REQUEUED_A_MINUTE, tired)),
    rows: db
      .update(delivery)
      .set({ nextAt: now })
      .where(sql`id in (${overdue(grace, most, sql`not (${tired})`)})`)
      .returning({ id: delivery.id }),
  });
  await dispatch(
    carrier,
    rows.map(({ id }) => id),
  );
}

const body = z.object({ delivery: z.int() });

/** The queue's consumer. Messages of the dead-letter queue are those it has given up. */
export async function consume(batch: MessageBatch, env: Bindings): Promise<void> {
  const config = readConfig(env);
  const db = openDb(config);
  const messages = batch.messages.flatMap((message) => {
    const parsed = body.safeParse(message.body);
    if (parsed.success) return [{ message, id: parsed.data.delivery }];
    console.error("a message of the alert queue is none of ours");
    message.ack();
    return [];
  });
  const ids = messages.map(({ id }) => id);
  if (batch.queue.endsWith("-dead")) {
    await bury(db, sql`select value as id from json_each(${JSON.stringify(ids)})`);
    return;
  }
  try {
    const tried = await tryDeliveries(db, config, ids);
    for (const { message, id } of messages) {
      const again = tried.get(id) ?? null;
      if (again === null) message.ack();
      else message.retry({ delaySeconds: Math.ceil(again) });
    }
  } catch (error) {
    // The database is away: a try that did not happen must not use up the queue's retries at once.
    console.error("alerts wait for the database", error instanceof Error ? error.name : "");
    for (const { message } of messages)
      message.retry({ delaySeconds: Math.ceil(backOff(config, message.attempts)) });
  }
}
