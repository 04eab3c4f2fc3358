import { expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../../test/harness.ts";
import { lora, upload } from "../../../test/uploads.ts";
import { runIdOf } from "./form.ts";

const BASE = "/mlflow/api/2.0/mlflow-artifacts";

async function makeRun(ledger: Ledger, key: string): Promise<number> {
  const made = await ledger.call("/api/tasks", {
    key,
    json: { task_name: "a", model_type: "llm", experiment_group: "e" },
  });
  return made.task_id;
}

/** A run of a member, and calls about its artifacts. */
async function start() {
  const ledger = await freshLedger();
  const { key, userId } = await ledger.key();
  const task = await makeRun(ledger, key);
  const root = `1/${runIdOf(task)}/artifacts`;
  const at = (path: string) => `${BASE}/artifacts/${root}/${path}`;
  const put = (path: string, body: BodyInit, sent: object = {}) =>
    ledger.request(at(path), { method: "PUT", body, key, ...withLength(body), ...sent });
  const get = async (path: string) => {
    const answer = await ledger.request(at(path), { key });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };
  const list = async (path = "", by = key) =>
    (
      await ledger.call(
        `${BASE}/artifacts?path=${encodeURIComponent(path ? `${root}/${path}` : root)}`,
        { key: by },
      )
    ).files;
  const weights = async () =>
    (await ledger.call(`/api/weights?task_id=${task}`, { key })).items as {
      kind: string;
      filename: string;
      size: number;
      verified: string;
      step: number | null;
      state: string;
    }[];
  return { ledger, key, userId, task, root, at, put, get, list, weights };
}

/** fetch() adds the length on the wire; requests inside workerd need it by hand. */
const withLength = (body: BodyInit) =>
  typeof body === "string"
    ? { headers: { "Content-Length": String(new TextEncoder().encode(body).length) } }
    : body instanceof Uint8Array
      ? { headers: { "Content-Length": String(body.length) } }
      : {};

const code = async (response: Response) => ({
  status: response.status,
  code: (await response.json<{ error_code: string }>()).error_code,
});

it("stores, lists and gives back files by their path", async () => {
  const { put, get, list, weights } = await start();
  expect((await put("notes/a b%25.txt", "hello")).status).toBe(200);
  expect((await put("top.txt", "é")).status).toBe(200);
  expect((await put("empty.bin", "")).status).toBe(200);
  expect(await list()).toEqual([
    { path: "empty.bin", is_dir: false, file_size: 0 },
    { path: "notes", is_dir: true },
    { path: "top.txt", is_dir: false, file_size: 2 },
  ]);
  expect(await list("notes")).toEqual([{ path: "a b%.txt", is_dir: false, file_size: 5 }]);
  expect(await list("top.txt")).toEqual([]);
  const got = await get("notes/a%20b%25.txt");
  expect(got.text).toBe("hello");
  expect(got.headers.get("Content-Disposition")).toMatch(/^attachment/);
  expect(got.headers.get("X-Content-Type-Options")).toBe("nosniff");
  expect((await get("empty.bin")).status).toBe(200);
  expect((await get("empty.bin")).text).toBe("");
  const found = await weights();
  expect(
    found.map(({ filename, kind, verified, state }) => [filename, kind, verified, state]),
  ).toEqual([
    ["empty.bin", "config", "sha256", "complete"],
    ["top.txt", "config", "sha256", "complete"],
    ["notes/a b%.txt", "config", "sha256", "complete"],
  ]);
});

it("knows weights by their names and reads what they say", async () => {
  const { ledger, key, put, weights, task } = await start();
  await put("model/adapter_model.safetensors", lora("x"));
  await put("checkpoint-500/adapter_model.safetensors", lora("y"));
  await put("checkpoint-500/optimizer.pt", "state");
  await put("images/step_1.png", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
  const kinds = Object.fromEntries((await weights()).map((w) => [w.filename, [w.kind, w.step]]));
  expect(kinds).toEqual({
    "model/adapter_model.safetensors": ["final", null],
    "checkpoint-500/adapter_model.safetensors": ["checkpoint", 500],
    "checkpoint-500/optimizer.pt": ["state", 500],
    "images/step_1.png": ["config", null],
  });
  const run = await ledger.call(`/api/tasks/${task}`, { key });
  expect(run.weights_path).toBe("model/adapter_model.safetensors");
  const [final] = (await ledger.call(`/api/weights?task_id=${task}&kind=final`, { key })).items;
  expect(final).toMatchObject({ rank: 4, alpha: 2, base_arch: "sdxl", verified: "sha256" });
});

it("shows the newest of what was written to one path, also when old bytes return", async () => {
  const { put, get, list, weights } = await start();
  await put("a.txt", "one");
  await put("a.txt", "three");
  expect((await get("a.txt")).text).toBe("three");
  expect(await list()).toEqual([{ path: "a.txt", is_dir: false, file_size: 5 }]);
  await put("a.txt", "one");
  expect((await get("a.txt")).text).toBe("one");
  expect(await list()).toEqual([{ path: "a.txt", is_dir: false, file_size: 3 }]);
  expect(await weights()).toHaveLength(2);
});

it("keeps the same bytes once in the bucket", async () => {
  const { ledger, put, get } = await start();
  await put("a.txt", "same");
  await put("b.txt", "same");
  const { rows } = await ledger.db.run(
    "select count(*) as n from stored_object where state = 'complete'",
  );
  expect(rows[0]?.n).toBe(1);
  expect((await get("b.txt")).text).toBe("same");
  const { rows: use } = await ledger.db.run(
    "select files, uploads, upload_bytes, file_bytes from user_use where files > 0",
  );
  expect(use).toMatchObject([{ files: 2, file_bytes: 8, uploads: 0, upload_bytes: 0 }]);
});

it("shows files of the ledger's own client", async () => {
  const { ledger, key, task, list, get } = await start();
  const file = lora();
  await upload(ledger, key, task, file, { filename: "out/aki.safetensors" });
  expect(await list("out")).toEqual([
    { path: "aki.safetensors", is_dir: false, file_size: file.length },
  ]);
  expect((await get("out/aki.safetensors")).status).toBe(200);
});

it("takes a short body of unknown length and refuses a long one", async () => {
  const { put, get } = await start();
  const chunked = (size: number) =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < size; at += 65_536)
          controller.enqueue(new Uint8Array(Math.min(65_536, size - at)));
        controller.close();
      },
    });
  expect((await put("short", chunked(100_000))).status).toBe(200);
  expect((await get("short")).text).toHaveLength(100_000);
  expect(await code(await put("long", chunked(9_000_000)))).toEqual({
    status: 400,
    code: "INVALID_PARAMETER_VALUE",
  });
});

it("refuses bodies beyond what one request may carry before it reads them", async () => {
  const { put } = await start();
  const answer = await put("big", "x", { headers: { "Content-Length": "94371841" } });
  expect(await code(answer)).toEqual({ status: 400, code: "INVALID_PARAMETER_VALUE" });
});

it.each([
  ["a%2F..%2Fb", 400],
  ["a%5Cb", 400],
  ["a%2F%2Fb", 400],
  ["%ff", 400],
  ["C:x", 400],
  [`${"n".repeat(4000)}`, 400],
  ["../../../../../x", 404],
])("refuses the path %s", async (path, status) => {
  const { put } = await start();
  const answer = await put(path, "x");
  expect(answer.status).toBe(status);
  expect(await answer.json()).toHaveProperty("error_code");
});

it("answers what is not there, and places that are none, in MLflow's form", async () => {
  const { ledger, key, at } = await start();
  const ask = async (path: string, sent: object = {}) =>
    code(await ledger.request(path, { key, ...sent }));
  const gone = { status: 404, code: "RESOURCE_DOES_NOT_EXIST" };
  const bad = { status: 400, code: "INVALID_PARAMETER_VALUE" };
  expect(await ask(at("none"))).toEqual(gone);
  expect(await ask(at("none"), { method: "DELETE" })).toEqual(gone);
  expect(
    await ask(`${BASE}/artifacts/1/${runIdOf(999)}/artifacts/a`, {
      method: "PUT",
      body: "x",
      headers: { "Content-Length": "1" },
    }),
  ).toEqual(gone);
  expect(await ask(`${BASE}/artifacts/1/models/m-${"0".repeat(32)}/artifacts/a`)).toEqual(gone);
  expect(await ask(`${BASE}/artifacts?path=nonsense`)).toEqual(bad);
  expect(await ask(`${BASE}/artifacts/1/not-a-run/artifacts/a`)).toEqual(bad);
  expect(await code(await ledger.request(at("a")))).toEqual({
    status: 401,
    code: "UNAUTHENTICATED",
  });
});

it("moves deleted files into the trash, with all that is below", async () => {
  const { ledger, key, at, put, list, task } = await start();
  await put("d/a.txt", "1");
  await put("d/a.txt", "2");
  await put("d/e/b.txt", "3");
  await put("dx", "4");
  expect((await ledger.request(at("d"), { method: "DELETE", key })).status).toBe(200);
  expect(await list()).toEqual([{ path: "dx", is_dir: false, file_size: 1 }]);
  const trashed = await ledger.call(`/api/weights?task_id=${task}&deleted=true`, { key });
  expect(trashed.items).toHaveLength(3);
  await ledger.call(`/api/weights/${trashed.items[0].id}/restore`, { key, method: "POST" });
  expect(await list()).toHaveLength(2);
});

it("gives a URL for downloads that works without a key", async () => {
  const { ledger, key, put, root } = await start();
  await put("a/b.txt", "bytes");
  const answer = await ledger.call(`${BASE}/presigned/${root}/a/b.txt`, { key });
  expect(answer).toMatchObject({ headers: {}, file_size: 5 });
  expect(await (await ledger.request(answer.url)).text()).toBe("bytes");
});

it("lets others read and not write, and boxes reach their own runs alone", async () => {
  const { ledger, at, put, list, root } = await start();
  await put("a.txt", "1");
  const other = await ledger.key();
  expect(await list("", other.key)).toHaveLength(1);
  const ask = async (by: string, method: string) =>
    (
      await ledger.request(at("a.txt"), {
        key: by,
        method,
        ...(method === "PUT" && { body: "x", headers: { "Content-Length": "1" } }),
      })
    ).status;
  expect([
    await ask(other.key, "GET"),
    await ask(other.key, "PUT"),
    await ask(other.key, "DELETE"),
  ]).toEqual([200, 404, 404]);
  const viewer = await ledger.key({ role: "viewer" });
  expect([await ask(viewer.key, "GET"), await ask(viewer.key, "PUT")]).toEqual([200, 403]);
  const blind = await ledger.key({ scopes: ["tasks:read"] });
  expect(await ask(blind.key, "GET")).toBe(403);
  const box = await ledger.box((await ledger.key()).key);
  expect([
    await ask(box.key, "GET"),
    await ask(box.key, "PUT"),
    await ask(box.key, "DELETE"),
  ]).toEqual([404, 404, 403]);
  expect(await list("", box.key)).toEqual([]);
  const own = await makeRun(ledger, box.key);
  const path = `${BASE}/artifacts/0/${runIdOf(own)}/artifacts/mine.txt`;
  expect(
    (
      await ledger.request(path, {
        key: box.key,
        method: "PUT",
        body: "x",
        headers: { "Content-Length": "1" },
      })
    ).status,
  ).toBe(200);
  expect(await (await ledger.request(path, { key: box.key })).text()).toBe("x");
  expect(root).not.toContain(runIdOf(own));
});

it("holds the bounds of the run's user", async () => {
  const ledger = await freshLedger({ MAX_FILE_BYTES_PER_USER: "10" });
  const { key } = await ledger.key();
  const task = await makeRun(ledger, key);
  const put = (name: string, body: string) =>
    ledger.request(`${BASE}/artifacts/0/${runIdOf(task)}/artifacts/${name}`, {
      key,
      method: "PUT",
      body,
      ...withLength(body),
    });
  expect((await put("a", "12345678")).status).toBe(200);
  expect(await code(await put("b", "12345678"))).toEqual({
    status: 403,
    code: "PERMISSION_DENIED",
  });
});

it("uploads in parts", async () => {
  const { ledger, key, root, get, weights } = await start();
  const MiB = 1024 * 1024;
  const whole = new Uint8Array(12 * MiB).map((_, i) => i % 251);
  const parts = [
    whole.subarray(0, 5 * MiB),
    whole.subarray(5 * MiB, 10 * MiB),
    whole.subarray(10 * MiB),
  ];
  const path = "/home/me/out/big.bin";
  const mpu = (step: string, json: object, status = 200) =>
    ledger.call(`${BASE}/mpu/${step}/${root}/weights`, { key, json }, status);
  const { upload_id, credentials } = await mpu("create", { path, num_parts: 3 });
  expect(credentials).toHaveLength(3);
  const sent = [];
  for (const [i, part] of parts.entries()) {
    const { url, headers } = credentials[i];
    const put = await ledger.request(url, {
      method: "PUT",
      body: part,
      headers: { ...headers, "Content-Length": String(part.length) },
    });
    expect(put.status).toBe(200);
    sent.push({ part_number: i + 1, etag: put.headers.get("ETag"), url });
  }
  expect(
    (
      await mpu(
        "complete",
        { path, upload_id, parts: sent.slice(0, 2).map((p) => ({ ...p, etag: '"no"' })) },
        409,
      )
    ).error_code,
  ).toBe("RESOURCE_CONFLICT");
  await mpu("complete", { path, upload_id, parts: sent });
  await mpu("complete", { path, upload_id, parts: sent });
  expect((await get("weights/big.bin")).text).toHaveLength(
    (await new Response(whole).text()).length,
  );
  expect(await weights()).toMatchObject([
    { filename: "weights/big.bin", size: 12 * MiB, verified: "sha256" },
  ]);
  const { rows } = await ledger.db.run(
    "select uploads, upload_bytes, file_bytes from user_use where file_bytes > 0",
  );
  expect(rows).toMatchObject([{ uploads: 0, upload_bytes: 0, file_bytes: 12 * MiB }]);

  const second = await mpu("create", { path, num_parts: 1 });
  await mpu("abort", { path, upload_id: second.upload_id });
  const late = await ledger.request(second.credentials[0].url, {
    method: "PUT",
    body: "x",
    headers: { "Content-Length": "1" },
  });
  expect(late.status).toBe(410);
  await mpu("create", { path, num_parts: 1001 }, 400);
  await mpu("complete", { path, upload_id: "x", parts: [] }, 400);
});

it("lists a run's folder by the run's id", async () => {
  const { ledger, key, put, root, task } = await start();
  await put("d/a.txt", "1");
  await put("d/e/b.txt", "22");
  const list = (query: string, status = 200, by = key) =>
    ledger.call(`/mlflow/api/2.0/mlflow/artifacts/list?${query}`, { key: by }, status);
  expect(await list(`run_id=${runIdOf(task)}`)).toEqual({
    root_uri: `mlflow-artifacts:/${root}`,
    files: [{ path: "d", is_dir: true }],
  });
  expect((await list(`run_uuid=${runIdOf(task)}&path=d`)).files).toEqual([
    { path: "d/a.txt", is_dir: false, file_size: 1 },
    { path: "d/e", is_dir: true },
  ]);
  await list(`run_id=${runIdOf(task)}&path=../x`, 400);
  await list("run_id=abc", 404);
  const box = await ledger.box((await ledger.key()).key);
  await list(`run_id=${runIdOf(task)}`, 404, box.key);
});

it("takes a repeated completion of parts as done, also of bytes that were there before", async () => {
  const { ledger, key, root, put, list } = await start();
  await put("a/first", "same bytes");
  const mpu = (step: string, json: object) =>
    ledger.call(`${BASE}/mpu/${step}/${root}/a`, { key, json });
  const path = "second";
  const { upload_id, credentials } = await mpu("create", { path, num_parts: 1 });
  const sent = await ledger.request(credentials[0].url, {
    method: "PUT",
    body: "same bytes",
    headers: { "Content-Length": "10" },
  });
  const parts = [{ part_number: 1, etag: sent.headers.get("ETag") }];
  await mpu("complete", { path, upload_id, parts });
  await mpu("complete", { path, upload_id, parts });
  expect(await list("a")).toHaveLength(2);
  const { rows } = await ledger.db.run(
    "select count(*) as n from stored_object where state = 'complete'",
  );
  expect(rows[0]?.n).toBe(1);
});
