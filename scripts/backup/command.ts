import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { DatabaseAddress } from "../local/database.ts";
import { withLocalDatabase } from "../local/home.ts";
import { Trouble } from "../local/processes.ts";
import { remoteSettings } from "../local/remote.ts";
import { localBucket } from "./local-bucket.ts";
import { type Bucket, type Copied, remoteBucket, sayCopied } from "./objects.ts";

/** What `npm run NAME -- FILE [--remote] [--with-files FOLDER]` names. Throws Trouble with the usage. */
export function databaseCommand(name: "backup" | "restore") {
  const usage = `Usage: npm run ${name} -- FILE [--remote] [--with-files FOLDER]
  --remote      the deployed ledger, by the settings in .env.production
  --with-files  copies the files of weights too, ${name === "backup" ? "into" : "out of"} that folder`;
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
  const folder = values["with-files"];
  /** Copies files of weights, where that was asked for, and says how it went. */
  async function withFiles(copy: (bucket: Bucket, folder: string) => Promise<Copied>) {
    if (folder === undefined) return;
    const bucket = values.remote ? remoteBucket() : await localBucket();
    try {
      console.error(sayCopied(await copy(bucket, resolve(folder))));
    } finally {
      await bucket.close();
    }
  }
  return { file: resolve(file), withDatabase, withFiles };
}

const parse = () =>
  parseArgs({
    allowPositionals: true,
    options: { remote: { type: "boolean" }, "with-files": { type: "string" } },
  });
