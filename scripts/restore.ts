/** `npm run restore -- FILE [--remote] [--with-files FOLDER]`: fills an empty database from a backup. */
import { type Client, createClient, type InStatement, type InValue } from "@libsql/client/http";
import { databaseCommand } from "./backup/command.ts";
import { type Header, readBackup } from "./backup/format.ts";
import { copyIn } from "./backup/objects.ts";
import { list, migrationsOf, quoted, reserved, tablesOf, wipe } from "./backup/tables.ts";
import type { DatabaseAddress } from "./local/database.ts";
import { Trouble } from "./local/processes.ts";
import { type Progress, progress } from "./local/progress.ts";
import { isMain, main } from "./local/say.ts";
import { knownMigrations, migrate } from "./migrate.ts";

/** What one request carries at most, in bytes of the file and in bound values. */
const REQUEST_BYTES = 1_000_000;
const MOST_VALUES = 20_000;

/** Reads the whole file once, so that nothing is written when it is broken. */
async function check(file: string): Promise<{ head: Header; rows: number }> {
  let head: Header | undefined;
  let rows = 0;
  for await (const part of readBackup(file)) {
    if ("header" in part) head = part.header;
    else if ("row" in part) rows++;
  }
  if (!head) throw new Trouble(`${file} is empty.`);
  const known = knownMigrations();
  if (head.migrations.some((hash, n) => hash !== known[n]))
    throw new Trouble(
      "This backup is of another version of LoRA Ledger than the one here, and of no earlier one. Restore it with the version that wrote it, or a later one.",
    );
  return { head, rows };
}

/** Throws Trouble unless a database is empty, or holds a ledger without a single user, or an unfinished restore. */
async function refuseUsed(client: Client) {
  const { rows } = await client.execute(
    `select name from sqlite_master where type = 'table' and not ${reserved("name")}`,
  );
  const names = rows.map((row) => String(row.name));
  if (names.length === 0 || names.includes("__restore")) return;
  const known = knownMigrations();
  const had = await migrationsOf(client);
  if (!had.length || had.some((hash, n) => hash !== known[n]))
    throw new Trouble("This database holds something else. Restore into an empty one.");
  const { rows: users } = await client.execute("select 1 from user limit 1");
  if (users.length)
    throw new Trouble(
      "This database holds a ledger already, and nothing of it was changed. Restore into an empty one: another database, or another folder (LEDGER_LOCAL=…).",
    );
}

/** Puts the file's rows where they belong, many a request. Foreign keys are checked again behind it. */
async function load(client: Client, file: string, bar: Progress) {
  let table = "";
  let columns: string[] = [];
  let waiting: InValue[][] = [];
  let size = 0;
  async function flush() {
    if (!waiting.length) return;
    const one = `(${columns.map(() => "?").join(", ")})`;
    const statement: InStatement = {
      sql: `insert into ${quoted(table)} (${list(columns)}) values ${waiting.map(() => one).join(", ")}`,
      args: waiting.flat(),
    };
    await client.migrate([statement]);
    bar.add(waiting.length);
    waiting = [];
    size = 0;
  }
  for await (const part of readBackup(file)) {
    if ("table" in part) {
      await flush();
      ({ table, columns } = part);
      // Filling the tables has noted ids there already.
      if (table === "sqlite_sequence") await client.execute("delete from sqlite_sequence");
    } else if ("row" in part) {
      const full = (waiting.length + 1) * columns.length > MOST_VALUES;
      if (full || size + part.size > REQUEST_BYTES) await flush();
      waiting.push(part.row);
      size += part.size;
    }
  }
  await flush();
}

/** Throws Trouble unless each table has the rows that the backup says. */
async function compare(client: Client, head: Header) {
  for (const [table, count] of Object.entries(head.tables)) {
    const { rows } = await client.execute(`select count(*) as n from ${quoted(table)}`);
    if (rows[0]?.n !== count)
      throw new Trouble(`${table} has ${rows[0]?.n} rows instead of ${count} after restoring.`);
  }
}

/**
 * Fills an empty database with a backup's rows, and brings it up to date. The file is read twice:
 * first to see that it is whole. When something goes wrong on the way, the database is emptied again;
 * when even that fails, the next restore begins anew. Throws Trouble.
 */
export async function restore({ url, authToken }: DatabaseAddress, file: string): Promise<number> {
  const { head, rows } = await check(file);
  const client = createClient({ url, authToken });
  let bar: Progress | undefined;
  let begun = false;
  try {
    await refuseUsed(client);
    begun = true;
    await wipe(client, ["create table __restore (at text)"]);
    await migrate(url, authToken, head.migrations.length);
    // Triggers keep what is written from now on; the rows of a backup have been through them.
    const { rows: triggers } = await client.execute(
      "select name, sql from sqlite_master where type = 'trigger'",
    );
    const tables = await tablesOf(client);
    const named = new Set(tables.map(({ name }) => name));
    const unknown = Object.keys(head.tables).filter((name) => !named.has(name));
    if (unknown.length) throw new Trouble(`There is no table ${unknown.join(", ")} to restore.`);
    await client.migrate([
      ...triggers.map(({ name }) => `drop trigger ${quoted(String(name))}`),
      ...tables.map(({ name }) => `delete from ${quoted(name)}`),
    ]);
    bar = progress("restore", rows, "rows");
    await load(client, file, bar);
    await compare(client, head);
    await client.migrate([...triggers.map(({ sql }) => String(sql)), "drop table __restore"]);
    await migrate(url, authToken);
    bar.end();
    return rows;
  } catch (error) {
    bar?.stop();
    if (begun) await wipe(client);
    throw error;
  } finally {
    client.close();
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    const { file, withDatabase, withFiles } = databaseCommand("restore");
    await withDatabase(async (at) => {
      const rows = await restore(at, file);
      console.error(
        `${rows} rows were restored. Keys work again where JWT_SECRET is the same as it was.`,
      );
      await withFiles((bucket, folder) => copyIn(at, bucket, folder));
    });
  });
