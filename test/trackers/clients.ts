// The real clients of other trackers, in a Python of their own: `.ci/run` makes it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/local/processes.ts";

const python = process.env.TRACKERS_PYTHON ?? join(root, ".local/trackers-venv/bin/python");

/** The Python that has test/trackers/requirements.txt; null where it is not installed. In CI that is a fault. */
export function trackersPython(): string | null {
  if (existsSync(python)) return python;
  if (process.env.CI === "true") throw new Error(`there is no ${python}: see .ci/run`);
  console.log(`no ${python}: tests with real trackers' clients are skipped (see .ci/run)`);
  return null;
}
