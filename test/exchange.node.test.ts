// Runs on their way from one ledger into another: exports, archives with and without their weights,
// and imports, each by the real client between two real ledgers.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
import { runScheduled } from "../scripts/local/worker.ts";
import { runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

let from: Stack;
let to: Stack;

beforeAll(async () => {
  from = await startStack();
  to = await startStack();
}, 120_000);

afterAll(async () => {
  await from?.stop();
  await to?.stop();
});

/** Runs the client to its end; fails the test when it ends with another code. */
async function client(stack: Stack, args: string[], code = 0) {
  const { ended } = stack.client(args, { env: { TZ: "UTC" } });
  const end = await ended;
  expect(end.code, end.out).toBe(code);
  return end.out;
}

async function bytes(stack: Stack, path: string) {
  const response = await fetch(`${stack.url}${path}`, {
    headers: { Authorization: `Bearer ${stack.admin}` },
  });
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

const settled = (stack: Stack) => runScheduled(stack.url);

/** What a run says of itself but for what belongs to the ledger it lies in. */
async function said(stack: Stack, id: number) {
  const { attempts, ...task } = await stack.api(`/api/tasks/${id}`);
  const { datasets } = await stack.api(`/api/tasks/${id}/datasets`);
  const { items } = await stack.api(`/api/weights?task_id=${id}`);
  const own = (row: Record<string, unknown>, ...names: string[]) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name)));
  return {
    task: own(task, "id", "user_id", "version", "updated_at", "heartbeat_at", "import_source"),
    attempts: attempts.map((a: object) => own({ ...a }, "last_seq", "heartbeat_at")),
    datasets: datasets.map((d: object) => own({ ...d }, "id", "created_at")),
    weights: items
      .map((w: object) => own({ ...w }, "id", "task_id", "attempt", "created_at", "completed_at"))
      .sort((a: { filename: string }, b: { filename: string }) =>
        a.filename < b.filename ? -1 : 1,
      ),
    config: (await bytes(stack, `/api/tasks/${id}/config`)).toString("hex"),
    curve: (await bytes(stack, `/api/tasks/${id}/logs?format=csv`)).toString(),
  };
}

describe("an archive", () => {
  let id: number;
  let zip: string;

  beforeAll(async () => {
    const { config } = trainerFolder(from.home, { seed: 7 });
    const run = ["run", "--name", "archived", "--tag", "kind=style", "--hourly-price", "0.5"];
    await client(from, [
      ...run,
      "--config",
      config,
      "--",
      "python3",
      trainer,
      "--config_file",
      config,
    ]);
    [{ id }] = (await from.api("/api/tasks?limit=1")).items;
    // A second attempt that was lost, with points over the first one's, and its own box.
    await from.api(`/api/tasks/${id}`);
    const failed = await from.api("/api/tasks", {
      task_name: "two attempts",
      config: { text: "network_dim = 4\r\n# 中文\r\n", format: "toml", path: "x.toml" },
      datasets: [{ name: "d", image_count: 3, tag_distribution: { 猫: 2 }, content_hash: "abc" }],
      something: { else: [1, 2] },
    });
    const two = failed.task_id;
    const beat = (attempt: number, seq: number, steps: number[], loss: number | string) =>
      from.api(`/api/tasks/${two}/heartbeat`, {
        ...{ attempt, seq },
        logs: steps.map((step) => ({ step, epoch: 0, metrics: { loss, "gpu.0.util": step / 3 } })),
      });
    await beat(1, 1, [1, 2, 3, 4], 0.5);
    await beat(1, 3, [5, 6], "NaN");
    await beat(1, 2, [4, 5], 0.25);
    await from.api(`/api/tasks/${two}/attempts`, { from_step: 3, gpu_info: "A100" });
    await beat(2, 1, [4, 5, 6, 7], 1 / 3);
    await from.api(`/api/tasks/${two}/finish`, {
      ...{ attempt: 2, status: "failed", failure_reason: "oom", exit_code: 137 },
      error_message: "CUDA out of memory",
    });
    await settled(from);
    zip = join(from.home, "run.zip");
    await client(from, ["export", String(id), "-o", zip, "--weights"]);
    await client(from, ["export", String(two), "-o", join(from.home, "two.zip")]);
  });

  it("is a zip that anything can open, and holds the files with their hashes", async () => {
    const listed = await runProcess("python3", ["-m", "zipfile", "-l", zip]).ended;
    for (const name of [
      "ledger.json",
      "config/original.toml",
      "logs/attempt-1.jsonl",
      "aki.safetensors",
    ])
      expect(listed.out).toContain(name);
  });

  it("brings a run into another ledger as it was, once", async () => {
    const first = await client(to, ["import", zip, "--upload"]);
    expect(first).toContain("1 imported, 0 known already, 0 failed");
    await settled(to);
    const [{ id: there }] = (await to.api("/api/tasks?limit=1")).items;
    expect(await said(to, there)).toEqual(await said(from, id));
    const again = await client(to, ["import", zip, "--upload"]);
    expect(again).toContain("0 imported, 1 known already, 0 failed");
    expect((await to.api("/api/tasks")).items).toHaveLength(1);
    expect((await to.api(`/api/weights?task_id=${there}`)).items).toHaveLength(
      (await from.api(`/api/weights?task_id=${id}`)).items.length,
    );
    // On to a third place it is still the same run.
    const onward = join(to.home, "onward.zip");
    await client(to, ["export", String(there), "-o", onward]);
    expect(await client(to, ["import", onward])).toContain("0 imported, 1 known already");
  });

  it("keeps each attempt with its box, points that came twice, and a lost or failed end", async () => {
    const two = (await from.api("/api/tasks?filter=task_name='two attempts'")).items[0].id;
    await client(to, ["import", join(from.home, "two.zip")]);
    await settled(to);
    const [{ id: there }] = (await to.api("/api/tasks?limit=1")).items;
    const [a, b] = [await said(from, two), await said(to, there)];
    // Parts of one attempt go in fewer heartbeats, in which a step stands once.
    for (const attempt of [...a.attempts, ...b.attempts]) delete attempt.points;
    expect(b).toEqual(a);
    expect(b.task).toMatchObject({ status: "failed", failure_reason: "oom", attempt: 2 });
    expect(b.task.additional_args).toEqual({ something: { else: [1, 2] } });
    const all = (stack: Stack, task: number) =>
      stack.api(`/api/tasks/${task}/logs?attempt=all&metric=gpu.0.util`);
    expect((await all(to, there)).attempts).toEqual((await all(from, two)).attempts);
  });

  it("that is damaged is refused in a plain word, and adds nothing", async () => {
    const before = (await to.api("/api/tasks")).items.length;
    const data = readFileSync(zip);
    for (const [name, content] of [
      ["cut.zip", data.subarray(0, data.length / 2)],
      ["other.zip", Buffer.from("UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==", "base64")],
    ] as const) {
      const path = join(to.home, name);
      writeFileSync(path, content);
      expect(await client(to, ["import", path], 1)).toContain("no archive of a run");
    }
    expect((await to.api("/api/tasks")).items).toHaveLength(before);
    expect(await client(from, ["export", "999"], 1)).toContain("404");
  });
});

describe("a table", () => {
  it("comes as CSV, JSON Lines and Parquet, part after part, and goes into another ledger", async () => {
    for (let n = 0; n < 7; n++)
      await from.api("/api/tasks", {
        ...{ task_name: `=row ${n}`, lora_rank: 8 + n, tags: { a: `${n}` }, notes: "a,b\n中" },
        import: { source: `seed ${n}`, final_loss: n / 7, started_at: "2026-05-01T10:00:00.250Z" },
      });
    const filter = "task_name like '=row%'";
    const csv = join(from.home, "rows.csv");
    await client(from, ["export", filter, "-o", csv, "--limit", "3", "--order-by", "lora_rank"]);
    const text = readFileSync(csv, "utf8");
    expect(text.match(/^id,/gm)).toHaveLength(1);
    expect(text.match(/'=row \d/g)).toEqual(Array.from({ length: 7 }, (_, n) => `'=row ${n}`));
    const lines = await client(from, [
      "export",
      filter,
      "--format",
      "jsonl",
      "--columns",
      "lora_rank",
    ]);
    expect(lines.trim().split("\n")).toHaveLength(7);
    const file = join(from.home, "rows.parquet");
    await client(from, ["export", filter, "-o", file, "--limit", "4"]);
    const parts = [file, join(from.home, "rows-2.parquet")].map((path) =>
      parquetReadObjects({ file: new Uint8Array(readFileSync(path)).buffer }),
    );
    expect((await Promise.all(parts)).map((rows) => rows.length)).toEqual([4, 3]);

    expect(await client(to, ["import", csv], 2)).toContain("7 runs");
    expect(await client(to, ["import", csv, "--yes"])).toContain("7 imported, 0 known already");
    expect(await client(to, ["import", csv, "--yes"])).toContain("0 imported, 7 known already");
    const { items } = await to.api("/api/tasks?filter=lora_rank=10");
    expect(items).toMatchObject([
      {
        ...{ task_name: "=row 2", tags: { a: "2" }, notes: "a,b\n中", final_loss: 2 / 7 },
        ...{ started_at: "2026-05-01T10:00:00.250Z", status: "success" },
      },
    ]);
    const jsonl = join(from.home, "rows.jsonl");
    await client(from, ["export", filter, "-o", jsonl]);
    // The same runs once more, known by what they are and not by how they came.
    expect(await client(to, ["import", jsonl])).toContain("0 imported, 7 known already");
  });

  it("that breaks off is an error, and what stood there is not taken for whole", async () => {
    await from.killDatabase();
    try {
      const zip = join(from.home, "never.zip");
      expect(await client(from, ["export", "1", "-o", zip], 1)).toMatch(/503|stopped answering/);
      expect(() => readFileSync(zip)).toThrow();
    } finally {
      await from.reviveDatabase();
    }
  });
});

it("imports a W&B run that W&B wrote, with its curve", async () => {
  const folder = join(root, "client/tests/data/offline-run-aki00001");
  expect(await client(to, ["import", folder])).toContain("1 imported");
  await settled(to);
  const [task] = (await to.api("/api/tasks?filter=import_source='wandb:aki00001'")).items;
  const filter = encodeURIComponent('metrics."train/loss".min < 0.04 and config.nested.a = 1');
  expect((await to.api(`/api/tasks?filter=${filter}`)).items).toMatchObject([
    { id: task.id, lora_rank: 16, final_loss: expect.any(Number), status: "success" },
  ]);
  rmSync(join(to.home, "spool"), { recursive: true, force: true });
});
