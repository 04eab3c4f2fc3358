import { type SQLWrapper, sql } from "drizzle-orm";
import {
  blob,
  check,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import type { JsonValue } from "../../shared/json.ts";
import { now } from "./time.ts";

const createdAt = () => text().notNull().default(now);
const bool = () => integer({ mode: "boolean" });
const json = <T>() => text({ mode: "json" }).$type<T>();

export const roles = ["admin", "member", "viewer"] as const;
export const modelTypes = ["stable-diffusion", "llm"] as const;
export const precisions = ["fp16", "bf16", "no"] as const;
export const statuses = ["pending", "running", "success", "failed", "cancelled"] as const;
export const failureReasons = ["error", "oom", "lost", "preempted"] as const;
export const weightKinds = ["final", "checkpoint", "state", "sample", "config"] as const;
export const weightStates = ["uploading", "complete", "aborted"] as const;
export const objectStates = [...weightStates, "removed"] as const;
export const verifications = ["sha256", "parts", "size"] as const;
export const versionStates = [
  "draft",
  "in_review",
  "approved",
  "rejected",
  "released",
  "retired",
] as const;
export const decisions = ["approved", "rejected"] as const;

/**
 * A CHECK that a column is one of this file's own constants. Spelled with `or`, since SQLite makes
 * a table of an IN list, and every insert would read rows from it.
 */
const oneOf = (column: SQLWrapper, values: readonly string[]) =>
  sql.join(
    values.map((value) => sql`${column} = ${sql.raw(`'${value}'`)}`),
    sql` or `,
  );

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

/** What a day (UTC) cost, for the page that shows it beside the free plans' limits. */
export const usageDay = sqliteTable("usage_day", {
  day: text().primaryKey(),
  requests: integer().notNull().default(0),
  rowsRead: integer().notNull().default(0),
  rowsWritten: integer().notNull().default(0),
});

/**
 * One training run: the founding document's table, and what it grew by. No table refers to it by a
 * foreign key: SQLite would then look for children at every insert, and read rows for it. Rows of
 * other tables are only made from a task's row within one statement.
 */
export const trainingTask = sqliteTable(
  "training_task",
  {
    // Ids of purged tasks are never given again. Every table that counts so adds a row that each
    // insert reads, so only those do whose rows can go.
    id: integer().primaryKey({ autoIncrement: true }),
    userId: integer()
      .notNull()
      .references(() => user.id),
    /**
     * The key that registered or claimed the task, until somebody takes the task from it: a box key
     * reaches these and nothing else. No foreign key: it comes from the caller's own row, and a check
     * would cost a read row a run.
     */
    keyId: integer(),
    taskName: text().notNull(),
    status: text({ enum: statuses }).notNull().default("pending"),
    attempt: integer().notNull().default(0),
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: createdAt(),
    startedAt: text(),
    finishedAt: text(),
    heartbeatAt: text(),
    deletedAt: text(),
    /** Days in the trash count from here, where it is later: something still referred to the task. */
    trashSince: text(),
    modelType: text({ enum: modelTypes }),
    baseArch: text(),
    trainer: text(),
    networkAlgo: text(),
    experimentGroup: text(),
    baseModelPath: text(),
    loraRank: integer(),
    loraAlpha: real(),
    dropout: real(),
    convLoraRank: integer(),
    convAlpha: real(),
    batchSize: integer(),
    gradientAccumulationSteps: integer(),
    epochs: real(),
    maxSteps: integer(),
    learningRate: real(),
    optimizer: text(),
    scheduler: text(),
    mixedPrecision: text({ enum: precisions }),
    seed: integer(),
    resolution: text(),
    dataDir: text(),
    metadataPath: text(),
    outputDir: text(),
    logDir: text(),
    samplePrompts: text(),
    saveEveryNEpochs: integer(),
    captionTagDelim: text(),
    gpuInfo: text(),
    cudaVersion: text(),
    gitCommit: text(),
    hourlyPrice: real(),
    cost: real(),
    finalLoss: real(),
    /** The box stated the final loss itself; nothing drawn from log points replaces it. */
    finalLossReported: bool().notNull().default(false),
    convergenceStep: integer(),
    totalDurationSec: real(),
    exitCode: integer(),
    failureReason: text({ enum: failureReasons }),
    errorMessage: text(),
    weightsPath: text(),
    /** Looked up in the statement that writes it, so it needs no foreign key either. */
    parentTaskId: integer(),
    importSource: text(),
    // What a queued task asks of the boxes that pull it; null where it is none.
    priority: integer(),
    labels: json<string[]>(),
    minGpuMemoryGb: integer(),
    maxAttempts: integer(),
    notBefore: text(),
    /** The last attempt that a lost box is followed by another. */
    attemptLimit: integer(),
    /** Conditions still open before boxes may pull it: 0 is ready, null is not in the queue. */
    queueWaiting: integer(),
    /** `not_before` while it is one of them. */
    queueDueAt: text(),
    /** The slot of a box that claimed it last. */
    agent: text(),
    cancelRequested: bool().notNull().default(false),
    /** Set while work on the logs is left for the scheduled job. */
    settleAt: text(),
    progress: json<JsonValue>(),
    /** What alerts go by while it runs: {attempt, seq, step, at, loss, points}; see alerts/runs.ts. */
    watch: text(),
    tags: json<Record<string, string>>(),
    notes: text(),
    nodeInfo: json<JsonValue>(),
    command: json<string[]>(),
    additionalArgs: json<Record<string, JsonValue>>(),
    /** Columns that hold a trainer's default because its file is silent. */
    defaultedFields: json<string[]>(),
    /** Bytes of its settings files and facts about its data, which are in tables beside this one. */
    recordBytes: integer().notNull().default(0),
    /** Makes a repeated registration find its first row; the server makes one when none is sent. */
    registrationKey: text().notNull(),
    registrationHash: text().notNull(),
  },
  (t) => [
    uniqueIndex("training_task_registration").on(t.registrationKey),
    index("training_task_created").on(t.createdAt).where(sql`deleted_at is null`),
    index("training_task_status").on(t.status, t.createdAt).where(sql`deleted_at is null`),
    index("training_task_user").on(t.userId, t.createdAt).where(sql`deleted_at is null`),
    index("training_task_setup")
      .on(t.modelType, t.epochs, t.learningRate)
      .where(sql`deleted_at is null`),
    // Whole rather than without nulls: an order by loss goes on with the runs that have none.
    index("training_task_loss").on(t.finalLoss).where(sql`deleted_at is null`),
    // Results by batch size out of the index alone, hence also the column of its condition.
    index("training_task_result")
      .on(t.batchSize, t.finalLoss, t.convergenceStep, t.totalDurationSec, t.deletedAt)
      .where(sql`deleted_at is null`),
    index("training_task_trash").on(t.deletedAt).where(sql`deleted_at is not null`),
    index("training_task_purge")
      .on(sql`case when trash_since > deleted_at then trash_since else deleted_at end`)
      .where(sql`deleted_at is not null`),
    index("training_task_parent").on(t.parentTaskId).where(sql`parent_task_id is not null`),
    index("training_task_settle").on(t.settleAt).where(sql`settle_at is not null`),
    // The best of a group; only finished runs stand in it, so registering and heartbeats cost nothing.
    index("training_task_best")
      .on(t.experimentGroup, t.finalLoss)
      .where(
        sql`status = 'success' and final_loss is not null and experiment_group is not null and deleted_at is null`,
      ),
    // Each lane in its order; the two behind list the queue, a user's or everyone's.
    index("training_task_ready")
      .on(t.userId, t.labels, t.minGpuMemoryGb, sql`priority desc`, t.id)
      .where(sql`queue_waiting = 0 and status = 'pending' and deleted_at is null`),
    index("training_task_queue")
      .on(sql`priority desc`, t.id)
      .where(sql`queue_waiting is not null and status = 'pending' and deleted_at is null`),
    index("training_task_queue_user")
      .on(t.userId, sql`priority desc`, t.id)
      .where(sql`queue_waiting is not null and status = 'pending' and deleted_at is null`),
    // How far a group of queued tasks is: nothing that changes while they wait and run stands in it.
    index("training_task_queued_group")
      .on(t.experimentGroup)
      .where(sql`priority is not null and deleted_at is null`),
    index("training_task_due").on(t.queueDueAt).where(sql`queue_due_at is not null`),
    index("training_task_running")
      .on(t.keyId, t.agent)
      .where(sql`status = 'running' and agent is not null`),
    check("task_status", oneOf(t.status, statuses)),
    check("task_model_type", oneOf(t.modelType, modelTypes)),
    check("task_mixed_precision", oneOf(t.mixedPrecision, precisions)),
    check("task_failure_reason", oneOf(t.failureReason, failureReasons)),
    check("task_lora_rank", sql`${t.loraRank} between 1 and 65536`),
    check("task_conv_lora_rank", sql`${t.convLoraRank} between 0 and 65536`),
    check("task_dropout", sql`${t.dropout} between 0 and 1`),
    check("task_batch_size", sql`${t.batchSize} >= 1`),
    check("task_accumulation", sql`${t.gradientAccumulationSteps} >= 1`),
    check("task_epochs", sql`${t.epochs} >= 0`),
    check("task_max_steps", sql`${t.maxSteps} >= 0`),
    check("task_learning_rate", sql`${t.learningRate} >= 0`),
    check("task_save_every", sql`${t.saveEveryNEpochs} >= 0`),
    check("task_hourly_price", sql`${t.hourlyPrice} >= 0`),
    check("task_attempt", sql`${t.attempt} >= 0`),
  ],
);

/** Tasks that were purged, while rows of other tables are left to be taken away piece by piece. */
export const purgedTask = sqliteTable("purged_task", { taskId: integer().primaryKey() });

/** The trainer's own files, byte for byte but for secrets, and what was read from them. */
export const taskConfig = sqliteTable("task_config", {
  taskId: integer().primaryKey(),
  format: text().notNull(),
  path: text(),
  sha256: text().notNull(),
  snapshot: json<JsonValue>(),
  /** Empty, as `sha256` is, when the run was started by a command alone. */
  original: blob({ mode: "buffer" }).notNull(),
  /** The separate file that lists the data, as sd-scripts' `--dataset_config`. */
  datasetPath: text(),
  datasetOriginal: blob({ mode: "buffer" }),
  /** The files' `[redacted]` that a repeat may fill; null where there is none, or in older rows. */
  secrets: json<{ file: "config" | "dataset_file"; at: number; name: string; typed?: true }[]>(),
});

/** One try at a task by one box. */
export const taskAttempt = sqliteTable(
  "task_attempt",
  {
    taskId: integer().notNull(),
    attempt: integer().notNull(),
    /** The task's user, whom its bytes count to: at hand, so that a new chunk reads no row more. */
    userId: integer(),
    keyId: integer(),
    status: text({ enum: statuses }).notNull().default("running"),
    startedAt: text().notNull().default(now),
    heartbeatAt: text(),
    finishedAt: text(),
    durationSec: real(),
    cost: real(),
    fromStep: integer(),
    gpuInfo: text(),
    cudaVersion: text(),
    hourlyPrice: real(),
    exitCode: integer(),
    failureReason: text({ enum: failureReasons }),
    errorMessage: text(),
    openedWith: text(),
    /** The slot of a box that pulled it from the queue; null where no queue gave it. */
    agent: text(),
    /** Highest `seq` received, and the ranges below it that never came: [[from, to], …]. */
    lastSeq: integer().notNull().default(0),
    gaps: text().notNull().default("[]"),
    /** Heartbeats accepted so far; orders chunks by arrival, which `since` relies on. */
    received: integer().notNull().default(0),
    openChunk: integer().notNull().default(0),
    openCount: integer().notNull().default(0),
    openSize: integer().notNull().default(0),
    points: integer().notNull().default(0),
    bytes: integer().notNull().default(0),
    firstStep: integer(),
    lastStep: integer(),
    /** 1 once a heartbeat brought a step at or below one already there. */
    overlap: bool().notNull().default(false),
    nodeInfo: json<JsonValue>(),
    /** Running summaries: metric → {count, nonfinite_count, sum, min, max, last}. */
    summary: text().notNull().default("{}"),
    tail: text(),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.attempt] }),
    // What a box has run; only attempts from the queue stand in it.
    index("task_attempt_box").on(t.keyId, t.startedAt).where(sql`agent is not null`),
    check("attempt_number", sql`${t.attempt} >= 1`),
  ],
);

/** Log points of up to about 1,000 steps in one row: rows are what a hosted database bills. */
export const logChunk = sqliteTable(
  "log_chunk",
  {
    taskId: integer().notNull(),
    attempt: integer().notNull(),
    /** Arrival number of the first heartbeat in it; `arrival` is that of the last. */
    chunk: integer().notNull(),
    arrival: integer().notNull(),
    firstStep: integer().notNull(),
    lastStep: integer().notNull(),
    count: integer().notNull(),
    size: integer().notNull(),
    /** metric → the same summary as an attempt's, over this chunk. */
    summary: text().notNull(),
    /** metric → the lowest and highest point of every block of up to 64 points. */
    blocks: text().notNull(),
    /** One segment a heartbeat: [{a: arrival, q: seq, m: [metric, …], p: [[step, epoch, ms, v1, …], …]}]. */
    points: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.taskId, t.attempt, t.chunk] })],
);

/** A finished task's summary a metric, where filters and orders find it by index. */
export const metricSummary = sqliteTable(
  "metric_summary",
  {
    taskId: integer().notNull(),
    metric: text().notNull(),
    count: integer().notNull(),
    nonfiniteCount: integer().notNull(),
    min: real(),
    max: real(),
    last: real(),
    sum: real(),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.metric] }),
    index("metric_summary_last").on(t.metric, t.last),
  ],
);

/** Facts about training data, never the data; recorded once by hash. */
export const dataset = sqliteTable(
  "dataset",
  {
    id: integer().primaryKey(),
    /** sha256 over content hash, image count and tag distribution: equal facts are one row. */
    hash: text().notNull().unique(),
    contentHash: text(),
    imageCount: integer(),
    tagDistribution: json<Record<string, number>>(),
    /** How often runs name it; a trigger takes back those of purged runs. */
    links: integer().notNull().default(0),
    createdAt: createdAt(),
  },
  (t) => [index("dataset_unused").on(t.createdAt).where(sql`links <= 0`)],
);

/** Which task used which dataset, and as what. */
export const taskDataset = sqliteTable(
  "task_dataset",
  {
    taskId: integer().notNull(),
    /** No foreign key: purging a dataset would look for it in all of these. It has their number. */
    datasetId: integer().notNull(),
    name: text().notNull(),
    sourcePath: text(),
    repeats: integer(),
  },
  (t) => [primaryKey({ columns: [t.taskId, t.datasetId, t.name] })],
);

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

/** One file a task produced. What the file itself says stands at its object. */
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

/** What must hold of a version before it is reviewed. */
export type ModelChecks = {
  /** How well the file must have been verified, at least. */
  verified: (typeof verifications)[number];
  min_samples: number;
  task_success: boolean;
  /** Bounds on figures of the run: its final_loss, or a metric's last, min or max. */
  metrics: { metric: string; statistic: "last" | "min" | "max"; max?: number; min?: number }[];
};

/** What stays of the files of `kinds`: whatever any of the three says. */
export type KeepRule = {
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
 * A weight as a model's version n. Triggers keep what it is, its states in order, and the rows that
 * it stands on: the view `version_hold` names them. No foreign keys to those: they may go where a
 * version was given up.
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
    // A weight stands in a model once, unless that version was given up.
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

/** Changes to what must hold of a model's versions. Append-only. */
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

/** Sample images that an approval was based on: kept as long as the version. */
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

/**
 * The tasks of a user that ask the same of a box and are ready: how many, and the first in line.
 * Triggers keep it; a lane without ready tasks has no row, so that a claim reads live ones alone.
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

/** How many queued tasks of a user run, and when one was last begun: whose turn it is. */
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

/** Tasks that succeeded and have more dependents than their end released at once. */
export const queueRelease = sqliteTable("queue_release", { taskId: integer().primaryKey() });

/** Where the look for lost runs stands: one row. */
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

/**
 * What weights take, by whose they are, their run's group and their kind: triggers keep it, so that
 * nobody has to count. `trash`: those that are in it, or whose run is.
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

/**
 * What counts against a user's bounds where it cannot be counted at each look: triggers keep it.
 * `bytes` are those of the database, `file_bytes` those of files; `uploads` are the unfinished ones.
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

/** Which files of runs stay, and so which go into the trash. */
export const keepRule = sqliteTable(
  "keep_rule",
  {
    id: integer().primaryKey(),
    name: text().notNull(),
    /** Whose runs it is about; an admin's is about all. */
    userId: integer()
      .notNull()
      .references(() => user.id),
    rule: json<KeepRule>().notNull(),
    /** Whether the scheduled job applies it every day. */
    active: bool().notNull().default(false),
    lastRunAt: text(),
    createdAt: createdAt(),
  },
  (t) => [index("keep_rule_user").on(t.userId)],
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

/** What an audit entry is about. */
export const auditSubjects = [
  "task",
  "weight",
  "user",
  "key",
  "model",
  "box",
  "webhook",
  "rule",
  "view",
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

/** How far the look for old Idempotency-Keys is: one row. */
export const purgePlace = sqliteTable("purge_place", {
  id: integer().primaryKey(),
  place: integer().notNull(),
});

/** What may be told to people outside. */
export const eventKinds = [
  "failed",
  "lost",
  "finished",
  "loss_diverged",
  "stalled",
  "new_best",
  "approval_requested",
  "released",
  "box_idle",
  "job_failed",
] as const;

/** What an event is about. */
export const eventSubjects = ["task", "model", "box", "job"] as const;

/**
 * A fact worth telling, written in the same batch as the change itself. Facts are told in the order
 * of their ids: writers take turns, so none appears below one already seen.
 */
export const event = sqliteTable(
  "event",
  {
    id: integer().primaryKey(),
    /** What receivers know it by; the same in every request about it. */
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
    /** Groups that are not told of, each until a time or for good. */
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

/** One event on its way to one webhook, and how that went. */
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
     * The delivery whose message tells this one too, where a webhook had its fill for the hour; its own
     * id where it is that one. Null: it comes alone.
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
