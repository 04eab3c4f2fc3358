import { zValidator } from "@hono/zod-validator";
import type { HonoRequest, MiddlewareHandler, ValidationTargets } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { type Kept, type Redaction, redactBody } from "../secrets/redact.ts";
import { type Described, documented } from "./described.ts";
import { type Fault, refuse } from "./problem.ts";
import { hasControls, isUnclean, parseClean } from "./text.ts";

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
  refuse(
    "not-valid",
    {
      case: "faults",
      what,
      faults: `${errors
        .slice(0, 3)
        .map((e) => (e.path ? `${e.path}: ${e.message}` : e.message))
        .join("; ")}${errors.length > 3 ? ` (and ${errors.length - 3} more)` : ""}`,
    },
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
    await cleanBody(c.req);
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

/** Refuses a body that is hostile as JSON, and lets the validator read it with clean texts. */
async function cleanBody(request: HonoRequest) {
  const text = await request.text();
  const value = parseJson(text);
  // The cache holds promises, which its type does not say.
  if (isUnclean(text))
    Object.assign(request.bodyCache, { text: Promise.resolve(JSON.stringify(value)) });
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

/**
 * Parses a JSON text that may be hostile: its texts come clean, as cleanText says. Throws ApiError
 * 400 or 422.
 */
export function parseJson(text: string): unknown {
  if (jsonDepth(text) > MAX_DEPTH)
    throw notValid([{ path: "", message: `nests deeper than ${MAX_DEPTH} levels` }], "The body");
  try {
    return parseClean(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "";
    throw refuse("malformed-json", { reason });
  }
}

/** Refuses addresses that hold control characters, in their path or their query. */
export const cleanAddress: MiddlewareHandler = async (c, next) => {
  if (hasControls(c.req.url))
    throw notValid([{ path: "", message: "holds a control character" }], "The address");
  await next();
};

/** Refuses bodies over `bytes` with 413, whether they announce their length or not. */
export const limitBody = (bytes: number): MiddlewareHandler =>
  bodyLimit({
    maxSize: bytes,
    onError: () => {
      throw refuse("too-large", { case: "body", limit: bytes });
    },
  });

/** Describes a route for OpenAPI; bodies and queries come from validate(), or from `body`. */
export const describe = (description: Described): MiddlewareHandler =>
  Object.assign<MiddlewareHandler, object>((_, next) => next(), {
    [documented]: { description },
  });
