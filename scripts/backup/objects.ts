import { createHash } from "node:crypto";
import { createWriteStream, existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@libsql/client/http";
import { presign, type S3Settings, s3Client, s3Settings } from "../../src/files/bucket/s3.ts";
import type { DatabaseAddress } from "../local/database.ts";
import { Trouble } from "../local/processes.ts";
import { type Progress, progress } from "../local/progress.ts";
import { remoteEnv, remoteFile } from "../local/remote.ts";

type Parts = AsyncIterable<ArrayBuffer> | Iterable<ArrayBuffer>;

/** Where the bytes of weights lie. Sizes in bytes; null where there is no such object. */
export type Bucket = {
  /** Bytes of the parts that write() takes. */
  part: number;
  size(key: string): Promise<number | null>;
  read(key: string): Promise<AsyncIterable<Uint8Array> | null>;
  write(key: string, parts: Parts, size: number): Promise<void>;
  close(): Promise<void>;
};

export const PART = 64 * 1024 * 1024;
const AT_ONCE = 4;

/** R2 itself, by the S3 credentials of the deployed service. */
export function remoteBucket(): Bucket {
  const env = remoteEnv();
  const s3 = s3Settings(env);
  if (!s3)
    throw new Trouble(
      `Copying files from or to R2 needs R2_ACCOUNT_ID, R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY in ${remoteFile}.`,
    );
  return s3Bucket(s3);
}

export function s3Bucket(s3: S3Settings): Bucket {
  const client = s3Client(s3);
  async function put(key: string, body: ArrayBuffer, query?: Record<string, string>) {
    const url = await presign(s3, { method: "PUT", key, expires: 3600, query });
    const response = await fetch(url, { method: "PUT", body });
    await response.body?.cancel();
    if (!response.ok) throw new Trouble(`The file storage answered ${response.status} to ${key}.`);
    return response.headers.get("ETag")?.replaceAll('"', "") ?? "";
  }
  /**
   * The answer to a GET, by Node's own client: with undici 7, fetch ends the whole process where the
   * storage closes a connection whose bytes wait for the disk (nodejs/undici#5360).
   */
  async function get(key: string): Promise<IncomingMessage> {
    const url = await presign(s3, { method: "GET", key, expires: 3600 });
    return new Promise((answered, failed) => {
      const client = url.startsWith("https:") ? https : http;
      client
        .get(url, answered)
        .on("error", (error) =>
          failed(new Trouble(`The file storage cannot be reached: ${error.message}.`)),
        );
    });
  }
  async function read(key: string) {
    let response = await get(key);
    const { statusCode: status = 0 } = response;
    if (status === 429 || status >= 500) {
      response.resume();
      await sleep(1000);
      response = await get(key);
    }
    if (response.statusCode === 200) return response;
    response.resume();
    if (response.statusCode === 404) return null;
    throw new Trouble(`The file storage answered ${response.statusCode} to ${key}.`);
  }
  return {
    part: PART,
    size: async (key) => (await client.head(key))?.size ?? null,
    read,
    async write(key, parts, size) {
      if (size <= PART) {
        for await (const bytes of parts) await put(key, bytes);
        return;
      }
      const uploadId = await client.createUpload(key);
      const done: { number: number; etag: string }[] = [];
      for await (const bytes of parts) {
        const number = done.length + 1;
        const etag = await put(key, bytes, { partNumber: String(number), uploadId });
        done.push({ number, etag });
      }
      if (!(await client.completeUpload(key, uploadId, done)))
        throw new Trouble(`The file storage lost parts of ${key}. Try again.`);
    },
    close: async () => {},
  };
}

type StoredObject = { key: string; size: number; sha256: string };

/** Tables that name objects, and which of their rows do. */
const holders = {
  stored_object: "state = 'complete'",
  audit_export: "true",
};

/** Does something with every object that weights stand on or audit files are, a few at a time. */
async function forEachObject(
  address: DatabaseAddress,
  what: string,
  work: (object: StoredObject) => Promise<void>,
) {
  const client = createClient(address);
  let bar: Progress | undefined;
  try {
    const { rows: tables } = await client.execute(
      "select name from sqlite_master where type = 'table'",
    );
    // A database of before knows no audit files.
    const there = Object.entries(holders).filter(([name]) => tables.some((t) => t.name === name));
    let total = 0;
    for (const [table, where] of there) {
      const { rows } = await client.execute(
        `select coalesce(sum(size), 0) as bytes from ${table} where ${where}`,
      );
      total += Number(rows[0]?.bytes);
    }
    bar = progress(what, total / 1e6, "MB of files");
    for (const [table, where] of there)
      for (let last = 0; ; ) {
        const { rows } = await client.execute({
          sql: `select id, object_key, size, sha256 from ${table} where ${where} and id > ? order by id limit 500`,
          args: [last],
        });
        for (let n = 0; n < rows.length; n += AT_ONCE)
          await Promise.all(
            rows.slice(n, n + AT_ONCE).map(async ({ object_key, size, sha256 }) => {
              const key = String(object_key);
              if (!/^[\w-]+(\/[\w-]+)*$/.test(key)) throw new Trouble(`${key} is no object's key.`);
              await work({ key, size: Number(size), sha256: String(sha256) });
              bar?.add(Number(size) / 1e6);
            }),
          );
        last = Number(rows.at(-1)?.id ?? 0);
        if (rows.length < 500) break;
      }
    bar.end();
  } catch (error) {
    bar?.stop();
    throw error;
  } finally {
    client.close();
  }
}

export type Copied = { copied: number; there: number; missing: string[]; different: string[] };
const nothing = (): Copied => ({ copied: 0, there: 0, missing: [], different: [] });

/** Copies the files of weights into a folder, under their keys; those that are there stay. */
export async function copyOut(address: DatabaseAddress, bucket: Bucket, folder: string) {
  const result = nothing();
  await forEachObject(address, "files", async ({ key, size, sha256 }) => {
    const path = join(folder, key);
    if (existsSync(path) && statSync(path).size === size) {
      result.there++;
      return;
    }
    const body = await bucket.read(key);
    if (!body) {
      result.missing.push(key);
      return;
    }
    mkdirSync(dirname(path), { recursive: true });
    const hash = createHash("sha256");
    const hashing = new Transform({
      transform(chunk, _, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(body, hashing, createWriteStream(`${path}.part`));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Trouble(
        `${key} could not be copied: ${why}. Run it again; what was copied stays as it is.`,
      );
    }
    if (statSync(`${path}.part`).size !== size || hash.digest("hex") !== sha256)
      result.different.push(key);
    renameSync(`${path}.part`, path);
    result.copied++;
  });
  return result;
}

/** Copies the files of weights from a folder into the bucket; those that are there stay. */
export async function copyIn(address: DatabaseAddress, bucket: Bucket, folder: string) {
  const result = nothing();
  await forEachObject(address, "files", async ({ key, size }) => {
    const path = join(folder, key);
    if (!existsSync(path)) {
      result.missing.push(key);
      return;
    }
    if ((await bucket.size(key)) === size) {
      result.there++;
      return;
    }
    const length = statSync(path).size;
    if (length !== size) result.different.push(key);
    await bucket.write(key, partsOf(path, length, bucket.part), length);
    result.copied++;
  });
  return result;
}

/** A file of so many bytes in parts; an empty file is one empty part. */
async function* partsOf(path: string, size: number, part: number): AsyncGenerator<ArrayBuffer> {
  const file = await open(path);
  try {
    for (let position = 0; position === 0 || position < size; position += part) {
      const bytes = new Uint8Array(Math.min(part, size - position));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, position);
      if (bytesRead !== bytes.length) throw new Trouble(`${path} changed while it was read.`);
      yield bytes.buffer;
    }
  } finally {
    await file.close();
  }
}

/** What came of copying, in lines for a person. */
export function sayCopied({ copied, there, missing, different }: Copied): string {
  const few = (keys: string[]) => `${keys.slice(0, 3).join(", ")}${keys.length > 3 ? ", …" : ""}`;
  return [
    `${copied} files copied${there ? `, ${there} were there already` : ""}.`,
    ...(missing.length ? [`${missing.length} files are missing: ${few(missing)}`] : []),
    ...(different.length
      ? [`${different.length} files are not what they were announced as: ${few(different)}`]
      : []),
  ].join("\n");
}
