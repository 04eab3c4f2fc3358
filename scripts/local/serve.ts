/**
 * The Worker of one local ledger, as a process of its own: workerd behind what listens at the port.
 * Its one argument is the folder of its configuration and state; startWorker() writes that and starts it.
 */
import { readFileSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { createFront } from "./front.ts";
import { startEmulation } from "./miniflare.ts";
import { main } from "./say.ts";

const settings = z.object({ port: z.int(), token: z.string().min(32), main: z.string() });

/** Starts the Worker anew where its file has changed and stays as it is for a moment. */
function reloadOnChange(file: string, reload: () => Promise<void>) {
  let soon: NodeJS.Timeout | undefined;
  watch(dirname(file), () => {
    clearTimeout(soon);
    soon = setTimeout(() => {
      reload().catch((error: Error) => console.error(`[error] ${error.message}`));
    }, 300);
  });
}

await main(async () => {
  const dir = process.argv[2] ?? "";
  const {
    port,
    token,
    main: file,
  } = settings.parse(JSON.parse(readFileSync(join(dir, "serve.json"), "utf8")));
  const emulation = await startEmulation({
    config: join(dir, "wrangler.json"),
    state: join(dir, "state"),
    entryDir: dir,
    modules: () => ({
      "patient-worker.js": readFileSync(join(import.meta.dirname, "patient-worker.js"), "utf8"),
      "worker.js": readFileSync(file, "utf8"),
    }),
    log: (level, message) => console.log(`[${level}] ${message}`),
  });
  const front = createFront({ entry: emulation.entry, token });
  await new Promise<void>((ready, failed) => {
    front.once("error", failed);
    front.listen(port, "127.0.0.1", ready);
  });
  if (process.env.LEDGER_RELOAD) reloadOnChange(file, emulation.reload);
});
