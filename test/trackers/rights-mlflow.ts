import { runIdOf } from "../../src/trackers/mlflow/form.ts";
import { json, type Target, type TrackerRights, type TrackerTable } from "./rights.ts";

const prefixes = ["/mlflow/api/2.0/mlflow", "/mlflow/ajax-api/2.0/mlflow"];
const bearer = ({ key }: Target) => ({ Authorization: `Bearer ${key}` });

type Fields = Record<string, unknown>;
type Line = Omit<TrackerRights, "ask"> & { fields: (run_id: string) => Fields };

const read = (fields: Line["fields"]): Line => ({ scope: "tasks:read", box: true, fields });
const write = (fields: Line["fields"], box = true): Line => ({ scope: "tasks:write", box, fields });
/** Experiment 0 refuses to be changed, whoever asks. */
const experiment = { experiment_id: "0", new_name: "other" };

const lines: Record<string, Line> = {
  "POST /experiments/create": write(() => ({ name: `rights ${crypto.randomUUID()}` })),
  "GET /experiments/get": read(() => experiment),
  "GET /experiments/get-by-name": read(() => ({ experiment_name: "Default" })),
  "GET /experiments/search": read(() => ({ max_results: 1 })),
  "POST /experiments/search": read(() => ({ max_results: 1 })),
  "POST /experiments/update": write(() => experiment, false),
  "POST /experiments/delete": write(() => experiment, false),
  "POST /experiments/restore": write(() => experiment, false),
  "POST /runs/create": write(() => ({ experiment_id: "0" })),
  "GET /runs/get": read((run_id) => ({ run_id })),
  "POST /runs/update": write((run_id) => ({ run_id })),
  "POST /runs/delete": write(() => ({ run_id: "none" }), false),
  "POST /runs/restore": write((run_id) => ({ run_id }), false),
  "POST /runs/search": read(() => ({ experiment_ids: ["0"], max_results: 1 })),
  "POST /runs/log-metric": write((run_id) => ({ run_id, key: "loss", value: 1 })),
  "POST /runs/log-parameter": write((run_id) => ({ run_id, key: "a", value: "1" })),
  "POST /runs/log-batch": write((run_id) => ({ run_id })),
  "POST /runs/set-tag": write((run_id) => ({ run_id, key: "a", value: "1" })),
  "POST /runs/delete-tag": write((run_id) => ({ run_id, key: "a" })),
  "POST /runs/log-inputs": write((run_id) => ({ run_id, datasets: [] })),
  "GET /metrics/get-history": read((run_id) => ({ run_id, metric_key: "loss" })),
  "GET /metrics/get-history-bulk": read((run_id) => ({ run_id, metric_key: "loss" })),
  "GET /metrics/get-history-bulk-interval": read((run_id) => ({
    run_ids: run_id,
    metric_key: "loss",
  })),
  "POST /experiments/set-experiment-tag": write(
    () => ({ ...experiment, key: "a", value: "b" }),
    false,
  ),
  "POST /experiments/delete-experiment-tag": write(() => ({ ...experiment, key: "a" }), false),
};

const isTracking = (path: string) =>
  prefixes.some((prefix) => path.startsWith(`${prefix}/`)) &&
  /\/(?:experiments|metrics|runs\/(?!outputs))/.test(path);

/** MLflow's tracking: experiments, runs and metrics. */
export const table: TrackerTable = {
  covers: isTracking,
  rights: Object.fromEntries(
    prefixes.flatMap((prefix) =>
      Object.entries(lines).map(([route, { fields, ...right }]): [string, TrackerRights] => {
        const [method = "", path = ""] = route.split(" ");
        const ask = (target: Target) => {
          const given = fields(runIdOf(target.task));
          if (method === "POST") return json(prefix + path, given, bearer(target));
          const query = new URLSearchParams(
            Object.entries(given).map(([name, value]): [string, string] => [name, String(value)]),
          );
          return { path: `${prefix}${path}?${query}`, method, headers: bearer(target) };
        };
        return [`${method} ${prefix}${path}`, { ...right, ask }];
      }),
    ),
  ),
};
