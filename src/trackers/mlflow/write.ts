/*
 * Params, tags and inputs that a client logs: into the run's settings and columns where these have a place for
 * them, else into the record of what MLflow keeps.
 */
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { readable, reportable } from "../../platform/auth/access.ts";
import { explainRoom, roomFor } from "../../platform/auth/bounds.ts";
import { chain, ifChanged, type Part } from "../../platform/db/batch.ts";
import { trainingTask } from "../../platform/db/schema.ts";
import { fromWire } from "../../platform/db/wire.ts";
import type { App } from "../../platform/http/context.ts";
import { cutText } from "../../platform/http/text.ts";
import { isSearched, reindexTasks, type Searched } from "../../platform/search/words.ts";
import { editRuns } from "../../runs/states.ts";
import { runFields } from "../../shared/run-fields.ts";
import { invalid } from "./body.ts";
import { MlflowError, runIdOf, taskOfRun } from "./form.ts";
import { columnsOfParams } from "./params.ts";
import {
  changeRecord,
  type DatasetInput,
  type MlflowRecord,
  makeRecord,
  selectRuns,
  withRecord,
} from "./record.ts";

/** Bytes of settings that filters and comparisons read of many runs at once; see runs/register.ts. */
const MOST_SETTINGS = 250_000;
/** Bytes of what MLflow keeps of a run beside them. */
const MOST_RECORD = 3_000_000;
/** Tags of a run's own column, and their longest. */
const MOST_TAGS = 100;
const LONGEST_TAG = 1000;
const LONGEST_TAG_NAME = 100;

export const noRun = (runId: string) =>
  new MlflowError("RESOURCE_DOES_NOT_EXIST", `Run with id=${runId} not found`);
const notActive = (runId: string) =>
  invalid(`The run ${runId} must be in the 'active' state. Current state is deleted.`);

/** The task of a run that a request names. Throws MlflowError. */
export function taskNamed(runId: string): number {
  const taskId = taskOfRun(runId);
  if (taskId === null) throw noRun(runId);
  return taskId;
}

/** The condition that a run is one that the caller may report on, and is not in the trash. */
export const mine = (c: Context<App>, taskId: number): SQL | undefined =>
  and(eq(trainingTask.id, taskId), sql`training_task.deleted_at is null`, reportable(c.var.auth));

/** The row of a run that the caller may see. Throws MlflowError. */
export async function readRun(c: Context<App>, runId: string) {
  const where = and(eq(trainingTask.id, taskNamed(runId)), readable(c.var.auth));
  const [row] = await selectRuns(c.var.db, where);
  if (!row) throw noRun(runId);
  return row;
}

/** What a change of a run's params and tags depends on. */
type Held = {
  deleted: number;
  mine: number;
  status: string;
  userId: number;
  parent: number | null;
  tags: string | null;
  snapshot: string | null;
  record: string | null;
};

/** A run that the caller may report on. Throws MlflowError of one that is not there, not active, or someone else's. */
export async function readHeld(c: Context<App>, runId: string, live = true) {
  const { db, auth } = c.var;
  const taskId = taskNamed(runId);
  const [row] = await db.all<Held>(sql`
    select training_task.deleted_at is not null as deleted, ${reportable(auth)} as mine, training_task.status,
      training_task.user_id as "userId", training_task.parent_task_id as parent, training_task.tags,
      task_config.snapshot, tracker_run.record
    from ${withRecord} where training_task.id = ${taskId} and ${auth.box ? reportable(auth) : sql`true`}`);
  if (!row) throw noRun(runId);
  if (!row.mine)
    throw new MlflowError("PERMISSION_DENIED", `Run ${runId} belongs to someone else.`);
  if (row.deleted && live) throw notActive(runId);
  const record: MlflowRecord | null = row.record === null ? null : JSON.parse(row.record);
  return { ...row, taskId, record };
}
export type HeldRun = Awaited<ReturnType<typeof readHeld>>;

const pathOf = (key: string) => `$."${key}"`;
const patch = (target: SQL, change: object) =>
  sql`json_patch(${target}, ${JSON.stringify(change)})`;

/** The columns that a tag fills instead. */
function columnOfTag(key: string, value: string): Record<string, string | number | SQL> | null {
  if (key === "mlflow.runName")
    return { taskName: cutText(value.trim() || "untitled", 0, runFields.task_name.longest) };
  if (key === "mlflow.note.content") return { notes: value };
  if (key === "mlflow.source.git.commit" && value.length <= runFields.git_commit.longest)
    return { gitCommit: value };
  return null;
}

/** Whether the run's own tags take one of that name and value. */
const fits = (key: string, value: string) =>
  !key.startsWith("mlflow.") && key.length <= LONGEST_TAG_NAME && value.length <= LONGEST_TAG;

/** Where tags are kept: columns, the run's own tags, and the record's; null takes one away. */
export function sortTags(own: Record<string, string>, tags: Record<string, string>) {
  const columns: Record<string, string | number | SQL> = {};
  const inRun: Record<string, string | null> = {};
  const inRecord: Record<string, string | null> = {};
  let left = MOST_TAGS - Object.keys(own).length;
  for (const [key, value] of Object.entries(tags)) {
    const filled = columnOfTag(key, value);
    if (filled) {
      Object.assign(columns, filled);
      continue;
    }
    const isNew = !Object.hasOwn(own, key);
    if (fits(key, value) && (!isNew || left > 0)) {
      if (isNew) left--;
      inRun[key] = value;
      inRecord[key] = null;
    } else {
      inRecord[key] = value;
      if (!isNew) inRun[key] = null;
    }
  }
  return { columns, inRun, inRecord };
}

/** The parent that tags name; a run is not its own. */
const parentIn = (tags: Record<string, string>, taskId: number) => {
  const id = tags["mlflow.parentRunId"];
  const parent = id === undefined ? null : taskOfRun(id);
  return parent === taskId ? null : parent;
};

const paramsIn = ({ record, snapshot }: HeldRun): ((key: string) => string | undefined) => {
  const settings: Record<string, unknown> =
    record?.settings === 1 && snapshot ? JSON.parse(snapshot) : {};
  const others = record?.params ?? {};
  return (key) => {
    const value = Object.hasOwn(others, key)
      ? others[key]
      : Object.hasOwn(settings, key)
        ? settings[key]
        : undefined;
    return typeof value === "string" ? value : undefined;
  };
};

/** Refuses params that were logged with another value. */
function checkUnchanged(run: HeldRun, params: Record<string, string>, single: boolean) {
  const known = paramsIn(run);
  const changed = Object.entries(params).flatMap(([key, value]) => {
    const old = known(key);
    return old === undefined || old === value ? [] : [{ key, old, value }];
  });
  const [first] = changed;
  if (!first) return;
  const id = runIdOf(run.taskId);
  if (single)
    throw invalid(
      `Changing param values is not allowed. Param with key='${first.key}' was already logged with value='${first.old}' for run ID='${id}'. Attempted logging new value '${first.value}'.`,
    );
  const told = changed
    .slice(0, 20)
    .map(
      ({ key, old, value }) => `{'key': '${key}', 'old_value': '${old}', 'new_value': '${value}'}`,
    );
  throw invalid(
    `Changing param values is not allowed. Params were already logged='[${told.join(", ")}]' for run ID='${id}'.`,
  );
}

export type Change = {
  params?: Record<string, string>;
  tags?: Record<string, string>;
  inputs?: DatasetInput[];
  /** One param by itself: its refusal has another sentence. */
  single?: boolean;
};

/** Columns of a run that hold nothing yet, out of its params. */
function columnsFrom(params: Record<string, string>) {
  const columns = fromWire<Record<string, unknown>>(columnsOfParams(params));
  return Object.fromEntries(
    Object.entries(columns).map(([name, value]) => {
      const column = trainingTask[name as keyof typeof trainingTask.$inferInsert];
      return [name, sql`coalesce(${column}, ${value})`];
    }),
  );
}

/**
 * Writes what a client logs of a run that it holds. Params that are there already with the same value change
 * nothing. Throws MlflowError where one had another value, or no room is left.
 */
export async function writeChange(c: Context<App>, run: HeldRun, change: Change) {
  const { db, config } = c.var;
  const { taskId } = run;
  const params = change.params ?? {};
  const tags = change.tags ?? {};
  checkUnchanged(run, params, change.single ?? false);
  const known = paramsIn(run);
  const news = Object.fromEntries(
    Object.entries(params).filter(([key]) => known(key) === undefined),
  );
  const own: Record<string, string> = JSON.parse(run.tags ?? "{}");
  const { columns, inRun, inRecord } = sortTags(own, tags);
  const parent = parentIn(tags, taskId);
  const size = JSON.stringify([news, tags, change.inputs ?? []]).length;
  const hasParams = Object.keys(news).length > 0;
  const toSettings =
    hasParams &&
    run.record?.settings === 1 &&
    (run.snapshot?.length ?? 0) + JSON.stringify(news).length <= MOST_SETTINGS;
  const recordChange: MlflowRecord & object = {
    ...(hasParams && !toSettings && { params: news }),
    ...(Object.keys(inRecord).length > 0 && { tags: inRecord as Record<string, string> }),
  };
  const inputs = change.inputs && mergeInputs(run.record?.inputs ?? [], change.inputs);
  if (JSON.stringify(run.record ?? {}).length + size > MOST_RECORD)
    throw invalid(
      `The run ${runIdOf(taskId)} has as many params, tags and inputs as the ledger keeps of one run (${MOST_RECORD} bytes).`,
    );
  const where = and(
    mine(c, taskId),
    roomFor(config, sql`training_task.user_id`, { database_bytes: size > 1000 ? size : 0 }),
  );
  const edited = {
    ...columns,
    ...(hasParams && columnsFrom(news)),
    ...(Object.keys(inRun).length > 0 && {
      tags: patch(sql`coalesce(${trainingTask.tags}, '{}')`, inRun),
    }),
    ...(parent !== null && {
      parentTaskId: sql`coalesce((select id from training_task where id = ${parent} and deleted_at is null and ${readable(c.var.auth)}), parent_task_id)`,
    }),
  };
  const searched: Searched = {
    ...(typeof columns.taskName === "string" && { taskName: columns.taskName }),
    ...(typeof columns.notes === "string" && { notes: columns.notes }),
    ...(Object.keys(inRun).length > 0 && { tagsPatch: inRun }),
  };
  const isHere = sql`exists (select 1 from training_task where ${where})`;
  const newRecord = inputs
    ? sql`json_set(${patch(sql`record`, recordChange)}, '$.inputs', json(${JSON.stringify(inputs)}))`
    : patch(sql`record`, recordChange);
  const parts: Record<string, Part> = {
    made: run.record === null && makeRecord(db, taskId, { alone: false, record: {} }, where),
    recorded:
      (Object.keys(recordChange).length > 0 || inputs !== undefined) &&
      changeRecord(db, taskId, newRecord, isHere),
    settings:
      toSettings &&
      db.run(sql`
        update task_config set snapshot = ${patch(sql`coalesce(snapshot, '{}')`, news)}
        where task_id = ${taskId} and ${isHere}`),
    edited: Object.keys(edited).length > 0 && editRuns(db, where, edited),
    indexed:
      isSearched(searched) &&
      ifChanged("edited", (changed) =>
        reindexTasks(db, sql`rowid = ${taskId} and ${changed}`, searched),
      ),
  };
  const {
    there: [there],
  } = await chain(db, {
    ...parts,
    there: db.all<{ id: number }>(sql`select id from training_task where ${where}`),
  });
  if (there) return;
  const full = await explainRoom(db, config, run.userId, { database_bytes: size });
  throw full ?? noRun(runIdOf(taskId));
}

/** Inputs with others behind them; the same data set is there once, with the tags of both. */
function mergeInputs(known: DatasetInput[], more: DatasetInput[]): DatasetInput[] {
  const all = new Map<string, DatasetInput>();
  for (const { dataset, tags } of [...known, ...more]) {
    const name = JSON.stringify([dataset.name, dataset.digest]);
    const before = all.get(name);
    const merged = new Map(
      [...(before?.tags ?? []), ...tags].map(({ key, value }) => [key, value]),
    );
    all.set(name, {
      tags: [...merged].map(([key, value]) => ({ key, value })),
      dataset: before?.dataset ?? dataset,
    });
  }
  return [...all.values()];
}

/** Takes a tag away. Throws MlflowError where there is none, or it is one that each run has. */
export async function deleteTag(c: Context<App>, run: HeldRun, key: string) {
  const { db } = c.var;
  const { taskId, record } = run;
  const own: Record<string, string> = JSON.parse(run.tags ?? "{}");
  const where = mine(c, taskId);
  const inRun = Object.hasOwn(own, key);
  const column =
    key === "mlflow.note.content"
      ? { notes: null }
      : key === "mlflow.source.git.commit"
        ? { gitCommit: null }
        : null;
  if (key === "mlflow.runName") throw invalid("The tag mlflow.runName is the run's name.");
  if (!inRun && !column && !Object.hasOwn(record?.tags ?? {}, key))
    throw new MlflowError(
      "RESOURCE_DOES_NOT_EXIST",
      `No tag with name: ${key} in run with id ${runIdOf(taskId)}`,
    );
  const edited = column ?? (inRun ? { tags: sql`json_remove(tags, ${pathOf(key)})` } : null);
  await chain(db, {
    recorded: changeRecord(
      db,
      taskId,
      sql`json_remove(record, ${`$.tags.${JSON.stringify(key)}`})`,
      sql`exists (select 1 from training_task where ${where})`,
    ),
    edited: edited && editRuns(db, where, edited),
    indexed:
      edited &&
      ifChanged("edited", (changed) =>
        reindexTasks(
          db,
          sql`rowid = ${taskId} and ${changed}`,
          column ? (column as Searched) : { tagsPatch: { [key]: null } },
        ),
      ),
  });
}
