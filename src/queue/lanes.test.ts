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

const enqueue = async (queue = {}, key = anna.key, more = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "queued", queue, ...more } })).task_id;

async function newBox(labels: string[], memory_gb: number, more = {}) {
  const { token } = await ledger.call("/api/boxes/enrol", { key: anna.key, json: more });
  const made = await ledger.call("/api/boxes/exchange", { json: { token } });
  const claim = () =>
    ledger.call("/api/queue/claim", {
      key: made.key,
      json: { agent: "gpu0", labels, gpu: { memory_gb } },
    });
  return { id: made.box_id as number, claim };
}

const lanes = () => ledger.call("/api/queue/lanes", { key: anna.key });

describe("the lanes of the queue", () => {
  it("say whose turn it is, which boxes fit, and what none of them has", async () => {
    const small = await newBox(["sdxl"], 15.9, { name: "small" });
    const large = await newBox(["sdxl", "fast"], 23.6, { name: "large" });
    const silent = await newBox([], 80);
    for (const { claim } of [small, large]) await claim();
    const plain = await enqueue({ labels: ["sdxl"], priority: 2 });
    await enqueue({ labels: ["sdxl"] });
    const big = await enqueue({ labels: ["sdxl"], min_gpu_memory_gb: 24 });
    const huge = await enqueue({ min_gpu_memory_gb: 80 });
    const odd = await enqueue({ labels: ["flux", "sdxl"] });
    // These boxes are their owner's alone.
    const theirs = await enqueue({}, bert.key);
    const { items, boxes } = await lanes();
    const byHead = new Map(items.map((lane: { head_task: number }) => [lane.head_task, lane]));
    expect(byHead.get(plain)).toMatchObject({
      user: anna.userName,
      labels: ["sdxl"],
      ready: 2,
      head_priority: 2,
      running: 0,
      served_at: null,
      boxes: [large.id, small.id],
      missing_labels: [],
      short_of_memory: false,
    });
    expect(byHead.get(big)).toMatchObject({ boxes: [large.id], short_of_memory: false });
    expect(byHead.get(huge)).toMatchObject({ boxes: [], short_of_memory: true });
    expect(byHead.get(odd)).toMatchObject({ boxes: [], missing_labels: ["flux"] });
    expect(byHead.get(theirs)).toMatchObject({ boxes: [], short_of_memory: true });
    expect(boxes).toMatchObject([
      { id: silent.id, labels: null, gpu_memory_gb: null, busy: false },
      { id: large.id, labels: ["fast", "sdxl"], gpu_memory_gb: 23.6, busy: false },
      { id: small.id, name: "small" },
    ]);
    expect(items[0].head_task).toBe(plain);
    // Whoever has something running comes after those who have not.
    expect((await small.claim()).task.id).toBe(plain);
    const after = await lanes();
    expect(after.items[0]).toMatchObject({ user: bert.userName, running: 0 });
    expect(after.items[1]).toMatchObject({ user: anna.userName, running: 1 });
    expect(after.boxes[2]).toMatchObject({ id: small.id, busy: true });
    await ledger.db.run(sql`update box set revoked_at = '2026-01-01' where id = ${large.id}`);
    expect((await lanes()).boxes).toHaveLength(2);
  });
});

describe("the groups of the queue", () => {
  it("show how far each is, counting its queued tasks alone, in one trip", async () => {
    const { claim } = await newBox([], 24, { hourly_price: 1 });
    const group = { experiment_group: "night" };
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push(await enqueue({}, anna.key, group));
    await ledger.call("/api/tasks", { key: anna.key, json: { task_name: "by hand", ...group } });
    await enqueue({}, anna.key, { experiment_group: "later" });
    await enqueue();
    for (const [status, loss] of [
      ["success", 0.2],
      ["success", 0.1],
      ["failed", 0.05],
    ] as const) {
      const { task } = await claim();
      const json = { attempt: 1, status, final_loss: loss };
      await ledger.call(`/api/tasks/${task.id}/finish`, { key: anna.key, json });
    }
    await claim();
    await ledger.call("/api/me", { key: bert.key });
    const response = await ledger.request("/api/queue/groups", { key: bert.key });
    expect(costOf(response).trips).toBe(1);
    expect(await response.json()).toMatchObject({
      items: [
        { experiment_group: "later", total: 1, waiting: 1 },
        {
          experiment_group: "night",
          total: 5,
          waiting: 1,
          running: 1,
          success: 2,
          failed: 1,
          cancelled: 0,
          best_loss: 0.1,
          newest_task: ids[4],
        },
      ],
      complete: true,
    });
  });
});
