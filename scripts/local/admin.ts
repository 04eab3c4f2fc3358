import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { commandLine } from "../../src/platform/audit/audit.ts";
import { authenticate, ensureUser, makeKey } from "../../src/platform/auth/keys.ts";
import { makeSignInCode } from "../../src/platform/auth/sign-in-links.ts";
import type { Db } from "../../src/platform/db/client.ts";
import { ApiError } from "../../src/platform/http/problem.ts";
import { roleScopes } from "../../src/shared/scopes.ts";
import { type DatabaseAddress, openDatabase } from "./database.ts";
import { at } from "./home.ts";

/** The id of the local admin's key in `.local/key`, made anew where none is that works (any more). */
async function adminKeyId(db: Db, secret: string): Promise<number> {
  const file = at("key");
  const secrets = { JWT_SECRET: secret };
  if (existsSync(file)) {
    const kept = readFileSync(file, "utf8").trim();
    try {
      const later: Promise<unknown>[] = [];
      const { keyId } = await authenticate(db, secrets, kept, (work) => later.push(work));
      await Promise.all(later);
      return keyId;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
  const { id } = await ensureUser(db, commandLine, "admin", "admin");
  const input = { userId: id, name: "made by npm start", scopes: roleScopes.admin, days: null };
  const { key, row } = await makeKey(db, secrets, commandLine, input);
  // Renamed into place: a file that is there already may be open to others.
  writeFileSync(`${file}.new`, `${key}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return row.id;
}

/** A code that signs the local admin in once, and the key in `.local/key` where there was none. */
export async function signInCode(address: DatabaseAddress, secret: string): Promise<string> {
  const db = openDatabase(address);
  try {
    return await makeSignInCode(db, commandLine, await adminKeyId(db, secret));
  } finally {
    db.$client.close();
  }
}
