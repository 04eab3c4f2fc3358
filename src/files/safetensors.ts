import { cutText, parseClean } from "../platform/http/text.ts";
import { redactJson } from "../platform/secrets/redact.ts";
import type { JsonValue } from "../shared/json.ts";
import {
  type AdapterShape,
  alphaInMetadata,
  frequencies,
  impliesRank,
  isRankStabilised,
  LONGEST_NAME,
  readShapes,
  refineAlgorithm,
  type Tensor,
} from "./adapter.ts";
import { baseArchOf } from "./base-arch.ts";

/** Reads `length` bytes from `offset` on; both lie within the file. */
export type ReadRange = (offset: number, length: number) => Promise<Uint8Array>;

/** What a weight file says of itself. Null where it does not say, or says it unreliably. */
export type FileFacts = {
  rank: number | null;
  convRank: number | null;
  alpha: number | null;
  algorithm: string | null;
  baseArch: string | null;
  tensorCount: number | null;
  /** The element type most tensors have, as the format spells it: `F16`, `BF16`, `F32`, … */
  dtype: string | null;
  metadata: Record<string, string> | null;
  warnings: string[];
};

/** The headers of LoRA files are some 100 kB; one of this size is still parsed in tens of ms. */
const MAX_HEADER = 8 * 1024 * 1024;
/** Holds the whole header of nearly every adapter, so that one read is enough. */
const FIRST_READ = 512 * 1024;
const MAX_METADATA = 256 * 1024;

const none = (warnings: string[]): FileFacts => ({
  rank: null,
  convRank: null,
  alpha: null,
  algorithm: null,
  baseArch: null,
  tensorCount: null,
  dtype: null,
  metadata: null,
  warnings,
});

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/** Whether a file of this size begins as a safetensors file does: a length that fits, then a JSON object. */
export function isSafetensors(head: Uint8Array, size: number): boolean {
  if (head.length < 9) return false;
  const promised = view(head).getBigUint64(0, true);
  return promised >= 2n && promised <= BigInt(size - 8) && head[8] === 0x7b;
}

/**
 * Reads a safetensors header (8 bytes little-endian length, JSON, tensor bytes:
 * github.com/huggingface/safetensors) by ranged reads, at most three. Never throws on what the
 * file holds: a file that is no safetensors file gives a warning and nothing else. `first`, when
 * given, are the file's first bytes, already read.
 */
export async function readSafetensors(
  read: ReadRange,
  size: number,
  first?: Uint8Array,
): Promise<FileFacts> {
  const notOne = (why: string) => none([`The file is no valid safetensors file: ${why}.`]);
  if (size < 8) return notOne(`it has ${size} bytes`);
  const head = first && first.length >= 8 ? first : await read(0, Math.min(size, FIRST_READ));
  const promised = view(head).getBigUint64(0, true);
  // Compared as bigint before anything is converted or allocated: it may be any 64-bit number.
  if (promised > BigInt(size - 8))
    return notOne(`its header would have ${promised} bytes, more than the file`);
  if (promised > BigInt(MAX_HEADER))
    return none([
      `The safetensors header has ${promised} bytes and was not read: at most ${MAX_HEADER} are.`,
    ]);
  const length = Number(promised);
  const bytes = head.length >= 8 + length ? head.subarray(8, 8 + length) : await read(8, length);
  let header: unknown;
  try {
    header = parseClean(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return notOne("its header is not JSON");
  }
  if (!isObject(header)) return notOne("its header is not a JSON object");

  const warnings: string[] = [];
  const tensors = readTensors(header, size - 8 - length, warnings);
  const metadata = readMetadata(header.__metadata__, warnings);
  const shapes = readShapes(tensors);
  warnings.push(...shapes.notes);
  return {
    rank: shapes.rank,
    convRank: shapes.convRank,
    algorithm: refineAlgorithm(shapes.algorithm, metadata),
    alpha: await readAlpha(read, { from: 8 + length, to: size }, tensors, shapes, metadata),
    baseArch: baseArchOf(tensors, metadata, shapes.algorithm !== null),
    tensorCount: tensors.length,
    dtype:
      frequencies(tensors.filter((t) => t.shape.length > 0).map((t) => t.dtype))[0]?.[0] ?? null,
    metadata,
    warnings,
  };
}

/** The well-formed tensor entries; one warning names the rest. */
function readTensors(header: Record<string, unknown>, data: number, warnings: string[]): Tensor[] {
  const tensors: Tensor[] = [];
  let malformed = 0;
  let end = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
    const [from, to] = Array.isArray(offsets) ? offsets : [];
    if (
      typeof dtype === "string" &&
      name.length <= LONGEST_NAME &&
      dtype.length <= 16 &&
      Array.isArray(shape) &&
      shape.length <= 16 &&
      shape.every(isCount) &&
      isCount(from) &&
      isCount(to) &&
      from <= to
    ) {
      tensors.push({ name, dtype, shape, begin: from, end: to });
      end = Math.max(end, to);
    } else malformed++;
  }
  if (malformed) warnings.push(`${malformed} entries of the safetensors header are malformed.`);
  if (end > data)
    warnings.push(
      `The file is cut off: its header promises ${end} bytes of tensors, ${data} are there.`,
    );
  return tensors;
}

/** `__metadata__` with secrets replaced, its largest values left out where it is too much. */
function readMetadata(raw: unknown, warnings: string[]): Record<string, string> | null {
  if (!isObject(raw)) return null;
  const entries = Object.entries(raw).flatMap(([key, value]): [string, string][] =>
    typeof value === "string" ? [[key, value]] : [],
  );
  const sizes = entries
    .map(([key, value]) => ({ key, bytes: JSON.stringify(key).length + utf8Length(value) + 8 }))
    .sort((a, b) => b.bytes - a.bytes);
  let total = sizes.reduce((sum, entry) => sum + entry.bytes, 0);
  const dropped = new Set<string>();
  for (const { key, bytes } of sizes) {
    if (total <= MAX_METADATA) break;
    dropped.add(key);
    total -= bytes;
  }
  if (dropped.size) {
    const names = [...dropped].slice(0, 5).map((key) => cutText(key, 0, 60));
    warnings.push(
      `The file's metadata is over ${MAX_METADATA} bytes; its largest values are not kept here: ${names.join(", ")}${dropped.size > 5 ? `, and ${dropped.size - 5} more` : ""}.`,
    );
  }
  const kept = Object.fromEntries(entries.filter(([key]) => !dropped.has(key)));
  const { value, redactions } = redactJson(kept, "metadata");
  for (const { where } of redactions.slice(0, 20))
    warnings.push(`A secret was replaced at ${cutText(where, 0, 200)}.`);
  return stringsOf(value);
}

const utf8Length = (text: string) => new TextEncoder().encode(JSON.stringify(text)).length;

/** Redaction replaces strings by strings; what else it might give is left out. */
const stringsOf = (value: JsonValue): Record<string, string> =>
  isObject(value)
    ? Object.fromEntries(
        Object.entries(value).filter((e): e is [string, string] => typeof e[1] === "string"),
      )
    : {};

/**
 * The alpha: the scalar `<module>.alpha` of a linear layer with the usual rank, else any; the
 * metadata's own figure where it is the same within half precision. A file without any alpha has the
 * metadata's, or the rank, where that is what such files mean.
 */
async function readAlpha(
  read: ReadRange,
  data: { from: number; to: number },
  tensors: Tensor[],
  { rank, linear }: AdapterShape,
  metadata: Record<string, string> | null,
): Promise<number | null> {
  if (rank === null) return null;
  const stated = Number(metadata?.ss_network_alpha?.trim() || "none");
  const alphas = tensors.filter((t) => t.name.endsWith(".alpha"));
  if (alphas.length === 0 && !Number.isFinite(stated))
    return alphaInMetadata(metadata) ?? (impliesRank(tensors.map((t) => t.name)) ? rank : null);
  const scalars = alphas.filter((t) => t.end - t.begin <= 8 && data.from + t.end <= data.to);
  const scalar = scalars.find((t) => linear.has(t.name.slice(0, -".alpha".length))) ?? scalars[0];
  const size = scalar && scalarSizes[scalar.dtype];
  const value =
    scalar && size && scalar.end - scalar.begin === size
      ? decodeScalar(await read(data.from + scalar.begin, size), scalar.dtype)
      : null;
  if (value === null || !Number.isFinite(value)) return Number.isFinite(stated) ? stated : null;
  const isScaled = isRankStabilised(metadata) && about(value, stated * Math.sqrt(rank));
  return isScaled || about(value, stated) ? stated : value;
}

const scalarSizes: Record<string, number> = { F16: 2, BF16: 2, F32: 4, F64: 8 };

/** Equal within the precision of bf16 (8 bits). */
export const about = (a: number, b: number) =>
  Math.abs(a - b) <= Math.max(Math.abs(a), Math.abs(b)) / 200;

/** One number of a safetensors dtype, little-endian; null for a dtype that holds no scalar here. */
export function decodeScalar(bytes: Uint8Array, dtype: string): number | null {
  const data = view(bytes);
  if (dtype === "F64") return data.getFloat64(0, true);
  if (dtype === "F32") return data.getFloat32(0, true);
  if (dtype === "BF16") {
    // bfloat16 is the upper half of a float32.
    const wide = new DataView(new ArrayBuffer(4));
    wide.setUint16(0, data.getUint16(0, true));
    return wide.getFloat32(0);
  }
  if (dtype !== "F16") return null;
  const bits = data.getUint16(0, true);
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const media: [RegExp, string][] = [
  [/^\x89PNG\r\n.\n/s, "image/png"],
  [/^\xff\xd8\xff/, "image/jpeg"],
  [/^RIFF.{4}WEBP/s, "image/webp"],
  // Other brands are other formats in the same container: HEIC, AVIF, QuickTime.
  [/^.{4}ftyp(?:isom|iso[2-6]|mp4[12]|avc1|M4V |dash|MSNV)/s, "video/mp4"],
];

/** The media type by a file's first bytes, of the few that are shown inline; else null. */
export function sniffMedia(head: Uint8Array): string | null {
  const text = String.fromCharCode(...head.subarray(0, 16));
  return media.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}
