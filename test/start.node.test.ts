import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { freePort, root, sleep } from "../scripts/local/processes.ts";

// `npm start` for real, in a folder of its own.
let home: string;
let port: number;
const started = new Set<ReturnType<typeof run>>();

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "ledger-"));
  port = await freePort();
});
afterEach(async () => {
  for (const one of started) one.child.kill("SIGKILL");
  started.clear();
  await nothingLeft();
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Runs one of the commands with its data in `home`. */
function run(name: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [join(root, "scripts/run.mjs"), name, ...args], {
    cwd: root,
    env: { ...process.env, LEDGER_LOCAL: home, PORT: String(port), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { out: "", err: "" };
  child.stdout.on("data", (data) => {
    said.out += data;
  });
  child.stderr.on("data", (data) => {
    said.err += data;
  });
  const exited = new Promise<number | null>((done) => child.on("close", done));
  const one = { child, said, exited };
  started.add(one);
  void exited.then(() => started.delete(one));
  return one;
}

/** Starts the ledger and waits for its last line. */
async function startLedger(args: string[] = []) {
  const ledger = run("start", args);
  while (!ledger.said.out.includes("Ctrl-C ends it")) {
    if (ledger.child.exitCode !== null)
      throw new Error(`it did not start:\n${ledger.said.out}${ledger.said.err}`);
    await sleep(50);
  }
  return ledger;
}

/** Running processes that have this test's folder among their arguments. */
function ofThisLedger(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      // workerd is given its socket: `--socket-addr=entry=unix:…`.
      const ours = words.some((word) => word.startsWith(home) || word.includes(`unix:${home}`));
      return ours ? [words.slice(0, 3).join(" ").slice(0, 200)] : [];
    } catch {
      return [];
    }
  });
}

async function nothingLeft() {
  for (const until = Date.now() + 30_000; ofThisLedger().length && Date.now() < until; )
    await sleep(50);
  expect(ofThisLedger()).toEqual([]);
}

const get = (path: string, key?: string) =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    headers: key ? { Authorization: `Bearer ${key}` } : {},
    signal: AbortSignal.timeout(60_000),
  });
const keptKey = () => readFileSync(join(home, "key"), "utf8").trim();

test.runIf(process.platform === "linux")(
  "runs, keeps its data, and leaves nothing behind",
  async () => {
    let ledger = await startLedger();
    expect(ledger.said.out).toContain(`http://localhost:${port}`);
    expect(ledger.said.out).not.toContain(keptKey());
    expect(ledger.said.out).toMatch(/\/sign-in#code=[\w-]{43}\n/);
    expect(ledger.said.out).toMatch(/curl -fsS \S+\/client.py -o ledger.py && LEDGER_URL=/);
    expect(ledger.said.out).toContain(`LEDGER_KEY="$(cat ${join(home, "key")})"`);
    expect(ledger.said.err).toBe("");
    expect(await (await get("/healthz")).json()).toMatchObject({ database: true, bucket: true });
    for (const name of ["key", "secret", "worker/.dev.vars"])
      expect(statSync(join(home, name)).mode & 0o777).toBe(0o600);
    const secret = readFileSync(join(home, "secret"), "utf8");
    for (const log of ["worker.log", "sqld.log"])
      expect(readFileSync(join(home, log), "utf8")).not.toContain(secret);

    const key = keptKey();
    expect(await (await get("/api/me", key)).json()).toMatchObject({
      name: "admin",
      role: "admin",
    });
    const client = await get("/client.py");
    expect(client.headers.get("Content-Type")).toMatch(/^text\//);
    expect(await client.text()).toMatch(/^#!\/usr\/bin\/env python3/);
    const docs = await get("/docs/");
    expect(docs.headers.get("Content-Security-Policy")).toContain("default-src 'none'");
    expect(await docs.text()).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(await (await get("/openapi.json")).json()).toMatchObject({ openapi: "3.1.0" });

    // Another user's key, while it runs: the key alone on standard output.
    const made = run("key", ["ada", "--role", "viewer", "--days", "1"]);
    expect(await made.exited).toBe(0);
    expect(made.said.out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const ada = made.said.out.trim();
    expect(await (await get("/api/me", ada)).json()).toMatchObject({ name: "ada", role: "viewer" });

    // A second one in the same folder.
    const second = run("start", [], { PORT: String(await freePort()) });
    expect(await second.exited).toBe(1);
    expect(second.said.err).toBe(
      `LoRA Ledger runs in this folder already, at http://localhost:${port}. End that one first (Ctrl-C where it runs).\n`,
    );
    expect((await get("/healthz")).status).toBe(200);

    ledger.child.kill("SIGINT");
    expect(await ledger.exited).toBe(0);
    await nothingLeft();
    expect(readdirSync(home)).not.toContain("running.json");

    ledger = await startLedger();
    expect(keptKey()).toBe(key);
    expect((await get("/api/me", key)).status).toBe(200);
    expect((await get("/api/me", ada)).status).toBe(200);

    // Killed without a chance to say anything, its servers notice; the next start waits for them.
    ledger.child.kill("SIGKILL");
    await ledger.exited;
    ledger = await startLedger();
    expect((await get("/api/me", key)).status).toBe(200);
    ledger.child.kill("SIGKILL");
    await ledger.exited;
    await nothingLeft();
  },
);

test.runIf(process.platform === "linux")(
  "a server's own death ends the rest, and is said",
  async () => {
    const ledger = await startLedger();
    const sqld = readdirSync("/proc").find((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words[0]?.endsWith("/sqld") && words.includes(join(home, "sqld"));
      } catch {
        return false;
      }
    });
    process.kill(Number(sqld), "SIGKILL");
    expect(await ledger.exited).toBe(1);
    expect(ledger.said.err).toContain(
      "The database ended by itself (signal 9), so the rest ends too.",
    );
    await nothingLeft();
  },
);

test.runIf(process.platform === "linux")(
  "a demo has a ledger of its own, full of runs of which some still train",
  async () => {
    const ledger = await startLedger(["--demo", "--show-key"]);
    const own = join(home, "demo");
    const key = readFileSync(join(own, "key"), "utf8").trim();
    expect(ledger.said.out).toContain(`\n${key}\n`);
    expect(ledger.said.out).toContain("npm run key -- --link --demo");
    const training = async () => {
      const answer = await get("/api/tasks?filter=status%20%3D%20'running'&limit=50", key);
      const { items } = z
        .object({
          items: z.array(z.object({ id: z.number(), progress: z.object({ step: z.number() }) })),
        })
        .parse(await answer.json());
      return items;
    };
    const before = await training();
    expect(before.length).toBeGreaterThan(3);
    const [first] = before;
    await expect
      .poll(async () => (await training()).find(({ id }) => id === first?.id)?.progress.step, {
        timeout: 60_000,
      })
      .toBeGreaterThan(first?.progress.step ?? 0);
    const link = run("key", ["--link", "--demo"]);
    expect(await link.exited).toBe(0);
    expect(link.said.out).toMatch(/\/sign-in#code=[\w-]{43}\n$/);
    ledger.child.kill("SIGINT");
    expect(await ledger.exited).toBe(0);
    // What is filled stays; the ledger with real runs has none of it.
    expect(readdirSync(own)).toContain("seeded");
    expect(await run("start", ["--dem"]).exited).toBe(1);
  },
);

test("a busy port, a wrong port and a missing binary get one line each", async () => {
  const server = createServer().listen(port, "127.0.0.1");
  const busy = run("start");
  expect(await busy.exited).toBe(1);
  expect(busy.said.err).toMatch(
    new RegExp(
      `^Port ${port} is in use by another program. Choose another: PORT=\\d+ npm start\n$`,
    ),
  );
  server.close();
  const wrong = run("start", [], { PORT: "http" });
  expect(await wrong.exited).toBe(1);
  expect(wrong.said.err).toBe("PORT must be a number from 1 to 65535, not http.\n");
  const unseen = run("start", [], { PORT: "6666" });
  expect(await unseen.exited).toBe(1);
  expect(unseen.said.err).toMatch(
    /^Port 6666 is one that browsers refuse to open\. Choose another: PORT=66[78]\d npm start\n$/,
  );
  const missing = run("start", [], { SQLD_BIN: join(home, "no-sqld") });
  expect(await missing.exited).toBe(1);
  expect(missing.said.err).toMatch(/^SQLD_BIN names .*, which does not exist.\n$/);
  const nobody = run("key", ["eve", "--role", "boss"]);
  expect(await nobody.exited).toBe(1);
  expect(nobody.said.err).toBe("There is no role boss. Roles: admin, member, viewer.\n");
});
