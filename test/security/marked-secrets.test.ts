// Which `[redacted]` of a run's files the ledger lets a repeat fill, and what a box is told of them.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;
let admin: Awaited<ReturnType<Ledger["key"]>>;
beforeAll(async () => {
  ledger = await freshLedger();
  anna = await ledger.key();
  admin = await ledger.key({ role: "admin" });
});

const hostile = [
  'output_name = "x CLOUD_PASSWORD=[redacted]"',
  'training_comment = "LEDGER_KEY=[redacted]"',
  'network_module = "networks.lora"',
  "seed = 7",
  'hf_token = "[redacted]"',
  'wandb_api_key = "0123456789abcdef0123456789abcdef01234567"',
  "",
].join("\n");

type Mark = { at: number; name: string; typed?: true };
const shown = (base64: string, marks: Mark[]) =>
  marks.map(({ at, name, typed }) => {
    expect(atob(base64).slice(at, at + 10)).toBe("[redacted]");
    return { name, typed };
  });
const expected = [
  { name: "hf_token", typed: true },
  { name: "wandb_api_key", typed: undefined },
];

const register = (more: Record<string, unknown> = {}) =>
  ledger.call("/api/tasks", {
    key: anna.key,
    json: { config: { text: hostile, path: "my.toml" }, ...more },
  });

describe("marks of a registered file", () => {
  it("are named in a claim and for a repeat, with whose task it is", async () => {
    const data = '[general]\nhf_token = "hf_0123456789abcdef0123456789"\n';
    const { task_id: id } = await register({
      queue: { labels: ["marks"] },
      dataset_file: { text: data, path: "data.toml" },
      command: ["train", "--hf_token", "hf_0123456789abcdef0123456789", "--x=[redacted]"],
    });
    const own = await ledger.call(`/api/tasks/${id}/reproduce`, { key: anna.key });
    expect(own.own).toBe(true);
    expect(shown(own.config.base64, own.config.secrets)).toEqual(expected);
    expect(shown(own.dataset_file.base64, own.dataset_file.secrets)).toEqual([
      { name: "hf_token", typed: undefined },
    ]);
    expect(own.command_secrets).toEqual([{ at: 2, name: "hf_token" }]);
    expect((await ledger.call(`/api/tasks/${id}/reproduce`, { key: admin.key })).own).toBe(false);

    const claim = await ledger.call("/api/queue/claim", {
      key: anna.key,
      json: { agent: "a", labels: ["marks"] },
    });
    expect(claim).toMatchObject({ task: { id }, own: true });
    expect(shown(claim.config.base64, claim.config.secrets)).toEqual(expected);
    expect(claim.dataset_file.secrets).toEqual(own.dataset_file.secrets);
    expect(claim.served_by).toBe(claim.task.user_id);
  });

  it("are all typed in a row from before they were noted", async () => {
    const { task_id: id } = await register();
    await ledger.db.run(sql`update task_config set secrets = null where task_id = ${id}`);
    const again = await ledger.call(`/api/tasks/${id}/reproduce`, { key: anna.key });
    expect(shown(again.config.base64, again.config.secrets)).toEqual(
      expected.map(({ name }) => ({ name, typed: true })),
    );
  });

  it("stay the ledger's own in the tasks of a sweep", async () => {
    const { task_id: base } = await register();
    const { tasks } = await ledger.call("/api/sweeps", {
      key: anna.key,
      json: { base_task_id: base, space: { seed: [1, 2] }, experiment_group: "s" },
    });
    for (const { task_id } of tasks) {
      const again = await ledger.call(`/api/tasks/${task_id}/reproduce`, { key: anna.key });
      expect(shown(again.config.base64, again.config.secrets)).toEqual(expected);
    }
  });
});

describe("a repeat", () => {
  it("says of a run whether a box wrote its command", async () => {
    const asks = async (id: number, key: string) =>
      (await ledger.call(`/api/tasks/${id}/reproduce`, { key })).from_box;
    const box = await ledger.key({ user: anna.userName, scopes: ["box"] });
    const { task_id: own } = await register();
    expect(await asks(own, anna.key)).toBe(false);
    const { task_id: registered } = await ledger.call("/api/tasks", {
      key: box.key,
      json: { task_name: "of a box", command: ["sh", "-c", "true"] },
    });
    expect(await asks(registered, anna.key)).toBe(true);
    const cost = costOf(await ledger.request(`/api/tasks/${registered}/reproduce`, anna));
    expect(cost).toMatchObject({ trips: 1, written: 0 });
    expect(cost.read).toBeLessThanOrEqual(5);
    expect(await asks(registered, box.key)).toBe(false);

    const { task_id: queued } = await register({ queue: { labels: ["from-box"], priority: 9 } });
    expect(await asks(queued, anna.key)).toBe(false);
    const sent = { key: box.key, json: { agent: "b", labels: ["from-box"] } };
    expect((await ledger.call("/api/queue/claim", sent)).task.id).toBe(queued);
    // What a box pulls was written by whoever queued it, and the box cannot change it.
    expect(await asks(queued, anna.key)).toBe(false);
    const change = { key: box.key, method: "PATCH", json: { command: ["sh", "-c", "evil"] } };
    await ledger.call(`/api/tasks/${queued}`, change, 403);
  });
});
