import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit, ifChanged } from "../audit/audit.ts";
import { apiKey, roles, user } from "../db/schema.ts";
import { fromNow, now } from "../db/time.ts";
import type { App } from "../http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../http/page.ts";
import { idParam } from "../http/params.ts";
import { changedMeanwhile, ifMatch } from "../http/preconditions.ts";
import { notFound, refuse } from "../http/problem.ts";
import { describe, notValid, validate } from "../http/validate.ts";
import { toWire } from "../http/wire.ts";
import { forgetKeys, makeKey, revokeKey, selectKeys, signKey, unauthorized } from "./keys.ts";
import { soonerOf, works } from "./makers.ts";
import { allow, requireScopes } from "./middleware.ts";
import { type KeyScope, keyScopes, roleScopes, usualScopes } from "./scopes.ts";

const name = z.string().trim().min(1).max(100).describe("Shown to others; unique among users.");

const userAnswer = z
  .object({
    id: z.int(),
    name: z.string(),
    role: z.enum(roles),
    active: z.boolean(),
    version: z.int(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "User" });

const keyAnswer = z
  .object({
    id: z.int(),
    user_id: z.int(),
    parent_id: z
      .int()
      .nullable()
      .describe("The key that made it, of a session its key; null: the command line."),
    made_by: z.string().nullable().describe("That key's user."),
    name: z.string(),
    scopes: z.array(z.enum(keyScopes)),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    last_used_at: z.string().nullable(),
    children: z
      .int()
      .describe("Live keys that are revoked with it: those it made, and theirs. At most 1,000."),
  })
  .meta({ id: "Key" });

type KeyRow = Awaited<ReturnType<typeof selectKeys>>[number];
const keyWire = ({ jti: _, days: __, ...row }: KeyRow) => toWire(row);

/** Says of a key that was made or renewed for a time that it ends sooner than that. */
const endsWithMaker = (expiresAt: string | null) =>
  `This key ends at ${expiresAt}, with the key that made it: no key outlives its maker. A longer life takes a maker that lives longer, or the command line (npm run key).`;

export const users = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a user",
      tag: "Users",
      answer: { schema: userAnswer, description: "The user." },
      errors: { 403: "Only admins make users.", 409: "The name is taken." },
    }),
    allow("admin"),
    validate("json", z.strictObject({ name, role: z.enum(roles).default("member") })),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth } = c.var;
      const [[row]] = await db.batch([
        db.insert(user).values(body).onConflictDoNothing().returning(),
        audit(
          db,
          auth,
          "user.create",
          sql`select id from user where name = ${body.name} and changes() = 1`,
          body,
        ),
      ]);
      if (!row) throw refuse("name-taken", { case: "user", name: body.name });
      return c.json(toWire(row));
    },
  )
  .get(
    "/",
    describe({
      summary: "List users",
      tag: "Users",
      answer: {
        schema: pageAnswer(userAnswer),
        description: "Users, oldest first.",
      },
    }),
    allow("tasks:read"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const [after] = cursor ? decodeCursor("users", cursor, z.tuple([z.int()])) : [0];
      const rows = await c.var.db
        .select()
        .from(user)
        .where(sql`${user.id} > ${after}`)
        .orderBy(user.id)
        .limit(limit + 1);
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("users", [last.id])));
    },
  )
  .patch(
    "/:id",
    describe({
      summary: "Change a user",
      description:
        "Users are never deleted, only made inactive: their keys stop within 30 seconds, their runs stay. Keys that an admin made for others stay too, but cannot be renewed while that admin is inactive; revoke the admin's key to end them.",
      tag: "Users",
      answer: { schema: userAnswer, description: "The user." },
      errors: {
        403: "Only admins change users.",
        404: "No such user.",
        409: "The name is taken, or this is the last active admin.",
        412: "Changed by someone else since it was read.",
      },
    }),
    allow("admin"),
    validate("param", idParam),
    validate(
      "json",
      z.strictObject({
        name: name.optional(),
        role: z.enum(roles).optional(),
        active: z.boolean().optional(),
      }),
    ),
    async (c) => {
      const target = c.req.valid("param").id;
      const body = c.req.valid("json");
      const version = ifMatch(c.req.header("If-Match"));
      const losesAdmin =
        body.active === false || (body.role !== undefined && body.role !== "admin");
      const { db, auth } = c.var;
      // One batch: the change with its conditions, then what the row is and whether they failed.
      const [changed, , [current], [other], [namesake]] = await db.batch([
        db
          .update(user)
          .set({ ...body, version: sql`version + 1`, updatedAt: now })
          .where(
            and(
              eq(user.id, target),
              version === null ? undefined : eq(user.version, version),
              losesAdmin
                ? sql`(role <> 'admin' or exists (select 1 from user o where o.id <> ${target} and o.role = 'admin' and o.active))`
                : undefined,
              body.name
                ? sql`not exists (select 1 from user o where o.name = ${body.name} and o.id <> ${target})`
                : undefined,
            ),
          )
          .returning(),
        audit(db, auth, "user.update", ifChanged(target), body),
        db.select().from(user).where(eq(user.id, target)),
        db
          .select({ id: user.id })
          .from(user)
          .where(sql`id <> ${target} and role = 'admin' and active`)
          .limit(1),
        db
          .select({ id: user.id })
          .from(user)
          .where(sql`name = ${body.name ?? null} and id <> ${target}`),
      ]);
      forgetKeys();
      const [row] = changed;
      if (row) return c.json(toWire(row));
      if (!current) throw notFound("user", { id: target });
      if (version !== null && current.version !== version) throw changedMeanwhile(current.version);
      if (namesake) throw refuse("name-taken", { case: "user", name: String(body.name) });
      if (!other) throw refuse("last-admin", {});
      throw refuse("conflict", { case: "user" });
    },
  );

export const me = new Hono<App>().get(
  "/",
  describe({
    summary: "Who am I",
    description: "The user and the rights behind the key that asks.",
    tag: "Users",
    answer: {
      schema: z.object({
        user_id: z.int(),
        name: z.string(),
        role: z.enum(roles),
        key_id: z.int(),
        scopes: z.array(z.enum(keyScopes)),
        expires_at: z.string().nullable(),
      }),
      description: "The caller.",
    },
  }),
  allow(null),
  (c) => {
    const { userId, userName, role, keyId, scopes, expiresAt } = c.var.auth;
    return c.json({
      user_id: userId,
      name: userName,
      role,
      key_id: keyId,
      scopes: [...scopes],
      expires_at: expiresAt?.toISOString() ?? null,
    });
  },
);

const newKey = z.strictObject({
  name: z.string().trim().min(1).max(100).describe("What the key is for."),
  scopes: z
    .array(z.enum(keyScopes))
    .min(1)
    .optional()
    .describe(
      "Default: the usual ones of the user's role. `models:approve` and `models:release` are given to members by name, by an admin. `box` stands alone.",
    ),
  days: z
    .number()
    .positive()
    .max(3650)
    .nullable()
    .default(null)
    .describe("Life in days; null: no end of its own. It ends with the key that makes it."),
  user_id: z.int().positive().optional().describe("Admins may make keys for others."),
});

const withKey = keyAnswer.extend({
  key: z.string().describe("The key itself. Shown this once."),
  warnings: z.array(z.string()).describe("That it ends sooner than was asked."),
});

export const keys = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a key",
      description:
        "The new key notes the key that makes it, gives no more than that, ends no later, and is revoked with it. A key to take the place of an old one comes from the command line, or from another key.",
      tag: "Keys",
      answer: { schema: withKey, description: "The key, shown this once." },
      errors: {
        403: "A key never gives more than the key and user that made it; or `over-limit`: the user has as many keys as there may be.",
        404: "No such user.",
        409: "The key is the tenth in a line of keys, each made by the one before.",
      },
    }),
    allow("keys:write"),
    validate("json", newKey),
    async (c) => {
      const body = c.req.valid("json");
      const { auth, db, config } = c.var;
      const forOther = body.user_id !== undefined && body.user_id !== auth.userId;
      if (forOther && !auth.scopes.has("admin"))
        throw refuse("not-allowed", { case: "others-key" });
      const [owner] = await db
        .select()
        .from(user)
        .where(eq(user.id, body.user_id ?? auth.userId));
      if (!owner) throw notFound("user", { id: body.user_id ?? auth.userId });
      const most = new Set<KeyScope>(roleScopes[owner.role].filter((s) => auth.scopes.has(s)));
      // A box key registers runs and uploads weights, so its maker must be able to do both.
      if (most.has("tasks:write") && most.has("weights:write")) most.add("box");
      const usual: readonly KeyScope[] = usualScopes[owner.role];
      const wanted = body.scopes ?? usual.filter((scope) => most.has(scope));
      if (wanted.includes("box") && wanted.length > 1)
        throw notValid([{ path: "scopes", message: "box stands alone" }]);
      const beyond = wanted.filter((scope) => !most.has(scope));
      if (beyond.length) throw refuse("not-allowed", { case: "beyond", scopes: beyond.join(", ") });
      const input = { userId: owner.id, name: body.name, scopes: wanted, days: body.days };
      const { row, key, shortened } = await makeKey(db, config, auth, input, auth, config);
      const warnings = shortened ? [endsWithMaker(row.expiresAt)] : [];
      return c.json({ ...keyWire(row), key, warnings });
    },
  )
  .get(
    "/",
    describe({
      summary: "List keys",
      description: "One's own; admins see all. Never the keys themselves.",
      tag: "Keys",
      answer: {
        schema: pageAnswer(keyAnswer),
        description: "Keys, newest first.",
      },
    }),
    allow("keys:read"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor ? decodeCursor("keys", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await selectKeys(db)
        .where(
          and(
            before === undefined ? undefined : lt(apiKey.id, before),
            auth.scopes.has("admin") ? undefined : eq(apiKey.userId, auth.userId),
          ),
        )
        .orderBy(desc(apiKey.id))
        .limit(limit + 1);
      return c.json(page(rows.map(keyWire), limit, (last) => encodeCursor("keys", [last.id])));
    },
  )
  .post(
    "/:id/renew",
    describe({
      summary: "Renew a key",
      description:
        "Its holder gets the same key with its life begun anew, up to the end of the key that made it.",
      tag: "Keys",
      answer: { schema: withKey, description: "The renewed key, shown this once." },
      errors: {
        403: "Only the key's holder renews it.",
        404: "No such key.",
        409: "The key does not expire, or what made it was revoked or belongs to nobody active.",
      },
    }),
    allow(null),
    validate("param", idParam),
    async (c) => {
      const { auth, db, config } = c.var;
      const { id } = c.req.valid("param");
      if (id !== auth.keyId) throw refuse("not-allowed", { case: "renew" });
      const maker = sql`from api_key m join user u on u.id = m.user_id where m.id = api_key.parent_id`;
      const asked = fromNow(sql`api_key.days`, "days");
      const [renewed, , [row]] = await db.batch([
        db
          .update(apiKey)
          .set({
            expiresAt: sql`coalesce(${soonerOf(asked, sql`(select m.expires_at ${maker})`)}, api_key.expires_at)`,
          })
          .where(
            and(
              eq(apiKey.id, id),
              sql`expires_at is not null and revoked_at is null`,
              sql`(parent_id is null or exists (select 1 ${maker} and ${works}))`,
            ),
          )
          .returning({ shortened: sql<number>`expires_at < ${asked} or ${asked} is null` }),
        audit(db, auth, "key.renew", ifChanged(id)),
        selectKeys(db).where(eq(apiKey.id, id)),
      ]);
      if (!row || row.revokedAt !== null) {
        forgetKeys();
        throw unauthorized("key-revoked", { case: "renewing" });
      }
      if (row.expiresAt === null) throw refuse("no-expiry", {});
      const [done] = renewed;
      if (!done) throw refuse("maker-ended", {});
      const { jti, userId, scopes, expiresAt } = row;
      const key = await signKey(config, { jti, userId, scopes, expiresAt: new Date(expiresAt) });
      const warnings = done.shortened ? [endsWithMaker(expiresAt)] : [];
      return c.json({ ...keyWire(row), key, warnings });
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Revoke a key",
      description:
        "With all keys that it made, and those that they made, whoever has them, and their boxes. Takes effect within 30 seconds everywhere. A key may always revoke itself.",
      tag: "Keys",
      answer: {
        schema: z.object({
          revoked: z.array(z.int()).describe("The keys that ended: this one, and those it made."),
        }),
        description: "What ended.",
      },
      errors: { 404: "No such key that is yours, or it is revoked already." },
    }),
    allow(null),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      if (id !== auth.keyId) requireScopes(auth, ["keys:write"]);
      const owner = auth.scopes.has("admin") ? null : auth.userId;
      const revoked = await revokeKey(db, auth, id, owner);
      if (revoked.length === 0) throw notFound("live-key", { id: id });
      forgetKeys();
      return c.json({ revoked });
    },
  );
