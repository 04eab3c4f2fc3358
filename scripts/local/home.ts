import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join, relative, resolve } from "node:path";
import type { DatabaseAddress } from "./database.ts";
import { groupAlive, root, sleep, Trouble } from "./processes.ts";
import { startSqld } from "./sqld.ts";

const folder = process.env.LEDGER_LOCAL ? resolve(process.env.LEDGER_LOCAL) : join(root, ".local");

/** Whether the command is about the ledger with made-up runs, which never touches the one with real ones. */
export const demo = process.argv.includes("--demo");

/** Where everything of the local ledger is kept: `.local/`, or what LEDGER_LOCAL names; of a demo, `demo/` in it. */
export const home = demo ? join(folder, "demo") : folder;

/** A file of the local ledger. */
export const at = (name: string) => join(home, name);

/** How a person in the current folder would write the path. */
export const shown = (path: string) => {
  const here = relative(process.cwd(), path);
  return here.startsWith("..") ? path : here || ".";
};

/** Whose bits of a file's mode are not its owner's. */
const OTHERS = 0o077;

/** Takes from all but their owner a path, and with a folder all below it. Links lead elsewhere, and stay. */
function closeToOthers(path: string) {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat || stat.isSymbolicLink()) return;
  // Another user's files are that user's to close.
  if (stat.mode & OTHERS && stat.uid === process.getuid?.())
    chmodSync(path, stat.mode & 0o7777 & ~OTHERS);
  if (stat.isDirectory()) for (const name of readdirSync(path)) closeToOthers(join(path, name));
}

/** What a ledger keeps in its folder. Tools of the repository's own may lie beside it. */
const kept =
  /^(?:sqld|worker|demo|seeded|secret|(?:key|running\.json)(?:\.new)?|(?:sqld|worker)\.log(?:\.last)?)$/;

/**
 * Closes to other users what an older version of the local ledger left open to them. A folder that holds
 * other things too, named by LEDGER_LOCAL, keeps its mode: its owner's choice.
 */
function closeHome(): void {
  const names = readdirSync(home);
  const whole = demo || home === join(root, ".local") || names.every((name) => kept.test(name));
  if (whole && lstatSync(home).mode & OTHERS) chmodSync(home, 0o700);
  for (const name of names) if (kept.test(name)) closeToOthers(at(name));
}

/** The local JWT_SECRET, made once. */
export function localSecret(): string {
  const file = at("secret");
  if (!existsSync(file)) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    // "wx": of two commands at the same moment, one makes it and both read it.
    try {
      writeFileSync(file, randomBytes(32).toString("hex"), { mode: 0o600, flag: "wx" });
    } catch (error) {
      if (!existsSync(file)) throw error;
    }
  }
  return readFileSync(file, "utf8").trim();
}

/** What a running ledger leaves for others to find. */
type Note = {
  /** The owner listens here and answers with its token, which no dead process can. */
  port: number;
  token: string;
  /** Process groups it started, which may outlive a killed owner by seconds. */
  groups: number[];
  databaseUrl?: string;
  url?: string;
};

const file = () => at("running.json");

function readNote(): Note | undefined {
  try {
    return JSON.parse(readFileSync(file(), "utf8"));
  } catch {
    return undefined;
  }
}

const ownerAnswers = ({ port, token }: Note) =>
  new Promise<boolean>((done) => {
    const socket = connect({ port, host: "127.0.0.1", timeout: 2_000 });
    let said = "";
    socket.on("data", (data) => {
      said += data;
    });
    socket.on("close", () => done(said === token));
    socket.on("timeout", () => socket.destroy());
    socket.on("error", () => {});
  });

/** The ledger that runs in this folder now, if one does. */
export async function running(): Promise<Note | undefined> {
  const note = readNote();
  return note && (await ownerAnswers(note)) ? note : undefined;
}

export type Claim = {
  /** Tells others more of what runs. */
  note(more: Partial<Pick<Note, "groups" | "databaseUrl" | "url">>): void;
  release(): void;
};

/**
 * Makes this process the only one that runs the local database. However it ends, the claim ends
 * with it. Throws Trouble when another process has it.
 */
export async function claim(): Promise<Claim> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const token = randomBytes(16).toString("hex");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(token);
  });
  server.unref();
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("no port");
  let current: Note = { port: address.port, token, groups: [] };
  for (let tries = 1; ; tries++) {
    try {
      writeFileSync(file(), JSON.stringify(current), { mode: 0o600, flag: "wx" });
      break;
    } catch (error) {
      if (!existsSync(file()) || tries > 5) throw error;
    }
    const other = readNote();
    if (other && (await ownerAnswers(other))) {
      server.close();
      throw new Trouble(
        other.url
          ? `LoRA Ledger runs in this folder already, at ${other.url}. End that one first (Ctrl-C where it runs).`
          : "LoRA Ledger is being started or used in this folder by another command. Try again in a moment.",
      );
    }
    // A killed owner's servers notice within seconds; the database files have one user at a time.
    for (const until = Date.now() + 10_000; Date.now() < until; ) {
      if (!other?.groups.some(groupAlive)) break;
      await sleep(100);
    }
    rmSync(file(), { force: true });
  }
  closeHome();
  return {
    note(more) {
      current = { ...current, ...more };
      writeFileSync(`${file()}.new`, JSON.stringify(current), { mode: 0o600 });
      renameSync(`${file()}.new`, file());
    },
    release() {
      server.close();
      rmSync(file(), { force: true });
    },
  };
}

/** Does something with the local database: the running one, or one started just for this. */
export async function withLocalDatabase<T>(work: (at: DatabaseAddress) => Promise<T>): Promise<T> {
  const other = await running();
  if (other?.databaseUrl) return work({ url: other.databaseUrl });
  const mine = await claim();
  try {
    const sqld = await startSqld({ dataDir: at("sqld"), logFile: at("sqld.log") });
    mine.note({ groups: [sqld.pid], databaseUrl: sqld.url });
    try {
      return await work({ url: sqld.url });
    } finally {
      await sqld.stop();
    }
  } finally {
    mine.release();
  }
}
