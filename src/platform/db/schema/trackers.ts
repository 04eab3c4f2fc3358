import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { JsonValue } from "../../../shared/json.ts";
import { bool, createdAt, json, oneOf } from "./columns.ts";
import { user } from "./people.ts";

/** Trackers whose clients log here. */
export const trackers = ["mlflow", "trackio", "swanlab"] as const;

/**
 * A group of runs as MLflow's clients know it. A trigger makes the row of a group's first run. Row 0,
 * `Default`, is also that of runs without a group.
 */
export const experiment = sqliteTable("experiment", {
  id: integer().primaryKey(),
  name: text().notNull().unique(),
  /** Who made it through MLflow's API; null: the first run of the group did. */
  userId: integer(),
  tags: json<Record<string, string>>().notNull().default({}),
  createdAt: createdAt(),
  updatedAt: createdAt(),
  deletedAt: text(),
});

/**
 * A run as a tracker's client knows it. One that the ledger's own client records too has a row for each
 * tracker that its trainer logs to.
 */
export const trackerRun = sqliteTable(
  "tracker_run",
  {
    taskId: integer().notNull(),
    tracker: text({ enum: trackers }).notNull(),
    userId: integer().notNull(),
    /** The tracker's project, and its own id of the run; MLflow's is the task's number. */
    project: text().notNull(),
    run: text().notNull(),
    /** The tracker alone records it: silence ends it. */
    alone: bool().notNull(),
    /** What the tracker keeps of a run and no column has. */
    record: json<Record<string, JsonValue>>().notNull().default({}),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.tracker] }),
    // The same run of the same person is found again.
    index("tracker_run_name").on(t.userId, t.tracker, t.project, t.run),
    check("tracker_run_tracker", oneOf(t.tracker, trackers)),
  ],
);

/** What MLflow keeps of a model, or of a version of it, and no column has. */
export const registryRecord = sqliteTable(
  "registry_record",
  {
    modelId: integer().notNull(),
    /** 0: the model itself. */
    number: integer().notNull(),
    /** `{source, tags, description, …}`. */
    record: json<Record<string, JsonValue>>().notNull(),
    updatedAt: createdAt(),
  },
  (t) => [primaryKey({ columns: [t.modelId, t.number] })],
);

export const loggedModelStates = ["PENDING", "READY", "UPLOAD_FAILED"] as const;

/** A model that MLflow's client logged as a folder of a run's files. */
export const loggedModel = sqliteTable(
  "logged_model",
  {
    /** `m-` and 32 hexadecimal digits. */
    id: text().primaryKey(),
    taskId: integer().notNull(),
    name: text().notNull(),
    status: text({ enum: loggedModelStates }).notNull().default("PENDING"),
    /** `{model_type, params, tags, metrics, …}`. */
    record: json<Record<string, JsonValue>>().notNull().default({}),
    createdAt: createdAt(),
    updatedAt: createdAt(),
    deletedAt: text(),
  },
  (t) => [
    index("logged_model_task").on(t.taskId),
    check("logged_model_status", oneOf(t.status, loggedModelStates)),
  ],
);

/** A tracking server elsewhere into which runs are written while they train. */
export const mirror = sqliteTable(
  "mirror",
  {
    id: integer().primaryKey(),
    userId: integer()
      .notNull()
      .references(() => user.id),
    name: text().notNull(),
    kind: text({ enum: ["mlflow"] })
      .notNull()
      .default("mlflow"),
    url: text().notNull(),
    /** A bearer token, or `user:password`; no answer shows it. */
    token: text(),
    /** Groups whose runs are written; null: all of the user's runs. */
    groups: json<string[]>(),
    active: bool().notNull().default(true),
    /** Runs up to this number have their `mirror_run`, or are of no concern. */
    upTo: integer().notNull().default(0),
    /** When the server may be asked again after it failed, and how often it failed in a row. */
    nextAt: text(),
    failures: integer().notNull().default(0),
    error: text(),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
    deletedAt: text(),
  },
  (t) => [
    index("mirror_user").on(t.userId).where(sql`deleted_at is null`),
    index("mirror_gone").on(t.deletedAt).where(sql`deleted_at is not null`),
  ],
);

export const mirrorRunStates = ["open", "done", "refused"] as const;

/** A run on its way to a mirror: what the other server has of it. */
export const mirrorRun = sqliteTable(
  "mirror_run",
  {
    mirrorId: integer().notNull(),
    taskId: integer().notNull(),
    userId: integer().notNull(),
    state: text({ enum: mirrorRunStates }).notNull().default("open"),
    /** The other server's ids, once the run was made there. */
    experimentId: text(),
    runId: text(),
    /** How far the points are written: the place among the run's heartbeats. */
    attempt: integer().notNull().default(0),
    arrival: integer().notNull().default(0),
    points: integer().notNull().default(0),
    /** What of the settings and the state was written last, as a hash. */
    written: text(),
    tries: integer().notNull().default(0),
    /** The HTTP status of the last answer, and what was wrong with it in words. */
    status: integer(),
    error: text(),
    nextAt: text(),
    createdAt: createdAt(),
    writtenAt: text(),
  },
  (t) => [
    primaryKey({ columns: [t.mirrorId, t.taskId] }),
    index("mirror_run_task").on(t.taskId),
    index("mirror_run_open").on(t.mirrorId, t.nextAt).where(sql`state = 'open'`),
    check("mirror_run_state", oneOf(t.state, mirrorRunStates)),
  ],
);
