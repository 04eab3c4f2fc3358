// A real run recorded end to end by the Python client on the whole stack, and the faults that must
// not cost it a log point or a weight: database and Worker killed in the middle, answers lost.
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 120_000);
afterAll(() => stack.stop());

const sha256 = async (source: AsyncIterable<Uint8Array>) => {
  const hash = createHash("sha256");
  for await (const chunk of source) hash.update(chunk);
  return hash.digest("hex");
};

const train = (config: string, ...more: string[]) => [
  "--",
  "python3",
  trainer,
  "--config_file",
  config,
  ...more,
];
const run = (config: string, more: string[] = [], options: Parameters<Stack["client"]>[1] = {}) =>
  stack.client(["run", "--config", config, ...train(config, ...more)], options);

const newestTask = async () => (await stack.api("/api/tasks?limit=1")).items[0];
const countTasks = async () => (await stack.api("/api/tasks?limit=200")).items.length;

/** Every log point exactly once, all weights there with the bytes of the files on disk. */
async function expectWhole(id: number, output: string, steps: number) {
  const task = await stack.api(`/api/tasks/${id}`);
  expect(task).toMatchObject({ status: "success", exit_code: 0 });
  const { points, total } = await stack.api(`/api/tasks/${id}/logs?metric=loss&max_points=10000`);
  expect(total).toBe(steps);
  expect(points.map((p: number[]) => p[0])).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
  const { items } = await stack.api(`/api/weights?task_id=${id}&limit=200`);
  const files = readdirSync(output).filter((name) => name.endsWith(".safetensors"));
  const stored = items.filter((w: { filename: string }) => w.filename.endsWith(".safetensors"));
  expect(stored.map((w: { filename: string }) => w.filename).sort()).toEqual(files.sort());
  for (const weight of stored) {
    const link = await stack.api(`/api/weights/${weight.id}/download?redirect=false`);
    const bytes = new Uint8Array(await (await fetch(link.url)).arrayBuffer());
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(weight.sha256);
    expect(Buffer.from(bytes).equals(readFileSync(join(output, weight.filename)))).toBe(true);
  }
  return task;
}

describe("a real run", () => {
  it("is recorded whole: settings, data, curve, hardware, console, checkpoints and final weights", async () => {
    const { config, output } = trainerFolder(stack.home);
    const { code, out } = await run(config).ended;
    expect(out).toContain("model saved.");
    expect(code).toBe(0);
    const task = await expectWhole((await newestTask()).id, output, 120);
    expect(task).toMatchObject({
      trainer: "kohya",
      lora_rank: 4,
      lora_alpha: 2,
      batch_size: 2,
      epochs: 4,
      weights_path: "aki.safetensors",
    });
    expect(task.node_info.hostname).toBeTruthy();
    expect(task.attempts[0].tail).toContain("model saved.");
    expect(task.final_loss).toBeGreaterThan(0);
    const { points } = await stack.api(`/api/tasks/${task.id}/logs?max_points=10000`);
    const losses: number[] = points.map((p: number[]) => p[3]);
    const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    expect(mean(losses.slice(-20))).toBeLessThan(mean(losses.slice(0, 20)));
    const config_ = await fetch(`${stack.url}/api/tasks/${task.id}/config`, {
      headers: { Authorization: `Bearer ${stack.admin}` },
    });
    expect(Buffer.from(await config_.arrayBuffer()).equals(readFileSync(config))).toBe(true);
    const { datasets } = await stack.api(`/api/tasks/${task.id}/datasets`);
    expect(datasets).toEqual([
      expect.objectContaining({ name: "10_aki", image_count: 6, repeats: 10 }),
    ]);
    const { items } = await stack.api(`/api/weights?task_id=${task.id}`);
    const final = items.find((w: { kind: string }) => w.kind === "final");
    expect(final).toMatchObject({ verified: "sha256", rank: 4, alpha: 2, mismatches: [] });
    expect(items.map((w: { filename: string }) => w.filename)).toContain("console.log.gz");
    expect(out).not.toContain(stack.admin);
  });

  it("works with a box key, which sees nothing else", async () => {
    const key = await stack.key("renter", "member", ["box"]);
    const { config, output } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const { code } = await run(config, [], { key }).ended;
    expect(code).toBe(0);
    const task = await newestTask();
    await expectWhole(task.id, output, 30);
    await expect(stack.api(`/api/tasks/${task.id - 1}`, undefined, key)).rejects.toThrow("404");
    await expect(stack.api("/api/tasks", undefined, key)).rejects.toThrow("403");
  });

  it("ends failed with the trainer's exit code and reason", async () => {
    const { config } = trainerFolder(stack.home);
    const oom = await run(config, ["--oom_at_step", "40"]).ended;
    expect(oom.code).toBe(1);
    expect(await newestTask()).toMatchObject({
      status: "failed",
      failure_reason: "oom",
      exit_code: 1,
    });
    await run(config, ["--fail_at_step", "20"]).ended;
    expect(await newestTask()).toMatchObject({ status: "failed", failure_reason: "error" });
  });

  it("goes on as the next attempt after a preemption, its curve from the checkpoint's step", async () => {
    const { config, output } = trainerFolder(stack.home, { max_train_epochs: 4 });
    const first = run(config, ["--save_state", "--sleep", "0.03"]);
    await eventually("the second checkpoint", () =>
      readdirSync(output).some((name) => name.includes("000002-state")),
    );
    first.child.kill("SIGTERM");
    const { code } = await first.ended;
    expect(code).toBe(143);
    const task = await newestTask();
    expect(task).toMatchObject({ status: "failed", failure_reason: "preempted" });
    const state = join(output, "aki-000002-state");
    const again = await stack.client([
      "run",
      "--config",
      config,
      "--resume-task",
      String(task.id),
      ...train(config, "--save_state", "--resume", state),
    ]).ended;
    expect(again.code).toBe(0);
    const resumed = await stack.api(`/api/tasks/${task.id}`);
    expect(resumed).toMatchObject({ status: "success", attempt: 2 });
    expect(resumed.attempts[0].from_step).toBe(60);
    const { points } = await stack.api(`/api/tasks/${task.id}/logs?max_points=10000`);
    const steps: number[] = points.map((p: number[]) => p[0]);
    expect(steps).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
    const second = await stack.api(`/api/tasks/${task.id}/logs?attempt=2`);
    expect(second.points[0][0]).toBe(61);
  });
});

describe("faults", () => {
  it("the database killed and restarted in the middle costs nothing", async () => {
    const { config, output } = trainerFolder(stack.home);
    const running = run(config, ["--sleep", "0.06"]);
    await eventually(
      "the run to begin",
      async () =>
        (await newestTask()).progress?.step > 10 && (await newestTask()).status === "running",
    );
    const { id } = await newestTask();
    stack.killDatabase();
    await sleep(2500);
    await stack.reviveDatabase();
    expect((await running.ended).code).toBe(0);
    await expectWhole(id, output, 120);
  });

  it("the Worker killed and restarted in the middle costs nothing", async () => {
    const { config, output } = trainerFolder(stack.home);
    const running = run(config, ["--sleep", "0.06"]);
    await eventually(
      "the run to begin",
      async () =>
        (await newestTask()).progress?.step > 10 && (await newestTask()).status === "running",
    );
    const { id } = await newestTask();
    stack.killWorker();
    await sleep(1000);
    await stack.reviveWorker();
    expect((await running.ended).code).toBe(0);
    await expectWhole(id, output, 120);
  });

  it("answers lost after the write, of every kind of call, double nothing", async () => {
    // Passes requests on, and for the first of each kind drops the answer.
    const dropped = new Set<string>();
    const proxy = createServer((incoming, answer) => {
      const kind = `${incoming.method} ${incoming.url
        ?.replace(/\?.*/, "")
        .replace(/\d+/g, "N")
        .replace(/\/signed\/.*/, "/signed")}`;
      const passed = request(
        `${stack.url}${incoming.url}`,
        {
          method: incoming.method,
          headers: { ...incoming.headers, host: new URL(stack.url).host },
        },
        (got) => {
          if (!dropped.has(kind) && (got.statusCode ?? 500) < 300) {
            dropped.add(kind);
            got.resume().on("end", () => answer.destroy());
            return;
          }
          answer.writeHead(got.statusCode ?? 502, got.headers);
          got.pipe(answer);
        },
      );
      passed.on("error", () => answer.destroy());
      incoming.pipe(passed);
    });
    await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
    const address = proxy.address();
    const ledger = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    try {
      const before = await countTasks();
      const { config, output } = trainerFolder(stack.home, { max_train_epochs: 2 });
      const { code, out } = await run(config, ["--sleep", "0.05"], { ledger }).ended;
      expect(code, out).toBe(0);
      const { id } = await newestTask();
      expect(await countTasks()).toBe(before + 1);
      await expectWhole(id, output, 60);
      for (const kind of [
        "POST /api/tasks",
        "POST /api/tasks/N/heartbeat",
        "POST /api/tasks/N/finish",
        "POST /api/tasks/N/weights",
        "POST /api/weights/N/complete",
        "PUT /api/tasks/N/datasets",
      ])
        expect([...dropped]).toContain(kind);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  it("a ledger away from the first second never stops training; sync sends it later, once", async () => {
    const before = await countTasks();
    const { config, output } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const { code, out } = await run(config, [], {
      ledger: "http://127.0.0.1:9",
      env: { LEDGER_FLUSH_TIMEOUT: "1" },
    }).ended;
    expect(code).toBe(0);
    expect(out).toContain("sync");
    for (let i = 0; i < 2; i++) expect((await stack.client(["sync"]).ended).code).toBe(0);
    const { id } = await newestTask();
    expect(await countTasks()).toBe(before + 1);
    await expectWhole(id, output, 30);
  });
});

describe("large files", () => {
  it("300 MB go up in parts and come back with the same hash", async () => {
    const path = join(stack.home, "big.safetensors");
    const file = openSync(path, "w");
    const block = Buffer.alloc(1 << 20);
    for (let i = 0; i < 300; i++) {
      block.fill(i);
      block.writeUInt32LE((i * 2654435761) % 2 ** 32, 0);
      writeSync(file, block);
    }
    closeSync(file);
    const size = 300 << 20;
    const hash = await sha256(createReadStream(path));
    const { task_id } = await stack.api("/api/tasks", { task_name: "big" });
    const made = await stack.api(`/api/tasks/${task_id}/weights`, {
      filename: "big.safetensors",
      size,
      sha256: hash,
      kind: "final",
    });
    const { part_size } = made.upload;
    const parts: { number: number; etag: string }[] = [];
    const source = openSync(path, "r");
    for (let from = 1; parts.length < Math.ceil(size / part_size); ) {
      const { upload } = await stack.api(`/api/weights/${made.weight_id}/upload?from=${from}`);
      for (const part of upload.parts) {
        const start = (part.number - 1) * part_size;
        const body = Buffer.alloc(Math.min(part_size, size - start));
        readSync(source, body, 0, body.length, start);
        const put = await fetch(part.url, { method: "PUT", headers: part.headers, body });
        expect(put.status).toBe(200);
        parts.push({ number: part.number, etag: put.headers.get("etag") ?? "" });
        from = part.number + 1;
      }
    }
    closeSync(source);
    const done = await stack.api(`/api/weights/${made.weight_id}/complete`, { parts });
    expect(done.verified ?? done.weight?.verified).toBe("sha256");
    const link = await stack.api(`/api/weights/${made.weight_id}/download?redirect=false`);
    expect(link).toMatchObject({ sha256: hash, size });
    const got = await fetch(link.url);
    expect(await sha256(got.body ?? new ReadableStream())).toBe(hash);
  });
});

describe("the founding document's own client", () => {
  it("works as it stands: reads a YAML file, posts its fields, wants 200 and reads task_id", async () => {
    // It stands on `requests` and `yaml`; the same calls here, by what Python brings along.
    const folder = join(stack.home, "founding");
    mkdirSync(folder);
    writeFileSync(
      join(folder, "config.yaml"),
      "task_name: anime\nmodel_type: stable-diffusion\nbase_model: /m/sd15\nnetwork_dim: 64\nlearning_rate: 0.0001\n",
    );
    writeFileSync(
      join(folder, "register.py"),
      `import json, os, urllib.request
config = {}
for line in open("config.yaml"):
    name, value = line.strip().split(": ")
    try: value = json.loads(value)
    except ValueError: pass
    config[name] = value
payload = {"task_name": config.get("task_name"), "model_type": config.get("model_type"), "base_model_path": config.get("base_model"),
  "lora_rank": config.get("network_dim"), "lora_alpha": config.get("network_alpha"), "dropout": config.get("network_dropout"),
  "batch_size": config.get("train_batch_size"), "epochs": config.get("max_train_epochs"), "learning_rate": config.get("learning_rate"),
  "data_dir": config.get("train_data_dir"), "output_dir": config.get("output_dir"), "mixed_precision": config.get("mixed_precision"),
  "experiment_group": config.get("experiment_group")}
request = urllib.request.Request(os.environ["LEDGER_URL"] + "/api/tasks", json.dumps(payload).encode(),
  {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["LEDGER_KEY"]})
with urllib.request.urlopen(request) as answer:
    assert answer.status == 200, answer.status
    print(json.load(answer)["task_id"])
`,
    );
    const { code, out } = await runProcess("python3", ["register.py"], {
      cwd: folder,
      env: { ...process.env, LEDGER_URL: stack.url, LEDGER_KEY: stack.admin },
    }).ended;
    expect(out.trim()).toMatch(/^\d+$/);
    expect(code).toBe(0);
    expect(await stack.api(`/api/tasks/${out.trim()}`)).toMatchObject({
      task_name: "anime",
      lora_rank: 64,
      base_model_path: "/m/sd15",
      lora_alpha: null,
    });
  });
});
