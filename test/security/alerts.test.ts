// Bundles of alerts, as the database keeps them: decided in one batch, and ended as one.
import { sql } from "drizzle-orm";
import { expect, it } from "vitest";
import { retryDeliveries, tellWebhooks } from "../../src/alerts/outbox.ts";
import type { Bindings } from "../../src/env.ts";
import { recordEvent } from "../../src/platform/events.ts";
import { freshLedger } from "../harness.ts";

async function flooded(vars: Record<string, string>, events: number) {
  const ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true", ...vars });
  const { key } = await ledger.key();
  // Nothing listens there: every try fails at once.
  const { id: hook } = await ledger.call("/api/webhooks", {
    key,
    json: { name: "w", url: "http://127.0.0.1:9/" },
  });
  // The bindings of the tests are those of wrangler.toml, without the queue.
  const env = { ...ledger.bindings, ALERTS: undefined } as unknown as Bindings;
  const carrier = { db: ledger.db, env, config: ledger.config };
  await recordEvent(
    ledger.db,
    "failed",
    "task",
    sql`select value, 1, null, 'g', 'a run', null, '' from
      (with recursive n(value) as (select 1 union all select value + 1 from n where value < ${events}) select value from n)`,
  );
  const rows = () =>
    ledger.db.all<{ id: number; state: string; bundle_id: number | null; next_at: string }>(
      sql`select id, state, bundle_id, next_at from delivery where webhook_id = ${hook} order by id`,
    );
  return { ledger, key, carrier, rows };
}

it("are the same however many tell of the events at once", async () => {
  const { carrier, rows } = await flooded({ ALERTS_PER_HOUR: "4" }, 30);
  await Promise.all(Array.from({ length: 5 }, () => tellWebhooks(carrier)));
  const all = await rows();
  expect(all).toHaveLength(30);
  expect(all.filter(({ bundle_id }) => bundle_id === null)).toHaveLength(4);
  const heads = all.filter(({ id, bundle_id }) => id === bundle_id);
  expect(heads).toHaveLength(1);
  expect(new Set(all.slice(4).map(({ bundle_id }) => bundle_id))).toEqual(new Set([heads[0]?.id]));
  expect(Date.parse(heads[0]?.next_at ?? "") - Date.now()).toBeGreaterThan(3_500_000);
});

it("end as one: what is given up takes those along that it told", async () => {
  const { ledger, key, carrier, rows } = await flooded(
    { ALERTS_PER_HOUR: "1", ALERT_TRIES: "1" },
    5,
  );
  await tellWebhooks(carrier);
  await ledger.db.run(
    sql`update delivery set next_at = '2020-01-01T00:00:00.000Z' where bundle_id = id`,
  );
  for (let n = 0; n < 2; n++) {
    await retryDeliveries(carrier);
    await ledger.db.run(
      sql`update delivery set next_at = '2020-01-01T00:00:00.000Z' where next_at < '9999'`,
    );
  }
  await retryDeliveries(carrier);
  expect((await rows()).map(({ state }) => state)).toEqual(Array.from({ length: 5 }, () => "dead"));
  // Sent again by itself, one of them leaves the bundle, and no later flood takes it back into one.
  const member = (await rows())[3];
  await ledger.call(`/api/deliveries/${member?.id}/redeliver`, { key, method: "POST" });
  await tellWebhooks(carrier);
  expect((await rows())[3]?.bundle_id).toBe(null);
});

it("are none where ALERTS_PER_HOUR is 0", async () => {
  const { carrier, rows } = await flooded({ ALERTS_PER_HOUR: "0" }, 60);
  await tellWebhooks(carrier);
  expect((await rows()).filter(({ bundle_id }) => bundle_id !== null)).toEqual([]);
});
