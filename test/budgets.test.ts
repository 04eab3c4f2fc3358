// The contract's budget table, held at 1,000 and at 100,000 tasks: round trips, rows read and rows
// written, as the database itself counts them.
import { isNotNull, sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { trainingTask } from "../src/platform/db/schema.ts";
import { costOf, freshLedger, type Ledger, type Sent } from "./harness.ts";
import { type Owner, routeTable, rowsOf } from "./route-table.ts";
import { seedTasks } from "./seed.ts";

const steps = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({
    step: from + i,
    epoch: 1,
    time: "2026-05-01T10:00:00Z",
    metrics: {
      loss: 1 / (from + i),
      "loss/average": 0.5,
      lr: 1e-4,
      "gpu.0.util": 97,
      "gpu.0.mem_mb": 20_000,
    },
  }));

describe.each([1_000, 100_000])("with %i tasks", (tasks) => {
  let ledger: Ledger;
  let key: string;
  let user: string;
  let id: number;
  let trashed: number;
  let own: Owner;
  let stranger: Owner;

  beforeAll(async () => {
    ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true" });
    const made = await ledger.key({ role: "admin", days: 30 });
    const others = [await ledger.key(), await ledger.key()];
    ({ key, userName: user } = made);
    own = made;
    stranger = others[0] ?? made;
    const userIds = [made.userId, ...others.map((other) => other.userId)];
    await seedTasks(ledger.db, { total: tasks, userIds });
    trashed = await ledger.db.$count(trainingTask, isNotNull(trainingTask.deletedAt));
    id = (await ledger.call("/api/tasks", { key, json: { task_name: "measured" } })).task_id;
  }, 120_000);

  const cost = async (path: string, sent: Sent = {}) => {
    const response = await ledger.request(path, { key, ...sent });
    const text = await response.text();
    expect(text, path).not.toContain('"status":5');
    expect(response.status, text).toBe(200);
    return costOf(response);
  };

  const within = (
    spent: { trips: number; read: number; written: number },
    most: { trips: number; read: number; written: number },
  ) => {
    expect(spent.trips, "round trips").toBeLessThanOrEqual(most.trips);
    expect(spent.read, "rows read").toBeLessThanOrEqual(most.read);
    expect(spent.written, "rows written").toBeLessThanOrEqual(most.written);
  };

  it("register", async () => {
    const json = {
      config: {
        text: 'network_module = "networks.lora"\nnetwork_dim = 8\npretrained_model_name_or_path = "m"\n',
      },
      tags: { a: "b" },
    };
    // Twelve, and the audit's three.
    const most = { trips: 1, read: 10, written: 12 + 3 };
    within(await cost("/api/tasks", { json }), most);
    within(await cost("/api/tasks", { json, headers: { "Idempotency-Key": `k${tasks}` } }), most);
  });

  it("heartbeat of 60 steps", async () => {
    for (let seq = 1; seq <= 40; seq++)
      within(
        await cost(`/api/tasks/${id}/heartbeat`, {
          json: {
            attempt: 1,
            seq,
            progress: { step: seq * 60 },
            logs: steps(seq * 60, 60),
            tail: "x",
          },
        }),
        { trips: 1, read: 10, written: 5 },
      );
  });

  it("heartbeat that tells of a lost loss, and one that tells of a jump", async () => {
    const run = async () =>
      (await ledger.call("/api/tasks", { key, json: { task_name: "diverges" } })).task_id;
    const beat = (task: number, seq: number, loss: number | string) =>
      cost(`/api/tasks/${task}/heartbeat`, {
        json: {
          attempt: 1,
          seq,
          logs: steps(seq * 60, 60).map((entry) => ({ ...entry, metrics: { loss, lr: 1e-4 } })),
          tail: "x",
        },
      });
    const most = { trips: 1, read: 10, written: 5 };
    const [odd, jumping, first] = [await run(), await run(), await run()];
    for (const [task, losses] of [
      [odd, [0.1, "NaN", "NaN"]],
      [jumping, [0.1, 9, 9]],
      [first, ["NaN", 0.1, "NaN"]],
    ] as const) {
      for (const [n, loss] of losses.entries()) within(await beat(task, n + 1, loss), most);
      const events = await ledger.db.all(sql`select 1 from event where subject_id = ${task}`);
      expect(events).toHaveLength(1);
    }
  });

  it("finish", async () => {
    within(
      await cost(`/api/tasks/${id}/finish`, {
        json: { attempt: 1, status: "success", last_seq: 40 },
      }),
      { trips: 2, read: 200, written: 60 },
    );
  });

  it("list 50, newest first, by status, by user, and the next page", async () => {
    for (const query of [
      "",
      "status=failed",
      "status=success",
      `user=${user}`,
      "user=me",
      "deleted=true",
    ]) {
      const response = await ledger.request(`/api/tasks?${query}`, { key });
      within(costOf(response), { trips: 1, read: 160, written: 0 });
      const { items, next_cursor } = (await response.json()) as {
        items: unknown[];
        next_cursor: string | null;
      };
      expect(items.length).toBe(query.startsWith("deleted") ? Math.min(50, trashed) : 50);
      if (next_cursor)
        within(await cost(`/api/tasks?${query}&cursor=${next_cursor}`), {
          trips: 1,
          read: 160,
          written: 0,
        });
    }
  });

  it("a filter that no index serves looks at 50,000 tasks a call at most, and goes on", async () => {
    const filter = encodeURIComponent("lora_rank = 7");
    let path = `/api/tasks?filter=${filter}`;
    let scanned = 0;
    for (let pages = 0; pages < 5; pages++) {
      const response = await ledger.request(path, { key });
      // Each candidate is drawn from the index and looked at; where none fits they are gone through
      // once more for the last one's place, or where they are fewer, twice, to count them.
      within(costOf(response), { trips: 2, read: 200_010, written: 0 });
      const answer = (await response.json()) as {
        items: unknown[];
        scanned: number;
        next_cursor: string | null;
      };
      expect(answer.items).toEqual([]);
      scanned += answer.scanned;
      if (!answer.next_cursor) break;
      path = `/api/tasks?filter=${filter}&cursor=${answer.next_cursor}`;
    }
    expect(scanned).toBeGreaterThanOrEqual(tasks - trashed);
    // One that fits soon stops soon.
    within(await cost(`/api/tasks?limit=20&filter=${encodeURIComponent("lora_rank = 64")}`), {
      trips: 1,
      read: 600,
      written: 0,
    });
  });

  it("one task", async () => {
    within(await cost(`/api/tasks/${id}`), { trips: 1, read: 10, written: 0 });
  });

  it("its curve", async () => {
    within(await cost(`/api/tasks/${id}/logs`), { trips: 1, read: 60, written: 0 });
  });

  it("50 curves, each by itself and in groups", async () => {
    const ids = Array.from({ length: 50 }, (_, n) => n + 1).join(",");
    for (const path of [`/api/curves?ids=${ids}`, `/api/curves/groups?ids=${ids}`])
      within(await cost(path), { trips: 1, read: 50 * 36, written: 0 });
  });

  it.each(
    // What counts all that matches reads all that matches.
    Object.entries(routeTable).filter(([name]) => name !== "GET /api/stats/tasks"),
  )("%s reads no more of a large ledger than of a small one", async (name, route) => {
    const {
      path,
      shows: _,
      ...sent
    } = await route.ask(rowsOf(ledger, route.reach === "others" ? stranger : own));
    const response = await ledger.request(path, { ...sent, key });
    await response.body?.cancel();
    expect(response.status, name).toBeLessThan(400);
    expect(costOf(response).read, "rows read").toBeLessThanOrEqual(
      name === "GET /api/stats/influence" ? 10_000 : 2_000,
    );
  });
});
