// The real Trackio client against the whole service: what it logs, its settings, its media, its retries.
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { eventually, runProcess, type Stack, startStack } from "../stack.ts";
import { trackersPython } from "./clients.ts";

const python = trackersPython();

describe.skipIf(python === null)("Trackio's client", () => {
  let stack: Stack;
  let token: string;

  beforeAll(async () => {
    stack = await startStack();
    token = await stack.key("anna");
  });
  const running = new Set<ReturnType<typeof runProcess>["child"]>();
  afterAll(async () => {
    // A test that fails half-way leaves its script behind.
    for (const child of running) child.kill("SIGKILL");
    await stack?.stop();
  });

  const start = (what: string, project: string, key = token) => {
    const run = runProcess(
      python ?? "",
      [join(root, "test/trackers/trackio_runs.py"), what, project],
      {
        cwd: stack.home,
        env: {
          ...process.env,
          TRACKIO_SERVER_URL: stack.url,
          TRACKIO_WRITE_TOKEN: key,
          TRACKIO_DIR: mkdtempSync(join(stack.home, "trackio-")),
          HOME: stack.home,
        },
      },
    );
    running.add(run.child);
    void run.ended.finally(() => running.delete(run.child));
    return run;
  };
  async function trackio(what: string, project: string, key = token) {
    const { code, out } = await start(what, project, key).ended;
    expect(code, out).toBe(0);
    return out;
  }
  const runsOf = async (project: string) =>
    (
      await stack.api(
        `/api/tasks?filter=${encodeURIComponent(`experiment_group = '${project}'`)}`,
        undefined,
        token,
      )
    ).items;
  const points = async (id: number, metric: string) =>
    (
      await stack.api(
        `/api/tasks/${id}/logs?metric=${encodeURIComponent(metric)}&thin=raw`,
        undefined,
        token,
      )
    ).points.map(([step, , , value]: unknown[]) => [step, value]);

  it("records a run with its settings, curves, figures, alerts and pictures, and resumes it", async () => {
    await trackio("all", "proj");
    const [task, ...others] = await runsOf("proj");
    expect(others).toEqual([]);
    expect(task).toMatchObject({ task_name: "first", status: "running", tags: { group: "seeds" } });
    expect(task).toMatchObject({ learning_rate: 1e-4, lora_rank: 16 });
    expect(await points(task.id, "loss")).toEqual([
      [0, 1],
      [5, 0.7],
      [10, 0.5],
    ]);
    expect(await points(task.id, "nest.b.c")).toEqual([[0, 2]]);
    expect(await points(task.id, "odd")).toEqual([[0, "NaN"]]);
    expect(await points(task.id, "gpu.0.util")).toMatchObject([[expect.any(Number), 50]]);
    const full = await stack.api(`/api/tasks/${task.id}`, undefined, token);
    expect(full.config_snapshot).toEqual({
      learning_rate: 1e-4,
      lora_rank: 16,
      nested: { a: 1 },
    });
    expect(full.attempts[0].tail).toContain("Bad: the loss went up");
    const { items: files } = await stack.api(`/api/weights?task_id=${task.id}`, undefined, token);
    expect(files).toMatchObject([
      { kind: "sample", step: 11, prompt: "a cat", verified: "sha256", state: "complete" },
    ]);
    expect(files[0].filename).toMatch(/^trackio\/samples\/cat\/11\/.+\.png$/);

    await trackio("resume", "proj");
    expect(await runsOf("proj")).toHaveLength(1);
    const loss = await points(task.id, "loss");
    expect(loss).toHaveLength(4);
    // The client went on from the last step that the service told it.
    expect(loss.at(-1)).toEqual([expect.any(Number), 0.25]);
    expect(loss.at(-1)?.[0]).toBeGreaterThan(10);
    const asked = await runProcess(
      join(python ?? "", "../trackio"),
      ["--space", `${stack.url}?write_token=${token}`, "list", "runs", "--project", "proj"],
      { cwd: stack.home, env: { ...process.env, TRACKIO_WRITE_TOKEN: token, HOME: stack.home } },
    ).ended;
    expect(asked.out).toContain("first");
  });

  it("fills the columns from what transformers' callback hands over", async () => {
    await trackio("transformers", "sft");
    const [task] = await runsOf("sft");
    expect(task).toMatchObject({
      ...{ task_name: "sft", trainer: "peft", model_type: "llm", lora_rank: 8, lora_alpha: 16 },
      ...{ dropout: 0.05, batch_size: 2, gradient_accumulation_steps: 4, learning_rate: 2e-4 },
      ...{ epochs: 3, scheduler: "cosine", mixed_precision: "bf16", seed: 42 },
    });
    expect(await points(task.id, "train/loss")).toHaveLength(30);
    expect(await points(task.id, "eval/loss")).toHaveLength(1);
  });

  it("writes into the run that the ledger's client records, which ends it", async () => {
    const { task_id } = await stack.api(
      "/api/tasks",
      { task_name: "ours", experiment_group: "joined" },
      token,
    );
    await trackio("two", "elsewhere", `${token}.run${task_id}`);
    expect(await runsOf("elsewhere")).toEqual([]);
    const [task, ...others] = await runsOf("joined");
    expect(others).toEqual([]);
    expect(task).toMatchObject({ id: task_id, task_name: "ours", status: "running" });
    expect(await points(task_id, "loss")).toHaveLength(2);
    await stack.api(`/api/tasks/${task_id}/finish`, { status: "success" }, token);
    expect((await runsOf("joined"))[0].status).toBe("success");
  });

  it("sends again what a killed database did not take, once each", async () => {
    const run = start("outage", "outage");
    const lossOf = async () => {
      const [task] = await runsOf("outage");
      return task ? points(task.id, "loss") : [];
    };
    await eventually("the first points", async () => (await lossOf()).length > 3);
    await stack.killDatabase();
    // Several of its batches fail meanwhile.
    const logged = () => run.output().split("\nstep ").length;
    const at = logged();
    await eventually("more steps", () => logged() > at + 16);
    await stack.reviveDatabase();
    const before = (await lossOf()).length;
    await eventually("points after the outage", async () => (await lossOf()).length > before);
    writeFileSync(join(stack.home, "outage.end"), "");
    const { code, out } = await run.ended;
    expect(code, out).toBe(0);
    const count = Number(/logged (\d+)/.exec(out)?.[1]);
    expect(await runsOf("outage")).toHaveLength(1);
    expect(await lossOf(), out).toEqual(
      Array.from({ length: count }, (_, step) => [step, 1 / (step + 1)]),
    );
    const [task] = await runsOf("outage");
    await stack.api(`/api/tasks/${task.id}/finish`, { status: "success" }, token);
    const filter = `id = ${task.id} and metrics.loss.count = ${count}`;
    const query = new URLSearchParams({ filter });
    expect((await stack.api(`/api/tasks?${query}`, undefined, token)).items, out).toHaveLength(1);
  });

  it("trains on with a wrong token", async () => {
    const { code, out } = await start("two", "wrong", "aaa.bbb.ccc").ended;
    expect(code, out).toBe(0);
    expect(await runsOf("wrong")).toEqual([]);
  });
});
