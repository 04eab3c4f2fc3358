import { and, eq, inArray, isNull, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import { etag } from "hono/etag";
import * as z from "zod";
import { lossNames } from "../metrics/read.ts";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { auditEntry, event, statuses, trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { joinedColumnOf, splitFields } from "../platform/filter/compile.ts";
import { fieldOf, placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { encodeCursor, page, pageQuery } from "../platform/http/page.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { listTasks, taskColumns } from "../runs/queries.ts";
import { choiceName, chooseTasks, taskChoice } from "../runs/select.ts";
import { readSparklines } from "./sparklines.ts";

const MOST_FIELDS = 40;
const MOST_CURVES = 60;
/** Running tasks in an answer of `changes`; a ledger with more shows the others by pages. */
const MOST_RUNNING = 200;

/** Columns of every row, whatever the fields: the state of the run. */
const rowColumns = {
  id: taskColumns.id,
  taskName: taskColumns.taskName,
  userId: taskColumns.userId,
  status: taskColumns.status,
  attempt: taskColumns.attempt,
  failureReason: taskColumns.failureReason,
  cancelRequested: taskColumns.cancelRequested,
  createdAt: taskColumns.createdAt,
  startedAt: taskColumns.startedAt,
  finishedAt: taskColumns.finishedAt,
  heartbeatAt: taskColumns.heartbeatAt,
  progress: taskColumns.progress,
};

const runState = z.object({
  id: z.int(),
  task_name: z.string(),
  user_id: z.int(),
  status: z.enum(statuses),
  attempt: z.int(),
  failure_reason: z.string().nullable(),
  cancel_requested: z.boolean(),
  created_at: z.string(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  heartbeat_at: z.string().nullable(),
  progress: z.json(),
});

/** A field as a table shows it: texts are cut, for a prompt of 20,000 characters is no cell. */
function fieldSql(name: string): SQL {
  const { sql: column, type } = fieldOf("fields", name, joinedColumnOf);
  return type === "text" || type === "any"
    ? sql`(case when typeof(${column}) = 'text' then substr(${column}, 1, 300) else ${column} end)`
    : column;
}

const ids = z
  .string()
  .regex(/^\d{1,15}(,\d{1,15})*$/, "must be ids with commas between, such as 3,5,8")
  .transform((text) => [...new Set(text.split(",").map(Number))])
  .refine((list) => list.length <= MOST_CURVES, `at most ${MOST_CURVES} ids`);

export const table = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "List runs as rows of a table",
      description:
        "Lists tasks with their state and the requested `fields` only. A request with If-None-Match gets 304 while the page is the same.",
      tag: "Tasks",
      answer: {
        schema: z.object({
          items: z.array(
            runState.extend({
              values: z
                .array(z.union([z.string(), z.number(), z.null()]))
                .describe("One value for each of `fields`."),
            }),
          ),
          next_cursor: z.string().nullable(),
          scanned: z
            .int()
            .optional()
            .describe("Number of tasks read, where a filter ended the page before it was full."),
        }),
        description: "A page.",
      },
      errors: { 304: "Nothing has changed.", 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    etag({ weak: true }),
    validate(
      "query",
      z.strictObject({
        ...pageQuery,
        ...taskChoice,
        fields: z
          .string()
          .max(4000)
          .default("")
          .describe(
            'Fields as in filters (columns, user, config.…, metrics.…, tags.…), separated by commas: `lora_rank,final_loss,metrics."loss/average".min`.',
          ),
      }),
    ),
    async (c) => {
      const { limit, cursor, fields: asked, ...choice } = c.req.valid("query");
      const names = splitFields(asked);
      if (names.length > MOST_FIELDS)
        throw notValid([{ path: "fields", message: `are more than ${MOST_FIELDS}` }]);
      const fields = names.map(fieldSql);
      const chosen = chooseTasks(c.var.auth, choice);
      const list = await choiceName("table", choice);
      const place = placeOf(list, cursor, chosen.order);
      const query = { chosen, place, limit, fields };
      const { rows, scanned, resumeAt } = await listTasks(c.var.db, rowColumns, query);
      const { items, next_cursor } = page(rows, limit, (row) => encodeCursor(list, row.place));
      return c.json({
        items: items.map(({ task, values }) => ({ ...toWire(task), values })),
        next_cursor: next_cursor ?? (resumeAt && encodeCursor(list, resumeAt)),
        ...(scanned !== null && { scanned }),
      });
    },
  )
  .get(
    "/sparklines",
    describe({
      summary: "Get small curves of many runs",
      description: `Gives the loss of the latest attempt of up to ${MOST_CURVES} runs, about 40 points each.`,
      tag: "Logs",
      answer: {
        schema: z.object({
          items: z.array(
            z.object({
              id: z.int(),
              last: z.number().nullable().describe("The newest finite value."),
              points: z.array(z.tuple([z.number(), z.number()])).describe("[step, value]"),
            }),
          ),
        }),
        description: "The runs that have a loss.",
      },
      errors: { 304: "Nothing has changed.", 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    etag({ weak: true }),
    validate("query", z.strictObject({ ids })),
    async (c) =>
      c.json({ items: await readSparklines(c.var.db, c.req.valid("query").ids, lossNames) }),
  )
  .get(
    "/changes",
    describe({
      summary: "Check for changes",
      description:
        "Answers an open page that polls: a request with If-None-Match gets 304 until a person or a box changes something. `running` holds the running tasks, `tasks` those that `ids` names.",
      tag: "Tasks",
      answer: {
        schema: z.object({
          latest: z.int().describe("A number that grows with every change by a person or a box."),
          event: z
            .int()
            .describe("The id of the newest event that raises alerts; 0: there is none."),
          running: z.array(runState),
          tasks: z.array(runState.extend({ version: z.int(), updated_at: z.string() })),
        }),
        description: "The current state.",
      },
      errors: { 304: "Nothing has changed.", 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    etag({ weak: true }),
    validate("query", z.strictObject({ ids: ids.optional() })),
    async (c) => {
      const { db, auth } = c.var;
      const wanted = c.req.valid("query").ids ?? [];
      const {
        newest: [newest],
        noted: [noted],
        raised: [raised],
        running,
        tasks,
      } = await chain(db, {
        newest: db.select({ id: sql<number>`coalesce(max(id), 0)` }).from(trainingTask),
        noted: db.select({ id: sql<number>`coalesce(max(id), 0)` }).from(auditEntry),
        raised: db.select({ id: sql<number>`coalesce(max(id), 0)` }).from(event),
        running: db
          .select(rowColumns)
          .from(trainingTask)
          .where(and(eq(trainingTask.status, "running"), isNull(trainingTask.deletedAt)))
          .limit(MOST_RUNNING),
        tasks: db
          .select({
            ...rowColumns,
            version: taskColumns.version,
            updatedAt: taskColumns.updatedAt,
          })
          .from(trainingTask)
          .where(
            and(inArray(trainingTask.id, wanted), isNull(trainingTask.deletedAt), readable(auth)),
          ),
      });
      return c.json({
        latest: (newest?.id ?? 0) + (noted?.id ?? 0),
        event: raised?.id ?? 0,
        running: running.map(toWire),
        tasks: tasks.map(toWire),
      });
    },
  );
