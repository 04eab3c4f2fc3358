import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ConfigError } from "../../env.ts";
import type { MistakeCode, MistakeParams } from "../../shared/mistakes.ts";
import {
  type ProblemCode,
  type ProblemParams,
  problems,
  sentenceOf,
} from "../../shared/problems.ts";
import { fillIn, type ParamValue } from "../../shared/sentence.ts";
import { DatabaseUnreachable } from "../db/client.ts";

/**
 * One thing wrong with a body or query: where, and what to do about it. A mistake of shared/mistakes.ts
 * brings its code and parameters along.
 */
export type Fault = {
  path: string;
  message: string;
  code?: MistakeCode;
  params?: MistakeParams;
};

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

type More = {
  /** Where the code's own status does not fit. */
  status?: ContentfulStatusCode;
  errors?: Fault[];
  /** Further members of the body. */
  extra?: Record<string, unknown>;
  headers?: Record<string, string>;
};

/** An error that the client sees, by a code of shared/problems.ts; refuse() makes it. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: ProblemCode;
  readonly params: Readonly<Record<string, ParamValue>>;
  readonly errors?: Fault[];
  readonly extra?: Record<string, unknown>;
  readonly headers?: Record<string, string>;

  constructor(code: ProblemCode, params: Readonly<Record<string, ParamValue>>, more: More) {
    super(fillIn(sentenceOf(code, params)?.[0] ?? code, params));
    this.status = more.status ?? problems[code].status;
    this.code = code;
    this.params = params;
    this.errors = more.errors;
    this.extra = more.extra;
    this.headers = more.headers;
  }
}

/** The error to throw for a code, with the parameters of its sentence. */
export const refuse = <Code extends ProblemCode>(
  code: Code,
  params: ProblemParams<Code>,
  more: More = {},
): ApiError => new ApiError(code, params as Readonly<Record<string, ParamValue>>, more);

type NotFound = ProblemParams<"not-found">;

/** The 404 for one thing that is not there, or not the caller's. */
export const notFound = <Case extends NotFound["case"]>(
  name: Case,
  params: Omit<Extract<NotFound, { case: Case }>, "case">,
): ApiError => new ApiError("not-found", { case: name, ...params }, {});

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
    if (cause instanceof ConfigError) return refuse("not-configured", { reason: cause.message });
    if (cause instanceof DatabaseUnreachable)
      return refuse("database-unreachable", {}, { headers: { "Retry-After": "3" } });
  }
  return refuse("internal", {});
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
      code: known.code,
      params: known.params,
      ...(known.errors && { errors: known.errors }),
      ...known.extra,
    },
    known.status,
    { "Content-Type": "application/problem+json", ...known.headers },
  );
}
