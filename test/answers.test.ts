// The harness refuses answers that their route does not publish.
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import type { App } from "../src/platform/http/context.ts";
import { notFound, problem } from "../src/platform/http/problem.ts";
import { describe as describeRoute } from "../src/platform/http/validate.ts";
import { freshLedger } from "./harness.ts";

const published = z.object({
  id: z.int(),
  state: z.enum(["open", "closed"]),
  at: z.iso.datetime().nullable(),
  note: z.string().optional(),
  items: z.array(z.object({ name: z.string() })).default([]),
});
const right = { id: 1, state: "open", at: "2026-01-01T00:00:00Z", items: [{ name: "a" }] };

/** An app whose one route publishes `published` and answers anything. */
const answering = (
  answer: () => Response,
  more: { schema?: null; content?: string | null; also?: string[] } = {},
) =>
  new Hono<App>()
    .get(
      "/things/:id{[0-9]+}",
      describeRoute({
        summary: "A thing",
        tag: "Service",
        answer: {
          ...(more.schema !== null && { schema: published }),
          content: more.content,
          also: more.also,
          description: "It.",
        },
        errors: {
          302: "Elsewhere.",
          404: "Not there.",
          503: { schema: z.object({ up: z.boolean() }), description: "Down." },
        },
      }),
      () => answer(),
    )
    .onError(problem);

async function ask(app: Hono<App>, path = "/things/3", method = "GET") {
  return (await freshLedger({}, app)).request(path, { method });
}

describe("an answer as its route publishes it", () => {
  test.each([
    ["with all its fields", () => Response.json(right)],
    ["with an optional one", () => Response.json({ ...right, note: "n" })],
    ["a redirect that is named", () => new Response(null, { status: 302 })],
    [
      "a problem",
      () => {
        throw notFound("task", { id: 3 });
      },
    ],
    [
      "a named status with a schema of its own",
      () => Response.json({ up: false }, { status: 503 }),
    ],
  ])("is let through: %s", async (_, answer) => {
    const response = await ask(answering(answer));
    expect(response.bodyUsed).toBe(false);
  });

  test("is let through: a media type of a published range, no body, a HEAD", async () => {
    const png = () => new Response("", { headers: { "Content-Type": "image/png" } });
    const range = { content: "application/zip", also: ["image/*"] };
    expect((await ask(answering(png, range))).status).toBe(200);
    expect((await ask(answering(() => new Response(null), { content: null }))).status).toBe(200);
    const head = await ask(
      answering(() => Response.json(right)),
      "/things/3",
      "HEAD",
    );
    expect(await head.text()).toBe("");
  });
});

describe("a wrong answer", () => {
  const json =
    (change: object, status = 200) =>
    () =>
      Response.json({ ...right, ...change }, { status });
  test.each([
    ["an unknown field", json({ more: 1 }), /200.*\n {2}more: is a field that the schema does not/],
    [
      "an unknown field inside",
      json({ items: [{ name: "a", b: 1 }] }),
      /items\[0\]\.b: is a field/,
    ],
    ["a missing field", json({ id: undefined }), /id: .*expected/],
    ["one that has a default", json({ items: undefined }), /items: is missing/],
    ["another type", json({ id: "1" }), /id: /],
    ["a word that the enum lacks", json({ state: "ajar" }), /state: /],
    ["a time in another format", json({ at: "yesterday" }), /at: /],
    ["null where none may be", json({ items: [{ name: null }] }), /items\[0\]\.name: /],
    ["another status", json({}, 201), /answers 201.*\n {2}has a status/],
    ["another answer at a status with a schema", json({}, 503), /answers 503.*\n {2}up: /],
    ["no content", () => new Response(null, { status: 204 }), /answers 204/],
    ["another content type", () => new Response("{}"), /content type text\/plain/],
    ["a fault that is no problem", json({}, 404), /answers 404.*\n {2}has the content type/],
    [
      "a problem with no detail",
      () =>
        new Response("{}", {
          status: 404,
          headers: { "Content-Type": "application/problem+json" },
        }),
      /detail: /,
    ],
    [
      "a body that is no JSON",
      () => new Response("{", { headers: { "Content-Type": "application/json" } }),
      /JSON/,
    ],
  ])("fails the test: %s", async (_, answer, fault) => {
    const asked = ask(answering(answer));
    await expect(asked).rejects.toThrow(fault);
    await expect(asked).rejects.toThrow(/^GET \/things\/:id/);
  });

  test("JSON with no schema is a fault of the route", async () => {
    const app = answering(() => Response.json({}), { schema: null });
    await expect(ask(app)).rejects.toThrow(/publishes no schema/);
  });

  test("a body where the route publishes none, and a type beside the published range", async () => {
    const app = answering(() => Response.json(right), { content: null });
    await expect(ask(app)).rejects.toThrow(/publishes none/);
    const text = answering(() => new Response("a"), {
      content: "application/zip",
      also: ["image/*"],
    });
    await expect(ask(text)).rejects.toThrow(/publishes application\/zip, image\/\*/);
  });

  test("a route that does not describe itself is a fault", async () => {
    const app = new Hono<App>().get("/bare", (c) => c.json({}));
    await expect(ask(app, "/bare")).rejects.toThrow(/GET \/bare.*\n {2}.*is not described/);
  });
});
