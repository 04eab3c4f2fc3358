import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { DatabaseAddress } from "../local/database.ts";
import { withLocalDatabase } from "../local/home.ts";
import { Trouble } from "../local/processes.ts";
import { remoteSettings } from "../local/remote.ts";

/** What `npm run NAME -- FILE [--remote]` names. Throws Trouble with the usage. */
export function databaseCommand(name: "backup" | "restore") {
  const usage = `Usage: npm run ${name} -- FILE [--remote]\n  --remote  the deployed ledger, by the settings in .env.production`;
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse();
  } catch (error) {
    throw new Trouble(
      `${error instanceof Error ? error.message.split(". ")[0] : error}.\n${usage}`,
    );
  }
  const { values, positionals } = parsed;
  const [file] = positionals;
  if (!file || positionals.length > 1) throw new Trouble(`Name one file.\n${usage}`);
  async function withDatabase<T>(work: (at: DatabaseAddress) => Promise<T>): Promise<T> {
    if (!values.remote) return withLocalDatabase(work);
    const env = remoteSettings("DATABASE_URL", "DATABASE_AUTH_TOKEN");
    return work({ url: env.DATABASE_URL, authToken: env.DATABASE_AUTH_TOKEN });
  }
  return { file: resolve(file), withDatabase };
}

const parse = () => parseArgs({ allowPositionals: true, options: { remote: { type: "boolean" } } });
