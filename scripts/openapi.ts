/** The API's description (OpenAPI 3.1), made from the schemas that validate. Alone: prints it. */
import { findTargetHandler } from "hono/utils/handler";
import { generateSpecs, resolver, uniqueSymbol } from "hono-openapi";
import * as z from "zod";
import { app } from "../src/app.ts";
import { type Described, type Documented, documented } from "../src/platform/http/described.ts";
import { problemAnswer } from "../src/platform/http/problem-answer.ts";
import { isTrackerPath } from "../src/trackers/paths.ts";
import { Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const about = `Records LoRA training runs: settings, data, hardware, losses, results and weights.

Every call below \`/api\` takes a key: \`Authorization: Bearer <key>\`. JSON in snake_case, times as
ISO 8601 UTC, numbers that are not finite as the strings \`"NaN"\`, \`"Infinity"\`, \`"-Infinity"\`.
Errors are \`application/problem+json\` (RFC 9457). Lists take \`limit\` and \`cursor\` and answer
\`{items, next_cursor}\`.`;

const tags: Record<string, string> = {
  Tasks: "Training runs: registering, finding, changing.",
  Runs: "What a box says while it trains: attempts, heartbeats, the end.",
  Statistics: "Aggregates, the best runs, and which settings go along with the result.",
  Views: "Ways to look at the runs, by name: one's own, and those shared with everyone.",
  Dialects:
    "How the files of a trainer that this ledger does not know are read: by a table that somebody wrote.",
  Boxes: "Machines that pull tasks: enrolling them, what they are doing.",
  Queue: "Tasks that wait for a box, and boxes that pull them.",
  Logs: "Loss curves and other metrics.",
  Datasets: "Facts about training data, never the data.",
  Weights: "Files that runs produced: upload, check, download.",
  Models: "From a folder of files to an approved model: versions, review, aliases, provenance.",
  Storage: "What files take, what is kept of them, and whether bucket and database agree.",
  "Signed URLs": "Addresses that carry their own permission, for bytes going up and down.",
  Alerts: "Events worth telling, the webhooks they are sent to, and how that went.",
  Mirrors:
    "Tracking servers elsewhere into which runs are written while they train, and how far each run is.",
  Users: "People, and what they may do.",
  Keys: "Keys for people and boxes.",
  Audit: "Who did what to which row.",
  Service: "Health, the Python client, this description.",
};

type Options = NonNullable<Parameters<typeof generateSpecs>[1]>;
type Schemas = NonNullable<NonNullable<Options["documentation"]>["components"]>["schemas"];

const { $schema: _, ...problemSchema } = z.toJSONSchema(problemAnswer, { io: "input" });

const problem = (description: string) => ({
  description,
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
});

/** A route's description in OpenAPI's own terms. */
function operationOf({ summary, description, tag, answer, body, errors, open }: Described) {
  const always = {
    401: "No key, or one that is not valid.",
    429: "Too many requests; `Retry-After` says when to go on.",
  };
  const refusals = { ...(open ? {} : always), ...errors };
  const bytes = { type: "string", format: "binary" } as const;
  return {
    summary,
    description,
    tags: [tag],
    ...(open && { security: [] }),
    ...(body && {
      requestBody: {
        required: true,
        content: Object.fromEntries(
          Object.entries(body).map(([type, { schema, example }]) => [
            type,
            {
              schema: schema ? resolver(schema) : bytes,
              ...(example !== undefined && { example }),
            },
          ]),
        ),
      },
    }),
    responses: {
      ...(answer
        ? {
            200: {
              description: answer.description,
              ...(answer.content !== null && {
                content: {
                  [answer.content ?? "application/json"]: {
                    ...(answer.schema && { schema: resolver(answer.schema) }),
                    ...(answer.example !== undefined && { example: answer.example }),
                  },
                  ...(answer.json && { "application/json": { schema: resolver(answer.json) } }),
                  ...Object.fromEntries(
                    (answer.also ?? []).map((type) => [type, { schema: bytes }]),
                  ),
                },
              }),
            },
          }
        : { 204: { description: "Done." } }),
      ...Object.fromEntries(
        Object.entries(refusals).map(([status, why]) => [
          status,
          typeof why === "object"
            ? {
                description: why.description,
                content: { "application/json": { schema: resolver(why.schema) } },
              }
            : Number(status) >= 400
              ? problem(why)
              : { description: why },
        ]),
      ),
    },
  };
}

/** Gives the generator, on the route's handlers, what our middlewares say of themselves. */
function translate(handler: object & { [documented]?: Documented }) {
  const said = handler[documented];
  if (said)
    Object.assign(handler, {
      [uniqueSymbol]:
        "description" in said
          ? { spec: operationOf(said.description) }
          : { target: said.target, ...resolver(said.schema) },
    });
}

/** A static file, which the platform serves before the Worker is asked. */
const file = (operationId: string, summary: string, type: string) => ({
  get: {
    operationId,
    summary,
    tags: ["Service"],
    security: [],
    responses: { 200: { description: "The file.", content: { [type]: {} } } },
  },
});

/**
 * Patterns as every dialect of regular expressions reads them: JSON Schema names none that knows `\p{…}`.
 * Control characters have their ranges; a pattern that names letters of all scripts is told in words.
 */
function portable(node: unknown): void {
  if (typeof node !== "object" || node === null) return;
  const schema = node as {
    pattern?: unknown;
    description?: string;
    prefixItems?: unknown;
    items?: unknown;
  };
  // Many tools of today know no prefixItems: a tuple is a list of so many of any of its kinds.
  if (Array.isArray(schema.prefixItems)) {
    const kinds = new Map(schema.prefixItems.map((kind) => [JSON.stringify(kind), kind]));
    schema.items = kinds.size === 1 ? schema.prefixItems[0] : { anyOf: [...kinds.values()] };
    delete schema.prefixItems;
  }
  if (typeof schema.pattern === "string" && schema.pattern.includes("\\p{")) {
    const pattern = schema.pattern.replaceAll("\\p{Cc}", "\\u0000-\\u001f\\u007f-\\u009f");
    if (pattern.includes("\\p{")) {
      delete schema.pattern;
      schema.description ??= "Letters and digits of any script, and some signs within.";
    } else schema.pattern = pattern;
  }
  for (const value of Object.values(node)) portable(value);
}

/** The document. Throws Trouble naming every route of the app that is not described. */
export async function describeApi() {
  for (const route of app.routes)
    if (!isTrackerPath(route.path)) translate(findTargetHandler(route.handler));
  const document = await generateSpecs(app, {
    defaultValidationErrorResponse: false,
    excludeStaticFile: false,
    documentation: {
      info: { title: "LoRA Ledger", version: "1", description: about, license: { name: "MIT" } },
      servers: [{ url: "/" }],
      security: [{ key: [] }],
      tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: { key: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
        // OpenAPI 3.1 takes JSON Schema as it is, which the generator's types do not say.
        schemas: { Problem: problemSchema } as Schemas,
      },
      paths: {
        "/client.py": file("getClient", "The Python client as one file", "text/x-python"),
        "/openapi.json": file("getOpenApi", "This description", "application/json"),
      },
    },
  });
  const faults = new Set<string>();
  for (const { method, path } of app.routes) {
    if (method === "ALL" || isTrackerPath(path)) continue;
    const described = document.paths[path.replaceAll(/:(\w+)(\{[^}]*\})?\??/g, "{$1}")];
    const operation = described?.[method.toLowerCase() as "get"];
    if (!operation?.summary) faults.add(`${method} ${path} is not described`);
    for (const tag of operation?.tags ?? [])
      if (!tags[tag]) faults.add(`${method} ${path}: the tag ${tag} has no description`);
  }
  for (const item of Object.values(document.paths))
    for (const method of ["get", "put", "post", "patch", "delete"] as const) {
      const operation = item?.[method];
      if (!operation) continue;
      const validated =
        operation.requestBody || operation.parameters?.some((p) => !("in" in p) || p.in !== "path");
      operation.responses = {
        ...operation.responses,
        ...(validated &&
          !operation.responses?.["422"] && {
            422: problem("Refused; `errors` names each fault, and nothing was stored."),
          }),
        default: problem("Any other fault."),
      };
    }
  portable(document);
  if (faults.size) throw new Trouble(`openapi.json cannot be made:\n  ${[...faults].join("\n  ")}`);
  return document;
}

if (isMain(import.meta.url))
  await main(async () => console.log(JSON.stringify(await describeApi(), null, 2)));
