/** `npm run backup -- FILE [--remote] [--with-files FOLDER]`: writes a whole ledger's database into one file. */
import { createHash } from "node:crypto";
import { createWriteStream, existsSync, renameSync, rmSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { createClient, type InValue, type Row, type Value } from "@libsql/client/http";
import { databaseCommand } from "./backup/command.ts";
import { encodeValue, type Header } from "./backup/format.ts";
import { copyOut } from "./backup/objects.ts";
import { list, migrationsOf, quoted, type Runner, type Table, tablesOf } from "./backup/tables.ts";
import type { DatabaseAddress } from "./local/database.ts";
import { Trouble } from "./local/processes.ts";
import { type Progress, progress } from "./local/progress.ts";
import { isMain, main } from "./local/say.ts";

/** Bytes of values in one answer: JSON's quotes and base64 at most double them, and 4 MB is safe. */
const PAGE_BYTES = 2_000_000;
const ROWS_MEASURED = 1000;

/** The first values of a row, by their places: SQLite names rowid as it likes. */
const valuesOf = (row: Row, names: string[]): Value[] => names.map((_, n) => row[n] ?? null);
const behind = (table: Table, sign: string) =>
  `(${list(table.key)}) ${sign} (${table.key.map(() => "?").join(", ")})`;

/** A table's rows in the order of its key, as pages that each fit into one answer. */
async function* pagesOf(db: Runner, table: Table): AsyncGenerator<Value[][]> {
  const name = quoted(table.name);
  const bytes = table.columns.map((column) => `coalesce(octet_length(${quoted(column)}), 0)`);
  let from: InValue[] | undefined;
  for (;;) {
    const { rows: measured } = await db.execute({
      sql: `select ${list(table.key)}, ${bytes.join(" + ")} as bytes from ${name}
        ${from ? `where ${behind(table, ">")}` : ""} order by ${list(table.key)} limit ${ROWS_MEASURED}`,
      args: from ?? [],
    });
    let size = 0;
    for (const [n, row] of measured.entries()) {
      size += Number(row.bytes);
      const next = measured[n + 1];
      if (next && size + Number(next.bytes) <= PAGE_BYTES) continue;
      const to = valuesOf(row, table.key);
      const where = `where ${from ? `${behind(table, ">")} and ` : ""}${behind(table, "<=")}`;
      const args = [...(from ?? []), ...to];
      if (size > PAGE_BYTES) yield [await largeRow(db, table, to)];
      else {
        const page = await db.execute({
          sql: `select ${list(table.columns)} from ${name} ${where} order by ${list(table.key)}`,
          args,
        });
        yield page.rows.map((found) => valuesOf(found, table.columns));
      }
      from = to;
      size = 0;
    }
    if (measured.length < ROWS_MEASURED) return;
  }
}

/** One row that is too large for an answer, in pieces of each value's bytes. */
async function largeRow(db: Runner, table: Table, key: InValue[]): Promise<Value[]> {
  const read = async (expression: string): Promise<Record<string, Value>> => {
    const { rows } = await db.execute({
      sql: `select ${expression} from ${quoted(table.name)} where ${behind(table, "=")}`,
      args: key,
    });
    return rows[0] ?? {};
  };
  const values: Value[] = [];
  for (const column of table.columns.map(quoted)) {
    const { type, size } = await read(`typeof(${column}) as type, octet_length(${column}) as size`);
    if (Number(size ?? 0) <= PAGE_BYTES / 2) {
      values.push((await read(`${column} as value`)).value ?? null);
      continue;
    }
    const pieces: Buffer[] = [];
    for (let at = 1; at <= Number(size); at += PAGE_BYTES) {
      const { piece } = await read(
        `substr(cast(${column} as blob), ${at}, ${PAGE_BYTES}) as piece`,
      );
      if (piece instanceof ArrayBuffer) pieces.push(Buffer.from(piece));
    }
    const whole = Buffer.concat(pieces);
    values.push(type === "blob" ? new Uint8Array(whole).buffer : whole.toString("utf8"));
  }
  return values;
}

async function* linesOf(db: Runner, tables: Table[], head: Header, bar: Progress) {
  const hash = createHash("sha256");
  const line = (value: unknown) => {
    const text = `${JSON.stringify(value)}\n`;
    hash.update(text);
    return text;
  };
  let rows = 0;
  yield line(head);
  for (const table of tables) {
    yield line({ table: table.name, columns: table.columns });
    for await (const page of pagesOf(db, table)) {
      yield page.map((row) => line(row.map(encodeValue))).join("");
      rows += page.length;
      bar.add(page.length);
    }
  }
  yield `${JSON.stringify({ end: true, rows, sha256: hash.digest("hex") })}\n`;
}

/**
 * Writes all rows of a ledger, as they stand at one moment, into a new file; people may go on working
 * meanwhile. Memory stays bounded. Throws Trouble, and leaves no file, when it cannot.
 */
export async function backup({ url, authToken }: DatabaseAddress, file: string): Promise<number> {
  if (existsSync(file)) throw new Trouble(`${file} is there already. Name a new file.`);
  const client = createClient({ url, authToken });
  const part = `${file}.part`;
  let bar: Progress | undefined;
  try {
    // A read transaction sees the database as it was when it began.
    const snapshot = await client.transaction("read");
    const migrations = await migrationsOf(snapshot);
    if (!migrations.length) throw new Trouble("This database holds no ledger.");
    const tables = await tablesOf(snapshot);
    const counts: Record<string, number> = {};
    for (const { name } of tables) {
      const { rows } = await snapshot.execute(`select count(*) as n from ${quoted(name)}`);
      counts[name] = Number(rows[0]?.n);
    }
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    const head: Header = {
      lora_ledger_backup: 1,
      at: new Date().toISOString(),
      migrations,
      tables: counts,
    };
    bar = progress("backup", total, "rows");
    await pipeline(
      Readable.from(linesOf(snapshot, tables, head, bar), { highWaterMark: 1 }),
      createGzip({ level: 1 }),
      createWriteStream(part, { mode: 0o600 }),
    );
    await snapshot.rollback();
    renameSync(part, file);
    bar.end();
    return total;
  } catch (error) {
    bar?.stop();
    rmSync(part, { force: true });
    throw error;
  } finally {
    client.close();
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    const { file, withDatabase, withFiles } = databaseCommand("backup");
    await withDatabase(async (at) => {
      const rows = await backup(at, file);
      console.error(
        `${file} holds the whole database: ${rows} rows. Keep it as safe as the ledger.`,
      );
      await withFiles((bucket, folder) => copyOut(at, bucket, folder));
    });
  });
