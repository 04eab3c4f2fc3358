// How the database finds what hot requests ask for: every statement that a request really sends is
// explained by the database itself, and has to go by the index meant for it.
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { freshLedger, type Ledger, type Sent } from "./harness.ts";
import { seedTasks } from "./seed.ts";

type Hrana = { sql?: string; sql_id?: number; args?: unknown[] };
/** A batch names its statements by numbers, which were given to them before. */
type Pipeline = {
  requests?: {
    type: string;
    sql?: string;
    sql_id?: number;
    stmt?: Hrana;
    batch?: { steps: { stmt: Hrana }[] };
  }[];
};

describe("plans", () => {
  let ledger: Ledger;
  let key: string;
  let ended: number;

  beforeAll(async () => {
    ledger = await freshLedger();
    const made = await ledger.key({ user: "anna" });
    ({ key } = made);
    await seedTasks(ledger.db, { total: 300, userIds: [made.userId] });
    await ledger.request("/api/me", { key }); // The key is known from here on.
    const { items } = await ledger.call("/api/tasks?status=success&limit=1", { key });
    ended = items[0].id;
  }, 60_000);
  afterEach(() => vi.restoreAllMocks());

  /** The plan of each statement that a request sends to the database, a line a table. */
  async function plans(path: string, sent: Sent = {}, status = 200): Promise<string[][]> {
    const real = globalThis.fetch;
    const statements: Hrana[] = [];
    const spy = vi.spyOn(globalThis, "fetch").mockImplementation(async (...args) => {
      const request = new Request(...args);
      const { requests = [] }: Pipeline = await request.clone().json();
      const stored = new Map(requests.map(({ sql_id, sql }) => [sql_id, sql]));
      for (const { stmt, batch } of requests)
        for (const one of [...(stmt ? [stmt] : []), ...(batch?.steps.map((s) => s.stmt) ?? [])])
          statements.push({ args: one.args, sql: one.sql ?? stored.get(one.sql_id) });
      return real(request);
    });
    await ledger.call(path, { key, ...sent }, status);
    spy.mockRestore();
    for (const { sql } of statements) expect(sql).toBeTruthy();
    const asked = statements.filter((s) => !/^(begin|commit|rollback)/i.test(s.sql ?? ""));

    const answer = await real(`${ledger.config.DATABASE_URL.replace(/\/$/, "")}/v2/pipeline`, {
      method: "POST",
      body: JSON.stringify({
        requests: asked.map((stmt) => ({
          type: "execute",
          stmt: { ...stmt, sql: `explain query plan ${stmt.sql}` },
        })),
      }),
    });
    const { results }: { results: { response: { result: { rows: { value: string }[][] } } }[] } =
      await answer.json();
    return results.map(({ response }) => response.result.rows.map((row) => row[3]?.value ?? ""));
  }

  /** Fails where a table of many rows is read through, or (but for one task's own few rows) sorted. */
  const direct = (lines: string[], { mayOrder = false } = {}) => {
    for (const line of lines) {
      expect(line).not.toMatch(
        /^SCAN (training_task|task_config|task_attempt|log_chunk|metric_summary|weight|stored_object|api_key|user|dataset|task_dataset|audit_entry)\b(?! USING)/,
      );
      if (!mayOrder) expect(line).not.toMatch(/TEMP B-TREE FOR ORDER BY/);
    }
  };

  it.each([
    ["order_by=lora_rank", /^SCAN training_task$/m],
    ["order_by=-config.network_dim&filter=lora_alpha > 1", /^SCAN training_task$/m],
    ["order_by=lora_rank&filter=status = 'running'", /training_task_status \(status=\?\)/],
    ["order_by=lora_rank&deleted=true", /training_task_trash/],
  ])("list sorted by what has no index: %s", async (query, way) => {
    const [lines = []] = await plans(`/api/tasks?${new URLSearchParams(query)}`);
    expect(lines.join("\n")).toMatch(way);
  });

  it.each([
    ["", "SCAN training_task USING INDEX training_task_created"],
    ["status=running", "training_task_status (status=?)"],
    ["status=success", "training_task_status (status=?)"],
    ["user=anna", "training_task_user (user_id=?)"],
    ["user=me&status=success", "training_task_user (user_id=?)"],
    ["user=me&status=running", "training_task_status (status=?)"],
    ["deleted=true", "training_task_trash"],
    ["order_by=created_at", "training_task_created"],
    ["order_by=-final_loss", "training_task_loss (final_loss"],
    [
      "filter=final_loss < 0.2&order_by=final_loss",
      "training_task_loss (final_loss>? AND final_loss<?)",
    ],
    ["filter=lora_rank = 64 and final_loss < 0.3", "training_task_created"],
    [
      "filter=status = 'failed' and created_at >= '2024-06-01'",
      "training_task_status (status=? AND created_at>?)",
    ],
    [
      "filter=user = 'anna' and created_at < '2030-01-01'",
      "training_task_user (user_id=? AND created_at<?)",
    ],
    [
      "filter=created_at >= '2024-06-01' and created_at < '2030-01-01'",
      "training_task_created (created_at>? AND created_at<?)",
    ],
    ["filter=seed = 5 and status = 'pending'", "training_task_status (status=?)"],
    ["order_by=metrics.loss", "metric_summary_last (metric=?"],
    ["order_by=-metrics.loss.best", "metric_summary_best (metric=?"],
    ["q=run", "SCAN task_text VIRTUAL TABLE"],
    ["q=run&filter=lora_rank = 64", "SCAN task_text VIRTUAL TABLE"],
  ])("list: %s", async (query, index) => {
    const path = `/api/tasks?${new URLSearchParams(query)}`;
    const [lines = []] = await plans(path);
    direct(lines);
    expect(lines.join("\n")).toContain(index);
    // The page behind goes on from its place in the same index.
    const { next_cursor } = await ledger.call(`${path}&limit=1`, { key });
    if (!next_cursor) return;
    const [next = []] = await plans(`${path}&limit=1&cursor=${next_cursor}`);
    direct(next);
    expect(next.join("\n")).toMatch(
      /training_task_\w+ \(|task_text VIRTUAL|metric_summary_(?:last|best) \(/,
    );
  });

  it("a setup of model, epochs and rate goes by its index", async () => {
    const filter = "model_type = 'llm' and epochs = 5 and learning_rate <= 0.001";
    const [lines = []] = await plans(`/api/tasks?${new URLSearchParams({ filter })}`);
    expect(lines.join("\n")).toContain(
      "training_task_setup (model_type=? AND epochs=? AND learning_rate<?)",
    );
  });

  it.each([
    ["group_by=status", "SCAN training_task USING INDEX training_task_status"],
    [
      "group_by=batch_size&select=count,avg(final_loss),min(final_loss),avg(total_duration_sec),avg(convergence_step)",
      "SCAN training_task USING COVERING INDEX training_task_result",
    ],
    ["group_by=user&select=count,avg(final_loss)&user=me", "training_task_user (user_id=?"],
    [
      "group_by=day(created_at)&filter=created_at >= '2024-06-01'",
      "training_task_created (created_at>?",
    ],
    ["group_by=lora_rank&filter=status = 'running'", "training_task_status (status=?)"],
  ])("aggregates: %s", async (query, index) => {
    const [lines = []] = await plans(`/api/stats/tasks?${new URLSearchParams(query)}`);
    expect(lines.join("\n")).toContain(index);
  });

  it("the best runs of all, and runs beside each other, are found by key", async () => {
    const [best = []] = await plans("/api/leaderboard");
    direct(best);
    expect(best.join("\n")).toContain("training_task_loss (final_loss>?)");
    for (const lines of await plans(`/api/tasks/compare?ids=${ended},${ended - 1}`))
      direct(lines, { mayOrder: true });
  });

  it("a claim goes by lanes and slots", async () => {
    const { key: admin } = await ledger.key({ role: "admin" });
    await ledger.call("/api/me", { key: admin });
    const json = { agent: "slot", labels: ["sdxl"], gpu: { memory_gb: 24 } };
    for (let claims = 0; claims < 2; claims++) {
      const lines = await plans("/api/queue/claim", { key: admin, json });
      for (const statement of lines) {
        direct(statement, { mayOrder: true });
        // What is looked up by state is found by its slot, not among all that run.
        expect(statement.join("\n")).not.toMatch(/training_task_(status|user|created) /);
      }
      await ledger.call("/api/tasks", { key: admin, json: { task_name: "queued", queue: {} } });
    }
  });

  it("what is written and read of one run goes by keys alone", async () => {
    const { task_id: id } = await ledger.call("/api/tasks", { key, json: { task_name: "one" } });
    const beat = (seq: number) => ({
      json: { seq, logs: [{ step: seq, metrics: { loss: 1 } }], tail: "x" },
    });
    for (const [path, sent] of [
      ["/api/tasks", { json: { task_name: "two", tags: { a: "b" }, config: { text: "a = 1" } } }],
      [`/api/tasks/${id}/heartbeat`, beat(1)],
      [`/api/tasks/${id}/heartbeat`, beat(2)],
      [`/api/tasks/${id}`, {}],
      [`/api/tasks/${id}`, { method: "PATCH", json: { notes: "new" } }],
      [`/api/tasks/${id}/logs`, {}],
      [`/api/tasks/${id}/logs?since=1.1`, {}],
      [`/api/tasks/${id}/finish`, { json: { status: "success" } }],
      [`/api/tasks/${ended}/reproduce`, {}],
      [`/api/tasks/${ended}/datasets`, {}],
      [`/api/weights?task_id=${ended}`, {}],
    ] as [string, Sent][])
      for (const lines of await plans(path, sent)) direct(lines, { mayOrder: true });
  });
});
