import * as z from "zod";
import { failureReasons, modelTypes, precisions, statuses } from "../platform/db/schema.ts";
import type { JsonValue } from "../shared/json.ts";
import { longestTexts } from "../trainers/dialect.ts";

const text = (max: number) => z.string().max(max);
const count = z.int().max(2 ** 53 - 1);
const jsonValue: z.ZodType<JsonValue> = z.json();

/** Bytes of a document that a task's row keeps: rows come 200 at a time, and a database answers 9 MB. */
export const MOST_DOCUMENT = 64_000;

const encoder = new TextEncoder();
export const bytesOf = (value: unknown): number =>
  encoder.encode(JSON.stringify(value) ?? "").length;

/**
 * A document without its largest entries, where it is over MOST_DOCUMENT bytes, and their names. What is
 * no object has none to leave out, and becomes null.
 */
export function withinDocument(value: JsonValue): { value: JsonValue; dropped: string[] } {
  if (bytesOf(value) <= MOST_DOCUMENT) return { value, dropped: [] };
  if (value === null || typeof value !== "object" || Array.isArray(value))
    return { value: null, dropped: ["all of it"] };
  const entries = Object.entries(value).map(([name, own]) => ({
    ...{ name, own },
    size: bytesOf(own) + bytesOf(name) + 2,
  }));
  let left = entries.reduce((sum, { size }) => sum + size, 2);
  const dropped = new Set<string>();
  for (const { name, size } of [...entries].sort((a, b) => b.size - a.size)) {
    if (left <= MOST_DOCUMENT - 1000) break;
    dropped.add(name);
    left -= size;
  }
  return {
    value: Object.fromEntries(
      entries.flatMap(({ name, own }) => (dropped.has(name) ? [] : [[name, own]])),
    ),
    dropped: [...dropped],
  };
}

/** The same, with what was left out named within it, for documents that no warning goes along with. */
function toldWithin(document: JsonValue): JsonValue {
  const { value, dropped } = withinDocument(document);
  if (dropped.length === 0) return value;
  const left_out = dropped.slice(0, 20).map((name) => name.slice(0, 40));
  return value && typeof value === "object" && !Array.isArray(value)
    ? { ...value, left_out }
    : { left_out };
}

const document = jsonValue
  .overwrite(toldWithin)
  .describe(
    `Of more than ${MOST_DOCUMENT} bytes the largest entries are left out, and named as left_out.`,
  );

/** Columns of `training_task` that a client may write, by their names on the wire. */
export const writableFields = {
  task_name: text(longestTexts.task_name).trim().min(1),
  model_type: z.enum(modelTypes),
  base_arch: text(longestTexts.base_arch),
  trainer: text(100),
  network_algo: text(longestTexts.network_algo),
  experiment_group: text(longestTexts.experiment_group),
  base_model_path: text(longestTexts.base_model_path),
  lora_rank: count.min(1).max(65536),
  lora_alpha: z.number(),
  dropout: z.number().min(0).max(1),
  conv_lora_rank: count.min(0).max(65536),
  conv_alpha: z.number(),
  batch_size: count.min(1),
  gradient_accumulation_steps: count.min(1),
  epochs: z.number().min(0),
  max_steps: count.min(0),
  learning_rate: z.number().min(0),
  optimizer: text(longestTexts.optimizer),
  scheduler: text(longestTexts.scheduler),
  mixed_precision: z.enum(precisions),
  seed: z.int(),
  resolution: text(longestTexts.resolution),
  data_dir: text(longestTexts.data_dir),
  metadata_path: text(longestTexts.metadata_path),
  output_dir: text(longestTexts.output_dir),
  log_dir: text(longestTexts.log_dir),
  sample_prompts: text(longestTexts.sample_prompts),
  save_every_n_epochs: count.min(0),
  caption_tag_delim: text(longestTexts.caption_tag_delim),
  gpu_info: text(500),
  node_info: document,
  cuda_version: text(100),
  git_commit: text(200),
  hourly_price: z.number().min(0).max(1_000_000).describe("Price of the box, per hour."),
  command: z
    .array(text(10_000))
    .max(2000)
    .refine((words) => bytesOf(words) <= 2 * MOST_DOCUMENT, `is over ${2 * MOST_DOCUMENT} bytes`)
    .describe("The trainer's command line as a list of words."),
  tags: z
    .record(z.string().min(1).max(100), text(1000))
    .refine((tags) => Object.keys(tags).length <= 100, "at most 100 tags")
    .refine((tags) => bytesOf(tags) <= MOST_DOCUMENT, `are over ${MOST_DOCUMENT} bytes`),
  notes: text(50_000),
  parent_task_id: count.min(1),
} satisfies Record<string, z.ZodType>;

/** The same, each optional, and null where a file has nothing for it. */
export const optionalFields = Object.fromEntries(
  Object.entries(writableFields).map(([name, type]) => [name, type.nullish()]),
) as {
  // Object.fromEntries forgets the keys; each is the field's own type made nullish.
  [K in keyof typeof writableFields]: z.ZodOptional<z.ZodNullable<(typeof writableFields)[K]>>;
};

/** Columns that the server alone keeps: naming one is refused, never ignored. */
const serverFields = [
  "id",
  "user_id",
  "created_at",
  "updated_at",
  "deleted_at",
  "attempt",
  "heartbeat_at",
  "cost",
  "status",
] as const;

/** Columns that the server derives; they are no `additional_args` either. */
const derivedFields = [
  "key_id",
  "version",
  "started_at",
  "finished_at",
  "progress",
  "final_loss",
  "convergence_step",
  "total_duration_sec",
  "exit_code",
  "failure_reason",
  "error_message",
  "weights_path",
  "config_snapshot",
  "cancel_requested",
  "import_source",
  "defaulted_fields",
] as const;

export const reservedFields: readonly string[] = [...serverFields, ...derivedFields];

const isTime = (text: string) => !Number.isNaN(Date.parse(text));

/** Kept as ISO 8601 UTC, so that times compare as texts. Overwriting also sees what is no time. */
const time = z.iso
  .datetime({ offset: true })
  .refine(isTime, "is no time")
  .overwrite((text) => (isTime(text) ? new Date(text).toISOString() : text));

/** How a run, or one attempt of it, ended; what only an import may state. */
const pastEnd = {
  finished_at: time.nullish(),
  exit_code: z.int().nullish(),
  failure_reason: z.enum(failureReasons).nullish(),
  error_message: text(20_000).nullish(),
  cost: z.number().min(0).nullish(),
};

/** What an import may state besides: a run of the past. */
export const importSchema = z.strictObject({
  source: text(500)
    .min(1)
    .describe(
      "Where it comes from: a file's hash and row, another ledger's run, … A user's import from the same source finds the first one again, for good; a box key finds its own alone.",
    ),
  status: z.enum(statuses).default("success"),
  created_at: time.nullish().describe("When it was recorded first."),
  started_at: time.nullish(),
  ...pastEnd,
  final_loss: z.number().nullish(),
  total_duration_sec: z.number().min(0).nullish().describe("Default: from start to end."),
  convergence_step: z.int().min(0).nullish(),
  weights_path: text(2000).nullish(),
  progress: z
    .record(z.string(), jsonValue)
    .refine((progress) => bytesOf(progress) <= 4096, "must stay below 4 kB")
    .nullish(),
  defaulted_fields: z.array(text(100)).max(200).nullish(),
  additional_args: z
    .record(text(200), jsonValue)
    .nullish()
    .describe("What has no column, under any name, also one that is a column's."),
  attempts: z
    .array(
      z.strictObject({
        attempt: z.int().min(1).max(1000),
        status: z.enum(statuses),
        started_at: time,
        ...pastEnd,
        heartbeat_at: time.nullish(),
        duration_sec: z.number().min(0).nullish(),
        from_step: z.int().min(0).nullish(),
        gpu_info: writableFields.gpu_info.nullish(),
        cuda_version: writableFields.cuda_version.nullish(),
        hourly_price: writableFields.hourly_price.nullish(),
        node_info: document.nullish(),
        tail: text(65_536).nullish(),
      }),
    )
    .max(1000)
    .nullish()
    .describe("Its attempts, where they are known one by one."),
});
export type PastAttempts = NonNullable<z.infer<typeof importSchema>["attempts"]>;

const taskShape = {
  ...Object.fromEntries(
    Object.entries(writableFields).map(([name, type]) => [name, type.nullable()]),
  ),
};

/** A place in a run's file or command where a repeat may put a secret. */
export const markAnswer = z
  .object({
    at: z.int().describe("The byte at which `[redacted]` begins."),
    name: z.string().describe("The key whose whole value it is, as the file writes it."),
    typed: z
      .literal(true)
      .optional()
      .describe("The text held the mark already when it was sent, or nobody knows."),
  })
  .meta({ id: "RedactedMark" });

/** A task as lists give it. */
export const taskAnswer = z
  .object({
    id: z.int(),
    user_id: z.int(),
    status: z.enum(statuses),
    attempt: z.int(),
    version: z.int(),
    ...taskShape,
    created_at: z.string(),
    updated_at: z.string(),
    started_at: z.string().nullable(),
    finished_at: z.string().nullable(),
    heartbeat_at: z.string().nullable(),
    deleted_at: z.string().nullable(),
    cost: z.number().nullable(),
    final_loss: z.number().nullable(),
    convergence_step: z.int().nullable(),
    total_duration_sec: z.number().nullable(),
    exit_code: z.int().nullable(),
    failure_reason: z.enum(failureReasons).nullable(),
    error_message: z.string().nullable(),
    weights_path: z.string().nullable(),
    import_source: z.string().nullable(),
    cancel_requested: z.boolean(),
    priority: z.int().nullable().describe("With the next four: of a queued task; null of others."),
    labels: z.array(z.string()).nullable(),
    min_gpu_memory_gb: z.int().nullable(),
    max_attempts: z.int().nullable(),
    not_before: z.string().nullable(),
    agent: z.string().nullable().describe("The slot of a box that pulled it last."),
    progress: jsonValue,
    additional_args: jsonValue,
    defaulted_fields: z
      .array(z.string())
      .nullable()
      .describe("Columns that hold the trainer's default because its file is silent."),
    left_out: z
      .array(z.string())
      .nullish()
      .describe("In lists: columns that are null here because they are too long for a list."),
  })
  .meta({ id: "Task" });
