import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { type KeyScope, keyScopes, roleScopes, roles, usualScopes } from "../../shared/scopes.ts";
import { noteChange } from "../audit/note.ts";
import { chain } from "../db/batch.ts";
import { apiKey, user } from "../db/schema.ts";
import { fromNow, now } from "../db/time.ts";
import { toWire } from "../db/wire.ts";
import { baseUrl } from "../http/base-url.ts";
import type { App } from "../http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../http/page.ts";
import { idParam } from "../http/params.ts";
import { changedMeanwhile, ifMatch } from "../http/preconditions.ts";
import { notFound, refuse } from "../http/problem.ts";
import { describe, notValid, validate } from "../http/validate.ts";
import {
  forgetKeys,
  makeKey,
  revokeKey,
  selectKeys,
  signKey,
  unauthorized,
  userIdOf,
} from "./keys.ts";
import { soonerOf, works } from "./makers.ts";
import { allow, requireScopes } from "./middleware.ts";
import { LINK_MINUTES, MOST_LINK_MINUTES, makeSignInCodeFor, signInUrl } from "./sign-in-links.ts";

const name = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .describe("The name that others see; unique among users.");

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
      .describe(
        "The key that made this one; for a session, the session's key; null: the command line.",
      ),
    made_by: z.string().nullable().describe("The user of that key."),
    name: z.string(),
    scopes: z.array(z.enum(keyScopes)),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    last_used_at: z.string().nullable(),
    children: z
      .int()
      .describe(
        "The number of live keys that are revoked with this key: those that it made, and those that they made. At most 1,000.",
      ),
  })
  .meta({ id: "Key" });

type KeyRow = Awaited<ReturnType<typeof selectKeys>>[number];
const keyWire = ({ jti: _, days: __, ...row }: KeyRow) => toWire(row);

/** The warning that a made or renewed key ends sooner than requested. */
const endsWithMaker = (expiresAt: string | null) =>
  `This key ends at ${expiresAt}, with the key that made it: no key outlives its maker. For a longer life, make it with a key that lives longer, or on the command line (npm run key).`;

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
      const { made } = await chain(db, {
        made: db.insert(user).values(body).onConflictDoNothing().returning(),
        noted: noteChange(db, auth, "made", "user.create", userIdOf(body.name), body),
      });
      const [row] = made;
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
        "Users are never deleted, only made inactive: their keys stop working within 30 seconds, and their runs stay. Keys that an admin made for others stay too, but cannot be renewed while that admin is inactive; revoke the admin's key to end them.",
      tag: "Users",
      answer: { schema: userAnswer, description: "The user." },
      errors: {
        403: "Only admins change users.",
        404: "No such user.",
        409: "The name is taken, or this is the last active admin.",
        412: "Someone else changed the user since it was read.",
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
      const { changed, users, admins, namesakes } = await chain(db, {
        changed: db
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
        noted: noteChange(db, auth, "changed", "user.update", target, body),
        users: db.select().from(user).where(eq(user.id, target)),
        admins: db
          .select({ id: user.id })
          .from(user)
          .where(sql`id <> ${target} and role = 'admin' and active`)
          .limit(1),
        namesakes: db
          .select({ id: user.id })
          .from(user)
          .where(sql`name = ${body.name ?? null} and id <> ${target}`),
      });
      forgetKeys();
      const [row] = changed;
      const [current] = users;
      if (row) return c.json(toWire(row));
      if (!current) throw notFound("user", { id: target });
      if (version !== null && current.version !== version) throw changedMeanwhile(current.version);
      if (namesakes.length) throw refuse("name-taken", { case: "user", name: String(body.name) });
      if (!admins.length) throw refuse("last-admin", {});
      throw refuse("conflict", { case: "user" });
    },
  );

export const me = new Hono<App>().get(
  "/",
  describe({
    summary: "The caller",
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
        currency: z
          .string()
          .nullable()
          .describe("The currency of all prices of this ledger, as its ISO 4217 code."),
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
      currency: c.var.config.CURRENCY ?? null,
    });
  },
);

const newKey = z.strictObject({
  name: z.string().trim().min(1).max(100).describe("The purpose of the key."),
  scopes: z
    .array(z.enum(keyScopes))
    .min(1)
    .optional()
    .describe(
      "Default: the usual scopes of the user's role. Members get `models:approve` and `models:release` only if an admin names them. `box` cannot be combined with other scopes.",
    ),
  days: z
    .number()
    .positive()
    .max(3650)
    .nullable()
    .default(null)
    .describe(
      "The life of the key in days; null: no end of its own. It ends with the key that makes it at the latest.",
    ),
  user_id: z.int().positive().optional().describe("Admins may make keys for others."),
});

const withKey = keyAnswer.extend({
  key: z.string().describe("The key itself. Only this answer shows it."),
  warnings: z.array(z.string()).describe("A warning if the key ends sooner than requested."),
});

export const keys = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a key",
      description:
        "The new key records the key that makes it, has no more rights, ends no later, and is revoked with it. To replace a key, use the command line or another key.",
      tag: "Keys",
      answer: { schema: withKey, description: "The key, which only this answer shows." },
      errors: {
        403: "A key never has more rights than the key and user that make it; or `over-limit`: the user has the maximum number of keys.",
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
      description:
        "The caller's own keys; admins see all. The list never contains the keys themselves.",
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
        "The holder of a key gets the same key with a new life of the same length, up to the end of the key that made it.",
      tag: "Keys",
      answer: { schema: withKey, description: "The renewed key, which only this answer shows." },
      errors: {
        403: "Only the key's holder renews it.",
        404: "No such key.",
        409: "The key does not expire, or the key that made it was revoked or has no active user.",
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
      const { renewed, rows } = await chain(db, {
        renewed: db
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
        noted: noteChange(db, auth, "renewed", "key.renew", id),
        rows: selectKeys(db).where(eq(apiKey.id, id)),
      });
      const [row] = rows;
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
  .post(
    "/:id/link",
    describe({
      summary: "Make a link that signs a browser in with a key",
      description:
        "For the calling key itself, or a key that it made: an invitation. The link works once and shows no key; it ends the key's earlier links that nobody has used. A box key signs nobody in.",
      tag: "Keys",
      answer: {
        schema: z.object({
          url: z.string().describe("The link. Only this answer shows it."),
          expires_at: z.string(),
        }),
        description: "The link.",
      },
      errors: { 404: "No such key that works, or the calling key did not make it." },
    }),
    allow("keys:write"),
    validate("param", idParam),
    validate(
      "json",
      z.strictObject({
        minutes: z
          .number()
          .positive()
          .max(MOST_LINK_MINUTES)
          .default(LINK_MINUTES)
          .describe("The life of the link."),
      }),
    ),
    async (c) => {
      const { auth, db, config } = c.var;
      const { id } = c.req.valid("param");
      const made = await makeSignInCodeFor(db, auth, id, c.req.valid("json").minutes);
      if (!made) throw notFound("live-key", { id });
      const url = signInUrl(baseUrl(config, c.req.url), made.code);
      return c.json({ url, expires_at: made.expiresAt });
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Revoke a key",
      description:
        "Also revokes all keys that it made, and those that they made, whoever has them, and their boxes. Takes effect within 30 seconds everywhere. A key may always revoke itself.",
      tag: "Keys",
      answer: {
        schema: z.object({
          revoked: z.array(z.int()).describe("The revoked keys: this one, and those that it made."),
        }),
        description: "The revoked keys.",
      },
      errors: { 404: "No such key of yours, or it is revoked already." },
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
