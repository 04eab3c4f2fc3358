import { and, eq } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { chartPreferences } from "../../shared/chart-preferences.ts";
import { preference } from "../db/schema.ts";
import { now } from "../db/time.ts";
import type { App } from "../http/context.ts";
import { describe, notValid, validate } from "../http/validate.ts";
import { allow } from "./middleware.ts";

/** Bytes of one preference, as JSON. */
const MOST_BYTES = 16_384;

const nameParam = z.object({
  name: z.enum(["charts"]).describe("The part of the pages: `charts` is how curves are shown."),
});
const answer = z.object({
  name: z.string(),
  value: chartPreferences,
  updated_at: z.string().nullable().describe("null: nothing was chosen yet."),
});

const columns = { value: preference.value, updatedAt: preference.updatedAt };

const known = z.object(chartPreferences.shape);

/** A stored value as it may be now: an older release may have known other fields. */
const readValue = (stored: unknown) => known.safeParse(stored).data ?? {};

/** How a person likes the pages, in every browser. */
export const preferences = new Hono<App>()
  .get(
    "/:name",
    describe({
      summary: "Get your defaults for a part of the pages",
      tag: "Users",
      answer: {
        schema: answer,
        description: "Your defaults; an empty value where you chose none.",
      },
      errors: { 422: "There is no such part." },
    }),
    allow("tasks:read"),
    validate("param", nameParam),
    async (c) => {
      const { name } = c.req.valid("param");
      const { auth, db } = c.var;
      const [row] = await db
        .select(columns)
        .from(preference)
        .where(and(eq(preference.userId, auth.userId), eq(preference.name, name)));
      return c.json({ name, value: readValue(row?.value), updated_at: row?.updatedAt ?? null });
    },
  )
  .put(
    "/:name",
    describe({
      summary: "Set your defaults for a part of the pages",
      description:
        "Replaces them as a whole, in at most 16,384 bytes of JSON. They change nothing but how the pages show what they show, so that every person may set their own, viewers too.",
      tag: "Users",
      answer: { schema: answer, description: "Your defaults." },
      errors: { 422: "There is no such part, or the value is not valid or too large." },
    }),
    allow("tasks:read"),
    validate("param", nameParam),
    validate("json", z.strictObject({ value: chartPreferences })),
    async (c) => {
      const { name } = c.req.valid("param");
      const { value } = c.req.valid("json");
      const { auth, db } = c.var;
      const bytes = new TextEncoder().encode(JSON.stringify(value)).length;
      if (bytes > MOST_BYTES)
        throw notValid([
          { path: "value", message: `takes ${bytes} bytes, more than ${MOST_BYTES}` },
        ]);
      const [row] = await db
        .insert(preference)
        .values({ userId: auth.userId, name, value })
        .onConflictDoUpdate({
          target: [preference.userId, preference.name],
          set: { value, updatedAt: now },
        })
        .returning(columns);
      return c.json({ name, value: readValue(row?.value), updated_at: row?.updatedAt ?? null });
    },
  );
