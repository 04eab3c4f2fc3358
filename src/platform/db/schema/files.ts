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
import { bool, createdAt, json, oneOf } from "./columns.ts";
import { user } from "./people.ts";

export const weightKinds = ["final", "checkpoint", "state", "sample", "config"] as const;
export const weightStates = ["uploading", "complete", "aborted"] as const;
export const objectStates = [...weightStates, "removed"] as const;
export const verifications = ["sha256", "parts", "size"] as const;

/** An object in the bucket, and what its bytes say. Weights that are the same file share it. */
export const storedObject = sqliteTable(
  "stored_object",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    objectKey: text().notNull().unique(),
    /** The task it was first uploaded for, and that task's user: bounds count it to them. */
    taskId: integer().notNull(),
    userId: integer(),
    size: integer().notNull(),
    sha256: text().notNull(),
    /** `aborted`: nothing refers to its bytes any more; `removed`: they are gone. */
    state: text({ enum: objectStates }).notNull().default("uploading"),
    verified: text({ enum: verifications }),
    /** The bucket's id of a multipart upload, while one runs. */
    uploadId: text(),
    /** Bytes of each part but the last; null: one PUT. */
    partSize: integer(),
    createdAt: createdAt(),
    /** When the sweep takes an aborted object away: after the last URL for it has expired. */
    sweepAt: text(),
    /** `image/png` and the like where the first bytes say so; null: never shown inline. */
    mediaType: text(),
    rank: integer(),
    convRank: integer(),
    alpha: real(),
    algorithm: text(),
    baseArch: text(),
    tensorCount: integer(),
    dtype: text(),
    /** The safetensors header's `__metadata__`, secrets replaced. */
    metadata: json<Record<string, string>>(),
    /** What is odd about the file, in words. */
    warnings: json<string[]>(),
  },
  (t) => [
    index("stored_object_content").on(t.sha256, t.size),
    index("stored_object_uploading").on(t.createdAt).where(sql`state = 'uploading'`),
    index("stored_object_sweep").on(t.sweepAt).where(sql`state = 'aborted'`),
    check("stored_object_state", oneOf(t.state, objectStates)),
    check("stored_object_verified", oneOf(t.verified, verifications)),
    check("stored_object_size", sql`${t.size} >= 0`),
  ],
);

/** Parts that arrived through the Worker's own signed URLs (an R2 binding cannot list them). */
export const uploadPart = sqliteTable(
  "upload_part",
  {
    objectId: integer()
      .notNull()
      .references(() => storedObject.id),
    number: integer().notNull(),
    etag: text().notNull(),
    size: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.objectId, t.number] })],
);

/** One file that a task produced. Its object has what the file itself says. */
export const weight = sqliteTable(
  "weight",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    taskId: integer().notNull(),
    attempt: integer().notNull(),
    objectId: integer()
      .notNull()
      .references(() => storedObject.id),
    /** The key that announced it. */
    keyId: integer(),
    kind: text({ enum: weightKinds }).notNull(),
    filename: text().notNull(),
    size: integer().notNull(),
    /** As it was announced: proven where the object's `verified` is `sha256`. */
    sha256: text().notNull(),
    state: text({ enum: weightStates }).notNull().default("uploading"),
    epoch: real(),
    step: integer(),
    prompt: text(),
    seed: integer(),
    group: text(),
    createdAt: createdAt(),
    completedAt: text(),
    deletedAt: text(),
  },
  (t) => [
    index("weight_task").on(t.taskId),
    index("weight_object").on(t.objectId),
    index("weight_by_kind").on(t.kind).where(sql`deleted_at is null`),
    index("weight_trash").on(t.deletedAt).where(sql`deleted_at is not null`),
    // A file announced again is the same weight, also when two announce it at once.
    uniqueIndex("weight_identity")
      .on(t.taskId, t.attempt, t.kind, t.filename, t.sha256, t.size)
      .where(sql`deleted_at is null and state <> 'aborted'`),
    check("weight_kind", oneOf(t.kind, weightKinds)),
    check("weight_state", oneOf(t.state, weightStates)),
    check("weight_size", sql`${t.size} >= 0`),
  ],
);

/** What stays of the files of `kinds`: whatever any of the three says. */
export type RetentionRule = {
  kinds: ("checkpoint" | "state" | "sample")[];
  /** Of which runs, in the filter language; without: of all. */
  filter?: string;
  /** Those of the best runs by a field, of each experiment group or of all runs. */
  best?: { count: number; by: string; order: "asc" | "desc"; per: "group" | "all" };
  /** The last so many of each run. */
  last?: number;
  /** Those younger than so many days. */
  days?: number;
};

/**
 * What weights take, by whose they are, their run's group and their kind: triggers keep it, so that
 * nobody has to count. `trash`: those that are in it, or whose run is.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const storageUse = sqliteTable(
  "storage_use",
  {
    userId: integer().notNull(),
    experimentGroup: text().notNull(),
    kind: text({ enum: weightKinds }).notNull(),
    files: integer().notNull(),
    bytes: integer().notNull(),
    trashFiles: integer().notNull(),
    trashBytes: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.userId, t.experimentGroup, t.kind] })],
);

/** What objects take in the bucket, where files that are the same are stored once: one row. */
export const storageTotal = sqliteTable("storage_total", {
  id: integer().primaryKey(),
  objects: integer().notNull(),
  bytes: integer().notNull(),
});

/** Which files of runs stay, and so which go into the trash. */
export const retentionRule = sqliteTable(
  "keep_rule",
  {
    id: integer().primaryKey(),
    name: text().notNull(),
    /** Whose runs it is about; an admin's is about all. */
    userId: integer()
      .notNull()
      .references(() => user.id),
    rule: json<RetentionRule>().notNull(),
    /** Whether the scheduled job applies it every day. */
    active: bool().notNull().default(false),
    lastRunAt: text(),
    createdAt: createdAt(),
  },
  (t) => [index("keep_rule_user").on(t.userId)],
);
