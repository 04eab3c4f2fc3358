import { join } from "node:path";
import { root, startProcess, Trouble } from "./processes.ts";

/** What `npm run build` makes, made in a process of its own. Throws Trouble with what it said when it fails. */
export async function buildApart(): Promise<void> {
  const run = startProcess({
    command: process.execPath,
    args: [join(root, "scripts/run.mjs"), "build"],
    cwd: root,
  });
  const exit = await run.exited;
  if (exit.code !== 0)
    throw new Trouble(`The Worker and its static files were not built.\n${run.tail().join("\n")}`);
}
