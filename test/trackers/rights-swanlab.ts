import { json, type Target, type TrackerRights, type TrackerTable } from "./rights.ts";

type Request = (path: string, init?: RequestInit) => Promise<Response>;

const login = async (key: string, request: Request): Promise<Record<string, string>> => {
  const response = await request("/api/login/api_key", {
    method: "POST",
    headers: { Authorization: key },
  });
  if (response.status !== 200) throw new Error(`no login: ${response.status}`);
  const { sid } = (await response.json()) as { sid: string };
  return { Cookie: `sid=${sid}` };
};

const line = (
  scope: TrackerRights["scope"],
  path: (target: Target) => string,
  body?: (target: Target) => unknown,
  method = body ? "POST" : "GET",
): TrackerRights => ({
  ...{ scope, box: true },
  ...(path({ key: "", task: 777 }).includes("777") && { reach: "task" as const }),
  ask: async (target, request) => {
    const headers = await login(target.key, request);
    return body
      ? json(path(target), body(target), headers, method)
      : { path: path(target), method, headers };
  },
});

const project = "/api/project/anna/p";
const nothing = () => ({});

export const table: TrackerTable = {
  covers: (path) =>
    /^\/api\/(login|project|projects|house|experiment|resources)(\/|$)/.test(path) ||
    path.startsWith("/swanlab"),
  rights: {
    "POST /api/login/api_key": {
      ...{ scope: null, box: true },
      ask: ({ key }) => ({
        path: "/api/login/api_key",
        method: "POST",
        headers: { Authorization: key },
      }),
    },
    "GET /api/project/:user/:project": line("tasks:read", () => project),
    "POST /api/projects/:user": line(
      "tasks:write",
      () => "/api/projects/anna",
      () => ({ name: "p" }),
    ),
    "POST /api/project/:user/:project/experiment": line(
      "tasks:write",
      () => `${project}/experiment`,
      () => ({ name: "r", cuid: "rights" }),
    ),
    "POST /api/project/:user/:project/runs": line(
      "tasks:write",
      () => `${project}/runs`,
      () => ({ name: "r", cuid: "rights" }),
    ),
    "GET /api/project/:user/:project/runs/:run": line("tasks:read", () => `${project}/runs/rights`),
    "PUT /api/project/:user/:project/runs/:run/profile": line(
      "tasks:write",
      ({ task }) => `${project}/runs/${task}/profile`,
      () => ({ config: { lr: { value: 1 } } }),
      "PUT",
    ),
    "PUT /api/project/:user/:project/runs/:run/state": line(
      "tasks:write",
      ({ task }) => `${project}/runs/${task}/state`,
      () => ({ state: "FINISHED" }),
      "PUT",
    ),
    "GET /api/house/metrics/summaries/:project/:run": line(
      "tasks:read",
      () => "/api/house/metrics/summaries/p/1",
    ),
    "POST /api/house/experiments/:run/heartbeat": line(
      "tasks:write",
      ({ task }) => `/api/house/experiments/${task}/heartbeat`,
      nothing,
    ),
    "POST /api/house/metrics": {
      ...line(
        "tasks:write",
        () => "/api/house/metrics",
        ({ task }) => ({
          type: "scalar",
          experimentId: String(task),
          metrics: [{ key: "loss", index: 1, data: 1 }],
        }),
      ),
      reach: "task",
    },
    "POST /api/experiment/:run/columns": line(
      "tasks:write",
      () => "/api/experiment/1/columns",
      nothing,
    ),
    "POST /api/projects/:user/:project/series": line(
      "tasks:write",
      () => "/api/projects/anna/p/series",
      nothing,
    ),
    // An address is made for whoever asks; the run is looked at when the bytes come.
    "POST /api/resources/presigned/put": line(
      "weights:write",
      () => "/api/resources/presigned/put",
      ({ task }) => ({ experimentId: String(task), paths: ["a.png"] }),
    ),
    "POST /api/experiment/:run/files/prepare": line(
      "weights:write",
      () => "/api/experiment/1/files/prepare",
      () => ({ files: [{ path: "a.png" }] }),
    ),
    "POST /api/experiment/:run/files/complete": line(
      "weights:write",
      () => "/api/experiment/1/files/complete",
      nothing,
    ),
    "PUT /swanlab/file/:token/:run/:name": {
      ...{ scope: "weights:write", box: true, reach: "task" },
      ask: async ({ key, task }, request) => {
        const response = await request("/api/resources/presigned/put", {
          method: "POST",
          headers: { ...(await login(key, request)), "Content-Type": "application/json" },
          body: JSON.stringify({ experimentId: String(task), paths: ["a.png"] }),
        });
        const { urls = [] } = (await response.json()) as { urls?: string[] };
        // A key that gets no address has one that is not signed for it.
        const url = urls[0] ? new URL(urls[0]).pathname : null;
        return url
          ? { path: url, method: "PUT", headers: { "Content-Length": "1" }, body: "x" }
          : {
              path: "/api/resources/presigned/put",
              method: "POST",
              headers: await login(key, request),
            };
      },
    },
  },
};
