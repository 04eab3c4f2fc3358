import { expect, it } from "vitest";
import { freshLedger } from "../../../test/harness.ts";
import { runIdOf } from "./form.ts";

const BASE = "/mlflow/api/2.0/mlflow";
const FILES = "/mlflow/api/2.0/mlflow-artifacts";

/** A run, and calls about its logged models. */
async function start() {
  const ledger = await freshLedger();
  const { key } = await ledger.key();
  const { task_id } = await ledger.call("/api/tasks", {
    key,
    json: { task_name: "a", model_type: "llm", experiment_group: "g" },
  });
  const run = runIdOf(task_id);
  const make = async (more: object = {}, by = key) =>
    (
      await ledger.call(`${BASE}/logged-models`, {
        key: by,
        json: { experiment_id: "1", name: "m", source_run_id: run, ...more },
      })
    ).model;
  const search = async (filter?: string, more: object = {}) =>
    (await ledger.call(`${BASE}/logged-models/search`, {
      key,
      json: { experiment_ids: ["1"], ...(filter && { filter }), ...more },
    })) as { models: { info: { name: string; model_id: string } }[]; next_page_token?: string };
  const names = async (filter?: string, more: object = {}) =>
    (await search(filter, more)).models.map(({ info }) => info.name);
  return { ledger, key, run, task: Number(task_id), make, search, names };
}

it("keeps a model with its files below its run, and finalises it", async () => {
  const { ledger, key, run, task, make } = await start();
  const { info, data } = await make({
    model_type: "peft",
    params: [{ key: "r", value: "8" }],
    tags: [{ key: "a.b", value: "c" }],
  });
  expect(info).toMatchObject({
    model_id: expect.stringMatching(/^m-[0-9a-f]{32}$/),
    experiment_id: "1",
    source_run_id: run,
    status: "LOGGED_MODEL_PENDING",
    model_type: "peft",
    tags: [{ key: "a.b", value: "c" }],
    artifact_uri: `mlflow-artifacts:/1/models/${info.model_id}/artifacts`,
  });
  expect(data.params).toEqual([{ key: "r", value: "8" }]);
  const put = await ledger.request(
    `${FILES}/artifacts/1/models/${info.model_id}/artifacts/d/MLmodel`,
    { key, method: "PUT", body: "flavors: {}", headers: { "Content-Length": "11" } },
  );
  expect(put.status).toBe(200);
  const [file] = (await ledger.call(`/api/weights?task_id=${task}`, { key })).items;
  expect(file.filename).toBe(`models/${info.model_id}/d/MLmodel`);
  const at = `${BASE}/logged-models/${info.model_id}`;
  expect(await ledger.call(`${at}/artifacts/directories`, { key })).toMatchObject({
    files: [{ path: "d", is_dir: true }],
  });
  expect(
    await ledger.call(`${at}/artifacts/directories?artifact_directory_path=d`, { key }),
  ).toMatchObject({ files: [{ path: "d/MLmodel", is_dir: false, file_size: 11 }] });
  const ready = await ledger.call(at, {
    key,
    method: "PATCH",
    json: { status: "LOGGED_MODEL_READY" },
  });
  expect(ready.model.info.status).toBe("LOGGED_MODEL_READY");
  await ledger.call(`${BASE}/runs/outputs`, {
    key,
    json: { run_id: run, models: [{ model_id: info.model_id, step: 3 }] },
  });
  await ledger.call(`${BASE}/runs/outputs`, {
    key,
    json: { run_id: run, models: [{ model_id: info.model_id, step: "3" }] },
  });
  const { rows } = await ledger.db.run(
    "select record ->> '$.outputs' as outputs from logged_model",
  );
  expect(JSON.parse(String(rows[0]?.outputs))).toEqual([{ task, step: 3 }]);
});

it("changes tags and params, and deletes the model but no file", async () => {
  const { ledger, key, make } = await start();
  const { info } = await make({ tags: [{ key: "a", value: "1" }] });
  const at = `${BASE}/logged-models/${info.model_id}`;
  const patched = await ledger.call(`${at}/tags`, {
    key,
    method: "PATCH",
    json: { tags: [{ key: "x.y", value: "2" }] },
  });
  expect(patched.model.info.tags).toEqual([
    { key: "a", value: "1" },
    { key: "x.y", value: "2" },
  ]);
  await ledger.call(`${at}/tags/x.y`, { key, method: "DELETE" });
  await ledger.call(`${at}/params`, { key, json: { params: [{ key: "p", value: "q" }] } });
  const { model } = await ledger.call(at, { key });
  expect(model.info.tags).toEqual([{ key: "a", value: "1" }]);
  expect(model.data.params).toEqual([{ key: "p", value: "q" }]);
  await ledger.call(at, { key, method: "DELETE" });
  expect(await ledger.call(at, { key }, 404)).toMatchObject({
    error_code: "RESOURCE_DOES_NOT_EXIST",
  });
  await ledger.call(at, { key, method: "PATCH", json: { status: "LOGGED_MODEL_READY" } }, 404);
});

it("searches with filters, order and pages", async () => {
  const { make, names, search, run } = await start();
  for (const [name, value] of [
    ["Alpha", "1"],
    ["beta", "2"],
    ["gamma", "3"],
  ])
    await make({
      name,
      model_type: "t",
      tags: [{ key: "n o", value }],
      params: [{ key: "p", value }],
    });
  const by = { order_by: [{ field_name: "name" }] };
  expect(await names(undefined, by)).toEqual(["Alpha", "beta", "gamma"]);
  expect(await names()).toEqual(["gamma", "beta", "Alpha"]);
  expect(await names("name = 'beta'")).toEqual(["beta"]);
  expect(await names("name LIKE 'a%'")).toEqual([]);
  expect(await names("name ILIKE 'a%'")).toEqual(["Alpha"]);
  expect(await names("tags.`n o` != '1' and params.p IN ('1', '3')")).toEqual(["gamma"]);
  expect(
    await names(`source_run_id = '${run}' AND model_type='t' AND name NOT IN ('beta')`, by),
  ).toEqual(["Alpha", "gamma"]);
  expect(await names("creation_timestamp > 1 AND last_updated_timestamp < 1")).toEqual([]);
  expect(await names(undefined, { experiment_ids: ["0"] })).toEqual([]);
  const first = await search(undefined, { max_results: 2, ...by });
  expect(first.models).toHaveLength(2);
  const second = await search(undefined, {
    max_results: 2,
    ...by,
    page_token: first.next_page_token,
  });
  expect(second.models.map(({ info }) => info.name)).toEqual(["gamma"]);
  expect(second.next_page_token).toBeUndefined();
});

it.each([
  "name",
  "name = beta",
  "name = 'a' OR name = 'b'",
  "name = 'a' AND",
  "nothing = 'a'",
  "name > 'a'",
  "creation_timestamp = 'x'",
  "name IN 'a'",
  "name LIKE '%a%a%a%a%a%a%a%a%'",
  "metrics.loss < 1",
])("refuses the filter %j in MLflow's form", async (filter) => {
  const { ledger, key } = await start();
  const answer = await ledger.call(
    `${BASE}/logged-models/search`,
    { key, json: { experiment_ids: ["1"], filter } },
    400,
  );
  expect(answer.error_code).toBe("INVALID_PARAMETER_VALUE");
});

it("refuses models without a run, of others' runs and for boxes of other runs", async () => {
  const { ledger, key, run, make } = await start();
  const { info } = await make();
  const ask = (by: string, json: object, status: number) =>
    ledger.call(`${BASE}/logged-models`, { key: by, json }, status);
  expect((await ask(key, { name: "m" }, 400)).message).toContain("start_run");
  await ask(key, { name: "m", source_run_id: "abc" }, 404);
  const other = await ledger.key();
  await ask(other.key, { name: "m", source_run_id: run }, 404);
  const viewer = await ledger.key({ role: "viewer" });
  await ask(viewer.key, { name: "m", source_run_id: run }, 403);
  await ledger.call(`${BASE}/logged-models/${info.model_id}`, { key: viewer.key });
  await ledger.call(
    `${BASE}/logged-models/${info.model_id}`,
    { key: other.key, method: "DELETE" },
    404,
  );
  const box = await ledger.box(other.key);
  await ledger.call(`${BASE}/logged-models/${info.model_id}`, { key: box.key }, 404);
  const own = await ledger.call("/api/tasks", {
    key: box.key,
    json: { task_name: "b", model_type: "llm" },
  });
  const made = await ledger.call(`${BASE}/logged-models`, {
    key: box.key,
    json: { name: "m", source_run_id: runIdOf(own.task_id) },
  });
  expect(made.model.info.experiment_id).toBe("0");
  expect((await ledger.request(`${BASE}/logged-models/x`)).status).toBe(401);
});
