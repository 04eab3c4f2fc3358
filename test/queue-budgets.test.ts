// What a claim costs, held with 1,000 and with 100,000 tasks in the queue: round trips, rows read and
// rows written, as the database itself counts them.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger, type Sent } from "./harness.ts";

const LANES = 12;
const offers = { agent: "slot", labels: ["sdxl"], gpu: { memory_gb: 24 } };

/** Tasks that ask for a label no box here has, in lanes of six users and two memory classes. */
async function seed(ledger: Ledger, tasks: number, userIds: number[]) {
  const users = sql.join(
    userIds.map((id, n) => sql`when ${n} then ${id}`),
    sql` `,
  );
  await ledger.db.run(sql`
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${tasks})
    insert into training_task (user_id, task_name, registration_key, registration_hash, priority, labels,
      min_gpu_memory_gb, max_attempts, attempt_limit, queue_waiting, experiment_group)
    select case i % ${userIds.length} ${users} end, 'task ' || i, 'seed:' || i, 'h', i % 7, '["h100"]',
      iif(i % 12 < 6, 24, 80), 3, 3, 0, 'night'
    from n`);
}

describe.each([1_000, 100_000])("with %i tasks that do not fit", (tasks) => {
  let ledger: Ledger;
  let key: string;
  let box: string;

  beforeAll(async () => {
    ledger = await freshLedger();
    const users = [];
    for (let i = 0; i < 6; i++) users.push((await ledger.key()).userId);
    ({ key } = await ledger.key({ role: "admin" }));
    box = (await ledger.box(key, { shared: true })).key;
    await seed(ledger, tasks, users);
    for (const known of [key, box]) await ledger.request("/api/me", { key: known });
    // What it offers is noted when it asks for the first time, and when that changes.
    await ledger.request("/api/queue/claim", { key: box, json: offers });
  }, 120_000);

  const cost = async (path: string, sent: Sent) => {
    const response = await ledger.request(path, sent);
    const answer = (await response.json()) as { task: { id: number } | null; task_id?: number };
    expect(response.status, JSON.stringify(answer)).toBe(200);
    return { answer, ...costOf(response) };
  };

  const most = { trips: 1, read: 20 + 2 * (LANES + 1), written: 12 };
  const within = (spent: { trips: number; read: number; written: number }, budget = most) => {
    expect(spent.trips, "round trips").toBeLessThanOrEqual(budget.trips);
    expect(spent.read, "rows read").toBeLessThanOrEqual(budget.read);
    expect(spent.written, "rows written").toBeLessThanOrEqual(budget.written);
  };

  it("a claim that finds nothing, the one task that fits, and the same again", async () => {
    const json = offers;
    const none = await cost("/api/queue/claim", { key: box, json });
    expect(none.answer.task).toBe(null);
    within(none, { ...most, written: 0 });

    const queued = await cost("/api/tasks", {
      key,
      json: {
        config: { text: 'network_module = "networks.lora"\nnetwork_dim = 8\n' },
        queue: { labels: ["sdxl"], min_gpu_memory_gb: 16 },
      },
    });
    within(queued, { trips: 1, read: 20, written: 20 });

    const one = await cost("/api/queue/claim", { key: box, json });
    expect(one.answer.task?.id).toBe(queued.answer.task_id);
    within(one);
    const again = await cost("/api/queue/claim", { key: box, json });
    expect(again.answer.task?.id).toBe(queued.answer.task_id);
    within(again);
  });

  it("a box that fits every lane", async () => {
    for (let i = 0; i < 5; i++) {
      const json = { agent: `big ${i}`, labels: ["h100"], gpu: { memory_gb: 80 } };
      const spent = await cost("/api/queue/claim", { key: box, json });
      expect(spent.answer.task).not.toBe(null);
      within(spent);
    }
  });

  it("a page of the queue", async () => {
    for (const query of ["", "?user=me"]) {
      const spent = await cost(`/api/queue${query}`, { key });
      within(spent, { trips: 1, read: 160, written: 0 });
    }
  });

  it("how it stands: whose turn it is, and how far a group of all of them is", async () => {
    within(await cost("/api/queue/lanes", { key }), { trips: 1, read: 160, written: 0 });
    // A group is counted up to 5,000 tasks, each found by an index.
    within(await cost("/api/queue/groups", { key }), { trips: 1, read: 12_000, written: 0 });
  });
});
