import { encodeBase64 } from "hono/utils/encode";

/** Bytes as base64 (RFC 4648, section 4). */
export const base64 = (bytes: Uint8Array): string =>
  encodeBase64(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));

/** Bytes in lower-case hex. */
export const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
