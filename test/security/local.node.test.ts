// What `npm start` leaves open on the machine it runs on: ports, files and logs, by a real start.
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, root, sleep } from "../../scripts/local/processes.ts";
import { desktop, launch } from "../browser.ts";

let home: string;
let port: number;
let url: string;
let ledger: ReturnType<typeof run>;

/** Runs one of the commands with its data in `home`. */
function run(name: string, ...args: string[]) {
  const child = spawn(process.execPath, [join(root, "scripts/run.mjs"), name, ...args], {
    cwd: root,
    env: { ...process.env, LEDGER_LOCAL: home, PORT: String(port) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { out: "", err: "" };
  child.stdout.on("data", (data) => {
    said.out += data;
  });
  child.stderr.on("data", (data) => {
    said.err += data;
  });
  return { child, said, exited: new Promise((done) => child.on("close", done)) };
}

const key = () => readFileSync(join(home, "key"), "utf8").trim();

/** An answer to a request without a key, unless one is given. */
const ask = (path: string, init: RequestInit = {}, as?: string) =>
  fetch(url + path, {
    ...init,
    redirect: "manual",
    headers: { ...init.headers, ...(as && { Authorization: `Bearer ${as}` }) },
    signal: AbortSignal.timeout(60_000),
  });

async function call(path: string, json?: unknown) {
  const sent = {
    method: json === undefined ? "GET" : "POST",
    body: json === undefined ? undefined : JSON.stringify(json),
    headers: { "Content-Type": "application/json" },
  };
  const answer = await ask(path, sent, key());
  expect(answer.status, `${path}: ${await answer.clone().text()}`).toBe(200);
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever shape the answer should have.
  return (await answer.json()) as any;
}

/** The code of the newest sign-in link that was printed. */
const codeIn = (text: string) => /\/sign-in#code=([\w-]{40,})/.exec(text)?.[1] ?? "";
const redeem = (code: string, headers = {}) =>
  ask("/session", {
    method: "POST",
    body: JSON.stringify({ code }),
    headers: { "Content-Type": "application/json", ...headers },
  });

/** Registers a run with one final file; gives ids and the URL that its bytes were sent to. */
async function recorded(bytes: string) {
  const { task_id } = await call("/api/tasks", { task_name: "kept" });
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(bytes));
  const announced = await call(`/api/tasks/${task_id}/weights`, {
    ...{ filename: "kept.txt", size: bytes.length, kind: "final" },
    sha256: Buffer.from(hash).toString("hex"),
  });
  const { url: signed, method, headers } = announced.upload;
  expect((await fetch(signed, { method, headers, body: bytes })).status).toBe(200);
  await call(`/api/weights/${announced.weight_id}/complete`, {});
  return { task_id, weight_id: announced.weight_id, signed: new URL(signed) };
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "a ledger's "));
  port = await freePort();
  url = `http://localhost:${port}`;
  // As an older version left it: open to everybody.
  mkdirSync(join(home, "worker/state/v3"), { recursive: true });
  writeFileSync(join(home, "worker/state/v3/old"), "old");
  writeFileSync(join(home, "worker.log"), "old");
  for (const name of ["", "worker", "worker/state", "worker/state/v3"])
    chmodSync(join(home, name), 0o755);
  ledger = run("start");
  while (!ledger.said.out.includes("Ctrl-C ends it")) {
    if (ledger.child.exitCode !== null) throw new Error(ledger.said.out + ledger.said.err);
    await sleep(50);
  }
}, 120_000);
afterAll(async () => {
  ledger?.child.kill("SIGINT");
  await ledger?.exited;
  rmSync(home, { recursive: true, force: true });
});

/** The process and all that it has started. */
function processTree(from: number): number[] {
  const parents = new Map<number, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const [, parent] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      parents.set(Number(pid), Number(parent));
    } catch {
      // It has ended meanwhile.
    }
  const tree = [from];
  for (const pid of tree) for (const [child, of] of parents) if (of === pid) tree.push(child);
  return tree;
}

/** TCP ports that any of the processes listens at. */
function listeningPorts(pids: number[]): number[] {
  const inodes = new Set(
    pids.flatMap((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
          const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
          return inode ? [inode] : [];
        });
      } catch {
        return [];
      }
    }),
  );
  const ports = ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === "0A" && inodes.has(inode ?? ""))
      .map(([, local]) => Number.parseInt(local?.split(":")[1] ?? "", 16)),
  );
  return [...new Set(ports)];
}

/** What a listener answers to bytes that are no HTTP, or to a silent visitor. */
const hello = (at: number, bytes: string) =>
  new Promise<string>((done) => {
    const socket = connect({ port: at, host: "127.0.0.1" });
    let said = "";
    socket.on("data", (data) => {
      said += data.toString("latin1");
    });
    socket.on("error", () => done(said));
    socket.on("close", () => done(said));
    socket.setTimeout(2_000, () => socket.destroy());
    socket.write(bytes);
  });

/** A gRPC call without credentials: its status, 0 where it was done. */
const grpc = (at: number, path: string) =>
  new Promise<string>((done) => {
    const session = connectHttp2(`http://127.0.0.1:${at}`);
    const call = session.request({
      ...{ ":method": "POST", ":path": path, te: "trailers" },
      "content-type": "application/grpc",
    });
    let status = "none";
    const note = (headers: { "grpc-status"?: string | string[] }) => {
      status = String(headers["grpc-status"] ?? status);
    };
    call.on("response", note);
    call.on("trailers", note);
    for (const one of [session, call]) one.on("error", () => {});
    call.on("data", () => {});
    call.on("close", () => {
      session.close();
      done(status);
    });
    call.end(Buffer.alloc(5));
  });

describe.runIf(process.platform === "linux")("the ports of a local ledger", () => {
  it("are the API, the database, workerd's way back and the sign of life, and no other", async () => {
    const note = JSON.parse(readFileSync(join(home, "running.json"), "utf8"));
    const database = Number(new URL(note.databaseUrl).port);
    const ports = listeningPorts(processTree(ledger.child.pid ?? 0));
    expect(ports).toEqual(expect.arrayContaining([port, database, note.port]));
    const others = ports.filter((one) => ![port, database, note.port].includes(one));
    expect(others.length, `listening: ${ports.join(", ")}`).toBeLessThanOrEqual(1);

    for (const one of ports) {
      for (const path of ["/json", "/json/list", "/json/version", "/cdn-cgi/local/explorer"]) {
        const answer = await fetch(`http://127.0.0.1:${one}${path}`).catch(() => null);
        expect([one, path, answer?.ok ?? false]).toEqual([one, path, false]);
      }
    }
    // Miniflare's own server asks each caller for its secret.
    for (const one of others)
      for (const path of ["/", "/core/error", "/core/log", "/core/store-temp-file"])
        for (const method of ["GET", "POST"]) {
          const answer = await fetch(`http://127.0.0.1:${one}${path}`, { method });
          expect([path, method, answer.status]).toEqual([path, method, 403]);
        }
    expect(await hello(note.port, "GET / HTTP/1.1\r\n\r\n")).toBe(note.token);

    const select = {
      requests: [{ type: "execute", stmt: { sql: "select jti from api_key" } }],
      ...{ statements: ["select jti from api_key"], stmt: { sql: "select jti from api_key" } },
    };
    for (const path of ["/", "/v1/execute", "/v1/batch", "/v2/pipeline", "/v3/pipeline"]) {
      const body = JSON.stringify(select);
      const headers = { "Content-Type": "application/json" };
      const origin = `http://127.0.0.1:${database}`;
      const answer = await fetch(origin + path, { method: "POST", body, headers });
      expect([path, answer.status]).toEqual([path, 401]);
    }
    for (const path of ["/dump", "/v1/jobs", "/beta/listen?table=user", "/console", "/metrics"]) {
      const answer = await fetch(`http://127.0.0.1:${database}${path}`);
      expect([path, [401, 404]]).toEqual([path, expect.arrayContaining([answer.status])]);
    }
    for (const call of ["wal_log.ReplicationLog/Hello", "proxy.Proxy/Execute"])
      expect([call, await grpc(database, `/${call}`)]).toEqual([call, "13"]);
  });

  it("give no stranger what the emulation has for its developers", async () => {
    const { signed } = await recorded("these bytes are nobody else's");
    const object = signed.pathname.replace("/signed/", "");
    const bucket = "lora-ledger";
    const strange = [
      `/cdn-cgi/local/r2/public/${bucket}/${object}`,
      `/cdn-cgi/local/r2/s3/${bucket}/${object}`,
      `/cdn-cgi/local/explorer/api/r2/buckets/${bucket}/objects/${object}`,
      `/cdn-cgi/explorer/api/r2/buckets/${bucket}/objects/${object}`,
      "/cdn-cgi/local/explorer",
      "/cdn-cgi/local/scheduled?cron=*+*+*+*+*",
      "/cdn-cgi/handler/scheduled",
      "/cdn-cgi/mf/scheduled",
      "/cdn-cgi/local/email?from=a@b.example&to=c@d.example",
      "/cdn-cgi/local/platform-proxy",
      "/cdn-cgi/ProxyWorker/play",
      "/__cf_local/stream/x",
    ];
    const roundabout = (path: string) => [
      path,
      `/x/..${path}`,
      `/.${path}`,
      path.replace("/", "/\\..\\"),
      `/x/%2E%2e${path}`,
      `/${path}`,
      path.replace("c", "%63"),
    ];
    for (const path of strange.flatMap(roundabout))
      for (const [name, value] of [
        ["Accept", "*/*"],
        ["MF-Op", "GET"],
        ["Authorization", `Bearer ${key()}`],
      ] as const) {
        const answer = await ask(path, { headers: { [name]: value } });
        const text = await answer.text();
        expect([path, answer.status >= 400, text]).toEqual([
          ...[path, true],
          expect.not.stringMatching(/these bytes|<html/),
        ]);
      }
    // A header of the emulation's own must not lead elsewhere than the address that was looked at.
    for (const name of ["MF-Original-URL", "MF-Route-Override", "MF-Proxy-Shared-Secret"]) {
      const elsewhere = `${url}/cdn-cgi/local/r2/public/${bucket}/${object}`;
      const answer = await ask("/api/me", { headers: { [name]: elsewhere } });
      expect([name, answer.status]).toEqual([name, 401]);
    }
    // A whole address in the request line is read by its path.
    const raw = await hello(
      port,
      `GET http://x/cdn-cgi/local/r2/public/${bucket}/${object} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect(raw).toMatch(/^HTTP\/1\.1 404/);
  });

  it("take nobody's word for the address that a request comes from", async () => {
    const forged = { "CF-Connecting-IP": "203.0.113.9", "X-Real-IP": "203.0.113.9" };
    const body = JSON.stringify({ name: "forged", days: 1 });
    const headers = { ...forged, "Content-Type": "application/json" };
    const made = await ask("/api/keys", { method: "POST", body, headers }, key());
    expect(made.status).toBe(200);
    const audit = await (await ask("/api/audit?limit=5", {}, key())).text();
    expect(audit).toContain('"127.0.0.1"');
    expect(audit).not.toContain("203.0.113.9");
  });

  it("answer what is no request with a problem too", async () => {
    const long = await ask(`/api/tasks?filter=${"a".repeat(20_000)}`, {}, key());
    expect([long.status, long.headers.get("Content-Type")]).toEqual([
      ...[414, "application/problem+json"],
    ]);
    const wide = await hello(
      port,
      `GET /api/me HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(200_000)}\r\n\r\n`,
    );
    expect(wide).toMatch(/^HTTP\/1\.1 431 [\s\S]*application\/problem\+json/);
    expect(await hello(port, "nonsense\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json/,
    );
    // A body that is refused early is answered, not cut off, each time.
    for (let n = 0; n < 20; n++) {
      const body = "x".repeat(4_000_000 + 400_000 * n);
      const large = await ask("/api/tasks", { method: "POST", body }, n % 2 ? key() : undefined);
      expect([large.status, large.headers.get("Content-Type")]).toEqual([
        ...[n % 2 ? 413 : 401, "application/problem+json"],
      ]);
    }
  });
});

describe("the development server of the pages", () => {
  it("serves the pages, and of the folder no file beside their sources", async () => {
    process.env.LEDGER_WORKER = url;
    const vite = await createServer({
      configFile: join(root, "dashboard/vite.config.ts"),
      server: { port: await freePort(), strictPort: true },
    });
    const browser = await launch();
    try {
      await vite.listen();
      const [origin = ""] = vite.resolvedUrls?.local ?? [];
      // What lies beside .local/ is as far away as what lies in it.
      const files = ["package.json", "wrangler.toml", "scripts/start.ts"].map((name) =>
        join(root, name),
      );
      for (const path of [...files, join(home, "key"), join(home, "worker/.dev.vars")])
        for (const query of ["", "?raw", "?url", "?import&raw", "?raw??", "?inline"]) {
          const answer = await fetch(`${origin}@fs${encodeURI(path)}${query}`);
          expect([path, query, answer.status]).toEqual([path, query, 403]);
        }
      const page = await (await browser.newContext(desktop)).newPage();
      await page.goto(`${origin}sign-in`);
      await page.getByText("npm run key -- --link").waitFor({ state: "attached" });
    } finally {
      await browser.close();
      await vite.close();
    }
  });
});

describe("the files of a local ledger", () => {
  it("are their owner's alone, those of an older version too", async () => {
    await recorded("one more file");
    const open = (path: string): string[] => {
      const stat = lstatSync(path);
      const here = stat.mode & 0o077 ? [`${path}: ${(stat.mode & 0o777).toString(8)}`] : [];
      const below = stat.isDirectory() ? readdirSync(path) : [];
      return [...here, ...below.flatMap((name) => open(join(path, name)))];
    };
    expect(open(home)).toEqual([]);
    expect(lstatSync(join(home, "worker/state/v3/old")).mode & 0o777).toBe(0o600);
  });
});

describe("the local admin's key", () => {
  it("is printed nowhere; a link signs in instead, once", async () => {
    const said = ledger.said.out + ledger.said.err;
    expect(said).not.toContain(key());
    expect(said).not.toMatch(/eyJ[\w-]+\./);
    // The printed line reads the file, whatever is in its path.
    const [, read = ""] = /LEDGER_KEY="\$\((cat .+)\)" python3/.exec(said) ?? [];
    expect(execFileSync("sh", ["-c", read], { cwd: root }).toString().trim()).toBe(key());
    const code = codeIn(said);
    const opened = await redeem(code);
    expect(opened.status).toBe(200);
    expect(await opened.json()).toMatchObject({ name: "admin" });
    const [cookie = ""] = opened.headers.getSetCookie()[0]?.split(";") ?? [];
    const me = await ask("/api/me", { headers: { Cookie: cookie } });
    expect(await me.json()).toMatchObject({ role: "admin" });
    for (const wrong of [code, "", "a".repeat(43), `${code}x`]) {
      const again = await redeem(wrong);
      expect([wrong, [401, 422]]).toEqual([wrong, expect.arrayContaining([again.status])]);
    }
  });

  it("gives another link to who can read it, good for one of many at once", async () => {
    const { said, exited } = run("key", "--link");
    expect(await exited).toBe(0);
    expect(said.out).toMatch(/^http:\/\/localhost:\d+\/sign-in#code=[\w-]{43}\n$/);
    const code = codeIn(said.out);
    const answers = await Promise.all(Array.from({ length: 8 }, () => redeem(code)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(401)]);
    const made = run("key", "anna");
    expect(await made.exited).toBe(0);
    expect(made.said.out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  });

  it("opens the pages by the link, which leaves the address at once", async () => {
    const { said, exited } = run("key", "--link");
    await exited;
    const browser = await launch();
    try {
      const page = await (await browser.newContext(desktop)).newPage();
      await page.goto(said.out.trim());
      await page.getByRole("navigation", { name: "Pages" }).waitFor();
      expect(page.url()).not.toContain("code");
      // In another browser the link is used up, and says what to type.
      const other = await (await browser.newContext(desktop)).newPage();
      await other.goto(said.out.trim());
      await other.getByText("npm run key -- --link").first().waitFor();
      await other.getByText("was used already").waitFor();
    } finally {
      await browser.close();
    }
  });
});

describe("the logs of a local ledger", () => {
  it("hold no key, token, public link or signed address", async () => {
    const { signed, weight_id } = await recorded("a file that is shared");
    const tokens = [key(), signed.searchParams.get("signature") ?? "?"];
    const given = await call(`/api/weights/${weight_id}/download?redirect=false`);
    tokens.push(new URL(given.url).searchParams.get("signature") ?? "?");
    expect((await fetch(given.url)).status).toBe(200);
    const { token } = await call("/api/boxes/enrol", { name: "box" });
    const { key: boxKey } = await call("/api/boxes/exchange", { token });
    const share = "a-public-link-that-is-a-secret-of-43-letters-xy";
    await ask(`/share/${share}`);
    const { said, exited } = run("key", "--link");
    await exited;
    await redeem(codeIn(said.out));
    tokens.push(
      token,
      boxKey,
      share,
      codeIn(said.out),
      readFileSync(join(home, "secret"), "utf8").trim(),
    );
    tokens.push(
      new URL(
        JSON.parse(readFileSync(join(home, "running.json"), "utf8")).databaseUrl,
      ).searchParams.get("authToken") ?? "?",
    );
    // A body that ends early, and a refused one: faults on the way are logged.
    await fetch(signed, { method: "PUT", body: "x".repeat(3_000_000) }).catch(() => null);
    await hello(
      port,
      `PUT ${signed.pathname}${signed.search} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nshort`,
    );
    const logs = (path: string): string[] =>
      lstatSync(path).isDirectory()
        ? readdirSync(path).flatMap((name) => logs(join(path, name)))
        : [path];
    const apart = ["key", "secret", "running.json", "sqld", "worker/.dev.vars"];
    const texts = logs(home)
      .filter((path) => !apart.some((name) => path.startsWith(join(home, name))))
      .filter((path) => lstatSync(path).isFile())
      .map((path) => [path, readFileSync(path, "latin1")] as const);
    expect(texts.length).toBeGreaterThan(3);
    for (const [path, text] of [...texts, ["terminal", ledger.said.out + ledger.said.err] as const])
      for (const secret of tokens) expect([path, text.includes(secret)]).toEqual([path, false]);
  });
});
