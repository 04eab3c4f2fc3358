import { sql } from "drizzle-orm";
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
import type { JsonValue } from "../../../shared/json.ts";
import {
  failureReasons,
  modelTypes,
  precisions,
  runFields,
  statuses,
} from "../../../shared/run-fields.ts";
import { now } from "../time.ts";
import { bool, createdAt, json, oneOf, within } from "./columns.ts";
import { user } from "./people.ts";

export { failureReasons, statuses };

/** The step that the latest attempt with any has reached; an import may state it as its progress. */
export const reachedStep = "coalesce(watch ->> 'reached', watch ->> 'step', progress ->> 'step')";
/**
 * Images that each process of a run has trained on so far: the step reached, times the batch of a device,
 * times the batches that a step gathers. A resumed attempt goes on counting where it begins, so that no
 * step counts twice. OneTrainer counts each batch as a step; ai-toolkit does so or not, which the column
 * does not tell. Null while something is not known, and of language models, whose examples are no images.
 */
const imagesSeen = sql.raw(`case
  when model_type = 'stable-diffusion' and ${reachedStep} between 0 and ${Number.MAX_SAFE_INTEGER}
  then ${reachedStep} * 1.0 * batch_size * case
    when trainer = 'onetrainer' then 1
    when trainer = 'ai-toolkit' and gradient_accumulation_steps > 1 then null
    else gradient_accumulation_steps
  end
end`);

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
    bestLoss: real(),
    bestStep: integer(),
    nonfiniteFromStep: integer(),
    /** When the client ends the run by itself: {nan: "stop", over: 5}. */
    guard: json<JsonValue>(),
    imagesSeen: real().generatedAlwaysAs(imagesSeen, { mode: "virtual" }),
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
    /** What alerts go by while it runs: {attempt, seq, step, reached, at, loss, points}; see alerts/runs.ts. */
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
    // Nulls included: an order by loss ends with the runs that have none.
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
    // Finds the best of a group. It holds finished runs only, so registering and heartbeats cost nothing.
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
    check("task_lora_rank", within(t.loraRank, runFields.lora_rank)),
    check("task_conv_lora_rank", within(t.convLoraRank, runFields.conv_lora_rank)),
    check("task_dropout", within(t.dropout, runFields.dropout)),
    check("task_batch_size", within(t.batchSize, runFields.batch_size)),
    check(
      "task_accumulation",
      within(t.gradientAccumulationSteps, runFields.gradient_accumulation_steps),
    ),
    check("task_epochs", within(t.epochs, runFields.epochs)),
    check("task_max_steps", within(t.maxSteps, runFields.max_steps)),
    check("task_learning_rate", within(t.learningRate, runFields.learning_rate)),
    check("task_save_every", within(t.saveEveryNEpochs, runFields.save_every_n_epochs)),
    check("task_hourly_price", within(t.hourlyPrice, { min: runFields.hourly_price.min })),
    check("task_attempt", within(t.attempt, runFields.attempt)),
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
  /** Where columns were read from, by kind: the file's keys, arguments, options of the launcher. */
  sources: json<{ [from in "file" | "argument" | "launcher"]?: Record<string, string> }>(),
  /** The dialect (TOML) that a person gave to read the files by. */
  dialect: text(),
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
