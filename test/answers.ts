// Holds each answer to what its route publishes: the status, the content type, and for JSON the
// schema, strictly. Both harnesses ask it about every answer that they see.
import type { Hono } from "hono";
import { findTargetHandler } from "hono/utils/handler";
import { getPath } from "hono/utils/url";
import type * as z from "zod";
import { type Described, type Documented, documented } from "../src/platform/http/described.ts";
import { problemAnswer } from "../src/platform/http/problem-answer.ts";
import { faultPath } from "../src/platform/http/validate.ts";
import { isTrackerPath } from "../src/trackers/paths.ts";

/** What the check needs of an app: the router that finds a route for a request. */
export type Routed = Pick<Hono, "router">;

/** The route that answers a request, as its router finds it, and what the route says of itself. */
function routeOf(app: Routed, method: string, path: string) {
  const [matches] = app.router.match(method === "HEAD" ? "GET" : method, path);
  for (const [[handler, route]] of matches) {
    const target: object & { [documented]?: Documented } = findTargetHandler(handler);
    const said = target[documented];
    if (said && "description" in said)
      return { name: `${route.method} ${route.path}`, described: said.description };
  }
  return null;
}

/** The first place where two JSON values differ; undefined where they are equal. */
function firstDifference(
  sent: unknown,
  parsed: unknown,
  at: PropertyKey[] = [],
): { path: PropertyKey[]; why: string } | undefined {
  if (Object.is(sent, parsed)) return;
  const objects = [sent, parsed].every((value) => typeof value === "object" && value !== null);
  if (!objects || Array.isArray(sent) !== Array.isArray(parsed))
    return { path: at, why: `is ${JSON.stringify(sent)}, not as the schema has it` };
  const [from, to] = [sent as Record<string, unknown>, parsed as Record<string, unknown>];
  for (const name of Object.keys(from)) {
    // A parsed copy never has a field of this name: it would set the copy's prototype.
    if (name === "__proto__") continue;
    const path = [...at, Array.isArray(sent) ? Number(name) : name];
    if (!Object.hasOwn(to, name)) return { path, why: "is a field that the schema does not have" };
    const inside = firstDifference(from[name], to[name], path);
    if (inside) return inside;
  }
  const missing = Object.keys(to).find((name) => to[name] !== undefined && !(name in from));
  return missing === undefined ? undefined : { path: [...at, missing], why: "is missing" };
}

/** What is wrong with a body of JSON by a schema: one line a fault. Without a body, nothing is. */
function faultsOfBody(schema: z.ZodType | undefined, body: string | null): string[] {
  if (!schema) return ["is JSON, and the route publishes no schema for it"];
  if (body === null) return [];
  let sent: unknown;
  try {
    sent = JSON.parse(body);
  } catch (error) {
    return [`is not JSON: ${error instanceof Error ? error.message : error}`];
  }
  const parsed = schema.safeParse(sent);
  if (!parsed.success)
    return parsed.error.issues
      .slice(0, 10)
      .map(({ path, message }) => `${faultPath(path) || "(all)"}: ${message}`);
  // A schema drops fields that it does not know, and fills in defaults: both are faults of an answer.
  const difference = firstDifference(sent, parsed.data);
  return difference ? [`${faultPath(difference.path) || "(all)"}: ${difference.why}`] : [];
}

/** What is wrong with an answer; `text` reads its body, null where there is none to read. */
async function faultsIn(
  described: Described | undefined,
  { status, headers }: Response,
  text: () => Promise<string | null>,
): Promise<string[]> {
  const type = headers.get("Content-Type")?.split(";")[0]?.trim() ?? null;
  const { answer, errors = {} } = described ?? {};
  const other = errors[status as keyof typeof errors];

  if (status >= 400 && typeof other !== "object")
    return type === "application/problem+json"
      ? faultsOfBody(problemAnswer, await text())
      : [`has the content type ${type}`];
  // The dashboard's one page is all that answers where no route does.
  if (!described) return type === "text/html" ? [] : ["is not described by any route"];
  if (typeof other === "string")
    // A part of a file, or a redirect: never JSON, whose schema nobody would know.
    return type === "application/json" ? ["is JSON, and the route publishes no schema for it"] : [];
  if (other === undefined && status !== (answer ? 200 : 204))
    return ["has a status that the route does not publish"];

  const published: Described["answer"] = other ?? answer;
  const types =
    published && published.content !== null
      ? [
          published.content ?? "application/json",
          ...(published.json ? ["application/json"] : []),
          ...(published.also ?? []),
        ]
      : [null];
  if (!types.some((name) => name === type || (name && type && isWithin(type, name))))
    return [`has the content type ${type}, and the route publishes ${types.join(", ") || "none"}`];
  return type === "application/json"
    ? faultsOfBody(published?.json ?? published?.schema, await text())
    : [];
}

/** Whether a content type is one of a range such as `image/*`. */
const isWithin = (type: string, range: string) =>
  range.endsWith("/*") && type.startsWith(range.slice(0, -1));

/** Throws on an answer that its route does not publish; leaves the answer's body to be read. */
export async function checkAnswer(app: Routed, request: Request, response: Response) {
  // Other trackers' protocols are held by their own clients.
  if (isTrackerPath(getPath(request))) return;
  const route = routeOf(app, request.method, getPath(request));
  const text = async () => {
    if (request.method === "HEAD") return null;
    try {
      return await response.clone().text();
    } catch {
      // The body broke off, maybe on purpose: the test that reads it sees that.
      return null;
    }
  };
  const faults = await faultsIn(route?.described, response, text);
  if (faults.length)
    throw new Error(
      `${route?.name ?? `${request.method} ${getPath(request)}`} answers ${response.status}, against what it publishes:\n  ${faults.join("\n  ")}`,
    );
}
