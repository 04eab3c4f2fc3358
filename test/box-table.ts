// Every route that rented machines' keys may call, and what such a call comes to by whose task it names.
// test/security/box-rights.test.ts asks each of them, and fails on a route without a line.
import type { Asked } from "./route-table.ts";

/** What a request of the table is about. */
export type Target = {
  task: number;
  /** The attempt that the caller names: the task's current one. */
  attempt: number;
  /** One of the task's files, complete or on its way up. */
  file: number;
  /** The `import.source` and the `Idempotency-Key` that the task was registered with. */
  source: string;
  idempotencyKey: string;
};

/**
 * `done`; `hidden`: as if there were no such row; `told`: 409 `superseded`, no more; `refused`: 409
 * with another reason; `apart`: 200, about a row of the caller's own.
 */
export type BoxOutcome = "done" | "hidden" | "told" | "refused" | "apart";

export type BoxRights = {
  ask: (target: Target) => Asked & { headers?: Record<string, string> };
  /**
   * Of a task that is nothing of the caller's, `hidden` unless said: a stranger's that waits, runs or
   * was imported, and those that the caller's own user has besides.
   */
  others?: BoxOutcome;
  /** Of a task that the caller's key runs now. */
  running: BoxOutcome;
  /** Of a task that the caller's key once ran, and that was taken from it. */
  taken: BoxOutcome;
  /**
   * Whether it is about a file: then `running` is about one that the caller brought, and one that
   * another owner's box left of an earlier attempt of the same task is `hidden`.
   */
  file?: "complete" | "uploading";
};

const get = (path: (target: Target) => string) => (target: Target) => ({ path: path(target) });
const send =
  (path: (target: Target) => string, json: (target: Target) => unknown = () => ({})) =>
  (target: Target) => ({ method: "POST", path: path(target), json: json(target) });

const reads = { running: "done", taken: "hidden" } as const;
const reports = { running: "done", taken: "told" } as const;
const sha256 = "0".repeat(64);

/** `METHOD /path` as the app registers it. Two routes name no task: what they find is tested besides. */
export const boxTable: Record<string, BoxRights> = {
  "POST /api/tasks": {
    ask: ({ source, idempotencyKey }) => ({
      ...{ method: "POST", path: "/api/tasks" },
      json: source ? { task_name: "new", import: { source } } : { task_name: "new" },
      ...(idempotencyKey && { headers: { "Idempotency-Key": idempotencyKey } }),
    }),
    ...{ others: "apart", running: "apart", taken: "apart" },
  },
  "POST /api/queue/claim": {
    ask: ({ task }) => ({ method: "POST", path: "/api/queue/claim", json: { agent: `${task}` } }),
    ...{ others: "apart", running: "apart", taken: "apart" },
  },
  "GET /api/tasks/:id": { ask: get(({ task }) => `/api/tasks/${task}`), ...reads },
  "PATCH /api/tasks/:id": {
    ask: ({ task }) => ({ method: "PATCH", path: `/api/tasks/${task}`, json: { notes: "n" } }),
    ...reads,
  },
  "GET /api/tasks/:id/config": { ask: get(({ task }) => `/api/tasks/${task}/config`), ...reads },
  "GET /api/tasks/:id/reproduce": {
    ask: get(({ task }) => `/api/tasks/${task}/reproduce`),
    ...reads,
  },
  "GET /api/tasks/:id/archive": { ask: get(({ task }) => `/api/tasks/${task}/archive`), ...reads },
  "GET /api/tasks/:id/best": { ask: get(({ task }) => `/api/tasks/${task}/best`), ...reads },
  "GET /api/curves": {
    ask: ({ task }) => ({ path: `/api/curves?ids=${task}`, shows: task }),
    ...reads,
  },
  "GET /api/tasks/:id/logs": { ask: get(({ task }) => `/api/tasks/${task}/logs`), ...reads },
  "GET /api/tasks/:id/datasets": {
    ask: get(({ task }) => `/api/tasks/${task}/datasets`),
    ...reads,
  },
  "PUT /api/tasks/:id/datasets": {
    ask: ({ task }) => ({
      ...{ method: "PUT", path: `/api/tasks/${task}/datasets` },
      json: { datasets: [{ name: "set" }] },
    }),
    ...reads,
  },
  "POST /api/tasks/:id/attempts": {
    ask: send(({ task }) => `/api/tasks/${task}/attempts`),
    ...reports,
  },
  "POST /api/tasks/:id/attempts/:attempt/logs": {
    ask: send(
      ({ task, attempt }) => `/api/tasks/${task}/attempts/${attempt}/logs`,
      () => ({ seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] }),
    ),
    // Only runs of the past take points so.
    ...{ running: "refused", taken: "hidden" },
  },
  "POST /api/tasks/:id/heartbeat": {
    ask: send(
      ({ task }) => `/api/tasks/${task}/heartbeat`,
      ({ attempt }) => ({ attempt, seq: 1 }),
    ),
    ...reports,
  },
  "POST /api/tasks/:id/finish": {
    ask: send(
      ({ task }) => `/api/tasks/${task}/finish`,
      ({ attempt }) => ({ attempt, status: "success" }),
    ),
    ...reports,
  },
  "POST /api/tasks/:id/weights": {
    ask: send(
      ({ task }) => `/api/tasks/${task}/weights`,
      ({ attempt }) => ({ attempt, filename: "a.bin", size: 5, sha256, kind: "final" }),
    ),
    ...reports,
  },
  "GET /api/weights": {
    ask: ({ task, file }) => ({ path: `/api/weights?task_id=${task}`, shows: file }),
    ...{ ...reads, file: "complete" },
  },
  "GET /api/weights/:id": {
    ask: get(({ file }) => `/api/weights/${file}`),
    ...{ ...reads, file: "complete" },
  },
  "GET /api/weights/:id/download": {
    ask: get(({ file }) => `/api/weights/${file}/download?redirect=false`),
    ...{ ...reads, file: "complete" },
  },
  "GET /api/weights/:id/upload": {
    ask: get(({ file }) => `/api/weights/${file}/upload`),
    ...{ ...reads, file: "uploading" },
  },
  "POST /api/weights/:id/complete": {
    ask: send(({ file }) => `/api/weights/${file}/complete`),
    ...{ ...reads, file: "uploading" },
  },
};
