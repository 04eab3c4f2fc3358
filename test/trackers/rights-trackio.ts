import { trackioCalls } from "../../src/trackers/paths.ts";
import { json, type TrackerRights, type TrackerTable } from "./rights.ts";

const run = { project: "p", run: "r", run_id: "rights" };

const call = (name: string, kwargs: unknown) => ({
  ask: ({ key }: { key: string }) =>
    json(`/api/${name}`, { args: [], kwargs }, { "X-Trackio-Write-Token": key }),
});

const entry = { ...run, step: 1, metrics: { loss: 1 }, config: null };
const writes: Record<string, unknown> = {
  bulk_log: { logs: [entry] },
  bulk_log_system: { logs: [entry] },
  bulk_alert: { alerts: [{ ...run, title: "t", alert_id: "a" }] },
};

const reads = trackioCalls.filter((name) => name.startsWith("get_"));

export const table: TrackerTable = {
  covers: (path) => path === "/version" || trackioCalls.some((name) => path === `/api/${name}`),
  open: ["GET /version"],
  rights: {
    ...Object.fromEntries(
      Object.entries(writes).map(([name, kwargs]): [string, TrackerRights] => [
        `POST /api/${name}`,
        { scope: "tasks:write", box: true, reach: "joins", ...call(name, kwargs) },
      ]),
    ),
    ...Object.fromEntries(
      reads.map((name): [string, TrackerRights] => [
        `POST /api/${name}`,
        { scope: "tasks:read", box: true, ...call(name, { ...run, metric_name: "loss" }) },
      ]),
    ),
    "POST /api/bulk_upload_media": {
      ...{ scope: "weights:write", box: true, reach: "joins" },
      ...call("bulk_upload_media", {
        uploads: [{ ...run, step: 1, uploaded_file: { path: "w/0/none", orig_name: "a.png" } }],
      }),
    },
    "POST /api/upload": {
      scope: "weights:write",
      box: true,
      ask: ({ key }) => {
        const body = new FormData();
        body.append("files", new File(["x"], "a.png"));
        return {
          path: "/api/upload",
          method: "POST",
          headers: { "X-Trackio-Write-Token": key },
          body,
        };
      },
    },
  },
};
