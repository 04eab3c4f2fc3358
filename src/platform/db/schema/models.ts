import { sql } from "drizzle-orm";
import {
  check,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import type { JsonValue } from "../../../shared/json.ts";
import { bool, createdAt, json, oneOf } from "./columns.ts";
import type { verifications } from "./files.ts";
import { user } from "./people.ts";

export const versionStates = [
  "draft",
  "in_review",
  "approved",
  "rejected",
  "released",
  "retired",
] as const;

export const decisions = ["approved", "rejected"] as const;

/** What must hold of a version before it is reviewed. */
export type ModelChecks = {
  /** How well the file must have been verified, at least. */
  verified: (typeof verifications)[number];
  min_samples: number;
  task_success: boolean;
  /** Bounds on figures of the run: its final_loss, or a metric's last, min or max. */
  metrics: { metric: string; statistic: "last" | "min" | "max"; max?: number; min?: number }[];
};

/** A name under which people agree on what is used. */
export const model = sqliteTable(
  "model",
  {
    id: integer().primaryKey(),
    name: text().notNull(),
    /** The name as it reads, in small letters: no two models read the same. */
    nameKey: text().notNull().unique(),
    description: text(),
    taskType: text(),
    license: text(),
    tags: json<Record<string, string>>(),
    checks: json<ModelChecks>().notNull(),
    /** Aliases besides `production` that only approved versions carry. */
    protectedAliases: json<string[]>().notNull(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
  },
  (t) => [index("model_user").on(t.userId)],
);

/**
 * A weight as a model's version n. Triggers keep its identity, the order of its states, and the rows
 * that it needs, which the view `version_hold` names. There are no foreign keys to those rows: they may
 * be deleted once a version was given up.
 */
export const modelVersion = sqliteTable(
  "model_version",
  {
    id: integer().primaryKey(),
    modelId: integer()
      .notNull()
      .references(() => model.id),
    number: integer().notNull(),
    state: text({ enum: versionStates }).notNull().default("draft"),
    weightId: integer().notNull(),
    taskId: integer().notNull(),
    objectId: integer().notNull(),
    filename: text().notNull(),
    size: integer().notNull(),
    sha256: text().notNull(),
    notes: text(),
    license: text(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    submittedBy: integer(),
    submittedAt: text(),
    /** The model's checks at the submission: they hold until the decision, whatever becomes of them. */
    submittedChecks: json<ModelChecks>(),
    approvedAt: text(),
    /** When it first carried `production`. */
    releasedAt: text(),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
  },
  (t) => [
    uniqueIndex("model_version_number").on(t.modelId, t.number),
    // A model has a weight as one version, unless that version was given up.
    uniqueIndex("model_version_weight_once")
      .on(t.modelId, t.weightId)
      .where(sql`state <> 'rejected' and state <> 'retired'`),
    index("model_version_weight").on(t.weightId),
    index("model_version_task").on(t.taskId),
    index("model_version_object").on(t.objectId),
    index("model_version_review").on(t.id).where(sql`state = 'in_review'`),
    check("model_version_state", oneOf(t.state, versionStates)),
  ],
);

/**
 * Changes to what must hold of a model's versions. Append-only.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const modelChecksChange = sqliteTable(
  "model_checks_change",
  {
    id: integer().primaryKey(),
    modelId: integer().notNull(),
    userId: integer().notNull(),
    before: json<ModelChecks>().notNull(),
    after: json<ModelChecks>().notNull(),
    at: createdAt(),
  },
  (t) => [index("model_checks_change_model").on(t.modelId)],
);

/** A decision on a version, with the evidence as it was. Append-only. */
export const modelReview = sqliteTable(
  "model_review",
  {
    versionId: integer()
      .primaryKey()
      .references(() => modelVersion.id),
    decision: text({ enum: decisions }).notNull(),
    userId: integer().notNull(),
    keyId: integer().notNull(),
    reason: text(),
    evidence: json<JsonValue>().notNull(),
    at: createdAt(),
  },
  (t) => [check("model_review_decision", oneOf(t.decision, decisions))],
);

/**
 * Sample images that an approval was based on: kept as long as the version.
 * Raw SQL alone uses it; drizzle-kit reads this declaration.
 */
export const reviewSample = sqliteTable(
  "review_sample",
  {
    versionId: integer().notNull(),
    weightId: integer().notNull(),
    objectId: integer().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.versionId, t.weightId] }),
    index("review_sample_weight").on(t.weightId),
    index("review_sample_object").on(t.objectId),
  ],
);

/**
 * Every move of an alias; the only way to move one, since triggers keep `model_alias` by it.
 * Append-only. `versionId` null: the alias was taken away.
 */
export const modelAliasMove = sqliteTable(
  "model_alias_move",
  {
    id: integer().primaryKey(),
    modelId: integer().notNull(),
    alias: text().notNull(),
    fromVersionId: integer(),
    versionId: integer(),
    rollback: bool().notNull().default(false),
    userId: integer().notNull(),
    reason: text(),
    at: createdAt(),
  },
  (t) => [index("model_alias_move_alias").on(t.modelId, t.alias, t.id)],
);

/** Where each alias is now. */
export const modelAlias = sqliteTable(
  "model_alias",
  {
    modelId: integer().notNull(),
    alias: text().notNull(),
    versionId: integer().notNull(),
    moveId: integer().notNull(),
    movedAt: text().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.modelId, t.alias] }),
    index("model_alias_version").on(t.versionId),
  ],
);

/** A public link to a version, or to whatever an alias names. */
export const modelShare = sqliteTable(
  "model_share",
  {
    id: integer().primaryKey(),
    modelId: integer().notNull(),
    /** Exactly one of the two. */
    alias: text(),
    versionId: integer(),
    /** SHA-256 of the link's secret, which is shown once and kept nowhere. */
    tokenHash: text().notNull().unique(),
    label: text(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    createdAt: createdAt(),
    expiresAt: text().notNull(),
    revokedAt: text(),
    maxDownloads: integer(),
    downloads: integer().notNull().default(0),
    lastDownloadAt: text(),
  },
  (t) => [
    index("model_share_model").on(t.modelId),
    check("model_share_target", sql`(${t.alias} is null) <> (${t.versionId} is null)`),
  ],
);
