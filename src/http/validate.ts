import { zValidator } from "@hono/zod-validator";
import type { MiddlewareHandler, ValidationTargets } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeRoute, resolver, uniqueSymbol } from "hono-openapi";
import type { z } from "zod";
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
 */
export function validate<T extends z.ZodType, Target extends keyof ValidationTargets>(
  target: Target,
  schema: T,
) {
  const middleware = zValidator(target, schema, (result) => {
    if (!result.success) throw notValid(faultsOf(result.error));
  });
  const guarded: typeof middleware = async (c, next) => {
    if (target === "json") parseJson(await c.req.text());
    return middleware(c, next);
  };
  return Object.assign(guarded, { [uniqueSymbol]: { target, ...resolver(schema) } });
}

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

type Described = {
  summary: string;
  description?: string;
  tag: string;
  /** Schema and meaning of the 200 answer; none means 204. */
  answer?: { schema?: z.ZodType; description: string; content?: string; example?: unknown };
  /** Statuses besides 200 or 204 that a caller should expect, with why. */
  errors?: Partial<Record<302 | 400 | 403 | 404 | 409 | 410 | 412 | 413 | 416 | 422 | 503, string>>;
  /** Routes that take no key. */
  open?: boolean;
};

/** Describes a route for OpenAPI; bodies and queries come from validate(). */
export function describe({ summary, description, tag, answer, errors, open }: Described) {
  const problems = { ...(open ? {} : { 401: "No key, or one that is not valid." }), ...errors };
  return describeRoute({
    summary,
    description,
    tags: [tag],
    ...(open && { security: [] }),
    responses: {
      ...(answer
        ? {
            200: {
              description: answer.description,
              content: {
                [answer.content ?? "application/json"]: {
                  ...(answer.schema && { schema: resolver(answer.schema) }),
                  ...(answer.example !== undefined && { example: answer.example }),
                },
              },
            },
          }
        : { 204: { description: "Done." } }),
      ...Object.fromEntries(
        Object.entries(problems).map(([status, why]) => [
          status,
          {
            description: why,
            ...(Number(status) >= 400 && {
              content: {
                "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
              },
            }),
          },
        ]),
      ),
    },
  });
}
