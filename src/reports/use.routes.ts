import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { boundNames, bounds, readUse, WARN_FROM } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { describe, validate } from "../platform/http/validate.ts";

const use = z.object({
  bound: z.enum(boundNames),
  used: z.int(),
  most: z.int().nullable().describe("null: there is no bound."),
});

const settings = boundNames.map((name) => `${name}: ${bounds[name].setting}`).join(", ");

/** The use of each bound by the caller's user. */
export const myUse = new Hono<App>().get(
  "/",
  describe({
    summary: "Show my use of each bound",
    description: `Registrations and heartbeats warn from ${WARN_FROM * 100} % of a bound on; beyond a bound they answer \`over-limit\`, with the name of the bound, the use and how to make room. Settings change the bounds (${settings}).`,
    tag: "Users",
    answer: { schema: z.object({ items: z.array(use) }), description: "One item per bound." },
  }),
  allow(null),
  async (c) => {
    const { db, auth, config } = c.var;
    const [found] = await readUse(db, config, sql`user.id = ${auth.userId}`, 1);
    return c.json({ items: found?.items ?? [] });
  },
);

/** The same of everyone, for admins. */
export const usersUse = new Hono<App>().get(
  "/",
  describe({
    summary: "Show the use of each bound by all users",
    tag: "Users",
    answer: {
      schema: pageAnswer(z.object({ user_id: z.int(), user: z.string(), items: z.array(use) })),
      description: "Users, oldest first.",
    },
    errors: { 403: "Only admins." },
  }),
  allow("admin"),
  validate("query", z.strictObject(pageQuery)),
  async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const { db, config } = c.var;
    const after = cursor ? decodeCursor("use", cursor, z.tuple([z.int()]))[0] : 0;
    const rows = await readUse(db, config, sql`user.id > ${after}`, limit + 1);
    return c.json(page(rows, limit, (last) => encodeCursor("use", [last.user_id])));
  },
);
