import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { takeOutage } from "../platform/db/outage.ts";
import { advanceQueue } from "./advance.ts";
import { sweepLost } from "./lost.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;
let box: Awaited<ReturnType<Ledger["key"]>>;

beforeEach(async () => {
  ledger = await freshLedger();
  takeOutage();
  anna = await ledger.key();
  box = await ledger.key({ scopes: ["box"], user: anna.userName });
});

const register = async (fields: Record<string, unknown> = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "a run", ...fields } }))
    .task_id;
const claim = (agent = "slot", key = box.key) =>
  ledger.call("/api/queue/claim", { key, json: { agent } });
const beat = (id: number, attempt: number, seq = 1, status = 200, key = box.key, more = {}) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt, seq, ...more } }, status);
const finish = (id: number, attempt: number, status = 200, key = box.key) =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: { attempt, status: "success" } }, status);
const task = (id: number) => ledger.call(`/api/tasks/${id}`, { key: anna.key });
const post = (path: string, json: unknown = {}, status = 200) =>
  ledger.call(path, { key: anna.key, json }, status);
const sweep = () => sweepLost(ledger.db, ledger.config);

/** As if all that happened to the tasks had happened so much earlier. */
async function earlier(seconds: number) {
  const shift = (column: string) =>
    sql`${sql.identifier(column)} = strftime('%Y-%m-%dT%H:%M:%fZ', ${sql.identifier(column)}, ${`-${seconds} seconds`})`;
  await ledger.db.run(
    sql`update training_task set ${shift("heartbeat_at")}, ${shift("started_at")}, ${shift("created_at")}`,
  );
  await ledger.db.run(
    sql`update task_attempt set ${shift("heartbeat_at")}, ${shift("started_at")}`,
  );
}
const sweptEarlier = (seconds: number) =>
  ledger.db.run(sql`update lost_sweep set
    swept_at = strftime('%Y-%m-%dT%H:%M:%fZ', swept_at, ${`-${seconds} seconds`}),
    grace_until = strftime('%Y-%m-%dT%H:%M:%fZ', grace_until, ${`-${seconds} seconds`})`);
const events = () =>
  ledger.db.all<{ subject_id: number; attempt: number; kind: string }>(
    sql`select subject_id, attempt, kind from event order by id`,
  );
const turns = () =>
  ledger.db.all(sql`select user_id, running from queue_turn where running > 0 order by user_id`);

describe("a run that nobody hears of", () => {
  it("is lost after LOST_AFTER_SEC, closed at its last sign of life, told once, and revived when it returns", async () => {
    const id = await register({ hourly_price: 3.6 });
    await beat(id, 1, 1, 200, anna.key, { logs: [{ step: 1, metrics: { loss: 0.5 } }] });
    await earlier(50);
    await beat(id, 1, 2, 200, anna.key);
    await earlier(50);
    expect(await sweep()).toBe(0);
    await earlier(10);
    expect(await sweep()).toBe(1);
    expect(await sweep()).toBe(0);
    const lost = await task(id);
    expect(lost).toMatchObject({
      status: "failed",
      failure_reason: "lost",
      attempts: [{ status: "failed", failure_reason: "lost" }],
    });
    // 50 s from the first heartbeat to the last, at 3.6 an hour.
    expect(lost.total_duration_sec).toBeGreaterThan(49);
    expect(lost.total_duration_sec).toBeLessThan(55);
    expect(lost.cost).toBeCloseTo(lost.total_duration_sec / 1000, 3);
    expect(await events()).toEqual([{ subject_id: id, attempt: 1, kind: "lost" }]);
    // What it spooled meanwhile comes in order, the first of it a repetition.
    expect((await beat(id, 1, 2, 200, anna.key)).status).toBe("running");
    await beat(id, 1, 3, 200, anna.key, { logs: [{ step: 2, metrics: { loss: 0.25 } }] });
    const back = await task(id);
    expect(back).toMatchObject({
      status: "running",
      failure_reason: null,
      finished_at: null,
      attempts: [{ status: "running", finished_at: null, duration_sec: null, cost: null }],
    });
    const ended = await finish(id, 1, 200, anna.key);
    expect(ended.task.total_duration_sec).toBeGreaterThan(105);
    expect((await events()).map(({ kind }) => kind)).toEqual(["lost", "finished"]);
  });

  it("is never taken for dead because the database was away", async () => {
    const id = await register();
    await beat(id, 1, 1, 200, anna.key);
    expect(await sweep()).toBe(0);
    // Neither heartbeats nor the sweep reached the database for ten minutes.
    await earlier(600);
    await sweptEarlier(600);
    expect(await sweep()).toBe(0);
    await earlier(50);
    await sweptEarlier(50);
    expect(await sweep()).toBe(0);
    await earlier(10);
    await sweptEarlier(10);
    expect(await sweep()).toBe(1);
  });

  it("gives everybody time when this isolate saw the database away for long enough", async () => {
    const id = await register();
    await beat(id, 1, 1, 200, anna.key);
    await sweep();
    await earlier(100);
    const away = await freshLedger({ DATABASE_URL: "http://127.0.0.1:9", LOST_AFTER_SEC: "1" });
    const quick = { ...ledger.config, LOST_AFTER_SEC: 1 };
    for (let i = 0; i < 2; i++) {
      // Not by /healthz, which keeps its last answer for all ledgers of this isolate.
      await expect(away.db.run(sql`select 1`)).rejects.toThrow();
      await new Promise((done) => setTimeout(done, 300));
    }
    expect(await sweepLost(ledger.db, quick)).toBe(0);
    await new Promise((done) => setTimeout(done, 1100));
    expect(await sweepLost(ledger.db, quick)).toBe(1);
  });

  it("is found among any number in bounded steps, going on the next minute", async () => {
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 1300)
      insert into training_task (user_id, task_name, status, attempt, heartbeat_at, registration_key, registration_hash)
      select ${anna.userId}, 't', 'running', 1, iif(i % 13 = 0, strftime('%Y-%m-%dT%H:%M:%fZ','now'), '2026-01-01T00:00:00.000Z'), 'n:' || i, 'h' from n`);
    await ledger.db.run(
      sql`insert into task_attempt (task_id, attempt, started_at, heartbeat_at) select id, 1, heartbeat_at, heartbeat_at from training_task`,
    );
    const found = [await sweep(), await sweep(), await sweep()];
    expect(found).toEqual([1000, 200, 0]);
    const [left] = await ledger.db.all(sql`
      select sum(status = 'running') as running, sum(status = 'failed' and failure_reason = 'lost') as lost from training_task`);
    expect(left).toEqual({ running: 100, lost: 1200 });
  });
});

describe("a lease that ends", () => {
  it("returns the task with its attempt counted, until max_attempts", async () => {
    const id = await register({ queue: { max_attempts: 2 } });
    expect((await claim("a")).attempt).toBe(1);
    await earlier(60);
    await sweep();
    expect(await task(id)).toMatchObject({
      status: "pending",
      attempt: 1,
      failure_reason: null,
      attempts: [{ attempt: 1, status: "failed", failure_reason: "lost" }],
    });
    expect(await turns()).toEqual([]);
    expect(await claim("b")).toMatchObject({ task: { id }, attempt: 2 });
    await earlier(60);
    await sweep();
    expect(await task(id)).toMatchObject({ status: "failed", failure_reason: "lost", attempt: 2 });
    expect((await claim("c")).task).toBe(null);
    expect(await events()).toEqual([
      { subject_id: id, attempt: 1, kind: "lost" },
      { subject_id: id, attempt: 2, kind: "lost" },
    ]);
    expect((await ledger.db.all(sql`select * from queue_lane`)).length).toBe(0);
  });

  it("is taken back by its box while nobody has claimed the task, and not after", async () => {
    const id = await register({ queue: {} });
    await claim("a");
    await beat(id, 1, 1);
    await earlier(60);
    await sweep();
    expect((await beat(id, 1, 2)).status).toBe("running");
    expect(await turns()).toEqual([{ user_id: anna.userId, running: 1 }]);
    expect((await claim("b")).task).toBe(null);
    await earlier(60);
    await sweep();
    const other = await ledger.key({ scopes: ["box"], user: anna.userName });
    expect(await claim("b", other.key)).toMatchObject({ task: { id }, attempt: 2 });
    const told = await beat(id, 1, 3, 409);
    expect(told).toMatchObject({ type: "urn:lora-ledger:superseded", current_attempt: 2 });
    expect((await finish(id, 1, 409)).type).toBe("urn:lora-ledger:superseded");
    const file = { filename: "a", size: 1, sha256: "0".repeat(64), kind: "final", attempt: 1 };
    const upload = await ledger.call(`/api/tasks/${id}/weights`, { key: box.key, json: file }, 409);
    expect(upload.type).toBe("urn:lora-ledger:superseded");
    // It learns no more than that.
    await ledger.call(`/api/tasks/${id}`, { key: box.key }, 404);
    await beat(id, 2, 1, 409);
    await beat(id, 2, 1, 200, other.key);
    expect((await finish(id, 2, 200, other.key)).task.status).toBe("success");
    expect(await turns()).toEqual([]);
  });

  it("ends as cancelled when that was asked, and the late box is told to stop", async () => {
    const id = await register({ queue: {} });
    await claim("a");
    await beat(id, 1, 1);
    expect(await post(`/api/tasks/${id}/cancel`)).toMatchObject({
      status: "running",
      cancel_requested: true,
    });
    await earlier(60);
    await sweep();
    expect(await task(id)).toMatchObject({ status: "cancelled", failure_reason: null });
    expect(await beat(id, 1, 2)).toMatchObject({ status: "cancelled", cancel_requested: true });
    expect(await events()).toEqual([]);
  });
});

describe("a box that is taken away", () => {
  const preempted = (id: number, attempt: number, status = 200) =>
    ledger.call(
      `/api/tasks/${id}/finish`,
      {
        key: box.key,
        json: { attempt, status: "failed", failure_reason: "preempted", last_seq: 2 },
      },
      status,
    );

  it("gives its run to another, and is heard out without taking it back", async () => {
    const id = await register({ queue: { max_attempts: 2 } });
    await claim("a");
    await beat(id, 1, 1, 200, box.key, { logs: [{ step: 1, metrics: { loss: 0.5 } }] });
    const { task: given, missing } = await preempted(id, 1);
    expect(given).toMatchObject({ status: "pending", failure_reason: null, finished_at: null });
    expect(missing).toEqual([{ from: 2, to: 2 }]);
    expect((await preempted(id, 1)).task.status).toBe("pending");
    const late = await beat(id, 1, 2, 200, box.key, {
      logs: [{ step: 2, metrics: { loss: 0.4 } }],
    });
    expect(late.status).toBe("pending");
    expect(await events()).toEqual([]);
    expect(await turns()).toEqual([]);
    expect(await claim("b")).toMatchObject({ task: { id }, attempt: 2 });
    await beat(id, 1, 3, 409);
    expect((await task(id)).attempts).toMatchObject([
      { attempt: 2, status: "running" },
      { attempt: 1, status: "failed", failure_reason: "preempted", points: 2 },
    ]);
    // That was its last attempt.
    expect((await preempted(id, 2)).task).toMatchObject({
      status: "failed",
      failure_reason: "preempted",
    });
    expect((await events()).map(({ kind, attempt }) => [kind, attempt])).toEqual([["failed", 2]]);
  });

  it("ends a run that was not in the queue, or that was to be cancelled", async () => {
    const plain = await register();
    await beat(plain, 1, 1, 200, anna.key);
    const json = { status: "failed", failure_reason: "preempted" };
    const { task: ended } = await post(`/api/tasks/${plain}/finish`, json);
    expect(ended).toMatchObject({ status: "failed", failure_reason: "preempted" });
    const unwanted = await register({ queue: {} });
    await claim("a");
    await post(`/api/tasks/${unwanted}/cancel`);
    expect((await preempted(unwanted, 1)).task).toMatchObject({ status: "cancelled" });
  });
});

describe("people", () => {
  it("take a running task from its box, which is told at its next heartbeat", async () => {
    const id = await register({ queue: { labels: ["x"] } });
    await ledger.call("/api/queue/claim", { key: box.key, json: { agent: "a", labels: ["x"] } });
    await beat(id, 1, 1);
    expect(await post(`/api/tasks/${id}/requeue`, { labels: [], priority: 7 })).toMatchObject({
      status: "pending",
      attempt: 2,
      labels: [],
      priority: 7,
    });
    expect(await beat(id, 1, 2, 409)).toMatchObject({ type: "urn:lora-ledger:superseded" });
    expect(await claim("b")).toMatchObject({ task: { id }, attempt: 2 });
    const seen = await task(id);
    expect(seen.attempts).toMatchObject([
      { attempt: 2, status: "running" },
      { attempt: 1, status: "failed", failure_reason: "preempted" },
    ]);
    expect(await turns()).toEqual([{ user_id: anna.userId, running: 1 }]);
  });

  it("retry what failed, with all attempts again; and only that", async () => {
    const id = await register({ queue: { max_attempts: 1 } });
    await post(`/api/tasks/${id}/retry`, {}, 409);
    await claim("a");
    await ledger.call(`/api/tasks/${id}/finish`, {
      key: box.key,
      json: { attempt: 1, status: "failed", error_message: "boom" },
    });
    expect(await post(`/api/tasks/${id}/retry`)).toMatchObject({
      status: "pending",
      attempt: 2,
      error_message: null,
    });
    expect((await claim("b")).attempt).toBe(2);
    await earlier(60);
    await sweep();
    expect(await task(id)).toMatchObject({ status: "failed", failure_reason: "lost" });
    await post(`/api/tasks/${id}/retry`);
    expect((await claim("c")).attempt).toBe(3);
    await finish(id, 3);
    await post(`/api/tasks/${id}/retry`, {}, 409);
    await post(`/api/tasks/${id}/requeue`, {}, 409);

    const byHand = await register();
    await post(`/api/tasks/${byHand}/cancel`);
    expect(await post(`/api/tasks/${byHand}/retry`)).toMatchObject({ status: "pending" });
    const opened = await ledger.call(`/api/tasks/${byHand}/attempts`, { key: anna.key, json: {} });
    expect(opened.attempt).toBe(1);
  });

  it("put tasks into the queue that were not in it, and move those that wait", async () => {
    const [first, second, third] = [
      await register({ queue: {} }),
      await register({ queue: {} }),
      await register(),
    ];
    await post(`/api/tasks/${third}/requeue`, { priority: 1 });
    await post(`/api/tasks/${second}/requeue`, { priority: 2 });
    const order = [];
    for (const slot of ["a", "b", "c", "d"]) order.push((await claim(slot)).task?.id ?? null);
    expect(order).toEqual([second, third, first, null]);
  });
});

describe("what a task waits for", () => {
  it("is a time by the database's clock", async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const past = new Date(Date.now() - 3_600_000).toISOString();
    const late = await register({ queue: { not_before: soon, priority: 9 } });
    const now = await register({ queue: { not_before: past } });
    expect((await claim("a")).task.id).toBe(now);
    expect((await claim("b")).task).toBe(null);
    await advanceQueue(ledger.db);
    expect((await claim("b")).task).toBe(null);
    await ledger.db.run(
      sql`update training_task set queue_due_at = '2026-01-01T00:00:00.000Z' where id = ${late}`,
    );
    await advanceQueue(ledger.db);
    await advanceQueue(ledger.db);
    expect((await claim("b")).task.id).toBe(late);
  });

  it("may be one task for very many, at no cost to that task's end", async () => {
    const first = await register({ queue: {} });
    for (let i = 0; i < 8; i++) await register({ queue: { depends_on: [first] } });
    await claim("a");
    await beat(first, 1);
    const ended = await ledger.request(`/api/tasks/${first}/finish`, {
      key: box.key,
      json: { attempt: 1, status: "success" },
    });
    const [, written] = ended.headers.get("Server-Timing")?.match(/written=(\d+)/) ?? [];
    expect(Number(written)).toBeLessThanOrEqual(60);
    const ready = async () =>
      (
        await ledger.db.all<{ n: number }>(sql`select coalesce(sum(ready), 0) as n from queue_lane`)
      )[0]?.n;
    expect(await ready()).toBe(2);
    await advanceQueue(ledger.db);
    expect(await ready()).toBe(8);
    expect(await ledger.db.all(sql`select * from queue_release`)).toEqual([]);
  });
});
