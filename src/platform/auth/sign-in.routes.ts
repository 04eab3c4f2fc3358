import { and, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { noteChange } from "../audit/note.ts";
import { chain } from "../db/batch.ts";
import { session } from "../db/schema.ts";
import { now } from "../db/time.ts";
import type { App } from "../http/context.ts";
import { ApiError, refuse } from "../http/problem.ts";
import { describe, limitBody, validate } from "../http/validate.ts";
import { authenticate, forgetKeys, verifyToken } from "./keys.ts";
import { limitFailures } from "./limits.ts";
import {
  forgetCookie,
  giveCookie,
  refuseCrossSite,
  SESSION_DAYS,
  sessionCookie,
} from "./session.ts";
import { LINK_MINUTES, redeemSignInCode } from "./sign-in-links.ts";

/** What signs a browser in: a key, or the code of a link that was made for one. */
const credential = z.union([
  z.strictObject({ key: z.string().trim().min(1).max(10_000) }),
  z.strictObject({ code: z.string().trim().min(1).max(200) }),
]);

/** Browsers that one key signs in at a time; the oldest is signed out. */
const MOST_SESSIONS = 50;

/** Signing in and out of the pages: a key is pasted once, and a cookie takes its place. */
export const signIn = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Sign a browser in with a key or a one-time code",
      description: `Exchanges a key for a session in a cookie that no script can read. The session has the rights of the key, and ends with the key, after 12 hours without use, or after a week. The code of a sign-in link (\`npm run key -- --link\`) can be used once instead of a key, within ${LINK_MINUTES} minutes.`,
      tag: "Keys",
      open: true,
      answer: {
        schema: z.object({ user_id: z.int(), name: z.string(), ends_at: z.string() }),
        description:
          "The user who is signed in, and the latest end of the session. The session itself is in the cookie.",
      },
      errors: { 403: "A box key, or the page of another site sent the request." },
    }),
    limitBody(20_000),
    validate("json", credential, ["key", "code"]),
    async (c) => {
      const { db, config, later, address } = c.var;
      // Programs send neither header and are no browser's cookie jar.
      if (c.req.header("Sec-Fetch-Site") ?? c.req.header("Origin")) refuseCrossSite(c);
      const given = c.req.valid("json");
      if ("code" in given) {
        const from = { address, days: SESSION_DAYS };
        const made = await limitFailures(c, () => redeemSignInCode(db, given.code, from));
        await giveCookie(c, made);
        return c.json({ user_id: made.userId, name: made.name, ends_at: made.endsAt });
      }
      const auth = await limitFailures(c, () => authenticate(db, config, given.key, later));
      if (auth.box) throw refuse("not-allowed", { case: "box-session" });
      const id = crypto.randomUUID();
      const ends = Date.now() + SESSION_DAYS * 86_400_000;
      const endsAt = new Date(Math.min(ends, auth.expiresAt?.getTime() ?? ends)).toISOString();
      const { userId, keyId } = auth;
      await chain(db, {
        inserted: db.insert(session).values({ id, keyId, endsAt }),
        noted: noteChange(db, { userId, keyId, address }, "inserted", "key.sign-in", keyId),
        // The key's own old sessions go as new ones come, so that they never pile up.
        old: db.delete(session).where(
          and(
            eq(session.keyId, keyId),
            sql`(ends_at < ${now} or id not in (
              select id from session where key_id = ${keyId} order by created_at desc, rowid desc limit ${MOST_SESSIONS}))`,
          ),
        ),
      });
      await giveCookie(c, { id, userId, scopes: [...auth.scopes], endsAt });
      return c.json({ user_id: userId, name: auth.userName, ends_at: endsAt });
    },
  )
  .delete(
    "/",
    describe({
      summary: "Sign out",
      description: "Ends the cookie's session on the server, within 30 seconds everywhere.",
      tag: "Keys",
      open: true,
      errors: { 403: "The page of another site sent the request." },
    }),
    async (c) => {
      const { db, config, address } = c.var;
      const token = sessionCookie(c);
      refuseCrossSite(c);
      forgetCookie(c);
      if (!token) return c.body(null, 204);
      const claims = await verifyToken(token, config, "session").catch((error: unknown) => {
        // A cookie that is worth nothing any more is signed out already.
        if (error instanceof ApiError && error.status === 401) return null;
        throw error;
      });
      if (!claims) return c.body(null, 204);
      const actor = { userId: Number(claims.sub), keyId: null, address };
      await chain(db, {
        ended: db
          .update(session)
          .set({ endedAt: now })
          .where(and(eq(session.id, claims.jti), isNull(session.endedAt))),
        noted: noteChange(
          db,
          actor,
          "ended",
          "key.sign-out",
          sql`(select key_id from session where id = ${claims.jti})`,
        ),
      });
      forgetKeys();
      return c.body(null, 204);
    },
  );
