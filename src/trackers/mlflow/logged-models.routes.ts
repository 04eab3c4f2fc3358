import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { listFolder } from "../../files/folder.ts";
import { reportable, writable } from "../../platform/auth/access.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { chain } from "../../platform/db/batch.ts";
import { loggedModel, trainingTask } from "../../platform/db/schema.ts";
import { now } from "../../platform/db/time.ts";
import { afterPlace, orderSql } from "../../platform/filter/compile.ts";
import type { App } from "../../platform/http/context.ts";
import { notFound } from "../../platform/http/problem.ts";
import { limitBody, validate } from "../../platform/http/validate.ts";
import { conditionOf, type Field, listName, orderOf, pageOf, placeOfToken } from "./clauses.ts";
import { MlflowError, mlflowProblem, taskOfRun } from "./form.ts";
import { requireMlflowKey } from "./key.ts";
import { experimentOf, pairs, selectLoggedModels, toLoggedModel, toMap } from "./logged-models.ts";

/** Logged models of one run at the most. */
const MOST_MODELS = 1000;
const MOST_RECORD_BYTES = 500_000;

const invalid = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);
const idParam = z.object({ model_id: z.string().max(100) });

const noModel = (id: string) =>
  new MlflowError("RESOURCE_DOES_NOT_EXIST", `Logged model with ID '${id}' not found.`);

/** The run that a body names. Throws MlflowError. */
function taskIn(runId: string | undefined): number {
  if (!runId)
    throw invalid(
      "Missing value for required parameter 'source_run_id'. The ledger keeps a model among the files of a run: call mlflow.start_run() before logging it.",
    );
  const taskId = taskOfRun(runId);
  if (taskId === null)
    throw new MlflowError("RESOURCE_DOES_NOT_EXIST", `Run '${runId}' not found.`);
  return taskId;
}

/** The logged model as it is now. Throws MlflowError 404. */
async function read(c: Context<App>, id: string) {
  const [row] = await selectLoggedModels(c.var.db, c.var.auth, eq(loggedModel.id, id));
  if (!row) throw noModel(id);
  return { model: toLoggedModel(row) };
}

/** Changes a logged model of a run that the caller reports on. Throws MlflowError 404. */
async function change(c: Context<App>, id: string, set: object, may: SQL = reportable(c.var.auth)) {
  const changed = await c.var.db
    .update(loggedModel)
    .set({ ...set, updatedAt: now })
    .where(
      and(
        eq(loggedModel.id, id),
        isNull(loggedModel.deletedAt),
        sql`octet_length(record) < ${MOST_RECORD_BYTES}`,
        sql`exists (select 1 from training_task where training_task.id = task_id and training_task.deleted_at is null and ${may})`,
      ),
    )
    .returning({ id: loggedModel.id });
  if (!changed.length) throw noModel(id);
}

/** A record with more of one of its maps. */
const withMore = (name: "tags" | "params", map: Record<string, string>) =>
  sql`json_patch(record, ${JSON.stringify({ [name]: map })})`;

const states = {
  LOGGED_MODEL_PENDING: "PENDING",
  LOGGED_MODEL_READY: "READY",
  LOGGED_MODEL_UPLOAD_FAILED: "UPLOAD_FAILED",
} as const;

const fields: Record<string, Field> = {
  name: { sql: sql`logged_model.name`, type: "text" },
  model_id: { sql: sql`logged_model.id`, type: "text" },
  model_type: { sql: sql`logged_model.record ->> '$.model_type'`, type: "text" },
  status: { sql: sql`logged_model.status`, type: "text" },
  source_run_id: { sql: sql`printf('%032d', logged_model.task_id)`, type: "text" },
  experiment_id: { sql: sql`cast(${experimentOf} as text)`, type: "text" },
  creation_timestamp: {
    sql: sql`unixepoch(logged_model.created_at, 'subsec') * 1000`,
    type: "number",
  },
  last_updated_timestamp: {
    sql: sql`unixepoch(logged_model.updated_at, 'subsec') * 1000`,
    type: "number",
  },
};
fields.creation_time = fields.creation_timestamp as Field;
fields.creation_timestamp_ms = fields.creation_timestamp as Field;
fields.last_updated_timestamp_ms = fields.last_updated_timestamp as Field;

function fieldOf(entity: string, key: string): Field | null {
  if (entity === "attribute") return Object.hasOwn(fields, key) ? (fields[key] ?? null) : null;
  if (entity !== "tag" && entity !== "param") return null;
  const map = entity === "tag" ? "$.tags" : "$.params";
  return {
    sql: sql`(select value from json_each(logged_model.record, ${map}) where key = ${key})`,
    type: "text",
  };
}

/** Models that MLflow's clients log; their files are those of their run below `models/<id>/`. */
export const loggedModels = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey, limitBody(4_000_000))
  .post(
    "/",
    allow("tasks:write", { box: true }),
    validate(
      "json",
      z.object({
        name: z.string().max(500).nullish(),
        model_type: z.string().max(500).nullish(),
        source_run_id: z.string().max(64).optional(),
        params: pairs,
        tags: pairs,
      }),
    ),
    async (c) => {
      const { name, model_type, source_run_id, params, tags } = c.req.valid("json");
      const { db, auth } = c.var;
      const taskId = taskIn(source_run_id);
      const id = `m-${crypto.randomUUID().replaceAll("-", "")}`;
      const record = JSON.stringify({
        ...(model_type && { model_type }),
        params: toMap(params),
        tags: toMap(tags),
      });
      if (record.length > MOST_RECORD_BYTES)
        throw invalid("The tags and params of the model are too long.");
      const made = await db.all<{ id: string }>(sql`
        insert into logged_model (id, task_id, name, record)
        select ${id}, training_task.id, ${name || `model-${id.slice(2, 10)}`}, ${record} from training_task
        where training_task.id = ${taskId} and training_task.deleted_at is null and ${reportable(auth)}
          and (select count(*) from logged_model m where m.task_id = ${taskId}) < ${MOST_MODELS}
        returning id`);
      if (made.length) return c.json(await read(c, id));
      const [{ n } = { n: 0 }] = await db.all<{ n: number }>(
        sql`select count(*) as n from logged_model where task_id = ${taskId}`,
      );
      if (n >= MOST_MODELS) throw invalid(`A run may have ${MOST_MODELS} logged models.`);
      throw notFound("own-task", { id: taskId });
    },
  )
  .post(
    "/search",
    allow("tasks:read", { box: true }),
    validate(
      "json",
      z.object({
        experiment_ids: z.array(z.string().max(20)).max(1000).default([]),
        filter: z.string().max(10_000).nullish(),
        max_results: z.int().min(1).max(1000).nullish(),
        order_by: z
          .array(
            z.object({ field_name: z.string().max(300), ascending: z.boolean().default(true) }),
          )
          .max(5)
          .default([]),
        page_token: z.string().max(4000).nullish(),
      }),
      // A place in a list is no secret, whatever its name.
      ["page_token"],
    ),
    async (c) => {
      const { experiment_ids, filter, max_results, order_by, page_token } = c.req.valid("json");
      const limit = max_results ?? 50;
      const order = orderOf(
        order_by.length
          ? order_by.map((o) => `${o.field_name} ${o.ascending ? "asc" : "desc"}`)
          : ["creation_timestamp desc"],
        {
          name: sql`logged_model.name`,
          creation_timestamp: sql`logged_model.created_at`,
          creation_time: sql`logged_model.created_at`,
          last_updated_timestamp: sql`logged_model.updated_at`,
          model_id: sql`logged_model.id`,
        },
      );
      const list = await listName("logged models", experiment_ids, filter, order_by);
      const after = placeOfToken(list, page_token ?? undefined);
      const rowid = sql.raw("logged_model.rowid");
      const place = sql<string>`json_array(${sql.join([rowid, ...order.map((o) => o.column)], sql`, `)})`;
      const ids = JSON.stringify(experiment_ids);
      const rows = await selectLoggedModels(
        c.var.db,
        c.var.auth,
        and(
          sql`cast(${experimentOf} as text) in (select value from json_each(${ids}))`,
          ...conditionOf(filter ?? "", fieldOf),
          after ? afterPlace(order, after.values, rowid, after.id) : undefined,
        ),
        place,
      )
        .orderBy(orderSql(order, rowid))
        .limit(limit + 1);
      const { items, token } = pageOf(list, rows, limit);
      return c.json({ models: items.map(toLoggedModel), ...(token && { next_page_token: token }) });
    },
  )
  .get("/:model_id", allow("tasks:read", { box: true }), validate("param", idParam), async (c) =>
    c.json(await read(c, c.req.valid("param").model_id)),
  )
  .patch(
    "/:model_id",
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", z.object({ status: z.enum(Object.keys(states) as (keyof typeof states)[]) })),
    async (c) => {
      const { model_id } = c.req.valid("param");
      await change(c, model_id, { status: states[c.req.valid("json").status] });
      return c.json(await read(c, model_id));
    },
  )
  .delete("/:model_id", allow("tasks:write"), validate("param", idParam), async (c) => {
    // Its files stay among those of the run.
    await change(c, c.req.valid("param").model_id, { deletedAt: now }, writable(c.var.auth));
    return c.json({});
  })
  .patch(
    "/:model_id/tags",
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", z.object({ tags: pairs })),
    async (c) => {
      const { model_id } = c.req.valid("param");
      await change(c, model_id, { record: withMore("tags", toMap(c.req.valid("json").tags)) });
      return c.json(await read(c, model_id));
    },
  )
  .delete(
    "/:model_id/tags/:key",
    allow("tasks:write", { box: true }),
    validate("param", z.object({ model_id: z.string().max(100), key: z.string().max(250) })),
    async (c) => {
      const { model_id, key } = c.req.valid("param");
      // A patch with null takes a member away.
      await change(c, model_id, {
        record: sql`json_patch(record, ${JSON.stringify({ tags: { [key]: null } })})`,
      });
      return c.json({});
    },
  )
  .post(
    "/:model_id/params",
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", z.object({ params: pairs })),
    async (c) => {
      const { model_id } = c.req.valid("param");
      await change(c, model_id, { record: withMore("params", toMap(c.req.valid("json").params)) });
      return c.json({});
    },
  )
  .get(
    "/:model_id/artifacts/directories",
    allow("weights:read", { box: true }),
    validate("param", idParam),
    validate("query", z.object({ artifact_directory_path: z.string().max(300).default("") })),
    async (c) => {
      const { model_id } = c.req.valid("param");
      const { db, auth } = c.var;
      const [row] = await selectLoggedModels(db, auth, eq(loggedModel.id, model_id));
      if (!row) throw noModel(model_id);
      const path = c.req.valid("query").artifact_directory_path.replace(/^\/+|\/+$/g, "");
      const below = path && `${path}/`;
      const entries = await listFolder(db, auth, {
        taskId: row.taskId,
        folder: `models/${model_id}/${below}`,
        limit: 20_000,
      });
      return c.json({
        root_uri: toLoggedModel(row).info.artifact_uri,
        files: entries.map(({ name, isFolder, size }) => ({
          path: below + name,
          is_dir: isFolder,
          ...(!isFolder && { file_size: size }),
        })),
      });
    },
  );

/** Which logged models a run made. */
export const runOutputs = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey, limitBody(1_000_000))
  .post(
    "/",
    allow("tasks:write", { box: true }),
    validate(
      "json",
      z.object({
        run_id: z.string().max(64),
        models: z
          .array(
            z.object({ model_id: z.string().max(100), step: z.coerce.number().int().default(0) }),
          )
          .max(100)
          .default([]),
      }),
    ),
    async (c) => {
      const { run_id, models } = c.req.valid("json");
      const { db, auth } = c.var;
      const taskId = taskIn(run_id);
      const mine = sql`exists (select 1 from training_task where training_task.id = ${taskId} and training_task.deleted_at is null and ${reportable(auth)})`;
      const [own] = await db
        .select({ id: trainingTask.id })
        .from(trainingTask)
        .where(and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), reportable(auth)));
      if (!own) throw notFound("own-task", { id: taskId });
      if (models.length === 0) return c.json({});
      await chain(db, {
        named: models.map(({ model_id, step }) =>
          // The same output again changes nothing: clients repeat POSTs.
          db.run(sql`
            update logged_model set updated_at = ${now},
              record = json_insert(iif(json_type(record, '$.outputs') is null, json_set(record, '$.outputs', json('[]')), record),
                '$.outputs[#]', json_object('task', ${taskId}, 'step', ${step}))
            where id = ${model_id} and task_id = ${taskId} and deleted_at is null and ${mine}
              and octet_length(record) < ${MOST_RECORD_BYTES}
              and not exists (select 1 from json_each(record, '$.outputs') o
                where o.value ->> 'task' = ${taskId} and o.value ->> 'step' = ${step})`),
        ),
      });
      return c.json({});
    },
  );
