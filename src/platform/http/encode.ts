import { encodeBase64 } from "hono/utils/encode";

/** Bytes as base64 (RFC 4648, section 4). A blob of the database comes as a bare ArrayBuffer. */
export const base64 = (bytes: Uint8Array | ArrayBuffer): string =>
  encodeBase64(new Uint8Array(bytes).buffer);

/** Bytes in lower-case hex. */
export const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
