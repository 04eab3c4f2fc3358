/**
 * `npm test`: every test there is, and as the last line "N passed, N failed". Arguments go to
 * vitest, and leave out the Python client's tests: `npm test -- src/tasks`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { build } from "./build.ts";
import { describeExit, root, startProcess } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

type Count = { passed: number; failed: number; skipped: number };

const report = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.unknown()) })),
});

/** Runs a command with its output shown, or handed to `say`, and returns its exit code and lines. */
async function show(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  say: (line: string) => void = console.log,
) {
  const lines: string[] = [];
  const run = startProcess({
    command,
    args,
    cwd: root,
    env: { ...process.env, ...(process.stdout.isTTY && { FORCE_COLOR: "1" }), ...env },
    onLine: (line) => {
      lines.push(line);
      say(line);
    },
  });
  const exit = await run.exited;
  if (exit.code !== 0) say(`(${describeExit(exit)})`);
  return { ok: exit.code === 0, lines };
}

async function vitest(args: string[]): Promise<Count> {
  const folder = mkdtempSync(join(tmpdir(), "tests-"));
  try {
    const file = join(folder, "report.json");
    const cli = join(root, "node_modules/vitest/vitest.mjs");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    const { ok } = await show(process.execPath, [cli, "run", ...reporters, ...args], {
      LEDGER_BUILT: "true",
    });
    if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
    const result = report.parse(JSON.parse(readFileSync(file, "utf8")));
    // A file that cannot be loaded holds no test that could fail.
    const broken = result.testResults.filter(
      ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
    ).length;
    const failed = result.numFailedTests + broken;
    return {
      passed: result.numPassedTests,
      // Errors outside of tests make vitest fail with every test passed.
      failed: ok ? failed : Math.max(1, failed),
      skipped: result.numPendingTests + result.numTodoTests,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What unittest's closing lines say: "Ran 9 tests in 1s" and "FAILED (failures=1, skipped=2)". */
export function countUnittest(lines: string[], ok: boolean): Count {
  const last = (pattern: RegExp) => lines.findLast((line) => pattern.test(line)) ?? "";
  const ran = Number(last(/^Ran \d+ tests? in /).match(/\d+/)?.[0] ?? 0);
  const verdict = last(/^(OK|FAILED|NO TESTS RAN)\b/);
  const of = (word: string) =>
    Number(verdict.match(new RegExp(`(?:^|[ (])${word}=(\\d+)`))?.[1] ?? 0);
  const skipped = of("skipped");
  const counted = of("(?<!expected )failures") + of("errors") + of("unexpected successes");
  const failed = ok ? counted : Math.max(1, counted);
  return { passed: Math.max(0, ran - failed - skipped), failed, skipped };
}

/** The modules of the client's tests, in two parts that take about as long. */
function pythonParts(): string[][] {
  const modules = readdirSync(join(root, "client/tests"), { recursive: true, encoding: "utf8" })
    .filter((path) => /(^|[\\/])test_\w+\.py$/.test(path))
    .map((path) => `tests.${path.slice(0, -3).replaceAll(/[\\/]/g, ".")}`)
    .sort();
  const isFirst = (module: string) => module.startsWith("tests.test_security_");
  return [modules.filter(isFirst), modules.filter((module) => !isFirst(module))];
}

/** Finds the modules without PYTHONPATH, which the processes that the tests start would inherit. */
const unittest = `
import sys, unittest
sys.path.insert(0, "client")
unittest.main(module=None, argv=["unittest", *sys.argv[1:]])`;

/** Tests of the client. Their output is held back until `turn`, and shown as it comes from then on. */
async function python(modules: string[], turn: Promise<unknown>): Promise<Count> {
  const command = process.env.PYTHON ?? "python3";
  const waiting: string[] = [`\n${command}: ${modules.join(" ")}`];
  let say = (line: string): void => {
    waiting.push(line);
  };
  const shown = turn.finally(() => {
    say = console.log;
    for (const line of waiting) say(line);
  });
  const { ok, lines } = await show(
    command,
    ["-c", unittest, ...modules],
    { PYTHONUNBUFFERED: "1" },
    (line) => say(line),
  );
  await shown;
  return countUnittest(lines, ok);
}

/**
 * Lets what the tests start hundreds of times, Python's modules and Node's, be compiled once: into a folder that is
 * removed behind them, also where a machine's settings tell Python to keep nothing.
 */
function keepCompiled(): void {
  const folder = mkdtempSync(join(tmpdir(), "compiled-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  process.env.PYTHONPYCACHEPREFIX = join(folder, "python");
  delete process.env.PYTHONDONTWRITEBYTECODE;
  process.env.NODE_COMPILE_CACHE = join(folder, "node");
}

if (isMain(import.meta.url))
  await main(async () => {
    const args = process.argv.slice(2);
    keepCompiled();
    await build();
    // All of them often wait for other processes, so that they run at the same time.
    const runs = [vitest(args)];
    for (const part of args.length ? [] : pythonParts())
      runs.push(python(part, Promise.allSettled([...runs])));
    const counts = await Promise.all(runs);
    const sum = (name: keyof Count) => counts.reduce((total, count) => total + count[name], 0);
    const skipped = sum("skipped");
    process.exitCode = sum("failed") ? 1 : 0;
    console.log(
      `\n${sum("passed")} passed, ${sum("failed")} failed${skipped ? `, ${skipped} skipped` : ""}`,
    );
  });
