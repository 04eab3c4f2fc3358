/*
 * The form of MLflow's REST protocol, common to its tracking, its artifacts and its registry: errors, and
 * the ids under which the ledger's rows are known there.
 */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ApiError, problem } from "../../platform/http/problem.ts";

/** MLflow's names of errors, on which its clients branch, and the HTTP status of each. */
const statuses = {
  INVALID_PARAMETER_VALUE: 400,
  BAD_REQUEST: 400,
  RESOURCE_ALREADY_EXISTS: 400,
  INVALID_STATE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  RESOURCE_DOES_NOT_EXIST: 404,
  ENDPOINT_NOT_FOUND: 404,
  RESOURCE_CONFLICT: 409,
  REQUEST_LIMIT_EXCEEDED: 429,
  INTERNAL_ERROR: 500,
  NOT_IMPLEMENTED: 501,
  TEMPORARILY_UNAVAILABLE: 503,
} as const;
export type MlflowCode = keyof typeof statuses;

/** An error as MLflow's clients read it. */
export class MlflowError extends Error {
  readonly code: MlflowCode;

  constructor(code: MlflowCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** MLflow's code of the ledger's own errors, by their status: 4xx is not asked again, 429 and 503 are. */
const codeOf: Record<number, MlflowCode> = {
  400: "BAD_REQUEST",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "RESOURCE_DOES_NOT_EXIST",
  409: "RESOURCE_CONFLICT",
  410: "RESOURCE_DOES_NOT_EXIST",
  413: "INVALID_PARAMETER_VALUE",
  422: "INVALID_PARAMETER_VALUE",
  429: "REQUEST_LIMIT_EXCEEDED",
  503: "TEMPORARILY_UNAVAILABLE",
};

/** Any error in MLflow's form. */
export async function mlflowProblem(error: unknown, c: Context): Promise<Response> {
  if (error instanceof MlflowError)
    return c.json({ error_code: error.code, message: error.message }, statuses[error.code]);
  // problem() is the one place that knows what may be shown, and logs what is no known error.
  const shown = problem(error, c);
  const { detail } = await shown.json<{ detail: string }>();
  const code = codeOf[shown.status] ?? "INTERNAL_ERROR";
  // Clients try a 5xx again: what stays refused must not be one.
  const status = (
    shown.status === 422 || shown.status === 413 ? 400 : shown.status
  ) as ContentfulStatusCode;
  const retry = shown.headers.get("Retry-After");
  const faults =
    error instanceof ApiError && error.errors?.length
      ? `: ${error.errors
          .slice(0, 3)
          .map(({ path, message }) => `${path} ${message}`)
          .join("; ")}`
      : "";
  return c.json(
    { error_code: code, message: detail.includes(faults) ? detail : detail + faults },
    status,
    {
      ...(retry && { "Retry-After": retry }),
    },
  );
}

/** MLflow's id of a run: the task's number, in 32 digits. */
export const runIdOf = (taskId: number): string => String(taskId).padStart(32, "0");

/** The task of MLflow's id of a run, or null where it is none of the ledger's. */
export function taskOfRun(runId: string): number | null {
  if (!/^\d{1,32}$/.test(runId)) return null;
  const id = Number(runId);
  return Number.isSafeInteger(id) && id > 0 ? id : null;
}
