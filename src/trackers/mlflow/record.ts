/*
 * A run as MLflow's protocol shows it: the task's columns, its settings, its attempts' summaries, and the
 * record of what MLflow keeps of a run and no column has.
 */
import { and, eq, type SQL, sql } from "drizzle-orm";
import { mergeSummaries, type Summary } from "../../metrics/points.ts";
import type { Db } from "../../platform/db/client.ts";
import { trackerRun, trainingTask } from "../../platform/db/schema.ts";
import { wireName } from "../../platform/db/wire.ts";
import type { JsonValue } from "../../shared/json.ts";
import { runFieldList } from "../../shared/run-fields.ts";
import { runIdOf } from "./form.ts";

export type DatasetInput = {
  tags: { key: string; value: string }[];
  dataset: { name: string; digest: string } & Record<string, string>;
};

/** MLflow's words of a run's status. */
export const runStatuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const;
export type RunStatus = (typeof runStatuses)[number];

/** `tracker_run.record` of MLflow. */
export type MlflowRecord = {
  /** The run's settings are the params that MLflow's client logged. */
  settings?: 1;
  /** Params that are not in the settings. */
  params?: Record<string, string>;
  /** Tags that no column has. */
  tags?: Record<string, string>;
  /** Who runs it, as the client says. */
  user?: string;
  /** Times of the client's clock, in ms. */
  start_time?: number;
  end_time?: number;
  /** A state that the client told and a run of the ledger cannot come to: it goes before the run's own. */
  status?: RunStatus;
  inputs?: DatasetInput[];
};

/** Milliseconds since 1970 of a time of the database. */
export const toMs = (time: SQL) =>
  sql`(cast(strftime('%s', ${time}) as integer) * 1000 + cast(substr(${time}, 21, 3) as integer))`;

const record = sql`tracker_run.record`;

/** What a search compares and orders by, as SQL over training_task with its tracker_run. */
export const attributes = {
  run_id: sql`printf('%032d', training_task.id)`,
  run_name: sql`training_task.task_name`,
  status: sql`coalesce(${record} ->> '$.status', case training_task.status
    when 'pending' then 'SCHEDULED' when 'running' then 'RUNNING' when 'success' then 'FINISHED'
    when 'failed' then 'FAILED' else 'KILLED' end)`,
  start_time: sql`coalesce(${record} ->> '$.start_time', ${toMs(sql`coalesce(training_task.started_at, training_task.created_at)`)})`,
  end_time: sql`coalesce(${record} ->> '$.end_time', ${toMs(sql`training_task.finished_at`)})`,
  user_id: sql`coalesce(${record} ->> '$.user', (select name from user where user.id = training_task.user_id))`,
  experiment_id: sql`coalesce((select e.id from experiment e where e.name = training_task.experiment_group), 0)`,
};

/** Tasks with what MLflow keeps of them. */
export const withRecord = sql`training_task
  left join tracker_run on tracker_run.task_id = training_task.id and tracker_run.tracker = 'mlflow'
  left join task_config on task_config.task_id = training_task.id`;

const settingColumns = runFieldList.flatMap(([name, { setting }]) =>
  setting === "training" ? [name] : [],
);

/** Leaves of a trainer's settings that are shown as params. */
const MOST_LEAVES = 2000;

type Row = {
  id: number;
  name: string;
  lifecycle: string;
  status: RunStatus;
  start: number;
  end: number | null;
  user: string;
  experiment: number;
  tags: string | null;
  notes: string | null;
  commit: string | null;
  parent: number | null;
  columns: string;
  snapshot: string | null;
  record: string | null;
  summaries: string;
  /** The logged models that the run made, as JSON. */
  outputs: string;
};

const columnsJson = sql`json_object(${sql.join(
  settingColumns.map((name) => sql`${name}, ${sql.raw(`training_task.${name}`)}`),
  sql`, `,
)})`;

/** Bytes of what readRuns() reads of a run, about. */
export const runBytes = sql`(2000 + coalesce(octet_length(task_config.snapshot), 0) + coalesce(octet_length(${record}), 0)
  + coalesce(octet_length(training_task.tags), 0) + coalesce(octet_length(training_task.notes), 0)
  + coalesce((select sum(octet_length(a.summary)) from task_attempt a where a.task_id = training_task.id), 0))`;

/** The runs under a condition; its order is the caller's. */
export const selectRuns = (db: Db, where: SQL | undefined) =>
  db.all<Row>(sql`
  select training_task.id, training_task.task_name as name,
    iif(training_task.deleted_at is null, 'active', 'deleted') as lifecycle,
    ${attributes.status} as status, ${attributes.start_time} as start, ${attributes.end_time} as end,
    ${attributes.user_id} as user, ${attributes.experiment_id} as experiment,
    training_task.tags, training_task.notes, training_task.git_commit as "commit", training_task.parent_task_id as parent,
    ${columnsJson} as columns, task_config.snapshot, ${record} as record,
    (select json_group_array(json(a.summary)) from (
      select summary from task_attempt where task_id = training_task.id order by attempt) a) as summaries,
    (select json_group_array(json_object('model_id', m.id, 'step', o.value ->> 'step'))
      from logged_model m, json_each(m.record, '$.outputs') o
      where m.task_id = training_task.id and m.deleted_at is null) as outputs
  from ${withRecord} where ${where}`);

/** A value of a trainer's settings as a text. */
const textOf = (value: JsonValue): string =>
  typeof value === "string" ? value : JSON.stringify(value);

/** The leaves of a trainer's settings by their paths: lists are leaves. */
function leavesOf(value: JsonValue, path: string, into: Map<string, string>) {
  if (value === null || into.size >= MOST_LEAVES) return;
  if (typeof value !== "object" || Array.isArray(value)) {
    into.set(path, textOf(value));
    return;
  }
  for (const [key, part] of Object.entries(value))
    leavesOf(part, path ? `${path}.${key}` : key, into);
}

function paramsOf(row: Row, kept: MlflowRecord): Map<string, string> {
  const params = new Map<string, string>();
  const snapshot: JsonValue = JSON.parse(row.snapshot ?? "null");
  if (kept.settings !== 1) {
    leavesOf(snapshot, "", params);
    params.delete("");
    const columns: Record<string, JsonValue> = JSON.parse(row.columns);
    for (const [name, value] of Object.entries(columns))
      if (value !== null && !params.has(name)) params.set(name, textOf(value));
  } else if (snapshot !== null && typeof snapshot === "object" && !Array.isArray(snapshot))
    for (const [key, value] of Object.entries(snapshot))
      if (value !== null) params.set(key, textOf(value));
  for (const [key, value] of Object.entries(kept.params ?? {})) params.set(key, value);
  return params;
}

/** Tags as MLflow shows them: those of the run, and what columns have. */
function tagsOf(row: Row, kept: MlflowRecord): Map<string, string> {
  const tags = new Map(Object.entries(kept.tags ?? {}));
  const own: Record<string, string> = JSON.parse(row.tags ?? "{}");
  for (const [key, value] of Object.entries(own)) tags.set(key, value);
  tags.set("mlflow.runName", row.name);
  if (row.notes !== null) tags.set("mlflow.note.content", row.notes);
  if (row.commit !== null) tags.set("mlflow.source.git.commit", row.commit);
  if (row.parent !== null && !tags.has("mlflow.parentRunId"))
    tags.set("mlflow.parentRunId", runIdOf(row.parent));
  return tags;
}

const pairs = (map: Map<string, string>) => [...map].map(([key, value]) => ({ key, value }));

/** The last value of each metric over all attempts: of the highest step, there the latest. */
function metricsOf(row: Row) {
  const all: Record<string, Summary>[] = JSON.parse(row.summaries);
  const last = new Map<string, Summary>();
  for (const summaries of all)
    for (const [key, summary] of Object.entries(summaries)) {
      const before = last.get(key);
      last.set(key, before ? mergeSummaries(before, summary, true) : summary);
    }
  return [...last].map(
    ([
      key,
      {
        last: [step, , ms, value],
      },
    ]) => ({
      key,
      value,
      timestamp: ms ?? row.start,
      step,
    }),
  );
}

export const infoOf = (row: Row) => ({
  run_id: runIdOf(row.id),
  run_uuid: runIdOf(row.id),
  run_name: row.name,
  experiment_id: String(row.experiment),
  user_id: row.user,
  status: row.status,
  start_time: Number(row.start),
  // One that goes on has no end.
  ...(row.end !== null &&
    row.status !== "RUNNING" &&
    row.status !== "SCHEDULED" && { end_time: Number(row.end) }),
  artifact_uri: `mlflow-artifacts:/${row.experiment}/${runIdOf(row.id)}/artifacts`,
  lifecycle_stage: row.lifecycle,
});

/** A run in MLflow's form. */
export function runOf(row: Row) {
  const kept: MlflowRecord = JSON.parse(row.record ?? "{}");
  const inputs = kept.inputs ?? [];
  const outputs: { model_id: string; step: number }[] = JSON.parse(row.outputs);
  return {
    info: infoOf(row),
    data: {
      metrics: metricsOf(row),
      params: pairs(paramsOf(row, kept)),
      tags: pairs(tagsOf(row, kept)),
    },
    inputs: inputs.length ? { dataset_inputs: inputs } : {},
    ...(outputs.length && { outputs: { model_outputs: outputs } }),
  };
}

/** The name of a column of settings, or null. */
export const settingColumn = (name: string): string | null =>
  settingColumns.some((one) => one === name) ? wireName(name) : null;

/** Changes the record of a run that has one. */
export const changeRecord = (db: Db, taskId: number, record: SQL, condition?: SQL) =>
  db
    .update(trackerRun)
    .set({ record })
    .where(and(eq(trackerRun.taskId, taskId), eq(trackerRun.tracker, "mlflow"), condition));

/** Makes the record of a run that MLflow's client writes to, where it has none; `where` is the condition on the task. */
export const makeRecord = (
  db: Db,
  taskId: number,
  { alone, record }: { alone: boolean; record: MlflowRecord },
  where: SQL | undefined,
) =>
  db.run(sql`
    insert into tracker_run (task_id, tracker, user_id, project, run, alone, record)
    select id, 'mlflow', user_id, ${attributes.experiment_id}, printf('%032d', id), ${alone ? 1 : 0}, ${JSON.stringify(record)}
    from ${trainingTask} where ${where} and id = ${taskId} on conflict do nothing`);
