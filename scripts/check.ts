/**
 * `npm run check`: format, lint, types, unused code, the order of the house, the lock file, migrations, the API's
 * description, the pages; and of the Python client format, lint and types.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { checkPythonDeclarations } from "./declarations.ts";
import { pageFaults, readPages } from "./docs.ts";
import { describeExit, root, startProcess, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";
import { describeApi } from "./openapi.ts";
import { checkPythonFields } from "./run-fields.ts";
import { checkTemplates } from "./templates.ts";
import { readSources, wingFaults } from "./wings.ts";

const names = z.record(z.string(), z.string()).optional();
const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({ resolved: z.string().optional(), optionalDependencies: names }),
  ),
});

/**
 * What is wrong with a lock file: optional packages that some entry wants and no entry is, because
 * `npm ci` refuses such a file on the machines they are for; and addresses of the registry that it
 * was made with, which others may not reach.
 */
export function lockFaults(text: string): string[] {
  const { packages } = lockSchema.parse(JSON.parse(text));
  const missing = Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter((name) => !isLocked(packages, path, name))
      .map((name) => `${name}, wanted by ${path || "package.json"}, is missing`),
  );
  const hosts = Object.entries(packages)
    .filter(([, { resolved }]) => resolved && /^\w+:/.test(resolved))
    .map(([path]) => `${path} names the address it came from`);
  return [...missing, ...hosts];
}

/** Whether a package is found from another's folder: beside it, or in a folder above. */
function isLocked(packages: Record<string, unknown>, from: string, name: string): boolean {
  for (let dir = from; ; dir = dir.slice(0, Math.max(0, dir.lastIndexOf("node_modules/") - 1))) {
    if (packages[`${dir ? `${dir}/` : ""}node_modules/${name}`]) return true;
    if (!dir) return false;
  }
}

/** Runs a program. Throws Trouble with all that it said when it fails. */
async function program(command: string, args: string[], cwd = root): Promise<string> {
  const lines: string[] = [];
  const run = startProcess({
    command,
    args,
    cwd,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
    onLine: (line) => lines.push(line),
  });
  const exit = await run.exited;
  if (exit.code !== 0)
    throw new Trouble(lines.join("\n").trim() || `${command} ended with ${describeExit(exit)}`);
  return lines.join("\n");
}

/** Runs a tool of node_modules. Throws Trouble with all that it said when it fails. */
const tool = (name: string, args: string[], cwd = root) =>
  program(join(root, "node_modules/.bin", name), args, cwd);

/** The linter and formatter of the client. PyPI alone has its binaries; every machine gets this one. */
const ruffVersion = "0.17.6";

/** The path of ruff, which is installed once, into a folder that git ignores. Throws Trouble. */
async function ruff(): Promise<string> {
  const folder = join(root, ".local/tools", `ruff-${ruffVersion}`);
  const binary = (at: string) => join(at, process.platform === "win32" ? "Scripts" : "bin", "ruff");
  if (existsSync(binary(folder))) return binary(folder);
  // In a folder of its own until it is whole, so that a broken one is not taken for it.
  const begun = `${folder}-${process.pid}`;
  try {
    await program(process.env.PYTHON ?? "python3", ["-m", "venv", begun]);
    const pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"];
    await program(join(dirname(binary(begun)), "python"), [...pip, `ruff==${ruffVersion}`]);
    renameSync(begun, folder);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new Trouble(
      `ruff ${ruffVersion} cannot be installed: this needs Python with venv, and PyPI at the first time.\n${said}`,
    );
  } finally {
    rmSync(begun, { recursive: true, force: true });
  }
  return binary(folder);
}

/** Lets drizzle-kit make the next migration into a copy: there must be none to make. */
async function migrationsMatch() {
  const copy = mkdtempSync(join(tmpdir(), "migrations-"));
  try {
    cpSync(join(root, "migrations"), join(copy, "migrations"), { recursive: true });
    // It takes no absolute path for `out`, and reports a failure of its own by its words alone.
    const options = ["--dialect", "sqlite", "--casing", "snake_case", "--out", "migrations"];
    const schema = join(root, "src/platform/db/schema.ts");
    const said = await tool("drizzle-kit", ["generate", ...options, "--schema", schema], copy);
    if (said.includes("No schema changes")) return;
    throw new Trouble(
      `migrations/ does not give what src/platform/db/schema.ts says: run \`npm run generate\`.\n${said}`,
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const checks: Record<string, () => Promise<unknown>> = {
  "format and lint": () => tool("biome", ["check", "--max-diagnostics=50", "."]),
  "unused code": () => tool("knip", ["--no-progress"]),
  types: () => tool("tsc", ["--noEmit"]),
  // The pages see browsers' types, and the Worker's only through what its routes answer.
  "dashboard types": () => tool("tsc", ["-b", "dashboard"]),
  "lock file": async () => {
    const faults = lockFaults(readFileSync(join(root, "package-lock.json"), "utf8"));
    if (faults.length) throw new Trouble(faults.join("\n"));
  },
  migrations: async () => {
    await tool("drizzle-kit", ["check"]);
    await migrationsMatch();
  },
  "API description": () => describeApi(),
  "client's format and lint": async () => {
    const bin = await ruff();
    await program(bin, ["format", "--check", "--quiet", "client"]);
    await program(bin, ["check", "--quiet", "client"]);
  },
  "client's types": () => tool("pyright", ["--project", "client"]),
  "client's columns": checkPythonFields,
  "client's dialects": checkPythonDeclarations,
  templates: checkTemplates,
  pages: async () => {
    const faults = pageFaults(readPages());
    if (faults.length) throw new Trouble(faults.join("\n"));
  },
  "order of the house": async () => {
    const faults = wingFaults(readSources());
    if (faults.length) throw new Trouble(faults.join("\n"));
  },
};

if (isMain(import.meta.url))
  await main(async () => {
    const failed: [string, unknown][] = [];
    await Promise.all(
      Object.entries(checks).map(async ([name, run]) => {
        const from = performance.now();
        const failure = await run().then(
          () => undefined,
          (error: unknown) => ({ error }),
        );
        const seconds = ((performance.now() - from) / 1000).toFixed(1);
        console.log(`${failure ? "FAILED" : "ok    "}  ${name} (${seconds} s)`);
        if (failure) failed.push([name, failure.error]);
      }),
    );
    for (const [name, error] of failed)
      console.log(`\n== ${name}\n${error instanceof Trouble ? error.message : error}`);
    process.exitCode = failed.length ? 1 : 0;
  });
