import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { documented } from "./described.ts";
import { problem } from "./problem.ts";
import {
  cleanAddress,
  describe as described,
  faultPath,
  faultsOf,
  limitBody,
  notValid,
  parseJson,
  placesOf,
  validate,
} from "./validate.ts";

const body = z.strictObject({
  name: z.string().max(100),
  rank: z.int().optional(),
  tags: z.array(z.strictObject({ key: z.string() })).optional(),
});
const app = new Hono()
  .use(cleanAddress)
  .use(limitBody(5000))
  .post("/", validate("json", body), (c) => c.json(c.req.valid("json")))
  .get("/", validate("query", z.strictObject({ n: z.coerce.number().int() })), (c) =>
    c.json(c.req.valid("query")),
  )
  .onError(problem);

async function post(text: string, headers: Record<string, string> = {}) {
  const response = await app.request("/", {
    method: "POST",
    body: text,
    headers: { "Content-Type": "application/json", ...headers },
  });
  return {
    status: response.status,
    redacted: response.headers.get("X-Redacted"),
    body: await response.json<{ type: string; detail: string; errors?: { path: string }[] }>(),
  };
}

describe("a body", () => {
  test("reaches its handler as its schema has it", async () => {
    expect(await post('{"name":"a","rank":4}')).toEqual({
      status: 200,
      redacted: null,
      body: { name: "a", rank: 4 },
    });
  });

  test("comes with clean texts", async () => {
    const { body } = await post('{"name":"a\\u0000\\ud83d"}');
    expect(body).toEqual({ name: "a\ufffd\ufffd" });
  });

  test("loses its secrets, and the answer says where", async () => {
    const { body, redacted } = await post(
      JSON.stringify({ name: `hf_${"aB3dE5gH7jK9mN1pQ".repeat(2)}` }),
    );
    expect(body).toEqual({ name: "[redacted]" });
    expect(redacted).toBe("name");
  });

  test.each(["", "{", "nul", "{'name':'a'}", '{"name":"a"}}', "\u0000", '{"name":"a",}', "NaN"])(
    "that is no JSON is refused with 400: %j",
    async (text) => {
      expect(await post(text)).toMatchObject({
        status: 400,
        body: { type: "urn:lora-ledger:malformed-json" },
      });
    },
  );

  test.each([
    ["null", ""],
    ["[]", ""],
    ['"name"', ""],
    ["{}", "name"],
    ['{"name":1}', "name"],
    ['{"name":null}', "name"],
    ['{"name":"a","rank":1.5}', "rank"],
    ['{"name":"a","rank":1e999}', "rank"],
    ['{"name":"a","other":1}', "other"],
    ['{"name":"a","constructor":1}', "constructor"],
    ['{"name":"a","tags":[{"key":"k"},{"key":"k","more":1}]}', "tags[1].more"],
    [`{"name":"${"a".repeat(101)}"}`, "name"],
  ])("that its schema refuses is 422 with the place: %s", async (text, path) => {
    const { status, body } = await post(text);
    expect([status, body.errors?.[0]?.path]).toEqual([422, path]);
  });

  test("names 50 faults at most, and three in its sentence", async () => {
    const { body } = await post(
      JSON.stringify({ name: "a", tags: Array.from({ length: 80 }, () => ({ key: 1 })) }),
    );
    expect(body.errors).toHaveLength(50);
    expect(body.detail).toContain("(and 47 more)");
  });

  test("over the limit is 413, announced or not", async () => {
    const long = JSON.stringify({ name: "a".repeat(6000) });
    expect((await post(long)).status).toBe(413);
    expect((await post(long, { "Content-Length": String(long.length) })).status).toBe(413);
  });
});

describe("a query", () => {
  test.each(["?n=x", "?n=1.5", "", "?n=1&m=2", "?n=1&n=2", "?n=Infinity"])(
    "that its schema refuses is 422: %j",
    async (query) => expect((await app.request(`/${query}`)).status).toBe(422),
  );
  test.each(["?n=1%00", "?n=1&x=%1b", "%7f"])(
    "with a control character is 422: %j",
    async (query) => expect((await app.request(`/${query}`)).status).toBe(422),
  );
  test("is taken as its schema has it", async () => {
    expect(await (await app.request("/?n=12")).json()).toEqual({ n: 12 });
  });
});

describe("parsing JSON", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  test("takes 64 levels, and refuses one more without parsing", () => {
    expect(() => parseJson(nested(64))).not.toThrow();
    for (const text of [nested(65), "[".repeat(100_000), '{"a":'.repeat(65)])
      expect(() => parseJson(text)).toThrow(/deeper than 64/);
  });
  test("counts no brackets inside texts", () => {
    const text = '\\"[{'.repeat(100);
    expect(parseJson(`["${text}"]`)).toEqual([text.replaceAll("\\", "")]);
    expect(parseJson('["\\\\", 1]')).toEqual(["\\", 1]);
  });
  test("makes a member of __proto__, not a prototype", () => {
    const value = parseJson('{"__proto__":{"admin":true}}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect("admin" in value).toBe(false);
  });
});

describe("a fault", () => {
  test("has its place as people write it", () => {
    expect(faultPath([])).toBe("");
    expect(faultPath(["logs", 3, "metrics", "loss"])).toBe("logs[3].metrics.loss");
    expect(faultPath([0, "a"])).toBe("[0].a");
  });
  test("without a place is its sentence alone", () => {
    const error = notValid([{ path: "", message: "is empty" }], "The body");
    expect(error.message).toBe("The body was refused and nothing was stored: is empty.");
  });
});

describe("a list of faults", () => {
  const issuesOf = (value: unknown) => {
    const { error } = body.safeParse(value);
    return error ? faultsOf(error).map(({ path, message }) => `${path}: ${message}`) : [];
  };

  test("names each key that nobody knows by itself", () => {
    expect(issuesOf({ name: "a", x: 1, y: 2, tags: [{ key: "k", z: 3 }] })).toEqual([
      "tags[0].z: is not a known field",
      "x: is not a known field",
      "y: is not a known field",
    ]);
  });
  test("is empty where nothing is wrong", () => expect(issuesOf({ name: "a" })).toEqual([]));
});

describe("a header that says where secrets were", () => {
  const places = (...wheres: string[]) => placesOf(wheres.map((where) => ({ where })));
  test.each([
    [["env.HF_TOKEN", "notes"], "env.HF_TOKEN, notes"],
    [["a,b"], "a?b"],
    [["a\r\nSet-Cookie: x"], "a??Set-Cookie: x"],
    [["密钥"], "??"],
    [["x".repeat(500)], "x".repeat(100)],
    [[], ""],
  ])("is one line of ASCII: %j", (wheres, line) => expect(places(...wheres)).toBe(line));
  test("names 20 of many", () => {
    expect(places(...Array.from({ length: 50 }, (_, n) => `${n}`)).split(", ")).toHaveLength(20);
  });
});

describe("what OpenAPI says of a route", () => {
  const description = { summary: "A thing", tag: "Things" };
  test("lies beside its middleware, which lets every request by", async () => {
    const middleware = described(description);
    expect(Reflect.get(middleware, documented)).toEqual({ description });
    const answer = await new Hono().get("/", middleware, (c) => c.text("by")).request("/");
    expect(await answer.text()).toBe("by");
  });
  test("has the schema that a part of the request is held to", () => {
    expect(Reflect.get(validate("query", body), documented)).toEqual({
      target: "query",
      schema: body,
    });
  });
});
