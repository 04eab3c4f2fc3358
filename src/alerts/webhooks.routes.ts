import { and, desc, eq, isNull, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import type { Config } from "../env.ts";
import { audit, briefly } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { insertIf } from "../platform/db/insert.ts";
import { delivery, eventKinds, webhook, webhookTargets } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { fromWire, toWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { addressFault } from "./address.ts";
import { send } from "./deliver.ts";
import { newSecret, secretPrefix } from "./message.ts";

type Row = typeof webhook.$inferSelect;

const group = z.string().min(1).max(200);

const fields = {
  name: z.string().trim().min(1).max(100).describe("The purpose of the webhook."),
  url: z.string().max(2000).describe("The receiver's address; never shown again in full."),
  secret: z
    .string()
    .min(1)
    .max(200)
    .nullable()
    .describe(
      "The secret that signs requests. generic: `whsec_` and base64, made if none is given; feishu and dingtalk: the secret of the robot's signature check; the others take none.",
    ),
  kinds: z
    .array(z.enum(eventKinds))
    .min(1)
    .nullable()
    .describe("Kinds of events to send; null: all."),
  groups: z
    .array(group)
    .min(1)
    .max(100)
    .nullable()
    .describe("Experiment groups to send; null: all."),
  users: z
    .array(z.int().positive())
    .min(1)
    .max(100)
    .nullable()
    .describe("Users whose runs and models to send; null: all."),
  mutes: z
    .array(
      z.strictObject({
        group,
        until: z.iso.datetime({ offset: true }).nullable().default(null),
      }),
    )
    .max(100)
    .describe("Groups not to send: until a time, or for good (null)."),
  active: z.boolean(),
};

const newWebhook = z.strictObject({
  ...fields,
  target: z
    .enum(webhookTargets)
    .default("generic")
    .describe("The receiver's kind, which decides format and signature."),
  secret: fields.secret.default(null),
  kinds: fields.kinds.default(null),
  groups: fields.groups.default(null),
  users: fields.users.default(null),
  mutes: fields.mutes.default([]),
  active: fields.active.default(true),
});

const changes = z.strictObject(fields).partial();

const answer = z
  .object({
    ...fields,
    id: z.int(),
    user_id: z.int(),
    target: z.enum(webhookTargets),
    url: z
      .string()
      .describe("Only the beginning and the end of the address: the rest may be a secret."),
    signed: z.boolean().describe("Whether requests are signed with a secret."),
    version: z.int(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .omit({ secret: true })
  .meta({ id: "Webhook" });

/** Chat services put their secret into the path or the query: the end suffices to distinguish two addresses. */
const maskAddress = (address: string) => `${new URL(address).origin}/…${address.slice(-4)}`;

const toAnswer = ({ secret, url, deletedAt: _, ...row }: Row): z.infer<typeof answer> =>
  toWire({ ...row, url: maskAddress(url), signed: secret !== null });

/** Refuses an address or a secret that does not fit its target. Throws ApiError 422. */
function checkReceiver(config: Config, { target, url, secret }: Partial<Row>) {
  const fault = url === undefined ? null : addressFault(url, config.ALLOW_INSIDE_WEBHOOKS);
  const faults = fault ? [{ path: "url", message: fault }] : [];
  const wrong =
    typeof secret !== "string"
      ? null
      : target === "generic"
        ? /^whsec_[A-Za-z0-9+/]{32,96}={0,2}$/.test(secret) &&
          secret.slice(secretPrefix.length).length % 4 === 0
          ? null
          : "must be whsec_ and the base64 of 24 to 72 bytes, or null for one to be made"
        : target === "feishu" || target === "dingtalk"
          ? null
          : `is nothing ${target} takes: its address is its secret`;
  if (wrong) faults.push({ path: "secret", message: wrong });
  if (faults.length) throw notValid(faults, "The webhook");
}

/** The condition under which a caller may see and change the webhook. */
const ownWebhook = (id: number, auth: Auth) =>
  and(eq(webhook.id, id), isNull(webhook.deletedAt), owns(auth, webhook.userId));

export const webhooks = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a webhook",
      description:
        "Sends events to a chat service or an address of your own. An address that points inside is refused.",
      tag: "Alerts",
      answer: {
        schema: answer.extend({
          secret: z
            .string()
            .nullable()
            .describe("The secret that was made for it, shown this once."),
        }),
        description: "The webhook.",
      },
      errors: { 403: "`over-limit`: the user has as many of them as there may be." },
    }),
    allow("tasks:write"),
    validate("json", newWebhook, ["url", "secret"]),
    async (c) => {
      const body = c.req.valid("json");
      const { auth, db, config } = c.var;
      checkReceiver(config, body);
      const made = body.target === "generic" && !body.secret ? newSecret() : null;
      const { url: _, secret: __, ...loggable } = body;
      const {
        row: [row],
      } = await chain(db, {
        inserted: db.run(
          insertIf(
            webhook,
            { ...body, secret: made ?? body.secret, userId: auth.userId },
            roomToMake(config, auth.userId, "webhooks"),
          ),
        ),
        noted: ifChanged("inserted", (changed) =>
          audit(
            db,
            auth,
            "webhook.create",
            sql`select last_insert_rowid() as id where ${changed}`,
            briefly(loggable),
          ),
        ),
        row: ifChanged("noted", (changed) =>
          db.select().from(webhook).where(sql`id = (select max(id) from webhook) and ${changed}`),
        ),
      });
      if (!row) throw await noRoom(db, config, auth.userId, "webhooks");
      return c.json({ ...toAnswer(row), secret: made });
    },
  )
  .get(
    "/",
    describe({
      summary: "List webhooks",
      description: "One's own; admins see all. Never their secrets.",
      tag: "Alerts",
      answer: {
        schema: pageAnswer(answer),
        description: "Webhooks, newest first.",
      },
    }),
    allow("tasks:write"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor ? decodeCursor("webhooks", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await db
        .select()
        .from(webhook)
        .where(
          and(
            before === undefined ? undefined : lt(webhook.id, before),
            isNull(webhook.deletedAt),
            owns(auth, webhook.userId),
          ),
        )
        .orderBy(desc(webhook.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toAnswer), limit, (last) => encodeCursor("webhooks", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "One webhook",
      tag: "Alerts",
      answer: { schema: answer, description: "The webhook." },
      errors: { 404: "No such webhook of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const [row] = await c.var.db.select().from(webhook).where(ownWebhook(id, c.var.auth));
      if (!row) throw notFound("own-webhook", { id: id });
      return c.json(toAnswer(row), 200, { ETag: `"${row.version}"` });
    },
  )
  .patch(
    "/:id",
    describe({
      summary: "Change a webhook",
      description: "Fields that the request leaves out stay. Mutes are replaced as a whole.",
      tag: "Alerts",
      answer: { schema: answer, description: "The webhook." },
      errors: {
        404: "No such webhook of yours.",
        412: "Changed by someone else since it was read.",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("json", changes, ["url", "secret"]),
    async (c) => {
      const { id } = c.req.valid("param");
      const body = c.req.valid("json");
      const version = ifMatch(c.req.header("If-Match"));
      const { auth, db, config } = c.var;
      const [before] = await db.select().from(webhook).where(ownWebhook(id, auth));
      if (!before) throw notFound("own-webhook", { id: id });
      checkReceiver(config, { target: before.target, ...body });
      if (before.target === "generic" && body.secret === null)
        throw notValid([{ path: "secret", message: "can be changed, not taken away" }]);
      const { url, secret, ...loggable } = body;
      const {
        row: [row],
      } = await chain(db, {
        row: db
          .update(webhook)
          .set({ ...fromWire<Partial<Row>>(body), version: sql`version + 1`, updatedAt: now })
          .where(and(ownWebhook(id, auth), eq(webhook.version, version ?? before.version)))
          .returning(),
        noted: noteChange(
          db,
          auth,
          "row",
          "webhook.update",
          id,
          briefly({
            ...loggable,
            ...(url && { url: maskAddress(url) }),
            ...(secret !== undefined && { secret: "changed" }),
          }),
        ),
      });
      if (!row) throw changedMeanwhile(before.version);
      return c.json(toAnswer(row), 200, { ETag: `"${row.version}"` });
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a webhook",
      description:
        "Deliveries still on their way to it are given up. Its deliveries stay in the log.",
      tag: "Alerts",
      errors: { 404: "No such webhook of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      const {
        deleted: [deleted],
      } = await chain(db, {
        deleted: db
          .update(webhook)
          .set({ deletedAt: now, active: false, url: "https://deleted.invalid/", secret: null })
          .where(ownWebhook(id, auth))
          .returning({ id: webhook.id }),
        noted: noteChange(db, auth, "deleted", "webhook.delete", id),
        ended: ifChanged("noted", (changed) =>
          db
            .update(delivery)
            .set({ state: "dead", error: "was not sent: the webhook was deleted" })
            .where(and(eq(delivery.webhookId, id), eq(delivery.state, "waiting"), changed)),
        ),
      });
      if (!deleted) throw notFound("own-webhook", { id: id });
      return c.body(null, 204);
    },
  )
  .post(
    "/:id/test",
    describe({
      summary: "Send a test message",
      description:
        "Sends the message at once, without filters and without an entry in the delivery log; the answer states how the receiver answered.",
      tag: "Alerts",
      answer: {
        schema: z.object({
          delivered: z.boolean(),
          status: z.int().nullable().describe("The receiver's HTTP status."),
          error: z.string().nullable().describe("The fault, in words."),
        }),
        description: "The outcome.",
        example: { delivered: false, status: 500, error: "was answered 500" },
      },
      errors: { 404: "No such webhook of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db, config } = c.var;
      const {
        row: [row],
      } = await chain(db, {
        noted: audit(
          db,
          auth,
          "webhook.test",
          sql`select ${webhook.id} as id from webhook where ${ownWebhook(id, auth)}`,
        ),
        row: db.select().from(webhook).where(ownWebhook(id, auth)),
      });
      if (!row) throw notFound("own-webhook", { id: id });
      const { status, error } = await send(config, row, {
        uid: crypto.randomUUID().replaceAll("-", ""),
        kind: "test",
        subject: "task",
        subjectId: 0,
        attempt: 0,
        userId: auth.userId,
        userName: auth.userName,
        experimentGroup: null,
        name: row.name,
        detail: null,
        createdAt: new Date().toISOString(),
      });
      return c.json({ delivered: error === null, status, error });
    },
  );
