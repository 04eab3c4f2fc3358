import { and, eq, isNull, lt, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { explainRoom, roomToMake } from "../platform/auth/bounds.ts";
import { forgetKeys, refuseMaker } from "../platform/auth/keys.ts";
import { mayMake, soonerOf } from "../platform/auth/makers.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { apiKey, box, boxEnrolment, statuses } from "../platform/db/schema.ts";
import { ago, fromNow, now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { hex } from "../platform/http/encode.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { mistakeOf } from "../shared/mistakes.ts";
import { lastSeen } from "./box-seen.ts";
import { isShared } from "./box-sharing.ts";

const name = z.string().trim().min(1).max(100);
const price = z.number().min(0).max(1_000_000).describe("The price of the box for an hour.");

const boxTask = z.object({
  task_id: z.int(),
  task_name: z.string(),
  attempt: z.int(),
  agent: z.string(),
  since: z.string().describe("When this attempt began."),
  heartbeat_at: z.string().nullable(),
  step: z.number().nullable(),
  total_steps: z.number().nullable(),
  gpu: z
    .record(z.string(), z.json())
    .describe("The last `gpu.…` metrics of the task, such as `gpu.0.util`."),
});

const boxAnswer = z
  .object({
    id: z.int(),
    name: z.string(),
    user_id: z.int(),
    shared: z
      .boolean()
      .describe(
        "Whether the box runs other users' tasks too, which holds as long as its owner is an admin.",
      ),
    gpu_info: z.string().nullable(),
    labels: z
      .array(z.string())
      .nullable()
      .describe(
        "The labels that the box offered when it last asked for a task; null: it has not asked yet.",
      ),
    gpu_memory_gb: z
      .number()
      .nullable()
      .describe("The memory of the slot that asked last; 0: the slot did not state it."),
    hourly_price: z.number().nullable(),
    enrolled_at: z.string(),
    claimed_at: z.string().nullable().describe("When the box last pulled a task."),
    last_seen_at: z.string().describe("Accurate to about five minutes while the box has no task."),
    key_expires_at: z.string().nullable(),
    revoked_at: z.string().nullable(),
    tasks: z.array(boxTask).describe("The tasks that the box pulled and that still run."),
    runs: z
      .int()
      .describe("The number of attempts at tasks that the box pulled, including deleted tasks."),
    runs_cost: z
      .number()
      .nullable()
      .describe("The cost of these attempts; null: no price is known."),
    runs_today: z.int().describe("The number of these attempts that ran today (UTC)."),
    hours_today: z
      .number()
      .describe("The hours that these attempts took today, added up over the box's slots."),
    runs_cost_today: z.number().nullable(),
  })
  .meta({ id: "Box" });

/** What adding up a box's attempts gives, and where it has made none. */
const sumsAnswer = boxAnswer.pick({
  runs: true,
  runs_cost: true,
  runs_today: true,
  hours_today: true,
  runs_cost_today: true,
});
const none: z.infer<typeof sumsAnswer> = {
  runs: 0,
  runs_cost: null,
  runs_today: 0,
  hours_today: 0,
  runs_cost_today: null,
};

const newToken = () => `enrol-${hex(crypto.getRandomValues(new Uint8Array(32)))}`;

/** Attempts of a page's boxes that are added up. */
const MOST_ATTEMPTS = 5000;

const runAnswer = z.object({
  task_id: z.int(),
  task_name: z.string(),
  experiment_group: z.string().nullable(),
  attempt: z.int(),
  agent: z.string(),
  status: z.enum(statuses).describe("The state of this attempt."),
  failure_reason: z.string().nullable(),
  started_at: z.string(),
  finished_at: z.string().nullable(),
  duration_sec: z.number().nullable(),
  cost: z.number().nullable(),
});

/** An attempt's last sign of life, and its hours after a moment up to it. */
const until = sql`coalesce(a.finished_at, a.heartbeat_at, a.started_at)`;
const hoursSince = (from: SQL) =>
  sql`max(0.0, (julianday(${until}) - max(julianday(a.started_at), julianday(${from}))) * 24.0)`;
const today = sql`strftime('%Y-%m-%dT00:00:00.000Z','now')`;

export const boxes = new Hono<App>()
  .post(
    "/enrol",
    describe({
      summary: "Make a one-time token for a box",
      description:
        "For the line that you paste into a box's start script: whoever presents the token before it expires gets a key bound to one box. That key ends with the key that made the token at the latest. The box pulls tasks, reports on them and uploads their files; it reads only the tasks that it pulled.",
      tag: "Boxes",
      answer: {
        schema: z.object({
          token: z.string().describe("Only this answer shows the token; it works once."),
          expires_at: z.string(),
          shared: z.boolean(),
          days: z.number(),
          key_expires_at: z
            .string()
            .nullable()
            .describe("When the box's key ends, if that is sooner than after `days`."),
          warnings: z
            .array(z.string())
            .describe("A warning if the box's key ends sooner than after `days`."),
        }),
        description: "The token, for POST /api/boxes/exchange.",
      },
      errors: {
        403: "A box reports runs and uploads files, so its maker must be able to do both; and only an admin shares a box; or `over-limit`: too many tokens are open.",
      },
    }),
    allow("tasks:write"),
    validate(
      "json",
      z.strictObject({
        name: name.optional().describe("Default: the name that the box gives itself."),
        hourly_price: price.nullish(),
        shared: z
          .boolean()
          .default(false)
          .describe(
            "Whether the box runs everyone's tasks instead of only its owner's. Default: only its owner's. Only an admin's key with the scope admin can grant everyone's, and the grant holds while the box's owner is an admin. A machine that strangers can reach should run only its owner's tasks.",
          ),
        days: z.number().positive().max(90).default(3).describe("The life of the box's key."),
        minutes: z.number().positive().max(60).default(15).describe("The life of the token."),
      }),
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      if (!auth.scopes.has("weights:write")) throw refuse("not-allowed", { case: "box-enrol" });
      const { shared } = body;
      if (shared && !auth.scopes.has("admin")) throw refuse("not-allowed", { case: "shared" });
      const token = newToken();
      const { days, minutes } = body;
      const expiresAt = fromNow(minutes, "minutes");
      const tokenHash = await sha256Hex(token);
      const {
        made: [made],
      } = await chain(db, {
        enrolment: db.run(sql`
          insert into box_enrolment (token_hash, user_id, key_id, name, shared, hourly_price, days, expires_at)
          select ${tokenHash}, u.id, m.id, ${body.name ?? null}, ${Number(shared)}, ${body.hourly_price ?? null}, ${days},
            ${soonerOf(expiresAt, sql`m.expires_at`)}
          from api_key m join user u on u.id = m.user_id where m.id = ${auth.keyId} and ${mayMake(auth)}
            and ${roomToMake(config, auth.userId, "enrolments")}`),
        noted: ifChanged("enrolment", (changed) =>
          audit(db, auth, "box.enrol", sql`select null as id where ${changed}`, {
            name: body.name ?? null,
            shared,
            days,
          }),
        ),
        expired: db.delete(boxEnrolment).where(lt(boxEnrolment.expiresAt, ago(1, "days"))),
        made: db
          .select({
            expiresAt: boxEnrolment.expiresAt,
            keyEnds: sql<string | null>`(select m.expires_at from api_key m where m.id = key_id)`,
          })
          .from(boxEnrolment)
          .where(eq(boxEnrolment.tokenHash, tokenHash)),
      });
      if (!made)
        throw (
          (await explainRoom(db, config, auth.userId, { enrolments: 1 })) ??
          (await refuseMaker(db, auth))
        );
      const { expiresAt: expires_at, keyEnds } = made;
      const early = keyEnds !== null && Date.parse(keyEnds) < Date.now() + days * 86_400_000;
      const key_expires_at = early ? keyEnds : null;
      const warnings = early ? [mistakeOf("box-key-ends", { at: keyEnds }).message] : [];
      return c.json({ token, expires_at, shared, days, key_expires_at, warnings });
    },
  )
  .get(
    "/",
    describe({
      summary: "List boxes and their work",
      description: "Newest first.",
      tag: "Boxes",
      answer: {
        schema: z.object({
          items: z.array(boxAnswer),
          next_cursor: z.string().nullable(),
          complete: z
            .boolean()
            .describe(
              `false: these boxes made more than ${MOST_ATTEMPTS} attempts; so many were added up.`,
            ),
        }),
        description: "A page.",
      },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        ...pageQuery,
        revoked: flag().default(false).describe("true: include revoked boxes."),
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
      // The boxes of the page as a subquery, so that all reads are one round trip.
      const chosen = sql`(select id, key_id from box where ${where ?? sql`true`} order by id desc limit ${limit})`;
      const { rows, running, made } = await chain(db, {
        rows: db
          .select({
            id: box.id,
            name: box.name,
            userId: box.userId,
            shared: sql`${isShared}`.mapWith(Boolean),
            gpuInfo: box.gpuInfo,
            labels: box.labels,
            gpuMemoryGb: box.gpuMemoryGb,
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
        running: db.all<Omit<z.infer<typeof boxTask>, "gpu"> & { box: number; gpu: string }>(sql`
          select b.id as box, t.id as task_id, t.task_name, t.attempt, t.agent, a.started_at as since, t.heartbeat_at,
            t.progress ->> 'step' as step, t.progress ->> 'total_steps' as total_steps,
            (select json_group_object(m.key, json_extract(m.value, '$.last[3]')) from json_each(a.summary) m
              where m.key like 'gpu.%') as gpu
          from ${chosen} b
            cross join training_task t indexed by training_task_running
              on t.key_id = b.key_id and t.status = 'running' and t.agent is not null and t.deleted_at is null
            join task_attempt a on a.task_id = t.id and a.attempt = t.attempt
          order by t.id`),
        made: db.all<z.infer<typeof sumsAnswer> & { box: number }>(sql`
          select box, count(*) as runs, sum(coalesce(cost, hours * hourly_price)) as runs_cost,
            sum(until >= ${today}) as runs_today, sum(hours_today) as hours_today,
            sum(iif(until >= ${today}, hours_today * hourly_price, null)) as runs_cost_today
          from (select b.id as box, a.cost, a.hourly_price, ${until} as until, ${hoursSince(sql`a.started_at`)} as hours,
              ${hoursSince(today)} as hours_today
            from ${chosen} b cross join task_attempt a indexed by task_attempt_box
              on a.key_id = b.key_id and a.agent is not null limit ${MOST_ATTEMPTS})
          group by box`),
      });
      const sums = new Map(made.map(({ box: id, ...sum }) => [id, sum]));
      const items = rows.map((row) => ({
        ...toWire(row),
        ...(sums.get(row.id) ?? none),
        tasks: running
          .filter((task) => task.box === row.id)
          .map(({ box: _, gpu, ...task }) => ({ ...task, gpu: JSON.parse(gpu) })),
      }));
      return c.json({
        ...page(items, limit, (last) => encodeCursor("boxes", [last.id])),
        complete: made.reduce((sum, { runs }) => sum + runs, 0) < MOST_ATTEMPTS,
      });
    },
  )
  .get(
    "/:id/runs",
    describe({
      summary: "The runs of a box",
      description: "The attempts at tasks that the box pulled, the last begun first.",
      tag: "Boxes",
      answer: {
        schema: pageAnswer(runAnswer),
        description: "A page; empty if there is no such box.",
      },
    }),
    allow("tasks:read"),
    validate("param", idParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { id } = c.req.valid("param");
      const { limit, cursor } = c.req.valid("query");
      const list = `box ${id}`;
      const place = z.tuple([z.string(), z.int(), z.int()]);
      const [startedAt, task, attempt] = cursor ? decodeCursor(list, cursor, place) : [];
      const rows = await c.var.db.all<z.infer<typeof runAnswer>>(sql`
        select a.task_id, t.task_name, t.experiment_group, a.attempt, a.agent, a.status, a.failure_reason, a.started_at,
          a.finished_at, coalesce(a.duration_sec, ${hoursSince(sql`a.started_at`)} * 3600.0) as duration_sec,
          coalesce(a.cost, ${hoursSince(sql`a.started_at`)} * a.hourly_price) as cost
        from task_attempt a indexed by task_attempt_box
          join training_task t on t.id = a.task_id and t.deleted_at is null
        where a.key_id = (select key_id from box where id = ${id}) and a.agent is not null
          ${startedAt === undefined ? sql`` : sql`and (a.started_at, a.task_id, a.attempt) < (${startedAt}, ${task}, ${attempt})`}
        order by a.started_at desc, a.task_id desc, a.attempt desc limit ${limit + 1}`);
      return c.json(
        page(rows, limit, (last) =>
          encodeCursor(list, [last.started_at, last.task_id, last.attempt]),
        ),
      );
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Revoke a box",
      description:
        "The box's key stops working within 30 seconds everywhere; its tasks return to the queue when their leases end.",
      tag: "Boxes",
      errors: { 404: "No such live box of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const { revoked } = await chain(db, {
        revoked: db
          .update(box)
          .set({ revokedAt: now })
          .where(and(eq(box.id, id), isNull(box.revokedAt), owns(auth, box.userId)))
          .returning({ id: box.id }),
        noted: noteChange(db, auth, "revoked", "box.revoke", id),
        key: ifChanged("noted", (changed) =>
          db
            .update(apiKey)
            .set({ revokedAt: now })
            .where(
              sql`id = (select key_id from box where id = ${id}) and revoked_at is null and ${changed}`,
            ),
        ),
      });
      if (revoked.length === 0) throw notFound("live-box", { id: id });
      forgetKeys();
      return c.body(null, 204);
    },
  );
