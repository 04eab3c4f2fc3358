// MLflow's tracking protocol: experiments, runs, params, tags, metrics, rights, limits and costs.
import { beforeAll, describe, expect, it } from "vitest";
import { costOf } from "../../../test/harness.ts";
import { asObject, freshLedger, trackingOf } from "../../../test/trackers/mlflow.ts";

type Ledger = Awaited<ReturnType<typeof freshLedger>>;
let ledger: Ledger;
let mlflow: ReturnType<typeof trackingOf>;
let key: string;
let admin: string;
let stranger: ReturnType<typeof trackingOf>;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
  admin = (await ledger.key({ role: "admin" })).key;
  mlflow = trackingOf(ledger, key);
  stranger = trackingOf(ledger, (await ledger.key()).key);
});

const taskOf = (runId: string, by = key) => ledger.call(`/api/tasks/${Number(runId)}`, { key: by });

describe("experiments", () => {
  it("are made, found, tagged, renamed, deleted and restored", async () => {
    const id = await mlflow.experiment("first");
    const { experiment } = await mlflow.get("experiments/get-by-name", {
      experiment_name: "first",
    });
    expect(experiment).toMatchObject({
      experiment_id: id,
      name: "first",
      lifecycle_stage: "active",
      artifact_location: `mlflow-artifacts:/${id}`,
    });
    expect(experiment.creation_time).toBeGreaterThan(1.6e12);
    const set = { experiment_id: id, key: "team", value: "x" };
    expect(await mlflow.post("experiments/set-experiment-tag", set)).toEqual({});
    const run = await mlflow.begin(id);
    expect((await taskOf(run)).experiment_group).toBe("first");
    await mlflow.post("experiments/update", { experiment_id: id, new_name: "renamed" });
    expect((await taskOf(run)).experiment_group).toBe("renamed");
    expect((await mlflow.run(run)).info.experiment_id).toBe(id);
    await mlflow.post("experiments/delete", { experiment_id: id });
    const deleted = (await mlflow.get("experiments/get", { experiment_id: id })).experiment;
    expect(deleted).toMatchObject({ name: "renamed", lifecycle_stage: "deleted" });
    expect(asObject(deleted.tags)).toEqual({ team: "x" });
    expect((await mlflow.run(run)).info.lifecycle_stage).toBe("deleted");
    expect(await mlflow.refusal("runs/create", { experiment_id: id })).toBe(
      `INVALID_PARAMETER_VALUE: The experiment ${id} must be in the 'active' state. Current state is deleted.`,
    );
    expect(await mlflow.refusal("experiments/create", { name: "renamed" })).toContain(
      "RESOURCE_ALREADY_EXISTS",
    );
    await mlflow.post("experiments/restore", { experiment_id: id });
    expect((await mlflow.run(run)).info).toMatchObject({
      lifecycle_stage: "active",
      status: "RUNNING",
    });
    await mlflow.log(run, "loss", 1);
  });

  it("are those of groups too, and 0 is that of runs without one", async () => {
    const json = { task_name: "ours", experiment_group: "of ours" };
    const { task_id } = await ledger.call("/api/tasks", { key, json });
    const { experiment } = await mlflow.get("experiments/get-by-name", {
      experiment_name: "of ours",
    });
    const { runs } = await mlflow.search([experiment.experiment_id]);
    expect(Number(runs[0].info.run_id)).toBe(task_id);
    expect((await mlflow.run(await mlflow.begin())).info.experiment_id).toBe("0");
    for (const call of ["delete", "update"])
      expect(
        await mlflow.refusal(`experiments/${call}`, { experiment_id: "0", new_name: "x" }),
      ).toContain("the runs without a group");
  });

  it("are searched by name, tag and time, in pages", async () => {
    for (const name of ["page-a", "page-b", "page-c"]) await mlflow.experiment(name);
    const find = async (more: Record<string, unknown>) => {
      const { experiments } = await mlflow.post("experiments/search", {
        max_results: 1000,
        ...more,
      });
      return experiments.map((one: { name: string }) => one.name);
    };
    expect(await find({ filter: "name = 'page-a'" })).toEqual(["page-a"]);
    expect(await find({ filter: "name LIKE 'page-%'", order_by: ["name DESC"] })).toEqual([
      "page-c",
      "page-b",
      "page-a",
    ]);
    expect(await find({ filter: "attribute.name ILIKE 'PAGE-A'" })).toEqual(["page-a"]);
    expect(await find({ filter: "name IN ('page-a', 'none')" })).toEqual(["page-a"]);
    expect(await find({ filter: "creation_time > 99999999999999" })).toEqual([]);
    expect(await find({ filter: "tags.team = 'x'" })).toEqual(["renamed"]);
    expect(await find({ view_type: "DELETED_ONLY" })).toEqual([]);
    const seen: string[] = [];
    let page_token: string | undefined;
    do {
      const page = await mlflow.post("experiments/search", {
        max_results: 2,
        filter: "name LIKE 'page-%'",
        page_token,
      });
      seen.push(...page.experiments.map((one: { name: string }) => one.name));
      page_token = page.next_page_token;
    } while (page_token);
    expect(seen).toEqual(["page-c", "page-b", "page-a"]);
  });

  it("refuses what MLflow refuses, in its words", async () => {
    const refused = (path: string, json: unknown, status?: number) =>
      mlflow.refusal(`experiments/${path}`, json, status);
    expect(await refused("create", {})).toContain("Missing value for required parameter 'name'.");
    expect(await refused("create", { name: "" })).toContain(
      "Missing value for required parameter 'name'.",
    );
    expect(await refused("create", { name: ["x"] })).toContain(
      `Invalid value ["x"] for parameter 'name' supplied`,
    );
    expect(await refused("create", { name: "x".repeat(600) })).toContain(
      "'name' exceeds the maximum length",
    );
    await mlflow.experiment("twice");
    expect(await refused("create", { name: "twice" })).toBe(
      "RESOURCE_ALREADY_EXISTS: Experiment(name=twice) already exists.",
    );
    expect(await refused("delete", { experiment_id: "77777" }, 404)).toBe(
      "RESOURCE_DOES_NOT_EXIST: No Experiment with id=77777 exists",
    );
    const missing = await mlflow.get("experiments/get-by-name", { experiment_name: "nope" }, 404);
    expect(missing.error_code).toBe("RESOURCE_DOES_NOT_EXIST");
  });

  it("of other people, or with their runs, only an admin changes", async () => {
    const id = await mlflow.experiment("shared");
    await stranger.begin(id);
    for (const [by, call] of [
      [stranger, "delete"],
      [mlflow, "delete"],
      [mlflow, "update"],
    ] as const)
      expect(
        await by.refusal(`experiments/${call}`, { experiment_id: id, new_name: "y" }, 403),
      ).toContain("PERMISSION_DENIED");
    await trackingOf(ledger, admin).post("experiments/delete", { experiment_id: id });
  });
});

describe("runs", () => {
  it("are tasks: name, state, times, tags", async () => {
    const parent = await mlflow.begin();
    const id = await mlflow.begin("0", {
      run_name: "named",
      user_id: "ann",
      start_time: 1_700_000_000_000,
      tags: [
        { key: "team", value: "x" },
        { key: "mlflow.note.content", value: "a note" },
        { key: "mlflow.source.git.commit", value: "abc123" },
        { key: "mlflow.source.name", value: "train.py" },
        { key: "mlflow.parentRunId", value: parent },
      ],
    });
    expect(await taskOf(id)).toMatchObject({
      task_name: "named",
      status: "running",
      notes: "a note",
      git_commit: "abc123",
      tags: { team: "x" },
      parent_task_id: Number(parent),
    });
    const run = await mlflow.run(id);
    expect(run.info).toEqual({
      run_id: id,
      run_uuid: id,
      run_name: "named",
      experiment_id: "0",
      user_id: "ann",
      status: "RUNNING",
      start_time: 1_700_000_000_000,
      artifact_uri: `mlflow-artifacts:/0/${id}/artifacts`,
      lifecycle_stage: "active",
    });
    expect(asObject(run.data.tags)).toEqual({
      team: "x",
      "mlflow.runName": "named",
      "mlflow.note.content": "a note",
      "mlflow.source.git.commit": "abc123",
      "mlflow.source.name": "train.py",
      "mlflow.parentRunId": parent,
    });
    const { run_info } = await mlflow.post("runs/update", {
      run_id: id,
      status: "FINISHED",
      end_time: 1_700_000_060_000,
      run_name: "renamed",
    });
    expect(run_info).toMatchObject({
      status: "FINISHED",
      end_time: 1_700_000_060_000,
      run_name: "renamed",
    });
    expect(await taskOf(id)).toMatchObject({ status: "success", task_name: "renamed" });
  });

  it("get a name where none is given, and refuse two", async () => {
    expect((await mlflow.run(await mlflow.begin())).info.run_name).toMatch(/^[a-z]+-[a-z]+-\d+$/);
    expect(
      await mlflow.refusal("runs/create", {
        run_name: "a",
        tags: [{ key: "mlflow.runName", value: "b" }],
      }),
    ).toContain("with different values");
  });

  it.each([
    ["FAILED", "failed"],
    ["KILLED", "cancelled"],
  ])("that ended as %s go on as the next attempt", async (status, ours) => {
    const run_id = await mlflow.begin();
    await mlflow.log(run_id, "loss", 3, 1);
    await mlflow.post("runs/update", { run_id, status, end_time: Date.now() });
    expect((await taskOf(run_id)).status).toBe(ours);
    await mlflow.post("runs/update", { run_id, status: "RUNNING" });
    expect(await taskOf(run_id)).toMatchObject({ status: "running", attempt: 2 });
    await mlflow.log(run_id, "loss", 2, 2);
    const { metrics } = await mlflow.get("metrics/get-history", { run_id, metric_key: "loss" });
    expect(metrics.map((one: { value: number }) => one.value)).toEqual([3, 2]);
    await mlflow.post("runs/update", { run_id, status: "FINISHED" });
    expect((await taskOf(run_id)).status).toBe("success");
  });

  it("that succeeded take points all the same, and end again", async () => {
    const run_id = await mlflow.begin();
    await mlflow.post("runs/update", { run_id, status: "FINISHED" });
    const again = await mlflow.post("runs/update", { run_id, status: "RUNNING" });
    expect(again.run_info.status).toBe("RUNNING");
    expect(again.run_info).not.toHaveProperty("end_time");
    await mlflow.log(run_id, "loss", 2, 2);
    expect((await mlflow.run(run_id)).data.metrics).toMatchObject([{ key: "loss", value: 2 }]);
    const { run_info } = await mlflow.post("runs/update", { run_id, status: "FAILED" });
    expect(run_info.status).toBe("FAILED");
    expect((await taskOf(run_id)).status).toBe("success");
    expect((await mlflow.search(["0"], { filter: "status = 'FAILED'" })).runs).toHaveLength(1);
    await mlflow.post("runs/update", { run_id, status: "FINISHED" });
    expect((await mlflow.run(run_id)).info.status).toBe("FINISHED");
  });

  it("are deleted while they run, and restored as they were", async () => {
    const id = await mlflow.experiment("deleting");
    const run_id = await mlflow.begin(id);
    await mlflow.log(run_id, "loss", 1);
    await mlflow.post("runs/delete", { run_id });
    await mlflow.post("runs/delete", { run_id });
    const inactive = `The run ${run_id} must be in the 'active' state. Current state is deleted.`;
    expect(await mlflow.refusal("runs/log-metric", { run_id, key: "loss", value: 1 })).toContain(
      inactive,
    );
    expect(await mlflow.refusal("runs/set-tag", { run_id, key: "a", value: "b" })).toContain(
      inactive,
    );
    const views = async () =>
      Promise.all(
        ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"].map(
          async (run_view_type) => (await mlflow.search([id], { run_view_type })).runs.length,
        ),
      );
    expect(await views()).toEqual([0, 1, 1]);
    await mlflow.post("runs/restore", { run_id });
    expect(await views()).toEqual([1, 0, 1]);
    const run = await mlflow.run(run_id);
    expect(run.info.status).toBe("RUNNING");
    expect(asObject(run.data.metrics)).toEqual({ loss: 1 });
    await mlflow.log(run_id, "loss", 2, 1);
    await mlflow.post("runs/update", { run_id, status: "FINISHED" });
    expect((await mlflow.run(run_id)).info.status).toBe("FINISHED");
  });

  it("of our own API are shown with their columns, settings, points and state", async () => {
    const json = {
      task_name: "ours",
      lora_rank: 8,
      learning_rate: 1e-4,
      tags: { kind: "style" },
      config: { text: 'network_module = "networks.lora"\n[deep]\nvalue = true\n', path: "a.toml" },
    };
    const { task_id } = await ledger.call("/api/tasks", { key, json });
    const logs = [{ step: 1, time: "2026-05-01T10:00:00Z", metrics: { loss: 0.5 } }];
    await ledger.call(`/api/tasks/${task_id}/heartbeat`, { key, json: { seq: 1, logs } });
    const run_id = String(task_id).padStart(32, "0");
    const run = await mlflow.run(run_id);
    expect(run.info.status).toBe("RUNNING");
    expect(asObject(run.data.params)).toMatchObject({
      lora_rank: "8",
      learning_rate: "0.0001",
      network_module: "networks.lora",
      "deep.value": "true",
    });
    expect(run.data.metrics).toEqual([
      { key: "loss", value: 0.5, timestamp: Date.parse("2026-05-01T10:00:00Z"), step: 1 },
    ]);
    const { runs } = await mlflow.search([run.info.experiment_id], {
      filter: "params.lora_rank = '8' and params.`deep.value` = 'true' and tags.kind = 'style'",
    });
    expect(runs).toHaveLength(1);
    // What MLflow's client says of it comes beside its own settings.
    await mlflow.post("runs/log-parameter", { run_id, key: "network_module", value: "other" });
    expect(asObject((await mlflow.run(run_id)).data.params).network_module).toBe("other");
    expect((await taskOf(run_id)).config_snapshot.network_module).toBe("networks.lora");
    await mlflow.log(run_id, "loss", 0.25, 2);
    await ledger.call(`/api/tasks/${task_id}/heartbeat`, { key, json: { seq: 2, logs: [] } });
  });
});

describe("params", () => {
  it("are settings and fill the columns of a known trainer's arguments", async () => {
    const run_id = await mlflow.begin();
    const params = {
      per_device_train_batch_size: "4",
      num_train_epochs: "3.0",
      max_steps: "-1",
      learning_rate: "0.0002",
      lr_scheduler_type: "cosine",
      optim: "adamw_torch",
      seed: "7",
      bf16: "True",
      _name_or_path: "meta-llama/Llama-3.1-8B",
      peft_config:
        "{'default': LoraConfig(task_type='CAUSAL_LM', peft_type=<PeftType.LORA: 'LORA'>, r=16, lora_alpha=32, lora_dropout=0.05, use_dora=False)}",
      "a.b/c d": "odd",
    };
    const list = Object.entries(params).map(([name, value]) => ({ key: name, value }));
    await mlflow.post("runs/log-batch", { run_id, params: list });
    await mlflow.post("runs/log-batch", { run_id, params: list });
    const task = await taskOf(run_id);
    expect(task).toMatchObject({
      batch_size: 4,
      epochs: 3,
      max_steps: null,
      learning_rate: 0.0002,
      scheduler: "cosine",
      optimizer: "adamw_torch",
      seed: 7,
      mixed_precision: "bf16",
      base_model_path: "meta-llama/Llama-3.1-8B",
      lora_rank: 16,
      lora_alpha: 32,
      dropout: 0.05,
      model_type: "llm",
      trainer: "transformers",
      network_algo: "lora",
      config_snapshot: params,
    });
    expect(asObject((await mlflow.run(run_id)).data.params)).toEqual(params);
    const filter = encodeURIComponent(`config."a.b/c d" = 'odd' and lora_rank = 16`);
    const { items } = await ledger.call(`/api/tasks?filter=${filter}`, { key });
    expect(items).toHaveLength(1);
  });

  it("of PEFT alone are read, and a column that a person set stays", async () => {
    const run_id = await mlflow.begin();
    const patch = { method: "PATCH", key, json: { lora_alpha: 5 } };
    await ledger.call(`/api/tasks/${Number(run_id)}`, patch);
    const params = { r: "8", lora_alpha: "16", peft_type: "PeftType.LORA", lr: "None" };
    for (const [name, value] of Object.entries(params))
      await mlflow.post("runs/log-batch", { run_id, params: [{ key: name, value }] });
    expect(await taskOf(run_id)).toMatchObject({ lora_alpha: 5, learning_rate: null });
    const together = await mlflow.begin();
    const list = Object.entries(params).map(([name, value]) => ({ key: name, value }));
    await mlflow.post("runs/log-batch", { run_id: together, params: list });
    expect(await taskOf(together)).toMatchObject({ lora_rank: 8, lora_alpha: 16, trainer: "peft" });
  });

  it("never change, and a refused batch changes nothing", async () => {
    const run_id = await mlflow.begin();
    await mlflow.post("runs/log-parameter", { run_id, key: "lr", value: "1" });
    await mlflow.post("runs/log-parameter", { run_id, key: "lr", value: "1" });
    expect(await mlflow.refusal("runs/log-parameter", { run_id, key: "lr", value: "2" })).toBe(
      `INVALID_PARAMETER_VALUE: Changing param values is not allowed. Param with key='lr' was already logged with value='1' for run ID='${run_id}'. Attempted logging new value '2'.`,
    );
    expect(
      await mlflow.refusal("runs/log-batch", {
        run_id,
        params: [
          { key: "lr", value: "3" },
          { key: "new", value: "1" },
        ],
        metrics: [{ key: "loss", value: 1, step: 0, timestamp: 1 }],
      }),
    ).toContain("Params were already logged='[{'key': 'lr', 'old_value': '1', 'new_value': '3'}]'");
    expect(
      await mlflow.refusal("runs/log-batch", {
        run_id,
        params: [
          { key: "twice", value: "1" },
          { key: "twice", value: "2" },
        ],
      }),
    ).toContain("Duplicate parameter keys have been submitted: ['twice']");
    const { data } = await mlflow.run(run_id);
    expect(asObject(data.params)).toEqual({ lr: "1" });
    expect(data.metrics).toEqual([]);
  });

  it("may be 10,000, each as it was logged", async () => {
    const run_id = await mlflow.begin();
    const all: Record<string, string> = {};
    const began = Date.now();
    for (let batch = 0; batch < 100; batch++) {
      const params = Array.from({ length: 100 }, (_, n) => ({
        key: `layer.${batch}.block/${n}`,
        value: `value ${batch * n}`,
      }));
      for (const one of params) all[one.key] = one.value;
      await mlflow.post("runs/log-batch", { run_id, params });
    }
    expect(Date.now() - began).toBeLessThan(60_000);
    expect(asObject((await mlflow.run(run_id)).data.params)).toEqual(all);
    expect(
      await mlflow.refusal("runs/log-parameter", { run_id, key: "layer.99.block/7", value: "x" }),
    ).toContain("already logged with value='value 693'");
    const { runs } = await mlflow.search(["0"], {
      filter: "params.`layer.99.block/7` = 'value 693' and params.`layer.0.block/1` = 'value 0'",
    });
    expect(runs).toHaveLength(1);
  }, 120_000);

  it("hold no secrets, and are cut at MLflow's length", async () => {
    const run_id = await mlflow.begin();
    await mlflow.post("runs/log-batch", {
      run_id,
      params: [
        { key: "hf_token", value: `hf_${"Ab1".repeat(12)}` },
        { key: "long", value: "x".repeat(7000) },
      ],
      tags: [{ key: "long", value: "y".repeat(9000) }],
    });
    const { data } = await mlflow.run(run_id);
    expect(asObject(data.params)).toEqual({ hf_token: "[redacted]", long: "x".repeat(6000) });
    expect(asObject(data.tags).long).toBe("y".repeat(8000));
  });
});

describe("tags", () => {
  it("are set, replaced and taken away, and more than a column holds are kept too", async () => {
    const run_id = await mlflow.begin();
    const tags = Array.from({ length: 100 }, (_, n) => ({ key: `tag-${n}`, value: `${n}` }));
    await mlflow.post("runs/log-batch", { run_id, tags });
    await mlflow.post("runs/set-tag", { run_id, key: "one.more", value: "z" });
    await mlflow.post("runs/set-tag", { run_id, key: "tag-1", value: "x".repeat(2000) });
    await mlflow.post("runs/set-tag", { run_id, key: "mlflow.custom", value: "own" });
    await mlflow.post("runs/set-tag", { run_id, key: "mlflow.runName", value: "by tag" });
    await mlflow.post("runs/delete-tag", { run_id, key: "tag-2" });
    const read = asObject((await mlflow.run(run_id)).data.tags);
    expect(read).toMatchObject({
      "tag-0": "0",
      "tag-1": "x".repeat(2000),
      "one.more": "z",
      "mlflow.custom": "own",
      "mlflow.runName": "by tag",
    });
    expect(read).not.toHaveProperty("tag-2");
    const task = await taskOf(run_id);
    expect(task.task_name).toBe("by tag");
    expect(Object.keys(task.tags)).toHaveLength(98);
    expect(await mlflow.refusal("runs/delete-tag", { run_id, key: "nope" }, 404)).toBe(
      `RESOURCE_DOES_NOT_EXIST: No tag with name: nope in run with id ${run_id}`,
    );
    const { items } = await ledger.call(`/api/tasks?q=${encodeURIComponent('"by tag"')}`, { key });
    expect(items).toHaveLength(1);
  });
});

describe("metrics", () => {
  it("keep every value with its time, in MLflow's spelling, and the same batch counts once", async () => {
    const run_id = await mlflow.begin();
    const at = (value: unknown, timestamp: number, step = 0) => ({
      key: "loss",
      value,
      timestamp,
      step,
    });
    const metrics = [
      at(1, 100),
      at(2, 101),
      at("NaN", 102),
      at("Infinity", 103, 1),
      at("-Infinity", 104, 1),
      at(3, 105, 2),
      at(3, 105, 2),
      at(4, 105, 2),
    ];
    for (let twice = 0; twice < 2; twice++)
      await mlflow.post("runs/log-batch", { run_id, metrics });
    const { metrics: history } = await mlflow.get("metrics/get-history", {
      run_id,
      metric_key: "loss",
    });
    expect(history).toEqual(metrics.filter((_, n) => n !== 6));
    expect(asObject((await mlflow.run(run_id)).data.metrics)).toEqual({ loss: 4 });
  });

  it("have as the last value that of the highest step, there the latest, there the greatest", async () => {
    const run_id = await mlflow.begin();
    const last = async () => asObject((await mlflow.run(run_id)).data.metrics).x;
    for (const [value, timestamp, step, expected] of [
      [5, 100, 1, 5],
      [4, 200, 1, 4],
      [9, 150, 1, 4],
      [6, 200, 1, 6],
      [3, 200, 1, 6],
      [1, 50, 2, 1],
      [8, 900, 1, 1],
    ] as const) {
      await mlflow.log(run_id, "x", value, step, timestamp);
      expect(await last(), `${value} at ${timestamp}`).toBe(expected);
    }
    const filter = "metrics.x = 1";
    const { runs } = await mlflow.search(["0"], { filter });
    expect(runs.map((run: { info: { run_id: string } }) => run.info.run_id)).toEqual([run_id]);
  });

  it("come in pages, also out of order and over many batches", async () => {
    const run_id = await mlflow.begin();
    for (const batch of [2, 0, 1])
      await mlflow.post("runs/log-batch", {
        run_id,
        metrics: Array.from({ length: 1000 }, (_, n) => ({
          key: n % 2 ? "a" : "b",
          value: batch * 1000 + n,
          timestamp: 1000 + batch * 1000 + n,
          step: batch * 1000 + n,
        })),
      });
    const values = new Set<number>();
    let page_token: string | undefined;
    let pages = 0;
    do {
      const page = await mlflow.get("metrics/get-history", {
        run_id,
        metric_key: "a",
        max_results: "400",
        ...(page_token && { page_token }),
      });
      for (const one of page.metrics) values.add(one.value);
      page_token = page.next_page_token;
      pages++;
    } while (page_token);
    expect(pages).toBe(4);
    expect(values.size).toBe(1500);
    expect(asObject((await mlflow.run(run_id)).data.metrics)).toEqual({ a: 2999, b: 2998 });
    const bulk = await mlflow.get("metrics/get-history-bulk", {
      run_id: [run_id],
      metric_key: "b",
    });
    expect(bulk.metrics).toHaveLength(1500);
    expect(bulk.metrics[0]).toEqual({ key: "b", value: 0, timestamp: 1000, step: 0, run_id });
    const sampled = await ledger.call(
      `/mlflow/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=${run_id}&metric_key=b&max_results=10&start_step=100&end_step=2000`,
      { key },
    );
    expect(sampled.metrics).toHaveLength(10);
    expect(sampled.metrics[0]).toMatchObject({ step: 100, run_id });
    expect(sampled.metrics[9]).toMatchObject({ step: 2000 });
  });

  it("refuse what MLflow refuses, and steps that the ledger cannot keep", async () => {
    const run_id = await mlflow.begin();
    const refused = (more: object) =>
      mlflow.refusal("runs/log-metric", { run_id, key: "loss", value: 1, ...more });
    expect(await refused({ key: "a".repeat(251) })).toContain("exceeds the maximum length of 250");
    expect(await refused({ key: "a#b" })).toContain("Names may only contain alphanumerics");
    expect(await refused({ key: "../x" })).toContain("must not resolve to other names");
    expect(await refused({ value: "one" })).toContain("Invalid value one for parameter 'value'");
    expect(await refused({ step: "x" })).toContain("Invalid value x for parameter 'step'");
    expect(await refused({ step: -1 })).toContain("the ledger keeps steps from 0");
    expect(await refused({ run_id: 31 })).toContain(
      "Invalid value 31 for parameter 'run_id' supplied",
    );
    expect(await refused({ run_id: undefined })).toContain(
      "Missing value for required parameter 'run_id'.",
    );
    const many = (what: string, count: number) =>
      mlflow.refusal("runs/log-batch", {
        run_id,
        [what]: Array.from({ length: count }, (_, n) => ({ key: `k${n}`, value: 1, step: n })),
      });
    expect(await many("metrics", 1001)).toContain("at most 1000 metrics. Got 1001");
    expect(await many("params", 101)).toContain("at most 100 params");
    expect(await many("tags", 101)).toContain("at most 100 tags");
    await mlflow.post("runs/log-metric", {
      run_uuid: run_id,
      key: "x",
      value: "1.5",
      step: "3",
      timestamp: "7",
      later: { field: 1 },
    });
    const { metrics } = (await mlflow.run(run_id)).data;
    expect(metrics).toEqual([{ key: "x", value: 1.5, timestamp: 7, step: 3 }]);
  });
});

describe("inputs", () => {
  it("are kept once with their tags, and as facts about data", async () => {
    const run_id = await mlflow.begin();
    const dataset = { name: "faces", digest: "abc", source_type: "local", source: "{}" };
    const tags = [{ key: "mlflow.data.context", value: "training" }];
    for (let twice = 0; twice < 2; twice++)
      await mlflow.post("runs/log-inputs", { run_id, datasets: [{ tags, dataset }] });
    const { inputs } = await mlflow.run(run_id);
    expect(inputs).toEqual({ dataset_inputs: [{ tags, dataset }] });
    const { datasets } = await ledger.call(`/api/tasks/${Number(run_id)}/reproduce`, { key });
    expect(datasets).toMatchObject([{ name: "faces", content_hash: "mlflow:abc" }]);
  });
});

describe("a run that the ledger's own client records too", () => {
  it("is one task, with its own settings, and its nested runs are their own", async () => {
    const json = { task_name: "trained", config: { text: "a = 1\n", path: "x.toml" } };
    const { task_id } = await ledger.call("/api/tasks", { key, json });
    const joined = trackingOf(ledger, `${key}.run${task_id}`);
    const experiment_id = await joined.experiment("joined");
    const run_id = await joined.begin(experiment_id, {
      run_name: "by the trainer",
      tags: [{ key: "kind", value: "x" }],
    });
    expect(Number(run_id)).toBe(task_id);
    await joined.post("runs/log-parameter", { run_id, key: "b", value: "2" });
    expect(await joined.begin(experiment_id)).toBe(run_id);
    const nested = await joined.begin(experiment_id, {
      tags: [{ key: "mlflow.parentRunId", value: run_id }],
    });
    expect(nested).not.toBe(run_id);
    expect(await taskOf(run_id)).toMatchObject({
      task_name: "trained",
      experiment_group: "joined",
      tags: { kind: "x" },
      config_snapshot: { a: 1 },
    });
    expect(asObject((await joined.run(run_id)).data.params)).toMatchObject({ a: "1", b: "2" });
    // The trainer's client ends before the ledger's own, which alone knows how the run ended.
    const { run_info } = await joined.post("runs/update", { run_id, status: "FINISHED" });
    expect(run_info.status).toBe("RUNNING");
    expect(await taskOf(run_id)).toMatchObject({ status: "running" });
    await ledger.call(`/api/tasks/${task_id}/finish`, { key, json: { status: "failed" } });
    expect((await joined.run(run_id)).info.status).toBe("FAILED");
    const theirs = trackingOf(ledger, `${(await ledger.key()).key}.run${task_id}`);
    expect(await theirs.refusal("runs/create", { experiment_id }, 403)).toContain(
      "PERMISSION_DENIED",
    );
  });
});

it("leads a browser from the address that the client prints to the pages", async () => {
  for (const path of ["/mlflow", "/mlflow/"]) {
    const answer = await ledger.request(path, { redirect: "manual" });
    expect([path, answer.status, answer.headers.get("Location")]).toEqual([path, 302, "/runs"]);
  }
});

describe("rights", () => {
  it("let others read and not write", async () => {
    const run_id = await mlflow.begin();
    expect((await stranger.run(run_id)).info.run_id).toBe(run_id);
    const calls: [string, object][] = [
      ["log-metric", { key: "a", value: 1 }],
      ["log-parameter", { key: "a", value: "1" }],
      ["log-batch", { tags: [{ key: "a", value: "1" }] }],
      ["set-tag", { key: "a", value: "1" }],
      ["delete-tag", { key: "a" }],
      ["log-inputs", { datasets: [] }],
      ["update", { status: "FINISHED" }],
      ["delete", {}],
      ["restore", {}],
    ];
    for (const [call, more] of calls)
      expect(await stranger.refusal(`runs/${call}`, { run_id, ...more }, 403), call).toContain(
        "PERMISSION_DENIED",
      );
    const viewer = trackingOf(ledger, (await ledger.key({ role: "viewer" })).key);
    expect(await viewer.refusal("runs/create", { experiment_id: "0" }, 403)).toContain(
      "PERMISSION_DENIED",
    );
    expect((await viewer.run(run_id)).info.status).toBe("RUNNING");
  });

  it("let a box do all of it for its own runs, and see no others", async () => {
    const box = trackingOf(ledger, (await ledger.box(admin)).key);
    const experiment_id = await box.experiment("of a box");
    const run_id = await box.begin(experiment_id);
    await box.log(run_id, "loss", 1);
    await box.post("runs/log-parameter", { run_id, key: "a", value: "1" });
    await box.post("runs/set-tag", { run_id, key: "t", value: "1" });
    await box.post("runs/update", { run_id, status: "FINISHED" });
    expect((await box.run(run_id)).info.status).toBe("FINISHED");
    const other = await mlflow.begin(experiment_id);
    expect((await box.search([experiment_id], { run_view_type: "ALL" })).runs).toHaveLength(1);
    for (const call of ["log-metric", "log-parameter", "set-tag"])
      expect(
        await box.refusal(`runs/${call}`, { run_id: other, key: "a", value: "1" }, 404),
      ).toContain("RESOURCE_DOES_NOT_EXIST");
    await box.get("runs/get", { run_id: other }, 404);
    await box.get("metrics/get-history", { run_id: other, metric_key: "loss" }, 404);
    await box.post("runs/delete", { run_id }, 403);
  });

  it("answer wrong keys and unknown calls in MLflow's form", async () => {
    for (const headers of [
      new Headers(),
      { Authorization: "Bearer no" },
      { Authorization: "Basic eDp5" },
    ]) {
      const response = await ledger.request("/mlflow/api/2.0/mlflow/experiments/get", { headers });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error_code: "UNAUTHENTICATED" });
    }
    const basic = { Authorization: `Basic ${btoa(`any:${key}`)}` };
    const path = "/mlflow/api/2.0/mlflow/experiments/get?experiment_id=0";
    expect((await ledger.request(path, { headers: basic })).status).toBe(200);
    expect(await mlflow.post("runs/unknown", {}, 404)).toMatchObject({
      error_code: "ENDPOINT_NOT_FOUND",
    });
    for (const body of ["{", "[]", '{"a":'])
      expect(
        (await ledger.request("/mlflow/api/2.0/mlflow/runs/create", { key, method: "POST", body }))
          .status,
      ).toBe(400);
    for (const id of ["zz", "0".repeat(32), "9".repeat(32), "9".repeat(15)])
      expect(await mlflow.get("runs/get", { run_id: id }, 404)).toEqual({
        error_code: "RESOURCE_DOES_NOT_EXIST",
        message: `Run with id=${id} not found`,
      });
  });
});

it("keeps a log call within a heartbeat's budget, however much is there", async () => {
  const run_id = await mlflow.begin();
  const log = async (step: number) => {
    const response = await ledger.request("/mlflow/api/2.0/mlflow/runs/log-batch", {
      key,
      json: {
        run_id,
        metrics: Array.from({ length: 10 }, (_, n) => ({
          key: `m${n}`,
          value: step,
          timestamp: 1000 + step,
          step,
        })),
      },
    });
    expect(await response.text()).toBe("{}");
    expect(response.status).toBe(200);
    return costOf(response);
  };
  for (let step = 1; step <= 60; step++) {
    const cost = await log(step);
    expect(cost.trips, "round trips").toBe(1);
    expect(cost.read, "rows read").toBeLessThanOrEqual(12);
    expect(cost.written, "rows written").toBeLessThanOrEqual(5);
  }
  expect((await log(60)).trips).toBeLessThanOrEqual(4);
});
