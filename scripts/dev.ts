/**
 * `npm run dev`: all that `npm start` starts, and before it Vite with the dashboard's sources, so that
 * a change shows at once. What the pages ask goes on to the Worker, which is built anew where its
 * sources or the client's change.
 */
import { spawn } from "node:child_process";
import { join, sep } from "node:path";
import { createServer } from "vite";
import { buildApart } from "./local/build-apart.ts";
import { answersOk, root, waitFor } from "./local/processes.ts";
import { main } from "./local/say.ts";

/** Does the work once the calls have stopped for a moment, and never twice at a time. */
function whenQuiet(work: () => Promise<void>) {
  let soon: NodeJS.Timeout | undefined;
  let last = Promise.resolve();
  return () => {
    clearTimeout(soon);
    soon = setTimeout(() => {
      last = last.then(work).catch((error: Error) => console.error(error.message));
    }, 200);
  };
}

await main(async () => {
  const port = process.env.PORT?.trim() || "8787";
  const worker = `http://localhost:${port}`;
  const ledger = spawn(process.execPath, [join(root, "scripts/run.mjs"), "start"], {
    stdio: "inherit",
    cwd: root,
    // The Worker is taken anew where build/worker.js changes.
    env: { ...process.env, LEDGER_RELOAD: "1" },
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
  const sources = ["src", "client/src"].map((dir) => join(root, dir));
  const again = whenQuiet(buildApart);
  vite.watcher.add(sources).on("all", (_event, path) => {
    if (sources.some((dir) => path.startsWith(dir + sep)) && /\.(ts|py)$/.test(path)) again();
  });
  await vite.listen();
  const [url = ""] = vite.resolvedUrls?.local ?? [];
  console.log(`\nThe pages, drawn anew at each change, as the Worker is built: ${url}`);
  const { code } = await ended;
  await vite.close();
  process.exitCode = code ?? 1;
});
