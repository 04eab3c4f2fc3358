import * as z from "zod";
import type { JsonValue } from "../shared/json.ts";
import {
  type AnswerOf,
  failureReasons,
  keptByServer,
  type RunField,
  type RunFieldName,
  runFieldList,
  runFields,
  statuses,
  type ValueOf,
  type WritableField,
  writableNames,
} from "../shared/run-fields.ts";

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

/** What a person may state in a column that is no document, as its line of the catalogue says. */
function typeOf({ type, values, min, max, longest, about }: RunField): z.ZodType {
  if (values) return z.enum(values);
  if (type === "boolean") return z.boolean();
  if (type !== "integer" && type !== "number")
    return longest === undefined ? z.string() : text(longest);
  let number = type === "number" ? z.number() : min === undefined ? z.int() : count;
  if (min !== undefined) number = number.min(min);
  if (max !== undefined) number = number.max(max);
  return about === undefined ? number : number.describe(about);
}

/** Columns whose types say more than a line of the catalogue. */
const special = {
  guard: z
    .strictObject({
      nan: z.literal("stop"),
      over: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(1)
        .describe("As many losses in a row that are NaN or infinite end the run."),
    })
    .describe(runFields.guard.about),
  task_name: text(runFields.task_name.longest).trim().min(1),
  node_info: document,
  command: z
    // A word may be as long as all may be together: some trainers take prompts or JSON as one.
    .array(text(2 * MOST_DOCUMENT))
    .max(2000)
    .refine((words) => bytesOf(words) <= 2 * MOST_DOCUMENT, `is over ${2 * MOST_DOCUMENT} bytes`)
    .describe(runFields.command.about),
  tags: z
    .record(z.string().min(1).max(100), text(1000))
    .refine((tags) => Object.keys(tags).length <= 100, "at most 100 tags")
    .refine((tags) => bytesOf(tags) <= MOST_DOCUMENT, `are over ${MOST_DOCUMENT} bytes`),
};
const isSpecial = (name: RunFieldName): name is keyof typeof special => name in special;

type TypeOf<K extends WritableField> = K extends keyof typeof special
  ? (typeof special)[K]
  : string extends ValueOf<K>
    ? z.ZodString
    : number extends ValueOf<K>
      ? z.ZodNumber
      : z.ZodType<ValueOf<K>>;

/** Columns of `training_task` that a client may write, by their names on the wire. */
export const writableFields = Object.fromEntries(
  writableNames.map((name) => [name, isSpecial(name) ? special[name] : typeOf(runFields[name])]),
) as { [K in WritableField]: TypeOf<K> }; // typeOf() makes what TypeOf says of each line.

/** The same, each optional, and null where a file has nothing for it. */
export const optionalFields = Object.fromEntries(
  Object.entries(writableFields).map(([name, type]) => [name, type.nullish()]),
) as {
  // Object.fromEntries forgets the keys; each is the field's own type made nullish.
  [K in keyof typeof writableFields]: z.ZodOptional<z.ZodNullable<(typeof writableFields)[K]>>;
};

/**
 * What a registration may not name, and no `additional_args` either: what the server keeps, the key that
 * holds the run, and the settings of its file, which have a field of their own.
 */
export const reservedFields: readonly string[] = [
  ...keptByServer,
  ...["key_id", "config_snapshot", "field_sources"],
];

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
  error_message: text(runFields.error_message.longest).nullish(),
  cost: z.number().min(runFields.cost.min).nullish(),
};

/** What an import may state besides: a run of the past. */
export const importSchema = z.strictObject({
  source: text(runFields.import_source.longest)
    .min(1)
    .describe(
      "Where it comes from: a file's hash and row, another ledger's run, … A user's import from the same source finds the first one again, for good; a box key finds its own alone.",
    ),
  status: z.enum(statuses).default("success"),
  created_at: time.nullish().describe("When it was recorded first."),
  started_at: time.nullish(),
  ...pastEnd,
  final_loss: z.number().nullish(),
  total_duration_sec: z
    .number()
    .min(runFields.total_duration_sec.min)
    .nullish()
    .describe("Default: from start to end."),
  convergence_step: z.int().min(runFields.convergence_step.min).nullish(),
  weights_path: text(runFields.weights_path.longest).nullish(),
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

const documents: Partial<Record<RunFieldName, z.ZodType>> = {
  labels: z.array(z.string()).nullable(),
  defaulted_fields: z.array(z.string()).nullable(),
  progress: jsonValue,
  additional_args: jsonValue,
};

/** A column in an answer. What the server writes has no range to be held to. */
function answerOf(name: RunFieldName): z.ZodType {
  const { type, values, always, about }: RunField = runFields[name];
  if (Object.hasOwn(writableFields, name)) {
    const own = writableFields[name as WritableField];
    return always ? own : own.nullable();
  }
  const bare = documents[name] ?? typeOf({ type, values, by: "server" });
  const answered = always || documents[name] ? bare : bare.nullable();
  return about === undefined ? answered : answered.describe(about);
}

/** A task as lists give it. */
export const taskAnswer = z
  .object({
    // answerOf() makes what AnswerOf says of each line.
    ...(Object.fromEntries(runFieldList.map(([name]) => [name, answerOf(name)])) as {
      [K in RunFieldName]: z.ZodType<AnswerOf<K>>;
    }),
    left_out: z
      .array(z.string())
      .nullish()
      .describe("In lists: columns that are null here because they are too long for a list."),
  })
  .meta({ id: "Task" });
