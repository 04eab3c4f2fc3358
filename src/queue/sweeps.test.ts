import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { parseAs } from "../trainers/parse.ts";
import { findPlaces, type Scalar, writeValues } from "./search-edit.ts";

let ledger: Ledger;
let key: string;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const toml = `# keep me
[network]
pretrained_model_name_or_path = "m"
network_module = "networks.lora"   # LyCORIS later
network_dim = 8      # rank
network_alpha = 4.0
[train]
learning_rate = 1e-4
optimizer_type = 'AdamW8bit' # quoted
betas = [0.9, 0.999]
note = """
network_dim = 99
"""
`;

type Format = Parameters<typeof parseAs>[0];
const places = (format: Format, text: string, keys: string[]) =>
  findPlaces(format, text, parseAs(format, text), keys);
const write = (format: Format, text: string, keys: string[], values: Scalar[]) =>
  writeValues(format, text, parseAs(format, text), places(format, text, keys), keys, values);

describe("writing values", () => {
  it("changes the values alone, in each format's spelling", () => {
    const keys = ["network_dim", "network.network_alpha", "learning_rate", "optimizer_type"];
    const written = write("toml", toml, keys, [16, 8, 0.0002, 'say "hi"']);
    expect(written).toBe(
      toml
        .replace("network_dim = 8 ", "network_dim = 16 ")
        .replace("4.0", "8.0")
        .replace("1e-4", "0.0002")
        .replace("'AdamW8bit'", '"say \\"hi\\""'),
    );
    const yaml =
      "job: extension\r\nconfig:\r\n  process:\r\n    - type: sd_trainer # kept\r\n      train:\r\n        lr: 1e-4   # rate\r\n        optimizer: adamw8bit\r\n";
    const two = ["config.process[0].train.lr", "optimizer"];
    expect(write("yaml", yaml, two, [0.0005, "prodigy"])).toBe(
      yaml.replace("1e-4", "0.0005").replace("adamw8bit", "prodigy"),
    );
    const yes = ["optimizer"];
    expect(write("yaml", yaml, yes, ["yes"])).toContain('optimizer: "yes"');
    const json = '{ "rank": 4,\n\t"name":"x", "nested": {"lr": 0.1} }';
    const three = ["rank", "lr", "name"];
    expect(write("json", json, three, [8, 0.2, true])).toBe(
      '{ "rank": 8,\n\t"name":true, "nested": {"lr": 0.2} }',
    );
  });

  it("refuses what it cannot write exactly", () => {
    expect(() => places("toml", toml, ["nothing"])).toThrow(/not a key of the base config/);
    expect(() => places("json", '{"a":{"x":1},"b":{"x":2}}', ["x"])).toThrow(/several places/);
    expect(() => places("json", '{"a":{"x":1}}', ["a"])).toThrow(/single value/);
    expect(() => places("toml", "a = { b = 1 }\n", ["a.b"])).toThrow(/line of its own/);
  });
});

const sweep = (more: Record<string, unknown>, status = 200, headers = {}) =>
  ledger.call(
    "/api/sweeps",
    { key, json: { config: { text: toml }, experiment_group: "g", ...more }, headers },
    status,
  );

describe("a sweep", () => {
  it("makes the tasks of a grid in one batch, each with its file, queued", async () => {
    const space = { network_dim: [8, 16, 32], learning_rate: [1e-4, 2e-4] };
    const dry = await sweep({ space, dry_run: true, task_name: "aki" });
    expect(dry).toMatchObject({ count: 6, dry_run: true });
    expect((await ledger.call("/api/queue", { key })).items).toEqual([]);
    const response = await ledger.request("/api/sweeps", {
      key,
      json: {
        config: { text: toml },
        experiment_group: "g",
        space,
        task_name: "aki",
        queue: { labels: ["sdxl"], priority: 3 },
      },
    });
    expect(response.headers.get("Server-Timing")).toContain("trips=1 ");
    const made: typeof dry = await response.json();
    expect(made.tasks.map((t: { values: unknown }) => t.values)).toEqual(
      dry.tasks.map((t: { values: unknown }) => t.values),
    );
    expect(new Set(made.tasks.map((t: { task_name: string }) => t.task_name)).size).toBe(6);
    const last = await ledger.call(`/api/tasks/${made.tasks[5].task_id}`, { key });
    expect(last).toMatchObject({
      task_name: "aki network_dim=32 learning_rate=0.0002 #6",
      experiment_group: "g",
      lora_rank: 32,
      learning_rate: 0.0002,
      labels: ["sdxl"],
      priority: 3,
    });
    const file = await ledger.request(`/api/tasks/${last.id}/config`, { key });
    expect(await file.text()).toBe(
      toml.replace("network_dim = 8 ", "network_dim = 32 ").replace("1e-4", "0.0002"),
    );
    expect((await ledger.call("/api/queue", { key })).items).toHaveLength(6);
  });

  it("draws the same with the same seed, and each stratum once in a Latin hypercube", async () => {
    const space = {
      learning_rate: { min: 1e-5, max: 1e-3, log: true },
      network_dim: { min: 1, max: 10, int: true },
    };
    const draw = async (method: string, seed: number) =>
      (await sweep({ space, method, count: 10, seed, dry_run: true })).tasks.map(
        (t: { values: Record<string, number> }) => t.values,
      );
    expect(await draw("random", 1)).toEqual(await draw("random", 1));
    expect(await draw("random", 1)).not.toEqual(await draw("random", 2));
    const rows = await draw("latin-hypercube", 7);
    const dims = rows.map((r: Record<string, number>) => r.network_dim);
    expect(dims.sort((a: number, b: number) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const strata = rows.map((r: Record<string, number>) =>
      Math.floor(Math.log10(Number(r.learning_rate) / 1e-5) * 5 + 1e-9),
    );
    expect(strata.sort((a: number, b: number) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("begins from a task's own file, and finds its tasks again by the Idempotency-Key", async () => {
    const { task_id } = await ledger.call("/api/tasks", {
      key,
      json: {
        task_name: "base",
        config: { text: toml, path: "b.toml" },
        command: ["python", "t.py"],
      },
    });
    const body = { base_task_id: task_id, space: { network_dim: [2, 4] }, experiment_group: "h" };
    const send = () =>
      ledger.call("/api/sweeps", { key, json: body, headers: { "Idempotency-Key": "once" } });
    const first = await send();
    expect(await send()).toEqual(first);
    const [count] = await ledger.db.all(
      sql`select count(*) as n from training_task where experiment_group = 'h'`,
    );
    expect(count).toEqual({ n: 2 });
    expect(await ledger.call(`/api/tasks/${first.tasks[0].task_id}`, { key })).toMatchObject({
      task_name: "base network_dim=2 #1",
      parent_task_id: task_id,
      command: ["python", "t.py"],
      lora_rank: 2,
    });
  });

  it("gives each run the dataset file, the dialect and the parent that came with the configuration", async () => {
    const { task_id: parent } = await ledger.call("/api/tasks", { key, json: { task_name: "p" } });
    const dialect =
      'name = "own"\n[recognise]\nkeys = ["net.size"]\n[columns]\nlora_rank = { keys = ["net.size"] }\n';
    const { tasks } = await sweep({
      config: { text: "net: {size: 1}\n", path: "a.yaml" },
      dataset_file: { text: "[[datasets]]\n", path: "d.toml" },
      dialect,
      parent_task_id: parent,
      space: { "net.size": [3, 5] },
    });
    const made = await ledger.call(`/api/tasks/${tasks[1].task_id}`, { key });
    expect(made).toMatchObject({ parent_task_id: parent, lora_rank: 5, trainer: "own" });
    const again = await ledger.call(`/api/tasks/${tasks[1].task_id}/reproduce`, { key });
    expect(again).toMatchObject({ dialect, dataset_file: { path: "d.toml" } });
    await sweep(
      { config: undefined, base_task_id: parent, parent_task_id: parent, space: { a: [1] } },
      422,
    );
  });

  it("refuses a million combinations with their count", async () => {
    const hundred = Array.from({ length: 100 }, (_, n) => n);
    const text = "a = 1\nb = 1\nc = 1\n";
    const refused = await sweep(
      { config: { text, format: "toml" }, space: { a: hundred, b: hundred, c: hundred } },
      422,
    );
    expect(refused.errors[0].message).toBe("makes 1000000 tasks; at most 200 go at once");
  });

  it("refuses what is too many, unknown or half said, and stores nothing", async () => {
    const before = await ledger.db.all(sql`select count(*) as n from training_task`);
    const many = Array.from({ length: 15 }, (_, n) => n + 1);
    await sweep({ space: { network_dim: many, learning_rate: many } }, 422);
    await sweep({ space: { nothing: [1] } }, 422);
    await sweep({ space: { network_dim: { min: 1, max: 2 } } }, 422);
    await sweep({ space: { network_dim: [1] }, method: "random" }, 422);
    await sweep({ space: {} }, 422);
    await sweep({ space: { network_dim: [1] }, base_task_id: 1 }, 422);
    await sweep({ space: { network_dim: [1, 2] }, queue: { depends_on: [99_999] } }, 422);
    await sweep({ config: undefined, base_task_id: 99_999, space: { a: [1] } }, 404);
    expect(await ledger.db.all(sql`select count(*) as n from training_task`)).toEqual(before);
  });
});
