/* Models that MLflow's client logs: folders among a run's files, with what the client says of them. */
import { and, isNull, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import { readable } from "../../platform/auth/access.ts";
import type { Db } from "../../platform/db/client.ts";
import { loggedModel, type loggedModelStates, trainingTask } from "../../platform/db/schema.ts";
import type { Auth } from "../../platform/http/caller.ts";
import { runIdOf } from "./form.ts";
import { loggedModelUri } from "./places.ts";

type ModelRecord = {
  model_type?: string;
  params?: Record<string, string>;
  tags?: Record<string, string>;
  /** The runs that name it as an output, and at which step: usually its own. */
  outputs?: { task: number; step: number }[];
};

/** Pairs as MLflow sends them; longer values are cut by its clients too. */
export const pair = z.object({
  key: z.string().min(1).max(250),
  value: z.string().max(8000).default(""),
});
export const pairs = z.array(pair).max(1000).default([]);

export const toMap = (list: readonly z.infer<typeof pair>[]) =>
  Object.fromEntries(list.map(({ key, value }) => [key, value]));
export const toPairs = (map: Record<string, string> | null | undefined) =>
  Object.entries(map ?? {}).map(([key, value]) => ({ key, value }));

/** The experiment of the run `training_task`: its group's, or that of runs without one. */
export const experimentOf = sql<number>`coalesce(
  (select e.id from experiment e where e.name = training_task.experiment_group), 0)`;

const millis = (time: string) => Date.parse(time);

const columns = {
  id: loggedModel.id,
  taskId: loggedModel.taskId,
  name: loggedModel.name,
  status: loggedModel.status,
  record: loggedModel.record,
  createdAt: loggedModel.createdAt,
  updatedAt: loggedModel.updatedAt,
  experimentId: experimentOf,
};

/** Logged models of runs that the caller reads. */
export const selectLoggedModels = (
  db: Db,
  auth: Auth,
  condition: SQL | undefined,
  place = sql<string>`'[]'`,
) =>
  db
    .select({ ...columns, place })
    .from(loggedModel)
    .innerJoin(trainingTask, sql`training_task.id = logged_model.task_id`)
    .where(
      and(isNull(loggedModel.deletedAt), isNull(trainingTask.deletedAt), readable(auth), condition),
    );

export type LoggedModelRow = Awaited<ReturnType<typeof selectLoggedModels>>[number];

const loggedModelStatus = (state: (typeof loggedModelStates)[number]) =>
  state === "UPLOAD_FAILED" ? "LOGGED_MODEL_UPLOAD_FAILED" : `LOGGED_MODEL_${state}`;

/** A logged model in MLflow's form. */
export function toLoggedModel(row: LoggedModelRow) {
  const record = row.record as ModelRecord;
  return {
    info: {
      model_id: row.id,
      experiment_id: String(row.experimentId),
      name: row.name,
      creation_timestamp_ms: millis(row.createdAt),
      last_updated_timestamp_ms: millis(row.updatedAt),
      artifact_uri: loggedModelUri(row.experimentId, row.id),
      status: loggedModelStatus(row.status),
      model_type: record.model_type ?? "",
      source_run_id: runIdOf(row.taskId),
      tags: toPairs(record.tags),
    },
    data: { params: toPairs(record.params), metrics: [] },
  };
}
