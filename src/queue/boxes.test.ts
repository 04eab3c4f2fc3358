import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;
let bert: Awaited<ReturnType<Ledger["key"]>>;

beforeEach(async () => {
  ledger = await freshLedger();
  [anna, bert] = [await ledger.key(), await ledger.key()];
});

const enrol = (more: Record<string, unknown> = {}, key = anna.key) =>
  ledger.call("/api/boxes/enrol", { key, json: more });
const exchange = (token: string, more: Record<string, unknown> = {}, status = 200) =>
  ledger.call("/api/boxes/exchange", { json: { token, ...more } }, status);
const box = async (more: Record<string, unknown> = {}, key = anna.key) =>
  exchange((await enrol(more, key)).token, { gpu_info: "RTX 4090" });
const enqueue = async (key = anna.key): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "queued", queue: {} } })).task_id;
const claim = (key: string, agent = "gpu0") =>
  ledger.call("/api/queue/claim", { key, json: { agent } });
const list = async (query = "") =>
  (await ledger.call(`/api/boxes${query}`, { key: anna.key })).items;

describe("enrolling", () => {
  it("gives a token that is good once, for its minutes, and a key that ends by itself", async () => {
    const made = await enrol({ name: "vast 17", hourly_price: 0.4, days: 2 });
    expect(made).toMatchObject({ shared: false, days: 2 });
    expect(Date.parse(made.expires_at) - Date.now()).toBeLessThanOrEqual(15 * 60_000 + 2000);
    const [stored] = await ledger.db.all<{ row: string }>(
      sql`select json_object('h', token_hash, 'n', name) as row from box_enrolment`,
    );
    expect(stored?.row).not.toContain(made.token);
    const got = await exchange(made.token, { name: "ignored", gpu_info: "A100" });
    expect(got).toMatchObject({ name: "vast 17", hourly_price: 0.4 });
    expect(Date.parse(got.expires_at) - Date.now()).toBeGreaterThan(1.99 * 86_400_000);
    expect(await exchange(made.token, {}, 401)).toMatchObject({
      type: "urn:lora-ledger:token-not-valid",
    });
    await exchange("enrol-nonsense", {}, 401);
    const late = await enrol();
    await ledger.db.run(
      sql`update box_enrolment set expires_at = '2026-01-01T00:00:00.000Z' where used_at is null`,
    );
    await exchange(late.token, {}, 401);
    // Two that bring the same token at once: one gets a key.
    const { token } = await enrol();
    const both = await Promise.all(
      [1, 2].map(() => ledger.request("/api/boxes/exchange", { json: { token } })),
    );
    expect(both.map((response) => response.status).sort()).toEqual([200, 401]);
    const actions = await ledger.db.all<{ action: string }>(
      sql`select action from audit_entry where subject = 'box' order by id`,
    );
    expect(actions.map(({ action }) => action)).toEqual([
      "box.enrol",
      "box.exchange",
      "box.enrol",
      "box.enrol",
      "box.exchange",
    ]);
  });

  it("refuses who may not do what a box does", async () => {
    const narrow = await ledger.key({ scopes: ["tasks:write"] });
    await ledger.call("/api/boxes/enrol", { key: narrow.key, json: {} }, 403);
    const { key } = await box();
    await ledger.call("/api/boxes/enrol", { key, json: {} }, 403);
    await ledger.call("/api/boxes", { key }, 403);
    await ledger.call("/api/boxes/enrol", { key: anna.key, json: { days: 0 } }, 422);
  });

  it("binds the box to its owner's tasks, unless it is shared", async () => {
    const theirs = await enqueue(bert.key);
    const own = await box();
    expect(await claim(own.key)).toMatchObject({ task: null, waiting: { ready: 0 } });
    const admin = await ledger.key({ role: "admin" });
    const shared = await box({ shared: true }, admin.key);
    expect((await claim(shared.key)).task.id).toBe(theirs);
    await ledger.call("/api/boxes/enrol", { key: anna.key, json: { shared: true } }, 403);
    // A stolen key reads and spoils nothing of anyone's.
    for (const [method, path, json] of [
      ["GET", `/api/tasks/${theirs}`],
      ["GET", "/api/tasks"],
      ["GET", "/api/queue"],
      ["GET", `/api/tasks/${theirs}/config`],
      ["POST", `/api/tasks/${theirs}/heartbeat`, { attempt: 1, seq: 1 }],
      ["POST", `/api/tasks/${theirs}/finish`, { attempt: 1, status: "failed" }],
      ["POST", `/api/tasks/${theirs}/attempts`, {}],
      ["POST", `/api/tasks/${theirs}/requeue`, {}],
      ["DELETE", `/api/tasks/${theirs}`],
    ] as const) {
      const response = await ledger.request(path, { key: own.key, method, json });
      expect([403, 404], `${method} ${path}`).toContain(response.status);
    }
  });
});

describe("boxes", () => {
  it("show what they offer, what they have run, and what that cost, today and in all", async () => {
    const made = await box({ hourly_price: 0.5 });
    expect(await list()).toMatchObject([
      { labels: null, gpu_memory_gb: null, runs: 0, runs_cost: null, runs_today: 0 },
    ]);
    const offers = { labels: ["sdxl", "fast"], gpu: { memory_gb: 23.6 } };
    const ask = (more = {}) =>
      ledger.request("/api/queue/claim", {
        key: made.key,
        json: { agent: "gpu0", ...offers, ...more },
      });
    await ask();
    expect((await list())[0]).toMatchObject({ labels: ["fast", "sdxl"], gpu_memory_gb: 23.6 });
    // Asking again and again writes nothing while it offers the same.
    expect(costOf(await ask()).written).toBe(0);
    expect(costOf(await ask({ labels: ["sdxl"] })).written).toBe(1);
    const [one, two] = [await enqueue(), await enqueue()];
    for (const id of [one, two]) {
      await ask({ labels: ["sdxl"] });
      const beat = { key: made.key, json: { attempt: 1, seq: 1, logs: [] } };
      await ledger.call(`/api/tasks/${id}/heartbeat`, beat);
    }
    const end = { key: made.key, json: { attempt: 1, status: "success" } };
    await ledger.call(`/api/tasks/${one}/finish`, end);
    // The first took two hours, of which one was yesterday; the other, an hour up to now, goes on.
    await ledger.db.run(sql`
      update task_attempt set finished_at = strftime('%Y-%m-%dT01:00:00.000Z','now'), cost = 1.0, duration_sec = 7200,
        started_at = strftime('%Y-%m-%dT23:00:00.000Z','now','-1 day') where task_id = ${one}`);
    await ledger.db.run(sql`
      update task_attempt set started_at = strftime('%Y-%m-%dT02:00:00.000Z','now'),
        heartbeat_at = strftime('%Y-%m-%dT03:00:00.000Z','now') where task_id = ${two}`);
    const [seen] = await list();
    expect(seen).toMatchObject({ labels: ["sdxl"], gpu_memory_gb: 23.6, runs: 2, runs_today: 2 });
    expect(seen.runs_cost).toBeCloseTo(1.5);
    expect(seen.hours_today).toBeCloseTo(2);
    expect(seen.runs_cost_today).toBeCloseTo(1);
    const runs = async (cursor = "") =>
      ledger.call(`/api/boxes/${made.box_id}/runs?limit=1${cursor}`, { key: bert.key });
    const first = await runs();
    expect(first.items).toMatchObject([{ task_id: two, status: "running", agent: "gpu0" }]);
    expect(first.items[0].cost).toBeCloseTo(0.5);
    const second = await runs(`&cursor=${first.next_cursor}`);
    expect(second).toMatchObject({
      items: [{ task_id: one, status: "success", duration_sec: 7200, cost: 1 }],
      next_cursor: null,
    });
    // A run with an ordinary key is no box's.
    const { task_id: own } = await ledger.call("/api/tasks", {
      key: anna.key,
      json: { task_name: "own" },
    });
    await ledger.call(`/api/tasks/${own}/heartbeat`, {
      key: anna.key,
      json: { attempt: 1, seq: 1 },
    });
    expect((await list())[0].runs).toBe(2);
  });

  it("show what they are doing, since when, with their GPU's load", async () => {
    const made = await box({ name: "vast 17", hourly_price: 0.4 });
    const id = await enqueue();
    expect(await list()).toMatchObject([{ id: made.box_id, claimed_at: null, tasks: [] }]);
    expect((await claim(made.key)).task.hourly_price).toBe(0.4);
    await ledger.call(`/api/tasks/${id}/heartbeat`, {
      key: made.key,
      json: {
        attempt: 1,
        seq: 1,
        progress: { step: 7, total_steps: 100 },
        logs: [{ step: 7, metrics: { loss: 0.5, "gpu.0.util": 97, "gpu.0.mem_mb": 20000 } }],
      },
    });
    const [seen] = await list();
    expect(seen).toMatchObject({
      name: "vast 17",
      gpu_info: "RTX 4090",
      hourly_price: 0.4,
      revoked_at: null,
      tasks: [
        {
          task_id: id,
          attempt: 1,
          agent: "gpu0",
          step: 7,
          total_steps: 100,
          gpu: { "gpu.0.util": 97, "gpu.0.mem_mb": 20000 },
        },
      ],
    });
    expect(seen.last_seen_at >= seen.claimed_at).toBe(true);
    await ledger.call(`/api/tasks/${id}/finish`, {
      key: made.key,
      json: { attempt: 1, status: "success" },
    });
    expect((await list())[0].tasks).toEqual([]);
  });

  it("are revoked with one call, by their owner or an admin", async () => {
    const made = await box();
    const path = `/api/boxes/${made.box_id}`;
    await ledger.call(path, { key: bert.key, method: "DELETE" }, 404);
    await ledger.call(path, { key: anna.key, method: "DELETE" }, 204);
    await ledger.call("/api/queue/claim", { key: made.key, json: { agent: "a" } }, 401);
    await ledger.call(path, { key: anna.key, method: "DELETE" }, 404);
    expect(await list()).toEqual([]);
    expect(await list("?revoked=true&limit=1")).toMatchObject([{ id: made.box_id, tasks: [] }]);
  });
});
