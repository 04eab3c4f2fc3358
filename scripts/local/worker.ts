import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { parse, type TomlTable } from "smol-toml";
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
function writeConfig(dir: string, vars: Record<string, string>, more: TomlTable = {}): string {
  const config: TomlTable = parse(readFileSync(join(root, "wrangler.toml"), "utf8"));
  // Crons never fire here; wrangler only warns of that at length.
  const { build: _build, assets, triggers: _crons, ...rest } = config;
  const table = (value: unknown) => (typeof value === "object" && value !== null ? value : {});
  const { directory } = { directory: "dist", ...table(assets) };
  const local = {
    ...rest,
    ...more,
    main: resolve(root, String(config.main)),
    assets: { ...table(assets), directory: resolve(root, directory) },
    send_metrics: false,
  };
  const file = join(dir, "wrangler.json");
  const lines = Object.entries(vars).map(([name, value]) => devVar(name, value));
  writeFileSync(join(dir, ".dev.vars"), lines.join(""), { mode: 0o600 });
  writeFileSync(file, JSON.stringify(local, null, 2));
  return file;
}

/**
 * Starts the Worker under `wrangler dev` with local R2 on a loopback port, free unless given, and
 * waits until it answers. `dist/` must exist. Everything it writes goes under `persistDir`.
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
  const { databaseUrl, jwtSecret, vars, logFile } = options;
  const persistDir = resolve(options.persistDir);
  if (!existsSync(join(root, "dist")))
    throw new Trouble("The static files (dist/) are missing. Make them: npm run build");
  const port = options.port ?? (await freePort());
  mkdirSync(persistDir, { recursive: true });
  const secrets = { DATABASE_URL: databaseUrl, JWT_SECRET: jwtSecret, ...vars };
  const config = writeConfig(persistDir, secrets, options.config);
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    // The build command's `node` is the one that came with the packages, where there is one.
    PATH: [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter),
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    // The banner is also what asks for a newer version.
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
    // Else it asks an outside server where on Earth this machine is.
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    X_LOCAL_OBSERVABILITY: "false",
    // Else every worker of this name on the machine shares one folder in the home directory.
    WRANGLER_REGISTRY_PATH: join(persistDir, "registry"),
    WRANGLER_WRITE_LOGS: "false",
    WRANGLER_LOG_PATH: join(persistDir, "logs"),
    XDG_CONFIG_HOME: join(persistDir, "config"),
    NO_COLOR: "1",
    FORCE_COLOR: "0",
    CI: "true",
  };
  let failed = false;
  const run = startProcess({
    command: process.execPath,
    args: [
      "--no-warnings",
      join(root, "node_modules/wrangler/wrangler-dist/cli.js"),
      "dev",
      ...["--config", config, "--local", "--persist-to", join(persistDir, "state")],
      ...["--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0"],
      "--show-interactive-dev-session=false",
    ],
    cwd: root,
    env,
    logFile,
    onLine: (line) => {
      if (line.includes("Build failed with")) failed = true;
      options.onLine?.(line);
    },
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await waitFor(
      "worker",
      async () => {
        if (failed) throw new Trouble(`The worker could not be built.\n${run.tail().join("\n")}`);
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

/** Does what the cron trigger does every minute when deployed; wrangler dev never fires it. */
export const runScheduled = (url: string) =>
  answersOk(`${url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`, 55_000);
