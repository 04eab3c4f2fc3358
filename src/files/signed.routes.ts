import { and, eq, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { explainRoom } from "../platform/auth/bounds.ts";
import { storedObject, uploadPart } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { contentDisposition, parseRange } from "../platform/http/download.ts";
import { refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { isUploadLost } from "./bucket/r2.ts";
import { type SignedMethod, verifyUrl } from "./bucket/sign.ts";
import { SINGLE_PUT_LIMIT } from "./parts.ts";
import { forgetUpload } from "./uploads.ts";

const objectKey = z.object({ key: z.string().max(300) });

/** The parameters of a signed request. Throws ApiError 400, 403. */
function checkSignature(c: Context<App>, method: SignedMethod, key: string) {
  if (c.req.header("Authorization")) throw refuse("key-sent", {});
  return verifyUrl(c.var.config, { method, key, query: new URL(c.req.url).searchParams });
}

/**
 * The length of the body. Refuses another than was signed, before a byte of it is read; a part whose length
 * was not known may have any up to SINGLE_PUT_LIMIT.
 */
function checkLength(c: Context<App>, signedSize: string | undefined): number {
  const size = Number(signedSize ?? SINGLE_PUT_LIMIT);
  const header = c.req.header("Content-Length");
  if (header === undefined || !/^\d+$/.test(header)) throw refuse("length-required", { size });
  const length = Number(header);
  if (length > size) throw refuse("too-large", { case: "signed", length, size });
  if (length < size && signedSize !== undefined) throw refuse("too-short", { length, size });
  return length;
}

const refuseClosed = () => refuse("upload-closed", {});

/** The open upload of an object key. Throws ApiError 410. */
async function openUpload(c: Context<App>, key: string) {
  const [row] = await c.var.db
    .select({ id: storedObject.id, uploadId: storedObject.uploadId })
    .from(storedObject)
    .where(and(eq(storedObject.objectKey, key), eq(storedObject.state, "uploading")));
  if (!row) throw refuseClosed();
  return row;
}

/** A body of known length: R2 takes no other. An empty one may come as none. */
const bodyOf = (c: Context<App>, size: number) =>
  size > 0 && c.req.raw.body ? c.req.raw.body : new Uint8Array();

async function putWhole(c: Context<App>, key: string, size: number, sha256: string) {
  await openUpload(c, key);
  let stored: R2Object | null;
  try {
    stored = await c.env.BUCKET.put(key, bodyOf(c, size), {
      sha256,
      onlyIf: new Headers({ "If-None-Match": "*" }),
    });
  } catch (error) {
    // R2 says so in words alone: the binding's errors have no codes of their own.
    if (error instanceof Error && /checksum|BadDigest|10037/i.test(error.message))
      throw refuse("hash-differs", {});
    throw error;
  }
  if (!stored) throw refuse("exists", {});
  return stored.httpEtag;
}

async function putPart(
  c: Context<App>,
  key: string,
  number: number,
  uploadId: string,
  { size, reserved }: { size: number; reserved: boolean },
) {
  const upload = await openUpload(c, key);
  if (upload.uploadId !== uploadId) throw refuseClosed();
  if (!reserved) await requireRoom(c, upload.id, { number, size });
  let part: R2UploadedPart;
  try {
    part = await c.env.BUCKET.resumeMultipartUpload(key, uploadId).uploadPart(
      number,
      bodyOf(c, size),
    );
  } catch (error) {
    if (!isUploadLost(error)) throw error;
    // R2 drops uploads after a week: the next look for URLs starts a new one.
    await forgetUpload(c.var.db, upload.id, uploadId);
    throw refuseClosed();
  }
  const { rowsAffected } = await c.var.db.run(sql`
    insert into ${uploadPart} (object_id, number, etag, size)
    select id, ${number}, ${part.etag}, ${size} from stored_object where id = ${upload.id} and state = 'uploading'
    on conflict do update set etag = excluded.etag, size = excluded.size`);
  if (rowsAffected === 0) throw refuseClosed();
  return `"${part.etag}"`;
}

/** Refuses a part that goes beyond what the upload reserved where the user has no more room. Throws ApiError 403. */
async function requireRoom(
  { var: { db, config } }: Context<App>,
  objectId: number,
  { number, size }: { number: number; size: number },
) {
  const [row] = await db.all<{ user_id: number; more: number }>(sql`
    select o.user_id, ${size} - o.size
      + coalesce((select sum(p.size) from upload_part p where p.object_id = o.id and p.number <> ${number}), 0) as more
    from stored_object o where o.id = ${objectId}`);
  if (!row || row.more <= 0) return;
  const full = await explainRoom(db, config, row.user_id, { file_bytes: row.more });
  if (full) throw full;
}

const conditions = ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"];

/** Signed URLs of the Worker itself. They need no key and take none. */
export const signed = new Hono<App>()
  .put(
    "/:key{.+}",
    describe({
      summary: "Upload to a signed URL",
      description: "Announcing a file gives the URL. The body is the file, or one part of it.",
      tag: "Signed URLs",
      open: true,
      answer: { description: "The bytes are stored; `ETag` names them.", content: null },
      errors: {
        400: "An Authorization header, or a body shorter than signed.",
        403: "The URL has expired or was changed.",
        410: "The upload was completed or given up.",
        412: "The file exists already.",
        413: "The body is longer than signed.",
        422: "The bytes do not have the announced SHA-256.",
      },
    }),
    validate("param", objectKey),
    async (c) => {
      const { key } = c.req.valid("param");
      const params = await checkSignature(c, "PUT", key);
      const size = checkLength(c, params.get("size"));
      const uploadId = params.get("upload");
      const etag =
        uploadId === undefined
          ? await putWhole(c, key, size, params.get("sha256") ?? "")
          : await putPart(c, key, Number(params.get("part")), uploadId, {
              size,
              reserved: params.has("size"),
            });
      return c.body(null, 200, { ETag: etag });
    },
  )
  .get(
    "/:key{.+}",
    describe({
      summary: "Download by a signed URL",
      description: "`GET /api/weights/{id}/download` gives the URL. Ranges and conditions work.",
      tag: "Signed URLs",
      open: true,
      answer: {
        description: "The file.",
        content: "application/octet-stream",
        also: ["image/*", "video/*"],
      },
      errors: {
        206: "The requested part of the file.",
        304: "The file is the one that the caller has.",
        400: "An Authorization header.",
        403: "The URL has expired or was changed.",
        404: "The file is gone.",
        412: "A condition was not met.",
        416: "The file has no such range.",
      },
    }),
    validate("param", objectKey),
    async (c) => {
      const { key } = c.req.valid("param");
      const params = await checkSignature(c, "GET", key);
      const gone = refuse("gone", {});
      const onlyIf = new Headers();
      for (const name of conditions) {
        const value = c.req.header(name);
        if (value !== undefined) onlyIf.set(name, value);
      }
      const size = Number(params.get("size"));
      const ifRange = c.req.header("If-Range");
      const head = ifRange || c.req.method === "HEAD" ? await c.env.BUCKET.head(key) : undefined;
      if (head === null) throw gone;
      // Without a body HEAD answers as if no range had been asked for.
      const wanted = c.req.method !== "HEAD" && (!ifRange || ifRange === head?.httpEtag);
      const range = wanted ? parseRange(c.req.header("Range"), size) : null;

      const headers = new Headers({
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Type": params.get("type") ?? "application/octet-stream",
        "Content-Disposition": contentDisposition(
          params.has("type") ? "inline" : "attachment",
          params.get("name") ?? "file",
        ),
        // Whatever the file holds, it runs nothing here.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
      });
      const length = (bytes: number) => headers.set("Content-Length", String(bytes));
      if (c.req.method === "HEAD" && head) {
        headers.set("ETag", head.httpEtag);
        length(head.size);
        return c.body(null, { headers });
      }
      const object = await c.env.BUCKET.get(key, { onlyIf, ...(range && { range }) });
      if (!object) throw gone;
      headers.set("ETag", object.httpEtag);
      if (!("body" in object)) {
        if (onlyIf.has("If-Match") || onlyIf.has("If-Unmodified-Since"))
          throw refuse("changed", {});
        return c.body(null, { status: 304, headers });
      }
      if (range)
        headers.set(
          "Content-Range",
          `bytes ${range.offset}-${range.offset + range.length - 1}/${size}`,
        );
      length(range?.length ?? object.size);
      return c.body(object.body, { status: range ? 206 : 200, headers });
    },
  );
