import { eq, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { signKey } from "../auth/keys.ts";
import { limitFailures } from "../auth/limits.ts";
import type { App } from "../auth/middleware.ts";
import { apiKey, box, boxEnrolment, now } from "../db/schema.ts";
import { sha256Hex } from "../http/hash.ts";
import { ApiError } from "../http/problem.ts";
import { describe, limitBody, validate } from "../http/validate.ts";
import { explainRoom, roomToMake } from "../use/bounds.ts";

/** Where a box that has no key yet gets one. */
export const exchange = new Hono<App>().post(
  "/",
  describe({
    summary: "Exchange a one-time token for a box's key",
    description: "Takes no key. The token of POST /api/boxes/enrol is good once, for its minutes.",
    tag: "Boxes",
    open: true,
    answer: {
      schema: z.object({
        box_id: z.int(),
        name: z.string(),
        key: z.string().describe("The box's key, shown this once."),
        expires_at: z.string(),
        hourly_price: z.number().nullable(),
      }),
      description: "The key of the new box.",
    },
    errors: { 403: "`over-limit`: its user has as many keys as there may be." },
  }),
  limitBody(10_000),
  validate(
    "json",
    z.strictObject({
      token: z.string().trim().min(1).max(200),
      name: z.string().trim().min(1).max(100).nullish().describe("What the box calls itself."),
      gpu_info: z.string().max(500).nullish(),
      hourly_price: z
        .number()
        .min(0)
        .max(1_000_000)
        .nullish()
        .describe("Counts where the token says none."),
    }),
  ),
  async (c) => {
    const body = c.req.valid("json");
    const { db, config, address } = c.var;
    const tokenHash = await sha256Hex(body.token);
    const jti = crypto.randomUUID();
    const key = sql`(select id from api_key where jti = ${jti})`;
    const [, , , , [made]] = await db.batch([
      db
        .update(boxEnrolment)
        .set({ usedAt: now })
        .where(
          sql`token_hash = ${tokenHash} and used_at is null and expires_at > ${now}
            and exists (select 1 from user u where u.id = user_id and u.active)
            and ${roomToMake(config, sql`box_enrolment.user_id`, "keys")}`,
        ),
      db.run(sql`
        insert into api_key (jti, user_id, name, scopes, days, expires_at)
        select ${jti}, user_id, 'box ' || coalesce(name, ${body.name ?? null}, 'without a name'), '["box"]', days,
          strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') + days)
        from box_enrolment where token_hash = ${tokenHash} and changes() = 1`),
      db.run(sql`
        insert into box (user_id, key_id, name, shared, gpu_info, hourly_price)
        select user_id, ${key}, coalesce(name, ${body.name ?? null}, 'box ' || ${key}), shared, ${body.gpu_info ?? null},
          coalesce(hourly_price, ${body.hourly_price ?? null})
        from box_enrolment where token_hash = ${tokenHash} and ${key} is not null`),
      db.run(sql`
        insert into audit_entry (user_id, key_id, address, action, subject, subject_id)
        select user_id, key_id, ${address}, 'box.exchange', 'box', id from box where key_id = ${key}`),
      db
        .select({
          boxId: box.id,
          name: box.name,
          userId: box.userId,
          hourlyPrice: box.hourlyPrice,
          expiresAt: apiKey.expiresAt,
        })
        .from(box)
        .innerJoin(apiKey, eq(apiKey.id, box.keyId))
        .where(eq(apiKey.jti, jti)),
    ]);
    if (!made) {
      const [open] = await db
        .select({ userId: boxEnrolment.userId })
        .from(boxEnrolment)
        .where(sql`token_hash = ${tokenHash} and used_at is null and expires_at > ${now}`);
      const full = open && (await explainRoom(db, config, open.userId, { keys: 1 }));
      if (full) throw full;
    }
    const { expiresAt, userId, ...rest } = await limitFailures(c, async () => {
      if (made) return made;
      throw new ApiError(
        401,
        "token-not-valid",
        "This token is not valid: it was used already, or its minutes are over. Make another: POST /api/boxes/enrol.",
      );
    });
    if (!expiresAt) throw new Error("the key's row has no end");
    return c.json({
      box_id: rest.boxId,
      name: rest.name,
      key: await signKey(config, { jti, userId, scopes: ["box"], expiresAt: new Date(expiresAt) }),
      expires_at: expiresAt,
      hourly_price: rest.hourlyPrice,
    });
  },
);
