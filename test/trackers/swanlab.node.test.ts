// The real SwanLab client against the whole service.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { trackersPython } from "./clients.ts";

const python = trackersPython();

describe.skipIf(python === null)("SwanLab's client", () => {
  let stack: Stack;
  let key: string;

  beforeAll(async () => {
    stack = await startStack();
    key = await stack.key("anna");
  });
  afterAll(() => stack?.stop());

  async function swanlab(what: string, project: string, by = key) {
    const { code, out } = await runProcess(
      python ?? "",
      [join(root, "test/trackers/swanlab_runs.py"), what, project],
      {
        cwd: stack.home,
        env: {
          ...process.env,
          SWANLAB_API_HOST: `${stack.url}/swanlab`,
          SWANLAB_API_KEY: by,
          HOME: stack.home,
        },
      },
    ).ended;
    return { code, out };
  }
  const runsOf = async (project: string) =>
    (
      await stack.api(
        `/api/tasks?filter=${encodeURIComponent(`experiment_group = '${project}'`)}`,
        undefined,
        key,
      )
    ).items;
  const points = async (id: number, metric: string) =>
    (
      await stack.api(
        `/api/tasks/${id}/logs?metric=${encodeURIComponent(metric)}&thin=raw`,
        undefined,
        key,
      )
    ).points.map(([step, , , value]: unknown[]) => [step, value]);

  it("records a run with its settings, curves, console and pictures, ends it, and adds to it when it resumes", async () => {
    const { code, out } = await swanlab("all", "proj");
    expect(code, out).toBe(0);
    const [task, ...others] = await runsOf("proj");
    expect(others).toEqual([]);
    expect(task, out).toMatchObject({
      ...{ task_name: "first", status: "success", learning_rate: 1e-4, lora_rank: 16 },
      ...{ notes: "about it", tags: { seeds: "" } },
    });
    expect(await points(task.id, "loss")).toEqual([
      [0, 1],
      [1, 0.5],
      [2, 1 / 3],
    ]);
    expect(await points(task.id, "odd")).toHaveLength(3);
    const full = await stack.api(`/api/tasks/${task.id}`, undefined, key);
    expect(full.config_snapshot).toEqual({
      learning_rate: 1e-4,
      lora_rank: 16,
      nested: { a: 1 },
    });
    expect(full.attempts[0].tail).toContain("hello from the trainer");
    const { items: files } = await stack.api(`/api/weights?task_id=${task.id}`, undefined, key);
    expect(files, out).toMatchObject([{ kind: "sample", step: 2, prompt: "a cat" }]);

    const again = await swanlab("resume", "proj");
    expect(again.code, again.out).toBe(0);
    expect(await runsOf("proj")).toHaveLength(1);
    expect(await points(task.id, "loss"), again.out).toHaveLength(4);
  });

  it("ends runs as their trainers ended", async () => {
    await swanlab("crash", "ends");
    await swanlab("stop", "ends");
    const runs = await runsOf("ends");
    expect(
      Object.fromEntries(
        runs.map((run: { task_name: string; status: string }) => [run.task_name, run.status]),
      ),
    ).toEqual({ crashed: "failed", stopped: "cancelled" });
  });

  it("writes into the run that the ledger's client records, and leaves its end to it", async () => {
    const { task_id } = await stack.api("/api/tasks", { task_name: "ours" }, key);
    const { code, out } = await swanlab("two", "joined", `${key}.run${task_id}`);
    expect(code, out).toBe(0);
    expect(await runsOf("joined")).toEqual([]);
    expect(await points(task_id, "loss")).toHaveLength(2);
    expect((await stack.api(`/api/tasks/${task_id}`, undefined, key)).status).toBe("running");
  });

  it("says that a wrong key is wrong", async () => {
    const { code, out } = await swanlab("two", "wrong", "aaaaaaaaaaaaaaaaaaaaaa.bbb.ccc");
    expect(code).not.toBe(0);
    expect(out).toContain("API key");
    expect(await runsOf("wrong")).toEqual([]);
  });
});
