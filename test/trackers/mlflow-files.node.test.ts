// MLflow's own client against the whole stack: artifacts, logged models and the registry.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { lora } from "../uploads.ts";
import { trackersPython } from "./clients.ts";

const python = trackersPython();
let stack: Stack;
// biome-ignore lint/suspicious/noExplicitAny: what the script prints.
let found: any;

/** Runs the script with the client's settings, and reads what it printed. */
async function run(env: Record<string, string> = {}) {
  const adapter = join(stack.home, "adapter_model.safetensors");
  writeFileSync(adapter, lora("mlflow"));
  const { ended } = runProcess(
    python ?? "",
    [join(import.meta.dirname, "mlflow_files.py"), adapter],
    {
      cwd: stack.home,
      env: {
        ...process.env,
        MLFLOW_TRACKING_URI: `${stack.url}/mlflow`,
        MLFLOW_TRACKING_TOKEN: stack.admin,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES: "0",
        MLFLOW_DISABLE_TELEMETRY: "true",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR: "false",
        ...env,
      },
    },
  );
  const { out } = await ended;
  const line = out.split("\n").find((text) => text.startsWith("FOUND "));
  if (!line) throw new Error(out);
  return JSON.parse(line.slice("FOUND ".length));
}

beforeAll(async () => {
  if (!python) return;
  stack = await startStack();
  // Parts from 6 MB on, so that the large file of the script comes in several.
  found = await run({
    MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD: "true",
    MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE: String(6 * 1024 * 1024),
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE: String(5 * 1024 * 1024),
  });
});
afterAll(() => stack?.stop());

it.skipIf(!python)("stores files and lists them", async () => {
  const task = Number(found.run_id);
  expect(found.artifact_uri).toMatch(
    new RegExp(`^mlflow-artifacts:/\\d+/${found.run_id}/artifacts$`),
  );
  expect(found.root.map(([path]: [string]) => path)).toEqual([
    "dict.json",
    "empty",
    "image.png",
    "large",
    "model",
    "note.txt",
    "sub dir",
    "table.json",
    "text.txt",
  ]);
  expect(found.root[1]).toEqual(["empty", false, 0]);
  expect(found.sub).toEqual(["sub dir/odd 100% ü.txt"]);
  const { items } = await stack.api(`/api/weights?task_id=${task}&limit=200`);
  const kinds = Object.fromEntries(
    items.map((w: { filename: string; kind: string; verified: string }) => [
      w.filename,
      [w.kind, w.verified],
    ]),
  );
  expect(kinds["model/adapter_model.safetensors"]).toEqual(["final", "sha256"]);
  expect(kinds["large/big.bin"]).toEqual(["config", "sha256"]);
});

it.skipIf(!python)("gives them back as they were", () => {
  expect(found).toMatchObject({
    text: "second",
    dict: { a: 1 },
    table: [1, 2],
    one: "odd",
    big: true,
    image: true,
  });
  expect(found.all).toContain("model/deep/readme.md");
  expect(found.all).toContain("empty");
  expect(found.missing).not.toBeNull();
});

it.skipIf(!python)("logs models, finds them and loads them again", () => {
  expect(found.logged).toMatch(/^m-[0-9a-f]{32}$/);
  expect(found.logged_files).toContain("checkpoint/MLmodel");
  expect(found).toMatchObject({
    status: "READY",
    outputs: [found.logged],
    searched: ["checkpoint"],
    tags: {},
    echo: [1, 2],
  });
});

it.skipIf(!python)("registers, aliases and fetches versions", () => {
  const whole = ["MLmodel", "adapter_config.json", "adapter_model.safetensors", "deep/readme.md"];
  expect(found).toMatchObject({
    version: ["1", found.run_id, "None", "READY"],
    alias: "1",
    same: true,
    models: ["aki"],
    versions: ["1"],
    latest: ["1"],
    from_logged: "1",
    loaded: [3],
  });
  for (const files of [found.pulled, found.numbered])
    expect(files.filter((path: string) => path !== "registered_model_meta")).toEqual(whole);
});

it.skipIf(!python)("refuses what would pass over an approval or take history away", () => {
  expect(found.production).toEqual(["INVALID_STATE", expect.stringContaining("approved")]);
  expect(found.protected).toEqual(["INVALID_STATE", expect.stringContaining("approved")]);
  expect(found.deleted).toEqual(["INVALID_STATE", expect.stringContaining("stays")]);
  expect(found.renamed).toEqual(["INVALID_STATE", expect.stringContaining("cannot change")]);
  expect(found.gone?.[1]).toContain("not found");
  expect(found.after?.[0]).toBe("RESOURCE_DOES_NOT_EXIST");
});
