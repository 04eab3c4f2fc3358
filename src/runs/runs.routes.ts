import { and, desc, eq, isNull, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { briefly, lastToChange } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { readable, writable } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { statuses, taskAttempt, taskConfig, trainingTask } from "../platform/db/schema.ts";
import { fromWire, toWire } from "../platform/db/wire.ts";
import { placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { encodeCursor, page, pageQuery } from "../platform/http/page.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, notValid, parseJson, placesOf, validate } from "../platform/http/validate.ts";
import { isSearched, reindexTasks } from "../platform/search/words.ts";
import { redactBody } from "../platform/secrets/redact.ts";
import { attemptColumns } from "./attempts.ts";
import { optionalFields, taskAnswer, writableFields } from "./fields.ts";
import { listColumns, listTasks, taskColumns } from "./queries.ts";
import {
  fileQuery,
  readFileRegistration,
  readRegistration,
  registerTask,
  registration,
} from "./register.ts";
import { choiceName, chooseTasks, taskChoice } from "./select.ts";
import {
  forgetSources,
  readColumnsOf,
  sourcesAnswer,
  unpackSources,
  withoutDefaults,
} from "./sources.ts";
import { editRuns, restoreRuns, trashRuns } from "./states.ts";

const attemptAnswer = z
  .object({
    attempt: z.int(),
    status: z.enum(statuses),
    started_at: z.string(),
    heartbeat_at: z.string().nullable(),
    finished_at: z.string().nullable(),
    duration_sec: z.number().nullable(),
    cost: z.number().nullable(),
    from_step: z.int().nullable(),
    gpu_info: z.string().nullable(),
    cuda_version: z.string().nullable(),
    hourly_price: z.number().nullable(),
    exit_code: z.int().nullable(),
    failure_reason: z.string().nullable(),
    error_message: z.string().nullable(),
    points: z.int(),
    first_step: z.int().nullable(),
    last_step: z.int().nullable(),
    last_seq: z.int().describe("The highest heartbeat number received."),
    node_info: z.json(),
    tail: z.string().nullable().describe("The last lines of the console."),
  })
  .meta({ id: "Attempt" });

const oneTaskAnswer = taskAnswer.extend({
  config_snapshot: z
    .json()
    .describe(
      "The settings of the trainer's file, replaced by arguments of the command where both name one, and the dataset file as dataset_file.",
    ),
  field_sources: sourcesAnswer,
  attempts: z.array(attemptAnswer).describe("The latest five, newest first."),
});

const example = {
  task_name: "aki_v1",
  model_type: "stable-diffusion",
  base_model_path: "./sd-models/sd_xl_base_1.0.safetensors",
  lora_rank: 32,
  lora_alpha: 16,
  learning_rate: 0.0001,
  experiment_group: "aki",
};

/** Registers from a body in any of the three forms. */
async function register(c: Context<App>) {
  const contentType = (c.req.header("Content-Type") ?? "").toLowerCase();
  const idempotencyKey = c.req.header("Idempotency-Key");
  if (idempotencyKey !== undefined && !/^[\x21-\x7e]{1,200}$/.test(idempotencyKey))
    throw notValid([
      { path: "Idempotency-Key", message: "must be 1 to 200 printable ASCII characters" },
    ]);
  const parsedQuery = fileQuery.safeParse(c.req.query());
  if (!parsedQuery.success)
    throw notValid([{ path: "query", message: "takes filename, task_name and experiment_group" }]);
  const { body: query, redactions } = redactBody(parsedQuery.data);
  if (redactions.length > 0) c.header("X-Redacted", placesOf(redactions));
  if (/\bapplication\/(?:[\w.-]+\+)?json\b/.test(contentType) && !query.filename) {
    const text = await c.req.text();
    const input = await readRegistration(parseJson(text), text);
    return registerTask(c.var, input, idempotencyKey);
  }
  if (contentType.startsWith("multipart/")) throw refuse("unsupported-content-type", {});
  const bytes = new Uint8Array(await c.req.arrayBuffer());
  const input = await readFileRegistration(bytes, query, contentType);
  return registerTask(c.var, input, idempotencyKey, query.filename);
}

const listQuery = z.strictObject({ ...pageQuery, ...taskChoice });

/** Characters of a change that needs no room. */
const SMALL_CHANGE = 2000;

export const tasks = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Register a run",
      description:
        "Takes fields by name, the trainer's own file within JSON, or the raw file as the body (TOML, YAML, anything else; a JSON file needs ?filename=x.json). If the same user or the same box key repeats an Idempotency-Key, the answer is the first task again.",
      body: {
        "application/json": { schema: registration, example },
        "application/toml": { schema: null },
        "application/yaml": { schema: null },
        "application/octet-stream": { schema: null },
      },
      tag: "Tasks",
      answer: {
        schema: z.object({
          task_id: z.int(),
          task: taskAnswer,
          field_sources: sourcesAnswer,
          warnings: z.array(
            z.object({ code: z.string(), message: z.string(), path: z.string().optional() }),
          ),
        }),
        description: "The task, and warnings from reading the file.",
      },
      errors: {
        400: "The body is not valid JSON.",
        403: "`over-limit`: the user has reached a bound. Delete runs, or ask an admin to raise it.",
        413: "The body is over 4 MB.",
        415: "The body is a form: send the file itself.",
        422: "The body is not valid; nothing was stored.",
      },
    }),
    allow("tasks:write", { box: true }),
    async (c) => {
      const { task, sources, warnings } = await register(c);
      return c.json({ task_id: task.id, task: toWire(task), field_sources: sources, warnings });
    },
  )
  .get(
    "/",
    describe({
      summary: "List tasks",
      description:
        "Lists tasks, newest first; pages stay stable while tasks are added. Very long texts of a task are left out: `left_out` names them, and `GET /api/tasks/{id}` has them.",
      tag: "Tasks",
      answer: {
        schema: z.object({
          items: z.array(taskAnswer),
          next_cursor: z.string().nullable(),
          scanned: z
            .int()
            .optional()
            .describe("Number of tasks read, where a filter ended the page before it was full."),
        }),
        description: "A page.",
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate("query", listQuery),
    async (c) => {
      const { limit, cursor, ...choice } = c.req.valid("query");
      const { auth, db } = c.var;
      const chosen = chooseTasks(auth, choice);
      const list = await choiceName("tasks", choice);
      const place = placeOf(list, cursor, chosen.order);
      const query = { chosen, place, limit };
      const { rows, scanned, resumeAt } = await listTasks(db, listColumns(limit + 1), query);
      const { items, next_cursor } = page(rows, limit, (row) => encodeCursor(list, row.place));
      return c.json({
        items: items.map(({ task }) => toWire(task)),
        next_cursor: next_cursor ?? (resumeAt && encodeCursor(list, resumeAt)),
        ...(scanned !== null && { scanned }),
      });
    },
  )
  .get(
    "/:id",
    describe({
      summary: "Get a task",
      tag: "Tasks",
      answer: {
        schema: oneTaskAnswer,
        description:
          "The task, its parsed settings and its latest attempts. `ETag` is its version.",
      },
      errors: { 404: "No such task." },
    }),
    allow("tasks:read", { box: true }),
    validate("param", idParam),
    validate(
      "query",
      z.strictObject({
        deleted: flag().default(false).describe("true: also find a task in the trash."),
      }),
    ),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const live = c.req.valid("query").deleted ? undefined : isNull(trainingTask.deletedAt);
      const { db, auth } = c.var;
      const {
        found: [row],
        attempts,
      } = await chain(db, {
        found: db
          .select({
            task: taskColumns,
            snapshot: taskConfig.snapshot,
            sources: taskConfig.sources,
          })
          .from(trainingTask)
          .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
          .where(and(eq(trainingTask.id, taskId), live, readable(auth))),
        attempts: db
          .select(attemptColumns)
          .from(taskAttempt)
          .where(eq(taskAttempt.taskId, taskId))
          .orderBy(desc(taskAttempt.attempt))
          .limit(5),
      });
      if (!row) throw notFound("task", { id: taskId });
      c.header("ETag", `"${row.task.version}"`);
      return c.json({
        ...toWire(row.task),
        config_snapshot: row.snapshot,
        field_sources: unpackSources(row.sources, row.task.defaultedFields),
        attempts: attempts.map(toWire),
      });
    },
  )
  .patch(
    "/:id",
    describe({
      summary: "Change a task",
      description:
        "Changes any of the fields that a client may write; null empties a field. Box keys may change notes only. With If-Match (the ETag of the task), the answer is 412 if someone else has changed the task since.",
      tag: "Tasks",
      answer: { schema: taskAnswer, description: "The task." },
      errors: {
        403: "A box key may change notes only; or `over-limit`: the run's user has reached a bound.",
        404: "You own no such task.",
        412: "The task has changed since it was read; `by` names who changed it last, if a person did.",
        422: "A field is unknown, not valid or set by the server alone.",
      },
    }),
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate(
      "json",
      z.strictObject({ ...optionalFields, task_name: writableFields.task_name.optional() }),
    ),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      const beyond = auth.box ? Object.keys(body).filter((name) => name !== "notes") : [];
      if (beyond.length)
        throw refuse("not-allowed", { case: "box-edit", fields: beyond.join(", ") });
      const version = ifMatch(c.req.header("If-Match"));
      const parent = body.parent_task_id;
      const parentKnown = sql<number>`exists (
        select 1 from training_task p where p.id = ${parent ?? null} and p.id <> ${taskId} and p.deleted_at is null)`;
      const read = readColumnsOf(body);
      const change = {
        ...fromWire<Partial<typeof trainingTask.$inferInsert>>(body),
        ...(read.length > 0 && { defaultedFields: withoutDefaults(read) }),
      };
      // Small changes stay open to those who are at their bounds: they replace, and add nothing up.
      const size = JSON.stringify(body).length;
      const more = size > SMALL_CHANGE ? { database_bytes: size } : {};
      const where = and(
        eq(trainingTask.id, taskId),
        isNull(trainingTask.deletedAt),
        writable(auth),
        version === null ? undefined : eq(trainingTask.version, version),
        typeof parent === "number" ? parentKnown : undefined,
        roomFor(config, sql`training_task.user_id`, more),
      );
      const {
        changed: [changed],
        current: [current],
      } = await chain(db, {
        // Before the change, where the same tasks are found.
        forgotten:
          read.length > 0 &&
          forgetSources(db, sql`select id from training_task where ${where}`, read),
        changed: editRuns(db, where, change).returning(taskColumns),
        noted: noteChange(db, auth, "changed", "task.update", taskId, briefly(body)),
        indexed:
          isSearched(change) &&
          ifChanged("noted", (changed) =>
            reindexTasks(db, sql`rowid = ${taskId} and ${changed}`, change),
          ),
        current: db
          .select({ version: trainingTask.version, userId: trainingTask.userId, parentKnown })
          .from(trainingTask)
          .where(and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), writable(auth))),
      });
      if (!current) throw notFound("own-task", { id: taskId });
      if (!changed && (version === null || version === current.version)) {
        const full = await explainRoom(db, config, current.userId, more);
        if (full) throw full;
      }
      if (!changed && (version === null || version === current.version) && !current.parentKnown)
        throw notValid([{ path: "parent_task_id", message: "must be another task, not deleted" }]);
      if (!changed) throw changedMeanwhile(current.version, await lastToChange(db, "task", taskId));
      c.header("ETag", `"${changed.version}"`);
      return c.json(toWire(changed));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Put a task into the trash",
      description:
        "Moves a task into the trash, from where it can be restored. A running task must end or be cancelled first.",
      tag: "Tasks",
      errors: { 404: "You own no such task.", 409: "The task is running." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const mine = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), writable(auth));
      const {
        trashed: [trashed],
        current: [current],
      } = await chain(db, {
        trashed: trashRuns(db, mine).returning({ id: trainingTask.id }),
        noted: noteChange(db, auth, "trashed", "task.delete", taskId),
        current: db.select({ status: trainingTask.status }).from(trainingTask).where(mine),
      });
      if (current)
        throw refuse(
          "task-running",
          { task: taskId, status: current.status },
          { extra: { current_status: current.status } },
        );
      if (!trashed) throw notFound("own-task", { id: taskId });
      return c.body(null, 204);
    },
  )
  .post(
    "/:id/restore",
    describe({
      summary: "Take a task out of the trash",
      tag: "Tasks",
      answer: { schema: taskAnswer, description: "The restored task." },
      errors: { 404: "You have no such task in the trash." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const {
        restored: [row],
      } = await chain(db, {
        restored: restoreRuns(db, and(eq(trainingTask.id, taskId), writable(auth))).returning(
          taskColumns,
        ),
        noted: noteChange(db, auth, "restored", "task.restore", taskId),
      });
      if (!row) throw notFound("own-trashed-task", { id: taskId });
      return c.json(toWire(row));
    },
  );
