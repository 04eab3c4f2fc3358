/** Lives of signed URLs in seconds. A transfer that has begun may last longer. */
export const UPLOAD_URL_SEC = 3600;
export const DOWNLOAD_URL_SEC = 600;

/** What the keys of all weights' objects begin with. */
export const OBJECT_PREFIX = "w/";

export type Part = { number: number; etag: string; size: number };
type SignedUrl = { url: string; headers: Record<string, string> };
/** An object as the bucket knows it; `sha256` (hex) where the bucket itself checked it. */
export type Head = { size: number; etag: string; sha256: string | null };
type Upload = { objectKey: string; uploadId: string };

/** The bucket that holds the bytes: R2 by its binding and the Worker's own signed URLs, or by the S3 protocol. */
export type Store = {
  /** URL for the one PUT of a whole file; it never replaces an object. */
  signPut(
    object: { objectKey: string; size: number; sha256: string },
    expires: Date,
  ): Promise<SignedUrl>;
  /** URL for one part; `size` null: of any length up to SINGLE_PUT_LIMIT, known when it arrives. */
  signPart(
    upload: Upload,
    part: { number: number; size: number | null },
    expires: Date,
  ): Promise<SignedUrl>;
  /** URL that gives the file as `name`, shown inline only with a `mediaType`. */
  signGet(
    object: { objectKey: string; size: number },
    as: { name: string; mediaType: string | null },
    expires: Date,
  ): Promise<string>;
  /** Stores a body of known length that comes through the Worker, under a key that is new. */
  put(objectKey: string, body: ReadableStream<Uint8Array>, size: number): Promise<void>;
  createUpload(objectKey: string): Promise<string>;
  /** The parts that arrived; null when the bucket knows no such upload any more. */
  listParts(upload: Upload & { id: number }): Promise<Part[] | null>;
  /** False when the bucket does not know the upload or these parts any more. */
  completeUpload(upload: Upload, parts: { number: number; etag: string }[]): Promise<boolean>;
  abortUpload(upload: Upload): Promise<void>;
  head(objectKey: string): Promise<Head | null>;
  read(objectKey: string, offset: number, length: number): Promise<Uint8Array>;
  stream(objectKey: string): Promise<ReadableStream<Uint8Array>>;
  /** Objects by their keys, after `after`; `more` states whether others follow. */
  list(
    after: string,
    limit: number,
  ): Promise<{ objects: { objectKey: string; size: number }[]; more: boolean }>;
  /** At most 1,000. Objects that are gone already are no error. */
  remove(objectKeys: string[]): Promise<void>;
  /**
   * What one call of the collector may take away, of each kind: objects, and multipart uploads, of which each
   * is aborted by a call of its own. A free plan's Worker may send 50 requests, and make 1,000 calls to
   * the binding, which removes 1,000 objects by one.
   */
  collectAtOnce: { objects: number; uploads: number };
  /** ETags of parts are their MD5. */
  md5Etags: boolean;
  /** URLs stay good until they expire, whatever becomes of the upload. */
  urlsOutlive: boolean;
};
