import { createHash, randomBytes } from "node:crypto";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { eq } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { copyIn, copyOut, s3Bucket } from "../../../scripts/backup/objects.ts";
import { freePort, type Running, startProcess, waitFor } from "../../../scripts/local/processes.ts";
import { app } from "../../app.ts";
import { type Bindings, readConfig } from "../../env.ts";
import { commandLine } from "../../platform/audit/audit.ts";
import { ensureUser, makeKey } from "../../platform/auth/keys.ts";
import { openDb } from "../../platform/db/client.ts";
import { storedObject, weight } from "../../platform/db/schema.ts";
import { emptyTrash } from "../../runs/purge.ts";
import { collectUploads } from "../collect.ts";
import { presign, s3Client, s3Settings } from "./s3.ts";

/** An S3 server that really verifies signatures; versitygw is one that runs without an account. */
const binary = [
  process.env.S3_SERVER_BIN ?? "",
  ...(process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "versitygw")),
].find((path) => {
  try {
    accessSync(path, constants.X_OK);
    return path !== "";
  } catch {
    return false;
  }
});
if (!binary)
  console.warn(
    "No S3 server to prove presigned URLs against: these tests are skipped. Set S3_SERVER_BIN to a versitygw binary (go install github.com/versity/versitygw/cmd/versitygw@latest).",
  );

const MiB = 1024 * 1024;
const hash = (algorithm: string, ...data: Uint8Array[]) =>
  data.reduce((digest, bytes) => digest.update(bytes), createHash(algorithm)).digest("hex");

describe.skipIf(!binary)("presigned URLs, against a server that verifies them", () => {
  let folder = "";
  const vars = {
    R2_ACCESS_KEY_ID: "ledger",
    R2_SECRET_ACCESS_KEY: "a secret for the storage",
    R2_BUCKET: "weights",
    R2_ENDPOINT: "",
    DATABASE_URL: "",
    JWT_SECRET: "a secret for tests that is long enough, truly",
    PUBLIC_URL: "http://ledger.test",
    RATE_LIMITS: "false",
  };
  let server: Running;
  let key = "";
  let task = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "lora-ledger-s3-"));
    const port = await freePort();
    vars.R2_ENDPOINT = `http://127.0.0.1:${port}`;
    for (const name of ["data/weights", "sidecar"])
      mkdirSync(join(folder, name), { recursive: true });
    server = startProcess({
      command: binary ?? "",
      args: [
        "--port",
        `127.0.0.1:${port}`,
        "--region",
        "auto",
        "posix",
        "--sidecar",
        join(folder, "sidecar"),
        join(folder, "data"),
      ],
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: vars.R2_ACCESS_KEY_ID,
        ROOT_SECRET_KEY: vars.R2_SECRET_ACCESS_KEY,
      },
    });
    await waitFor("the S3 server", async () => (await ask(vars.R2_ENDPOINT)).status > 0, {
      alive: server.exited,
      tail: server.tail,
    });

    const name = `s3${randomBytes(6).toString("hex")}`;
    const forked = await fetch(`${inject("sqldAdminUrl")}/v1/namespaces/template/fork/${name}`, {
      method: "POST",
    });
    expect(forked.ok).toBe(true);
    vars.DATABASE_URL = `${inject("sqldUrl")}/dev/${name}/`;
    const { db, config } = opened();
    const owner = await ensureUser(db, commandLine, "owner", "member");
    key = (
      await makeKey(db, config, commandLine, {
        userId: owner.id,
        name: "k",
        scopes: ["tasks:write", "tasks:read", "weights:read", "weights:write"],
        days: null,
      })
    ).key;
    task = (await call("/api/tasks", { task_name: "t" })).task_id;
  });

  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** No binding is there: with an endpoint of its own, everything goes by the S3 protocol. */
  const bindings = () => ({ ...vars }) as unknown as Bindings;
  const opened = () => {
    const config = readConfig({ ...vars });
    return { config, db: openDb(config) };
  };
  const settings = () => {
    const s3 = s3Settings(opened().config);
    if (!s3) throw new Error("no S3 settings");
    return s3;
  };

  /** Sends a request to the service, which here runs in Node with the S3 server as its storage. */
  async function call(path: string, json?: unknown, status = 200, method = json ? "POST" : "GET") {
    const work: Promise<unknown>[] = [];
    const response = await app.fetch(
      new Request(`http://ledger.test${path}`, {
        method,
        headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        body: json ? JSON.stringify(json) : undefined,
      }),
      bindings(),
      { waitUntil: (promise) => work.push(promise), passThroughOnException: () => {}, props: {} },
    );
    await Promise.all(work);
    const text = await response.text();
    expect(response.status, text).toBe(status);
    return text ? JSON.parse(text) : undefined;
  }

  const announce = (file: { length: number }, sha256: string, filename = "my.safetensors") =>
    call(`/api/tasks/${task}/weights`, { filename, size: file.length, sha256, kind: "final" });
  /** What the storage answers, read to its end: it closes the connection behind each error. */
  const ask = async (url: string, init?: RequestInit) => {
    const response = await fetch(url, init);
    const body = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, headers: response.headers, body };
  };
  const put = (
    { url, headers }: { url: string; headers: Record<string, string> },
    body: Uint8Array<ArrayBuffer>,
  ) => ask(url, { method: "PUT", headers, body });

  it("carry one file up and down, checked by the storage itself", async () => {
    const file = new Uint8Array(randomBytes(100_000));
    const { weight_id, upload } = await announce(file, hash("sha256", file));
    expect(new URL(upload.url).origin).toBe(vars.R2_ENDPOINT);

    const other = file.slice();
    other[5] = (other[5] ?? 0) ^ 1;
    expect((await put(upload, other)).status, "other bytes").toBe(400);
    expect((await put({ ...upload, headers: {} }, file)).status, "without the signed headers").toBe(
      403,
    );
    expect(
      (await put({ ...upload, url: `${upload.url}0` }, file)).status,
      "another signature",
    ).toBe(403);
    expect(
      (await put({ ...upload, url: upload.url.replace("/w/", "/v/") }, file)).status,
      "another key",
    ).toBe(403);
    expect((await ask(upload.url)).status, "another method").toBe(403);
    await call(`/api/weights/${weight_id}/complete`, {}, 409);

    expect((await put(upload, file)).status).toBe(200);
    expect((await put(upload, file)).status, "nothing is replaced").toBe(412);
    const done = await call(`/api/weights/${weight_id}/complete`, {});
    expect(done).toMatchObject({ state: "complete", verified: "sha256" });
    expect(done.warnings).toEqual([expect.stringContaining("no valid safetensors file")]);
    expect((await put(upload, file)).status, "also not later").toBe(412);

    const { url } = await call(`/api/weights/${weight_id}/download?redirect=false`);
    const back = await ask(url);
    expect(hash("sha256", back.body)).toBe(done.sha256);
    expect(back.headers.get("Content-Disposition")).toMatch(
      /^attachment; filename="my\.safetensors"/,
    );
    const range = await ask(url, { headers: { Range: "bytes=10-19" } });
    expect([range.status, Buffer.from(range.body).equals(Buffer.from(file.slice(10, 20)))]).toEqual(
      [206, true],
    );

    const copy = await announce(file, hash("sha256", file), "copy.safetensors");
    expect(copy.upload).toBeNull();
  });

  it("expire", async () => {
    const request = { method: "GET", key: "w/1/x", expires: 60 } as const;
    const old = await presign(settings(), { ...request, datetime: "20200101T000000Z" });
    expect((await ask(old)).status).toBe(403);
    expect((await ask(await presign(settings(), request))).status).toBe(404);
  });

  it("carry a large file up in parts, on from where it broke", async () => {
    const size = 91 * MiB;
    const block = new Uint8Array(randomBytes(16 * MiB));
    const rest = block.slice(0, 11 * MiB);
    const sha256 = hash("sha256", block, block, block, block, block, rest);
    const body = (number: number) => (number === 6 ? rest : block);
    const { weight_id, upload } = await announce({ length: size }, sha256, "big.bin");
    for (const number of [2, 5])
      expect((await put(upload.parts[number - 1], body(number))).status).toBe(200);
    // A presigned URL of a part does not bind its length: another one does not count as arrived.
    expect((await put(upload.parts[5], block)).status).toBe(200);
    const again = await call(`/api/weights/${weight_id}/upload`);
    expect(again.upload.parts.map((part: { number: number }) => part.number)).toEqual([1, 3, 4, 6]);
    expect(await call(`/api/weights/${weight_id}/complete`, {}, 409)).toMatchObject({
      missing: [1, 3, 4, 6],
    });

    const parts = [];
    for (const part of again.upload.parts) {
      const sent = await put(part, body(part.number));
      const md5 = hash("md5", body(part.number));
      expect(sent.headers.get("ETag")).toBe(`"${md5}"`);
      parts.push({ number: part.number, etag: sent.headers.get("ETag"), md5 });
    }
    const wrong = parts.map((part) =>
      part.number === 3 ? { ...part, md5: "0".repeat(32) } : part,
    );
    expect(await call(`/api/weights/${weight_id}/complete`, { parts: wrong }, 409)).toMatchObject({
      missing: [3],
    });
    const done = await call(`/api/weights/${weight_id}/complete`, { parts });
    expect(done).toMatchObject({ state: "complete", verified: "size", size });
    const { url } = await call(`/api/weights/${weight_id}/download?redirect=false`);
    expect(hash("sha256", (await ask(url)).body)).toBe(sha256);

    // What verify.ts composes from the parts' MD5s is what the storage calls the whole.
    const md5s = [1, 2, 3, 4, 5, 6].map((number) => Buffer.from(hash("md5", body(number)), "hex"));
    const [row] = await opened()
      .db.select()
      .from(storedObject)
      .where(eq(storedObject.sha256, sha256));
    const head = await s3Client(settings()).head(row?.objectKey ?? "");
    expect(head).toEqual({ size, etag: `${hash("md5", ...md5s)}-6`, sha256: null });
  });

  it("leave nothing behind when an upload is given up or a file deleted", async () => {
    const { db, config } = opened();
    const s3 = s3Client(settings());
    const objectOf = async (sha256: string) => {
      const [row] = await db.select().from(storedObject).where(eq(storedObject.sha256, sha256));
      if (!row) throw new Error("no such object");
      return row;
    };
    const big = await announce({ length: 91 * MiB }, "a".repeat(64), "big2.bin");
    const { objectKey, uploadId } = await objectOf("a".repeat(64));
    expect(await s3.listParts(objectKey, uploadId ?? "")).toEqual([]);
    await call(`/api/weights/${big.weight_id}`, undefined, 204, "DELETE");
    expect(await s3.listParts(objectKey, uploadId ?? "")).toBeNull();

    const file = new Uint8Array(randomBytes(1000));
    const { weight_id, upload } = await announce(file, hash("sha256", file), "small.bin");
    await put(upload, file);
    await call(`/api/weights/${weight_id}/complete`, {});
    await call(`/api/weights/${weight_id}`, undefined, 204, "DELETE");
    await db
      .update(weight)
      .set({ deletedAt: "2020-01-01T00:00:00.000Z" })
      .where(eq(weight.id, weight_id));
    await emptyTrash(db, bindings(), config);
    const small = await objectOf(hash("sha256", file));
    expect(small.state).toBe("aborted");
    // The URL is good for an hour yet, and could bring the file back: so long its place is kept.
    await collectUploads(db, bindings(), config);
    expect(await s3.head(small.objectKey)).not.toBeNull();
    await db
      .update(storedObject)
      .set({ sweepAt: "2020-01-01T00:00:00.000Z" })
      .where(eq(storedObject.id, small.id));
    await collectUploads(db, bindings(), config);
    expect(await s3.head(small.objectKey)).toBeNull();
  });

  it("are listed page by page", async () => {
    const s3 = s3Client(settings());
    const names = ["a", "b & <c>", "d"].map((name) => `w/9999/${name}`);
    for (const name of names)
      await ask(await presign(settings(), { method: "PUT", key: encodeURI(name), expires: 60 }), {
        method: "PUT",
        body: "x",
      });
    const first = await s3.list("w/9999/", "", 2);
    expect(first).toEqual({ keys: names.slice(0, 2).map((key) => ({ key, size: 1 })), more: true });
    expect(await s3.list("w/9999/", names[1] ?? "", 2)).toEqual({
      keys: [{ key: names[2], size: 1 }],
      more: false,
    });
  });

  it("let a backup copy files out, and back into a bucket that lacks them, also in parts", async () => {
    const { db, config } = opened();
    await db.update(storedObject).set({ state: "removed" });
    const address = { url: config.DATABASE_URL };
    const files = [randomBytes(70 * MiB), Buffer.from("small"), Buffer.alloc(0)];
    for (const [n, bytes] of files.entries()) {
      const objectKey = `w/copies/${n}`;
      mkdirSync(join(folder, "in/w/copies"), { recursive: true });
      writeFileSync(join(folder, "in", objectKey), bytes);
      const facts = { size: bytes.length, sha256: hash("sha256", bytes) };
      await db
        .insert(storedObject)
        .values({ objectKey, taskId: task, state: "complete", ...facts });
    }
    const bucket = s3Bucket(settings());
    const result = { missing: [], different: [] };
    const from = join(folder, "in");
    expect(await copyIn(address, bucket, from)).toEqual({ ...result, copied: 3, there: 0 });
    expect(await copyIn(address, bucket, from)).toEqual({ ...result, copied: 0, there: 3 });
    const to = join(folder, "out");
    expect(await copyOut(address, bucket, to)).toEqual({ ...result, copied: 3, there: 0 });
    for (const [n, bytes] of files.entries())
      expect(readFileSync(join(to, `w/copies/${n}`)).equals(bytes)).toBe(true);
  });

  it("are not asked for with settings that are only half there", async () => {
    vars.R2_SECRET_ACCESS_KEY = "";
    const refusal = await call(
      `/api/tasks/${task}/weights`,
      { filename: "x", size: 1, sha256: "b".repeat(64), kind: "final" },
      503,
    );
    expect(refusal.detail).toContain("R2_SECRET_ACCESS_KEY");
  });
});
