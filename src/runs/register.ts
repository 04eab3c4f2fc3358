import { type SQL, sql } from "drizzle-orm";
import { decodeBase64 } from "hono/utils/encode";
import * as z from "zod";
import type { Config } from "../env.ts";
import { audit } from "../platform/audit/audit.ts";
import { readable } from "../platform/auth/access.ts";
import { explainRoom, nearLimit, roomFor } from "../platform/auth/bounds.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { insertIf } from "../platform/db/insert.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { fromWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { refuse } from "../platform/http/problem.ts";
import { cutText } from "../platform/http/text.ts";
import { faultsOf, notValid } from "../platform/http/validate.ts";
import { indexInserted } from "../platform/search/words.ts";
import { redactCommand, redactJson, redactText } from "../platform/secrets/redact.ts";
import type { JsonValue } from "../shared/json.ts";
import { runFields } from "../shared/run-fields.ts";
import type { Declaration } from "../trainers/declarations/form.ts";
import {
  type DialectFault,
  isFaulty,
  MOST_DIALECT,
  readDialect,
} from "../trainers/dialect-file.ts";
import { importAttempts } from "./attempts.ts";
import { type ReadConfig, readConfigFile, type SentFile, type Warning } from "./config.ts";
import { datasetFacts, factsBytes, recordDatasets } from "./dataset-facts.ts";
import { readByStored } from "./dialects.ts";
import {
  bytesOf,
  importSchema,
  MOST_DOCUMENT,
  optionalFields,
  reservedFields,
  withinDocument,
} from "./fields.ts";
import { pastColumns } from "./past.ts";
import { taskColumns } from "./queries.ts";
import {
  dependencyStatements,
  queueColumns,
  queueOptions,
  unknownDependencies,
} from "./queue-options.ts";
import { packSources, unpackSources } from "./sources.ts";
import { freeRegistrationKey } from "./states.ts";

export const fileInput = z
  .strictObject({
    text: z.string().optional(),
    base64: z.base64().optional().describe("The file instead of `text`, where it is not UTF-8."),
    format: z
      .enum(["toml", "yaml", "json", "text"])
      .optional()
      .describe("Default: detected. `text` is stored without being parsed."),
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
  dialect: z
    .string()
    .max(MOST_DIALECT)
    .nullish()
    .describe("A dialect of your own (TOML) to read the file or the command by; docs/dialects.md."),
  config_snapshot: z.json().nullish().describe("Settings that the client has parsed."),
  datasets: z.array(datasetFacts).max(50).nullish(),
  import: importSchema.nullish(),
  queue: queueOptions
    .nullish()
    .describe("Registers a pending task that boxes may pull; `{}` takes all defaults."),
});
type Registration = z.infer<typeof registration>;

/** `?filename=&task_name=&experiment_group=` beside a file sent as the body. */
export const fileQuery = z.strictObject({
  filename: z.string().max(500).optional(),
  task_name: z.string().max(runFields.task_name.longest).optional(),
  experiment_group: z.string().max(runFields.experiment_group.longest).optional(),
});

export type NewTask = {
  fields: Registration;
  file: ReadConfig | null;
  hash: string;
  /** Reads the files once more by stored dialects; null where the trainer is known, or nothing was read. */
  readBy: ((own: Declaration[]) => Promise<ReadConfig>) | null;
};

/** The dialect that came with a registration. Throws ApiError 422 with its lines. */
function ownDialect(text: string | null | undefined): Declaration[] {
  if (!text) return [];
  const read = readDialect(text);
  if (isFaulty(read)) throw notValid(dialectFaults("dialect", read), "The dialect");
  return [read];
}

/** Faults of a dialect's text as answers tell them. */
export const dialectFaults = (field: string, faults: DialectFault[]) =>
  faults.slice(0, 50).map(({ line, path, message }) => ({
    path: `${field} (line ${line})`,
    message: path ? `${path}: ${message}` : message,
  }));

const toSentFile = ({ text, base64, format, path }: z.infer<typeof fileInput>): SentFile => ({
  bytes: text !== undefined ? new TextEncoder().encode(text) : decodeBase64(base64 ?? ""),
  format,
  path: path && redactText(path, "path").text,
});

/**
 * Reads forms 1 and 2. `hash` stands for the whole request, for Idempotency-Key. `secrets` are the
 * keys whose values were taken out of the files that these were made from.
 */
export async function readRegistration(
  value: unknown,
  text: string,
  secrets: string[] = [],
): Promise<NewTask> {
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
  const given = ownDialect(fields.dialect);
  const read = (own: Declaration[]) =>
    readConfigFile(
      config ? { ...toSentFile(config), secrets } : null,
      command,
      dataset && { ...toSentFile(dataset), secrets },
      own,
    );
  const file = config || dataset || command ? await read(given) : null;
  return { fields, file, hash: await sha256Hex(text), readBy: mayBeStored(file) ? read : null };
}

const mayBeStored = (file: ReadConfig | null) => file?.recognition.trainer === "unknown";

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
  const read = (own: Declaration[]) =>
    readConfigFile({ bytes, format, path: query.filename }, undefined, null, own);
  const file = await read([]);
  return {
    readBy: mayBeStored(file) ? read : null,
    fields: {
      ...(query.task_name && { task_name: query.task_name }),
      ...(query.experiment_group && { experiment_group: query.experiment_group }),
    },
    file,
    hash: await sha256Hex(`${JSON.stringify(query)}\n${await sha256Hex(bytes)}`),
  };
}

const stem = (path: string) => path.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");

const byteLength = (text: string) => new TextEncoder().encode(text).length;

/** Bytes of parsed settings that filters and comparisons read, 20 at a time; files are a hundredth of it. */
const MOST_SNAPSHOT = 256_000;

const warnOfSize = (path: string, dropped: string[]): Warning => ({
  code: "too-large",
  message: `${path} are over ${MOST_DOCUMENT} bytes, so the largest were left out: ${dropped
    .slice(0, 5)
    .map((name) => name.slice(0, 60))
    .join(", ")}${dropped.length > 5 ? `, and ${dropped.length - 5} more` : ""}.`,
  path,
});
/** Fields whose texts are files, which readConfigFile redacts byte by byte, or long counts. */
export const fileTexts = [
  ...["config.text", "config.base64", "dataset_file.text", "dataset_file.base64"],
];
const redactedApart = [...fileTexts, "datasets.tag_distribution"];

/** Where a part of a registration is kept: an import's fields are a run's, unknown ones are arguments. */
const placeOfKept = (where: string): string => {
  const path = where.replace(/^import\./, "");
  return path !== where || (path.split(/[.[]/)[0] ?? "") in registration.shape
    ? path
    : `additional_args.${path}`;
};

/** Splits what the client sent into columns, the rest (additional_args), and what to tell it. */
export function toRow({ fields: sent, file }: NewTask) {
  const warnings: Warning[] = [...(file?.warnings ?? [])];
  const redact = <T>(result: { value: T; redactions: { where: string }[] }): T => {
    for (const path of result.redactions.slice(0, 100).map(({ where }) => placeOfKept(where)))
      warnings.push({
        code: "secret-redacted",
        message: `A secret was replaced by [redacted]: ${path}.`,
        path,
      });
    return result.value;
  };
  // Validation made the fields from JSON, which they still are.
  const fields = redact(redactJson(sent as JsonValue, "", redactedApart)) as Registration;
  const {
    config,
    dataset_file,
    config_snapshot,
    datasets,
    import: imported,
    queue,
    dialect,
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
  // Texts of a configuration are read as sentences here, where its bytes were read as settings.
  const read = redactJson((file?.recognition.fields ?? {}) as JsonValue, "").value as object;
  const columns: Record<string, unknown> = { ...read, ...explicit };
  if (file && file.recognition.trainer !== "unknown" && !explicit.trainer)
    columns.trainer = file.recognition.trainer;
  if (file && !columns.trainer) columns.trainer = "unknown";
  columns.task_name ??= config?.path ? stem(config.path) : undefined;
  columns.task_name ||= "untitled";
  if (Object.keys(additional).length) {
    const { value, dropped } = withinDocument(additional);
    if (dropped.length) warnings.push(warnOfSize("additional_args", dropped));
    columns.additional_args = value;
  }
  const { defaults = [], fields: found = {}, sources: origins = {} } = file?.recognition ?? {};
  const defaulted = defaults.filter((name) => !(name in explicit));
  // What the sender states as the file does was read from there all the same.
  const sources = Object.fromEntries(
    Object.entries(origins).filter(
      ([name, { from }]) =>
        !(name in explicit) ||
        (from !== "default" && explicit[name] === found[name as keyof typeof found]),
    ),
  );
  if (defaulted.length) columns.defaulted_fields = defaulted;
  if (imported) Object.assign(columns, pastColumns(imported));
  let snapshot: JsonValue = redactJson(
    file?.recognition.config ?? config_snapshot ?? null,
    "",
  ).value;
  if (bytesOf(snapshot) > MOST_SNAPSHOT) {
    warnings.push({
      code: "too-large",
      message: `The settings are over ${MOST_SNAPSHOT} bytes, so filters do not find them by config.…; the file itself is kept whole.`,
      path: "config",
    });
    snapshot = null;
  }
  return {
    columns,
    warnings,
    datasets: datasets ?? [],
    queue: queue ?? null,
    snapshot,
    sources,
    path: config?.path ?? null,
    dialect: dialect ?? null,
    source: imported?.source,
    attempts: imported?.attempts ?? [],
  };
}

/**
 * The parts of a chain that store a task, their names beginning with `prefix`: `inserted` writes it where
 * `room` holds, and all others do nothing where it did not; `found` reads its row back.
 */
async function prepareStoring(
  db: Db,
  auth: Auth,
  input: NewTask,
  idempotencyKey: string | undefined,
  {
    config,
    filename,
    room,
    prefix = "",
  }: { config: Config; filename?: string; room?: SQL; prefix?: string },
) {
  const { columns, warnings, datasets, queue, snapshot, sources, path, dialect, source, attempts } =
    toRow(input);
  if (queue && auth.box) throw refuse("not-allowed", { case: "box-queue" });
  // A box key has names of its own: it neither finds nor blocks what other keys of its user register.
  const by = auth.box ? `box:${auth.keyId}` : `${auth.userId}`;
  const registrationKey = idempotencyKey
    ? `${by}:${idempotencyKey}`
    : source !== undefined
      ? `import:${by}:${source}`
      : `made:${crypto.randomUUID()}`;
  if (filename && columns.task_name === "untitled")
    columns.task_name = stem(filename) || "untitled";
  const parent = columns.parent_task_id;
  const made = {
    ...fromWire<Partial<typeof trainingTask.$inferInsert>>(columns),
    taskName: cutText(String(columns.task_name), 0, runFields.task_name.longest),
  };
  const { file } = input;
  const snapshotJson = snapshot === null ? null : JSON.stringify(snapshot);
  const packed = packSources(sources);
  const recordBytes =
    (snapshotJson ? byteLength(snapshotJson) : 0) +
    (file?.bytes?.length ?? 0) +
    (file?.dataset?.bytes.length ?? 0) +
    (dialect ? byteLength(dialect) : 0) +
    datasets.reduce((sum, facts) => sum + factsBytes(facts), 0);
  const inserted = db.run(
    insertIf(
      trainingTask,
      {
        ...made,
        userId: auth.userId,
        keyId: auth.keyId,
        registrationKey,
        registrationHash: input.hash,
        recordBytes,
        ...(queue && queueColumns(queue)),
        parentTaskId: parent
          ? sql`(select id from training_task where id = ${parent} and deleted_at is null and ${readable(auth)})`
          : null,
      },
      room ?? roomFor(config, auth.userId, { tasks: 1, database_bytes: recordBytes }),
    ),
  );
  const mine: SQL = sql`(select id from training_task where registration_key = ${registrationKey} and registration_hash = ${input.hash})`;
  const dependsOn = queue?.depends_on ?? [];
  const facts = await recordDatasets(db, mine, datasets);
  const parts: Record<string, Part> = {
    // Right after the insert, where last_insert_rowid() is the task's.
    indexed: ifChanged(`${prefix}inserted`, (inserted) => indexInserted(db, made, inserted)),
    noted: ifChanged(`${prefix}indexed`, (changed) =>
      audit(
        db,
        auth,
        "task.register",
        sql`select id from training_task where registration_key = ${registrationKey} and ${changed}
        ${dependsOn.length ? sql`and coalesce(queue_waiting, 0) >= 0` : sql``}`,
      ),
    ),
    dependencies: dependencyStatements(db, registrationKey, dependsOn),
    config:
      (file?.bytes || file?.dataset || snapshot !== null || dialect !== null) &&
      db.run(sql`
        insert into task_config
          (task_id, format, path, sha256, snapshot, original, dataset_path, dataset_original, secrets, sources, dialect)
        select id, ${file?.recognition.format ?? "json"}, ${path ?? filename ?? null},
          ${file?.sha256 ?? ""}, ${snapshotJson},
          ${file?.bytes ?? new Uint8Array()}, ${file?.dataset?.path ?? null},
          ${file?.dataset?.bytes ?? null}, ${file?.secrets ? JSON.stringify(file.secrets) : null},
          ${packed ? JSON.stringify(packed) : null}, ${dialect}
        from training_task where registration_key = ${registrationKey} and registration_hash = ${input.hash}
        on conflict do nothing`),
    facts,
    attempts: importAttempts(db, mine, auth.keyId, attempts),
  };
  const found = db
    .select({
      ...taskColumns,
      registrationHash: trainingTask.registrationHash,
      use: sql<
        string | null
      >`(select json_array(tasks, bytes) from user_use where user_id = ${auth.userId})`,
    })
    .from(trainingTask)
    .where(sql`registration_key = ${registrationKey}`);
  // A key older than IDEMPOTENCY_DAYS is free again; only a client's own key can be that old.
  const freed =
    idempotencyKey && config.IDEMPOTENCY_DAYS > 0
      ? freeRegistrationKey(db, registrationKey, config.IDEMPOTENCY_DAYS)
      : null;
  return {
    warnings,
    packed,
    parent,
    dependsOn,
    registrationKey,
    recordBytes,
    freed,
    inserted,
    parts,
    found,
  };
}

/**
 * Stores a task in one round trip. The same `idempotencyKey` of the same user with the same
 * request finds the first task again for IDEMPOTENCY_DAYS; with another request it is refused (422).
 * Throws ApiError 403 where the user's bounds leave no room.
 */
export async function registerTask(
  { db, auth, config }: Pick<App["Variables"], "db" | "auth" | "config">,
  input: NewTask,
  idempotencyKey: string | undefined,
  filename?: string,
) {
  const read = await readByStored(db, auth, input);
  const stored = await prepareStoring(db, auth, read, idempotencyKey, { config, filename });
  const { warnings, packed, parent, dependsOn, freed, parts } = stored;
  const {
    inserted,
    found: [row],
  } = await chain(db, { freed, inserted: stored.inserted, ...parts, found: stored.found });
  if (!row) {
    const { recordBytes } = stored;
    const full = await explainRoom(db, config, auth.userId, {
      tasks: 1,
      database_bytes: recordBytes,
    });
    if (full) throw full;
  }
  if (!row && dependsOn.length) throw await unknownDependencies(db, dependsOn);
  if (!row) throw new Error("the task's row did not come back");
  const { registrationHash, use, ...task } = row;
  const [tasks = null, bytes = null]: (number | null)[] = JSON.parse(use ?? "[]");
  for (const near of [
    nearLimit(config, "tasks", tasks),
    nearLimit(config, "database_bytes", bytes),
  ])
    if (near) warnings.push(near);
  if (parent && task.parentTaskId === null)
    warnings.push({
      code: "parent-unknown",
      message: `There is no task ${parent} that this key can read, so the run was recorded without a parent.`,
      path: "parent_task_id",
    });
  if (!idempotencyKey && inserted.rowsAffected === 0) {
    warnings.push({
      code: "already-imported",
      message: `This was imported before, as task ${task.id}${task.deletedAt ? ", which is in the trash" : ""}; nothing was added.`,
      path: "import.source",
    });
    return { task, sources: unpackSources(packed, task.defaultedFields), warnings };
  }
  if (registrationHash !== input.hash) throw refuseReusedKey();
  return { task, sources: unpackSources(packed, task.defaultedFields), warnings };
}

const refuseReusedKey = () =>
  refuse(
    "idempotency-key-reused",
    {},
    { errors: [{ path: "Idempotency-Key", message: "belongs to another registration" }] },
  );

/**
 * Stores tasks in one atomic batch, all or, where the user's bounds leave no room, none (ApiError 403).
 * Answers with their ids; with a key, repeated, the same ones.
 */
export async function registerTasks(
  { db, auth, config }: Pick<App["Variables"], "db" | "auth" | "config">,
  inputs: NewTask[],
  idempotencyKey: string | undefined,
): Promise<number[]> {
  const keyOf = (n: number) => idempotencyKey && `${idempotencyKey}/${n + 1}-of-${inputs.length}`;
  const bytes = inputs.reduce((sum, { file }) => sum + 2 * (file?.bytes?.length ?? 0), 0);
  const more = { tasks: inputs.length, database_bytes: bytes };
  // The first one asks for room for all; the others are there if it is.
  const all: Awaited<ReturnType<typeof prepareStoring>>[] = [];
  const parts: Record<string, Part> = {};
  for (const [n, input] of inputs.entries()) {
    const first = all[0]?.registrationKey;
    const room =
      first === undefined
        ? roomFor(config, auth.userId, more)
        : sql`exists (select 1 from training_task f where f.registration_key = ${first})`;
    const prefix = `task ${n}: `;
    const stored = await prepareStoring(db, auth, input, keyOf(n), { config, room, prefix });
    const { freed, inserted } = stored;
    for (const [name, part] of Object.entries({ freed, inserted, ...stored.parts }))
      parts[`${prefix}${name}`] = part;
    all.push(stored);
  }
  if (all.length === 0) return [];
  const keys = JSON.stringify(all.map(({ registrationKey }) => registrationKey));
  const { rows } = await chain(db, {
    ...parts,
    rows: db.all<{ id: number; hash: string }>(sql`
    select t.id, t.registration_hash as hash from json_each(${keys}) k
      cross join training_task t on t.registration_key = k.value order by k.key`),
  });
  const dependsOn = all[0]?.dependsOn ?? [];
  if (rows.length < inputs.length) {
    const full = await explainRoom(db, config, auth.userId, more);
    if (full) throw full;
  }
  if (rows.length < inputs.length && dependsOn.length)
    throw await unknownDependencies(db, dependsOn);
  if (rows.some(({ hash }, n) => hash !== inputs[n]?.hash)) throw refuseReusedKey();
  return rows.map(({ id }) => id);
}
