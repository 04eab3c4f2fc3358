import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ConfigError } from "../../env.ts";
import { DatabaseUnreachable } from "../db/client.ts";

/** One thing wrong with a body or query: where, and what to do about it. */
export type Fault = { path: string; message: string };

const titles: Record<number, string> = {
  400: "Bad request",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  410: "Gone",
  411: "Length required",
  412: "Changed meanwhile",
  413: "Too large",
  415: "Unsupported content type",
  416: "Range not satisfiable",
  422: "Not valid",
  429: "Too many requests",
  500: "Internal error",
  503: "Unavailable",
};

/**
 * An error that the client is told of. `code` is a stable word for programs (it ends the problem's
 * `type`), `extra` further members of the body.
 */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: string;
  readonly errors?: Fault[];
  readonly extra?: Record<string, unknown>;
  readonly headers?: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    code: string,
    detail: string,
    more: {
      errors?: Fault[];
      extra?: Record<string, unknown>;
      headers?: Record<string, string>;
    } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.errors = more.errors;
    this.extra = more.extra;
    this.headers = more.headers;
  }
}

export const notFound = (what: string) => new ApiError(404, "not-found", `There is no ${what}.`);

/** The chain of causes, since the database driver wraps what a fetch threw. */
function* causes(error: unknown): Generator<unknown> {
  for (let e = error, depth = 0; e && depth < 8; depth++) {
    yield e;
    e = e instanceof Error ? e.cause : undefined;
  }
}

function toApiError(error: unknown): ApiError {
  for (const cause of causes(error)) {
    if (cause instanceof ApiError) return cause;
    if (cause instanceof ConfigError) return new ApiError(503, "not-configured", cause.message);
    if (cause instanceof DatabaseUnreachable)
      return new ApiError(
        503,
        "database-unreachable",
        "The database cannot be reached just now. Nothing was lost; try again in a few seconds.",
        { headers: { "Retry-After": "3" } },
      );
  }
  return new ApiError(
    500,
    "internal",
    "Something went wrong on the server. The request can be repeated; if it keeps failing, see the Worker's log.",
  );
}

/** The only place that shapes an error's body: RFC 9457 problem details. */
export function problem(error: unknown, c: Context): Response {
  const known = toApiError(error);
  // Drivers put statements and values into their messages: the log gets the kind of fault and place.
  if (known.status === 500 && error instanceof Error)
    console.error(
      "unexpected fault",
      c.req.method,
      // The path of a public link is its secret.
      c.req.path.replace(/^\/share\/.+/, "/share/…"),
      error.name,
      error.stack?.split("\n    at").slice(1, 6).join(" <"),
    );
  return c.json(
    {
      type: `urn:lora-ledger:${known.code}`,
      title: titles[known.status] ?? "Error",
      status: known.status,
      detail: known.message,
      ...(known.errors && { errors: known.errors }),
      ...known.extra,
    },
    known.status,
    { "Content-Type": "application/problem+json", ...known.headers },
  );
}
