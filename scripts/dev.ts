/**
 * `npm run dev`: all that `npm start` starts, and before it Vite with the dashboard's sources, so that
 * a change shows at once. What the pages ask goes on to the Worker.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createServer } from "vite";
import { answersOk, root, waitFor } from "./local/processes.ts";
import { main } from "./local/say.ts";

await main(async () => {
  const port = process.env.PORT?.trim() || "8787";
  const worker = `http://localhost:${port}`;
  const ledger = spawn(process.execPath, [join(root, "scripts/run.mjs"), "start"], {
    stdio: "inherit",
    cwd: root,
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) =>
    ledger.on("exit", (code, signal) => done({ code, signal })),
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => ledger.kill(signal));
  await waitFor("ledger", () => answersOk(`${worker}/healthz`), {
    alive: ended,
    timeoutMs: 180_000,
  });
  process.env.LEDGER_WORKER = worker;
  const vite = await createServer({ configFile: join(root, "dashboard/vite.config.ts") });
  await vite.listen();
  const [url = ""] = vite.resolvedUrls?.local ?? [];
  console.log(`\nThe dashboard, drawn anew at each change: ${url}`);
  const { code } = await ended;
  await vite.close();
  process.exitCode = code ?? 1;
});
