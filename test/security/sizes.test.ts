// What is large is kept, left out with a word, or refused: never a fault, and never one that others meet.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let key: string;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key({ user: "anna" }));
});

const register = (json: object) => ledger.call("/api/tasks", { key, json });
const codes = (answer: { warnings: { code: string; path?: string }[] }) =>
  answer.warnings.map(({ code, path }) => `${code} ${path}`);
const MB = 1_000_000;

describe("a trainer's file of nearly 4 MB", () => {
  it.each([
    ["a.toml", `a = "${"x".repeat(3.9 * MB)}"`],
    ["b.json", JSON.stringify({ a: "x".repeat(3.9 * MB) })],
    ["c.txt", "x\n".repeat(1.9 * MB)],
    ["d.toml", Array.from({ length: 120_000 }, (_, n) => `key_${n} = "value ${n}"`).join("\n")],
  ])("is kept byte for byte, and given back everywhere (%s)", async (name, text) => {
    const response = await ledger.request(`/api/tasks?filename=${name}`, {
      key,
      method: "POST",
      body: text,
      headers: { "Content-Type": "application/octet-stream" },
    });
    const answer = await response.json<{ task_id: number; warnings: { code: string }[] }>();
    expect([response.status, answer.warnings?.length > 0]).toEqual([200, true]);
    const { task_id: id } = answer;
    const kept = await ledger.request(`/api/tasks/${id}/config`, { key });
    expect((await kept.text()) === text).toBe(true);
    for (const path of [
      `/api/tasks/${id}`,
      `/api/tasks/${id}/reproduce`,
      `/api/tasks/${id}/archive`,
    ])
      expect([path, (await ledger.request(path, { key })).status]).toEqual([path, 200]);
  });

  it("is given to the box that claims it", async () => {
    const text = `a = "${"x".repeat(3.9 * MB)}"`;
    await register({ task_name: "queued", config: { text, path: "q.toml" }, queue: {} });
    const claim = await ledger.call("/api/queue/claim", {
      key,
      json: { agent: "a", gpu: { memory_gb: 24 } },
    });
    expect(atob(claim.config.base64) === text).toBe(true);
  });
});

describe("fields that are large", () => {
  it("are left out of documents, the largest first, and named", async () => {
    const answer = await register({
      task_name: "large",
      huge: "x".repeat(3.8 * MB),
      small: 1,
      node_info: { hostname: "h", env: "y".repeat(70_000) },
    });
    expect(codes(answer)).toEqual(["too-large additional_args"]);
    expect(answer.warnings[0].message).toContain("huge");
    expect(answer.task).toMatchObject({
      additional_args: { small: 1 },
      node_info: { hostname: "h", left_out: ["env"] },
    });
    const beat = { attempt: 1, node_info: { gpu: 1, log: "z".repeat(70_000) } };
    await ledger.call(`/api/tasks/${answer.task_id}/attempts`, {
      key,
      json: { node_info: beat.node_info },
    });
    const { task } = { task: await ledger.call(`/api/tasks/${answer.task_id}`, { key }) };
    expect(task.node_info).toEqual({ gpu: 1, left_out: ["log"] });
  });

  it("are refused by name where nothing can be left out", async () => {
    const tags = Object.fromEntries(
      Array.from({ length: 90 }, (_, n) => [`t${n}`, "x".repeat(990)]),
    );
    for (const [json, path] of [
      [{ task_name: "t", tags }, "tags"],
      [{ task_name: "t", command: Array(20).fill("x".repeat(9000)) }, "command"],
    ] as const) {
      const response = await ledger.request("/api/tasks", { key, json });
      const body = await response.json<{ errors: { path: string }[] }>();
      expect([response.status, body.errors[0]?.path]).toEqual([422, path]);
    }
  });
});

describe("a page of long rows", () => {
  it("leaves out what is too long for an answer, and names it", async () => {
    const own = await freshLedger();
    const { key } = await own.key();
    const json = {
      task_name: "long",
      experiment_group: "g",
      notes: "日".repeat(50_000),
      sample_prompts: "日".repeat(20_000),
      extra: "x".repeat(60_000),
      command: Array(12).fill("c".repeat(9900)),
      config: { text: JSON.stringify({ a: "x".repeat(200_000) }), format: "json" },
    };
    const ids: number[] = [];
    for (let n = 0; n < 45; n++) ids.unshift((await own.call("/api/tasks", { key, json })).task_id);
    await own.db.run(sql`update training_task set status = 'running'`);
    await own.db.run(sql`update training_task set status = 'success', final_loss = id`);
    const short = (await own.call("/api/tasks", { key, json: { task_name: "short", notes: "n" } }))
      .task_id;
    for (const order of ["", "&order_by=-id", "&order_by=task_name", "&filter=lora_rank is null"]) {
      const { items } = await own.call(`/api/tasks?limit=200${order}`, { key });
      expect(items.map(({ id }: { id: number }) => id).sort()).toEqual([...ids, short].sort());
      for (const item of items)
        expect([item.id, item.notes, item.left_out ?? null]).toEqual(
          item.id === short
            ? [short, "n", null]
            : [item.id, null, ["notes", "command", "additional_args", "sample_prompts"]],
        );
    }
    const { notes } = await own.call(`/api/tasks/${ids[0]}`, { key });
    expect(notes).toBe(json.notes);
    for (const path of [
      `/api/tasks/compare?ids=${ids.slice(0, 20).join(",")}`,
      `/api/tasks/compare?ids=${ids.join(",")}`,
      "/api/leaderboard?limit=200",
      "/api/leaderboard?limit=200&group_by=id",
      "/api/table?limit=200&fields=notes,sample_prompts,config.a,task_name",
      "/api/board",
      "/api/stats/tasks?group_by=notes,config.a",
      "/api/stats/influence",
      "/api/tasks/export?format=jsonl&limit=20000",
      "/api/queue",
    ]) {
      const response = await own.request(path, { key });
      await response.arrayBuffer();
      expect([path, response.status]).toEqual([path, 200]);
    }
  });

  it("costs one round trip, and no more rows than a list may", async () => {
    for (let n = 0; n < 60; n++) await register({ task_name: `n${n}` });
    const cost = costOf(await ledger.request("/api/tasks?limit=50", { key }));
    expect(cost.trips).toBe(1);
    expect(cost.read).toBeLessThanOrEqual(160);
  });
});
