import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;
let admin: Awaited<ReturnType<Ledger["key"]>>;
/** The key of a box that runs everyone's tasks. */
let fleet: string;

beforeEach(async () => {
  ledger = await freshLedger();
  anna = await ledger.key();
  admin = await ledger.key({ role: "admin" });
  fleet = (await ledger.box(admin.key, { shared: true })).key;
});

const enqueue = async (
  queue: Record<string, unknown> = {},
  key = anna.key,
  fields: Record<string, unknown> = {},
): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "queued", queue, ...fields } }))
    .task_id;

/** Asks until it is answered, as an agent does: 503 and Retry-After say that it may. */
async function claimAnyhow(agent: string): Promise<number | null> {
  for (let tries = 0; tries < 10; tries++) {
    const sent = { key: fleet, json: { agent } };
    const response = await ledger.request("/api/queue/claim", sent);
    const answer: { task: { id: number } | null } = await response.json();
    if (response.status === 200) return answer.task?.id ?? null;
    expect(response.status).toBe(503);
    expect(response.headers.get("Retry-After")).not.toBe(null);
  }
  throw new Error("ten answers of 503");
}

const claim = (agent: string, more: Record<string, unknown> = {}, key = fleet) =>
  ledger.call("/api/queue/claim", { key, json: { agent, ...more } });

const claimed = async (agent: string, more: Record<string, unknown> = {}, key = fleet) =>
  (await claim(agent, more, key)).task?.id ?? null;

const finish = (id: number, status = "success", key = fleet, attempt = 1) =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: { attempt, status } });

/** The lanes as triggers keep them, against what the tasks themselves say. */
async function lanesAgree() {
  const kept = await ledger.db.all(
    sql`select user_id, labels, min_gpu_memory_gb, ready, head_priority, head_task from queue_lane order by 1, 2, 3`,
  );
  const real = await ledger.db.all(sql`
    select user_id, labels, min_gpu_memory_gb, count(*) as ready, max(priority) as head_priority,
      (select h.id from training_task h where h.user_id = t.user_id and h.labels = t.labels
        and h.min_gpu_memory_gb = t.min_gpu_memory_gb and h.status = 'pending' and h.queue_waiting = 0
        and h.deleted_at is null order by h.priority desc, h.id limit 1) as head_task
    from training_task t where status = 'pending' and queue_waiting = 0 and deleted_at is null
    group by 1, 2, 3 order by 1, 2, 3`);
  expect(kept).toEqual(real);
}

describe("claim", () => {
  it("gives the highest priority, then the oldest, with its file and a lease, as a running attempt", async () => {
    const text = '# mine\nnetwork_module = "networks.lora"\nnetwork_dim = 8\n';
    const low = await enqueue({}, anna.key, { config: { text, path: "a.toml" } });
    const high = await enqueue({ priority: 5 });
    const low2 = await enqueue();
    const answer = await claim("box/0", {
      gpu: { name: "RTX 4090", memory_gb: 23.99 },
      hourly_price: 0.4,
    });
    expect(answer).toMatchObject({
      task: {
        id: high,
        status: "running",
        attempt: 1,
        agent: "box/0",
        priority: 5,
        labels: [],
        gpu_info: "RTX 4090",
        hourly_price: 0.4,
      },
      attempt: 1,
      config: null,
      lease_sec: 55,
      heartbeat_interval_sec: 30,
      retry_after_sec: null,
      waiting: null,
    });
    const second = await claim("box/1");
    expect(second.task.id).toBe(low);
    expect(second.config).toMatchObject({ format: "toml", path: "a.toml" });
    expect(atob(second.config.base64)).toBe(text);
    expect(await claimed("box/2")).toBe(low2);
    expect(await claim("box/3")).toMatchObject({
      task: null,
      attempt: null,
      retry_after_sec: 15,
      waiting: { ready: 0, need_memory: 0, need_labels: 0 },
    });
    const { attempts } = await ledger.call(`/api/tasks/${high}`, { key: anna.key });
    expect(attempts).toMatchObject([
      { attempt: 1, status: "running", gpu_info: "RTX 4090", hourly_price: 0.4 },
    ]);
    const audited = await ledger.db.all(
      sql`select user_id, subject_id, detail from audit_entry where action = 'task.claim' order by id`,
    );
    expect(audited).toEqual(
      [high, low, low2].map((id, n) => ({
        user_id: admin.userId,
        subject_id: id,
        detail: `{"agent":"box/${n}"}`,
      })),
    );
  });

  it("gives only what the labels and the GPU's memory allow, and says what they lack", async () => {
    const both = await enqueue({ labels: ["SDXL", "fast", "sdxl"], min_gpu_memory_gb: 24 });
    expect(await claim("a", { labels: ["sdxl"], gpu: { memory_gb: 80 } })).toMatchObject({
      task: null,
      waiting: { ready: 1, need_memory: 0, need_labels: 1 },
    });
    expect(
      await claim("a", { labels: ["fast", "sdxl", "x"], gpu: { memory_gb: 16 } }),
    ).toMatchObject({ task: null, waiting: { ready: 1, need_memory: 1, need_labels: 0 } });
    // A word that only contains a label is another label.
    expect(await claimed("a", { labels: ["fas", "t", "sdxl2"], gpu: { memory_gb: 80 } })).toBe(
      null,
    );
    // A card of 24 GB reports a little less.
    expect(await claimed("a", { labels: ["Fast", "sdxl", "x"], gpu: { memory_gb: 22.49 } })).toBe(
      both,
    );
    await ledger.call(
      "/api/queue/claim",
      { key: admin.key, json: { agent: "a", labels: ['a"b'] } },
      422,
    );
    await ledger.call("/api/queue/claim", { key: admin.key, json: { labels: [] } }, 422);
  });

  it("is fair: the user with the fewest running, then the one served least recently", async () => {
    const bert = await ledger.key();
    const annas = [];
    for (let i = 0; i < 4; i++) annas.push(await enqueue({ priority: 100 }));
    const berts = [await enqueue({}, bert.key), await enqueue({}, bert.key)];
    const order = [];
    for (let i = 0; i < 3; i++) order.push(await claimed(`slot ${i}`));
    expect(order).toEqual([annas[0], berts[0], annas[1]]);
    // Bert has none running and Anna one: his turn, and when both have none, who waited longer.
    await finish(Number(berts[0]));
    expect(await claimed("slot 3")).toBe(berts[1]);
    for (const id of [annas[0], annas[1], berts[1]]) await finish(Number(id));
    berts.push(await enqueue({}, bert.key));
    expect(await claimed("slot 4")).toBe(annas[2]);
    await finish(Number(annas[2]));
    expect(await claimed("slot 5")).toBe(berts[2]);
    await lanesAgree();
  });

  it("gives a slot the same task when its answer was lost, and another once it has reported", async () => {
    const first = await enqueue();
    const second = await enqueue();
    const before = await claim("slot", {});
    const again = await claim("slot", {});
    expect([again.task.id, again.attempt]).toEqual([first, 1]);
    expect(again.task.heartbeat_at >= before.task.heartbeat_at).toBe(true);
    // Another key's slot of the same name is another slot.
    const other = await ledger.box(admin.key, { shared: true });
    expect(await claimed("slot", {}, other.key)).toBe(second);
    const third = await enqueue();
    await ledger.call(`/api/tasks/${first}/heartbeat`, {
      key: fleet,
      json: { attempt: 1, seq: 1 },
    });
    expect(await claimed("slot")).toBe(third);
    const attempts = await ledger.db.all(
      sql`select task_id, attempt from task_attempt order by task_id`,
    );
    expect(attempts).toEqual([first, second, third].map((id) => ({ task_id: id, attempt: 1 })));
  });

  it("gives 50 that ask at once 50 different tasks", async () => {
    for (let i = 0; i < 60; i++) await enqueue({ priority: i % 3 });
    const got = await Promise.all(Array.from({ length: 50 }, (_, i) => claimAnyhow(`agent ${i}`)));
    expect(new Set(got).size).toBe(50);
    expect(got).not.toContain(null);
    await lanesAgree();
    const rest = await Promise.all(Array.from({ length: 50 }, (_, i) => claimAnyhow(`late ${i}`)));
    expect(rest.filter((id) => id !== null)).toHaveLength(10);
    expect(new Set([...got, ...rest]).size).toBe(61);
    await lanesAgree();
  }, 120_000);

  it("waits for a task when asked to", async () => {
    const begun = Date.now();
    const waiting = claim("patient", { wait_sec: 20 });
    await new Promise((done) => setTimeout(done, 300));
    const id = await enqueue();
    expect((await waiting).task.id).toBe(id);
    expect(Date.now() - begun).toBeLessThan(10_000);
    const empty = Date.now();
    expect((await claim("patient 2", { wait_sec: 1 })).task).toBe(null);
    expect(Date.now() - empty).toBeGreaterThanOrEqual(900);
  });

  it("lets the claimer report on another's run, and nothing more", async () => {
    const key = fleet;
    const id = await enqueue();
    expect(await claimed("m", {}, key)).toBe(id);
    await ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt: 1, seq: 1 } });
    const file = {
      filename: "a.safetensors",
      size: 8,
      sha256: "0".repeat(64),
      kind: "checkpoint",
      attempt: 1,
    };
    await ledger.call(`/api/tasks/${id}/weights`, { key, json: file });
    await ledger.call(`/api/tasks/${id}/cancel`, { key, method: "POST" }, 403);
    await ledger.call(`/api/tasks/${id}`, { key, method: "PATCH", json: { task_name: "x" } }, 403);
    await ledger.call(`/api/tasks/${id}/finish`, { key, json: { attempt: 1, status: "failed" } });
    await ledger.call(`/api/tasks/${id}`, { key, method: "DELETE" }, 403);
  });

  it("lets a box key claim, read what it claimed, and put nothing into the queue", async () => {
    const { key } = await ledger.key({ scopes: ["box"], user: anna.userName });
    const [mine, other] = [await enqueue(), await enqueue()];
    expect(await claimed("b", {}, key)).toBe(mine);
    expect((await ledger.call(`/api/tasks/${mine}`, { key })).id).toBe(mine);
    await ledger.call(`/api/tasks/${other}`, { key }, 404);
    await ledger.call("/api/queue", { key }, 403);
    await ledger.call("/api/tasks", { key, json: { task_name: "x", queue: {} } }, 403);
    const viewer = await ledger.key({ role: "viewer" });
    await ledger.call("/api/queue/claim", { key: viewer.key, json: { agent: "v" } }, 403);
  });
});

describe("waiting", () => {
  it("keeps a task back until what it depends on has succeeded", async () => {
    const first = await enqueue();
    const then = await enqueue({ depends_on: [first] });
    const last = await enqueue({ depends_on: [first, then, first] });
    const seen = await ledger.call("/api/queue", { key: anna.key });
    expect(seen.items).toMatchObject([
      { position: 1, task_id: first, state: "ready", waits_for: { not_before: null, tasks: [] } },
      {
        position: 2,
        task_id: then,
        state: "waiting",
        waits_for: { tasks: [{ task_id: first, status: "pending" }] },
      },
      {
        position: 3,
        task_id: last,
        waits_for: {
          tasks: [
            { task_id: first, status: "pending" },
            { task_id: then, status: "pending" },
          ],
        },
      },
    ]);
    expect(await claimed("1")).toBe(first);
    expect(await claimed("2")).toBe(null);
    await finish(first);
    expect(await claimed("2")).toBe(then);
    expect(await claimed("3")).toBe(null);
    await finish(then, "failed");
    expect((await ledger.call("/api/queue", { key: anna.key })).items).toMatchObject([
      {
        task_id: last,
        state: "blocked",
        waits_for: { tasks: [{ task_id: then, status: "failed" }] },
      },
    ]);
    await lanesAgree();
    expect(await enqueue({ depends_on: [first] })).toBeGreaterThan(last);
    expect(await claimed("4")).not.toBe(null);
  });

  it("refuses to depend on what is not there, and leaves nothing behind", async () => {
    const there = await enqueue();
    const answer = await ledger.call(
      "/api/tasks",
      {
        key: anna.key,
        json: { task_name: "x", queue: { depends_on: [there, 999, 1000] } },
      },
      422,
    );
    expect(answer.errors).toEqual([
      { path: "queue.depends_on", message: "there is no task 999" },
      { path: "queue.depends_on", message: "there is no task 1000" },
    ]);
    // A task cannot name itself or a later one either, so that no circle can be made.
    await ledger.call(
      "/api/tasks",
      { key: anna.key, json: { task_name: "x", queue: { depends_on: [there + 1] } } },
      422,
    );
    const [left] = await ledger.db.all(
      sql`select (select count(*) from training_task) as tasks, (select count(*) from task_dependency) as links`,
    );
    expect(left).toEqual({ tasks: 1, links: 0 });
    for (const queue of [
      { priority: 1.5 },
      { labels: ["two words"] },
      { max_attempts: 0 },
      { not_before: "soon" },
      { colour: "red" },
    ])
      await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "x", queue } }, 422);
  });

  it("never gives what is cancelled, in the trash or not queued, and lists page by page", async () => {
    await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "not queued" } });
    const ids = [];
    for (let i = 0; i < 6; i++) ids.push(await enqueue({ priority: i % 2 }));
    const [zero, one, two, three, four, five] = ids;
    await ledger.call(`/api/tasks/${one}/cancel`, { key: anna.key, method: "POST" });
    await ledger.call(`/api/tasks/${two}`, { key: anna.key, method: "DELETE" }, 204);
    await lanesAgree();
    const seen = [];
    for (let cursor = ""; ; ) {
      const page = await ledger.call(`/api/queue?limit=2&user=me${cursor}`, { key: anna.key });
      seen.push(...page.items.map((i: Record<string, unknown>) => [i.position, i.task_id]));
      if (!page.next_cursor) break;
      cursor = `&cursor=${page.next_cursor}`;
    }
    expect(seen).toEqual([three, five, zero, four].map((id, n) => [n + 1, id]));
    expect((await ledger.call("/api/queue?user=me", { key: admin.key })).items).toEqual([]);
    await ledger.call(`/api/tasks/${two}/restore`, { key: anna.key, method: "POST" });
    await lanesAgree();
    const got = [];
    for (let i = 0; i < 6; i++) got.push(await claimed(`s${i}`));
    expect(got).toEqual([three, five, zero, two, four, null]);
  });
});
