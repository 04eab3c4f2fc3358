/**
 * `npm start`: the whole ledger on this machine, at http://localhost:8787 (PORT changes it), with
 * its data in .local/. All that it starts ends with it, however it ends. `--demo` starts another ledger, in
 * .local/demo/, that is filled with made-up runs when it is new. `--show-key` prints the admin's key.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import { LINK_MINUTES, signInUrl } from "../src/platform/auth/sign-in-links.ts";
import { signInCode } from "./local/admin.ts";
import { buildApart } from "./local/build-apart.ts";
import { DEMO_RUNS, seedDemo } from "./local/demo.ts";
import { seedBoard } from "./local/demo-board.ts";
import { trainOn } from "./local/demo-live.ts";
import { at, claim, demo, home, localSecret, shown } from "./local/home.ts";
import {
  describeExit,
  type Exit,
  portBlocked,
  portBusy,
  type Running,
  root,
  Trouble,
} from "./local/processes.ts";
import { progress } from "./local/progress.ts";
import { main, step } from "./local/say.ts";
import { startSqld } from "./local/sqld.ts";
import { runScheduled, startWorker } from "./local/worker.ts";
import { migrate } from "./migrate.ts";

/** The port that the environment asks for. Throws Trouble when it is none, or is in use. */
async function choosePort(): Promise<number> {
  const wanted = process.env.PORT?.trim() || "8787";
  const port = Number(wanted);
  if (!/^\d+$/.test(wanted) || port < 1 || port > 65_535)
    throw new Trouble(`PORT must be a number from 1 to 65535, not ${wanted}.`);
  const blocked = portBlocked(port);
  if (!blocked && !(await portBusy(port))) return port;
  let other = port + 1;
  while (other < 65_535 && (portBlocked(other) || (await portBusy(other)))) other++;
  const why = blocked ? "is one that browsers refuse to open" : "is in use by another program";
  throw new Trouble(`Port ${port} ${why}. Choose another: PORT=${other} npm start`);
}

/** What of the Worker's output is worth a look; the rest is in the log alone. */
function troublesOnly(say: (line: string) => void) {
  let inside = false;
  return (line: string) => {
    if (/^\[(error|warn)\]/.test(line)) inside = true;
    else if (line.trim() === "" || !/^\s/.test(line)) inside = false;
    if (inside) say(`worker: ${line}`);
  };
}

type Part = Pick<Running, "pid" | "exited"> & { name: string; log: string; stop(): Promise<void> };

/** A fresh log; the one of the last run stays beside it. */
function newLog(name: string): string {
  const file = at(name);
  if (existsSync(file)) renameSync(file, `${file}.last`);
  return file;
}

/** Who started this process: its parent, and the parent's where that is only npm's `sh -c`. */
function callers(): string {
  const parent = process.ppid;
  try {
    const [, option] = readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0");
    if (option !== "-c") return `${parent}`;
    const status = readFileSync(`/proc/${parent}/status`, "utf8");
    return `${parent} ${status.match(/^PPid:\s*(\d+)/m)?.[1]}`;
  } catch {
    return `${parent}`;
  }
}

const usage = `Usage: npm start -- [--demo] [--show-key]
  --demo      a ledger of its own with made-up runs, in ${shown(home)}/${demo ? "" : "demo/"}
  --show-key  print the local admin's key, which is otherwise only kept in a file
  PORT=9000 npm start   another port than 8787`;

/** What the command line asks for. Throws Trouble with the usage. */
function readArguments() {
  try {
    const options = { demo: { type: "boolean" }, "show-key": { type: "boolean" } } as const;
    return parseArgs({ options }).values;
  } catch (error) {
    throw new Trouble(
      `${error instanceof Error ? error.message.split(". ")[0] : error}.\n${usage}`,
    );
  }
}

async function start() {
  const wanted = readArguments();
  const mine = await claim();
  process.on("exit", mine.release);
  const port = await choosePort();
  const parts: Part[] = [];
  let endingSince = 0;

  async function end(code: number) {
    if (endingSince) return;
    endingSince = Date.now();
    for (const part of parts.toReversed()) await part.stop();
    // What is only starting is not among the parts; it is killed on exit.
    process.exit(code);
  }
  function asked() {
    // npm passes on a Ctrl-C that the terminal has sent to everybody already.
    if (endingSince && Date.now() - endingSince > 1_000) process.exit(1);
    if (!endingSince) console.log("\nEnding.");
    void end(0);
  }
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, asked);
  if (process.env.npm_lifecycle_event || process.env.LEDGER_RELAUNCHED) {
    // npm passes signals on to its shell alone, and nothing when it is killed.
    const before = callers();
    setInterval(() => callers() !== before && void end(1), 1_000).unref();
  }
  function add<T extends Omit<Part, "name" | "log">>(name: string, log: string, part: T): T {
    parts.push({ ...part, name, log });
    mine.note({ groups: parts.map(({ pid }) => pid) });
    void part.exited.then((exit: Exit) => {
      if (endingSince) return;
      console.error(
        `The ${name} ended by itself (${describeExit(exit)}), so the rest ends too. Its log: ${shown(log)}`,
      );
      void end(1);
    });
    return part;
  }

  try {
    console.log(`LoRA Ledger starts, with its data in ${shown(home)}/`);
    const seeded = !demo || existsSync(at("seeded"));
    // A demo that was ended while it was filled begins anew: half of it would puzzle.
    if (!seeded)
      for (const name of ["sqld", "worker"]) rmSync(at(name), { recursive: true, force: true });
    // Prepared beside the database; a failure is told where it is waited for.
    const files = buildApart();
    files.catch(() => {});
    const sqldLog = newLog("sqld.log");
    const sqld = await step("database", async () =>
      add("database", sqldLog, await startSqld({ dataDir: at("sqld"), logFile: sqldLog })),
    );
    mine.note({ databaseUrl: sqld.url });
    await step(
      "migrations",
      () => migrate(sqld.url),
      (applied) =>
        applied.length > 3
          ? `applied ${applied.length}`
          : applied.length
            ? `applied ${applied.join(", ")}`
            : "up to date",
    );
    const secret = localSecret();
    // Makes the key where there is none.
    await signInCode({ url: sqld.url }, secret);
    await step(
      "static files",
      () => files,
      () => "built",
    );
    const workerLog = newLog("worker.log");
    const worker = await step("worker", async () =>
      add(
        "worker",
        workerLog,
        await startWorker({
          port,
          databaseUrl: sqld.url,
          jwtSecret: secret,
          persistDir: at("worker"),
          vars: {
            COST_REPORTING: "true",
            VERIFY_BY_STREAMING: "true",
            ALLOW_INSIDE_WEBHOOKS: "true",
            MIRROR_REQUESTS_A_MINUTE: "100",
          },
          logFile: workerLog,
          onLine: troublesOnly((line) => console.error(line)),
        }),
      ),
    );
    const url = `http://localhost:${port}`;
    if (!seeded) await fill(url, sqld.url);
    everyMinute(worker.url);
    mine.note({ url });
    // Made last: the link is good for minutes only.
    welcome(url, await signInCode({ url: sqld.url }, secret), wanted["show-key"] ?? false);
  } catch (error) {
    if (endingSince) return;
    throw error;
  }
}

/** Fills a new demo with runs, of which some go on training while this process lives. */
async function fill(url: string, databaseUrl: string) {
  const key = readFileSync(at("key"), "utf8").trim();
  const bar = progress("made-up runs", DEMO_RUNS, "runs");
  const { training } = await seedDemo(url, key, () => bar.add(1));
  const board = await seedBoard(url, key, databaseUrl);
  bar.end();
  trainOn(url, [...training, ...board.training]);
  writeFileSync(at("seeded"), "");
}

/** Calls the scheduled handler, as the platform's cron trigger would. */
function everyMinute(url: string) {
  const tick = () =>
    runScheduled(url).catch(() => console.error("The scheduled jobs did not answer."));
  void tick();
  setInterval(tick, 60_000);
}

/** A path as a shell takes it for one word. */
const quoted = (path: string) =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;

function welcome(url: string, code: string, showKey: boolean) {
  const config = "examples/first-run/my_lora.toml";
  const trainer = `python3 examples/first-run/train_network.py --config_file ${config}`;
  // The line is for a terminal in the repository's folder.
  const inside = relative(root, at("key"));
  const key = quoted(inside.startsWith("..") ? at("key") : inside);
  console.log(`
LoRA Ledger runs at ${url}  (its API: ${url}/docs)

To sign in, open this link; it is good once, within ${LINK_MINUTES} minutes (another: npm run key -- --link${demo ? " --demo" : ""}):
${signInUrl(url, code)}
The local admin's key is kept in ${shown(at("key"))}${showKey ? `:\n${readFileSync(at("key"), "utf8").trim()}` : "; --show-key prints it."}

To record a first run, paste this into another terminal, in ${shown(root) === "." ? "this folder" : root}:
curl -fsS ${url}/client.py -o ledger.py && LEDGER_URL=${url} LEDGER_KEY="$(cat ${key})" python3 ledger.py run --config ${config} -- ${trainer}

Ctrl-C ends it. What it says goes to ${shown(at("worker.log"))}.`);
}

await main(start);
