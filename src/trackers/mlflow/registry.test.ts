import { beforeAll, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../../test/harness.ts";
import { lora, upload } from "../../../test/uploads.ts";
import { runIdOf } from "./form.ts";

const BASE = "/mlflow/api/2.0/mlflow";
const FILES = "/mlflow/api/2.0/mlflow-artifacts";

let ledger: Ledger;
let anna: string;
let bert: string;
let carla: string;
let names = 0;

beforeAll(async () => {
  ledger = await freshLedger();
  anna = (await ledger.key()).key;
  bert = (await ledger.key({ scopes: ["models:read", "models:approve"] })).key;
  carla = (await ledger.key({ scopes: ["models:read", "models:write", "models:release"] })).key;
});

const call = (path: string, json?: object, status = 200, key = anna, method?: string) =>
  ledger.call(`${BASE}/${path}`, { key, ...(json && { json }), ...(method && { method }) }, status);

async function newModel(more: object = {}): Promise<string> {
  const name = `aki-${names++}`;
  await call("registered-models/create", { name, ...more });
  return name;
}

/** A run with an adapter's folder, as PEFT's flavour logs it. */
async function newFolder(): Promise<{
  run: string;
  task: number;
  put: (path: string, body: string | Uint8Array<ArrayBuffer>) => Promise<void>;
}> {
  const { task_id } = await ledger.call("/api/tasks", {
    key: anna,
    json: { task_name: "a", model_type: "llm" },
  });
  const run = runIdOf(task_id);
  const put = async (path: string, body: string | Uint8Array<ArrayBuffer>) => {
    const answer = await ledger.request(`${FILES}/artifacts/0/${run}/artifacts/${path}`, {
      key: anna,
      method: "PUT",
      body,
      headers: { "Content-Length": String(body.length) },
    });
    if (answer.status !== 200) throw new Error(await answer.text());
  };
  await put("model/MLmodel", `flavors: {} # ${run}`);
  await put("model/peft/adapter_model.safetensors", lora());
  await put("model/peft/adapter_config.json", "{}");
  return { run, task: task_id, put };
}

async function newVersion(name: string) {
  const folder = await newFolder();
  const { model_version } = await call("model-versions/create", {
    name,
    source: `runs:/${folder.run}/model`,
    run_id: folder.run,
  });
  return { ...folder, version: model_version.version as string };
}

async function approve(name: string, version: string, task: number) {
  await ledger.call(`/api/models/${name}`, {
    key: anna,
    method: "PATCH",
    json: { checks: { verified: "size", min_samples: 0, task_success: false, metrics: [] } },
  });
  await call("model-versions/transition-stage", {
    name,
    version,
    stage: "Staging",
    archive_existing_versions: false,
  });
  await ledger.call(`/api/models/${name}/versions/${version}/approve`, { key: bert, json: {} });
  return task;
}

const files = (name: string, version: string, path = "", key = anna) =>
  ledger.call(
    `${FILES}/artifacts?path=${encodeURIComponent(`registry/${name}/${version}/artifacts${path && `/${path}`}`)}`,
    { key },
  );

it("makes, shows, changes and tags models", async () => {
  const name = await newModel({ description: "d", tags: [{ key: "k", value: "v" }] });
  const { registered_model } = await call(`registered-models/get?name=${name}`);
  expect(registered_model).toMatchObject({
    name,
    description: "d",
    tags: [{ key: "k", value: "v" }],
    latest_versions: [],
    aliases: [],
  });
  expect((await call("registered-models/create", { name }, 400)).error_code).toBe(
    "RESOURCE_ALREADY_EXISTS",
  );
  await call("registered-models/update", { name, description: "e" }, 200, anna, "PATCH");
  await call("registered-models/set-tag", { name, key: "a.b", value: "c" });
  await call("registered-models/delete-tag", { name, key: "k" }, 200, anna, "DELETE");
  expect((await call(`registered-models/get?name=${name}`)).registered_model).toMatchObject({
    description: "e",
    tags: [{ key: "a.b", value: "c" }],
  });
  expect((await ledger.call(`/api/models/${name}`, { key: anna })).tags).toEqual({ "a.b": "c" });
  const other = (await ledger.key()).key;
  await call("registered-models/set-tag", { name, key: "x", value: "y" }, 404, other);
  expect((await call("registered-models/get?name=none", undefined, 404)).error_code).toBe(
    "RESOURCE_DOES_NOT_EXIST",
  );
  expect((await call("registered-models/get", undefined, 400)).message).toBe(
    "Missing value for required parameter 'name'.",
  );
  expect((await call("registered-models/create", { name: "a/b" }, 400)).message).toContain(
    "Latin letters",
  );
});

it("refuses to rename and to delete models, and says why", async () => {
  const name = await newModel();
  expect((await call("registered-models/rename", { name, new_name: "x" }, 400)).message).toContain(
    "cannot change",
  );
  const gone = await call("registered-models/delete", { name }, 400, anna, "DELETE");
  expect(gone).toMatchObject({
    error_code: "INVALID_STATE",
    message: expect.stringContaining("Archive"),
  });
});

it("searches models with the filter that clients always send", async () => {
  const name = await newModel({ tags: [{ key: "team", value: "Red" }] });
  const prompt = await newModel({ tags: [{ key: "mlflow.prompt.is_prompt", value: "true" }] });
  const search = async (filter: string, more = "") =>
    (
      await call(`registered-models/search?filter=${encodeURIComponent(filter)}${more}`)
    ).registered_models.map((m: { name: string }) => m.name);
  const always = "tag.`mlflow.prompt.is_prompt` != 'true'";
  expect(await search(`name = '${name}' AND ${always}`)).toEqual([name]);
  expect(await search(`name = '${prompt}' AND ${always}`)).toEqual([]);
  expect(await search("tags.team = 'Red'")).toEqual([name]);
  expect(await search("tags.team LIKE 'r%'")).toEqual([]);
  expect(await search("tags.team ILIKE 'r%'")).toEqual([name]);
  const page = await call("registered-models/search?max_results=1&order_by=name%20DESC");
  expect(page.registered_models).toHaveLength(1);
  const next = await call(
    `registered-models/search?max_results=1&order_by=name%20DESC&page_token=${page.next_page_token}`,
  );
  expect(next.registered_models[0].name < page.registered_models[0].name).toBe(true);
  await call(`registered-models/search?page_token=forged`, undefined, 400);
  await call(`registered-models/search?order_by=nothing`, undefined, 400);
  await call(
    `registered-models/search?filter=${encodeURIComponent("run_id = 'x'")}`,
    undefined,
    400,
  );
});

it("registers a folder: its weights are the version, and the whole folder comes back", async () => {
  const name = await newModel();
  const { run, task, version, put } = await newVersion(name);
  const { model_version } = await call(`model-versions/get?name=${name}&version=${version}`);
  expect(model_version).toMatchObject({
    name,
    version: "1",
    run_id: run,
    source: `runs:/${run}/model`,
    status: "READY",
    current_stage: "None",
    tags: [{ key: "ledger.state", value: "draft" }],
  });
  const ours = await ledger.call(`/api/models/${name}/versions/1`, { key: anna });
  expect(ours).toMatchObject({
    filename: "model/peft/adapter_model.safetensors",
    task_id: task,
    rank: 4,
  });
  const uri = (await call(`model-versions/get-download-uri?name=${name}&version=1`)).artifact_uri;
  expect(uri).toBe(`mlflow-artifacts:/registry/${name}/1/artifacts`);
  expect((await files(name, "1")).files.map((f: { path: string }) => f.path)).toEqual([
    "MLmodel",
    "peft",
  ]);
  // What is logged there later changes no version.
  await put("model/MLmodel", "another");
  await put("model/extra.txt", "more");
  expect((await files(name, "1")).files).toHaveLength(2);
  const got = await ledger.request(`${FILES}/artifacts/registry/${name}/1/artifacts/MLmodel`, {
    key: anna,
  });
  expect(await got.text()).toContain(run);
  const into = await ledger.request(`${FILES}/artifacts/registry/${name}/1/artifacts/MLmodel`, {
    key: anna,
    method: "PUT",
    body: "x",
    headers: { "Content-Length": "1" },
  });
  expect(into.status).toBe(400);
});

it("takes a registration that is repeated as the same, and refuses the same weights otherwise", async () => {
  const name = await newModel();
  const { run, put } = await newVersion(name);
  const again = await call("model-versions/create", {
    name,
    source: `runs:/${run}/model`,
    run_id: run,
  });
  expect(again.model_version.version).toBe("1");
  await put("model/extra.txt", "more");
  expect(
    (await call("model-versions/create", { name, source: `runs:/${run}/model` }, 409)).error_code,
  ).toBe("RESOURCE_CONFLICT");
});

it.each([
  ["runs:/RUN/nothing", "no file there"],
  ["s3://bucket/x", "files that it holds itself"],
  ["/tmp/x", "files that it holds itself"],
  ["runs:/RUN/only", "adapter_model.safetensors"],
  [undefined, "'source'"],
])("refuses the source %s", async (source, why) => {
  const name = await newModel();
  const { run, put } = await newFolder();
  await put("only/notes.txt", "x");
  const answer = await call(
    "model-versions/create",
    { name, source: source?.replace("RUN", run) },
    400,
  );
  expect(answer.message).toContain(why);
});

it("registers other forms of a source, and a folder without weights by its MLmodel", async () => {
  const { run, put } = await newFolder();
  await put("plain/MLmodel", "flavors: {python_function: {}}");
  await put("plain/python_model.pkl", "x");
  const made = async (source: string) =>
    (await call("model-versions/create", { name: await newModel(), source })).model_version;
  const plain = await made(`mlflow-artifacts:/0/${run}/artifacts/plain`);
  expect((await files(plain.name, "1")).files).toHaveLength(2);
  expect((await made(`mlflow-artifacts://host:5000/0/${run}/artifacts/model`)).version).toBe("1");
  expect(
    (
      await made(
        `http://ledger.test/mlflow/api/2.0/mlflow-artifacts/artifacts/0/${run}/artifacts/model`,
      )
    ).version,
  ).toBe("1");
  expect((await made(`runs:/${run}/model/peft/adapter_model.safetensors`)).version).toBe("1");
  const copy = await made(`models:/${plain.name}/1`);
  expect((await files(copy.name, "1")).files).toHaveLength(2);
  const logged = await call("logged-models", { name: "ck", source_run_id: run });
  const id = logged.model.info.model_id;
  await put(`models/${id}/adapter_model.safetensors`, lora());
  expect(await made(`models:/${id}`)).toMatchObject({ run_id: run });
  expect(await made(`runs:/${run}/ck`)).toMatchObject({ run_id: run });
});

it("never passes over an approval", async () => {
  const name = await newModel();
  const { version, task } = await newVersion(name);
  const stage = (wanted: string, status = 200, key = anna) =>
    call(
      "model-versions/transition-stage",
      { name, version, stage: wanted, archive_existing_versions: false },
      status,
      key,
    );
  const early = await stage("Production", 400, carla);
  expect(early).toMatchObject({
    error_code: "INVALID_STATE",
    message: expect.stringContaining("reviewer has approved"),
  });
  const alias = await call(
    "registered-models/alias",
    { name, alias: "production", version },
    400,
    carla,
  );
  expect(alias).toMatchObject({
    error_code: "INVALID_STATE",
    message: expect.stringContaining("reviewer has approved"),
  });
  await approve(name, version, task);
  const ready = await call(`model-versions/get?name=${name}&version=${version}`);
  expect(ready.model_version).toMatchObject({
    current_stage: "Staging",
    tags: [{ key: "ledger.state", value: "approved" }],
  });
  expect((await stage("Production", 403)).error_code).toBe("PERMISSION_DENIED");
  expect((await stage("Production", 200, carla)).model_version).toMatchObject({
    current_stage: "Production",
    aliases: ["production"],
  });
  expect((await stage("production", 200, carla)).model_version.current_stage).toBe("Production");
  await stage("Staging", 400, carla);
  await stage("None", 400, carla);
  await stage("Somewhere", 400);
  const gone = await call("model-versions/delete", { name, version }, 400, carla, "DELETE");
  expect(gone.message).toContain("archive it instead");
  expect(
    (await call("registered-models/get-latest-versions", { name })).model_versions,
  ).toMatchObject([{ version, current_stage: "Production" }]);
  expect(
    (await call("registered-models/get-latest-versions", { name, stages: ["Staging"] }))
      .model_versions,
  ).toEqual([]);
  await call("registered-models/get-latest-versions", { name, stages: ["No"] }, 400);
  expect((await stage("Archived", 200, carla)).model_version).toMatchObject({
    current_stage: "Archived",
    aliases: [],
  });
});

it("submits, withdraws and gives up by stages, and refuses to archive others by the way", async () => {
  const name = await newModel();
  const { version } = await newVersion(name);
  await ledger.call(`/api/models/${name}`, {
    key: anna,
    method: "PATCH",
    json: { checks: { verified: "size", min_samples: 0, task_success: false, metrics: [] } },
  });
  const stage = (wanted: string, status = 200, more = {}) =>
    call("model-versions/transition-stage", { name, version, stage: wanted, ...more }, status);
  await stage("Staging", 400, { archive_existing_versions: true });
  expect((await stage("Staging")).model_version.tags).toEqual([
    { key: "ledger.state", value: "in_review" },
  ]);
  await stage("Archived", 400);
  expect((await stage("None")).model_version.current_stage).toBe("None");
  await call("model-versions/delete", { name, version }, 200, anna, "DELETE");
  expect(
    (await call(`model-versions/get?name=${name}&version=${version}`, undefined, 404)).error_code,
  ).toBe("RESOURCE_DOES_NOT_EXIST");
  expect((await ledger.call(`/api/models/${name}/versions`, { key: anna })).items).toMatchObject([
    { version: 1, state: "retired" },
  ]);
});

it("sets, resolves and removes aliases", async () => {
  const name = await newModel();
  const { version } = await newVersion(name);
  await call("registered-models/alias", { name, alias: "Champion", version });
  expect(
    (await call(`registered-models/alias?name=${name}&alias=champion`)).model_version.version,
  ).toBe(version);
  expect((await call(`registered-models/get?name=${name}`)).registered_model.aliases).toEqual([
    { alias: "champion", version },
  ]);
  await call("registered-models/alias", { name, alias: "champion" }, 200, anna, "DELETE");
  await call("registered-models/alias", { name, alias: "champion" }, 200, anna, "DELETE");
  expect(
    (await call(`registered-models/alias?name=${name}&alias=champion`, undefined, 400)).message,
  ).toContain("not found");
  await call("registered-models/alias", { name, alias: "12", version }, 400);
  await call("registered-models/alias", { name, alias: "x", version: "9" }, 404);
  await call("registered-models/alias", { name, alias: "x", version: "no" }, 400);
});

it("tags and describes versions, and finds them", async () => {
  const name = await newModel();
  const { version, run } = await newVersion(name);
  await newVersion(name);
  const at = { name, version };
  await call("model-versions/set-tag", { ...at, key: "q", value: "good" });
  await call("model-versions/set-tag", { ...at, key: "gone", value: "x" });
  await call("model-versions/delete-tag", { ...at, key: "gone" }, 200, anna, "DELETE");
  await call("model-versions/set-tag", { ...at, key: "ledger.state", value: "approved" }, 400);
  await call("model-versions/update", { ...at, description: "text" }, 200, anna, "PATCH");
  await call(
    "model-versions/set-tag",
    { ...at, key: "q", value: "x" },
    404,
    (await ledger.key()).key,
  );
  const search = async (filter: string, more = "") =>
    (
      await call(`model-versions/search?filter=${encodeURIComponent(filter)}${more}`)
    ).model_versions.map((v: { version: string }) => v.version);
  expect(await search(`name = '${name}'`)).toEqual(["1", "2"]);
  expect(await search(`name='${name}'`, "&order_by=version_number%20DESC")).toEqual(["2", "1"]);
  expect(await search(`name='${name}' AND tags.q = 'good' and run_id = '${run}'`)).toEqual(["1"]);
  expect(await search(`name='${name}' AND tags.q != 'good'`)).toEqual(["2"]);
  expect(
    await search(`name='${name}' AND tags.\`ledger.state\` = 'draft' AND version_number > 1`),
  ).toEqual(["2"]);
  expect(await search(`source_path = 'runs:/${run}/model'`)).toEqual(["1"]);
  const page = await call(
    `model-versions/search?filter=${encodeURIComponent(`name='${name}'`)}&max_results=1`,
  );
  const next = await call(
    `model-versions/search?filter=${encodeURIComponent(`name='${name}'`)}&max_results=1&page_token=${page.next_page_token}`,
  );
  expect([page.model_versions[0].version, next.model_versions[0].version]).toEqual(["1", "2"]);
  expect((await call(`model-versions/get?name=${name}&version=1`)).model_version.description).toBe(
    "text",
  );
  await call(`model-versions/get?name=${name}&version=x`, undefined, 400);
});

it("shows versions that the ledger's own API made, with their one file", async () => {
  const name = await newModel();
  const { task_id } = await ledger.call("/api/tasks", {
    key: anna,
    json: { task_name: "a", model_type: "llm" },
  });
  const file = lora();
  const weight = await upload(ledger, anna, task_id, file, { filename: "out/aki.safetensors" });
  await ledger.call(`/api/models/${name}/versions`, { key: anna, json: { weight_id: weight.id } });
  const { model_version } = await call(`model-versions/get?name=${name}&version=1`);
  expect(model_version.source).toBe(`mlflow-artifacts:/registry/${name}/1/artifacts`);
  expect((await files(name, "1")).files).toEqual([
    { path: "aki.safetensors", is_dir: false, file_size: file.length },
  ]);
});

it("shows the files of a draft to those alone who read runs and files, and boxes nothing", async () => {
  const name = await newModel();
  const { version, task } = await newVersion(name);
  const reader = (await ledger.key({ scopes: ["models:read", "weights:read"] })).key;
  const path = `registry/${name}/${version}/artifacts`;
  const ask = async (key: string) =>
    (await ledger.request(`${FILES}/artifacts?path=${path}`, { key })).status;
  expect(await ask(reader)).toBe(403);
  await approve(name, version, task);
  expect(await ask(reader)).toBe(200);
  const box = await ledger.box(anna);
  expect(await ask(box.key)).toBe(403);
  await call(`registered-models/get?name=${name}`, undefined, 403, box.key);
  await call(
    "registered-models/create",
    { name: "no" },
    403,
    (await ledger.key({ role: "viewer" })).key,
  );
});
