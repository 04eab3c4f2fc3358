// The real clients of other trackers, in a Python of their own: `.ci/run` makes it. Tests that want it say
// so where it is missing, and are skipped.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/local/processes.ts";

const python = process.env.TRACKERS_PYTHON ?? join(root, ".local/trackers-venv/bin/python");

/** The Python that has test/trackers/requirements.txt; null where there is none. */
export const trackersPython = existsSync(python) ? python : null;

if (!trackersPython)
  console.warn(
    `no ${python}: tests with the clients of MLflow, Trackio, SwanLab and W&B are skipped (.ci/run makes it)`,
  );
