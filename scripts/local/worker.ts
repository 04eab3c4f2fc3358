import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse, type TomlTable } from "smol-toml";
import { SCHEDULED } from "./front.ts";
import {
  answersOk,
  freePort,
  type Running,
  root,
  startProcess,
  Trouble,
  waitFor,
} from "./processes.ts";

export type Worker = {
  url: string;
  port: number;
  pid: number;
  exited: Running["exited"];
  tail: Running["tail"];
  stop(): Promise<void>;
  kill9(): void;
};

/** A line of a .dev.vars file. */
function devVar(name: string, value: string): string {
  const quote = ["'", '"', "`"].find((mark) => !value.includes(mark));
  if (!quote || /[\r\n]/.test(value)) throw new Trouble(`${name} cannot be written to a file.`);
  return `${name}=${quote}${value}${quote}\n`;
}

/**
 * Writes wrangler.toml as this one worker needs it, and beside it, readable by its owner alone, the
 * secrets: there they stand in no process list and no log, and no .dev.vars or .env of the
 * repository changes them. Static files are built by the caller.
 */
function writeConfig(
  dir: string,
  vars: Record<string, string>,
  listen: { port: number; token: string },
  more: TomlTable = {},
) {
  const config: TomlTable = parse(readFileSync(join(root, "wrangler.toml"), "utf8"));
  // Crons never fire here; wrangler only warns of that at length.
  const { build: _build, assets, triggers: _crons, ...rest } = config;
  const table = (value: unknown) => (typeof value === "object" && value !== null ? value : {});
  const { directory } = { directory: "dist", ...table(assets) };
  const main = resolve(root, String(config.main));
  const local = {
    ...rest,
    ...more,
    main,
    assets: { ...table(assets), directory: resolve(root, directory) },
    send_metrics: false,
  };
  const lines = Object.entries(vars).map(([name, value]) => devVar(name, value));
  const files = {
    ".dev.vars": lines.join(""),
    "wrangler.json": JSON.stringify(local, null, 2),
    "serve.json": JSON.stringify({ ...listen, main }),
  };
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(dir, name), text, { mode: 0o600 });
}

/** What runs the scheduled job of the workers that this process has started, by their addresses. */
const tokens = new Map<string, string>();

/**
 * Starts the Worker in workerd, with local R2, on a loopback port, free unless given, and waits until it
 * answers. `dist/` and `build/` must exist. Everything it writes goes under `persistDir`.
 */
export async function startWorker(options: {
  port?: number;
  databaseUrl: string;
  jwtSecret: string;
  persistDir: string;
  vars?: Record<string, string>;
  /** Replaces tables of wrangler.toml. */
  config?: TomlTable;
  logFile?: string;
  onLine?: (line: string) => void;
}): Promise<Worker> {
  const { databaseUrl, jwtSecret, vars, logFile, onLine } = options;
  const persistDir = resolve(options.persistDir);
  if (!existsSync(join(root, "dist")))
    throw new Trouble("The static files (dist/) are missing. Make them: npm run build");
  const port = options.port ?? (await freePort());
  mkdirSync(persistDir, { recursive: true, mode: 0o700 });
  const secrets = { DATABASE_URL: databaseUrl, JWT_SECRET: jwtSecret, ...vars };
  const token = randomBytes(32).toString("hex");
  writeConfig(persistDir, secrets, { port, token }, options.config);
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    // The banner is also what asks for a newer version.
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_WRITE_LOGS: "false",
    WRANGLER_LOG_PATH: join(persistDir, "logs"),
    XDG_CONFIG_HOME: join(persistDir, "config"),
    NO_COLOR: "1",
    FORCE_COLOR: "0",
    CI: "true",
  };
  const run = startProcess({
    command: process.execPath,
    args: ["--no-warnings", join(root, "scripts/local/serve.ts"), persistDir],
    cwd: root,
    env,
    logFile,
    onLine,
    ownerOnly: true,
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await waitFor(
      "worker",
      async () => {
        const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) });
        await response.body?.cancel();
        // Healthy or not; but not someone else's answer.
        return /\bjson\b/.test(response.headers.get("Content-Type") ?? "");
      },
      { alive: run.exited, tail: run.tail, timeoutMs: 90_000 },
    );
  } catch (error) {
    await run.stop(1_000);
    throw error;
  }
  tokens.set(url, token);
  return {
    url,
    port,
    pid: run.pid,
    exited: run.exited,
    tail: run.tail,
    stop: () => run.stop(),
    kill9: run.kill9,
  };
}

/**
 * Does what the cron trigger does every minute when deployed, with a worker that this process has started.
 * Nobody else may: the job is work.
 */
export const runScheduled = (url: string) =>
  answersOk(`${url}${SCHEDULED}?cron=${encodeURIComponent("* * * * *")}`, 55_000, {
    Authorization: `Bearer ${tokens.get(url)}`,
  });
