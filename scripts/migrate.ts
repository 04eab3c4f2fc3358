/** `npm run migrate [-- --remote]`: brings the local or the deployed database up to date. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LibsqlError } from "@libsql/client/http";
import { migrate as apply } from "drizzle-orm/libsql/migrator";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { z } from "zod";
import { openDatabase } from "./local/database.ts";
import { withLocalDatabase } from "./local/home.ts";
import { root, Trouble } from "./local/processes.ts";
import { remoteSettings } from "./local/remote.ts";
import { isMain, main } from "./local/say.ts";

const folder = join(root, "migrations");
const journal = z.object({
  entries: z.array(z.looseObject({ tag: z.string(), when: z.number() })),
});

const readJournal = () =>
  journal.parse(JSON.parse(readFileSync(join(folder, "meta/_journal.json"), "utf8")));

/** Hashes of all migrations, in their order. */
export const knownMigrations = () =>
  readMigrationFiles({ migrationsFolder: folder }).map((file) => file.hash);

/**
 * Applies the migrations that a database lacks, all or none, and returns their names; with `upTo`,
 * none behind the first so many. Meant for one caller at a time a database. Throws Trouble when one
 * fails, or was changed after it was applied.
 */
export async function migrate(url: string, authToken?: string, upTo?: number): Promise<string[]> {
  const entries = readJournal().entries.slice(0, upTo);
  const hashes = new Map(
    readMigrationFiles({ migrationsFolder: folder }).map((file) => [file.folderMillis, file.hash]),
  );
  const db = openDatabase({ url, authToken });
  try {
    const { rows: made } = await db.$client.execute(
      "select 1 from sqlite_master where name = '__drizzle_migrations'",
    );
    const { rows } = made.length
      ? await db.$client.execute("select created_at, hash from __drizzle_migrations")
      : { rows: [] };
    const applied = new Map(rows.map((row) => [Number(row.created_at), row.hash]));
    for (const { tag, when } of entries)
      if (applied.has(when) && applied.get(when) !== hashes.get(when))
        throw new Trouble(
          `migrations/${tag}.sql was changed after this database had it; changes need a migration of their own.`,
        );
    const last = Math.max(0, ...applied.keys());
    const missing = entries.filter(({ when }) => when > last).map(({ tag }) => tag);
    if (missing.length === 0) return [];
    if (upTo === undefined) await apply(db, { migrationsFolder: folder });
    else await withFirst(entries, (migrationsFolder) => apply(db, { migrationsFolder }));
    return missing;
  } catch (error) {
    if (!(error instanceof LibsqlError)) throw error;
    throw new Trouble(
      `The database could not be brought up to date, and was not changed: ${error.message}`,
    );
  } finally {
    db.$client.close();
  }
}

/** A folder of the first migrations alone, for as long as `work` takes. */
async function withFirst(
  entries: z.infer<typeof journal>["entries"],
  work: (folder: string) => Promise<void>,
) {
  const some = mkdtempSync(join(tmpdir(), "lora-ledger-migrations-"));
  try {
    mkdirSync(join(some, "meta"));
    for (const { tag } of entries) cpSync(join(folder, `${tag}.sql`), join(some, `${tag}.sql`));
    writeFileSync(join(some, "meta/_journal.json"), JSON.stringify({ entries }));
    await work(some);
  } finally {
    rmSync(some, { recursive: true, force: true });
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    const { values } = parseArgs({ options: { remote: { type: "boolean" } } });
    const say = (applied: string[]) => {
      for (const name of applied) console.log(`applied ${name}`);
      console.log(applied.length ? "The database is up to date." : "The database was up to date.");
    };
    if (values.remote) {
      const env = remoteSettings("DATABASE_URL", "DATABASE_AUTH_TOKEN");
      say(await migrate(env.DATABASE_URL, env.DATABASE_AUTH_TOKEN));
    } else say(await withLocalDatabase(({ url }) => migrate(url)));
  });
