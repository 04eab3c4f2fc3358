import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { recordEvent } from "../platform/events.ts";
import { acceptsEvent, tellWebhooks } from "./outbox.ts";

let ledger: Ledger;
let member: Awaited<ReturnType<Ledger["key"]>>;
let admin: Awaited<ReturnType<Ledger["key"]>>;
beforeAll(async () => {
  ledger = await freshLedger();
  member = await ledger.key();
  admin = await ledger.key({ role: "admin" });
});

const slack = "https://hooks.slack.com/services/T000/B000/verysecrettoken";
const make = (json: object, key = member.key, status = 200) =>
  ledger.call("/api/webhooks", { key, json }, status);
const at = (id: number) => `/api/webhooks/${id}`;

describe("webhooks", () => {
  it("are made, changed and deleted by their owner, noted in the audit without secrets", async () => {
    const made = await make({ name: "team", target: "slack", url: slack, kinds: ["failed"] });
    expect(made).toMatchObject({
      name: "team",
      target: "slack",
      url: "https://hooks.slack.com/…oken",
      signed: false,
      secret: null,
      kinds: ["failed"],
      groups: null,
      mutes: [],
      user_id: member.userId,
    });
    const mutes = [{ group: "noisy", until: "2030-01-01T00:00:00Z" }];
    const changed = await ledger.call(at(made.id), {
      key: member.key,
      method: "PATCH",
      json: { mutes, kinds: null },
      headers: { "If-Match": '"1"' },
    });
    expect(changed).toMatchObject({ mutes, kinds: null, name: "team", version: 2 });
    const late = { key: member.key, method: "PATCH", json: {}, headers: { "If-Match": '"1"' } };
    await ledger.call(at(made.id), late, 412);
    await ledger.call(at(made.id), { key: member.key, method: "DELETE" }, 204);
    await ledger.call(at(made.id), { key: member.key }, 404);
    const entries = await ledger.db.all<{ action: string; detail: string | null }>(
      sql`select action, detail from audit_entry where subject = 'webhook' and subject_id = ${made.id} and user_id = ${member.userId} order by id`,
    );
    expect(entries.map(({ action }) => action)).toEqual([
      "webhook.create",
      "webhook.update",
      "webhook.delete",
    ]);
    expect(JSON.stringify(entries)).not.toContain("secrettoken");
    const [row] = await ledger.db.all<{ url: string }>(
      sql`select url from webhook where id = ${made.id}`,
    );
    expect(row?.url).not.toContain("secrettoken");
  });

  it("are seen by their owner and admins alone", async () => {
    const { id } = await make({ name: "mine", target: "slack", url: slack });
    const other = await ledger.key();
    await ledger.call(at(id), { key: other.key }, 404);
    await ledger.call(at(id), { key: other.key, method: "PATCH", json: { name: "x" } }, 404);
    await ledger.call(at(id), { key: other.key, method: "DELETE" }, 404);
    await ledger.call(`${at(id)}/test`, { key: other.key, method: "POST" }, 404);
    const listed = (key: string) => ledger.call("/api/webhooks", { key });
    expect((await listed(other.key)).items).toEqual([]);
    expect((await listed(admin.key)).items.map((item: { id: number }) => item.id)).toContain(id);
    expect((await ledger.call(at(id), { key: admin.key })).name).toBe("mine");
    for (const [role, scopes] of [
      ["viewer", undefined],
      ["member", ["box"]],
      ["member", ["tasks:read"]],
    ] as const) {
      const { key } = await ledger.key({ role, scopes: scopes && [...scopes] });
      await ledger.call("/api/webhooks", { key }, 403);
      await make({ name: "no", url: "https://example.com" }, key, 403);
      await ledger.call("/api/deliveries", { key }, 403);
    }
  });

  it("show a secret made for them once, and take only those their target knows", async () => {
    const own = await make({ name: "own", url: "https://example.com/hook" });
    expect(own.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(own.signed).toBe(true);
    const read = await ledger.call(at(own.id), { key: member.key });
    expect(read).not.toHaveProperty("secret");
    expect(JSON.stringify(read)).not.toContain(own.secret);
    const given = `whsec_${btoa("0123456789abcdef01234567")}`;
    expect(await make({ name: "given", url: "https://example.com", secret: given })).toMatchObject({
      signed: true,
      secret: null,
    });
    for (const [target, secret] of [
      ["generic", "short"],
      ["generic", "whsec_%%%"],
      ["slack", "anything"],
      ["discord", "anything"],
      ["wecom", "anything"],
    ]) {
      const refused = await make(
        { name: "x", url: "https://example.com", target, secret },
        member.key,
        422,
      );
      expect(refused.errors[0].path).toBe("secret");
    }
    for (const target of ["feishu", "dingtalk"])
      await make({ name: target, url: "https://example.com", target, secret: "SECabc" });
  });

  it("that point inside are refused at registering, at changing and again at sending", async () => {
    const inside = "http://169.254.169.254/latest";
    const refused = await make({ name: "x", url: inside }, member.key, 422);
    expect(refused.errors).toEqual([
      { path: "url", message: expect.stringMatching(/^must not point inside/) },
    ]);
    const { id } = await make({ name: "x", url: "https://example.com" });
    await ledger.call(at(id), { key: member.key, method: "PATCH", json: { url: inside } }, 422);
    await ledger.db.run(sql`update webhook set url = ${inside} where id = ${id}`);
    const tested = await ledger.call(`${at(id)}/test`, { key: member.key, method: "POST" });
    expect(tested).toMatchObject({ delivered: false, status: null });
    expect(tested.error).toMatch(/^was not sent: the address must not point inside/);
  });

  it("are at most 20 a user", async () => {
    const { key } = await ledger.key();
    for (let n = 0; n < 20; n++) await make({ name: `n${n}`, url: "https://example.com" }, key);
    await make({ name: "one more", url: "https://example.com" }, key, 403);
  });
});

describe("what is sent where", () => {
  const fact = { kind: "failed", experimentGroup: "aki", userId: 7 } as const;
  const all = { kinds: null, groups: null, users: null, mutes: [] };
  const time = Date.parse("2026-05-05T12:00:00.000Z");
  it.each([
    ["everything", all, true],
    ["its kind", { ...all, kinds: ["failed" as const] }, true],
    ["another kind", { ...all, kinds: ["finished" as const] }, false],
    ["its group", { ...all, groups: ["aki", "other"] }, true],
    ["another group", { ...all, groups: ["other"] }, false],
    ["its user", { ...all, users: [7] }, true],
    ["another user", { ...all, users: [8] }, false],
    ["its group muted for good", { ...all, mutes: [{ group: "aki", until: null }] }, false],
    [
      "its group muted still",
      { ...all, mutes: [{ group: "aki", until: "2026-05-05T14:00:01+02:00" }] },
      false,
    ],
    [
      "its group muted until then",
      { ...all, mutes: [{ group: "aki", until: "2026-05-05T14:00:00+02:00" }] },
      true,
    ],
    ["another group muted", { ...all, mutes: [{ group: "other", until: null }] }, true],
  ])("%s", (_, filter, expected) => {
    expect(acceptsEvent(filter, fact, time)).toBe(expected);
  });

  it("each event goes once to each webhook of an active user, however often it is told", async () => {
    const own = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true" });
    const carrier = { db: own.db, env: own.bindings, config: own.config };
    const key = async () => (await own.key()).key;
    const [anna, gone] = [await own.key(), await own.key()];
    const make = (as: string) =>
      own.call("/api/webhooks", { key: as, json: { name: "w", url: inject("sqldUrl") } });
    const before = await make(anna.key);
    await make(gone.key);
    await own.db.run(sql`update user set active = 0 where id = ${gone.userId}`);
    const record = (n: number) =>
      recordEvent(own.db, "released", "model", sql`select 1, 0, null, null, 'm', null, ${`v${n}`}`);
    for (let n = 0; n < 120; n++) await record(n);
    await record(3);
    await Promise.all([tellWebhooks(carrier), tellWebhooks(carrier), tellWebhooks(carrier)]);
    await tellWebhooks(carrier);
    const after = await make(await key());
    await tellWebhooks(carrier);
    const rows = await own.db.all<{ webhook: number; count: number }>(
      sql`select webhook_id as webhook, count(*) as count from delivery group by 1`,
    );
    expect(rows).toEqual([{ webhook: before.id, count: 120 }]);
    const page = await own.call(`/api/deliveries?webhook=${before.id}&limit=200`, {
      key: anna.key,
    });
    expect(page.items).toHaveLength(120);
    expect(page.items[0]).toMatchObject({ state: "waiting", kind: "released", webhook: "w" });
    const { items } = await own.call(`/api/deliveries?webhook=${before.id}`, { key: await key() });
    expect(items).toEqual([]);
    expect((await own.call("/api/events?limit=200", { key: anna.key })).items).toHaveLength(120);
    expect(after.id).not.toBe(before.id);
  });
});

it("the delivery log costs what it shows, not what there is", async () => {
  const own = await freshLedger();
  const [anna, ben, boss] = [await own.key(), await own.key(), await own.key({ role: "admin" })];
  const hook = async (key: string) =>
    (await own.call("/api/webhooks", { key, json: { name: "w", url: "https://example.com" } })).id;
  const [hers, other, his] = [await hook(anna.key), await hook(anna.key), await hook(ben.key)];
  const count = 30_000;
  await own.db.run(sql`
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    insert into event (id, kind, subject, subject_id, attempt, name) select i, 'failed', 'task', i, 1, 'n' from n`);
  // Every tenth to Anna's second webhook, every thousandth dead.
  await own.db.run(sql`
    insert into delivery (event_id, webhook_id, user_id, state)
    select id, iif(id % 10 = 0, ${other}, ${hers}), ${anna.userId}, iif(id % 1000 = 0, 'dead', 'delivered') from event
    union all select id, ${his}, ${ben.userId}, 'delivered' from event`);
  for (const [query, key, items] of [
    ["", anna.key, 50],
    ["", boss.key, 50],
    [`webhook=${hers}`, anna.key, 50],
    [`webhook=${other}&state=dead`, anna.key, 30],
    [`webhook=${his}`, anna.key, 0],
    ["event=777", anna.key, 1],
    ["event=777", boss.key, 2],
    ["state=delivered", ben.key, 50],
    ["state=dead", anna.key, 30],
    ["state=dead", ben.key, 0],
    ["state=dead", boss.key, 30],
    ["state=waiting", boss.key, 0],
  ] as const) {
    const asked = `/api/deliveries?${query}`;
    await own.request(asked, { key });
    const response = await own.request(asked, { key });
    const body: { items: unknown[]; next_cursor: string | null } = await response.json();
    expect(body.items.length, query).toBe(items);
    expect(costOf(response).read, query).toBeLessThanOrEqual(310);
    if (body.next_cursor) {
      const next = await own.request(`${asked}&cursor=${body.next_cursor}`, { key });
      expect(costOf(next).read, query).toBeLessThanOrEqual(310);
    }
  }
  // Events bring their deliveries along, each caller's own.
  for (const [query, key, items, seen] of [
    ["", anna.key, 50, 1],
    ["", ben.key, 50, 1],
    ["", boss.key, 50, 2],
    ["task=1", boss.key, 1, 2],
    ["undelivered=true", anna.key, 30, 1],
    ["undelivered=true", ben.key, 0, 0],
    ["undelivered=true", boss.key, 30, 1],
  ] as const) {
    const response = await own.request(`/api/events?${query}`, { key });
    const body: { items: { deliveries: { webhook: string; state: string }[] }[] } =
      await response.json();
    expect(body.items.length, query).toBe(items);
    for (const { deliveries } of body.items) expect(deliveries, query).toHaveLength(seen);
    if (query.startsWith("undelivered"))
      for (const { deliveries } of body.items)
        expect(deliveries.some(({ state }) => state === "dead")).toBe(true);
    expect(costOf(response).read, query).toBeLessThanOrEqual(700);
  }
  // Many webhooks make an event's list no longer, nor dearer.
  await own.db.run(sql`
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 200)
    insert into webhook (user_id, name, target, url) select ${ben.userId}, 'w' || i, 'generic', 'https://example.com' from n`);
  await own.db.run(sql`
    insert or ignore into delivery (event_id, webhook_id, user_id, state)
    select e.id, w.id, w.user_id, 'delivered' from event e join webhook w on w.name <> 'w' where e.id > ${count - 60}`);
  for (const [key, seen, most] of [
    [boss.key, 10, 2_700],
    [anna.key, 1, 800],
  ] as const) {
    const response = await own.request("/api/events", { key });
    const { items }: { items: { deliveries: unknown[] }[] } = await response.json();
    for (const { deliveries } of items) expect(deliveries).toHaveLength(seen);
    expect(costOf(response).read).toBeLessThanOrEqual(most);
  }
}, 60_000);
