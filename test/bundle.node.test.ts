import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";

/** Milliseconds of CPU that it takes to load a module, what Node itself needs for it left out. */
const loading = (file: string) =>
  Number(
    execFileSync(
      process.execPath,
      [
        "--eval",
        `void [Request, Response, fetch, crypto.subtle, URL, ReadableStream, TextDecoder];
        const before = process.cpuUsage();
        import(${JSON.stringify(pathToFileURL(file).href)}).then(() => {
          const { user, system } = process.cpuUsage(before);
          console.log((user + system) / 1000);
        });`,
      ],
      { encoding: "utf8" },
    ),
  );

it("what is deployed as the Worker is at most 600 kB, gzipped, and starts in about 100 ms", () => {
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
    const cpu = Math.min(...[1, 2, 3, 4, 5].map(() => loading(join(out, "worker.mjs"))));
    console.log(`the Worker: ${size} bytes gzipped, ${cpu.toFixed(0)} ms of CPU to start`);
    expect(size).toBeLessThanOrEqual(600_000);
    // Three times as much for a machine that is slower than Cloudflare's, and shared.
    expect(cpu).toBeLessThan(300);
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
