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
import type { JsonValue } from "../../../shared/json.ts";
import { roles } from "../../../shared/scopes.ts";
import { bool, createdAt, json, oneOf } from "./columns.ts";

export const user = sqliteTable(
  "user",
  {
    id: integer().primaryKey(),
    name: text().notNull().unique(),
    role: text({ enum: roles }).notNull().default("member"),
    active: bool().notNull().default(true),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
  },
  (t) => [check("user_role", oneOf(t.role, roles))],
);

export const apiKey = sqliteTable(
  "api_key",
  {
    id: integer().primaryKey(),
    jti: text().notNull().unique(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    /** The key that made it, whose life and rights bound its own; null: the command line. */
    parentId: integer(),
    name: text().notNull(),
    scopes: json<string[]>().notNull(),
    createdAt: createdAt(),
    /** How long it may live from its making or renewal; null: as long as its maker. */
    days: real(),
    expiresAt: text(),
    revokedAt: text(),
    lastUsedAt: text(),
  },
  (t) => [
    index("api_key_user").on(t.userId),
    index("api_key_parent").on(t.parentId).where(sql`parent_id is not null`),
    index("api_key_live").on(t.userId, t.expiresAt).where(sql`revoked_at is null`),
  ],
);

/**
 * A browser signed in with a key: the pages hold its token in a cookie no script can read. It gives
 * what its key gives, and ends with it.
 */
export const session = sqliteTable(
  "session",
  {
    id: text().primaryKey(),
    keyId: integer()
      .notNull()
      .references(() => apiKey.id),
    createdAt: createdAt(),
    endsAt: text().notNull(),
    endedAt: text(),
  },
  (t) => [index("session_key").on(t.keyId), index("session_end").on(t.endsAt)],
);

/** A link that signs a browser in once, in place of the key itself. */
export const signInLink = sqliteTable("sign_in_link", {
  /** SHA-256 of the link's code, which is shown once and kept nowhere. */
  codeHash: text().primaryKey(),
  keyId: integer()
    .notNull()
    .references(() => apiKey.id),
  createdAt: createdAt(),
  expiresAt: text().notNull(),
  usedAt: text(),
});

/** A table (TOML) of how a trainer's files and lines are read, which somebody has stored. */
export const dialect = sqliteTable(
  "dialect",
  {
    id: integer().primaryKey(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    /** The `name` in its text. */
    name: text().notNull(),
    text: text().notNull(),
    /** Whether all users' files are read by it, or its owner's alone. */
    shared: bool().notNull().default(false),
    createdAt: createdAt(),
    updatedAt: createdAt(),
  },
  (t) => [
    uniqueIndex("dialect_name").on(t.userId, t.name),
    index("dialect_shared").on(t.id).where(sql`shared`),
  ],
);

/** What a person last chose for a part of the pages: its default in every browser. */
export const preference = sqliteTable(
  "preference",
  {
    userId: integer()
      .notNull()
      .references(() => user.id),
    /** The part of the pages, such as `charts`. */
    name: text().notNull(),
    value: json<JsonValue>().notNull(),
    updatedAt: createdAt(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.name] })],
);

/** A way to look at the runs that somebody gave a name: the query of the page's address. */
export const savedView = sqliteTable(
  "saved_view",
  {
    id: integer().primaryKey(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    name: text().notNull(),
    query: text().notNull(),
    /** Whether all may open it, or its owner alone. */
    shared: bool().notNull().default(false),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
  },
  (t) => [
    uniqueIndex("saved_view_name").on(t.userId, t.name),
    index("saved_view_shared").on(t.id).where(sql`shared`),
  ],
);
