// Python tools that try the API from outside; `.ci/run` installs them into .local/ci-venv.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/local/processes.ts";

const bin = process.env.API_TOOLS_BIN ?? join(root, ".local/ci-venv/bin");

/** The path of such a tool; null where it is not installed. In CI that is a fault. */
export function pythonTool(name: string): string | null {
  const path = join(bin, name);
  if (existsSync(path)) return path;
  if (process.env.CI === "true") throw new Error(`${name} is not at ${bin}: see .ci/run`);
  console.log(
    `${name} is not installed: its tests are skipped (see test/security/requirements.txt)`,
  );
  return null;
}
