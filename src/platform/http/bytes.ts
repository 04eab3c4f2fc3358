/** Bytes as the characters that btoa takes. */
export const toLatin1 = (bytes: Uint8Array) =>
  Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join("");
