import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { JsonValue } from "../../../shared/json.ts";
import { createdAt, json } from "./columns.ts";

/** What an audit entry is about. */
export const auditSubjects = [
  "task",
  "weight",
  "user",
  "key",
  "model",
  "box",
  "webhook",
  "mirror",
  "rule",
  "view",
  "dialect",
] as const;

/**
 * Who did what to which row. Append-only: triggers refuse to change or delete an entry. No foreign
 * keys: what it names may be purged, the entry stays.
 */
export const auditEntry = sqliteTable(
  "audit_entry",
  {
    id: integer().primaryKey(),
    at: createdAt(),
    /** Null: the scheduled job, or the command line, as `address` then says. */
    userId: integer(),
    keyId: integer(),
    address: text(),
    action: text().notNull(),
    /** The first word of `action`, as a trigger makes sure. */
    subject: text({ enum: auditSubjects }).notNull(),
    subjectId: integer(),
    detail: json<JsonValue>(),
  },
  (t) => [
    index("audit_entry_subject").on(t.subject, t.subjectId),
    index("audit_entry_user").on(t.userId),
    // Entries on people and keys are few among those on runs; runs' own pay nothing for this index.
    index("audit_entry_rare").on(t.subject).where(sql`subject <> 'task' and subject <> 'weight'`),
  ],
);

/**
 * Audit entries that were moved into the bucket: gzipped lines of JSON, each an entry. Append-only.
 * Triggers let only entries go that one of these holds.
 */
export const auditExport = sqliteTable("audit_export", {
  id: integer().primaryKey(),
  /** The ids and times of the first and the last entry in it. */
  firstId: integer().notNull(),
  lastId: integer().notNull().unique(),
  firstAt: text().notNull(),
  lastAt: text().notNull(),
  entries: integer().notNull(),
  objectKey: text().notNull(),
  size: integer().notNull(),
  sha256: text().notNull(),
  createdAt: createdAt(),
});
