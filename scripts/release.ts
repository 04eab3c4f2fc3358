/**
 * `npm run release -- 0.2.0`: writes the version, gives the changelog's "Unreleased" its heading, builds the client's wheel
 * into client/dist/, keeps the client's one file for the tests of the next release, commits and tags. Nothing leaves the
 * machine, and what fails leaves nothing behind. Whether trainers have changed their defaults since is for
 * `npm run defaults -- --newest` to say, before; it needs PyPI.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";
import { buildWheel } from "./wheel.ts";

/** The one place of the version, of the client and of the service. */
const VERSION_FILE = "client/src/lora_ledger/__init__.py";
const CHANGELOG = "CHANGELOG.md";
/** The one-file client of the release before, which test/previous-client.node.test.ts runs. */
const KEPT = "test/previous-client.py.br";
const written = /^__version__ = "([^"]+)"$/m;

/** Runs a program in a folder and returns what it printed. Throws Trouble with what it said. */
function run(program: string, args: string[], cwd = root): string {
  try {
    return execFileSync(program, args, {
      cwd,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { stderr = "", stdout = "" } = error as { stderr?: string; stdout?: string };
    throw new Trouble(`${program} ${args[0]} failed: ${(stderr || stdout).trim() || error}`);
  }
}
const git = (...args: string[]) => run("git", args).trim();

/** Whether a version comes after another; both are numbers like 1.2.3. */
function isAfter(next: string, last: string): boolean {
  const numbers = (version: string) => version.split(".").map(Number);
  const [a, b] = [numbers(next), numbers(last)];
  const place = a.findIndex((number, n) => number !== b[n]);
  return place >= 0 && (a[place] ?? 0) > (b[place] ?? 0);
}

/** The changelog with its unreleased entries under the version. Throws Trouble where there are none. */
export function withHeading(changelog: string, version: string, day: string): string {
  const [before, after] = changelog.split("\n## Unreleased\n");
  if (before === undefined || after === undefined)
    throw new Trouble(`${CHANGELOG} has no "## Unreleased".`);
  const entries = (after.split("\n## ")[0] ?? "").trim();
  if (!entries) throw new Trouble(`${CHANGELOG} says nothing under "Unreleased".`);
  return `${before}\n## Unreleased\n\n## ${version} (${day})\n\n${after.trimStart()}`;
}

/** Writes the client's wheel to client/dist/ and returns its path. */
function writeWheel(): string {
  const { file, bytes } = buildWheel();
  const path = join("client/dist", file);
  mkdirSync(join(root, "client/dist"), { recursive: true });
  writeFileSync(join(root, path), bytes);
  return path;
}

/** Keeps the client that is released as the previous one. Its version has to be written before. */
async function keepClient(): Promise<void> {
  // Its bundler writes the file when it is loaded.
  await import("./bundle-client.ts");
  mkdirSync(dirname(join(root, KEPT)), { recursive: true });
  const file = readFileSync(join(root, "client/dist/ledger.py"));
  writeFileSync(join(root, KEPT), brotliCompressSync(file));
}

if (isMain(import.meta.url))
  await main(async () => {
    const [version = "", ...rest] = process.argv.slice(2);
    if (!/^\d+\.\d+\.\d+$/.test(version) || rest.length)
      throw new Trouble("Usage: npm run release -- 0.2.0 (after npm run defaults -- --newest)");
    if (git("status", "--porcelain"))
      throw new Trouble("There are changes that are not committed. Commit them first.");
    const source = readFileSync(join(root, VERSION_FILE), "utf8");
    const last = written.exec(source)?.[1];
    if (!last) throw new Trouble(`${VERSION_FILE} names no __version__.`);
    if (!isAfter(version, last)) throw new Trouble(`The version is ${last}; name a later one.`);
    const tag = `v${version}`;
    if (git("tag", "--list", tag)) throw new Trouble(`The tag ${tag} is there already.`);
    const changelog = readFileSync(join(root, CHANGELOG), "utf8");
    const released = withHeading(changelog, version, new Date().toISOString().slice(0, 10));

    const kept = existsSync(join(root, KEPT)) ? readFileSync(join(root, KEPT)) : undefined;

    let wheel: string;
    try {
      writeFileSync(
        join(root, VERSION_FILE),
        source.replace(written, `__version__ = "${version}"`),
      );
      writeFileSync(join(root, CHANGELOG), released);
      wheel = writeWheel();
      await keepClient();
      const files = [VERSION_FILE, CHANGELOG, KEPT];
      git("add", "--", ...files);
      git("commit", "--quiet", "--message", `Release ${version}`, "--", ...files);
    } catch (error) {
      git("reset", "--quiet");
      writeFileSync(join(root, VERSION_FILE), source);
      writeFileSync(join(root, CHANGELOG), changelog);
      if (kept) writeFileSync(join(root, KEPT), kept);
      else rmSync(join(root, KEPT), { force: true });
      throw error;
    }
    git("tag", "--annotate", tag, "--message", `LoRA Ledger ${version}`);
    console.log(`Released ${version}: tag ${tag}, ${wheel}\nPublish it: git push --follow-tags`);
  });
