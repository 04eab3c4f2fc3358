import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";

/**
 * Milliseconds of CPU that it takes to load a module, what Node itself needs for it left out, and what a loop takes
 * in the same process: a shared machine may be half as fast as it was a minute before.
 */
const loading = (file: string): { load: number; loop: number } =>
  JSON.parse(
    execFileSync(
      process.execPath,
      [
        "--eval",
        `void [Request, Response, fetch, crypto.subtle, URL, ReadableStream, TextDecoder];
        const took = (before) => {
          const { user, system } = process.cpuUsage(before);
          return (user + system) / 1000;
        };
        const before = process.cpuUsage();
        let sum = 0;
        for (let i = 0; i < 3e7; i++) sum += i % 7;
        const loop = took(before);
        const next = process.cpuUsage();
        import(${JSON.stringify(pathToFileURL(file).href)}).then(() => {
          console.log(JSON.stringify({ load: took(next), loop, sum }));
        });`,
      ],
      { encoding: "utf8" },
    ),
  );

it("what is deployed as the Worker is at most 600 kB, gzipped, and starts in about twice the time of a short loop", () => {
  const out = mkdtempSync(join(tmpdir(), "lora-ledger-bundle-"));
  try {
    const wrangler = join(root, "node_modules/wrangler/wrangler-dist/cli.js");
    execFileSync(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", out], {
      cwd: root,
      stdio: "pipe",
      env: {
        ...process.env,
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_LOG_PATH: out,
      },
    });
    const [name, ...others] = readdirSync(out).filter((file) => file.endsWith(".js"));
    expect([name, others]).toEqual(["worker.js", []]);
    const file = join(out, "worker.js");
    const size = gzipSync(readFileSync(file)).length;
    // An `.mjs` is an ES module wherever it lies.
    copyFileSync(file, join(out, "worker.mjs"));
    const runs = [1, 2, 3, 4, 5].map(() => loading(join(out, "worker.mjs")));
    const share = Math.min(...runs.map(({ load, loop }) => load / loop));
    const cpu = Math.min(...runs.map(({ load }) => load));
    console.log(
      `the Worker: ${size} bytes gzipped, ${cpu.toFixed(0)} ms of CPU to start, ${share.toFixed(2)} of the loop`,
    );
    expect(size).toBeLessThanOrEqual(600_000);
    // Twice as much as today, when it is about 2: the loop takes some 70 ms on a machine of its own.
    expect(share).toBeLessThan(4);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

it("a build finds what the one before made, whatever NODE_ENV says", () => {
  // Tests set it, and start ledgers that build: other files would be put under the servers of other tests.
  for (const NODE_ENV of ["test", "development"])
    expect(
      execFileSync(process.execPath, [join(root, "scripts/run.mjs"), "build"], {
        cwd: root,
        env: { ...process.env, NODE_ENV },
        encoding: "utf8",
      }),
    ).toMatch(/ 0 changed\n$/);
});
