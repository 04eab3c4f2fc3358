import { sql } from "drizzle-orm";
import {
  check,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import { now } from "../time.ts";
import { bool, createdAt, json } from "./columns.ts";
import { user } from "./people.ts";

/**
 * The tasks of a user that ask the same of a box and are ready: how many, and the first in line.
 * Triggers keep it; a lane without ready tasks has no row, so that a claim reads live ones alone.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const queueLane = sqliteTable(
  "queue_lane",
  {
    userId: integer().notNull(),
    labels: text().notNull(),
    minGpuMemoryGb: integer().notNull(),
    ready: integer().notNull(),
    /** Null only while a trigger is at work. */
    headPriority: integer(),
    headTask: integer(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.labels, t.minGpuMemoryGb] })],
);

/**
 * How many queued tasks of a user run, and when one was last begun: whose turn it is.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const queueTurn = sqliteTable("queue_turn", {
  userId: integer().primaryKey(),
  running: integer().notNull().default(0),
  servedAt: text().notNull(),
});

/** A task that waits until another has ended in success. */
export const taskDependency = sqliteTable(
  "task_dependency",
  {
    dependsOn: integer().notNull(),
    taskId: integer().notNull(),
    met: bool().notNull().default(false),
  },
  (t) => [
    primaryKey({ columns: [t.dependsOn, t.taskId] }),
    index("task_dependency_task").on(t.taskId),
    index("task_dependency_unmet").on(t.dependsOn, t.taskId).where(sql`met = 0`),
  ],
);

/**
 * Tasks that succeeded and have more dependents than their end released at once.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const queueRelease = sqliteTable("queue_release", { taskId: integer().primaryKey() });

/**
 * The place of the search for lost runs: one row.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const lostSweep = sqliteTable("lost_sweep", {
  id: integer().primaryKey(),
  sweptAt: text().notNull(),
  /** Nothing is given up before: after an outage boxes get time to report. */
  graceUntil: text().notNull(),
  /** The last running task looked at, where one call did not reach them all. */
  place: integer().notNull().default(0),
});

/** A machine that was enrolled, and the key bound to it. */
export const box = sqliteTable(
  "box",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    userId: integer()
      .notNull()
      .references(() => user.id),
    keyId: integer().notNull(),
    name: text().notNull(),
    /** Whether it runs other users' tasks too. */
    shared: bool().notNull(),
    gpuInfo: text(),
    hourlyPrice: real(),
    enrolledAt: text().notNull().default(now),
    /** When it last pulled a task, and which. */
    claimedAt: text(),
    claimedTask: integer(),
    /** What it said last that it offers, when it asked for a task. */
    labels: json<string[]>(),
    gpuMemoryGb: real(),
    revokedAt: text(),
  },
  (t) => [
    uniqueIndex("box_key").on(t.keyId),
    index("box_user").on(t.userId),
    index("box_live").on(t.id).where(sql`revoked_at is null`),
    check("box_hourly_price", sql`${t.hourlyPrice} >= 0`),
  ],
);

/** A one-time token's hash, and what the box that brings it becomes. */
export const boxEnrolment = sqliteTable(
  "box_enrolment",
  {
    tokenHash: text().primaryKey(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    /** The key that made the token, and so the box's key. */
    keyId: integer(),
    name: text(),
    shared: bool().notNull(),
    hourlyPrice: real(),
    /** Life of the box's key. */
    days: real().notNull(),
    createdAt: createdAt(),
    expiresAt: text().notNull(),
    usedAt: text(),
  },
  (t) => [
    index("box_enrolment_expiry").on(t.expiresAt),
    index("box_enrolment_user").on(t.userId, t.expiresAt),
  ],
);
