/** `npm run migrate [-- --remote]`: brings the local or the deployed database up to date. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { migrate as apply } from "drizzle-orm/libsql/migrator";
import { z } from "zod";
import { openDatabase } from "./local/database.ts";
import { withLocalDatabase } from "./local/home.ts";
import { root } from "./local/processes.ts";
import { remoteSettings } from "./local/remote.ts";
import { isMain, main } from "./local/say.ts";

const folder = join(root, "migrations");
const journal = z.object({ entries: z.array(z.object({ tag: z.string(), when: z.number() })) });

/**
 * Applies the migrations that a database lacks, in one transaction, and returns their names. Meant
 * for one caller at a time a database.
 */
export async function migrate(url: string, authToken?: string): Promise<string[]> {
  const db = openDatabase({ url, authToken });
  try {
    const table = await db.values(
      sql`select 1 from sqlite_master where name = '__drizzle_migrations'`,
    );
    const rows = table.length
      ? await db.values(sql`select max(created_at) from __drizzle_migrations`)
      : [];
    const last = Number(rows[0]?.[0] ?? 0);
    const { entries } = journal.parse(
      JSON.parse(readFileSync(join(folder, "meta/_journal.json"), "utf8")),
    );
    const missing = entries.filter(({ when }) => when > last).map(({ tag }) => tag);
    if (missing.length) await apply(db, { migrationsFolder: folder });
    return missing;
  } finally {
    db.$client.close();
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
