import { eq, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { explainRoom, roomToMake } from "../platform/auth/bounds.ts";
import { signKey } from "../platform/auth/keys.ts";
import { limitFailures } from "../platform/auth/limits.ts";
import { soonerOf, works } from "../platform/auth/makers.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { apiKey, box, boxEnrolment, user } from "../platform/db/schema.ts";
import { fromNow, now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { refuse } from "../platform/http/problem.ts";
import { describe, limitBody, validate } from "../platform/http/validate.ts";

/** Where a box that has no key yet gets one. */
export const exchange = new Hono<App>().post(
  "/",
  describe({
    summary: "Exchange a one-time token for a box's key",
    description: "Takes no key. The token of POST /api/boxes/enrol works once, until it expires.",
    tag: "Boxes",
    open: true,
    answer: {
      schema: z.object({
        box_id: z.int(),
        name: z.string(),
        key: z.string().describe("The box's key. Only this answer shows it."),
        expires_at: z
          .string()
          .describe("When the box's key ends: with the key that made the token at the latest."),
        hourly_price: z.number().nullable(),
      }),
      description: "The key of the new box.",
    },
    errors: {
      403: "The user who made the token is a viewer now or no longer active; or `over-limit`: that user has the maximum number of keys.",
    },
  }),
  limitBody(10_000),
  validate(
    "json",
    z.strictObject({
      token: z.string().trim().min(1).max(200),
      name: z
        .string()
        .trim()
        .min(1)
        .max(100)
        .nullish()
        .describe("The name that the box gives itself."),
      gpu_info: z.string().max(500).nullish(),
      hourly_price: z
        .number()
        .min(0)
        .max(1_000_000)
        .nullish()
        .describe("Used if the token states no price."),
    }),
    ["token"],
  ),
  async (c) => {
    const body = c.req.valid("json");
    const { db, config, address } = c.var;
    const tokenHash = await sha256Hex(body.token);
    const jti = crypto.randomUUID();
    const key = sql`(select id from api_key where jti = ${jti})`;
    const {
      made: [made],
      maker: [maker],
    } = await chain(db, {
      used: db
        .update(boxEnrolment)
        .set({ usedAt: now })
        .where(
          sql`token_hash = ${tokenHash} and used_at is null and expires_at > ${now}
            and exists (select 1 from user u where u.id = user_id and u.active and u.role <> 'viewer')
            and (key_id is null or exists (
              select 1 from api_key m join user u on u.id = m.user_id where m.id = key_id and ${works}))
            and ${roomToMake(config, sql`box_enrolment.user_id`, "keys")}`,
        ),
      key: ifChanged("used", (used) =>
        db.run(sql`
        insert into api_key (jti, user_id, parent_id, name, scopes, days, expires_at)
        select ${jti}, e.user_id, e.key_id, 'box ' || coalesce(e.name, ${body.name ?? null}, 'without a name'), '["box"]', e.days,
          ${soonerOf(fromNow(sql`e.days`, "days"), sql`m.expires_at`)}
        from box_enrolment e left join api_key m on m.id = e.key_id
        where e.token_hash = ${tokenHash} and ${used}`),
      ),
      box: db.run(sql`
        insert into box (user_id, key_id, name, shared, gpu_info, hourly_price)
        select user_id, ${key}, coalesce(name, ${body.name ?? null}, 'box ' || ${key}), shared, ${body.gpu_info ?? null},
          coalesce(hourly_price, ${body.hourly_price ?? null})
        from box_enrolment where token_hash = ${tokenHash} and ${key} is not null`),
      noted: db.run(sql`
        insert into audit_entry (user_id, key_id, address, action, subject, subject_id)
        select user_id, key_id, ${address}, 'box.exchange', 'box', id from box where key_id = ${key}`),
      made: db
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
      maker: db
        .select({ active: user.active, role: user.role })
        .from(boxEnrolment)
        .innerJoin(user, eq(user.id, boxEnrolment.userId))
        .where(
          sql`token_hash = ${tokenHash} and used_at is null and ${boxEnrolment.expiresAt} > ${now}`,
        ),
    });
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
      if (maker && (!maker.active || maker.role === "viewer"))
        throw refuse("maker-not-allowed", { case: maker.active ? "viewer" : "inactive" });
      throw refuse("token-not-valid", {});
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
