import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";

let ledger: Ledger;
let anna: string;
let bert: string;

beforeAll(async () => {
  ledger = await freshLedger();
  anna = (await ledger.key({ user: "anna" })).key;
  bert = (await ledger.key({ user: "bert" })).key;
});

const dialect = (name: string, key: string) =>
  `name = "${name}"\n[recognise]\nkeys = ["${key}"]\n[columns]\nlora_rank = { keys = ["${key}"] }\n`;
const store = (key: string, text: string, shared = false, status = 200) =>
  ledger.call("/api/dialects", { key, method: "PUT", json: { text, shared } }, status);
const register = (key: string, json: object, status = 200) =>
  ledger.call("/api/tasks", { key, json }, status);
const file = (text: string) => ({ config: { text, path: "a.yaml" } });

describe("dialects of people", () => {
  it("read a file that came with one, and stay with the run for its repeat", async () => {
    const text = dialect("annas", "net.size");
    const { task } = await register(anna, { ...file("net: {size: 24}"), dialect: text });
    expect(task).toMatchObject({ trainer: "annas", lora_rank: 24 });
    expect(await ledger.call(`/api/tasks/${task.id}/reproduce`, { key: anna })).toMatchObject({
      dialect: text,
    });
    const other = await register(anna, file("net: {size: 24}"));
    expect(other.task).toMatchObject({ trainer: "unknown", lora_rank: null });
    const plain = await ledger.call(`/api/tasks/${other.task.id}/reproduce`, { key: anna });
    expect(plain.dialect).toBeNull();
  });

  it("are refused by line, with the run", async () => {
    const text = dialect("annas", "net.size").replace("lora_rank", "lora_rnak");
    const refused = await register(anna, { ...file("net: {size: 24}"), dialect: text }, 422);
    expect(refused.errors).toMatchObject([{ path: "dialect (line 5)" }]);
    const stored = await store(anna, text, false, 422);
    expect(stored.errors).toMatchObject([{ path: "text (line 5)" }]);
  });

  it("that are stored read their owner's files, and everyone's once they are shared", async () => {
    const text = dialect("stored", "mesh.rank");
    const made = await store(anna, text);
    expect(made).toMatchObject({ name: "stored", shared: false, user: "anna", text });
    const config = file("mesh: {rank: 12}");
    expect((await register(anna, config)).task).toMatchObject({ trainer: "stored", lora_rank: 12 });
    expect((await register(bert, config)).task.trainer).toBe("unknown");
    const again = await store(anna, text, true);
    expect(again).toMatchObject({ id: made.id, shared: true });
    const { task } = await register(bert, config);
    expect(task).toMatchObject({ trainer: "stored", lora_rank: 12 });
    // What it was read by stays with the run, also once its owner has deleted it.
    await ledger.call(`/api/dialects/${made.id}`, { key: bert, method: "DELETE" }, 404);
    await ledger.call(`/api/dialects/${made.id}`, { key: anna, method: "DELETE" }, 204);
    const kept = await ledger.call(`/api/tasks/${task.id}/reproduce`, { key: bert });
    expect(kept.dialect).toBe(text);
    expect((await register(bert, config)).task.trainer).toBe("unknown");
  });

  it("of one's own go before those of others, and before no trainer that is known", async () => {
    await store(bert, dialect("berts", "shape.rank"), true);
    await store(anna, dialect("annas-own", "shape.rank"));
    await store(anna, dialect("greedy", "base_model"));
    const config = file("shape: {rank: 3}");
    expect((await register(anna, config)).task.trainer).toBe("annas-own");
    const axolotl = file("base_model: m\nadapter: lora\nlora_r: 8\nmicro_batch_size: 1\n");
    expect((await register(anna, axolotl)).task.trainer).toBe("axolotl");
  });

  it("that an older release stored, and this one does not read, harm no registration", async () => {
    await ledger.db.run(
      sql`insert into dialect (user_id, name, text) select id, 'old', 'odd = 1' from user where name = 'bert'`,
    );
    expect((await register(bert, file("nobody: knows"))).task.trainer).toBe("unknown");
  });

  it("are given to the box that claims the run, and to the tasks of a sweep", async () => {
    const text = dialect("swept", "net.size");
    const { task } = await register(anna, {
      ...file("net: {size: 1}"),
      ...{ dialect: text, queue: {} },
    });
    const swept = await ledger.call("/api/sweeps", {
      key: anna,
      json: { base_task_id: task.id, experiment_group: "g", space: { "net.size": [2] } },
    });
    const [second] = swept.tasks;
    expect(await ledger.call(`/api/tasks/${second.task_id}`, { key: anna })).toMatchObject({
      trainer: "swept",
      lora_rank: 2,
    });
    const box = await ledger.key({ user: "anna", scopes: ["box"] });
    const claim = await ledger.call("/api/queue/claim", { key: box.key, json: { agent: "a" } });
    expect(claim).toMatchObject({ task: { id: task.id }, dialect: text });
  });
});
