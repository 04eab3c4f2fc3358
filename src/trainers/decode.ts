/** How a file's bytes were read. */
export type Encoding = "utf-8" | "utf-16le" | "utf-16be" | "gb18030";

/** Made once: a decoder costs more than a small file. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * A trainer's file as text: UTF-8 (a byte order mark is dropped), UTF-16 with its mark, else
 * GB18030, which Chinese Windows machines write, with a warning. Null when the bytes are no text.
 */
export function decodeConfig(
  bytes: Uint8Array,
): { text: string; encoding: Encoding; warning?: string } | null {
  const wide =
    bytes[0] === 0xff && bytes[1] === 0xfe
      ? "utf-16le"
      : bytes[0] === 0xfe && bytes[1] === 0xff
        ? "utf-16be"
        : null;
  if (wide) {
    const text = tryDecode(new TextDecoder(wide, { fatal: true, ignoreBOM: false }), bytes);
    return text === null || text.includes("\0") ? null : { text, encoding: wide };
  }
  if (bytes.includes(0)) return null;
  const text = tryDecode(utf8, bytes);
  if (text !== null) return { text, encoding: "utf-8" };
  const chinese = tryDecode(new TextDecoder("gb18030", { fatal: true, ignoreBOM: false }), bytes);
  if (chinese === null) return null;
  return {
    text: chinese,
    encoding: "gb18030",
    warning: "The file is not UTF-8; it was read as GB18030 and is kept byte for byte.",
  };
}

function tryDecode(decoder: TextDecoder, bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
