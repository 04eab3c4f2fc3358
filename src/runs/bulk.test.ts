import { sql } from "drizzle-orm";
import { beforeEach, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";

type Person = Awaited<ReturnType<Ledger["key"]>>;
let ledger: Ledger;
let anna: Person;
let bert: Person;

beforeEach(async () => {
  ledger = await freshLedger();
  anna = await ledger.key();
  bert = await ledger.key();
});

const send = (body: object, status = 200, who = anna) =>
  ledger.call("/api/tasks/bulk", { key: who.key, json: body }, status);

/** Tasks straight into the database: n of them, in a state, of one person. */
async function tasks(owner: Person, n: number, more: { status?: string; group?: string } = {}) {
  await ledger.db.run(sql`
    insert into training_task (user_id, task_name, lora_rank, status, attempt, experiment_group, registration_key, registration_hash)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${n})
    select ${owner.userId}, 'run ' || i, 8, ${more.status ?? "success"}, 1, ${more.group ?? null}, hex(randomblob(8)), '' from n`);
}

const rows = (query: string) => ledger.db.all<Record<string, unknown>>(sql.raw(query));
const one = async (query: string) => (await rows(query))[0];

it("says how many, changes those, and says once more that nothing is left to do", async () => {
  await tasks(anna, 12);
  await tasks(anna, 3, { group: "aki" });
  const group = { filter: "lora_rank = 8", action: "group", group: "aki" };
  const same = { reason: "same", why: "It is so already.", count: 3, example: 15 };
  const planned = await send({ ...group, dry_run: true });
  expect(planned).toEqual({ matched: 15, changed: 12, skipped: [same], next_cursor: null });
  expect(await one("select count(*) n from training_task where version > 1")).toEqual({ n: 0 });
  expect(await send({ ...group, expect: 12 })).toEqual(planned);
  expect(await one("select count(*) n from training_task where experiment_group = 'aki'")).toEqual({
    n: 15,
  });
  expect(await one("select count(*) n from training_task where version = 2")).toEqual({ n: 12 });
  expect(await send(group)).toMatchObject({ matched: 15, changed: 0, skipped: [{ count: 15 }] });
  expect(await send({ ...group, group: null })).toMatchObject({ changed: 15 });
});

it("does nothing when another number than expected would be changed", async () => {
  await tasks(anna, 4);
  const all = { filter: "lora_rank = 8", action: "delete" };
  const refusal = await send({ ...all, expect: 3 }, 409);
  expect(refusal).toMatchObject({ matched: 4, changed: 4 });
  expect(refusal.detail).toContain("This would change 4 tasks, not 3");
  expect(await one("select count(*) n from training_task where deleted_at is null")).toEqual({
    n: 4,
  });
});

it("sets and takes away tags, keeping the others", async () => {
  await tasks(anna, 2);
  const filter = "task_name = 'run 1'";
  const tags = { kind: "style", 'a "b".c': "x" };
  expect(await send({ filter, action: "tag", tags })).toMatchObject({ changed: 1 });
  expect(await send({ filter, action: "tag", tags })).toMatchObject({ changed: 0 });
  await send({ filter, action: "tag", tags: { kind: "person", more: "1" } });
  const task = async () => (await ledger.call("/api/tasks/1", { key: anna.key })).tags;
  expect(await task()).toEqual({ ...tags, kind: "person", more: "1" });
  await send({ filter, action: "untag", tags: ['a "b".c', "never there"] });
  expect(await task()).toEqual({ kind: "person", more: "1" });
  const hundred = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`t${n}`, "x"]));
  expect(await send({ filter, action: "tag", tags: hundred })).toMatchObject({
    changed: 0,
    skipped: [{ reason: "too-many-tags", count: 1, example: 1 }],
  });
  expect((await ledger.call("/api/tasks/2", { key: anna.key })).tags).toBeNull();
});

it("leaves what belongs to others, what runs and what has ended, and says so", async () => {
  await tasks(anna, 2);
  await tasks(anna, 2, { status: "running" });
  await tasks(anna, 1, { status: "pending" });
  await tasks(bert, 3, { status: "running" });
  const filter = "lora_rank = 8";
  const cancelled = await send({ filter, action: "cancel" });
  expect(cancelled).toMatchObject({ matched: 8, changed: 3 });
  expect(
    Object.fromEntries(
      cancelled.skipped.map((s: { reason: string; count: number }) => [s.reason, s.count]),
    ),
  ).toEqual({ "not-yours": 3, ended: 2 });
  expect(
    await rows(
      "select status, cancel_requested c, count(*) n from training_task where user_id = (select user_id from training_task where id = 1) group by 1, 2 order by 1",
    ),
  ).toEqual([
    { status: "cancelled", c: 0, n: 1 },
    { status: "running", c: 1, n: 2 },
    { status: "success", c: 0, n: 2 },
  ]);
  const gone = await send({ filter, action: "delete" });
  expect(gone).toMatchObject({ matched: 8, changed: 3 });
  expect(await one("select count(*) n from training_task where deleted_at is null")).toEqual({
    n: 5,
  });
  // The trash is what restoring chooses from, and an admin may do all of it.
  const admin = await ledger.key({ role: "admin" });
  expect(await send({ filter, action: "restore", dry_run: true }, 200, bert)).toMatchObject({
    matched: 3,
    changed: 0,
  });
  expect(await send({ filter, action: "restore" }, 200, admin)).toMatchObject({ changed: 3 });
  expect(await send({ filter, action: "tag", tags: { a: "b" } }, 200, admin)).toMatchObject({
    matched: 8,
    changed: 8,
    skipped: [],
  });
});

it("goes on with a cursor where one call may not change all", async () => {
  await tasks(anna, 1203);
  const tag = { filter: "lora_rank = 8", action: "tag", tags: { a: "b" } };
  expect(await send({ ...tag, dry_run: true })).toMatchObject({ matched: 1203, changed: 1203 });
  const changed = [];
  let cursor: string | null = null;
  do {
    const part = await send({ ...tag, ...(cursor && { cursor }) });
    changed.push(part.changed);
    cursor = part.next_cursor;
  } while (cursor);
  expect(changed).toEqual([500, 500, 203]);
  expect(await one(`select count(*) n from training_task where tags ->> 'a' = 'b'`)).toEqual({
    n: 1203,
  });
  const first = await send(tag);
  await send({ ...tag, filter: "lora_rank = 9", cursor: first.next_cursor }, 422);
  await send({ ...tag, action: "delete", tags: undefined, cursor: first.next_cursor }, 422);
});

it("takes ids, alone or narrowing a filter, and reaches into the trainer's file", async () => {
  const key = anna.key;
  const register = async (text: string) =>
    (await ledger.call("/api/tasks", { key, json: { config: { text, format: "toml" } } })).task_id;
  const one = await register("network_dim = 4\nfancy = 1");
  const two = await register("network_dim = 4\nfancy = 2");
  const both = { ids: [one, two, 999], action: "tag", tags: { a: "b" } };
  expect(await send({ ...both, dry_run: true })).toMatchObject({ matched: 2, changed: 2 });
  const narrowed = { ...both, filter: "config.fancy = 2" };
  expect(await send({ ...narrowed, dry_run: true })).toMatchObject({ matched: 1, changed: 1 });
  expect(await send(narrowed)).toMatchObject({ matched: 1, changed: 1 });
  expect(await send(both)).toMatchObject({ matched: 2, changed: 1 });
});

it("notes each change in the audit, with the filter, and within a fixed number of trips", async () => {
  await tasks(anna, 30);
  await tasks(bert, 2);
  await ledger.call("/api/me", { key: anna.key });
  const response = await ledger.request("/api/tasks/bulk", {
    key: anna.key,
    json: { filter: "lora_rank = 8", action: "delete" },
  });
  expect((await response.json()) as object).toMatchObject({ changed: 30 });
  expect(costOf(response).trips).toBeLessThanOrEqual(3);
  const entries = await rows(
    "select * from audit_entry where subject = 'task' order by subject_id",
  );
  expect(entries).toHaveLength(30);
  expect(entries[0]).toMatchObject({
    action: "task.delete",
    user_id: anna.userId,
    key_id: anna.keyId,
    subject: "task",
    subject_id: 1,
  });
  expect(JSON.parse(String(entries[0]?.detail))).toEqual({
    filter: "lora_rank = 8",
    q: null,
    by_ids: false,
  });
});

it("refuses what is not right", async () => {
  await tasks(anna, 1);
  const refused = (body: object) => send(body, 422);
  expect((await refused({ action: "delete" })).errors[0].path).toBe("filter");
  await refused({ action: "delete", filter: "  " });
  await refused({ action: "burn", filter: "id = 1" });
  await refused({ action: "tag", filter: "id = 1" });
  await refused({ action: "tag", filter: "id = 1", tags: {}, group: "x" });
  await refused({ action: "untag", filter: "id = 1", tags: [] });
  await refused({ action: "group", filter: "id = 1" });
  expect(await refused({ action: "delete", filter: "id = " })).toMatchObject({ position: 6 });
  await refused({ action: "delete", filter: "id = 1", cursor: "bm8" });
  await refused({ action: "delete", ids: [] });
  await send({ action: "delete", ids: [1] }, 403, await ledger.key({ role: "viewer" }));
  await send({ action: "delete", ids: [1] }, 403, await ledger.key({ scopes: ["box"] }));
  await send({ action: "delete", ids: [1] }, 403, await ledger.key({ scopes: ["tasks:read"] }));
  expect(await one("select count(*) n from training_task where deleted_at is null")).toEqual({
    n: 1,
  });
});

it("takes words, also those that the change itself takes away", async () => {
  await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "红色 dragon" } });
  await ledger.call("/api/tasks", {
    key: anna.key,
    json: { task_name: "b", tags: { kind: "dragon" } },
  });
  await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "c" } });
  const words = { q: "dragon" };
  expect(await send({ ...words, action: "tag", tags: { a: "b" }, dry_run: true })).toMatchObject({
    matched: 2,
    changed: 2,
  });
  expect(await send({ q: "红色", action: "group", group: "mio" })).toMatchObject({ changed: 1 });
  expect(await send({ ...words, action: "untag", tags: ["kind"] })).toMatchObject({
    matched: 2,
    changed: 1,
    skipped: [{ reason: "same", count: 1 }],
  });
  expect(await send({ ...words, action: "tag", tags: { a: "b" }, expect: 1 })).toMatchObject({
    matched: 1,
    changed: 1,
  });
  expect(await send({ q: "mio", action: "delete" })).toMatchObject({ changed: 1 });
});

it("queues what has not succeeded and does not run", async () => {
  await tasks(anna, 2, { status: "failed" });
  await tasks(anna, 1, { status: "cancelled" });
  await tasks(anna, 1, { status: "running" });
  await tasks(anna, 2);
  await tasks(anna, 1, { status: "pending" });
  await tasks(bert, 1, { status: "failed" });
  const queue = { filter: "lora_rank = 8", action: "queue" };
  const reasonsOf = ({ skipped }: { skipped: { reason: string; count: number }[] }) =>
    Object.fromEntries(skipped.map(({ reason, count }) => [reason, count]));
  const planned = await send({ ...queue, dry_run: true });
  expect(planned).toMatchObject({ matched: 8, changed: 4 });
  expect(reasonsOf(planned)).toEqual({ running: 1, succeeded: 2, "not-yours": 1 });
  expect(await send({ ...queue, expect: 4 })).toMatchObject({ matched: 8, changed: 4 });
  expect(
    await rows(
      "select status, attempt, max_attempts m from training_task where queue_waiting is not null order by id",
    ),
  ).toEqual([
    ...[1, 2, 3].map(() => ({ status: "pending", attempt: 2, m: 3 })),
    { status: "pending", attempt: 1, m: 3 },
  ]);
  expect(await one("select count(*) n from audit_entry where action = 'task.requeue'")).toEqual({
    n: 4,
  });
  const again = await send(queue);
  expect(again).toMatchObject({ changed: 0 });
  expect(reasonsOf(again)).toMatchObject({ same: 4 });
});
