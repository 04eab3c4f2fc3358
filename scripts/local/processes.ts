import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { createWriteStream, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { hideSecrets } from "./hide.ts";

/** The repository's root. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Something a person can put right: shown as one plain line, without a stack. */
export class Trouble extends Error {}

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type Running = {
  /** Also the id of the process group that holds all it started. */
  pid: number;
  exited: Promise<Exit>;
  /** The last lines it wrote. */
  tail(): string[];
  /** SIGTERM to the whole group, SIGKILL after `graceMs`; resolves when nothing is left. */
  stop(graceMs?: number): Promise<void>;
  /** SIGKILL to the whole group, as a crash would be. */
  kill9(): void;
};

/**
 * Runs "$@" in its own process group and ends that group when standard input closes. The starter
 * holds the other end, so the kernel closes it however the starter ends, kill -9 included.
 * It stays until the command has ended, and ends with the command's exit code.
 */
const guard = `
exec 3<&0
trap : TERM INT HUP
"$@" </dev/null 3<&- & child=$!
{
  trap "" TERM INT HUP
  cat
  kill -s TERM -- -$$
  n=0; while kill -0 $child && [ $n -lt 30 ]; do sleep 0.1; n=$((n + 1)); done
  kill -s KILL -- -$$
} <&3 >/dev/null 2>&1 &
exec 3<&-
while wait $child; code=$?; kill -0 $child 2>/dev/null; do :; done
exit $code
`;

/** Started groups that have not ended; the last resort for a starter that ends by exit(). */
const groups = new Set<number>();
process.on("exit", () => {
  for (const pid of groups) signalGroup(pid, "SIGKILL");
});

function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Whether a process of the group is left that still runs. */
export function groupAlive(pid: number): boolean {
  if (!signalGroup(pid, 0)) return false;
  if (process.platform !== "linux") return true;
  // Ended processes whose parent is gone stay listed until init looks, which can take seconds.
  return readdirSync("/proc").some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      // "pid (name) state parent group …", where the name may hold anything.
      const fields = readFileSync(`/proc/${entry}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      return Number(fields[2]) === pid && fields[0] !== "Z" && fields[0] !== "X";
    } catch {
      return false;
    }
  });
}

/** Ends a process group that `startProcess` made: SIGTERM, and SIGKILL after `graceMs`. */
async function killTree(pid: number, graceMs = 5_000): Promise<void> {
  signalGroup(pid, "SIGTERM");
  for (const until = Date.now() + graceMs; groupAlive(pid) && Date.now() < until; ) await sleep(20);
  for (const until = Date.now() + 5_000; groupAlive(pid) && Date.now() < until; ) {
    signalGroup(pid, "SIGKILL");
    await sleep(20);
  }
  groups.delete(pid);
}

/**
 * Starts a command whose whole process group ends with this process, whatever ends it. Its output goes
 * line by line to `onLine` and, where given, to `logFile`.
 */
export function startProcess(options: {
  command: string;
  args: string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  logFile?: string;
  onLine?: (line: string) => void;
  /** What it leaves is for this user alone: the files it makes, and its output, which loses its secrets. */
  ownerOnly?: boolean;
}): Running {
  const { command, args, cwd, env, logFile, onLine, ownerOnly } = options;
  const script = ownerOnly ? `umask 077\n${guard}` : guard;
  const child: ChildProcess = spawn("/bin/sh", ["-c", script, "sh", command, ...args], {
    cwd,
    env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const { pid, stdin, stdout, stderr } = child;
  if (!pid || !stdin || !stdout || !stderr) throw new Trouble("/bin/sh could not be started.");
  groups.add(pid);
  // The other end going away is what `exited` reports.
  stdin.on("error", () => {});
  if (logFile) mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = logFile ? createWriteStream(logFile, { flags: "a", mode: 0o600 }) : undefined;
  log?.on("error", () => {});
  const last: string[] = [];
  for (const stream of [stdout, stderr])
    createInterface({ input: stream }).on("line", (said) => {
      const line = ownerOnly ? hideSecrets(said) : said;
      last.push(line);
      if (last.length > 60) last.shift();
      log?.write(`${line}\n`);
      onLine?.(line);
    });
  const closed = new Promise((done) => child.on("close", done));
  const exited = new Promise<Exit>((done) => {
    child.on("error", () => done({ code: null, signal: null }));
    child.on("exit", async (code, signal) => {
      signalGroup(pid, "SIGKILL");
      groups.delete(pid);
      // Its last words may still be on their way.
      await Promise.race([closed, sleep(500)]);
      log?.end();
      done({ code, signal });
    });
  });
  return {
    pid,
    exited,
    tail: () => [...last],
    async stop(graceMs) {
      await killTree(pid, graceMs);
      await exited;
    },
    kill9: () => void signalGroup(pid, "SIGKILL"),
  };
}

/**
 * Ports that browsers and Node's `fetch` never connect to, above those that only root may open
 * (https://fetch.spec.whatwg.org/#port-blocking). A server that listens there seems dead.
 */
const blockedPorts = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
  6679, 6697, 10_080,
]);

/** Whether browsers refuse to connect to a port, whatever listens there. */
export const portBlocked = (port: number) => blockedPorts.has(port);

const given = new Set<number>();

/**
 * A TCP port that nothing listens on just now, and that the system gives to nobody who asks for any
 * (Linux gives from 32768 on, others higher): wrangler asks for some before it takes its own.
 */
export async function freePort(): Promise<number> {
  while (true) {
    const port = randomInt(10_000, 32_768);
    if (given.has(port) || portBlocked(port)) continue;
    // Before asking, or two who ask at once may be given the same.
    given.add(port);
    if (!(await portBusy(port))) return port;
  }
}

/** Whether something answers or listens at a port of this machine. */
export async function portBusy(port: number): Promise<boolean> {
  const answers = (host: string) =>
    new Promise<boolean>((done) => {
      const socket = connect({ port, host, timeout: 500 });
      const end = (busy: boolean) => {
        socket.destroy();
        done(busy);
      };
      socket.once("connect", () => end(true));
      socket.once("error", () => end(false));
      socket.once("timeout", () => end(false));
    });
  // `localhost` may be either address, so a listener at the other one would take our visitors.
  if ((await Promise.all([answers("127.0.0.1"), answers("::1")])).includes(true)) return true;
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE"
        ? done(true)
        : fail(
            new Trouble(
              `Port ${port} cannot be used here (${error.code}). Try another: PORT=8788 npm start`,
            ),
          ),
    );
    server.listen(port, "127.0.0.1", () => server.close(() => done(false)));
  });
}

/** Asks `ready` every 50 ms until it is true. Throws Trouble when `alive` ends first or on time-out. */
export async function waitFor(
  what: string,
  ready: () => Promise<boolean>,
  options: { timeoutMs?: number; alive?: Promise<Exit>; tail?: () => string[] } = {},
): Promise<void> {
  const { timeoutMs = 60_000, alive, tail } = options;
  let ended: Exit | undefined;
  alive?.then((exit) => {
    ended = exit;
  });
  const said = () => {
    const lines = tail?.().filter((line) => line.trim()) ?? [];
    return lines.length
      ? `\n${lines
          .slice(-20)
          .map((line) => `  ${line}`)
          .join("\n")}`
      : "";
  };
  const until = Date.now() + timeoutMs;
  while (true) {
    if (ended)
      throw new Trouble(`The ${what} ended while starting (${describeExit(ended)}).${said()}`);
    const answer = await ready().catch((error: unknown) => {
      if (error instanceof Trouble) throw error;
      return false;
    });
    if (answer) return;
    if (Date.now() > until)
      throw new Trouble(`The ${what} did not answer within ${timeoutMs / 1000} seconds.${said()}`);
    await sleep(50);
  }
}

/** How a process ended, in words. The guard reports a signal the way a shell does, as 128 + n. */
export function describeExit({ code, signal }: Exit): string {
  if (signal) return `signal ${signal}`;
  if (code !== null && code > 128) return `signal ${code - 128}`;
  return `exit code ${code}`;
}

/** True when a GET answers 200. */
export const answersOk = async (url: string, timeoutMs = 5_000, headers = {}) => {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), headers });
  await response.body?.cancel();
  return response.ok;
};
