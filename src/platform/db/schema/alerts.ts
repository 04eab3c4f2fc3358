import { sql } from "drizzle-orm";
import { check, index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { JsonValue } from "../../../shared/json.ts";
import { now } from "../time.ts";
import { bool, createdAt, json, oneOf } from "./columns.ts";
import { user } from "./people.ts";

/** The kinds of events that webhooks can send. */
export const eventKinds = [
  "failed",
  "lost",
  "finished",
  "loss_diverged",
  "stalled",
  "disk_full",
  "new_best",
  "approval_requested",
  "released",
  "box_idle",
  "job_failed",
] as const;

/** What an event is about. */
export const eventSubjects = ["task", "model", "box", "job"] as const;

/**
 * An event, written in the same batch as the change that it reports. Webhooks get events in the order
 * of their ids: writers take turns, so no event appears below one already delivered.
 */
export const event = sqliteTable(
  "event",
  {
    id: integer().primaryKey(),
    /** The id for receivers; the same in every request about the event. */
    uid: text().notNull().default(sql`(lower(hex(randomblob(16))))`),
    kind: text({ enum: eventKinds }).notNull(),
    subject: text({ enum: eventSubjects }).notNull(),
    subjectId: integer().notNull(),
    /** The task's attempt; 0 where the subject has none. */
    attempt: integer().notNull().default(0),
    /** Tells apart facts that may repeat, such as a model's versions; else empty. */
    occasion: text().notNull().default(""),
    /** Whose task, model or box it is, its group and its name, as they were. */
    userId: integer(),
    experimentGroup: text(),
    name: text().notNull(),
    detail: json<Record<string, JsonValue>>(),
    createdAt: createdAt(),
  },
  (t) => [
    // One fact is one event.
    uniqueIndex("event_fact").on(t.subject, t.subjectId, t.attempt, t.kind, t.occasion),
  ],
);

export const webhookTargets = [
  "generic",
  "slack",
  "discord",
  "feishu",
  "dingtalk",
  "wecom",
] as const;

/** Where events are sent. */
export const webhook = sqliteTable(
  "webhook",
  {
    id: integer().primaryKey(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    name: text().notNull(),
    target: text({ enum: webhookTargets }).notNull(),
    /** Chat services put their secret into the address, so it is as secret as `secret`. */
    url: text().notNull(),
    secret: text(),
    /** What is sent; null: all. */
    kinds: json<(typeof eventKinds)[number][]>(),
    groups: json<string[]>(),
    users: json<number[]>(),
    /** Groups whose events are not sent, each until a time or for good. */
    mutes: json<{ group: string; until: string | null }[]>().notNull().default([]),
    active: bool().notNull().default(true),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
    deletedAt: text(),
  },
  (t) => [
    index("webhook_user").on(t.userId).where(sql`deleted_at is null`),
    index("webhook_gone").on(t.deletedAt).where(sql`deleted_at is not null`),
    check("webhook_target", oneOf(t.target, webhookTargets)),
  ],
);

export const deliveryStates = ["waiting", "delivered", "dead"] as const;

/** One event on its way to one webhook, and the outcome. */
export const delivery = sqliteTable(
  "delivery",
  {
    id: integer().primaryKey(),
    eventId: integer()
      .notNull()
      .references(() => event.id),
    webhookId: integer()
      .notNull()
      .references(() => webhook.id),
    /** Whose webhook it is: their log is found by it. */
    userId: integer(),
    state: text({ enum: deliveryStates }).notNull().default("waiting"),
    /**
     * The delivery whose message includes this one, if the webhook had reached its limit for the hour; its
     * own id if it is that one. Null: it has a message of its own.
     */
    bundleId: integer(),
    attempts: integer().notNull().default(0),
    /** When it may be tried next; while one try is under way, when that one counts as lost. */
    nextAt: text().notNull().default(now),
    createdAt: createdAt(),
    deliveredAt: text(),
    /** HTTP status of the last answer, and what was wrong with it in words. */
    status: integer(),
    error: text(),
  },
  (t) => [
    uniqueIndex("delivery_once").on(t.eventId, t.webhookId),
    index("delivery_webhook").on(t.webhookId),
    index("delivery_user").on(t.userId),
    index("delivery_hour").on(t.webhookId, t.createdAt).where(sql`bundle_id is null`),
    index("delivery_bundle").on(t.bundleId).where(sql`bundle_id is not null`),
    index("delivery_head").on(t.webhookId).where(sql`bundle_id = id and state = 'waiting'`),
    index("delivery_due").on(t.nextAt).where(sql`state = 'waiting'`),
    index("delivery_open").on(t.id).where(sql`state <> 'delivered'`),
    check("delivery_state", oneOf(t.state, deliveryStates)),
  ],
);

/** The last event that was given to webhooks: one row. */
export const alertCursor = sqliteTable("alert_cursor", {
  id: integer().primaryKey(),
  eventId: integer().notNull(),
});
