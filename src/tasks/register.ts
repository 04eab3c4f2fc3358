import { type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import { audit } from "../audit/audit.ts";
import type { Auth } from "../auth/keys.ts";
import { readable } from "../auth/middleware.ts";
import { datasetFacts, recordDatasets } from "../datasets/facts.ts";
import { batchAround, type Statement } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import { type JsonValue, trainingTask } from "../db/schema.ts";
import { sha256Hex } from "../http/hash.ts";
import { ApiError } from "../http/problem.ts";
import { cutText } from "../http/text.ts";
import { faultsOf, notValid } from "../http/validate.ts";
import { fromWire } from "../http/wire.ts";
import {
  dependencyStatements,
  enqueued,
  queueOptions,
  unknownDependencies,
} from "../queue/options.ts";
import { indexInserted } from "../search/words.ts";
import { redactCommand, redactJson, redactText } from "../secrets/redact.ts";
import { type ReadConfig, readConfigFile, type SentFile, type Warning } from "./config.ts";
import { importSchema, optionalFields, type PastAttempts, reservedFields } from "./fields.ts";
import { taskColumns } from "./queries.ts";

const fileInput = z
  .strictObject({
    text: z.string().optional(),
    base64: z.base64().optional().describe("Instead of text, for files that are not UTF-8."),
    format: z
      .enum(["toml", "yaml", "json", "text"])
      .optional()
      .describe("Default: found out. `text` is kept without being read."),
    path: z.string().max(2000).optional(),
  })
  .refine(
    (c) => (c.text === undefined) !== (c.base64 === undefined),
    "needs either text or base64",
  );

/** Forms 1 and 2 of registering: fields by name, and the trainer's file as text. */
export const registration = z.looseObject({
  ...optionalFields,
  config: fileInput.nullish(),
  dataset_file: fileInput
    .nullish()
    .describe(
      "The separate file that lists the data: sd-scripts' and musubi-tuner's dataset_config, diffusion-pipe's dataset, OneTrainer's concepts.",
    ),
  config_snapshot: z.json().nullish().describe("Settings that the client has already parsed."),
  datasets: z.array(datasetFacts).max(50).nullish(),
  import: importSchema.nullish(),
  queue: queueOptions
    .nullish()
    .describe("Makes a pending task that boxes may pull; `{}` takes all defaults."),
});
type Registration = z.infer<typeof registration>;

/** `?filename=&task_name=&experiment_group=` beside a file sent as the body. */
export const fileQuery = z.strictObject({
  filename: z.string().max(500).optional(),
  task_name: z.string().max(300).optional(),
  experiment_group: z.string().max(200).optional(),
});

export type NewTask = { fields: Registration; file: ReadConfig | null; hash: string };

const fromBase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

const sentFile = ({ text, base64, format, path }: z.infer<typeof fileInput>): SentFile => ({
  bytes: text !== undefined ? new TextEncoder().encode(text) : fromBase64(base64 ?? ""),
  format,
  path,
});

/** Reads forms 1 and 2. `hash` stands for the whole request, for Idempotency-Key. */
export async function readRegistration(value: unknown, text: string): Promise<NewTask> {
  const taken =
    value && typeof value === "object" && !Array.isArray(value)
      ? reservedFields.filter((name) => name in value && name !== "config_snapshot")
      : [];
  if (taken.length)
    throw notValid(
      taken.map((path) => ({ path, message: "is kept by the server and cannot be set" })),
      "The registration",
    );
  const parsed = registration.safeParse(value);
  if (!parsed.success) throw notValid(faultsOf(parsed.error), "The registration");
  const fields = parsed.data;
  if (fields.queue && fields.import)
    throw notValid([{ path: "queue", message: "is not for a run of the past (import)" }]);
  const { config, dataset_file: dataset } = fields;
  const command = fields.command ? redactCommand(fields.command).command : undefined;
  const file =
    config || dataset || command
      ? await readConfigFile(
          config ? sentFile(config) : null,
          command,
          dataset && sentFile(dataset),
        )
      : null;
  return { fields, file, hash: await sha256Hex(text) };
}

/** Reads form 3: the file itself is the body, whatever its content type says. */
export async function readFileRegistration(
  bytes: Uint8Array<ArrayBuffer>,
  query: z.infer<typeof fileQuery>,
  contentType: string,
): Promise<NewTask> {
  if (bytes.length === 0)
    throw notValid(
      [{ path: "", message: "is empty: send the trainer's file or JSON" }],
      "The body",
    );
  const format = contentType.includes("toml")
    ? ("toml" as const)
    : contentType.includes("yaml")
      ? ("yaml" as const)
      : undefined;
  const file = await readConfigFile({ bytes, format, path: query.filename }, undefined);
  return {
    fields: {
      ...(query.task_name && { task_name: query.task_name }),
      ...(query.experiment_group && { experiment_group: query.experiment_group }),
    },
    file,
    hash: await sha256Hex(`${JSON.stringify(query)}\n${await sha256Hex(bytes)}`),
  };
}

const stem = (path: string) => path.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");

/** Times with any offset as the database compares them: in UTC. */
const inUtc = (fields: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      name.endsWith("_at") && typeof value === "string" ? new Date(value).toISOString() : value,
    ]),
  );

/** The columns that an import states of a run that has ended elsewhere. */
function pastColumns({
  source,
  attempts,
  additional_args,
  ...stated
}: z.infer<typeof importSchema>): Record<string, unknown> {
  const given = Object.entries(stated).filter(([, value]) => value !== null);
  const { started_at: begun, finished_at: ended, error_message: error, final_loss } = stated;
  return {
    // What is not stated about the past keeps the default of a new row.
    ...(begun &&
      ended && {
        total_duration_sec: Math.max(0, (Date.parse(ended) - Date.parse(begun)) / 1000),
      }),
    ...inUtc(Object.fromEntries(given.filter(([, value]) => value !== undefined))),
    ...(error && { error_message: redactText(error, "error_message").text }),
    // Points that come later do not draw a stated loss anew.
    final_loss_reported: typeof final_loss === "number",
    import_source: source,
    attempt: Math.max(0, ...(attempts ?? []).map(({ attempt }) => attempt)),
  };
}

/** A statement that adds an imported run's attempts to the task that `taskId` selects. */
function recordAttempts(db: Db, taskId: SQL, keyId: number, attempts: PastAttempts): Statement[] {
  if (attempts.length === 0) return [];
  const safe = attempts.map(({ node_info, tail, error_message, ...attempt }) => ({
    ...inUtc(attempt),
    error_message: error_message && redactText(error_message, "error_message").text,
    tail: tail && cutText(redactText(tail, "tail").text, -16_384),
    node_info: node_info && JSON.stringify(redactJson(node_info, "node_info").value),
  }));
  const names =
    "attempt status started_at heartbeat_at finished_at duration_sec cost from_step gpu_info cuda_version hourly_price exit_code failure_reason error_message node_info tail".split(
      " ",
    );
  const columns = sql.raw(names.join(", "));
  const values = sql.raw(names.map((name) => `a.value ->> '${name}'`).join(", "));
  return [
    db.run(sql`
      insert into task_attempt (task_id, key_id, ${columns})
      select t.id, ${keyId}, ${values} from (select ${taskId} as id) t, json_each(${JSON.stringify(safe)}) a
      where t.id is not null on conflict do nothing`),
  ];
}

/** Splits what the client sent into columns, the rest (additional_args), and what to tell it. */
function toRow({ fields, file }: NewTask) {
  const warnings: Warning[] = [...(file?.warnings ?? [])];
  const {
    config,
    dataset_file,
    config_snapshot,
    datasets,
    import: imported,
    queue,
    ...rest
  } = fields;
  const explicit: Record<string, unknown> = {};
  const additional: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(rest)) {
    if (name in optionalFields) {
      if (value !== null && value !== undefined) explicit[name] = value;
    } else additional[name] = value as JsonValue; // z.looseObject keeps what JSON.parse made.
  }
  Object.assign(additional, fields.import?.additional_args);
  const redact = <T>(result: { value: T; redactions: { where: string }[] }): T => {
    for (const { where } of result.redactions)
      warnings.push({
        code: "secret-redacted",
        message: `A secret was replaced by [redacted]: ${where}.`,
        path: where,
      });
    return result.value;
  };
  const read = file?.recognition.fields ?? {};
  const columns: Record<string, unknown> = { ...read, ...explicit };
  if (fields.command) {
    const { command, redactions } = redactCommand(fields.command);
    columns.command = redact({ value: command, redactions });
  }
  if (fields.node_info) columns.node_info = redact(redactJson(fields.node_info, "node_info"));
  if (file && file.recognition.trainer !== "unknown" && !explicit.trainer)
    columns.trainer = file.recognition.trainer;
  if (file && !columns.trainer) columns.trainer = "unknown";
  columns.task_name ??= config?.path ? stem(config.path) : undefined;
  columns.task_name ||= "untitled";
  if (Object.keys(additional).length)
    columns.additional_args = redact(redactJson(additional, "additional_args"));
  const defaulted = (file?.recognition.defaults ?? []).filter((name) => !(name in explicit));
  if (defaulted.length) columns.defaulted_fields = defaulted;
  if (imported) Object.assign(columns, pastColumns(imported));
  return {
    columns,
    warnings,
    datasets: datasets ?? [],
    queue: queue ?? null,
    snapshot:
      file?.recognition.config ??
      (config_snapshot ? redact(redactJson(config_snapshot, "config_snapshot")) : null),
    path: config?.path ?? null,
    source: imported?.source,
    attempts: imported?.attempts ?? [],
  };
}

/** The statements that store a task: `first` writes, `found` reads its row back. */
async function storing(
  db: Db,
  auth: Auth,
  input: NewTask,
  idempotencyKey: string | undefined,
  filename?: string,
) {
  const { columns, warnings, datasets, queue, snapshot, path, source, attempts } = toRow(input);
  if (queue && auth.box)
    throw new ApiError(
      403,
      "not-allowed",
      "A box key puts nothing into the queue: it would decide what other boxes run.",
    );
  const registrationKey = idempotencyKey
    ? `${auth.userId}:${idempotencyKey}`
    : source !== undefined
      ? `import:${auth.userId}:${source}`
      : `made:${crypto.randomUUID()}`;
  if (filename && columns.task_name === "untitled")
    columns.task_name = stem(filename) || "untitled";
  const parent = columns.parent_task_id;
  const made = {
    ...fromWire<Partial<typeof trainingTask.$inferInsert>>(columns),
    taskName: cutText(String(columns.task_name), 0, 300),
  };
  const insert = db
    .insert(trainingTask)
    .values({
      ...made,
      userId: auth.userId,
      keyId: auth.keyId,
      registrationKey,
      registrationHash: input.hash,
      ...(queue && enqueued(queue)),
      parentTaskId: parent
        ? sql`(select id from training_task where id = ${parent} and deleted_at is null and ${readable(auth)})`
        : null,
    })
    .onConflictDoNothing({ target: trainingTask.registrationKey });
  const mine: SQL = sql`(select id from training_task where registration_key = ${registrationKey} and registration_hash = ${input.hash})`;
  const dependsOn = queue?.depends_on ?? [];
  const statements: Statement[] = [
    indexInserted(db, made),
    audit(
      db,
      auth,
      "task.register",
      sql`select id from training_task where registration_key = ${registrationKey} and changes() = 1 and coalesce(queue_waiting, 0) >= 0`,
    ),
    ...dependencyStatements(db, registrationKey, dependsOn),
  ];
  const { file } = input;
  if (file?.bytes || file?.dataset || snapshot !== null)
    statements.push(
      db.run(sql`
        insert into task_config
          (task_id, format, path, sha256, snapshot, original, dataset_path, dataset_original)
        select id, ${file?.recognition.format ?? "json"}, ${path ?? filename ?? null},
          ${file?.sha256 ?? ""}, ${snapshot === null ? null : JSON.stringify(snapshot)},
          ${file?.bytes ?? new Uint8Array()}, ${file?.dataset?.path ?? null},
          ${file?.dataset?.bytes ?? null}
        from training_task where registration_key = ${registrationKey} and registration_hash = ${input.hash}
        on conflict do nothing`),
    );
  statements.push(...(await recordDatasets(db, mine, datasets)));
  statements.push(...recordAttempts(db, mine, auth.keyId, attempts));
  const found = db
    .select({ ...taskColumns, registrationHash: trainingTask.registrationHash })
    .from(trainingTask)
    .where(sql`registration_key = ${registrationKey}`);
  // A key older than 30 days is free again; only a client's own key can be that old. An import may
  // state that it was recorded long ago.
  const expire = db.run(sql`
    update training_task set registration_key = registration_key || ':until:' || id
    where registration_key = ${registrationKey} and import_source is null and created_at < strftime('%Y-%m-%dT%H:%M:%fZ','now','-30 days')`);
  return {
    warnings,
    parent,
    dependsOn,
    registrationKey,
    found,
    inserted: insert.returning({ id: trainingTask.id }),
    statements,
    expire: idempotencyKey ? expire : null,
  };
}

/**
 * Stores a task in one round trip. The same `idempotencyKey` of the same user with the same
 * request finds the first task again for 30 days; with another request it is refused (422).
 */
export async function registerTask(
  db: Db,
  auth: Auth,
  input: NewTask,
  idempotencyKey: string | undefined,
  filename?: string,
) {
  const stored = await storing(db, auth, input, idempotencyKey, filename);
  const { warnings, parent, dependsOn, found, inserted, statements, expire } = stored;
  const [fresh, [row]] = expire
    ? await batchAround(db, expire, [inserted, ...statements], found)
    : await batchAround(db, inserted, statements, found);
  if (!row && dependsOn.length) throw await unknownDependencies(db, dependsOn);
  if (!row) throw new Error("the task's row did not come back");
  const { registrationHash, ...task } = row;
  if (parent && task.parentTaskId === null)
    warnings.push({
      code: "parent-unknown",
      message: `There is no task ${parent} that this key can read, so the run was recorded without a parent.`,
      path: "parent_task_id",
    });
  if (!idempotencyKey && Array.isArray(fresh) && fresh.length === 0) {
    warnings.push({
      code: "already-imported",
      message: `This was imported before, as task ${task.id}${task.deletedAt ? ", which is in the trash" : ""}; nothing was added.`,
      path: "import.source",
    });
    return { task, warnings };
  }
  if (registrationHash !== input.hash) throw keyReused();
  return { task, warnings };
}

const keyReused = () =>
  new ApiError(
    422,
    "idempotency-key-reused",
    "This Idempotency-Key was used for another registration within the last 30 days. Send a new key for a new run.",
    { errors: [{ path: "Idempotency-Key", message: "belongs to another registration" }] },
  );

/** Stores tasks in one atomic batch, and answers with their ids; with a key, repeated, the same ones. */
export async function registerTasks(
  db: Db,
  auth: Auth,
  inputs: NewTask[],
  idempotencyKey: string | undefined,
): Promise<number[]> {
  const all = await Promise.all(
    inputs.map((input, n) =>
      storing(db, auth, input, idempotencyKey && `${idempotencyKey}/${n + 1}-of-${inputs.length}`),
    ),
  );
  const [first, ...rest] = all.flatMap(({ expire, inserted, statements }) => [
    ...(expire ? [expire] : []),
    inserted,
    ...statements,
  ]);
  if (!first) return [];
  const keys = JSON.stringify(all.map(({ registrationKey }) => registrationKey));
  const found = db.all<{ id: number; hash: string }>(sql`
    select t.id, t.registration_hash as hash from json_each(${keys}) k
      cross join training_task t on t.registration_key = k.value order by k.key`);
  const [, rows] = await batchAround(db, first, rest, found);
  const dependsOn = all[0]?.dependsOn ?? [];
  if (rows.length < inputs.length && dependsOn.length)
    throw await unknownDependencies(db, dependsOn);
  if (rows.some(({ hash }, n) => hash !== inputs[n]?.hash)) throw keyReused();
  return rows.map(({ id }) => id);
}
