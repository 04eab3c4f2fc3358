import { and, eq, isNull, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit, ifChanged } from "../audit/audit.ts";
import { forgetKeys } from "../auth/keys.ts";
import { type App, allow } from "../auth/middleware.ts";
import { apiKey, box, boxEnrolment, now } from "../db/schema.ts";
import { hex, sha256Hex } from "../http/hash.ts";
import { decodeCursor, encodeCursor, page, pageQuery } from "../http/page.ts";
import { idParam } from "../http/params.ts";
import { ApiError, notFound } from "../http/problem.ts";
import { describe, validate } from "../http/validate.ts";
import { toWire } from "../http/wire.ts";

const name = z.string().trim().min(1).max(100);
const price = z.number().min(0).max(1_000_000).describe("What the box costs an hour.");

const boxTask = z.object({
  task_id: z.int(),
  task_name: z.string(),
  attempt: z.int(),
  agent: z.string(),
  since: z.string().describe("When this attempt began."),
  heartbeat_at: z.string().nullable(),
  step: z.number().nullable(),
  total_steps: z.number().nullable(),
  gpu: z.record(z.string(), z.json()).describe("Its last `gpu.…` metrics, such as `gpu.0.util`."),
});

const boxAnswer = z
  .object({
    id: z.int(),
    name: z.string(),
    user_id: z.int(),
    shared: z.boolean().describe("Whether it runs other users' tasks too."),
    gpu_info: z.string().nullable(),
    hourly_price: z.number().nullable(),
    enrolled_at: z.string(),
    claimed_at: z.string().nullable().describe("When it last pulled a task."),
    last_seen_at: z.string().describe("To about five minutes while it has no task."),
    key_expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    tasks: z.array(boxTask).describe("What it is doing: the tasks it pulled that still run."),
  })
  .meta({ id: "Box" });

const newToken = () => `enrol-${hex(crypto.getRandomValues(new Uint8Array(32)))}`;

/** The boxes under `where` of a page, as a subquery, so that both reads are one round trip. */
const lastSeen = sql<string>`max(${box.enrolledAt}, coalesce(${box.claimedAt}, ''), coalesce(${apiKey.lastUsedAt}, ''),
  coalesce((select t.heartbeat_at from training_task t where t.id = ${box.claimedTask} and t.key_id = ${box.keyId}), ''))`;

export const boxes = new Hono<App>()
  .post(
    "/enrol",
    describe({
      summary: "Make a one-time token for a box",
      description:
        "For the line that is pasted into a box's start script: whoever brings the token within its minutes gets a key bound to one box. The box pulls tasks, reports on them and uploads their files; it reads nothing but the tasks it pulled.",
      tag: "Boxes",
      answer: {
        schema: z.object({
          token: z.string().describe("Shown this once; good once."),
          expires_at: z.string(),
          shared: z.boolean(),
          days: z.number(),
        }),
        description: "The token, for POST /api/boxes/exchange.",
      },
      errors: {
        403: "A box reports runs and uploads files, so its maker must be able to do both.",
      },
    }),
    allow("tasks:write"),
    validate(
      "json",
      z.strictObject({
        name: name.optional().describe("Default: what the box calls itself."),
        hourly_price: price.nullish(),
        shared: z
          .boolean()
          .optional()
          .describe(
            "Whether it runs everyone's tasks or its owner's alone. Default: everyone's if an admin enrols it. A machine that strangers can reach had better run its owner's alone.",
          ),
        days: z.number().positive().max(90).default(3).describe("Life of the box's key."),
        minutes: z.number().positive().max(60).default(15).describe("Life of the token."),
      }),
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth } = c.var;
      if (!auth.scopes.has("weights:write"))
        throw new ApiError(
          403,
          "not-allowed",
          "A box uploads files: this needs weights:write too.",
        );
      const token = newToken();
      const shared = body.shared ?? auth.role === "admin";
      const { days, minutes } = body;
      const [[made]] = await db.batch([
        db
          .insert(boxEnrolment)
          .values({
            tokenHash: await sha256Hex(token),
            userId: auth.userId,
            name: body.name ?? null,
            shared,
            hourlyPrice: body.hourly_price ?? null,
            days,
            expiresAt: sql`strftime('%Y-%m-%dT%H:%M:%fZ', julianday('now') + ${minutes / 1440})`,
          })
          .returning({ expiresAt: boxEnrolment.expiresAt }),
        audit(db, auth, "box.enrol", sql`select null as id where changes() = 1`, {
          name: body.name ?? null,
          shared,
          days,
        }),
        db
          .delete(boxEnrolment)
          .where(lt(boxEnrolment.expiresAt, sql`strftime('%Y-%m-%dT%H:%M:%fZ','now','-1 day')`)),
      ]);
      if (!made) throw new Error("the token's row did not come back");
      return c.json({ token, expires_at: made.expiresAt, shared, days });
    },
  )
  .get(
    "/",
    describe({
      summary: "What the boxes are doing",
      description: "Newest first.",
      tag: "Boxes",
      answer: {
        schema: z.object({ items: z.array(boxAnswer), next_cursor: z.string().nullable() }),
        description: "A page.",
      },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        ...pageQuery,
        revoked: z.stringbool().default(false).describe("true: revoked boxes too."),
      }),
    ),
    async (c) => {
      const { limit, cursor, revoked } = c.req.valid("query");
      const { db } = c.var;
      const before = cursor ? decodeCursor("boxes", cursor, z.tuple([z.int()]))[0] : undefined;
      const where = and(
        revoked ? undefined : isNull(box.revokedAt),
        before === undefined ? undefined : lt(box.id, before),
      );
      const chosen = sql`(select id, key_id from box where ${where ?? sql`true`} order by id desc limit ${limit})`;
      const [rows, running] = await db.batch([
        db
          .select({
            id: box.id,
            name: box.name,
            userId: box.userId,
            shared: box.shared,
            gpuInfo: box.gpuInfo,
            hourlyPrice: box.hourlyPrice,
            enrolledAt: box.enrolledAt,
            claimedAt: box.claimedAt,
            lastSeenAt: lastSeen,
            keyExpiresAt: apiKey.expiresAt,
            revokedAt: box.revokedAt,
          })
          .from(box)
          .innerJoin(apiKey, eq(apiKey.id, box.keyId))
          .where(where)
          .orderBy(sql`${box.id} desc`)
          .limit(limit + 1),
        db.all<Omit<z.infer<typeof boxTask>, "gpu"> & { box: number; gpu: string }>(sql`
          select b.id as box, t.id as task_id, t.task_name, t.attempt, t.agent, a.started_at as since, t.heartbeat_at,
            t.progress ->> 'step' as step, t.progress ->> 'total_steps' as total_steps,
            (select json_group_object(m.key, json_extract(m.value, '$.last[3]')) from json_each(a.summary) m
              where m.key like 'gpu.%') as gpu
          from ${chosen} b
            cross join training_task t indexed by training_task_running
              on t.key_id = b.key_id and t.status = 'running' and t.agent is not null and t.deleted_at is null
            join task_attempt a on a.task_id = t.id and a.attempt = t.attempt
          order by t.id`),
      ]);
      const items = rows.map((row) => ({
        ...toWire(row),
        tasks: running
          .filter((task) => task.box === row.id)
          .map(({ box: _, gpu, ...task }) => ({ ...task, gpu: JSON.parse(gpu) })),
      }));
      return c.json(page(items, limit, (last) => encodeCursor("boxes", [last.id])));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Revoke a box",
      description:
        "Its key stops within 30 seconds everywhere; what it runs goes back to the queue when its lease ends.",
      tag: "Boxes",
      errors: { 404: "No such live box that is yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const [gone] = await db.batch([
        db
          .update(box)
          .set({ revokedAt: now })
          .where(
            and(
              eq(box.id, id),
              isNull(box.revokedAt),
              auth.role === "admin" ? undefined : eq(box.userId, auth.userId),
            ),
          )
          .returning({ id: box.id }),
        audit(db, auth, "box.revoke", ifChanged(id)),
        db
          .update(apiKey)
          .set({ revokedAt: now })
          .where(
            sql`id = (select key_id from box where id = ${id}) and revoked_at is null and changes() = 1`,
          ),
      ]);
      if (gone.length === 0) throw notFound(`live box ${id} of yours`);
      forgetKeys();
      return c.body(null, 204);
    },
  );
