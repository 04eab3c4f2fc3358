import { zValidator } from "@hono/zod-validator";
import type { MiddlewareHandler, ValidationTargets } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { type Kept, type Redaction, redactBody } from "../secrets/redact.ts";
import { type Described, documented } from "./described.ts";
import { ApiError, type Fault } from "./problem.ts";

/** A fault's place as people write it: `logs[3].metrics.loss`. */
export const faultPath = (path: readonly PropertyKey[]) =>
  path.reduce<string>(
    (text, part) =>
      typeof part === "number"
        ? `${text}[${part}]`
        : text
          ? `${text}.${String(part)}`
          : String(part),
    "",
  );

/** zod's issues as faults; a key nobody knows is named itself. */
export function faultsOf(error: z.core.$ZodError): Fault[] {
  return error.issues.slice(0, 50).flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          path: faultPath([...issue.path, key]),
          message: "is not a known field",
        }))
      : [{ path: faultPath(issue.path), message: issue.message }],
  );
}

export const notValid = (errors: Fault[], what = "The request") =>
  new ApiError(
    422,
    "not-valid",
    `${what} was refused and nothing was stored: ${errors
      .slice(0, 3)
      .map((e) => (e.path ? `${e.path}: ${e.message}` : e.message))
      .join("; ")}${errors.length > 3 ? ` (and ${errors.length - 3} more)` : ""}.`,
    { errors },
  );

/**
 * Validates one part of a request; the one place where zValidator is called. The schema is also
 * what the route's OpenAPI description is made from. Refusals are 422 with a fault a place.
 *
 * Secrets in a JSON body become `[redacted]`, and `X-Redacted` says where. `keep` names the fields
 * that must arrive as they are: those that the service needs a secret of, and long lists of numbers.
 */
export function validate<T extends z.ZodType, Target extends keyof ValidationTargets>(
  target: Target,
  schema: T,
  keep: Kept = [],
) {
  const middleware = zValidator(target, schema, (result) => {
    if (!result.success) throw notValid(faultsOf(result.error));
  });
  const guarded: typeof middleware = async (c, next) => {
    if (target !== "json") return middleware(c, next);
    parseJson(await c.req.text());
    return middleware(c, async () => {
      // Its types stay: texts take the place of texts.
      const { body, redactions } = redactBody(c.req.valid(target) as object, keep);
      if (redactions.length > 0) {
        c.req.addValidatedData(target, body);
        c.header("X-Redacted", placesOf(redactions));
      }
      await next();
    });
  };
  return Object.assign(guarded, { [documented]: { target, schema } });
}

/** Where something was replaced, as a header can say it. */
export const placesOf = (redactions: Redaction[]) =>
  redactions
    .slice(0, 20)
    .map(({ where }) => where.slice(0, 100).replace(/[^ -~]|,/g, "?"))
    .join(", ");

const MAX_DEPTH = 64;

/** How deep brackets nest in a JSON text, strings left out. */
function jsonDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 92) i++;
      else if (c === 34) inString = false;
    } else if (c === 34) inString = true;
    else if (c === 91 || c === 123) deepest = Math.max(deepest, ++depth);
    else if (c === 93 || c === 125) depth--;
  }
  return deepest;
}

/** Parses a JSON text that may be hostile; throws ApiError 400 or 422. */
export function parseJson(text: string): unknown {
  if (jsonDepth(text) > MAX_DEPTH)
    throw notValid([{ path: "", message: `nests deeper than ${MAX_DEPTH} levels` }], "The body");
  if (/(?<!\\)(?:\\\\)*\\u0000/.test(text) || text.includes("\0"))
    throw notValid([{ path: "", message: "holds a NUL character" }], "The body");
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "";
    throw new ApiError(400, "malformed-json", `The body is not valid JSON: ${reason}`);
  }
}

/** Refuses bodies over `bytes` with 413, whether they announce their length or not. */
export const limitBody = (bytes: number): MiddlewareHandler =>
  bodyLimit({
    maxSize: bytes,
    onError: () => {
      throw new ApiError(
        413,
        "too-large",
        `The body is over ${bytes} bytes, the most this route takes.`,
      );
    },
  });

/** Describes a route for OpenAPI; bodies and queries come from validate(), or from `body`. */
export const describe = (description: Described): MiddlewareHandler =>
  Object.assign<MiddlewareHandler, object>((_, next) => next(), {
    [documented]: { description },
  });
