import { sql } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;

beforeAll(async () => {
  ledger = await freshLedger();
});
beforeEach(async () => {
  anna = await ledger.key();
});

const send = (name: string, kwargs: unknown, token = anna.key) =>
  ledger.request(`/api/${name}`, {
    headers: { "X-Trackio-Write-Token": token },
    json: { args: [], kwargs },
  });
/** Calls and reads `data`. */
// biome-ignore lint/suspicious/noExplicitAny: tests read whatever shape the answer should have.
async function call(name: string, kwargs: unknown, token = anna.key): Promise<any> {
  const response = await send(name, kwargs, token);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text).data;
}

let runs = 0;
const hex32 = () => (++runs).toString(16).padStart(32, "0");
const entry = (
  run_id: string,
  step: number,
  metrics: Record<string, unknown>,
  more: Record<string, unknown> = {},
) => ({
  project: "p",
  run: "a run",
  run_id,
  step,
  metrics,
  config: null,
  log_id: hex32(),
  ...more,
});
const log = (logs: unknown[], token = anna.key) =>
  call("bulk_log", { hf_token: null, logs }, token);
const tasks = async (key = anna.key) =>
  (await ledger.call("/api/tasks?user=me&limit=50", { key })).items;
const points = async (id: number, metric = "loss") =>
  (
    await ledger.call(`/api/tasks/${id}/logs?thin=raw&metric=${encodeURIComponent(metric)}`, {
      key: anna.key,
    })
  ).points.map(([step, , , value]: unknown[]) => [step, value]);

describe("what Trackio's client logs", () => {
  it("becomes a run of its project, with its settings and its curves", async () => {
    expect(await (await ledger.request("/version")).json()).toMatchObject({ api_version: 1 });
    const id = hex32();
    expect(await call("get_runs_for_project", { project: "p" })).toEqual([]);
    const config = {
      learning_rate: 1e-4,
      per_device_train_batch_size: 4,
      hf_token: "hf_abcdefghijklmnopqrstuvwxyzABCDEF1234",
      lr_scheduler_type: "cosine",
      peft_config: { default: { peft_type: "LORA", r: 16, lora_alpha: 32 } },
      _Username: null,
      _Created: "2026-11-28T13:49:06.820814+00:00",
      _Group: "g1",
    };
    await log([
      entry(id, 0, { loss: 1, nest: { a: 1, b: { c: 2 } }, s: "text", flag: true }, { config }),
      entry(id, 10, { loss: "NaN", up: "Infinity", down: "-Infinity" }),
      entry(id, 5, { loss: 0.7, tab: { _type: "trackio.table", _value: [] } }),
    ]);
    const [task, ...others] = await tasks();
    expect(others).toEqual([]);
    expect(task).toMatchObject({
      task_name: "a run",
      experiment_group: "p",
      status: "running",
      tags: { group: "g1" },
      learning_rate: 1e-4,
      batch_size: 4,
      lora_rank: 16,
      network_algo: "lora",
      scheduler: "cosine",
    });
    expect(await points(task.id)).toEqual([
      [0, 1],
      [5, 0.7],
      [10, "NaN"],
    ]);
    expect(await points(task.id, "nest.b.c")).toEqual([[0, 2]]);
    expect(await points(task.id, "flag")).toEqual([[0, 1]]);
    expect(await points(task.id, "down")).toEqual([[10, "-Infinity"]]);
    const full = await ledger.call(`/api/tasks/${task.id}`, { key: anna.key });
    expect(full.config_snapshot).toMatchObject({ learning_rate: 1e-4, hf_token: "[redacted]" });
    expect(full.config_snapshot).not.toHaveProperty("_Created");
  });

  it("counts once, also in other batches than before", async () => {
    const id = hex32();
    const entries = Array.from({ length: 40 }, (_, step) =>
      entry(id, step, { loss: 1 / (step + 1) }),
    );
    await log(entries.slice(0, 20));
    await log(entries.slice(0, 20));
    await log(entries.slice(10, 40));
    await log([...entries].reverse());
    const [task] = await tasks();
    expect(await points(task.id)).toHaveLength(40);
    const [row] = await ledger.db.all<{ points: number }>(
      sql`select points from task_attempt where task_id = ${task.id}`,
    );
    expect(row?.points).toBe(40);
  });

  it("is one run when two calls are the first of it at once", async () => {
    const id = hex32();
    await Promise.all([
      log([entry(id, 0, { loss: 1 }, { config: { lr: 1 } })]),
      call("bulk_log_system", { logs: [entry(id, 0, { "cpu/utilization": 5 })] }),
      log([entry(id, 1, { loss: 0.5 })]),
    ]);
    expect(await tasks()).toHaveLength(1);
  });

  it("takes settings that come after the run was made, and keeps the first", async () => {
    const id = hex32();
    await call("bulk_log_system", {
      logs: [
        entry(
          id,
          0,
          { "gpu/0/utilization": 50, "memory/used": 2, odd: 1 },
          {
            timestamp: "2026-05-01T10:00:00+00:00",
          },
        ),
      ],
    });
    await log([entry(id, 0, { loss: 1 }, { config: { learning_rate: 3e-4 } })]);
    await log([entry(id, 1, { loss: 1 }, { config: { learning_rate: 5e-4 } })]);
    const [task] = await tasks();
    expect(task.learning_rate).toBe(3e-4);
    expect(await points(task.id, "gpu.0.util")).toEqual([[0, 50]]);
    expect(await points(task.id, "sys.mem_mb")).toEqual([[0, 2048]]);
    expect(await call("get_system_metrics_for_run", { project: "p", run: "a run" })).toEqual([
      "gpu.0.util",
      "sys.mem_mb",
      "system/odd",
    ]);
  });

  it("shows alerts on the run, each once", async () => {
    const id = hex32();
    const alerts = [
      {
        ...{ project: "p", run: "a run", run_id: id, title: "Bad", text: "it went up" },
        ...{ level: "warn", step: 3, timestamp: "2026-05-01T10:00:00+00:00", alert_id: "a1" },
      },
    ];
    await call("bulk_alert", { alerts });
    await call("bulk_alert", {
      alerts: [...alerts, { ...alerts[0], title: "Worse", alert_id: "a2" }],
    });
    const [task] = await tasks();
    const full = await ledger.call(`/api/tasks/${task.id}`, { key: anna.key });
    expect(full.attempts[0].tail).toBe(
      "[warn] step 3: Bad: it went up\n[warn] step 3: Worse: it went up",
    );
    expect(await call("get_alerts", { project: "p", run: "a run" })).toHaveLength(2);
  });

  it("is read again by its client", async () => {
    const id = hex32();
    await log([entry(id, 0, { loss: 1, lr: 0.1 }), entry(id, 7, { loss: "NaN" })]);
    expect(await call("get_all_projects", {})).toEqual(["p"]);
    expect(await call("get_runs_for_project", { project: "p" })).toMatchObject([
      { id, name: "a run" },
    ]);
    const run = { project: "p", run: "a run" };
    expect(await call("get_metrics_for_run", run)).toEqual(["loss", "lr"]);
    expect(await call("get_metric_values", { ...run, metric_name: "loss" })).toEqual([
      { timestamp: null, step: 0, value: 1 },
      { timestamp: null, step: 7, value: null },
    ]);
    expect(await call("get_logs", run)).toMatchObject([
      { step: 0, loss: 1, lr: 0.1 },
      { step: 7, loss: null },
    ]);
    expect(await call("get_run_summary", run)).toMatchObject({ run_id: id, last_step: 7 });
  });
});

describe("a run that the ledger's own client records too", () => {
  it("gets the points, stays one task and is ended by the ledger's client", async () => {
    const { task_id } = await ledger.call("/api/tasks", {
      key: anna.key,
      json: { task_name: "ours", lora_rank: 8 },
    });
    const handed = `${anna.key}.run${task_id}`;
    await log([entry(hex32(), 1, { loss: 0.5 }, { config: { lora_rank: 4 } })], handed);
    await log([entry(hex32(), 2, { loss: 0.4 })], handed);
    const [task, ...others] = await tasks();
    expect(others).toEqual([]);
    expect(task).toMatchObject({ id: task_id, task_name: "ours", lora_rank: 8, status: "running" });
    expect(await points(task_id)).toEqual([
      [1, 0.5],
      [2, 0.4],
    ]);
    await ledger.call(`/api/tasks/${task_id}/finish`, {
      key: anna.key,
      json: { status: "success" },
    });
    await log([entry(hex32(), 3, { loss: 0.3 })], handed);
    expect((await tasks())[0].status).toBe("success");
    expect(await points(task_id)).toHaveLength(3);
  });

  it("is not another user's, nor a box's that does not hold it", async () => {
    const { task_id } = await ledger.call("/api/tasks", { key: anna.key, json: {} });
    const other = await ledger.key();
    const box = await ledger.key({ scopes: ["box"], user: anna.userName });
    for (const key of [other.key, box.key]) {
      const refused = await send(
        "bulk_log",
        { logs: [entry(hex32(), 1, { loss: 1 })] },
        `${key}.run${task_id}`,
      );
      expect(refused.status).toBe(404);
      expect(await refused.json()).toEqual({ error: expect.stringContaining(String(task_id)) });
    }
    expect(await tasks(other.key)).toEqual([]);
  });
});

describe("what is no good", () => {
  it.each([
    ["no logs", {}],
    ["logs that are none", { logs: "x" }],
    ["an entry without a run", { logs: [{ project: "p", metrics: {}, step: 0 }] }],
    ["an empty project", { logs: [{ project: "", run: "r", metrics: {}, step: 0 }] }],
    ["too many entries", { logs: Array.from({ length: 20_001 }, () => ({})) }],
  ])("%s is refused in Trackio's form", async (_, kwargs) => {
    const response = await send("bulk_log", kwargs);
    expect(response.status).toBe(422);
    expect(await response.json()).toEqual({ error: expect.any(String) });
  });

  it("a body that is no JSON, one that is too large, and no or a wrong token", async () => {
    const post = (body: string, token: string | null = anna.key) =>
      ledger.request("/api/bulk_log", {
        method: "POST",
        body,
        headers: token === null ? {} : { "X-Trackio-Write-Token": token },
      });
    expect((await post("{")).status).toBe(400);
    expect((await post(" ".repeat(8_000_001))).status).toBe(413);
    expect((await post("{}", null)).status).toBe(401);
    const wrong = await post("{}", "aaa.bbb.ccc");
    expect(wrong.status).toBe(401);
    expect(await wrong.json()).toEqual({ error: expect.any(String) });
    const byQuery = await ledger.request(`/api/get_all_projects?write_token=${anna.key}`, {
      json: { args: [], kwargs: {} },
    });
    expect(byQuery.status).toBe(200);
    // The key of the pages and of programs is not looked for here, and Trackio's not there.
    expect(
      (await ledger.request("/api/get_all_projects", { key: anna.key, json: {} })).status,
    ).toBe(401);
    expect(
      (await ledger.request("/api/me", { headers: { "X-Trackio-Write-Token": anna.key } })).status,
    ).toBe(401);
  });

  it("is stored as far as it can be: odd names, steps and values", async () => {
    const id = hex32();
    const long = "n".repeat(300);
    await log([
      entry(id, -5, { 'a"b\\c': 1, [long]: 2, list: [1, 2], nothing: null, "": 3 }),
      entry(id, 1.7, { loss: 1e308 }),
      entry(id, 1e30, { loss: "nan" }),
    ]);
    const [task] = await tasks();
    expect(await points(task.id, "a_b_c")).toEqual([[0, 1]]);
    expect(await points(task.id, "n".repeat(128))).toEqual([[0, 2]]);
    expect(await points(task.id)).toEqual([
      [1, 1e308],
      [9_999_999_999, "NaN"],
    ]);
  });

  it("a run in the trash takes no more, until it is restored", async () => {
    const id = hex32();
    await log([entry(id, 0, { loss: 1 })]);
    const [task] = await tasks();
    const { key } = anna;
    await ledger.call(`/api/tasks/${task.id}/finish`, { key, json: { status: "success" } });
    await ledger.call(`/api/tasks/${task.id}`, { key, method: "DELETE" }, 204);
    const refused = await send("bulk_log", { logs: [entry(id, 1, { loss: 1 })] });
    expect(refused.status).toBe(409);
    expect(await refused.json()).toEqual({ error: expect.stringContaining("trash") });
    await ledger.call(`/api/tasks/${task.id}/restore`, { key, json: {} });
    await log([entry(id, 1, { loss: 1 })]);
    expect(await points(task.id)).toHaveLength(2);
  });
});

it("takes thousands of entries in one call", async () => {
  const id = hex32();
  const entries = Array.from({ length: 12_000 }, (_, step) =>
    entry(id, step, { loss: 1 / (step + 1) }),
  );
  await log(entries);
  const [task] = await tasks();
  const curve = await ledger.call(`/api/tasks/${task.id}/logs`, { key: anna.key });
  expect(curve.total).toBe(12_000);
});

it("costs what a heartbeat costs, 60 entries a call", async () => {
  const id = hex32();
  const batch = (from: number) =>
    Array.from({ length: 60 }, (_, n) =>
      entry(id, from + n, { loss: 1 / (from + n + 1), lr: 1e-4, "train/x": n }),
    );
  await log(batch(0));
  for (let n = 1; n <= 20; n++) {
    const response = await send("bulk_log", { logs: batch(n * 60) });
    expect(response.status).toBe(200);
    const { trips, read, written } = costOf(response);
    expect(trips).toBe(1);
    expect(read).toBeLessThanOrEqual(10);
    expect(written).toBeLessThanOrEqual(5);
  }
});
