// The real MLflow client against the whole service.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { trackersPython } from "./clients.ts";

const python = trackersPython();

describe.skipIf(python === null)("MLflow's client", () => {
  let stack: Stack;
  let key: string;

  beforeAll(async () => {
    stack = await startStack();
    key = await stack.key("anna");
  });
  afterAll(() => stack?.stop());

  /** Plays a scene of mlflow_tracking.py: what it says that it recorded. */
  async function play(scene: string, { by = key, args = [] as string[] } = {}) {
    const { code, out } = await runProcess(
      python ?? "",
      [join(root, "test/trackers/mlflow_tracking.py"), scene, ...args],
      {
        cwd: stack.home,
        env: {
          PATH: process.env.PATH,
          HOME: stack.home,
          MLFLOW_TRACKING_URI: `${stack.url}/mlflow`,
          MLFLOW_TRACKING_TOKEN: by,
          MLFLOW_DISABLE_TELEMETRY: "true",
          GIT_PYTHON_REFRESH: "quiet",
        },
      },
    ).ended;
    const [, result] = /^RESULT (.*)$/m.exec(out) ?? [];
    if (code !== 0 || result === undefined) throw new Error(out);
    return JSON.parse(result);
  }
  const taskOf = (runId: string) => stack.api(`/api/tasks/${Number(runId)}`, undefined, key);
  const points = async (runId: string, metric: string) =>
    (
      await stack.api(
        `/api/tasks/${Number(runId)}/logs?metric=${metric}&max_points=2000`,
        undefined,
        key,
      )
    ).points.map(([step, , , value]: unknown[]) => [step, value]);

  it("records by its fluent API, and finds what it recorded", async () => {
    const { run, history, ...rest } = await play("fluent");
    expect(rest).toMatchObject({ found: ["first"], frame: 4, child: true, failed: "FAILED" });
    expect(history).toHaveLength(22);
    expect(history.slice(19)).toEqual([
      [20, "0.05"],
      [21, "nan"],
      [22, "0.01"],
    ]);
    expect(run.data.metrics).toEqual({ loss: "0.01", acc: "inf" });
    expect(run.data.params).toEqual({ learning_rate: "0.0001", lora_r: "8", "a.b/c d": "odd" });
    expect(run.data.tags).toMatchObject({ team: "x", k: "v", "mlflow.note.content": "about it" });
    expect(run.data.tags).not.toHaveProperty("gone");
    const task = await taskOf(run.info.run_id);
    expect(task).toMatchObject({
      ...{ task_name: "first", experiment_group: "fluent", status: "success", lora_rank: 8 },
      ...{ learning_rate: 1e-4, notes: "about it" },
    });
    expect(task.tags).toEqual({ team: "x", k: "v" });
    const curve = await points(run.info.run_id, "loss");
    expect(curve[0]).toEqual([1, 1]);
    expect(curve.at(-1)).toEqual([22, 0.01]);
  });

  it("records by MlflowClient: batches, deleting, restoring, pages", async () => {
    const said = await play("client");
    expect(said).toMatchObject({
      ...{ refused: "INVALID_PARAMETER_VALUE", deleted: true, stage: "deleted", pages: ["r"] },
      ...{ status: ["KILLED", 1234567, 7654321], metrics: 1000 },
      experiments: ["by client, renamed"],
    });
    expect((await points(said.run_id, "m")).length).toBe(1000);
    expect(await taskOf(said.run_id)).toMatchObject({
      experiment_group: "by client, renamed",
      tags: { t: "1" },
    });
  });

  it("records by the calls of transformers' callback", async () => {
    const { run_id } = await play("transformers");
    const task = await taskOf(run_id);
    expect(task).toMatchObject({
      ...{ status: "success", experiment_group: "hf", trainer: "transformers", model_type: "llm" },
      ...{ batch_size: 4, epochs: 3, learning_rate: 2e-4, lora_rank: 16, lora_alpha: 32, seed: 42 },
      ...{ mixed_precision: "bf16", base_model_path: "meta-llama/Llama-3.1-8B" },
    });
    expect(Object.keys(task.config_snapshot)).toHaveLength(243);
    expect((await points(run_id, "loss")).map(([step]: unknown[]) => step)).toEqual([
      10, 20, 30, 40, 50,
    ]);
  });

  it("records by the calls of accelerate's tracker", async () => {
    const { run_id, again } = await play("accelerate");
    expect(again).toBe(true);
    expect(await taskOf(run_id)).toMatchObject({ task_name: "acc run", status: "success" });
    expect(await points(run_id, "train_loss")).toEqual([
      [0, 1],
      [1, 0.5],
      [2, 1 / 3],
    ]);
  });

  it("writes to the run that the ledger's client records, and to no second one", async () => {
    const { task_id } = await stack.api("/api/tasks", { task_name: "ours" }, key);
    const { run_id } = await play("joined", { by: `${key}.run${task_id}` });
    expect(Number(run_id)).toBe(task_id);
    expect(await taskOf(run_id)).toMatchObject({ task_name: "ours", experiment_group: "joined" });
    expect(await points(run_id, "loss")).toEqual([[1, 0.5]]);
  });

  it("reads a run that the ledger's own API recorded", async () => {
    const json = { task_name: "ours", lora_rank: 4, learning_rate: 0.002 };
    const { task_id } = await stack.api("/api/tasks", json, key);
    const logs = [1, 2].map((step) => ({ step, metrics: { loss: 1 / step } }));
    await stack.api(`/api/tasks/${task_id}/heartbeat`, { seq: 1, logs }, key);
    await stack.api(`/api/tasks/${task_id}/finish`, { status: "success" }, key);
    expect(await play("read", { args: [String(task_id).padStart(32, "0")] })).toMatchObject({
      params: { lora_rank: "4", learning_rate: "0.002" },
      metrics: { loss: 0.5 },
      status: "FINISHED",
      history: [
        [1, 1],
        [2, 0.5],
      ],
    });
  });

  it("shows a refused key in its own words", async () => {
    expect((await play("wrong", { by: "no-key" })).refused).toContain("UNAUTHENTICATED");
  });
});
