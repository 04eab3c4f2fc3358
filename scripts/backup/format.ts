import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import type { InValue, Value } from "@libsql/client/http";
import { z } from "zod";
import { Trouble } from "../local/processes.ts";

/**
 * A backup is gzipped lines of JSON: a header; for each table its name and columns, then its rows as
 * arrays; and an end that counts and hashes all lines before it. Bytes are `{"base64": …}`.
 */
const header = z.object({
  lora_ledger_backup: z.literal(1),
  at: z.string(),
  /** What the database had been migrated to: hashes in their order. */
  migrations: z.array(z.string()),
  /** Table → number of rows. */
  tables: z.record(z.string(), z.int().min(0)),
});
export type Header = z.infer<typeof header>;

const tableStart = z.object({ table: z.string(), columns: z.array(z.string()).min(1) });
const end = z.object({ end: z.literal(true), rows: z.int().min(0), sha256: z.string() });
/** A value as a line of JSON has it. */
export const encodeValue = (value: Value) => {
  if (value instanceof ArrayBuffer) return { base64: Buffer.from(value).toString("base64") };
  if (typeof value === "bigint") throw new Error("whole numbers are read as numbers");
  return value;
};

/** The reverse of encodeValue; throws SyntaxError on what that never gives. */
function decodeValue(value: unknown): InValue {
  if (value === null || typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "object" && "base64" in value && typeof value.base64 === "string")
    return Buffer.from(value.base64, "base64");
  throw new SyntaxError("not a value");
}

/** Bytes of one line: a row holds a trainer's files and its settings, some 20 MB at most. */
const MOST_LINE = 64 * 1024 * 1024;
/** Arrays and objects within each other on a line. */
const MOST_DEPTH = 4;
/** Beyond the first so many bytes, no ledger packs to less than that part of itself. */
const FREE_BYTES = 1024 ** 3;
const MOST_RATIO = 300;

/** What is no backup, in words. */
class Broken extends Error {}

/** Lines of a stream, one at a time, as bytes without their ends. Throws Broken for what is too long. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      yield Buffer.concat([...begun, chunk.subarray(from, at)]);
      begun = [];
      length = 0;
      from = at + 1;
    }
    begun.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > MOST_LINE) throw new Broken("a line is longer than any row");
  }
  const last = Buffer.concat(begun);
  if (last.length) yield last;
}

/** The stream's chunks, as long as they are not far more than the packed bytes they came from. Throws Broken. */
async function* bounded(stream: AsyncIterable<Buffer>, packed: () => number) {
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.length;
    if (total > FREE_BYTES + MOST_RATIO * packed())
      throw new Broken(`it unpacks to more than ${MOST_RATIO} times its size`);
    yield chunk;
  }
}

/** A line's JSON, which nests no deeper than rows do: a parser would take gigabytes for brackets alone. */
function parse(line: Buffer): unknown {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const byte = line[i];
    if (quoted) {
      if (byte === 92) i++;
      else if (byte === 34) quoted = false;
    } else if (byte === 34) quoted = true;
    else if (byte === 91 || byte === 123) {
      if (++depth > MOST_DEPTH) throw new SyntaxError("nested too deeply");
    } else if (byte === 93 || byte === 125) depth--;
  }
  return JSON.parse(line.toString());
}

export type Part =
  | { header: Header }
  | { table: string; columns: string[] }
  | { row: InValue[]; size: number };

/**
 * Reads a backup, a line at a time. Throws Trouble where it is broken, cut off or was changed: only
 * after its last part is it known to be whole, so nothing should come of it before.
 */
export async function* readBackup(file: string): AsyncGenerator<Part> {
  const broken = (why: string) => new Trouble(`${file} is not a whole backup: ${why}.`);
  const unpacked = createGunzip();
  const source = createReadStream(file);
  // What goes wrong ends `unpacked`, which tells the loop below.
  pipeline(source, unpacked, () => {});
  const hash = createHash("sha256");
  const counts = new Map<string, number>();
  let head: Header | undefined;
  let current: { table: string; width: number } | undefined;
  let rows = 0;
  let ended = false;
  try {
    for await (const line of linesOf(bounded(unpacked, () => source.bytesRead))) {
      if (ended) throw broken("something stands behind its end");
      const value = parse(line);
      if (Array.isArray(value)) {
        if (!current || value.length !== current.width) throw broken("a row is in no table");
        const count = (counts.get(current.table) ?? 0) + 1;
        if (count > (head?.tables[current.table] ?? 0))
          throw broken(`it has more rows of ${current.table} than it says`);
        counts.set(current.table, count);
        rows++;
        yield { row: value.map(decodeValue), size: line.length };
      } else if (!head) {
        head = header.parse(value);
        yield { header: head };
      } else if (value && typeof value === "object" && "end" in value) {
        const { rows: count, sha256 } = end.parse(value);
        if (count !== rows || sha256 !== hash.digest("hex"))
          throw broken("its lines are not those that it was written with");
        ended = true;
        continue;
      } else {
        const { table, columns } = tableStart.parse(value);
        current = { table, width: columns.length };
        yield { table, columns };
      }
      hash.update(line).update("\n");
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError)
      throw broken("a line is not what such a file holds");
    if (error instanceof Broken) throw broken(error.message);
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ENOENT") throw new Trouble(`There is no ${file}.`);
    if (code.startsWith("Z_")) throw broken("it cannot be unpacked");
    throw error;
  } finally {
    unpacked.destroy();
  }
  if (!head) throw broken("it is empty");
  if (!ended) throw broken("its end is missing");
  for (const [table, count] of Object.entries(head.tables))
    if (count !== (counts.get(table) ?? 0)) throw broken(`rows of ${table} are missing`);
}
