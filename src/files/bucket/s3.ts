import { AwsClient, AwsV4Signer } from "aws4fetch";
import { decodeBase64 } from "hono/utils/encode";
import { type Bindings, type Config, ConfigError } from "../../env.ts";
import { contentDisposition } from "../../platform/http/download.ts";
import { base64, hex } from "../../platform/http/encode.ts";
import { refuse } from "../../platform/http/problem.ts";
import { describeObject, putThrough } from "./r2.ts";
import { OBJECT_PREFIX, type Part, type Store, UPLOAD_URL_SEC } from "./store.ts";

/** Where and as whom objects are reached by the S3 protocol. */
export type S3Settings = {
  /** Scheme, host and bucket, without a slash at the end. */
  base: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** R2 has one region, `auto`. */
  region: string;
};

/** The S3 settings, or null where none are set. Throws ConfigError when only some of them are. */
export function s3Settings(
  config: Pick<
    Config,
    `R2_${"ACCOUNT_ID" | "ACCESS_KEY_ID" | "SECRET_ACCESS_KEY" | "ENDPOINT" | "BUCKET"}`
  >,
): S3Settings | null {
  const { R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_ACCOUNT_ID, R2_ENDPOINT } = config;
  if (!R2_ACCESS_KEY_ID && !R2_SECRET_ACCESS_KEY) return null;
  const missing = Object.entries({
    R2_ACCESS_KEY_ID,
    R2_SECRET_ACCESS_KEY,
    R2_ACCOUNT_ID: R2_ACCOUNT_ID ?? R2_ENDPOINT,
  }).flatMap(([name, value]) => (value ? [] : [name]));
  if (!R2_ACCESS_KEY_ID || !R2_SECRET_ACCESS_KEY || missing.length)
    throw new ConfigError(
      `The service is not configured: ${missing.join(", ")} not set. Uploads straight to R2 need all of R2_ACCOUNT_ID, R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY; without any of them they go through the Worker.`,
    );
  const endpoint = R2_ENDPOINT ?? `https://${R2_ACCOUNT_ID}.r2.cloudflarestorage.com`;
  return {
    base: `${endpoint.replace(/\/+$/, "")}/${config.R2_BUCKET ?? "lora-ledger"}`,
    accessKeyId: R2_ACCESS_KEY_ID,
    secretAccessKey: R2_SECRET_ACCESS_KEY,
    region: "auto",
  };
}

/** Keys derived for a day, which saves four of five HMACs a URL. */
const derivedKeys = new Map<string, ArrayBuffer>();

/**
 * A presigned URL (AWS Signature Version 4 in the query). `expires` in seconds; `headers` are
 * signed, so a client has to send exactly them. `datetime` (`20130524T000000Z`) is now by default.
 */
export async function presign(
  s3: S3Settings,
  request: {
    method: "PUT" | "GET";
    key: string;
    expires: number;
    headers?: Record<string, string>;
    query?: Record<string, string>;
    datetime?: string;
  },
): Promise<string> {
  const url = new URL(`${s3.base}/${request.key}`);
  for (const [name, value] of Object.entries(request.query ?? {}))
    url.searchParams.set(name, value);
  url.searchParams.set("X-Amz-Expires", String(request.expires));
  // A new day has new keys; the old ones are of no more use.
  if (derivedKeys.size > 16) derivedKeys.clear();
  const signer = new AwsV4Signer({
    method: request.method,
    url: url.toString(),
    headers: request.headers,
    accessKeyId: s3.accessKeyId,
    secretAccessKey: s3.secretAccessKey,
    service: "s3",
    region: s3.region,
    signQuery: true,
    cache: derivedKeys,
    datetime: request.datetime,
  });
  return (await signer.sign()).url.toString();
}

/** The text of an XML element's first occurrence; S3's answers nest nothing of the same name. */
const element = (xml: string, name: string) =>
  xml
    .match(new RegExp(`<${name}>([^<]*)</${name}>`))?.[1]
    ?.replaceAll("&quot;", '"')
    .replaceAll("&#34;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");

/** The content of each element of a name, of which none contains another. */
const elements = (xml: string, name: string): string[] =>
  xml
    .split(`<${name}>`)
    .slice(1)
    .map((text) => text.split(`</${name}>`, 1)[0] ?? "");

export const bareEtag = (etag: string) => etag.trim().replace(/^W\//, "").replaceAll('"', "");

const unavailable = (what: string, status?: number) =>
  refuse(
    "storage-unreachable",
    status ? { case: "answered", what, status } : { case: "silent", what },
    { headers: { "Retry-After": "3" } },
  );

/**
 * The S3 calls that uploads need, signed for S3's own API. Every method throws ApiError 503 when
 * the storage cannot be reached or answers something unexpected.
 */
export function s3Client(s3: S3Settings) {
  // Retries count as subrequests, of which a Worker has 50.
  const aws = new AwsClient({ ...s3, service: "s3", retries: 1, cache: derivedKeys });
  const call = async (what: string, key: string, init: RequestInit & { query?: string }) => {
    let response: Response;
    try {
      response = await aws.fetch(`${s3.base}/${key}${init.query ? `?${init.query}` : ""}`, init);
    } catch {
      throw unavailable(what);
    }
    if (response.status >= 500 || response.status === 429 || response.status === 403) {
      await response.body?.cancel();
      throw unavailable(what, response.status);
    }
    return response;
  };

  return {
    /** Starts a multipart upload; gives its id. */
    async createUpload(key: string): Promise<string> {
      const response = await call("start an upload", key, { method: "POST", query: "uploads=" });
      const id = element(await response.text(), "UploadId");
      if (!response.ok || !id) throw unavailable("start an upload", response.status);
      return id;
    },

    /** The parts that arrived, up to 1,000; null when there is no such upload any more. */
    async listParts(key: string, uploadId: string): Promise<Part[] | null> {
      const query = new URLSearchParams({ uploadId, "max-parts": "1000" });
      const response = await call("list parts", key, { method: "GET", query: query.toString() });
      const xml = await response.text();
      if (response.status === 404) return null;
      if (!response.ok) throw unavailable("list parts", response.status);
      return elements(xml, "Part").map((part) => ({
        number: Number(element(part, "PartNumber")),
        etag: bareEtag(element(part, "ETag") ?? ""),
        size: Number(element(part, "Size")),
      }));
    },

    /** Joins the parts; false when the storage does not know the upload or these parts any more. */
    async completeUpload(key: string, uploadId: string, parts: { number: number; etag: string }[]) {
      const list = parts
        .map((p) => `<Part><PartNumber>${p.number}</PartNumber><ETag>"${p.etag}"</ETag></Part>`)
        .join("");
      const response = await call("join the parts", key, {
        method: "POST",
        query: new URLSearchParams({ uploadId }).toString(),
        headers: { "Content-Type": "application/xml" },
        body: `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list}</CompleteMultipartUpload>`,
      });
      // S3 sends 200 before it knows the outcome, which is in the body.
      const xml = await response.text();
      if (response.ok && !xml.includes("<Error>")) return true;
      if (["NoSuchUpload", "InvalidPart"].includes(element(xml, "Code") ?? "")) return false;
      throw unavailable("join the parts", response.status);
    },

    /** Gives an unfinished upload up; one that is gone already is no error. */
    async abortUpload(key: string, uploadId: string): Promise<void> {
      const response = await call("abort an upload", key, {
        method: "DELETE",
        query: new URLSearchParams({ uploadId }).toString(),
      });
      await response.body?.cancel();
    },

    /** Size in bytes, ETag, and the SHA-256 (hex) that the storage itself checked, if it did. */
    async head(key: string) {
      const response = await call("look a file up", key, {
        method: "HEAD",
        headers: { "x-amz-checksum-mode": "ENABLED" },
      });
      if (response.status === 404) return null;
      if (!response.ok) throw unavailable("look a file up", response.status);
      const checksum = response.headers.get("x-amz-checksum-sha256");
      const whole = checksum && response.headers.get("x-amz-checksum-type") !== "COMPOSITE";
      return {
        size: Number(response.headers.get("Content-Length")),
        etag: bareEtag(response.headers.get("ETag") ?? ""),
        sha256: whole ? hex(decodeBase64(checksum)) : null,
      };
    },

    /** A file's bytes, all or a range. */
    async get(key: string, range?: { offset: number; length: number }): Promise<Response> {
      const response = await call("read a file", key, {
        method: "GET",
        headers: range && { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` },
      });
      if (response.ok) return response;
      await response.body?.cancel();
      throw unavailable("read a file", response.status);
    },

    /** Keys and sizes in order, of those after `after`; `more` states whether others follow. */
    async list(prefix: string, after: string, most: number) {
      const query = new URLSearchParams({ "list-type": "2", prefix, "max-keys": String(most) });
      if (after) query.set("start-after", after);
      const response = await call("list files", "", { method: "GET", query: query.toString() });
      const xml = await response.text();
      if (!response.ok) throw unavailable("list files", response.status);
      return {
        keys: elements(xml, "Contents").map((file) => ({
          key: element(file, "Key") ?? "",
          size: Number(element(file, "Size")),
        })),
        more: element(xml, "IsTruncated") === "true",
      };
    },

    /** Removes a file; one that is gone already is no error. */
    async remove(key: string): Promise<void> {
      const response = await call("remove a file", key, { method: "DELETE" });
      await response.body?.cancel();
    },
  };
}

/** Hex as base64, which S3's checksum headers use. */
export const hexToBase64 = (text: string) =>
  base64(Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)));

const secondsLeft = (expires: Date) =>
  Math.max(1, Math.floor(expires.getTime() / 1000) - Math.floor(Date.now() / 1000));

/** A bucket by the S3 protocol, which clients reach without the Worker; R2's binding where it is R2's. */
export function s3Store(s3: S3Settings, { env, config }: { env: Bindings; config: Config }): Store {
  const client = s3Client(s3);
  return {
    md5Etags: true,
    urlsOutlive: true,
    async signPut({ objectKey, sha256 }, expires) {
      // R2 checks this hash itself and stores nothing on a mismatch. If-None-Match keeps a URL
      // that is still good from replacing the object after it was checked.
      const headers = { "If-None-Match": "*", "x-amz-checksum-sha256": hexToBase64(sha256) };
      const url = await presign(s3, {
        method: "PUT",
        key: objectKey,
        expires: secondsLeft(expires),
        headers,
      });
      return { url, headers };
    },
    async signPart({ objectKey, uploadId }, { number }, expires) {
      const query = { partNumber: String(number), uploadId };
      const url = await presign(s3, {
        method: "PUT",
        key: objectKey,
        expires: secondsLeft(expires),
        query,
      });
      return { url, headers: {} };
    },
    signGet({ objectKey }, { name, mediaType }, expires) {
      return presign(s3, {
        method: "GET",
        key: objectKey,
        expires: secondsLeft(expires),
        query: {
          "response-content-disposition": contentDisposition(
            mediaType ? "inline" : "attachment",
            name,
          ),
          "response-content-type": mediaType ?? "application/octet-stream",
        },
      });
    },
    async put(objectKey, body, size) {
      // The binding, of the same bucket, needs no signature.
      if (!config.R2_ENDPOINT) return putThrough(env.BUCKET, objectKey, body, size);
      const url = await presign(s3, { method: "PUT", key: objectKey, expires: UPLOAD_URL_SEC });
      const { readable, writable } = new FixedLengthStream(size);
      let response: Response;
      try {
        [response] = await Promise.all([
          fetch(url, { method: "PUT", body: readable }),
          body.pipeTo(writable),
        ]);
      } catch {
        throw unavailable("store a file");
      }
      await response.body?.cancel();
      if (!response.ok) throw unavailable("store a file", response.status);
    },
    createUpload: (objectKey) => client.createUpload(objectKey),
    listParts: ({ objectKey, uploadId }) => client.listParts(objectKey, uploadId),
    completeUpload: ({ objectKey, uploadId }, parts) =>
      client.completeUpload(objectKey, uploadId, parts),
    abortUpload: ({ objectKey, uploadId }) => client.abortUpload(objectKey, uploadId),
    async head(objectKey) {
      const head = await client.head(objectKey);
      if (!head || head.sha256 || config.R2_ENDPOINT) return head;
      // R2's S3 API may keep the checksum to itself; the binding, of the same bucket, tells it.
      const object = await env.BUCKET.head(objectKey);
      return object && { ...head, sha256: describeObject(object).sha256 };
    },
    async read(objectKey, offset, length) {
      return new Uint8Array(await (await client.get(objectKey, { offset, length })).arrayBuffer());
    },
    async stream(objectKey) {
      const { body } = await client.get(objectKey);
      return body ?? new Blob([]).stream();
    },
    async list(after, limit) {
      const { keys, more } = await client.list(OBJECT_PREFIX, after, limit);
      return { objects: keys.map(({ key, size }) => ({ objectKey: key, size })), more };
    },
    async remove(objectKeys) {
      // The binding, of the same bucket, takes many at once.
      if (!config.R2_ENDPOINT) await env.BUCKET.delete(objectKeys);
      else await Promise.all(objectKeys.map((objectKey) => client.remove(objectKey)));
    },
    collectAtOnce: config.R2_ENDPOINT ? { objects: 10, uploads: 5 } : { objects: 400, uploads: 8 },
  };
}
