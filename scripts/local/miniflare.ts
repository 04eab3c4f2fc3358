import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as readWrangler } from "wrangler";
import { root } from "./processes.ts";

/** The most bytes of a Unix socket's path that every system takes. */
const LONGEST_SOCKET = 100;

/** Where workerd's binary is: a dependency of Miniflare's, not of ours. */
function workerdBinary(): string {
  const ours = createRequire(join(root, "package.json"));
  const binary: unknown = createRequire(ours.resolve("miniflare"))("workerd").default;
  if (typeof binary !== "string") throw new Error("the package workerd names no binary");
  return binary;
}

/** A folder for the socket, of this user alone, and what takes it away again. */
function socketFolder(dir: string | undefined): { folder: string; remove(): void } {
  if (dir && Buffer.byteLength(join(dir, "entry")) <= LONGEST_SOCKET)
    return { folder: dir, remove: () => {} };
  const folder = mkdtempSync(join(tmpdir(), "ledger-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export type Emulation = {
  /** The Unix socket that all of it answers at. */
  entry: string;
  /** Starts it anew with what the files now hold; requests wait or fail meanwhile. */
  reload(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Runs a Worker in workerd with Miniflare's emulation of the platform, on the bindings of a wrangler
 * configuration and the state in a folder. `wrangler dev` would do, but it always opens V8's inspector to
 * every user of the machine, and its port leads past every key to the whole bucket (/cdn-cgi/local). Here
 * that is behind a socket in a folder of this user; Miniflare's own loopback port answers workerd alone.
 */
export async function startEmulation(options: {
  config: string;
  state: string;
  /** Where the socket goes, if its path is short enough; else into a temporary folder. */
  entryDir?: string;
  /** The Worker's modules by path, the one to start from first; read anew at each start. */
  modules: () => Record<string, string>;
  /** Only the bucket, and nothing else that the configuration binds. */
  bucketAlone?: boolean;
  log?: (level: string, message: string) => void;
}): Promise<Emulation> {
  const { config, state, modules, bucketAlone = false, log } = options;
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const { folder, remove } = socketFolder(options.entryDir);
  const entry = join(folder, "entry");
  process.env.MINIFLARE_WORKERD_PATH = join(root, "scripts/local/workerd.sh");
  const unsafeRuntimeEnv = { LEDGER_WORKERD: workerdBinary(), LEDGER_ENTRY: entry };
  function current() {
    const { workerOptions } = readWrangler(config);
    const { compatibilityDate, r2Buckets } = workerOptions;
    return convertV4MiniflareOptions({
      host: "127.0.0.1",
      // No look at where on Earth this machine is.
      cf: false,
      logRequests: false,
      log: new Log(LogLevel.WARN),
      handleStructuredLogs: ({ level, message }) => log?.(level, message),
      // Behind the entry's socket, for whoever may use that.
      unsafeTriggerHandlers: true,
      unsafeRuntimeEnv,
      resourcePersistencePath: join(state, "v3"),
      resourceTmpPath: join(state, "tmp"),
      workers: [
        {
          ...(bucketAlone ? { compatibilityDate, r2Buckets } : workerOptions),
          name: "lora-ledger",
          modules: Object.entries(modules()).map(([path, contents]) => {
            return { type: "ESModule" as const, path, contents };
          }),
        },
      ],
    });
  }
  const emulation = new Miniflare(current());
  try {
    await emulation.ready;
  } catch (error) {
    await emulation.dispose();
    remove();
    throw error;
  }
  return {
    entry,
    reload: () => emulation.setOptions(current()),
    async stop() {
      await emulation.dispose();
      remove();
    },
  };
}
