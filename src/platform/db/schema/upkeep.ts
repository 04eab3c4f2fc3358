import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { createdAt } from "./columns.ts";

/** What a day (UTC) cost, for the page that shows it beside the free plans' limits. */
export const usageDay = sqliteTable("usage_day", {
  day: text().primaryKey(),
  requests: integer().notNull().default(0),
  rowsRead: integer().notNull().default(0),
  rowsWritten: integer().notNull().default(0),
});

/**
 * What counts against a user's bounds where it cannot be counted at each look: triggers keep it.
 * `bytes` are those of the database, `file_bytes` those of files; `uploads` are the unfinished ones.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const userUse = sqliteTable("user_use", {
  userId: integer().primaryKey(),
  tasks: integer().notNull().default(0),
  bytes: integer().notNull().default(0),
  files: integer().notNull().default(0),
  fileBytes: integer().notNull().default(0),
  uploads: integer().notNull().default(0),
  uploadBytes: integer().notNull().default(0),
});

/**
 * How far the look for old Idempotency-Keys is: one row.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const purgePlace = sqliteTable("purge_place", {
  id: integer().primaryKey(),
  place: integer().notNull(),
});

/** Items that a scheduled job failed at: it leaves them out until `retryAt`, and works on all others. */
export const jobFault = sqliteTable(
  "job_fault",
  {
    job: text().notNull(),
    /** Of the row that the job failed at: a task, a rule, a box …; 0 where no row is to blame. */
    subjectId: integer().notNull(),
    failures: integer().notNull(),
    /** The kind of error alone: messages may quote what a user sent. */
    error: text().notNull(),
    retryAt: text().notNull(),
    createdAt: createdAt(),
  },
  (t) => [primaryKey({ columns: [t.job, t.subjectId] })],
);
