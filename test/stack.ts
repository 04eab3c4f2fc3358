// The whole ledger as real processes, for tests in Node: `await startStack()` gives sqld and the
// Worker in workerd, each of which can be killed and started again on its port with its
// data, an admin's key, and helpers to run the Python client and the small trainer.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase } from "../scripts/local/database.ts";
import { root } from "../scripts/local/processes.ts";
import { startSqld } from "../scripts/local/sqld.ts";
import { startWorker } from "../scripts/local/worker.ts";
import { migrate } from "../scripts/migrate.ts";
import { app } from "../src/app.ts";
import { commandLine } from "../src/platform/audit/audit.ts";
import { ensureUser, makeKey } from "../src/platform/auth/keys.ts";
import { type Role, usualScopes } from "../src/shared/scopes.ts";
import { checkAnswer } from "./answers.ts";

export const SECRET = "a secret for the whole stack under test";

export type Ended = { code: number | null; out: string };

/** A process whose output is kept, and how it ended. */
export function runProcess(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; detached?: boolean } = {},
) {
  const child: ChildProcess = spawn(command, args, {
    ...options,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  child.stdout?.on("data", (data) => {
    out += data;
  });
  child.stderr?.on("data", (data) => {
    out += data;
  });
  const ended = new Promise<Ended>((done, failed) => {
    child.on("error", failed);
    child.on("close", (code) => done({ code, out }));
  });
  return { child, ended, output: () => out };
}

/** Waits until `check` gives something that is not false, null or undefined. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T> | T,
  seconds = 60,
): Promise<NonNullable<T>> {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    try {
      const found = await check();
      if (found) return found;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    if (Date.now() > until) throw new Error(`waited ${seconds} s in vain for ${what}`);
    await sleep(100);
  }
}

/** A configuration for the small trainer in a folder of its own; `more` overrides its settings. */
export function trainerFolder(home: string, more: Record<string, string | number> = {}) {
  const folder = mkdtempSync(join(home, "run-"));
  const settings: Record<string, string | number> = {
    pretrained_model_name_or_path: "./model.safetensors",
    train_data_dir: join(root, "examples/first-run/dataset"),
    output_dir: join(folder, "output"),
    output_name: "aki",
    logging_dir: join(folder, "logs"),
    network_module: "networks.lora",
    network_dim: 4,
    network_alpha: 2,
    train_batch_size: 2,
    max_train_epochs: 4,
    save_every_n_epochs: 1,
    learning_rate: 0.002,
    optimizer_type: "AdamW",
    mixed_precision: "no",
    seed: 1,
    // Seconds that a step takes besides; what a test has to see in the middle names its own.
    sleep: 0.005,
    ...more,
  };
  const config = join(folder, "my_lora.toml");
  writeFileSync(
    config,
    `# made for a test\n[everything]\n${Object.entries(settings)
      .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
      .join("\n")}\n`,
  );
  return { folder, config, output: join(folder, "output") };
}

export const trainer = join(root, "examples/first-run/train_network.py");

/** `vars` are settings of the Worker, `config` replaces tables of wrangler.toml. */
export async function startStack(
  vars: Record<string, string> = {},
  config?: Parameters<typeof startWorker>[0]["config"],
) {
  const home = mkdtempSync(join(tmpdir(), "lora-ledger-stack-"));
  const dataDir = join(home, "sqld");
  let sqld = await startSqld({ dataDir });
  await migrate(sqld.url);
  const options = {
    databaseUrl: sqld.url,
    jwtSecret: SECRET,
    persistDir: join(home, "worker"),
    config,
    vars: {
      COST_REPORTING: "true",
      RATE_LIMITS: "false",
      HEARTBEAT_INTERVAL_SEC: "1",
      VERIFY_BY_STREAMING: "true",
      ...vars,
    },
  };
  let worker = await startWorker(options);
  const { url } = worker;

  async function key(
    name: string,
    role: Role = "member",
    scopes: readonly string[] = usualScopes[role],
  ) {
    const db = openDatabase({ url: sqld.url });
    try {
      const user = await ensureUser(db, commandLine, name, role);
      return (
        await makeKey(db, { JWT_SECRET: SECRET }, commandLine, {
          userId: user.id,
          name: "test",
          scopes,
          days: null,
        })
      ).key;
    } finally {
      db.$client.close();
    }
  }
  const admin = await key("admin", "admin");

  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever shape the answer should have.
  async function api(path: string, json?: unknown, bearer = admin): Promise<any> {
    const sent = new Request(`${url}${path}`, {
      method: json === undefined ? "GET" : "POST",
      headers: { Authorization: `Bearer ${bearer}`, "Content-Type": "application/json" },
      body: json === undefined ? undefined : JSON.stringify(json),
    });
    const response = await fetch(sent);
    await checkAnswer(app, sent, response);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** Starts `lora-ledger` with the arguments, against this stack or another address. */
  const client = (
    args: string[],
    more: { cwd?: string; env?: Record<string, string>; key?: string; ledger?: string } = {},
  ) =>
    runProcess("python3", [join(root, "test/lora-ledger.py"), ...args], {
      cwd: more.cwd ?? home,
      env: {
        ...process.env,
        LEDGER_URL: more.ledger ?? url,
        LEDGER_KEY: more.key ?? admin,
        LEDGER_SPOOL: join(home, "spool"),
        ...more.env,
      },
    });

  return {
    home,
    url,
    key,
    admin,
    api,
    client,
    spooled: () => readdirSync(join(home, "spool")),
    file: (path: string) => readFileSync(path),
    databaseUrl: () => sqld.url,
    killDatabase: () => sqld.kill9(),
    async reviveDatabase() {
      sqld = await startSqld({ dataDir, port: sqld.port });
    },
    killWorker: () => worker.kill9(),
    async reviveWorker() {
      worker = await startWorker({ ...options, port: worker.port });
    },
    async stop() {
      await worker.stop();
      await sqld.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

export type Stack = Awaited<ReturnType<typeof startStack>>;
