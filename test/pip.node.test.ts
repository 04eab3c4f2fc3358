// The client from the ledger's own index, by the pip of this machine's Python.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
import { buildWheel, clientVersion } from "../scripts/wheel.ts";
import { runProcess, startStack } from "./stack.ts";

const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
let stack: Awaited<ReturnType<typeof startStack>>;
const folder = mkdtempSync(join(tmpdir(), "lora-ledger-pip-"));
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Debian keeps what makes virtual environments in a package of its own, python3-venv. */
const venvs = spawnSync("python3", ["-c", "import ensurepip"]).status === 0;
if (!venvs) console.log("skipped: pip's own test, since this Python makes no virtual environments");

/** What a command prints; nothing of this user's own settings for pip counts. */
async function run(command: string, ...args: string[]) {
  // No network but this machine: whatever asks another one meets a proxy that is not there.
  const nowhere = "http://127.0.0.1:9";
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    http_proxy: nowhere,
    https_proxy: nowhere,
    no_proxy: new URL(stack.url).hostname,
  };
  const { code, out } = await runProcess(command, args, { cwd: folder, env }).ended;
  expect([code, out]).toEqual([0, out]);
  return out;
}

it.skipIf(!venvs)(
  "pip installs the command and the library of the service's version, and removes them whole",
  async () => {
    await run("python3", "-m", "venv", "box");
    const pip = (...args: string[]) => run(join(folder, "box/bin/pip"), ...args);
    const before = await pip("freeze", "--all");
    await pip("install", "--no-cache-dir", "--index-url", `${stack.url}/simple`, "lora-ledger");
    const version = clientVersion();
    expect(await run(join(folder, "box/bin/lora-ledger"), "--version")).toBe(
      `lora-ledger ${version}\n`,
    );
    expect(
      await run(
        join(folder, "box/bin/python"),
        "-c",
        "import lora_ledger; print(lora_ledger.track.__name__)",
      ),
    ).toBe("track\n");
    expect(await pip("check")).toContain("No broken requirements");
    await pip("uninstall", "--yes", "lora-ledger");
    expect(await pip("freeze", "--all")).toBe(before);
    expect(readdirSync(join(folder, "box/bin"))).not.toContain("lora-ledger");
  },
);

it.each([
  ["JSON, as new pips ask", `${JSON_TYPE}, text/html; q=0.01`, JSON_TYPE],
  ["HTML, as old pips ask", "text/html", "text/html; charset=utf-8"],
  ["HTML to whoever takes anything", "*/*", "text/html; charset=utf-8"],
])("the index is %s", async (_, accept, type) => {
  const answer = await fetch(`${stack.url}/simple/lora-ledger/`, { headers: { Accept: accept } });
  expect([answer.status, answer.headers.get("Content-Type")]).toEqual([200, type]);
  const text = await answer.text();
  const { file, bytes } = buildWheel();
  const hash = createHash("sha256").update(bytes).digest("hex");
  expect(text).toContain(`/packages/${file}`);
  expect(text).toContain(hash);
  const wheel = await fetch(`${stack.url}/packages/${file}`);
  expect(Buffer.from(await wheel.arrayBuffer()).equals(bytes)).toBe(true);
});

it("the index knows no other project, and says so", async () => {
  const answer = await fetch(`${stack.url}/simple/numpy/`);
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ code: "no-route" });
});

it("the wheel lists each of its files with its hash, and is the same each time", () => {
  const { bytes } = buildWheel();
  const files = unzipSync(bytes);
  const [record = ""] = Object.keys(files).filter((name) => name.endsWith("/RECORD"));
  const listed = new TextDecoder().decode(files[record]).trim().split("\n");
  expect(listed.toSorted()).toEqual(
    Object.entries(files)
      .map(([name, content]) => {
        const hash = createHash("sha256").update(content).digest("base64url");
        return name === record ? `${name},,` : `${name},sha256=${hash},${content.length}`;
      })
      .toSorted(),
  );
  expect(files["lora_ledger/cli.py"]).toEqual(
    new Uint8Array(readFileSync(join(root, "client/src/lora_ledger/cli.py"))),
  );
  expect(Buffer.from(buildWheel().bytes).equals(bytes)).toBe(true);
});
