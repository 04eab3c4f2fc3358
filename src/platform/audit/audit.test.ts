import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";
import { audit, scheduledJob } from "./audit.ts";

let ledger: Ledger;
let admin: Awaited<ReturnType<Ledger["key"]>>;
let member: Awaited<ReturnType<Ledger["key"]>>;
beforeAll(async () => {
  ledger = await freshLedger();
  admin = await ledger.key({ role: "admin", user: "ada" });
  member = await ledger.key({ user: "ben" });
});

const list = (query: Record<string, string | number> = {}) =>
  ledger.call(
    `/api/audit?${new URLSearchParams(Object.entries(query).map(([k, v]) => [k, `${v}`]))}`,
    {
      key: admin.key,
    },
  );
type Entry = Record<string, unknown> & { id: number; action: string };
const actions = (page: { items: Entry[] }) => page.items.map((entry) => entry.action);

describe("the audit", () => {
  it("says who did what to which row, with which key, from where and when", async () => {
    const from = { "CF-Connecting-IP": "203.0.113.7" };
    const { task_id: id } = await ledger.call("/api/tasks", {
      key: member.key,
      json: { task_name: "a" },
      headers: from,
    });
    await ledger.call(`/api/tasks/${id}`, {
      key: admin.key,
      method: "PATCH",
      json: { notes: "x".repeat(5000), tags: { kind: "style" }, seed: null },
      headers: from,
    });
    await ledger.call(`/api/tasks/${id}`, { key: member.key, method: "DELETE" }, 204);
    const { items } = await list({ subject: "task", subject_id: id });
    expect(items).toMatchObject([
      { action: "task.delete", user: "ben", key_id: member.keyId, detail: null },
      {
        action: "task.update",
        user: "ada",
        user_id: admin.userId,
        key_id: admin.keyId,
        address: "203.0.113.7",
        detail: { notes: "(5002 characters)", tags: { kind: "style" }, seed: null },
      },
      { action: "task.register", user: "ben", subject: "task", subject_id: id },
    ]);
    expect(Math.abs(Date.parse(items[0].at) - Date.now())).toBeLessThan(60_000);
  });

  it("says what was done on the command line, where no key stands behind it", async () => {
    const { items } = await list({ subject: "user", subject_id: member.userId });
    expect(items).toMatchObject([
      {
        action: "user.create",
        user_id: null,
        key_id: null,
        address: "command line",
        detail: { name: "ben", role: "member" },
      },
    ]);
  });

  it("notes nothing where nothing changed", async () => {
    const { task_id: id } = await ledger.call("/api/tasks", {
      key: member.key,
      json: { task_name: "b" },
      headers: { "Idempotency-Key": "one" },
    });
    const other = await ledger.key();
    const sent = {
      key: member.key,
      json: { task_name: "b" },
      headers: { "Idempotency-Key": "one" },
    };
    expect((await ledger.call("/api/tasks", sent)).task_id).toBe(id);
    await ledger.call("/api/tasks", { ...sent, json: { task_name: "c" } }, 422);
    const patch = { method: "PATCH", json: { notes: "n" } };
    await ledger.call(`/api/tasks/${id}`, { ...patch, key: other.key }, 404);
    const stale = { ...patch, key: member.key, headers: { "If-Match": '"9"' } };
    await ledger.call(`/api/tasks/${id}`, stale, 412);
    await ledger.call(`/api/tasks/${id}/restore`, { key: member.key, method: "POST" }, 404);
    const finish = { key: member.key, json: { attempt: 1, status: "success" } };
    await ledger.call(`/api/tasks/${id}/finish`, finish);
    await ledger.call(`/api/tasks/${id}/finish`, finish);
    await ledger.call(`/api/tasks/${id}/attempts`, { key: member.key, json: {} }, 409);
    await ledger.call(`/api/tasks/${id}/cancel`, { key: member.key, method: "POST" }, 409);
    const announced = {
      key: member.key,
      json: { filename: "a", size: 1, sha256: "a".repeat(64), kind: "final" },
    };
    const { weight_id } = await ledger.call(`/api/tasks/${id}/weights`, announced);
    await ledger.call(`/api/tasks/${id}/weights`, announced);
    expect(actions(await list({ subject: "task", subject_id: id }))).toEqual([
      "task.finish",
      "task.register",
    ]);
    expect(actions(await list({ subject: "weight", subject_id: weight_id }))).toEqual([
      "weight.announce",
    ]);
  });

  it("holds no key and no secret", async () => {
    const made = await ledger.call("/api/keys", { key: member.key, json: { name: "laptop" } });
    const token = `hf_${"Ab3dEf6h".repeat(5)}`;
    const { task_id: id } = await ledger.call("/api/tasks", { key: member.key, json: {} });
    await ledger.call(`/api/tasks/${id}`, {
      key: member.key,
      method: "PATCH",
      json: { command: ["train", `--hf_token=${token}`], node_info: { hf_token: token } },
    });
    const all = await ledger.db.all<{ detail: string }>(sql`select detail from audit_entry`);
    const text = JSON.stringify(all);
    expect(text).toContain("laptop");
    expect(text).toContain("[redacted]");
    expect(text).not.toContain(token);
    expect(text).not.toContain(made.key.split(".")[2]);
  });

  it("is append-only, and its actions begin with their subject", async () => {
    const refused = async (statement: ReturnType<typeof sql>) => {
      await expect(ledger.db.run(statement)).rejects.toThrow();
    };
    const before = await ledger.db.all(sql`select * from audit_entry`);
    await refused(sql`update audit_entry set address = 'elsewhere'`);
    await refused(sql`delete from audit_entry`);
    await refused(sql`insert into audit_entry (action, subject) values ('task.delete', 'user')`);
    await refused(sql`insert into audit_entry (action, subject) values ('task', 'task')`);
    expect(await ledger.db.all(sql`select * from audit_entry`)).toEqual(before);
  });

  it("is read by admins alone, its filters checked", async () => {
    await ledger.call("/api/audit", { key: member.key }, 403);
    for (const bad of [
      "subject=nothing",
      "subject_id=1",
      "action=drop table",
      "since=yesterday",
      "until=2026-13-01",
      "user=a&user_id=1",
      "cursor=forged",
    ])
      await ledger.call(`/api/audit?${bad}`, { key: admin.key }, 422);
    expect((await list({ user: "nobody" })).items).toEqual([]);
    expect((await list({ user: "'; drop table audit_entry; --" })).items).toEqual([]);
    expect((await list({ key: 999_999 })).items).toEqual([]);
    const { next_cursor } = await list({ limit: 1 });
    await ledger.call(`/api/audit?user=ada&cursor=${next_cursor}`, { key: admin.key }, 422);
  });
});

describe("among 200,000 entries", () => {
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();

  beforeAll(async () => {
    ledger = await freshLedger();
    admin = await ledger.key({ role: "admin", user: "ada" });
    member = await ledger.key({ user: "ben" });
    // One a minute: registrations, every 1,000th a deletion of ben's, every 5,000th a revoked key.
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
      insert into audit_entry (id, at, user_id, key_id, action, subject, subject_id)
      select 1000 + i, strftime('%Y-%m-%dT%H:%M:%fZ', '2026-01-01T00:00:00Z', '+' || i || ' minutes'),
        iif(i % 1000 = 0, ${member.userId}, ${admin.userId}), iif(i % 1000 = 0, ${member.keyId}, ${admin.keyId}),
        case when i % 5000 = 0 then 'key.revoke' when i % 1000 = 0 then 'task.delete' else 'task.register' end,
        iif(i % 5000 = 0, 'key', 'task'), i from n`);
  }, 120_000);

  /** Items, and what the call cost. */
  async function ask(query: string) {
    const response = await ledger.request(`/api/audit?${query}`, { key: admin.key });
    const cost = costOf(response);
    const body: { items: Entry[]; next_cursor: string | null; scanned?: number } =
      await response.json();
    expect(response.status, JSON.stringify(body)).toBe(200);
    return { ...body, ...cost };
  }

  it("finds by row, person, key, rare subject and time at an index's cost", async () => {
    await ask("limit=1");
    for (const [query, count] of [
      ["limit=50", 50],
      ["subject=task&subject_id=777", 1],
      ["user=ben&limit=50", 50],
      [`key=${member.keyId}&limit=50`, 50],
      ["subject=key&since=2026-01-01&limit=40", 40],
      ["action=key.revoke&since=2026-01-01&until=2027-01-01", 40],
      [`since=${at(100)}&until=${at(110)}`, 10],
      [`since=${at(1000)}&until=${at(1001)}&user=ben`, 1],
      [`since=2030-01-01`, 0],
    ] as const) {
      const { items, trips, read, written } = await ask(query);
      expect(items.length, query).toBe(count);
      expect({ trips, written }, query).toEqual({
        trips: items.length < 50 && /action|key=/.test(query) ? 2 : 1,
        written: 0,
      });
      expect(read, query).toBeLessThan(400);
    }
    const { items } = await ask(`since=${at(100)}&until=${at(110)}`);
    expect(items.map((entry) => entry.id)).toEqual(Array.from({ length: 10 }, (_, n) => 1109 - n));
  });

  it("looks at 50,000 entries a call where no index serves, and goes on", async () => {
    let query = "action=task.delete&limit=200";
    const found: number[] = [];
    let calls = 0;
    for (let cursor: string | null = ""; cursor !== null; calls++) {
      const answer = await ask(query);
      expect(answer.read).toBeLessThan(160_000);
      found.push(...answer.items.map((entry) => entry.id));
      cursor = answer.next_cursor;
      query = `action=task.delete&limit=200&cursor=${cursor}`;
    }
    expect(calls).toBe(5);
    expect(found.length).toBe(160);
    expect(new Set(found).size).toBe(160);
    expect(found).toEqual(found.toSorted((a, b) => b - a));
  });

  it("keeps pages stable while entries are added", async () => {
    const first = await ask("user=ben&limit=100");
    await ledger.db.batch([
      audit(
        ledger.db,
        { userId: member.userId, keyId: member.keyId, address: null },
        "task.update",
        sql`select 1 as id`,
      ),
      audit(ledger.db, scheduledJob, "task.update", sql`select 1 as id`),
    ]);
    const second = await ask(`user=ben&limit=100&cursor=${first.next_cursor}`);
    const ids = [...first.items, ...second.items].map((entry) => entry.id);
    expect(new Set(ids).size).toBe(200);
  });
});
