import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit } from "../platform/audit/audit.ts";
import { owns, unlessAdmin } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import {
  delivery,
  deliveryStates,
  event,
  eventKinds,
  eventSubjects,
  webhook,
} from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { sendLater } from "./outbox.ts";

/** Deliveries that an event brings along; with many webhooks there are more. */
const MOST_DELIVERIES = 10;

const eventAnswer = z
  .object({
    id: z.int(),
    uid: z
      .string()
      .describe("The id for receivers: `Webhook-Id` of every request about the event."),
    kind: z.enum(eventKinds),
    subject: z.enum(eventSubjects),
    subject_id: z.int(),
    attempt: z.int().describe("The task's attempt; 0 if the subject has no attempts."),
    occasion: z.string().describe("Distinguishes facts that may repeat; otherwise empty."),
    user_id: z.int().nullable(),
    experiment_group: z.string().nullable(),
    name: z.string(),
    detail: z.record(z.string(), z.json()).nullable(),
    created_at: z.string(),
    deliveries: z
      .array(
        z.object({
          id: z.int(),
          webhook: z.string(),
          state: z.enum(deliveryStates),
          attempts: z.int(),
          next_at: z.string(),
          delivered_at: z.string().nullable(),
          status: z.int().nullable(),
          error: z.string().nullable(),
          bundle_id: z
            .int()
            .nullable()
            .describe(
              "The delivery whose message includes this one; null: it has a message of its own.",
            ),
        }),
      )
      .describe(
        `Deliveries of the event to the caller's own webhooks; admins see all. Up to ${MOST_DELIVERIES}; \`GET /api/deliveries?event=\` lists them all.`,
      ),
  })
  .meta({ id: "Event" });

const deliveryAnswer = z
  .object({
    id: z.int(),
    event_id: z.int(),
    webhook_id: z.int(),
    state: z
      .enum(deliveryStates)
      .describe("`dead`: given up after many tries; you can send it again."),
    attempts: z.int(),
    next_at: z.string().describe("For a waiting delivery: when the next try is."),
    created_at: z.string(),
    delivered_at: z.string().nullable(),
    status: z.int().nullable().describe("The HTTP status of the last answer."),
    error: z.string().nullable().describe("The fault of the last try, in words."),
    kind: z.enum(eventKinds),
    name: z.string().describe("The name of the run or model that the event is about."),
    webhook: z.string().describe("The webhook's name."),
    bundle_id: z
      .int()
      .nullable()
      .describe(
        "The delivery whose message included this one, because the webhook had reached its limit for the hour; null: it had a message of its own.",
      ),
  })
  .meta({ id: "Delivery" });

const columns = {
  id: delivery.id,
  eventId: delivery.eventId,
  webhookId: delivery.webhookId,
  state: delivery.state,
  attempts: delivery.attempts,
  nextAt: delivery.nextAt,
  createdAt: delivery.createdAt,
  deliveredAt: delivery.deliveredAt,
  status: delivery.status,
  error: delivery.error,
  kind: event.kind,
  bundleId: delivery.bundleId,
  name: event.name,
  webhook: webhook.name,
};

const id = z.coerce.number().int().positive();

export const events = new Hono<App>().get(
  "/",
  describe({
    summary: "List events",
    description: "All events, whether a webhook is set to receive them or not.",
    tag: "Alerts",
    answer: {
      schema: pageAnswer(eventAnswer),
      description: "Events, newest first.",
    },
  }),
  allow("tasks:read"),
  validate(
    "query",
    z.strictObject({
      ...pageQuery,
      task: id.optional().describe("Only events about this task."),
      undelivered: flag()
        .default(false)
        .describe("true: only events that one of these webhooks has not received."),
    }),
  ),
  async (c) => {
    const { limit, cursor, task, undelivered } = c.req.valid("query");
    const { db, auth } = c.var;
    const before = cursor ? decodeCursor("events", cursor, z.tuple([z.int()]))[0] : undefined;
    const where = and(
      before === undefined ? undefined : lt(event.id, before),
      task === undefined ? undefined : sql`subject = 'task' and subject_id = ${task}`,
      undelivered
        ? sql`${event.id} in (select d.event_id from delivery d indexed by delivery_open
            join webhook on webhook.id = d.webhook_id where d.state <> 'delivered' and ${owns(auth, webhook.userId)})`
        : undefined,
    );
    const chosen = db
      .select()
      .from(event)
      .where(where)
      .orderBy(desc(event.id))
      .limit(limit + 1);
    const { rows, sent } = await chain(db, {
      rows: chosen,
      sent: db
        .select({
          id: delivery.id,
          eventId: delivery.eventId,
          webhook: webhook.name,
          state: delivery.state,
          attempts: delivery.attempts,
          nextAt: delivery.nextAt,
          deliveredAt: delivery.deliveredAt,
          status: delivery.status,
          error: delivery.error,
          bundleId: delivery.bundleId,
        })
        .from(
          sql`(select ${event.id} as id from event where ${where ?? sql`true`} order by id desc limit ${limit}) shown`,
        )
        // Looked up event by event, so that no more are read than are shown.
        .innerJoin(
          delivery,
          sql`${delivery.id} in (select d.id from delivery d
            where d.event_id = shown.id ${undelivered ? sql`and d.state <> 'delivered'` : sql``}
              and ${unlessAdmin(auth, sql`d.webhook_id in (select id from webhook where user_id = ${auth.userId})`)}
            order by d.webhook_id limit ${MOST_DELIVERIES})`,
        )
        .innerJoin(webhook, eq(webhook.id, delivery.webhookId))
        .orderBy(delivery.id),
    });
    const byEvent = Map.groupBy(sent, ({ eventId }) => eventId);
    const items = rows.map((row) => ({
      ...toWire(row),
      deliveries: (byEvent.get(row.id) ?? []).map(({ eventId: _, ...one }) => toWire(one)),
    }));
    return c.json(page(items, limit, (last) => encodeCursor("events", [last.id])));
  },
);

export const deliveries = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "List deliveries",
      description: "Deliveries to the caller's own webhooks; admins see all.",
      tag: "Alerts",
      answer: {
        schema: pageAnswer(deliveryAnswer),
        description: "Deliveries, newest first.",
      },
    }),
    allow("tasks:write"),
    validate(
      "query",
      z.strictObject({
        ...pageQuery,
        webhook: id.optional().describe("Only deliveries to this webhook."),
        event: id.optional().describe("Only deliveries of this event."),
        state: z.enum(deliveryStates).optional(),
      }),
    ),
    async (c) => {
      const { limit, cursor, state, ...only } = c.req.valid("query");
      const before = cursor ? decodeCursor("deliveries", cursor, z.tuple([z.int()]))[0] : undefined;
      const { auth, db } = c.var;
      // One index serves a call. A plus keeps a column from being looked up where another narrows
      // more; of those not delivered there are few.
      const open = state === "dead" || state === "waiting";
      const plus = (more: boolean) => sql.raw(more ? "+" : "");
      const narrow = only.event !== undefined || open;
      const mine = owns(auth, sql`${plus(narrow)}${delivery.userId}`);
      const ofWebhook = sql`${plus(open)}${delivery.webhookId} = (
        select w.id from webhook w where w.id = ${only.webhook} and ${owns(auth, sql`w.user_id`)})`;
      const rows = await db
        .select(columns)
        .from(delivery)
        .innerJoin(event, eq(event.id, delivery.eventId))
        .innerJoin(webhook, eq(webhook.id, delivery.webhookId))
        .where(
          and(
            before === undefined ? undefined : lt(delivery.id, before),
            only.webhook === undefined ? undefined : ofWebhook,
            only.event === undefined ? undefined : eq(delivery.eventId, only.event),
            state && eq(delivery.state, state),
            open ? sql`${delivery.state} <> 'delivered'` : undefined,
            only.webhook === undefined ? mine : undefined,
          ),
        )
        .orderBy(desc(delivery.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("deliveries", [last.id])));
    },
  )
  .post(
    "/:id/redeliver",
    describe({
      summary: "Send a delivery again",
      description:
        "For a delivery that was given up or delivered. The tries begin anew, with the same event id.",
      tag: "Alerts",
      answer: { schema: deliveryAnswer, description: "The delivery, waiting." },
      errors: {
        404: "No such delivery to a webhook of yours.",
        409: "The delivery is on its way, or its webhook is switched off or deleted.",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const target = c.req.valid("param").id;
      const { db, auth } = c.var;
      const live = sql`exists (select 1 from webhook where id = ${delivery.webhookId} and ${owns(auth, webhook.userId)} and active and deleted_at is null)`;
      const {
        again: [again],
        row: [row],
      } = await chain(db, {
        again: db
          .update(delivery)
          .set({
            state: "waiting",
            attempts: 0,
            nextAt: now,
            deliveredAt: null,
            // One out of a bundle comes alone this time.
            bundleId: sql`iif(bundle_id = id, id, null)`,
          })
          .where(and(eq(delivery.id, target), sql`state <> 'waiting'`, live))
          .returning({ id: delivery.id }),
        noted: ifChanged("again", (changed) =>
          audit(
            db,
            auth,
            "webhook.redeliver",
            sql`select webhook_id as id from delivery where id = ${target} and ${changed}`,
            { delivery: target },
          ),
        ),
        row: db
          .select(columns)
          .from(delivery)
          .innerJoin(event, eq(event.id, delivery.eventId))
          .innerJoin(webhook, eq(webhook.id, delivery.webhookId))
          .where(and(eq(delivery.id, target), owns(auth, webhook.userId))),
      });
      if (!row) throw notFound("delivery", { id: target });
      if (!again)
        throw refuse(
          "not-redelivered",
          row.state === "waiting"
            ? { case: "waiting", delivery: target, at: String(row.nextAt) }
            : { case: "off", webhook: row.webhook },
          { extra: { state: row.state } },
        );
      sendLater(c, target);
      return c.json(toWire(row));
    },
  );
