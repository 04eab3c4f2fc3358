// MLflow's artifacts where the bucket is an S3 server of one's own: files stream through the Worker, parts go there directly.
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freePort, type Running, startProcess, waitFor } from "../../scripts/local/processes.ts";
import { runIdOf } from "../../src/trackers/mlflow/form.ts";
import { type Stack, startStack } from "../stack.ts";

const binary = process.env.S3_SERVER_BIN ?? "";
const has = existsSync(binary);
const MiB = 1024 * 1024;
let folder = "";
let server: Running;
let stack: Stack;

beforeAll(async () => {
  if (!has) return;
  folder = mkdtempSync(join(tmpdir(), "lora-ledger-mlflow-s3-"));
  for (const name of ["data/weights", "sidecar"])
    mkdirSync(join(folder, name), { recursive: true });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const access = { ROOT_ACCESS_KEY: "ledger", ROOT_SECRET_KEY: "a secret for the storage" };
  server = startProcess({
    command: binary,
    args: [
      ...["--port", `127.0.0.1:${port}`, "--region", "auto", "posix"],
      ...["--sidecar", join(folder, "sidecar"), join(folder, "data")],
    ],
    env: { ...process.env, ...access },
  });
  await waitFor("the S3 server", async () => (await fetch(endpoint)).status > 0, {
    alive: server.exited,
    tail: server.tail,
  });
  stack = await startStack({
    R2_ACCESS_KEY_ID: access.ROOT_ACCESS_KEY,
    R2_SECRET_ACCESS_KEY: access.ROOT_SECRET_KEY,
    R2_BUCKET: "weights",
    R2_ENDPOINT: endpoint,
  });
});
afterAll(async () => {
  await stack?.stop();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

it.skipIf(!has)("stores a file in one request, and one in parts", async () => {
  const base = `${stack.url}/mlflow/api/2.0/mlflow-artifacts`;
  const { task_id } = await stack.api("/api/tasks", { task_name: "t", model_type: "llm" });
  const root = `0/${runIdOf(task_id)}/artifacts`;
  const ask = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(`${base}/${path}`, {
      ...init,
      headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(answer.status, bytes.subarray(0, 500).toString()).toBe(200);
    return bytes;
  };
  const whole = randomBytes(3 * MiB);
  await ask(`artifacts/${root}/a/one.bin`, { method: "PUT", body: whole });
  expect((await ask(`artifacts/${root}/a/one.bin`)).equals(whole)).toBe(true);
  await ask(`artifacts/${root}/a/empty`, { method: "PUT", body: "" });

  const parts = [randomBytes(5 * MiB), randomBytes(MiB)];
  const mpu = async (step: string, json: object) =>
    JSON.parse(
      String(await ask(`mpu/${step}/${root}/a`, { method: "POST", body: JSON.stringify(json) })),
    );
  const path = "/tmp/two.bin";
  const { upload_id, credentials } = await mpu("create", { path, num_parts: 2 });
  const sent = [];
  for (const [i, part] of parts.entries()) {
    const put = await fetch(credentials[i].url, { method: "PUT", body: part });
    expect(put.status).toBe(200);
    sent.push({ part_number: i + 1, etag: put.headers.get("ETag"), url: credentials[i].url });
  }
  await mpu("complete", { path, upload_id, parts: sent });
  const { url, file_size } = JSON.parse(String(await ask(`presigned/${root}/a/two.bin`)));
  expect(file_size).toBe(6 * MiB);
  const got = Buffer.from(await (await fetch(url)).arrayBuffer());
  expect(got.equals(Buffer.concat(parts))).toBe(true);
  const { items } = await stack.api(`/api/weights?task_id=${task_id}`);
  expect(
    items.map((w: { filename: string; verified: string }) => [w.filename, w.verified]),
  ).toEqual([
    ["a/two.bin", "sha256"],
    ["a/empty", "sha256"],
    ["a/one.bin", "sha256"],
  ]);
});
