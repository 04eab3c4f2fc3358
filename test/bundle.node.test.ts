import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";

it("what is deployed as the Worker is at most 600 kB, gzipped", () => {
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
    expect(gzipSync(readFileSync(join(out, "worker.js"))).length).toBeLessThanOrEqual(600_000);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
