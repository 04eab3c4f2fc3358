import { and, eq, inArray, sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { delivery, event, user, webhook } from "../platform/db/schema.ts";
import { fromNow, now } from "../platform/db/time.ts";
import { addressFault } from "./address.ts";
import { type Alert, type Bundle, makeMessage, type Receiver, refusal } from "./message.ts";

/** Deliveries at once: a Worker has six connections, and 50 subrequests on a free plan. */
export const AT_ONCE = 5;
const TIMEOUT_MS = 10_000;
const MOST_READ = 4096;
/** How many events of a bundle its message names. */
const BUNDLE_NAMES = 10;
/** When a try without an outcome counts as lost. */
const TRY_SEC = 60;
const LONGEST_WAIT_SEC = 900;

export type Outcome = { status: number | null; error: string | null; waitSec?: number };

/** The beginning of an answer; the rest is never fetched. */
async function readBeginning(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  while (size < MOST_READ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text.slice(0, MOST_READ);
}

/** Sends one message; never throws. `error` is null when the receiver took it. */
export async function send(config: Config, receiver: Receiver, alert: Alert): Promise<Outcome> {
  const fault = addressFault(receiver.url, config.ALLOW_INSIDE_WEBHOOKS);
  if (fault) return { status: null, error: `was not sent: the address ${fault}` };
  const { url, headers, body } = await makeMessage(receiver, alert, config.PUBLIC_URL, new Date());
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers,
      body,
      redirect: "manual",
      signal,
    });
    const { status } = response;
    const answer = await readBeginning(response);
    if (status >= 300 && status < 400)
      return {
        status,
        error: `was answered ${status}, a redirect, which is not followed: register the address it leads to`,
      };
    if (!response.ok) {
      const wait = Number(response.headers.get("Retry-After"));
      return {
        status,
        error: `was answered ${status}`,
        ...(wait > 0 && { waitSec: Math.min(wait, 3600) }),
      };
    }
    return { status, error: refusal(receiver, answer) };
  } catch (cause) {
    // What a fetch throws names the address, which may hold a secret.
    const late = cause instanceof Error && cause.name === "TimeoutError";
    return {
      status: null,
      error: late ? `got no answer within ${TIMEOUT_MS / 1000} seconds` : "cannot be reached",
    };
  }
}

/** Seconds until the next try after so many. */
export const backOff = (config: Config, attempts: number) =>
  Math.min(config.ALERT_RETRY_SEC * 2 ** Math.min(attempts - 1, 20), LONGEST_WAIT_SEC);

/**
 * Tries deliveries, at most AT_ONCE. A try takes its delivery by moving `next_at`, so that two who
 * hold the same one do not both send it; the second has nothing to do. Answers with the seconds until
 * the next try of each that failed now; null: the caller has nothing left to do.
 */
export async function tryDeliveries(
  db: Db,
  config: Config,
  ids: number[],
): Promise<Map<number, number | null>> {
  const tried = new Map<number, number | null>(ids.map((id) => [id, null]));
  if (ids.length === 0) return tried;
  const live = sql<number>`(${webhook.active} and ${webhook.deletedAt} is null and ${user.active})`;
  const { taken, rows, bundled } = await chain(db, {
    taken: db
      .update(delivery)
      .set({ attempts: sql`attempts + 1`, nextAt: fromNow(TRY_SEC) })
      // A queue counts whole seconds, so it may be early by less than one.
      .where(
        and(
          inArray(delivery.id, ids),
          eq(delivery.state, "waiting"),
          sql`next_at <= ${fromNow(1)}`,
        ),
      )
      .returning({ id: delivery.id }),
    rows: db
      .select({
        id: delivery.id,
        attempts: delivery.attempts,
        webhook,
        event,
        live,
        userName: sql<string | null>`(select name from user o where o.id = ${event.userId})`,
        bundleId: delivery.bundleId,
      })
      .from(delivery)
      .innerJoin(event, eq(event.id, delivery.eventId))
      .innerJoin(webhook, eq(webhook.id, delivery.webhookId))
      .innerJoin(user, eq(user.id, webhook.userId))
      .where(inArray(delivery.id, ids)),
    // The content of bundles: the count of each kind, and the first of them by name.
    bundled: db.all<{ id: number; kinds: string; first: string }>(sql`
      select h.id, (
        select json_group_object(kind, count) from (
          select e.kind, count(*) as count from delivery m join event e on e.id = m.event_id
          where m.bundle_id = h.id group by e.kind order by count(*) desc)) as kinds, (
        select json_group_array(json_object('kind', kind, 'subject', subject, 'subject_id', subject_id, 'name', name)) from (
          select e.kind, e.subject, e.subject_id, e.name from delivery m join event e on e.id = m.event_id
          where m.bundle_id = h.id order by m.id limit ${BUNDLE_NAMES})) as first
      from delivery h where h.id in (select value from json_each(${JSON.stringify(ids)})) and h.bundle_id = h.id`),
  });
  const bundles = new Map(
    bundled.map(({ id, kinds, first }): [number, Bundle] => [
      id,
      { kinds: JSON.parse(kinds), first: JSON.parse(first) },
    ]),
  );
  const mine = new Set(taken.map(({ id }) => id));
  const results = await Promise.all(
    rows
      .filter(({ id }) => mine.has(id))
      .map(async ({ id, attempts, live, userName, bundleId, ...row }) => {
        if (!live)
          return {
            id,
            again: null,
            outcome: { status: null, error: "was not sent: the webhook was switched off" },
          };
        const bundle = bundleId === id ? bundles.get(id) : undefined;
        const outcome = await send(config, row.webhook, { ...row.event, userName, bundle });
        const again = Math.max(backOff(config, attempts), outcome.waitSec ?? 0);
        return { id, again: outcome.error === null ? null : again, outcome };
      }),
  );
  const outcomes = results.map(({ id, again, outcome: { status, error } }) =>
    db
      .update(delivery)
      .set({
        state: error === null ? "delivered" : again === null ? "dead" : "waiting",
        status,
        error,
        ...(error === null && { deliveredAt: now }),
        ...(again !== null && { nextAt: fromNow(again) }),
      })
      // A bundle's outcome is that of all its members; they wait while it is tried again.
      .where(
        and(
          again === null ? sql`(id = ${id} or bundle_id = ${id})` : eq(delivery.id, id),
          eq(delivery.state, "waiting"),
        ),
      ),
  );
  if (outcomes.length) await chain(db, { outcomes });
  for (const { id, again } of results) tried.set(id, again);
  return tried;
}
