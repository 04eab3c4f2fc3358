import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { storedObject, trainingTask, weight } from "../platform/db/schema.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { emptyTrash } from "../runs/purge.ts";
import { signUrl } from "./bucket/sign.ts";
import { collectUploads } from "./collect.ts";

const bytesOf = (text: string) => new Uint8Array(new TextEncoder().encode(text));
const textOf = async (response: Response) => new TextDecoder().decode(await response.arrayBuffer());

/** A small LoRA: rank 4, alpha 2, SDXL. `salt` makes it another file. */
function lora(salt = crypto.randomUUID()): Uint8Array<ArrayBuffer> {
  const header = JSON.stringify({
    __metadata__: { ss_base_model_version: "sdxl_base_v1-0", salt, wandb_api_key: "0".repeat(40) },
    "unet_a.alpha": { dtype: "F32", shape: [], data_offsets: [0, 4] },
    "unet_a.lora_down.weight": { dtype: "F32", shape: [4, 2], data_offsets: [4, 36] },
  });
  const file = new Uint8Array(8 + header.length + 36);
  const data = new DataView(file.buffer);
  data.setBigUint64(0, BigInt(header.length), true);
  file.set(bytesOf(header), 8);
  data.setFloat32(8 + header.length, 2, true);
  return file;
}

/** A ledger, somebody's key and a task, with shorthands for the steps of an upload. */
async function setup(vars: Record<string, string> = {}) {
  const ledger = await freshLedger(vars);
  const { key } = await ledger.key();
  const newTask = async (as = key, fields: object = {}): Promise<number> =>
    (await ledger.call("/api/tasks", { key: as, json: { task_name: "t", ...fields } })).task_id;
  const task = await newTask();

  const announce = async (
    file: Uint8Array<ArrayBuffer>,
    more: Record<string, unknown> = {},
    as = key,
  ) => {
    const { task: on = task, ...fields } = more;
    return ledger.call(`/api/tasks/${on}/weights`, {
      key: as,
      json: {
        filename: "my_lora.safetensors",
        size: file.length,
        sha256: await sha256Hex(file),
        kind: "final",
        ...fields,
      },
    });
  };
  const put = (
    target: { url: string; headers: Record<string, string> },
    body: Uint8Array<ArrayBuffer>,
    more: Record<string, string> = {},
  ) =>
    ledger.request(target.url, {
      method: "PUT",
      body,
      headers: { "Content-Length": String(body.length), ...target.headers, ...more },
    });
  const complete = (weightId: number, status = 200, json: object = {}, as = key) =>
    ledger.call(`/api/weights/${weightId}/complete`, { key: as, json }, status);
  /** The whole way; gives the complete weight. */
  const send = async (
    file: Uint8Array<ArrayBuffer>,
    more: Record<string, unknown> = {},
    as = key,
  ) => {
    const { weight_id, upload } = await announce(file, more, as);
    if (upload) expect((await put(upload, file)).status).toBe(200);
    return upload
      ? complete(weight_id, 200, {}, as)
      : ledger.call(`/api/weights/${weight_id}`, { key: as });
  };
  const download = async (weightId: number, headers: Record<string, string> = {}, as = key) => {
    const { url } = await ledger.call(`/api/weights/${weightId}/download?redirect=false`, {
      key: as,
    });
    return ledger.request(url, { headers });
  };
  return { ledger, key, task, newTask, announce, put, complete, send, download };
}

type Setup = Awaited<ReturnType<typeof setup>>;

const objectOf = async ({ ledger }: { ledger: Ledger }, weightId: number) => {
  const [row] = await ledger.db
    .select({ object: storedObject })
    .from(weight)
    .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
    .where(eq(weight.id, weightId));
  if (!row) throw new Error("no such weight");
  return row.object;
};

const problemOf = async (response: Response): Promise<[number, string]> => {
  const { type }: { type?: string } = await response.json();
  return [response.status, type?.replace("urn:lora-ledger:", "") ?? ""];
};

describe("uploading a file", () => {
  let s: Setup;
  beforeAll(async () => {
    s = await setup();
  });

  it("goes up by one PUT and comes back the same, with what its header says", async () => {
    const file = lora();
    const { key } = s;
    const task = await s.newTask(key, { lora_rank: 8, lora_alpha: 2, base_arch: "sdxl" });
    const announced = await s.announce(file, { task, epoch: 1.5, step: 30, group: "g" });
    expect(announced.upload).toMatchObject({ method: "PUT", headers: { "If-None-Match": "*" } });
    expect((await s.put(announced.upload, file)).headers.get("ETag")).toMatch(/^"[0-9a-f]{32}"$/);

    const done = await s.complete(announced.weight_id);
    expect(done).toMatchObject({
      id: announced.weight_id,
      task_id: task,
      attempt: 1,
      state: "complete",
      verified: "sha256",
      sha256: await sha256Hex(file),
      size: file.length,
      epoch: 1.5,
      step: 30,
      group: "g",
      rank: 4,
      alpha: 2,
      algorithm: "lora",
      base_arch: "sdxl",
      tensor_count: 2,
      dtype: "F32",
      metadata: { ss_base_model_version: "sdxl_base_v1-0", wandb_api_key: "[redacted]" },
      mismatches: [{ field: "lora_rank", file: 4, task: 8 }],
      warnings: ["A secret was replaced at metadata.wandb_api_key."],
    });
    expect(done).not.toHaveProperty("object");
    expect(await s.ledger.call(`/api/weights/${done.id}`, { key })).toEqual(done);
    expect(await s.complete(done.id)).toEqual(done);
    expect(await s.ledger.call(`/api/weights/${done.id}/upload`, { key })).toEqual({
      weight_id: done.id,
      upload: null,
    });

    const back = await s.download(done.id);
    expect(new Uint8Array(await back.arrayBuffer())).toEqual(file);
    expect(Object.fromEntries(back.headers)).toMatchObject({
      "content-disposition": `attachment; filename="my_lora.safetensors"; filename*=UTF-8''my_lora.safetensors`,
      "content-type": "application/octet-stream",
      "content-security-policy": expect.stringContaining("sandbox"),
      "x-content-type-options": "nosniff",
    });
    const [row] = await s.ledger.db.select().from(trainingTask).where(eq(trainingTask.id, task));
    expect(row?.weightsPath).toBe("my_lora.safetensors");
  });

  it("doubles nothing when an answer is lost at any step", async () => {
    const file = lora();
    const first = await s.announce(file);
    const second = await s.announce(file);
    expect(second.weight_id).toBe(first.weight_id);
    expect((await s.put(first.upload, file)).status).toBe(200);
    // The answer to the PUT was lost: the same again finds the file there.
    expect((await s.put(second.upload, file)).status).toBe(412);
    const [a, b] = await Promise.all([s.complete(first.weight_id), s.complete(first.weight_id)]);
    expect(a).toEqual(b);
    expect(await s.announce(file)).toEqual({ weight_id: first.weight_id, upload: null });
    const { items } = await s.ledger.call(`/api/weights?task_id=${s.task}`, { key: s.key });
    expect(items.filter((item: { sha256: string }) => item.sha256 === a.sha256)).toHaveLength(1);
  });

  it("costs one round trip to announce a file, and two to complete it", async () => {
    const file = lora();
    const response = await s.ledger.request(`/api/tasks/${s.task}/weights`, {
      key: s.key,
      json: { filename: "x", size: file.length, sha256: await sha256Hex(file), kind: "final" },
    });
    expect(response.headers.get("Server-Timing")).toContain("trips=1 ");
    const { weight_id, upload } = await response.json<{
      weight_id: number;
      upload: { url: string; headers: Record<string, string> };
    }>();
    await s.put(upload, file);
    const done = await s.ledger.request(`/api/weights/${weight_id}/complete`, {
      key: s.key,
      json: {},
    });
    expect(done.headers.get("Server-Timing")).toContain("trips=2 ");
  });

  it("refuses other bytes than were announced, and stores none of them", async () => {
    const file = lora();
    const { weight_id, upload } = await s.announce(file);
    const other = file.slice();
    other[other.length - 1] = 1;
    expect(await problemOf(await s.put(upload, other))).toEqual([422, "hash-differs"]);
    expect(await problemOf(await s.put(upload, file.slice(1)))).toEqual([400, "too-short"]);
    expect(await problemOf(await s.put(upload, new Uint8Array(file.length + 1)))).toEqual([
      413,
      "too-large",
    ]);
    const chunked = await s.ledger.request(upload.url, { method: "PUT", body: file });
    expect(await problemOf(chunked)).toEqual([411, "length-required"]);
    const { objectKey } = await objectOf(s, weight_id);
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    expect(await s.complete(weight_id, 409)).toMatchObject({
      type: "urn:lora-ledger:not-uploaded",
    });
    expect((await s.put(upload, file)).status).toBe(200);
    expect((await s.complete(weight_id)).verified).toBe("sha256");
  });

  it.each([
    ["sha256", (file: Uint8Array<ArrayBuffer>) => file.map((b) => b ^ 1)],
    ["size", (file: Uint8Array<ArrayBuffer>) => file.slice(1)],
  ])("takes away what turns out to differ in %s, and starts anew", async (field, change) => {
    const file = lora();
    const streaming = await setup({ VERIFY_BY_STREAMING: "true" });
    const { weight_id } = await streaming.announce(file);
    const { objectKey } = await objectOf(streaming, weight_id);
    // As a presigned URL would let a client do: the bytes get in without the Worker's look.
    await env.BUCKET.put(objectKey, change(file));
    const refusal = await streaming.complete(weight_id, 422);
    expect(refusal.errors).toEqual([{ path: field, message: expect.any(String) }]);
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    const { key } = streaming;
    expect((await streaming.ledger.call(`/api/weights/${weight_id}`, { key })).state).toBe(
      "aborted",
    );
    expect(await streaming.complete(weight_id, 409)).toMatchObject({ state: "aborted" });
    expect((await streaming.ledger.call("/api/weights", { key })).items).toEqual([]);
    const again = await streaming.send(file);
    expect(again.id).not.toBe(weight_id);
  });

  it("ends its URLs with complete", async () => {
    const file = lora();
    const { weight_id, upload } = await s.announce(file);
    await s.put(upload, file);
    await s.complete(weight_id);
    expect(await problemOf(await s.put(upload, file))).toEqual([410, "upload-closed"]);
  });

  it("takes no key on a signed URL, and no changed, foreign or expired one", async () => {
    const file = lora();
    const { weight_id, upload } = await s.announce(file);
    expect(
      await problemOf(await s.put(upload, file, { Authorization: `Bearer ${s.key}` })),
    ).toEqual([400, "key-sent"]);
    for (const [from, to] of [
      ["size=", "size=1"],
      ["sha256=", "sha256=0"],
      ["/w/", "/w/1"],
      ["expires=", "expires=9"],
    ]) {
      const url = upload.url.replace(from, to);
      expect(await problemOf(await s.put({ ...upload, url }, file))).toEqual([
        403,
        "signature-not-valid",
      ]);
    }
    expect(await problemOf(await s.ledger.request(upload.url))).toEqual([
      403,
      "signature-not-valid",
    ]);
    const { objectKey } = await objectOf(s, weight_id);
    const old = await signUrl(s.ledger.config, "http://ledger.test", {
      method: "PUT",
      key: objectKey,
      expires: Math.floor(Date.now() / 1000) - 1,
      params: { size: String(file.length), sha256: await sha256Hex(file) },
    });
    expect(await problemOf(await s.put({ ...upload, url: old }, file))).toEqual([
      403,
      "url-expired",
    ]);
  });

  it("accepts a file that only claims to be a safetensors file, and says so", async () => {
    const file = new Uint8Array(64);
    new DataView(file.buffer).setBigUint64(0, 2n ** 63n, true);
    crypto.getRandomValues(file.subarray(8));
    const done = await s.send(file);
    expect(done).toMatchObject({
      state: "complete",
      rank: null,
      tensor_count: null,
      mismatches: null,
    });
    expect(done.warnings).toEqual([expect.stringContaining("no valid safetensors file")]);
  });

  it("takes empty files", async () => {
    const done = await s.send(new Uint8Array(), { filename: "log.txt", kind: "config" });
    expect(done).toMatchObject({ size: 0, verified: "sha256", state: "complete" });
    expect((await s.download(done.id)).status).toBe(200);
  });

  it.each([
    ["../up.safetensors"],
    ["a/../../up"],
    ["/etc/passwd"],
    ["a\\b"],
    ["C:/x"],
    ["a//b"],
    ["./a"],
    [""],
    ["a\u0000b"],
    ["a\nb"],
    ["\ud800"],
    ["x".repeat(256)],
  ])("refuses the name %j", async (filename) => {
    const json = { filename, size: 1, sha256: "0".repeat(64), kind: "final" };
    const response = await s.ledger.request(`/api/tasks/${s.task}/weights`, { key: s.key, json });
    expect(response.status).toBe(422);
  });

  it("refuses wrong hashes, sizes, kinds and fields, and takes upper-case hashes", async () => {
    const good = {
      filename: "checkpoint-5/adapter_model.safetensors",
      size: 1,
      sha256: "A".repeat(64),
      kind: "checkpoint",
    };
    const send = (change: object) =>
      s.ledger.request(`/api/tasks/${s.task}/weights`, {
        key: s.key,
        json: { ...good, ...change },
      });
    for (const change of [
      { sha256: "a" },
      { sha256: "g".repeat(64) },
      { size: -1 },
      { size: 1.5 },
      { size: "1" },
      { kind: "x" },
      { state: "complete" },
      { verified: "sha256" },
      { attempt: -1 },
    ])
      expect((await send(change)).status, JSON.stringify(change)).toBe(422);
    expect(await problemOf(await send({ size: 5 * 2 ** 40 }))).toEqual([413, "too-large"]);
    const { weight_id } = await (await send({})).json<{ weight_id: number }>();
    expect((await s.ledger.call(`/api/weights/${weight_id}`, { key: s.key })).sha256).toBe(
      "a".repeat(64),
    );
  });
});

// These move 91 MiB each, which takes its time on a busy machine.
describe("large files", { timeout: 120_000 }, () => {
  const MiB = 1024 * 1024;
  const size = 91 * MiB;
  const block = new Uint8Array(16 * MiB);
  const partOf = (number: number) =>
    block.subarray(0, Math.min(16 * MiB, size - (number - 1) * 16 * MiB));
  let sha256 = "";
  let md5s: string[] = [];
  beforeAll(async () => {
    for (let at = 0; at < block.length; at += 65536)
      crypto.getRandomValues(block.subarray(at, at + 65536));
    const digest = new crypto.DigestStream("SHA-256");
    const writer = digest.getWriter();
    for (let number = 1; number <= 6; number++) await writer.write(partOf(number));
    await writer.close();
    const hexOf = (bytes: ArrayBuffer) =>
      Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
    sha256 = hexOf(await digest.digest);
    const [full, last] = await Promise.all(
      [block, partOf(6)].map((b) => crypto.subtle.digest("MD5", b)),
    );
    if (full && last) md5s = [1, 2, 3, 4, 5].map(() => hexOf(full)).concat(hexOf(last));
  });
  const file = () => ({ filename: "state/optimizer.bin", size, sha256, kind: "state" });

  it("go up in parts, on from where they broke, and come back the same", async () => {
    const s = await setup({ VERIFY_BY_STREAMING: "true" });
    const announce = () =>
      s.ledger.call(`/api/tasks/${s.task}/weights`, { key: s.key, json: file() });
    const { weight_id, upload } = await announce();
    expect(upload).toMatchObject({ part_size: 16 * MiB, part_count: 6, remaining: 6 });
    expect(upload.parts.map((p: { number: number }) => p.number)).toEqual([1, 2, 3, 4, 5, 6]);
    // Broken after parts 2 and 6; what they carried stays.
    for (const number of [2, 6]) {
      const sent = await s.put(upload.parts[number - 1], partOf(number));
      expect(sent.status).toBe(200);
      expect(sent.headers.get("ETag")).toMatch(/^".+"$/);
    }
    expect(await problemOf(await s.put(upload.parts[0], partOf(6)))).toEqual([400, "too-short"]);
    expect(await s.complete(weight_id, 409)).toMatchObject({ missing: [1, 3, 4, 5] });
    const again = await announce();
    expect(again.weight_id).toBe(weight_id);
    expect(again.upload.parts.map((p: { number: number }) => p.number)).toEqual([1, 3, 4, 5]);
    const page = await s.ledger.call(`/api/weights/${weight_id}/upload?from=2&limit=2`, {
      key: s.key,
    });
    expect(page.upload).toMatchObject({ remaining: 3, parts: [{ number: 3 }, { number: 4 }] });
    for (const part of again.upload.parts)
      expect((await s.put(part, partOf(part.number))).status).toBe(200);
    // A part sent again replaces itself.
    expect((await s.put(upload.parts[1], partOf(2))).status).toBe(200);

    const done = await s.complete(weight_id);
    expect(done).toMatchObject({ state: "complete", verified: "sha256", size, sha256 });
    expect(await problemOf(await s.put(upload.parts[0], partOf(1)))).toEqual([
      410,
      "upload-closed",
    ]);

    const back = await s.download(weight_id);
    const digest = new crypto.DigestStream("SHA-256");
    await back.body?.pipeTo(digest);
    expect(new Uint8Array(await digest.digest)).toEqual(
      Uint8Array.from(sha256.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
    );
    const range = await s.download(weight_id, { Range: `bytes=${90 * MiB}-` });
    expect(range.status).toBe(206);
    expect((await range.arrayBuffer()).byteLength).toBe(MiB);
  });

  it("are one upload when announced twice at once, and begin anew when the bucket lost it", async () => {
    const s = await setup();
    const announce = () =>
      s.ledger.call(`/api/tasks/${s.task}/weights`, { key: s.key, json: file() });
    const [a, b] = await Promise.all([announce(), announce()]);
    const idOf = (url: string) => new URL(url).searchParams.get("upload") ?? "";
    const uploadId = idOf(a.upload.parts[0].url);
    expect(b.weight_id).toBe(a.weight_id);
    expect(idOf(b.upload.parts[5].url)).toBe(uploadId);
    expect((await s.put(a.upload.parts[5], partOf(6))).status).toBe(200);

    const { objectKey } = await objectOf(s, a.weight_id);
    await env.BUCKET.resumeMultipartUpload(objectKey, uploadId).abort();
    expect(await problemOf(await s.put(a.upload.parts[0], partOf(1)))).toEqual([
      410,
      "upload-closed",
    ]);
    const again = await announce();
    expect(again).toMatchObject({ weight_id: a.weight_id, upload: { remaining: 6 } });
    expect(idOf(again.upload.parts[0].url)).not.toBe(uploadId);
    expect((await s.put(again.upload.parts[0], partOf(1))).status).toBe(200);
  });

  it("are checked by the MD5s of their parts where hashing the whole costs too much", async () => {
    const s = await setup();
    const upload = async () => {
      const answer = await s.ledger.call(`/api/tasks/${s.task}/weights`, {
        key: s.key,
        json: file(),
      });
      const parts = [];
      for (const part of answer.upload.parts) {
        const sent = await s.put(part, partOf(part.number));
        parts.push({
          number: part.number,
          etag: sent.headers.get("ETag"),
          md5: md5s[part.number - 1],
        });
      }
      return { weight_id: answer.weight_id, parts };
    };
    const first = await upload();
    const foreign = first.parts.map((p) => (p.number === 3 ? { ...p, etag: '"another"' } : p));
    expect(await s.complete(first.weight_id, 409, { parts: foreign })).toMatchObject({
      missing: [3],
    });
    const wrong = first.parts.map((p) => ({ ...p, md5: "0".repeat(32) }));
    expect(await s.complete(first.weight_id, 422, { parts: wrong })).toMatchObject({
      errors: [{ path: "parts" }],
    });

    const { weight_id, parts } = await upload();
    expect(await s.complete(weight_id, 200, { parts })).toMatchObject({ verified: "parts" });
    // Not hashed by the ledger itself, so it serves nobody else as that file.
    const other = await s.newTask();
    const announced = await s.ledger.call(`/api/tasks/${other}/weights`, {
      key: s.key,
      json: file(),
    });
    expect(announced.upload.parts).toHaveLength(6);
  });
});

describe("one file twice", () => {
  it("is stored once where the caller may read it, and each weight stands by itself", async () => {
    const s = await setup();
    const file = lora();
    const first = await s.send(file);
    const other = await s.newTask(s.key, { lora_rank: 4 });
    const announced = await s.announce(file, { task: other, filename: "copy.safetensors" });
    expect(announced.upload).toBeNull();
    const copy = await s.ledger.call(`/api/weights/${announced.weight_id}`, { key: s.key });
    expect(copy).toMatchObject({
      state: "complete",
      verified: "sha256",
      rank: 4,
      mismatches: [],
      filename: "copy.safetensors",
    });
    const [row] = await s.ledger.db.select().from(trainingTask).where(eq(trainingTask.id, other));
    expect(row?.weightsPath).toBe("copy.safetensors");
    expect((await objectOf(s, copy.id)).id).toBe((await objectOf(s, first.id)).id);

    const { objectKey } = await objectOf(s, first.id);
    await s.ledger.call(`/api/weights/${first.id}`, { key: s.key, method: "DELETE" }, 204);
    await collectUploads(s.ledger.db, s.ledger.bindings, s.ledger.config);
    expect(await env.BUCKET.head(objectKey)).not.toBeNull();
    expect(new Uint8Array(await (await s.download(copy.id)).arrayBuffer())).toEqual(file);
    await s.ledger.call(`/api/weights/${copy.id}`, { key: s.key, method: "DELETE" }, 204);
    const purge = async () => {
      await emptyTrash(s.ledger.db, s.ledger.bindings, s.ledger.config);
      await collectUploads(s.ledger.db, s.ledger.bindings, s.ledger.config);
    };
    await purge();
    // In the trash with its bytes, until its days have passed.
    const { items } = await s.ledger.call("/api/weights?deleted=true", { key: s.key });
    expect(items.map((w: { id: number }) => w.id)).toEqual([copy.id, first.id]);
    const back = await s.ledger.call(`/api/weights/${copy.id}/restore`, {
      key: s.key,
      method: "POST",
    });
    expect(back).toMatchObject({ id: copy.id, state: "complete" });
    expect(new Uint8Array(await (await s.download(copy.id)).arrayBuffer())).toEqual(file);
    await s.ledger.call(`/api/weights/${copy.id}`, { key: s.key, method: "DELETE" }, 204);
    await s.ledger.db.update(weight).set({ deletedAt: "2020-01-01T00:00:00.000Z" });
    await purge();
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    await s.ledger.call(`/api/weights/${copy.id}/restore`, { key: s.key, method: "POST" }, 404);
    // Gone for good: it has to come again.
    expect((await s.announce(file)).upload).not.toBeNull();
  });

  it("has the same facts under any name, whichever name came first", async () => {
    const s = await setup();
    const file = lora();
    const first = await s.send(file, { filename: "aki.sft" });
    expect(first).toMatchObject({ rank: 4, alpha: 2, base_arch: "sdxl", mismatches: [] });
    for (const task of [undefined, await s.newTask(s.key, { lora_rank: 8 })]) {
      const again = await s.announce(file, { ...(task && { task }), filename: "aki.safetensors" });
      expect(again.upload).toBeNull();
      const found = await s.ledger.call(`/api/weights/${again.weight_id}`, { key: s.key });
      expect(found).toMatchObject({
        ...{ rank: 4, alpha: 2, algorithm: "lora", base_arch: "sdxl", tensor_count: 2 },
        mismatches: task ? [{ field: "lora_rank", file: 4, task: 8 }] : [],
      });
    }
    // Its name alone calls a file safetensors, and only then is it told that it is none.
    const text = bytesOf("no tensors at all");
    expect(await s.send(text, { filename: "notes.sft" })).not.toHaveProperty("warnings");
  });

  it("reads the facts of a file that was stored without them when it comes as safetensors", async () => {
    const s = await setup();
    const file = lora();
    const first = await s.send(file, { filename: "aki.bin" });
    await s.ledger.db
      .update(storedObject)
      .set({ rank: null, alpha: null, tensorCount: null, warnings: [] });
    const again = await s.announce(file, { filename: "aki.safetensors" });
    expect(again.upload).toBeNull();
    await expect
      .poll(() => s.ledger.call(`/api/weights/${again.weight_id}`, { key: s.key }))
      .toMatchObject({ rank: 4, alpha: 2, tensor_count: 2 });
    expect((await objectOf(s, again.weight_id)).id).toBe((await objectOf(s, first.id)).id);
  });

  it("never lets a box key have or spoil a file of another task by naming its hash", async () => {
    const s = await setup();
    const file = lora();
    const mine = await s.send(file);
    const box = (await s.ledger.key({ scopes: ["box"] })).key;
    const task = await s.newTask(box);
    const theft = await s.announce(file, { task, attempt: 1 }, box);
    expect(theft.upload).not.toBeNull();
    expect(
      await s.ledger.call(`/api/weights/${theft.weight_id}/download`, { key: box }, 409),
    ).toMatchObject({ state: "uploading" });
    const bad = file.slice();
    bad[bad.length - 1] = 7;
    expect((await s.put(theft.upload, bad)).status).toBe(422);
    expect((await objectOf(s, theft.weight_id)).objectKey).not.toBe(
      (await objectOf(s, mine.id)).objectKey,
    );
    expect(new Uint8Array(await (await s.download(mine.id)).arrayBuffer())).toEqual(file);

    // Its own task's file it need not send twice.
    expect((await s.put(theft.upload, file)).status).toBe(200);
    await s.complete(theft.weight_id, 200, {}, box);
    const copy = await s.announce(file, { task, attempt: 1, filename: "again.safetensors" }, box);
    expect(copy.upload).toBeNull();
  });

  it("is a box key's no more once it was deleted from its task, though another holds it", async () => {
    const s = await setup();
    const file = lora();
    await s.send(file);
    const box = (await s.ledger.key({ scopes: ["box"] })).key;
    const admin = (await s.ledger.key({ role: "admin" })).key;
    const task = await s.newTask(box);
    const given = await s.announce(file, { task, filename: "given.safetensors" }, admin);
    expect(given.upload).toBeNull();
    const ask = () => s.announce(file, { task, attempt: 1, filename: "asked.safetensors" }, box);
    await s.ledger.call(`/api/weights/${given.weight_id}`, { key: admin, method: "DELETE" }, 204);
    expect((await ask()).upload).not.toBeNull();
  });

  it("does not serve keys that may not read, nor files of deleted tasks", async () => {
    const s = await setup();
    const file = lora();
    await s.send(file);
    const blind = (await s.ledger.key({ scopes: ["tasks:write", "tasks:read", "weights:write"] }))
      .key;
    const task = await s.newTask(blind);
    expect((await s.announce(file, { task }, blind)).upload).not.toBeNull();
    await s.ledger.db
      .update(trainingTask)
      .set({ deletedAt: "2026-01-01T00:00:00.000Z" })
      .where(eq(trainingTask.id, s.task));
    const other = await s.newTask();
    expect((await s.announce(file, { task: other })).upload).not.toBeNull();
  });

  it("uploads apart while neither is complete", async () => {
    const s = await setup();
    const file = lora();
    const [a, b] = await Promise.all([
      s.announce(file, { filename: "a.bin" }),
      s.announce(file, { filename: "b.bin" }),
    ]);
    expect(a.weight_id).not.toBe(b.weight_id);
    for (const { weight_id, upload } of [a, b]) {
      expect((await s.put(upload, file)).status).toBe(200);
      await s.complete(weight_id);
    }
    const same = await Promise.all(
      [1, 2, 3, 4].map(() => s.announce(lora("same"), { filename: "c" })),
    );
    expect(new Set(same.map((answer) => answer.weight_id)).size).toBe(1);
  });
});

describe("whose file", () => {
  it("is the business of its task's owner; others read, and box keys see their own tasks alone", async () => {
    const s = await setup();
    const file = lora();
    const mine = await s.send(file);
    const { ledger } = s;
    const reader = (await ledger.key({ role: "viewer" })).key;
    const member = (await ledger.key()).key;
    const admin = (await ledger.key({ role: "admin" })).key;
    const box = (await ledger.key({ scopes: ["box"] })).key;
    const announce = (key: string) =>
      ledger.request(`/api/tasks/${s.task}/weights`, {
        key,
        json: { attempt: 1, filename: "x", size: 1, sha256: "0".repeat(64), kind: "final" },
      });
    expect((await announce(reader)).status).toBe(403);
    expect((await announce(member)).status).toBe(404);
    expect((await announce(box)).status).toBe(404);
    expect((await announce(admin)).status).toBe(200);
    for (const path of ["", "/upload", "/download?redirect=false"])
      await ledger.call(`/api/weights/${mine.id}${path}`, { key: box }, 404);
    await ledger.call(`/api/weights/${mine.id}/complete`, { key: box, json: {} }, 404);
    await ledger.call(`/api/weights/${mine.id}/complete`, { key: member, json: {} }, 404);
    expect((await ledger.call(`/api/weights?task_id=${s.task}`, { key: box })).items).toEqual([]);
    await ledger.call("/api/weights", { key: box }, 422);
    await ledger.call(`/api/weights/${mine.id}`, { key: member, method: "DELETE" }, 404);
    await ledger.call(`/api/weights/${mine.id}`, { key: reader, method: "DELETE" }, 403);
    const task = await s.newTask(box);
    const boxed = await s.send(lora(), { task, attempt: 1 }, box);
    await ledger.call(`/api/weights/${boxed.id}`, { key: box, method: "DELETE" }, 403);
    for (const [id, as] of [
      [boxed.id, box],
      [mine.id, reader],
      [mine.id, member],
    ])
      expect((await (await s.download(id, {}, as)).arrayBuffer()).byteLength).toBe(mine.size);
  });

  it("needs the attempt of box keys, and takes nothing of a superseded one", async () => {
    const s = await setup();
    const { ledger, key } = s;
    const box = (await ledger.key({ scopes: ["box"] })).key;
    const task = await s.newTask(box);
    const announce = (fields: object, as: string, on = task) =>
      ledger.request(`/api/tasks/${on}/weights`, {
        key: as,
        json: { filename: "x", size: 1, sha256: "0".repeat(64), kind: "final", ...fields },
      });
    expect((await announce({}, box)).status).toBe(422);
    expect((await announce({ attempt: 0 }, box)).status).toBe(200);
    expect((await announce({ attempt: 1 }, box)).status).toBe(200);
    expect(await problemOf(await announce({ attempt: 2 }, box))).toEqual([409, "attempt-not-open"]);

    const file = lora();
    const late = await s.announce(file, { filename: "old.safetensors" });
    await ledger.db.update(trainingTask).set({ attempt: 3 }).where(eq(trainingTask.id, s.task));
    const refused = await announce({ attempt: 2 }, key, s.task);
    expect(await refused.clone().json()).toMatchObject({ attempt: 3 });
    expect(await problemOf(refused)).toEqual([409, "superseded"]);
    // What it had begun may end, but is the task's result no more.
    await s.send(lora(), { filename: "new.safetensors" });
    await s.put(late.upload, file);
    expect(await s.complete(late.weight_id)).toMatchObject({ attempt: 1, state: "complete" });
    const [row] = await ledger.db.select().from(trainingTask).where(eq(trainingTask.id, s.task));
    expect(row?.weightsPath).toBe("new.safetensors");
  });

  it("is hidden with its deleted task", async () => {
    const s = await setup();
    const mine = await s.send(lora());
    await s.ledger.db
      .update(trainingTask)
      .set({ deletedAt: "2026-01-01T00:00:00.000Z" })
      .where(eq(trainingTask.id, s.task));
    await s.ledger.call(`/api/weights/${mine.id}`, { key: s.key }, 404);
    await s.ledger.call(`/api/weights/${mine.id}/download`, { key: s.key }, 404);
    expect((await s.ledger.call("/api/weights", { key: s.key })).items).toEqual([]);
    await s.ledger.call(
      `/api/tasks/${s.task}/weights`,
      { key: s.key, json: { filename: "x", size: 1, sha256: "0".repeat(64), kind: "final" } },
      404,
    );
  });
});

describe("lists", () => {
  it("page newest first, by task, kind and state, without metadata", async () => {
    const s = await setup();
    const sent = [];
    for (const kind of ["checkpoint", "sample", "checkpoint", "final"])
      sent.push(
        (await s.send(bytesOf(crypto.randomUUID()), { kind, filename: `${sent.length}.bin` })).id,
      );
    await s.send(lora(), { task: await s.newTask() });
    const ids = async (query: string) => {
      const answer = await s.ledger.call(`/api/weights?task_id=${s.task}&${query}`, { key: s.key });
      return { ids: answer.items.map((item: { id: number }) => item.id), next: answer.next_cursor };
    };
    expect((await ids("")).ids).toEqual(sent.toReversed());
    expect((await ids("kind=checkpoint")).ids).toEqual([sent[2], sent[0]]);
    expect((await ids("state=uploading")).ids).toEqual([]);
    expect((await ids("attempt=2")).ids).toEqual([]);
    const first = await ids("limit=3");
    expect((await ids(`limit=3&cursor=${first.next}`)).ids).toEqual([sent[0]]);
    const { items } = await s.ledger.call("/api/weights?kind=final", { key: s.key });
    expect(items).toHaveLength(2);
    expect(items[0]).not.toHaveProperty("metadata");
    await s.ledger.call("/api/weights?nonsense=1", { key: s.key }, 422);
  });
});

describe("downloads", () => {
  let s: Setup;
  let id = 0;
  let url = "";
  const text = "0123456789";
  beforeAll(async () => {
    s = await setup();
    id = (await s.send(bytesOf(text), { filename: 'sam"ples/ä b;.txt', kind: "sample" })).id;
    url = (await s.ledger.call(`/api/weights/${id}/download?redirect=false`, { key: s.key })).url;
  });

  it("redirect to a URL without the key, or give it as JSON", async () => {
    const response = await s.ledger.request(`/api/weights/${id}/download`, {
      key: s.key,
      redirect: "manual",
    });
    expect(response.status).toBe(302);
    const location = response.headers.get("Location") ?? "";
    expect(location).toMatch(/^http:\/\/ledger\.test\/signed\/w\//);
    expect(location).not.toContain(s.key);
    expect(await textOf(await s.ledger.request(location))).toBe(text);
    const json = await s.ledger.call(`/api/weights/${id}/download?redirect=false`, { key: s.key });
    expect(json).toMatchObject({ size: 10, sha256: await sha256Hex(text) });
    expect(Date.parse(json.expires_at) - Date.now()).toBeLessThanOrEqual(600_000);
  });

  it("answer ranges, conditions and HEAD, so that a broken download goes on", async () => {
    const get = (headers: Record<string, string>, method = "GET") =>
      s.ledger.request(url, { method, headers });
    const whole = await get({});
    expect(whole.status).toBe(200);
    const etag = whole.headers.get("ETag") ?? "";
    expect(await textOf(whole)).toBe(text);
    for (const [range, part, content] of [
      ["bytes=4-", "456789", "bytes 4-9/10"],
      ["bytes=2-3", "23", "bytes 2-3/10"],
      ["bytes=8-99", "89", "bytes 8-9/10"],
      ["bytes=-3", "789", "bytes 7-9/10"],
    ]) {
      const response = await get({ Range: range ?? "", "If-Range": etag });
      expect(response.status).toBe(206);
      expect(response.headers.get("Content-Range")).toBe(content);
      expect(await textOf(response)).toBe(part);
    }
    for (const range of ["bytes=10-", "bytes=99-100", "bytes=-0"]) {
      const response = await get({ Range: range });
      expect(response.headers.get("Content-Range")).toBe("bytes */10");
      expect(await problemOf(response)).toEqual([416, "range"]);
    }
    for (const range of ["bytes=3-2", "lines=1-2", "bytes=0-1,3-4"])
      expect(await textOf(await get({ Range: range }))).toBe(text);
    expect(await textOf(await get({ Range: "bytes=4-", "If-Range": '"other"' }))).toBe(text);
    expect((await get({ "If-None-Match": etag })).status).toBe(304);
    expect((await get({ "If-Match": '"other"' })).status).toBe(412);
    const head = await get({}, "HEAD");
    expect([head.status, head.headers.get("Content-Length"), head.headers.get("ETag")]).toEqual([
      200,
      "10",
      etag,
    ]);
    expect(await head.text()).toBe("");
  });

  it("name the file safely and let nothing in it run", async () => {
    const response = await s.ledger.request(url);
    await response.arrayBuffer();
    expect(response.headers.get("Content-Disposition")).toBe(
      `attachment; filename="_ b_.txt"; filename*=UTF-8''%C3%A4%20b%3B.txt`,
    );
    expect(response.headers.get("Content-Type")).toBe("application/octet-stream");
  });

  it("show an image inline by its bytes, never by its name", async () => {
    const shown = async (file: Uint8Array<ArrayBuffer>, filename: string) => {
      const response = await s.download((await s.send(file, { filename, kind: "sample" })).id);
      await response.arrayBuffer();
      const { headers } = response;
      return [
        headers.get("Content-Type"),
        headers.get("Content-Disposition")?.split(";")[0],
        headers.get("Content-Security-Policy")?.split(";")[0],
      ];
    };
    const png = Uint8Array.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", (c) => c.charCodeAt(0));
    expect(await shown(png, "sample.html")).toEqual(["image/png", "inline", "sandbox"]);
    expect(await shown(bytesOf("<script>alert(1)</script>"), "sample.png")).toEqual([
      "application/octet-stream",
      "attachment",
      "sandbox",
    ]);
  });

  it("end with their time, a change of the URL, or a key on it", async () => {
    expect(await problemOf(await s.ledger.request(url, { key: s.key }))).toEqual([400, "key-sent"]);
    expect(await problemOf(await s.ledger.request(`${url}&name=x`))).toEqual([
      403,
      "signature-not-valid",
    ]);
    expect(await problemOf(await s.ledger.request(url, { method: "PUT", body: "x" }))).toEqual([
      403,
      "signature-not-valid",
    ]);
  });
});

describe("deleting and sweeping", () => {
  const sweep = ({ ledger }: Setup) => collectUploads(ledger.db, ledger.bindings, ledger.config);

  it("gives an unfinished upload up at once", async () => {
    const s = await setup();
    const file = lora();
    const { weight_id, upload } = await s.announce(file);
    await s.put(upload, file);
    const { objectKey } = await objectOf(s, weight_id);
    await s.ledger.call(`/api/weights/${weight_id}`, { key: s.key, method: "DELETE" }, 204);
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    expect(await problemOf(await s.put(upload, file))).toEqual([410, "upload-closed"]);
    for (const path of ["", "/upload"])
      await s.ledger.call(`/api/weights/${weight_id}${path}`, { key: s.key }, 404);
    await s.ledger.call(`/api/weights/${weight_id}`, { key: s.key, method: "DELETE" }, 404);
    expect((await s.announce(file)).weight_id).not.toBe(weight_id);
  });

  it("takes the final file's name back when it goes", async () => {
    const s = await setup();
    const first = await s.send(lora(), { filename: "one.safetensors" });
    const second = await s.send(lora(), { filename: "two.safetensors" });
    const path = async () =>
      (await s.ledger.db.select().from(trainingTask).where(eq(trainingTask.id, s.task)))[0]
        ?.weightsPath;
    expect(await path()).toBe("two.safetensors");
    await s.ledger.call(`/api/weights/${second.id}`, { key: s.key, method: "DELETE" }, 204);
    expect(await path()).toBe("one.safetensors");
    await s.ledger.call(`/api/weights/${first.id}`, { key: s.key, method: "DELETE" }, 204);
    expect(await path()).toBeNull();
  });

  it("aborts abandoned uploads, and leaves the others alone", async () => {
    const s = await setup();
    const kept = await s.send(lora());
    const open = await s.announce(lora(), { filename: "open" });
    const file = lora();
    const old: number[] = [];
    for (let i = 0; i < 7; i++) {
      const announced = await s.announce(file, { filename: `old-${i}` });
      if (i === 0) await s.put(announced.upload, file);
      old.push(announced.weight_id);
      const { id } = await objectOf(s, announced.weight_id);
      await s.ledger.db
        .update(storedObject)
        .set({ createdAt: "2020-01-01T00:00:00.000Z" })
        .where(eq(storedObject.id, id));
    }
    const states = () =>
      Promise.all(
        old.map(async (id) => (await s.ledger.call(`/api/weights/${id}`, { key: s.key })).state),
      );
    const { objectKey } = await objectOf(s, old[0] ?? 0);
    await sweep(s);
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    expect(new Set(await states())).toEqual(new Set(["aborted"]));
    expect((await s.ledger.call(`/api/weights/${open.weight_id}`, { key: s.key })).state).toBe(
      "uploading",
    );
    expect((await s.download(kept.id)).status).toBe(200);

    // A PUT that was under way when its upload was given up leaves nothing for good.
    await env.BUCKET.put(objectKey, file);
    await s.ledger.db
      .update(storedObject)
      .set({ sweepAt: "2020-01-01T00:00:00.000Z" })
      .where(eq(storedObject.state, "aborted"));
    await sweep(s);
    await sweep(s);
    expect(await env.BUCKET.head(objectKey)).toBeNull();
    const left = await s.ledger.db
      .select()
      .from(storedObject)
      .where(eq(storedObject.state, "aborted"));
    expect(left).toEqual([]);
  });
});
