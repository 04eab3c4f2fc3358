import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit, briefly } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { forgetKeys } from "../platform/auth/keys.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { dialect } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { isFaulty, MOST_DIALECT, readDialect } from "../trainers/dialect-file.ts";
import { dialectFaults } from "./register.ts";

const answer = z
  .object({
    id: z.int(),
    name: z.string().describe("The `name` in its text, which runs have as their `trainer`."),
    text: z.string().describe("TOML; docs/dialects.md has the form."),
    shared: z.boolean(),
    user_id: z.int(),
    user: z.string().describe("The name of its owner."),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "Dialect" });

const columns = {
  id: dialect.id,
  name: dialect.name,
  text: dialect.text,
  shared: dialect.shared,
  userId: dialect.userId,
  user: sql<string>`(select name from user where user.id = dialect.user_id)`,
  createdAt: dialect.createdAt,
  updatedAt: dialect.updatedAt,
};

/** Dialects of people: how the files of a trainer that this ledger does not know are read. */
export const dialects = new Hono<App>()
  .put(
    "/",
    describe({
      summary: "Store a dialect",
      description:
        "Files and commands of no known trainer are read by it from now on; a dialect of yours of the same name is replaced. A run keeps the text that it was read by.",
      tag: "Dialects",
      answer: { schema: answer, description: "The dialect." },
      errors: {
        403: "`over-limit`: the user has reached the bound for dialects.",
        422: "The text is no dialect: each fault has its line.",
      },
    }),
    allow("tasks:write"),
    validate(
      "json",
      z.strictObject({
        text: z.string().max(MOST_DIALECT).describe("TOML; docs/dialects.md has the form."),
        shared: z
          .boolean()
          .default(false)
          .describe("true: everyone's files are read by it; false: only its owner's."),
      }),
    ),
    async (c) => {
      const { text, shared } = c.req.valid("json");
      const { auth, db, config } = c.var;
      const read = readDialect(text);
      if (isFaulty(read)) throw notValid(dialectFaults("text", read), "The dialect");
      const { name } = read;
      const named = and(eq(dialect.userId, auth.userId), eq(dialect.name, name));
      const exists = sql`exists (select 1 from dialect where user_id = ${auth.userId} and name = ${name})`;
      const {
        row: [row],
      } = await chain(db, {
        stored: db.run(sql`
          insert into dialect (user_id, name, text, shared)
          select ${auth.userId}, ${name}, ${text}, ${Number(shared)}
          where ${exists} or ${roomToMake(config, auth.userId, "dialects")}
          on conflict (user_id, name) do update
            set text = excluded.text, shared = excluded.shared, updated_at = ${now}`),
        noted: ifChanged("stored", (changed) =>
          audit(
            db,
            auth,
            "dialect.store",
            sql`select id from dialect where ${named} and ${changed}`,
            briefly({ name, text, shared }),
          ),
        ),
        row: db.select(columns).from(dialect).where(named),
      });
      // This isolate reads by it at once.
      forgetKeys();
      if (row) return c.json(toWire(row));
      throw await noRoom(db, config, auth.userId, "dialects");
    },
  )
  .get(
    "/",
    describe({
      summary: "List dialects",
      description: "Lists your own dialects and those that others share.",
      tag: "Dialects",
      answer: { schema: pageAnswer(answer), description: "Newest first." },
    }),
    allow("tasks:read"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor ? decodeCursor("dialects", cursor, z.tuple([z.int()]))[0] : undefined;
      const behind = before === undefined ? sql`true` : lt(dialect.id, before);
      // Each half by its own index, so that others' private dialects are not even read.
      const rows = await db
        .select(columns)
        .from(dialect)
        .where(
          sql`${dialect.id} in (
            select id from (select id from dialect where shared and ${behind} order by id desc limit ${limit + 1})
            union select id from dialect where user_id = ${auth.userId} and ${behind})`,
        )
        .orderBy(desc(dialect.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("dialects", [last.id])));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a dialect",
      description: "Only its owner or an admin may. Runs that were read by it stay as they are.",
      tag: "Dialects",
      errors: { 404: "You own no such dialect." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      const {
        gone: [gone],
      } = await chain(db, {
        gone: db
          .delete(dialect)
          .where(and(eq(dialect.id, id), owns(auth, dialect.userId)))
          .returning({ id: dialect.id }),
        noted: noteChange(db, auth, "gone", "dialect.delete", id),
      });
      if (!gone) throw notFound("own-dialect", { id: id });
      return c.body(null, 204);
    },
  );
