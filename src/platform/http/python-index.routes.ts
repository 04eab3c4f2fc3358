import { type Context, Hono } from "hono";
import { accepts } from "hono/accepts";
import * as z from "zod";
import type { App } from "./context.ts";
import { refuse } from "./problem.ts";
import { describe, validate } from "./validate.ts";

const JSON_TYPE = "application/vnd.pypi.simple.v1+json";
const HTML_TYPE = "application/vnd.pypi.simple.v1+html";

/** A page of the index in the form that the caller asks for: two static files of the build stand for each. */
async function answer(c: Context<App>, folder: string) {
  const type = accepts(c, {
    header: "Accept",
    supports: [JSON_TYPE, HTML_TYPE, "text/html"],
    default: "text/html",
  });
  const file = type === JSON_TYPE ? `${folder}index.json` : folder;
  const { body, status } = await c.env.ASSETS.fetch(new URL(file, c.req.url));
  const content = type === "text/html" ? "text/html; charset=utf-8" : type;
  return new Response(body, { status, headers: { "Content-Type": content, Vary: "Accept" } });
}

/**
 * The index that pip installs the Python client from, as HTML (PEP 503) or JSON (PEP 691), made by
 * scripts/wheel.ts.
 */
export const pythonIndex = new Hono<App>()
  .get(
    "/simple/",
    describe({
      summary: "List the Python packages for pip",
      description: "The simple repository API of PEP 503 and PEP 691. It holds one project.",
      tag: "Service",
      open: true,
      answer: { content: "text/html", also: [JSON_TYPE], description: "The projects." },
    }),
    (c) => answer(c, "/simple/"),
  )
  .get(
    "/simple/:project/",
    describe({
      summary: "List the wheels of the Python client for pip",
      description:
        "`pip install --index-url $LEDGER_URL/simple lora-ledger` installs the client in the version of the service.",
      tag: "Service",
      open: true,
      answer: { content: "text/html", also: [JSON_TYPE], description: "The project's wheels." },
      errors: { 404: "Another project." },
    }),
    validate("param", z.object({ project: z.string().max(200) })),
    (c) => {
      if (c.req.valid("param").project !== "lora-ledger")
        throw refuse("no-route", { method: c.req.method, path: c.req.path });
      return answer(c, "/simple/lora-ledger/");
    },
  );
