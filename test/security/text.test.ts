// Sends every route bodies, queries, paths and headers of characters and numbers that no honest
// client sends, each in a request that is right otherwise. No answer may be a fault of the server.
import { findTargetHandler } from "hono/utils/handler";
import { beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { app } from "../../src/app.ts";
import { type Documented, documented } from "../../src/platform/http/described.ts";
import { cutText } from "../../src/platform/http/text.ts";
import { freshLedger, type Ledger } from "../harness.ts";
import { type Asked, openRoutes, type RouteRights, routeTable, rowsOf } from "../route-table.ts";

type Schema = z.core.JSONSchema.BaseSchema;
type Path = (string | number)[];

let ledger: Ledger;
let admin: { key: string; userId: number; keyId: number };

beforeAll(async () => {
  ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true" });
  admin = await ledger.key({ role: "admin" });
});

/** What a route says of a part of its requests, as JSON Schema; undefined where it takes none. */
function schemaOf(name: string, part: "json" | "query"): Schema | undefined {
  for (const route of app.routes) {
    if (`${route.method} ${route.path}` !== name) continue;
    const handler: object & { [documented]?: Documented } = findTargetHandler(route.handler);
    const said = handler[documented];
    if (!said) continue;
    const schema =
      "description" in said
        ? part === "json" && said.description.body?.["application/json"]?.schema
        : said.target === part && said.schema;
    if (schema) return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  }
  return undefined;
}

/** The shapes that a schema allows, its references followed. */
function shapesOf(schema: Schema, root: Schema): Schema[] {
  if (schema.$ref) {
    const definition = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    return schema.$ref === "#" ? [root] : definition ? shapesOf(definition, root) : [];
  }
  const choices = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  const shapes = choices.flatMap((one) => (typeof one === "object" ? shapesOf(one, root) : []));
  return choices.length ? shapes : [schema];
}

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null;

/** The smallest value that a schema takes, as far as it says. */
function sampleOf(schema: Schema, root: Schema): unknown {
  const [shape] = shapesOf(schema, root);
  if (!shape) return "a";
  if (shape.const !== undefined) return shape.const;
  if (shape.enum?.length) return shape.enum[0];
  switch (shape.type) {
    case "object":
      return Object.fromEntries(
        (shape.required ?? []).map((name) => {
          const inner = shape.properties?.[name];
          return [name, isSchema(inner) ? sampleOf(inner, root) : "a"];
        }),
      );
    case "array":
      return Array.from({ length: shape.minItems ?? 0 }, () =>
        isSchema(shape.items) ? sampleOf(shape.items, root) : "a",
      );
    case "integer":
    case "number":
      return Math.max(1, shape.minimum ?? 1);
    case "boolean":
      return false;
    case "null":
      return null;
    default:
      return shape.format === "date-time" ? "2026-01-01T00:00:00Z" : "a";
  }
}

type Place = { path: Path; schema: Schema };

/** The places of a body where a text or a number may stand; the last one of a record is its key. */
function placesOf(schema: Schema, root: Schema, path: Path = []): Place[] {
  if (path.length > 5) return [];
  return shapesOf(schema, root).flatMap((shape) => {
    if (shape.type === "object") {
      const named = Object.entries(shape.properties ?? {}).flatMap(([name, inner]) =>
        isSchema(inner) ? placesOf(inner, root, [...path, name]) : [],
      );
      const any = shape.additionalProperties;
      const others = isSchema(any)
        ? placesOf(Object.keys(any).length ? any : { type: "string" }, root, [...path, "other"])
        : [];
      return [...named, ...others];
    }
    if (shape.type === "array")
      return isSchema(shape.items) ? placesOf(shape.items, root, [...path, 0]) : [];
    if (shape.type === "string" || shape.type === "integer" || shape.type === "number")
      return [{ path, schema: shape }];
    return Object.keys(shape).length === 0 ? [{ path, schema: { type: "string" } }] : [];
  });
}

/** A body with a value at a place; what has to stand around it is made up. */
function withValue(
  body: unknown,
  path: Path,
  value: unknown,
  schema: Schema,
  root: Schema,
): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  const shapes = shapesOf(schema, root);
  const shape =
    shapes.find(({ properties, items }) =>
      typeof part === "number" ? items !== undefined : properties?.[part] !== undefined,
    ) ?? shapes.find(({ additionalProperties }) => isSchema(additionalProperties));
  const inner =
    typeof part === "number"
      ? shape?.items
      : (shape?.properties?.[part] ?? shape?.additionalProperties);
  const innerSchema = isSchema(inner) ? inner : {};
  if (typeof part === "number") {
    const list = Array.isArray(body) ? body : [];
    return [withValue(list[0], rest, value, innerSchema, root), ...list.slice(1)];
  }
  const begun =
    typeof body === "object" && body !== null && !Array.isArray(body)
      ? body
      : Object(sampleOf(shape ?? {}, root));
  return { ...begun, [part]: withValue(begun[part], rest, value, innerSchema, root) };
}

const texts = [
  "\ud800",
  "a\udfffb",
  "\0",
  "a\0b",
  "\u202eevil\u202c",
  "\u001b[2J\u007f\u0085",
  "\ufffe\uffff",
  "😀".repeat(40),
  "é".repeat(3000),
  "x".repeat(100_000),
  "'; drop table user; --",
  '"\\',
  "NaN",
  "-Infinity",
  "9".repeat(400),
  "__proto__",
];
/** Numbers as they stand in a body: JavaScript could not hold some of them. */
const numbers = [
  "1e400",
  "-1e400",
  "-0",
  "9007199254740993",
  "-9223372036854775809",
  "123456789012345678901234567890",
  "1.7976931348623157e308",
  "5e-324",
  "0.1",
  "-1",
  '"NaN"',
  '"Infinity"',
];
const inQueries = [
  "%00",
  "%ED%A0%80",
  "%FF%FE",
  "%E2%80%AE",
  "%1B%5B",
  "%F0%9F%98%80",
  "%27%22%5C%25",
  "x".repeat(7000),
  "1e400",
  "-0",
  "9007199254740993",
  "NaN",
  "-1",
  "%20",
  "__proto__",
];

/** The next of a list, so that all of them come up the same on each run. */
function inTurn<T>(values: readonly T[]) {
  let next = 0;
  return (count: number): T[] =>
    Array.from({ length: count }, () => values[next++ % values.length] as T);
}

const MARK = "@@number@@";
const asJson = (body: unknown, number?: string) =>
  number === undefined
    ? JSON.stringify(body)
    : JSON.stringify(body).replaceAll(JSON.stringify(MARK), number);

async function send({ path, json: _, shows: __, ...asked }: Asked, body?: string) {
  const response = await ledger.request(path, {
    ...asked,
    key: admin.key,
    ...(body !== undefined && { body, headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  return response.status >= 500 ? `${response.status} ${cutText(text, 0, 200)}` : null;
}

/** Works several off at a time, and gives what came of them. */
async function several<T>(jobs: (() => Promise<T>)[], atOnce = 6): Promise<T[]> {
  const results: T[] = [];
  const rest = jobs.values();
  const work = async () => {
    for (const job of rest) results.push(await job());
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

const ask = (route: RouteRights) => route.ask(rowsOf(ledger, admin));
/** As `ask`, about the same rows each time where the request only reads them. */
function asking(name: string, route: RouteRights): () => Promise<Asked> {
  if (!name.startsWith("GET ")) return async () => ask(route);
  let asked: Promise<Asked> | Asked | undefined;
  return async () => {
    asked ??= ask(route);
    return asked;
  };
}
const routes = Object.entries(routeTable);

describe("characters and numbers that no honest client sends", () => {
  it("reach every field of every body without a fault", async () => {
    const someTexts = inTurn(texts);
    const someNumbers = inTurn(numbers);
    let fields = 0;
    const jobs = routes.flatMap(([name, route]) => {
      const schema = schemaOf(name, "json");
      if (!schema) return [];
      return placesOf(schema, schema).flatMap(({ path, schema: { type } }) => {
        fields++;
        const values: { value: unknown; number?: string }[] =
          type === "string"
            ? ["\ud800", ...someTexts(2)].map((value) => ({ value }))
            : someNumbers(3).map((number) => ({ value: MARK, number }));
        return values.map(({ value, number }) => async () => {
          const asked = await ask(route);
          const body = withValue(asked.json ?? {}, path, value, schema, schema);
          const fault = await send(asked, asJson(body, number));
          return (
            fault &&
            `${name} ${path.join(".")} = ${number ?? cutText(JSON.stringify(value), 0, 40)}: ${fault}`
          );
        });
      });
    });
    expect(fields).toBeGreaterThan(150);
    expect((await several(jobs)).filter(Boolean)).toEqual([]);
  }, 120_000);

  it("reach names that a body chooses itself", async () => {
    const { key } = admin;
    const rows = rowsOf(ledger, admin);
    const id = await rows.task({ status: "running", attempt: 1 });
    const faults = await several(
      texts.flatMap((name) => {
        const bodies: [path: string, body: unknown][] = [
          [
            "/api/tasks",
            { task_name: "a", tags: { [name]: "x" }, [name]: 1, more: { [name]: [name] } },
          ],
          [
            "/api/tasks",
            { config_snapshot: { [name]: name }, node_info: { [name]: { [name]: 1 } } },
          ],
          ["/api/tasks", { config: { text: `a = ${JSON.stringify(name)}`, format: "toml" } }],
          [
            "/api/tasks",
            {
              config: {
                text: JSON.stringify({ [name]: name, rank: 4, task_name: name }),
                path: name,
              },
            },
          ],
          [
            "/api/tasks",
            {
              config: {
                text: `task_name: ${JSON.stringify(name)}\nrank: 4\nlr: 1\n`,
                format: "yaml",
              },
            },
          ],
          [
            "/api/tasks",
            { command: ["python", "train_network.py", `--output_name=${name}`, name] },
          ],
          ["/api/tasks", { datasets: [{ name: `d${name}`, tag_distribution: { [name]: 1 } }] }],
          [
            `/api/tasks/${id}/heartbeat`,
            { seq: 1, logs: [{ step: 1, metrics: { [name]: 1 } }], progress: { [name]: name } },
          ],
        ];
        return bodies.map(([path, body]) => async () => {
          const fault = await send({ method: "POST", path }, JSON.stringify(body));
          return fault && `${path} ${cutText(JSON.stringify(body), 0, 80)}: ${fault}`;
        });
      }),
    );
    expect(faults.filter(Boolean)).toEqual([]);
    // All of it can be read again.
    for (const path of ["/api/tasks?limit=200", "/api/stats/tasks?group_by=config.a,config.rank"])
      expect((await ledger.request(path, { key })).status, path).toBe(200);
  }, 120_000);

  it("reach every parameter of every query and path without a fault", async () => {
    const values = inTurn(inQueries);
    const jobs = routes.flatMap(([name, route]) => {
      const schema = schemaOf(name, "query");
      const names = schema
        ? shapesOf(schema, schema).flatMap((s) => Object.keys(s.properties ?? {}))
        : [];
      const pattern = name.slice(name.indexOf(" ") + 1).split("/");
      const request = asking(name, route);
      return [
        ...names.flatMap((parameter) => values(4).map((value) => ({ parameter, value }))),
        ...pattern.flatMap((segment, place) =>
          segment.startsWith(":") ? values(5).map((value) => ({ place, value })) : [],
        ),
      ].map((change) => async () => {
        const asked = await request();
        const [path = "", query = ""] = asked.path.split("?");
        const parts = path.split("/");
        if ("place" in change) parts[change.place] = change.value;
        const more =
          "parameter" in change ? `${query && "&"}${change.parameter}=${change.value}` : "";
        const target = `${parts.join("/")}?${query}${more}`;
        const body = asked.json === undefined ? undefined : JSON.stringify(asked.json);
        const fault = await send({ ...asked, path: target }, body);
        return fault && `${name} ${target.slice(0, 120)}: ${fault}`;
      });
    });
    expect((await several(jobs)).filter(Boolean)).toEqual([]);
  }, 120_000);

  it("reach headers without a fault", async () => {
    const headers = {
      "Idempotency-Key": `%00%ED%A0%80"'\\${"k".repeat(5000)}`,
      "If-Match": `"${"9".repeat(400)}"`,
      "If-None-Match": `W/"\\", *, ${'"'.repeat(500)}`,
      "User-Agent": "%00 ' \" \\ {}",
      "Accept-Language": "x".repeat(5000),
      Range: "bytes=99999999999999999999-",
      Cookie: "__Host-session=%00.%ED%A0%80.; a=%00",
    };
    const faults = await several(
      routes.map(([name, route]) => async () => {
        const asked = await ask(route);
        const { path, json, shows: _, ...sent } = asked;
        const response = await ledger.request(path, { ...sent, json, key: admin.key, headers });
        const text = await response.text();
        return response.status >= 500 && `${name}: ${response.status} ${cutText(text, 0, 200)}`;
      }),
    );
    expect(faults.filter(Boolean)).toEqual([]);
  }, 60_000);

  it("reach what takes no key without a fault", async () => {
    const jobs = openRoutes.flatMap((name) => {
      const [method = "", path = ""] = name.split(" ");
      return inQueries.map((value) => async () => {
        const target = path.replace(/:\w+(\{.*\})?/, value);
        const response = await ledger.request(target, {
          method,
          ...(method !== "GET" && { body: JSON.stringify({ key: "\ud800", token: "\0" }) }),
          headers: { "Content-Type": "application/json" },
        });
        await response.text();
        return response.status >= 500 && `${name} ${value}: ${response.status}`;
      });
    });
    expect((await several(jobs)).filter(Boolean)).toEqual([]);
  });
});

describe("texts", () => {
  const register = (json: object) => ledger.call("/api/tasks", { key: admin.key, json });

  it("are stored with U+FFFD for what no text holds, tabs and line ends left alone", async () => {
    const { task } = await register({
      task_name: "a\ud800b\0c",
      notes: "one\ttwo\r\nthree\u001b[31m😀",
      tags: { "k\udfff": "v\u0085" },
      extra: { "n\0": ["\ud800"] },
    });
    expect(task).toMatchObject({
      task_name: "a\ufffdb\ufffdc",
      notes: "one\ttwo\r\nthree\ufffd[31m😀",
      tags: { "k\ufffd": "v\ufffd" },
      additional_args: { extra: { "n\ufffd": ["\ufffd"] } },
    });
  });

  it("of a file stay byte for byte, and are clean where they were read from it", async () => {
    const text =
      'task_name = "a\\u0007b"\nlora_rank = 4\nlearning_rate = 1e-4\nnote = "\\u0000"\f\n'.replace(
        "\f",
        "",
      );
    const { task_id, task } = await register({ config: { text, format: "toml" } });
    expect(task.task_name).toBe("a\ufffdb");
    const full = await ledger.call(`/api/tasks/${task_id}`, { key: admin.key });
    expect(full.config_snapshot.note).toBe("\ufffd");
    const file = await ledger.request(`/api/tasks/${task_id}/config`, { key: admin.key });
    expect(await file.text()).toBe(text);
    const raw = "a: b # \u0001\n";
    const kept = await register({ config: { text: raw, format: "text" } });
    const own = await ledger.request(`/api/tasks/${kept.task_id}/config`, { key: admin.key });
    expect(await own.text()).toBe(raw);
  });

  it("that are cut keep whole characters", async () => {
    const rows = rowsOf(ledger, admin);
    const id = await rows.task({ status: "running", attempt: 1 });
    const tail = `${"😀".repeat(8192)}x`;
    await ledger.call(`/api/tasks/${id}/heartbeat`, { key: admin.key, json: { seq: 1, tail } });
    const { attempts } = await ledger.call(`/api/tasks/${id}`, { key: admin.key });
    expect(attempts[0].tail).toBe(tail.slice(2));
    expect(cutText("a😀", 0, 2)).toBe("a");
    expect(cutText("😀a", 1)).toBe("a");
    expect(cutText("😀a", 0)).toBe("😀a");
  });

  it("in an address hold no control characters", async () => {
    for (const path of ["/api/tasks?user=a%00", "/api/tasks?filter=%1B", "/api/models/a%C2%85"])
      expect(await ledger.call(path, { key: admin.key }, 422)).toMatchObject({
        detail: expect.stringContaining("control character"),
      });
  });
});
