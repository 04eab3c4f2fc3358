// A release in a clone: real git, a real wheel.
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root } from "./local/processes.ts";

let folder: string;
let clone: string;
let last: string;
let next: string;

const git = (cwd: string, ...args: string[]) =>
  execFileSync("git", args, { cwd, encoding: "utf8" }).trim();
const release = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(clone, "scripts/run.mjs"), "release", ...args],
    { cwd: clone, encoding: "utf8" },
  );
  return { status, out: `${stdout}${stderr}` };
};
const file = (name: string) => join(clone, name);
const read = (name: string) => readFileSync(file(name), "utf8");
const version = () => /__version__ = "(.*)"/.exec(read("client/src/lora_ledger/__init__.py"))?.[1];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "release-test-"));
  const origin = join(folder, "origin");
  for (const name of ["client", "scripts", "CHANGELOG.md", "package.json", ".gitignore"])
    cpSync(join(root, name), join(origin, name), { recursive: true });
  // Whatever the day's changelog says, this one has something to release.
  writeFileSync(
    join(origin, "CHANGELOG.md"),
    "# Changelog\n\n## Unreleased\n\n- Something new.\n\n## 0.0.1\n\n- Something old.\n",
  );
  git(folder, "init", "--quiet", "--initial-branch=main", "origin");
  const author = ["-c", "user.name=Anna", "-c", "user.email=anna@example.com"];
  git(origin, "add", "--all");
  git(origin, ...author, "commit", "--quiet", "--message", "All of it");
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  git(origin, "config", "receive.denyCurrentBranch", "ignore");
  clone = join(folder, "clone");
  git(folder, "clone", "--quiet", origin, "clone");
  git(clone, "config", "user.name", "Anna");
  git(clone, "config", "user.email", "anna@example.com");
  last = version() ?? "";
  const [major, minor] = last.split(".").map(Number);
  next = `${major}.${(minor ?? 0) + 1}.0`;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("what cannot be released is refused, and nothing changes", () => {
  const head = git(clone, "rev-parse", "HEAD");
  const refused = (args: string[], why: RegExp) => {
    const { status, out } = release(...args);
    expect([status, out]).toEqual([1, expect.stringMatching(why)]);
  };
  refused([], /^Usage/);
  refused(["v1"], /^Usage/);
  refused([last], /name a later one/);
  refused(["0.0.1"], /name a later one/);
  git(clone, "tag", `v${next}`);
  refused([next], /is there already/);
  git(clone, "tag", "--delete", `v${next}`);
  writeFileSync(file("notes.txt"), "not committed");
  refused([next], /not committed/);
  rmSync(file("notes.txt"));
  const changelog = read("CHANGELOG.md");
  writeFileSync(file("CHANGELOG.md"), changelog.replace("- Something new.\n\n", ""));
  git(clone, "commit", "--quiet", "--all", "--message", "Nothing new");
  refused([next], /says nothing/);
  git(clone, "reset", "--quiet", "--hard", head);
  expect([git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")]).toEqual([
    head,
    "",
  ]);
});

test("a wheel that cannot be built leaves all as it was", () => {
  const head = git(clone, "rev-parse", "HEAD");
  const project = read("client/pyproject.toml");
  writeFileSync(
    file("client/pyproject.toml"),
    project.replace("dependencies = []", 'dependencies = ["torch"]'),
  );
  git(
    clone,
    "commit",
    "--quiet",
    "--all",
    "--message",
    "A dependency, which the client has none of",
  );
  const broken = git(clone, "rev-parse", "HEAD");
  const { status, out } = release(next);
  expect([status, out]).toEqual([1, expect.stringContaining("dependencies")]);
  expect([git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")]).toEqual([
    broken,
    "",
  ]);
  git(clone, "reset", "--quiet", "--hard", head);
  expect(version()).toBe(last);
  expect([
    git(clone, "rev-parse", "HEAD"),
    git(clone, "status", "--porcelain"),
    git(clone, "tag"),
  ]).toEqual([head, "", ""]);
});

test("a commit that is refused leaves all as it was", () => {
  const head = git(clone, "rev-parse", "HEAD");
  writeFileSync(file(".git/hooks/pre-commit"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const { status, out } = release(next);
  rmSync(file(".git/hooks/pre-commit"));
  expect([status, out]).toEqual([1, expect.stringContaining("git commit failed")]);
  expect([git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain")]).toEqual([
    head,
    "",
  ]);
  expect([version(), existsSync(file("test/previous-client.py.br"))]).toEqual([last, false]);
});

test("a release is a heading, a version, a wheel, the client for the next tests, a commit and a tag", () => {
  const { status, out } = release(next);
  expect([status, out]).toEqual([0, expect.stringContaining(`Released ${next}: tag v${next}`)]);
  expect(version()).toBe(next);
  const day = new Date().toISOString().slice(0, 10);
  expect(read("CHANGELOG.md")).toBe(
    `# Changelog\n\n## Unreleased\n\n## ${next} (${day})\n\n- Something new.\n\n## 0.0.1\n\n- Something old.\n`,
  );
  const wheel = `client/dist/lora_ledger-${next}-py3-none-any.whl`;
  expect(out).toContain(wheel);
  const show = `import zipfile; z = zipfile.ZipFile("${file(wheel)}"); n = z.namelist(); print(len([x for x in n if x.endswith("cli.py")]), len([x for x in n if "tests" in x])); print(z.read([x for x in n if x.endswith("METADATA")][0]).decode())`;
  const inside = execFileSync("python3", ["-c", show], { encoding: "utf8" });
  expect(inside).toMatch(/^1 0\n/);
  expect(inside).toContain(`Version: ${next}`);
  expect(git(clone, "log", "-1", "--format=%s")).toBe(`Release ${next}`);
  expect(git(clone, "diff", "--name-only", "HEAD~1").split("\n").sort()).toEqual([
    "CHANGELOG.md",
    "client/src/lora_ledger/__init__.py",
    "test/previous-client.py.br",
  ]);
  const kept = brotliDecompressSync(readFileSync(file("test/previous-client.py.br"))).toString();
  expect(kept).toContain(`LoRA Ledger's client ${next} in one file`);
  expect(kept).toContain(`__version__ = "${next}"`);
  expect(git(clone, "cat-file", "-t", `v${next}`)).toBe("tag");
  expect(git(clone, "status", "--porcelain")).toBe("");
  git(clone, "push", "--quiet", "--follow-tags");
  expect(git(join(folder, "origin"), "tag")).toBe(`v${next}`);
  expect(existsSync(file(wheel))).toBe(true);
});
