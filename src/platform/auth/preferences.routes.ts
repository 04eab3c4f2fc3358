import { and, eq } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { alertPreferences } from "../../shared/alert-preferences.ts";
import { chartPreferences } from "../../shared/chart-preferences.ts";
import type { JsonValue } from "../../shared/json.ts";
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

const updatedAt = z.string().nullable().describe("null: nothing was chosen yet.");
const answer = z.object({ name: z.string(), value: chartPreferences, updated_at: updatedAt });
const alertsAnswer = z.object({ value: alertPreferences, updated_at: updatedAt });

const columns = { value: preference.value, updatedAt: preference.updatedAt };

/** What a user chose for a part; of the stored fields those that this release knows. */
async function readPreference<T extends z.ZodObject>(c: Context<App>, name: string, shape: T) {
  const { auth, db } = c.var;
  const [row] = await db
    .select(columns)
    .from(preference)
    .where(and(eq(preference.userId, auth.userId), eq(preference.name, name)));
  return shownAs(shape, row);
}

/** Replaces what a user chose for a part. Throws ApiError 422 where it is too large. */
async function writePreference<T extends z.ZodObject>(
  c: Context<App>,
  name: string,
  shape: T,
  value: z.infer<T>,
) {
  const { auth, db } = c.var;
  const bytes = new TextEncoder().encode(JSON.stringify(value)).length;
  if (bytes > MOST_BYTES)
    throw notValid([{ path: "value", message: `takes ${bytes} bytes, more than ${MOST_BYTES}` }]);
  const [row] = await db
    .insert(preference)
    .values({ userId: auth.userId, name, value: value as JsonValue })
    .onConflictDoUpdate({
      target: [preference.userId, preference.name],
      set: { value: value as JsonValue, updatedAt: now },
    })
    .returning(columns);
  return shownAs(shape, row);
}

/** A stored value as it may be now: an older release may have known other fields. */
const shownAs = <T extends z.ZodObject>(
  shape: T,
  row: { value: unknown; updatedAt: string } | undefined,
) => ({
  value: (z.object(shape.shape).safeParse(row?.value).data ?? {}) as z.infer<T>,
  updated_at: row?.updatedAt ?? null,
});

/** How a person likes the pages, in every browser. */
export const preferences = new Hono<App>()
  .get(
    "/alerts",
    describe({
      summary: "Get how far you have read the alerts",
      tag: "Users",
      answer: { schema: alertsAnswer, description: "An empty value where you never looked." },
    }),
    allow("tasks:read"),
    async (c) => c.json(await readPreference(c, "alerts", alertPreferences)),
  )
  .put(
    "/alerts",
    describe({
      summary: "Note how far you have read the alerts",
      description: "Replaces the note as a whole. It changes what the pages count as unread.",
      tag: "Users",
      answer: { schema: alertsAnswer, description: "The note." },
      errors: { 422: "The value is not valid." },
    }),
    allow("tasks:read"),
    validate("json", z.strictObject({ value: alertPreferences })),
    async (c) =>
      c.json(await writePreference(c, "alerts", alertPreferences, c.req.valid("json").value)),
  )
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
      return c.json({ name, ...(await readPreference(c, name, chartPreferences)) });
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
      return c.json({ name, ...(await writePreference(c, name, chartPreferences, value)) });
    },
  );
