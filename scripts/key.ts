/**
 * `npm run key -- NAME [--role member] [--scopes a,b] [--days 30] [--remote]`: prints a key alone
 * on standard output, making the user when new. `npm run key -- --link` prints a link that signs the
 * local admin in once. `--demo` is about the ledger of `npm start -- --demo`. All else that it says goes to
 * standard error.
 */
import { parseArgs } from "node:util";
import { eq } from "drizzle-orm";
import { commandLine } from "../src/platform/audit/audit.ts";
import { ensureUser, makeKey } from "../src/platform/auth/keys.ts";
import { LINK_MINUTES, signInUrl } from "../src/platform/auth/sign-in-links.ts";
import { user } from "../src/platform/db/schema.ts";
import {
  type KeyScope,
  keyScopes,
  type Role,
  roleScopes,
  roles,
  usualScopes,
} from "../src/shared/scopes.ts";
import { signInCode } from "./local/admin.ts";
import { type DatabaseAddress, openDatabase } from "./local/database.ts";
import { localSecret, running, withLocalDatabase } from "./local/home.ts";
import { Trouble } from "./local/processes.ts";
import { remoteSettings } from "./local/remote.ts";
import { isMain, main } from "./local/say.ts";
import { migrate } from "./migrate.ts";

const usage =
  "Usage: npm run key -- NAME [--role member] [--scopes a,b] [--days 30] [--remote]" +
  "\n       npm run key -- --link [--demo]" +
  `\n  --role    for a new user: ${roles.join(", ")}; without it, member` +
  `\n  --scopes  ${keyScopes.join(", ")}; without it, the usual ones of the role. box stands alone` +
  "\n  --days    the key's life in days; without it, the key does not expire" +
  "\n  --remote  the deployed ledger, by the settings in .env.production" +
  "\n  --link    alone: a one-time link that signs the local admin in, at the ledger that runs here" +
  "\n  --demo    the ledger of `npm start -- --demo`";

type Wanted = { name: string; role?: Role; scopes?: KeyScope[]; days: number | null };

const isRole = (word: string): word is Role => (roles as readonly string[]).includes(word);
const isScope = (word: string): word is KeyScope => (keyScopes as readonly string[]).includes(word);

/** What the command line asks for. Throws Trouble naming what is valid. */
function readArguments(args: string[]): (Wanted & { remote: boolean }) | "link" {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(". ")[0] : error;
    throw new Trouble(`${reason}.\n${usage}`);
  }
  const { values, positionals } = parsed;
  if (values.link) {
    if (args.some((word) => !["--link", "--demo"].includes(word)))
      throw new Trouble(`--link stands alone.\n${usage}`);
    return "link";
  }
  const name = positionals[0]?.trim() ?? "";
  if (values.demo && values.remote) throw new Trouble(`A demo is never remote.\n${usage}`);
  if (positionals.length !== 1 || name === "" || name.length > 100)
    throw new Trouble(`Name one user, with at most 100 characters.\n${usage}`);
  const { role } = values;
  if (role !== undefined && !isRole(role))
    throw new Trouble(`There is no role ${role}. Roles: ${roles.join(", ")}.`);
  const words = values.scopes?.split(/[\s,]+/).filter(Boolean);
  const unknown = words?.filter((word) => !isScope(word)) ?? [];
  if (unknown.length || words?.length === 0)
    throw new Trouble(
      `There is no scope ${unknown.join(", ") || "without a name"}. Scopes: ${keyScopes.join(", ")}.`,
    );
  const scopes = words && [...new Set(words.filter(isScope))];
  if (scopes?.includes("box") && scopes.length > 1)
    throw new Trouble("The scope box stands alone: --scopes box.");
  const days = values.days === undefined ? null : Number(values.days);
  if (days !== null && !(days > 0 && days <= 3650))
    throw new Trouble(`--days takes a number over 0, at most 3650, not ${values.days}.`);
  return { name, role, scopes, days, remote: values.remote ?? false };
}

const parse = (args: string[]) =>
  parseArgs({
    args,
    allowPositionals: true,
    options: {
      role: { type: "string" },
      scopes: { type: "string" },
      days: { type: "string" },
      remote: { type: "boolean" },
      link: { type: "boolean" },
      demo: { type: "boolean" },
    },
  });

/** Makes a key, and the user when new. Throws Trouble when the user may not have such a key. */
export async function issueKey(at: DatabaseAddress, secret: string, wanted: Wanted) {
  const db = openDatabase(at);
  try {
    const [known] = await db.select().from(user).where(eq(user.name, wanted.name));
    if (known && wanted.role && known.role !== wanted.role)
      throw new Trouble(
        `${known.name} is there already, as ${known.role}. An admin changes that by PATCH /api/users/${known.id}.`,
      );
    if (known && !known.active)
      throw new Trouble(`${known.name} is not active any more, so a key would not work.`);
    const role = known?.role ?? wanted.role ?? "member";
    const most: KeyScope[] = [...roleScopes[role], ...(role === "viewer" ? [] : ["box" as const])];
    const beyond = wanted.scopes?.filter((scope) => !most.includes(scope)) ?? [];
    if (beyond.length)
      throw new Trouble(
        `A ${role} cannot have ${beyond.join(", ")}. Scopes of a ${role}: ${most.join(", ")}.`,
      );
    const owner = known ?? (await ensureUser(db, commandLine, wanted.name, role));
    const { key } = await makeKey(db, { JWT_SECRET: secret }, commandLine, {
      userId: owner.id,
      name: "made on the command line",
      scopes: wanted.scopes ?? usualScopes[role],
      days: wanted.days,
    });
    return { key, role, isNew: !known };
  } finally {
    db.$client.close();
  }
}

/** Prints a link that signs the local admin in. Throws Trouble where no ledger runs here. */
async function printLink() {
  const { url, databaseUrl } = (await running()) ?? {};
  if (!url || !databaseUrl)
    throw new Trouble("No ledger runs here. `npm start` starts it, and prints such a link.");
  const code = await signInCode({ url: databaseUrl }, localSecret());
  console.error(`Good once, within ${LINK_MINUTES} minutes:`);
  console.log(signInUrl(url, code));
}

if (isMain(import.meta.url))
  await main(async () => {
    const wanted = readArguments(process.argv.slice(2));
    if (wanted === "link") return printLink();
    const { npm_lifecycle_event, npm_config_loglevel } = process.env;
    if (npm_lifecycle_event && !process.stdout.isTTY && npm_config_loglevel !== "silent")
      console.error(
        "npm writes its own lines before the key; `npm run --silent key -- …` gives the key alone.",
      );
    let made: Awaited<ReturnType<typeof issueKey>>;
    if (wanted.remote) {
      const env = remoteSettings("DATABASE_URL", "DATABASE_AUTH_TOKEN", "JWT_SECRET");
      const address = { url: env.DATABASE_URL, authToken: env.DATABASE_AUTH_TOKEN };
      made = await issueKey(address, env.JWT_SECRET, wanted);
    } else
      made = await withLocalDatabase(async (address) => {
        await migrate(address.url);
        return issueKey(address, localSecret(), wanted);
      });
    const life = wanted.days === null ? "does not expire" : `expires in ${wanted.days} days`;
    const scopes = (wanted.scopes ?? usualScopes[made.role]).join(" ");
    console.error(
      `Key for ${wanted.name} (${made.isNew ? "new " : ""}${made.role}), scopes ${scopes}; it ${life} and is shown only now:`,
    );
    console.log(made.key);
  });
