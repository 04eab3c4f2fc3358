import { and, eq } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { storedObject } from "../platform/db/schema.ts";
import { hex } from "../platform/http/encode.ts";
import type { WeightRow } from "./answers.ts";
import type { Head, Store } from "./bucket/store.ts";
import { isSafetensors, type ReadRange, readSafetensors, sniffMedia } from "./safetensors.ts";

/** The bytes that arrived are not those that were announced; `field` says in what. */
export class FileDiffers extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

const unknown = {
  rank: null,
  convRank: null,
  alpha: null,
  algorithm: null,
  baseArch: null,
  tensorCount: null,
  dtype: null,
  metadata: null,
  warnings: [],
};

/**
 * Checks an object against what was announced, as well as can be without much CPU time, and reads
 * what the file says of itself. `md5` of every part makes it `parts`; `stream` hashes the whole
 * object. Throws FileDiffers.
 */
export async function inspect(
  store: Store,
  announced: {
    filename: string;
    size: number;
    sha256: string;
    object: { objectKey: string; partSize: number | null };
  },
  head: Head,
  parts: { number: number; md5?: string | null }[],
  { stream }: { stream: boolean },
) {
  const { filename, size, object } = announced;
  if (head.size !== size)
    throw new FileDiffers("size", `${size} bytes were announced and ${head.size} arrived`);
  const sha256 = head.sha256 ?? (stream ? await hashObject(store, object.objectKey) : null);
  if (sha256 !== null && sha256 !== announced.sha256)
    throw new FileDiffers("sha256", `the announced hash is not that of the bytes, ${sha256}`);
  const composed =
    sha256 === null && object.partSize !== null
      ? await composedEtag(parts, size, object.partSize)
      : null;
  if (composed !== null && composed !== head.etag)
    throw new FileDiffers("parts", "the MD5s of the parts are not those of the bytes");

  const read = (offset: number, length: number) => store.read(object.objectKey, offset, length);
  const { facts, mediaType } = await describeBytes(read, filename, size);
  return {
    verified:
      sha256 !== null
        ? ("sha256" as const)
        : composed !== null
          ? ("parts" as const)
          : ("size" as const),
    mediaType,
    facts,
  };
}

const isNamedSafetensors = (filename: string) => filename.toLowerCase().endsWith(".safetensors");

/**
 * What an object's bytes say, whatever the file is called: the same bytes may come under another name later, and then
 * are not read again. Only a file that its name calls safetensors is warned of for being none.
 */
export async function describeBytes(read: ReadRange, filename: string, size: number) {
  if (isNamedSafetensors(filename))
    return { facts: await readSafetensors(read, size), mediaType: null };
  const first = size > 0 ? await read(0, Math.min(size, 16)) : new Uint8Array();
  const mediaType = sniffMedia(first);
  const facts = isSafetensors(first, size) ? await readSafetensors(read, size) : unknown;
  return { facts, mediaType };
}

/**
 * Reads the facts of a complete file that was stored by a ledger which looked at names alone. Nothing to do for one that
 * has them, or that is called otherwise.
 */
export async function readLateFacts(db: Db, store: Store, row: WeightRow) {
  const isRead = row.tensorCount !== null || row.warnings?.length;
  if (row.state !== "complete" || isRead || !isNamedSafetensors(row.filename)) return;
  const read = (offset: number, length: number) => store.read(row.object.objectKey, offset, length);
  const facts = await readSafetensors(read, row.size);
  await db
    .update(storedObject)
    .set(facts)
    .where(and(eq(storedObject.id, row.object.id), eq(storedObject.state, "complete")));
}

/** Notes that an object's bytes are those of its SHA-256, as hashObject found. */
export const noteVerified = (db: Db, objectId: number) =>
  db
    .update(storedObject)
    .set({ verified: "sha256" })
    .where(and(eq(storedObject.id, objectId), eq(storedObject.state, "complete")));

/** SHA-256 of a whole object in hex, streamed through the Worker. */
export async function hashObject(store: Store, objectKey: string): Promise<string> {
  const digest = new crypto.DigestStream("SHA-256");
  await (await store.stream(objectKey)).pipeTo(digest);
  return hex(new Uint8Array(await digest.digest));
}

/**
 * The ETag of an object made from parts with these MD5s: the MD5 of the MD5s, a hyphen, and their
 * number (S3 and R2 alike). Null unless there is an MD5 of every part.
 */
async function composedEtag(
  parts: { number: number; md5?: string | null }[],
  size: number,
  partSize: number,
): Promise<string | null> {
  const md5s = new Map(parts.map((part) => [part.number, part.md5]));
  const count = Math.ceil(size / partSize);
  const bytes = new Uint8Array(count * 16);
  for (let number = 1; number <= count; number++) {
    const md5 = md5s.get(number);
    if (!md5) return null;
    for (let i = 0; i < 16; i++)
      bytes[(number - 1) * 16 + i] = Number.parseInt(md5.slice(i * 2, i * 2 + 2), 16);
  }
  // Workers know MD5 for just such uses.
  return `${hex(new Uint8Array(await crypto.subtle.digest("MD5", bytes)))}-${count}`;
}
