import { eq, sql } from "drizzle-orm";
import { chain } from "../../platform/db/batch.ts";
import type { Db } from "../../platform/db/client.ts";
import { taskConfig, trainingTask, user, weight } from "../../platform/db/schema.ts";
import { toWire } from "../../platform/db/wire.ts";
import { cutText } from "../../platform/http/text.ts";
import type { JsonValue } from "../../shared/json.ts";
import { comparedSettings, type statuses } from "../../shared/run-fields.ts";
import { cleanKey } from "./names.ts";
import { baseOf } from "./server.ts";

/** MLflow's longest value of a parameter; a tag's is shorter in older servers. */
const LONGEST_PARAM = 6000;
const LONGEST_TAG = 5000;
/** Settings of one run that are written: columns and leaves of the trainer's file. */
const MOST_PARAMS = 300;
const MOST_DEPTH = 12;
const MOST_FILES = 50;

export type Pair = { key: string; value: string };

const asText = (value: JsonValue) => (typeof value === "string" ? value : JSON.stringify(value));

const param = (name: string, value: JsonValue): Pair => ({
  key: cleanKey(name),
  value: cutText(asText(value), 0, LONGEST_PARAM),
});
export const tag = (name: string, value: JsonValue): Pair => ({
  key: cleanKey(name),
  value: cutText(asText(value), 0, LONGEST_TAG),
});

/** The leaves of the trainer's file with their paths; a list is one value. */
function* leavesOf(value: JsonValue, path: string, depth = 0): Generator<[string, JsonValue]> {
  if (value === null) return;
  if (typeof value !== "object" || Array.isArray(value) || depth === MOST_DEPTH) {
    yield [path, value];
    return;
  }
  for (const [name, inner] of Object.entries(value))
    yield* leavesOf(inner, `${path}.${name}`, depth + 1);
}

/** All that a mirror says of a run besides its points. */
export async function readFacts(db: Db, taskId: number, publicUrl: string | undefined) {
  const {
    tasks: [found],
    configs: [config],
    files,
  } = await chain(db, {
    tasks: db
      .select({ task: trainingTask, userName: user.name })
      .from(trainingTask)
      .innerJoin(user, eq(user.id, trainingTask.userId))
      .where(eq(trainingTask.id, taskId)),
    configs: db
      .select({ snapshot: taskConfig.snapshot })
      .from(taskConfig)
      .where(eq(taskConfig.taskId, taskId)),
    files: db
      .select({ id: weight.id, filename: weight.filename })
      .from(weight)
      .where(
        sql`${weight.taskId} = ${taskId} and kind = 'final' and state = 'complete' and deleted_at is null`,
      )
      .orderBy(weight.id)
      .limit(MOST_FILES),
  });
  if (!found) return null;
  const { task, userName } = found;
  const base = publicUrl && baseOf(publicUrl);
  const link = base && `${base}/runs/${taskId}`;
  const row: Record<string, JsonValue> = toWire(task) as Record<string, JsonValue>;
  const given = comparedSettings.flatMap((name): [string, JsonValue][] => {
    const value = row[name];
    return value === null || value === undefined ? [] : [[name, value]];
  });
  const settings = [...given, ...leavesOf(config?.snapshot ?? {}, "config")];
  // MLflow's own and the ledger's own names are not a person's to set.
  const own = Object.entries(task.tags ?? {}).filter(
    ([name]) => !/^(mlflow|lora_ledger)\./.test(name),
  );
  const facts = {
    name: task.taskName,
    group: task.experimentGroup ?? "Default",
    userName,
    /** Milliseconds since 1970: when the run began, or was registered. */
    startMs: Date.parse(task.startedAt ?? task.createdAt),
    /** Marks by which the run is found there again; two ledgers have the same numbers. */
    marks: [tag("lora_ledger.task", String(taskId)), tag("lora_ledger.registered", task.createdAt)],
    params: [
      ...new Map(
        settings.slice(0, MOST_PARAMS).map((one) => [cleanKey(one[0]), param(...one)]),
      ).values(),
    ],
    tags: [
      ...own.map(([name, value]) => tag(name, value)),
      tag("mlflow.user", userName),
      tag("mlflow.note.content", noteOf(task.taskName, link, task.notes)),
      ...(link ? [tag("lora_ledger.url", link)] : []),
      ...(settings.length > MOST_PARAMS
        ? [tag("lora_ledger.params_left_out", String(settings.length - MOST_PARAMS))]
        : []),
    ],
  };
  const end = {
    /** Milliseconds since 1970. */
    endMs: task.finishedAt === null ? null : Date.parse(task.finishedAt),
    tags: [
      ...(
        ["final_loss", "best_loss", "best_step", "convergence_step", "failure_reason"] as const
      ).flatMap((name) => {
        const value = row[name];
        return value === null || value === undefined ? [] : [tag(`lora_ledger.${name}`, value)];
      }),
      ...(base
        ? files.map(({ id, filename }) =>
            tag(`lora_ledger.file.${filename}`, `${base}/api/weights/${id}/download`),
          )
        : []),
    ],
  };
  return { ...facts, end };
}

export type Facts = NonNullable<Awaited<ReturnType<typeof readFacts>>>;

/** The description on MLflow's page of the run, in Markdown. */
function noteOf(name: string, link: string | undefined, notes: string | null): string {
  const plain = name.replace(/[[\]\\]/g, "\\$&");
  const head = link ? `[${plain}](${link}) in LoRA Ledger` : `${plain}, recorded by LoRA Ledger`;
  return notes ? `${head}\n\n${notes}` : head;
}

/** MLflow's word for a run's state. */
export const mlflowStatus = {
  pending: "SCHEDULED",
  running: "RUNNING",
  success: "FINISHED",
  failed: "FAILED",
  cancelled: "KILLED",
} as const satisfies Record<(typeof statuses)[number], string>;
