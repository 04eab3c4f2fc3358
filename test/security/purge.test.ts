// What grows by itself goes after its time, piece by piece, and nothing that is still needed goes.
import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { tellWebhooks } from "../../src/alerts/outbox.ts";
import type { Bindings } from "../../src/env.ts";
import { collectUploads } from "../../src/files/collect.ts";
import { exportAudit } from "../../src/platform/audit/export.ts";
import { openDb } from "../../src/platform/db/client.ts";
import { noCost } from "../../src/platform/db/cost.ts";
import { recordEvent } from "../../src/platform/events.ts";
import { purgeOld } from "../../src/platform/purge-old.ts";
import { emptyTrash } from "../../src/runs/purge.ts";
import { purgeOldOfRuns } from "../../src/runs/purge-old.ts";
import { freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let who: Awaited<ReturnType<Ledger["key"]>>;
let bindings: Bindings;
const setup = async (vars: Record<string, string> = {}) => {
  ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true", ...vars });
  bindings = { ...ledger.bindings, ALERTS: undefined } as unknown as Bindings;
  who = await ledger.key({ role: "admin" });
};
beforeEach(() => setup());

const purge = () => purgeOld(ledger.db, ledger.config, purgeOldOfRuns(ledger.db, ledger.config));
const count = async (table: string, where = "true") =>
  (
    await ledger.db.all<{ n: number }>(sql.raw(`select count(*) as n from ${table} where ${where}`))
  )[0]?.n;
const old = (table: string, column: string, days = 400) =>
  ledger.db.run(
    sql.raw(
      `update ${table} set ${column} = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-${days} days')`,
    ),
  );
const register = async (json: object = {}, headers: Record<string, string> = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key: who.key, json: { task_name: "r", ...json }, headers }))
    .task_id;

describe("events and deliveries", () => {
  const happen = (id: number) =>
    recordEvent(ledger.db, "failed", "task", sql`select ${id}, 1, null, 'g', 'a run', null, ''`);
  const tell = () => tellWebhooks({ db: ledger.db, env: bindings, config: ledger.config });

  it("go after EVENTS_DAYS, but for what is on its way, and the next event is told all the same", async () => {
    const { id } = await ledger.call("/api/webhooks", {
      key: who.key,
      json: { name: "w", url: "http://127.0.0.1:9/" },
    });
    for (let n = 1; n <= 5; n++) await happen(n);
    await tell();
    expect(await count("delivery")).toBe(5);
    await ledger.db.run(sql`update delivery set state = 'delivered' where event_id <> 2`);
    await ledger.db.run(sql`update delivery set state = 'waiting' where event_id = 2`);
    await purge();
    expect(await count("event")).toBe(5);
    await old("event", "created_at");
    await purge();
    expect(await ledger.db.all(sql`select id from event order by id`)).toEqual([
      { id: 2 },
      { id: 5 },
    ]);
    expect(await count("delivery")).toBe(2);
    await ledger.db.run(sql`update delivery set state = 'dead'`);
    await purge();
    expect(await count("event")).toBe(1);
    await happen(9);
    await tell();
    expect(await count("delivery", `webhook_id = ${id}`)).toBe(2);
    // A webhook that was deleted goes with the last of its deliveries.
    await ledger.call("/api/webhooks", {
      key: who.key,
      json: { name: "newest", url: "http://127.0.0.1:9/" },
    });
    await ledger.call(`/api/webhooks/${id}`, { key: who.key, method: "DELETE" }, 204);
    await old("webhook", "deleted_at");
    await purge();
    expect(await count("webhook", `id = ${id}`)).toBe(1);
    await ledger.db.run(sql`delete from delivery`);
    await purge();
    expect(await count("webhook", `id = ${id}`)).toBe(0);
  });

  it("are not told anew when an old run's end is reported again", async () => {
    const id = await register();
    const finish = () =>
      ledger.call(`/api/tasks/${id}/finish`, { key: who.key, json: { status: "success" } });
    await finish();
    expect(await count("event")).toBe(1);
    await ledger.db.run(sql`delete from event`);
    await old("training_task", "finished_at");
    await finish();
    expect(await count("event")).toBe(0);
  });

  it("stay for good where EVENTS_DAYS is 0", async () => {
    await setup({ EVENTS_DAYS: "0" });
    for (let n = 1; n <= 3; n++) await happen(n);
    await tell();
    await old("event", "created_at");
    await purge();
    expect(await count("event")).toBe(3);
  });
});

it("Idempotency-Keys are let go in the order of runs, an import's source never", async () => {
  const first = await register({}, { "Idempotency-Key": "one" });
  const imported = await register({
    import: { source: "elsewhere", created_at: "2020-01-01T00:00:00Z" },
  });
  const young = await register({}, { "Idempotency-Key": "two" });
  await ledger.call(`/api/tasks/${first}/attempts`, {
    key: who.key,
    json: {},
    headers: { "Idempotency-Key": "try" },
  });
  await ledger.db.run(
    sql`update training_task set created_at = '2020-01-01T00:00:00.000Z' where id = ${first}`,
  );
  await ledger.db.run(sql`update task_attempt set started_at = '2020-01-01T00:00:00.000Z'`);
  await purge();
  const keys = async () =>
    (
      await ledger.db.all<{ id: number; key: string }>(
        sql`select id, registration_key as key from training_task order by id`,
      )
    ).map(({ key }) => key);
  expect(await keys()).toEqual([
    `done:${first}`,
    `import:${who.userId}:elsewhere`,
    `${who.userId}:two`,
  ]);
  expect(await count("task_attempt", "opened_with is not null")).toBe(0);
  // The key is free; the young one still finds its run; the import is still known.
  expect(await register({ notes: "other" }, { "Idempotency-Key": "one" })).not.toBe(first);
  expect(await register({}, { "Idempotency-Key": "two" })).toBe(young);
  expect(await register({ import: { source: "elsewhere" } })).toBe(imported);
  // Once looked at, runs are not read again.
  await purge();
  const cost = noCost();
  const db = openDb(ledger.config, cost);
  await purgeOld(db, ledger.config, purgeOldOfRuns(db, ledger.config));
  expect([cost.trips, cost.written]).toEqual([1, 0]);
  expect(cost.read).toBeLessThan(60);
});

it("facts about data go once no run names them, and DATASETS_DAYS have passed", async () => {
  const facts = (name: string) => ({ name, image_count: 3, tag_distribution: { [name]: 1 } });
  const gone = await register({ datasets: [facts("a"), facts("both")] });
  const kept = await register({ datasets: [facts("both"), facts("b")] });
  await ledger.call(`/api/tasks/${kept}/datasets`, {
    key: who.key,
    method: "PUT",
    json: { datasets: [facts("both"), facts("newest")] },
  });
  const links = () => ledger.db.all<{ links: number }>(sql`select links from dataset order by id`);
  expect((await links()).map((row) => row.links)).toEqual([1, 2, 1, 1]);
  await ledger.call(`/api/tasks/${gone}`, { key: who.key, method: "DELETE" }, 204);
  await old("training_task", "deleted_at");
  await ledger.db.run(sql`update training_task set deleted_at = null where id = ${kept}`);
  await emptyTrash(ledger.db, bindings, ledger.config);
  expect((await links()).map((row) => row.links)).toEqual([0, 1, 1, 1]);
  await purge();
  expect(await count("dataset")).toBe(4);
  await old("dataset", "created_at");
  await purge();
  expect(await count("dataset")).toBe(3);
  const { datasets } = await ledger.call(`/api/tasks/${kept}/datasets`, { key: who.key });
  expect(datasets.map(({ name }: { name: string }) => name).sort()).toEqual([
    "b",
    "both",
    "newest",
  ]);
});

it("sessions and tokens go when they have ended, and a key has 50 sessions at most", async () => {
  for (let n = 0; n < 52; n++) await ledger.call("/session", { json: { key: who.key } });
  expect(await count("session")).toBe(50);
  await ledger.call("/api/boxes/enrol", { key: who.key, json: {} });
  await purge();
  expect([await count("session"), await count("box_enrolment")]).toEqual([50, 1]);
  await old("session", "ends_at");
  await old("box_enrolment", "expires_at");
  await purge();
  expect([await count("session"), await count("box_enrolment")]).toEqual([0, 0]);
});

describe("the audit", () => {
  const make = async (entries: number) => {
    for (let n = 0; n < entries; n++) await register();
  };
  const exportOld = () => exportAudit(ledger.db, bindings, ledger.config);
  /** Makes entries older than AUDIT_DAYS, as no statement of the service could. */
  const age = async (upTo: number) => {
    const [{ sql: keep = "" } = {}] = await ledger.db.all<{ sql: string }>(
      sql`select sql from sqlite_master where name = 'audit_entry_keep'`,
    );
    await ledger.db.run(sql`drop trigger audit_entry_keep`);
    await ledger.db.run(
      sql`update audit_entry set at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-800 days') where id <= ${upTo}`,
    );
    await ledger.db.run(sql.raw(keep));
  };

  it("moves into files that admins read, entry by entry, and only what is in one leaves", async () => {
    await make(6);
    const before = (await ledger.call("/api/audit?limit=200", { key: who.key })).items;
    const last = before[2].id;
    await exportOld();
    expect((await ledger.call("/api/audit/exports", { key: who.key })).items).toEqual([]);
    await age(last);
    await exportOld();
    const { items } = await ledger.call("/api/audit/exports", { key: who.key });
    expect(items).toMatchObject([{ last_id: last, entries: before.length - 2 }]);
    const file = await ledger.request(`/api/audit/exports/${items[0].id}`, { key: who.key });
    expect(file.headers.get("Content-Disposition")).toContain(".jsonl.gz");
    const bytes = await file.arrayBuffer();
    expect(bytes.byteLength).toBe(items[0].size);
    const text = await new Response(
      new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")),
    ).text();
    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const moved = before.filter(({ id }: { id: number }) => id <= last).toReversed();
    expect(lines.map(({ id, action, subject_id }) => [id, action, subject_id])).toEqual(
      moved.map((e: Record<string, unknown>) => [e.id, e.action, e.subject_id]),
    );
    const after = (await ledger.call("/api/audit?limit=200", { key: who.key })).items;
    expect(after.map(({ id }: { id: number }) => id)).toEqual(
      before.filter(({ id }: { id: number }) => id > last).map(({ id }: { id: number }) => id),
    );
    // It stays append-only for all that no file holds, and so do the notes of files.
    const refused = (statement: ReturnType<typeof sql>) =>
      expect(ledger.db.run(statement)).rejects.toThrow();
    await refused(sql`delete from audit_entry where id = ${last + 1}`);
    await refused(sql`delete from audit_entry`);
    await refused(sql`update audit_entry set action = 'task.x'`);
    await refused(sql`delete from audit_export`);
    await refused(sql`update audit_export set last_id = 1000`);
    await refused(sql`insert into audit_export (first_id, last_id, first_at, last_at, entries, object_key, size, sha256)
      values (${last + 1}, 100000, '', '', 1, 'x', 1, 'x')`);
    const member = await ledger.key();
    await ledger.call("/api/audit/exports", { key: member.key }, 403);
    await ledger.call(`/api/audit/exports/${items[0].id}`, { key: member.key }, 403);
  });

  it("keeps everything where the bucket does not take the file, and the newest entry always", async () => {
    await make(3);
    const all = (await count("audit_entry")) ?? 0;
    const [{ id = 0 } = {}] = await ledger.db.all<{ id: number }>(
      sql`select max(id) as id from audit_entry`,
    );
    await age(id);
    const broken = {
      ...bindings,
      BUCKET: { put: () => Promise.reject(new Error("away")) },
    } as unknown as Bindings;
    await expect(exportAudit(ledger.db, broken, ledger.config)).rejects.toThrow("away");
    expect(await count("audit_entry")).toBe(all);
    await exportOld();
    expect(await count("audit_entry")).toBe(1);
    expect(await count("audit_entry", `id = ${id}`)).toBe(1);
    await make(1);
    expect(await count("audit_entry", `id > ${id}`)).toBe(1);
  });

  it("stays in the database where AUDIT_DAYS is 0", async () => {
    await setup({ AUDIT_DAYS: "0" });
    await make(3);
    await age(1000);
    await exportOld();
    expect(await count("audit_export")).toBe(0);
  });
});

describe("uploads", () => {
  it("are swept as fast as they can be announced", async () => {
    await setup({ MAX_OPEN_UPLOADS_PER_USER: "60" });
    const id = await register();
    const announce = async (n: number, size: number) =>
      (
        await ledger.request(`/api/tasks/${id}/weights`, {
          key: who.key,
          json: {
            filename: `f${n}`,
            size,
            sha256: n.toString(16).padStart(64, "0"),
            kind: "state",
          },
        })
      ).status;
    const small = await Promise.all(Array.from({ length: 50 }, (_, n) => announce(n, 10)));
    // In parts: each has a multipart upload of its own to abort.
    const large = [];
    for (let n = 100; n < 110; n++) large.push(await announce(n, 100 * 1024 * 1024));
    expect([...small, ...large].every((status) => status === 200)).toBe(true);
    expect(await announce(200, 10)).toBe(403);
    await old("stored_object", "created_at");
    // One minute's call gives up all that a user may have open, the next one takes it away.
    await collectUploads(ledger.db, bindings, ledger.config);
    expect(await count("stored_object", "state = 'uploading'")).toBe(0);
    expect(await announce(200, 10)).toBe(403);
    await old("stored_object", "sweep_at");
    await collectUploads(ledger.db, bindings, ledger.config);
    expect(await count("stored_object", "state = 'aborted'")).toBe(0);
    expect(await announce(200, 10)).toBe(200);
    const { items } = await ledger.call("/api/me/use", { key: who.key });
    const uploads = items.find(({ bound }: { bound: string }) => bound === "uploads");
    expect(uploads.used).toBe(1);
  });
});
