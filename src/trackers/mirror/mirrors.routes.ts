import { and, desc, eq, isNull, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import type { Config } from "../../env.ts";
import { audit, briefly } from "../../platform/audit/audit.ts";
import { noteChange } from "../../platform/audit/note.ts";
import { owns } from "../../platform/auth/access.ts";
import { noRoom, roomToMake } from "../../platform/auth/bounds.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { chain, ifChanged } from "../../platform/db/batch.ts";
import { insertIf } from "../../platform/db/insert.ts";
import { mirror, mirrorRun, statuses, trainingTask } from "../../platform/db/schema.ts";
import { now } from "../../platform/db/time.ts";
import { fromWire, toWire } from "../../platform/db/wire.ts";
import type { Auth } from "../../platform/http/caller.ts";
import type { App } from "../../platform/http/context.ts";
import {
  decodeCursor,
  encodeCursor,
  page,
  pageAnswer,
  pageQuery,
} from "../../platform/http/page.ts";
import { flag, idParam } from "../../platform/http/params.ts";
import { changedMeanwhile, ifMatch } from "../../platform/http/preconditions.ts";
import { notFound } from "../../platform/http/problem.ts";
import { describe, notValid, validate } from "../../platform/http/validate.ts";
import { ask, baseOf, MirrorFault, mirrorAddressFault } from "./server.ts";

type Row = typeof mirror.$inferSelect;

/** Refused runs that a new token or address lets try again at once. */
const MOST_AGAIN = 1000;
const TEST_SECONDS = 15;

const fields = {
  name: z.string().trim().min(1).max(100).describe("The purpose of the mirror."),
  url: z
    .string()
    .trim()
    .max(2000)
    .describe(
      "The tracking server's address, as in MLFLOW_TRACKING_URI. A change is for the same server at another address: runs are known by that server's ids.",
    ),
  token: z
    .string()
    .regex(/^(?:[\x21-\x7e]+|[^:\p{Cc}]+:\P{Cc}*)$/u, "must be a bearer token, or user:password")
    .max(4000)
    .nullable()
    .describe("A bearer token, or `user:password`; null: none. Never shown again."),
  groups: z
    .array(z.string().min(1).max(200))
    .min(1)
    .max(100)
    .nullable()
    .describe("Experiment groups whose runs are written; null: all runs of the mirror's user."),
  active: z.boolean(),
  past: z
    .boolean()
    .describe(
      "true: runs that ended before the mirror was made are written too, and those that a change of `groups` takes in.",
    ),
};

const newMirror = z.strictObject({
  ...fields,
  kind: z.literal("mlflow").default("mlflow"),
  token: fields.token.default(null),
  groups: fields.groups.default(null),
  active: fields.active.default(true),
  past: fields.past.default(false),
});

const changes = z.strictObject(fields).partial();

const answer = z
  .object({
    id: z.int(),
    user_id: z.int(),
    kind: z.literal("mlflow"),
    name: fields.name,
    url: fields.url,
    has_token: z.boolean().describe("Whether requests carry a token."),
    groups: fields.groups,
    active: fields.active,
    failures: z.int().describe("How often in a row the server failed; 0: it works."),
    error: z.string().nullable().describe("What is wrong with the server, in words."),
    next_at: z
      .string()
      .nullable()
      .describe("When a server that failed is asked again; else when the last turn was."),
    version: z.int(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: "Mirror" });

const runStates = ["waiting", "open", "done", "refused"] as const;

const runAnswer = z
  .object({
    task_id: z.int(),
    task_name: z.string(),
    task_status: z.enum(statuses),
    state: z
      .enum(runStates)
      .describe(
        "waiting: the run has not begun. open: it is written while it trains, or its end is on its way. done: all of it is there. refused: the server does not take it, as `error` says.",
      ),
    points: z.int().describe("Log points that are written."),
    points_total: z.int().describe("Log points that the run has."),
    experiment_id: z.string().nullable().describe("The other server's ids."),
    run_id: z.string().nullable(),
    run_url: z.string().nullable().describe("The run's page on the other server."),
    status: z.int().nullable().describe("The HTTP status of the last answer."),
    error: z.string().nullable().describe("What was wrong with it, in words."),
    tries: z.int().describe("Failed tries since the last success."),
    created_at: z.string(),
    written_at: z.string().nullable(),
  })
  .meta({ id: "MirroredRun" });

const toAnswer = ({ token, deletedAt: _, upTo: __, ...row }: Row): z.infer<typeof answer> =>
  toWire({ ...row, hasToken: token !== null });

/** Refuses an address that a mirror may not have. Throws ApiError 422. */
function checkAddress(config: Config, url: string | undefined) {
  const fault = url === undefined ? null : mirrorAddressFault(url, config);
  if (fault) throw notValid([{ path: "url", message: fault }], "The mirror");
}

/** The condition under which a caller may see and change the mirror. */
const ownMirror = (id: number, auth: Auth) =>
  and(eq(mirror.id, id), isNull(mirror.deletedAt), owns(auth, mirror.userId));

const shownState = sql<
  (typeof runStates)[number]
>`iif(${mirrorRun.state} = 'done' and ${mirrorRun.runId} is null, 'waiting', ${mirrorRun.state})`;

const runColumns = {
  taskId: mirrorRun.taskId,
  taskName: trainingTask.taskName,
  taskStatus: trainingTask.status,
  state: shownState,
  points: mirrorRun.points,
  pointsTotal: sql<number>`(select coalesce(sum(a.points), 0) from task_attempt a where a.task_id = ${mirrorRun.taskId})`,
  experimentId: mirrorRun.experimentId,
  runId: mirrorRun.runId,
  status: mirrorRun.status,
  error: mirrorRun.error,
  tries: mirrorRun.tries,
  createdAt: mirrorRun.createdAt,
  writtenAt: mirrorRun.writtenAt,
};

/** A line of the log, with the address of the run's page in MLflow. */
const toLine = (
  url: string,
  row: { [K in keyof typeof runColumns]: unknown } & {
    experimentId: string | null;
    runId: string | null;
  },
) =>
  ({
    ...toWire(row),
    run_url:
      row.runId && row.experimentId
        ? `${baseOf(url)}/#/experiments/${row.experimentId}/runs/${row.runId}`
        : null,
  }) as z.infer<typeof runAnswer>;

const taskParam = z.object({
  id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  task: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER),
});

export const mirrors = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a mirror",
      description:
        "Writes runs and their curves into an MLflow tracking server while they train: those of the mirror's user that are under way or follow. An address that points inside is refused.",
      tag: "Mirrors",
      answer: { schema: answer, description: "The mirror." },
      errors: { 403: "`over-limit`: the user has as many of them as there may be." },
    }),
    allow("tasks:write"),
    validate("json", newMirror, ["token"]),
    async (c) => {
      const { past, ...body } = c.req.valid("json");
      const { auth, db, config } = c.var;
      checkAddress(config, body.url);
      const { token, ...loggable } = body;
      const {
        row: [row],
      } = await chain(db, {
        inserted: db.run(
          insertIf(
            mirror,
            {
              ...body,
              upTo: past ? 0 : sql`(select coalesce(max(id), 0) from training_task)`,
              userId: auth.userId,
            },
            roomToMake(config, auth.userId, "mirrors"),
          ),
        ),
        noted: ifChanged("inserted", (changed) =>
          audit(
            db,
            auth,
            "mirror.create",
            sql`select last_insert_rowid() as id where ${changed}`,
            briefly({ ...loggable, past, token: token === null ? null : "set" }),
          ),
        ),
        row: ifChanged("noted", (changed) =>
          db.select().from(mirror).where(sql`id = (select max(id) from mirror) and ${changed}`),
        ),
      });
      if (!row) throw await noRoom(db, config, auth.userId, "mirrors");
      return c.json(toAnswer(row));
    },
  )
  .get(
    "/",
    describe({
      summary: "List mirrors",
      description: "One's own; admins see all. Never their tokens.",
      tag: "Mirrors",
      answer: { schema: pageAnswer(answer), description: "Mirrors, newest first." },
    }),
    allow("tasks:write"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor ? decodeCursor("mirrors", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await db
        .select()
        .from(mirror)
        .where(
          and(
            before === undefined ? undefined : lt(mirror.id, before),
            isNull(mirror.deletedAt),
            owns(auth, mirror.userId),
          ),
        )
        .orderBy(desc(mirror.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toAnswer), limit, (last) => encodeCursor("mirrors", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "One mirror",
      tag: "Mirrors",
      answer: { schema: answer, description: "The mirror." },
      errors: { 404: "No such mirror of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const [row] = await c.var.db.select().from(mirror).where(ownMirror(id, c.var.auth));
      if (!row) throw notFound("own-mirror", { id });
      return c.json(toAnswer(row), 200, { ETag: `"${row.version}"` });
    },
  )
  .patch(
    "/:id",
    describe({
      summary: "Change a mirror",
      description:
        "Fields that the request leaves out stay; with the address of another server the token has to be given again. Another address or token lets refused runs try again. Runs that are already written stay in the mirror when `groups` changes.",
      tag: "Mirrors",
      answer: { schema: answer, description: "The mirror." },
      errors: {
        404: "No such mirror of yours.",
        412: "Changed by someone else since it was read.",
      },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("json", changes, ["token"]),
    async (c) => {
      const { id } = c.req.valid("param");
      const { past, ...body } = c.req.valid("json");
      const version = ifMatch(c.req.header("If-Match"));
      const { auth, db, config } = c.var;
      checkAddress(config, body.url);
      const [before] = await db.select().from(mirror).where(ownMirror(id, auth));
      if (!before) throw notFound("own-mirror", { id });
      const { token, ...loggable } = body;
      // Nobody who does not know the token has it sent to a server of their own.
      const isElsewhere = body.url && new URL(body.url).origin !== new URL(before.url).origin;
      if (isElsewhere && before.token !== null && token === undefined)
        throw notValid([
          { path: "token", message: "must be given again with the address of another server" },
        ]);
      const isMoved = body.url !== undefined || token !== undefined;
      const {
        row: [row],
      } = await chain(db, {
        row: db
          .update(mirror)
          .set({
            ...fromWire<Partial<Row>>(body),
            ...(past && { upTo: 0 }),
            ...(isMoved && { failures: 0, error: null, nextAt: null }),
            version: sql`version + 1`,
            updatedAt: now,
          })
          .where(and(ownMirror(id, auth), eq(mirror.version, version ?? before.version)))
          .returning(),
        noted: noteChange(
          db,
          auth,
          "row",
          "mirror.update",
          id,
          briefly({
            ...loggable,
            ...(past !== undefined && { past }),
            ...(token !== undefined && { token: "changed" }),
          }),
        ),
        again: ifChanged("noted", (changed) =>
          db
            .update(mirrorRun)
            .set({ state: "open", nextAt: null })
            .where(sql`${changed} and ${isMoved} and mirror_id = ${id} and task_id in (
              select task_id from mirror_run where mirror_id = ${id} and state = 'refused' limit ${MOST_AGAIN})`),
        ),
      });
      if (!row) throw changedMeanwhile(before.version);
      return c.json(toAnswer(row), 200, { ETag: `"${row.version}"` });
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a mirror",
      description:
        "Nothing more is written. What is written stays on the other server; the mirror's log goes.",
      tag: "Mirrors",
      errors: { 404: "No such mirror of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db } = c.var;
      const {
        deleted: [deleted],
      } = await chain(db, {
        deleted: db
          .update(mirror)
          .set({ deletedAt: now, active: false, url: "https://deleted.invalid/", token: null })
          .where(ownMirror(id, auth))
          .returning({ id: mirror.id }),
        noted: noteChange(db, auth, "deleted", "mirror.delete", id),
      });
      if (!deleted) throw notFound("own-mirror", { id });
      return c.body(null, 204);
    },
  )
  .post(
    "/:id/test",
    describe({
      summary: "Test a mirror",
      description: "Asks the other server once for its experiments; the answer says how it went.",
      tag: "Mirrors",
      answer: {
        schema: z.object({
          works: z.boolean(),
          status: z.int().nullable().describe("The server's HTTP status."),
          error: z.string().nullable().describe("The fault, in words."),
        }),
        description: "The outcome.",
        example: { works: false, status: null, error: "cannot be reached" },
      },
      errors: { 404: "No such mirror of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { auth, db, config } = c.var;
      const {
        row: [row],
      } = await chain(db, {
        noted: audit(
          db,
          auth,
          "mirror.test",
          sql`select ${mirror.id} as id from mirror where ${ownMirror(id, auth)}`,
        ),
        row: db.select().from(mirror).where(ownMirror(id, auth)),
      });
      if (!row) throw notFound("own-mirror", { id });
      const turn = { left: 1, until: Date.now() + TEST_SECONDS * 1000 };
      try {
        await ask(row, config, turn, "experiments/search", { body: { max_results: 1 } });
        return c.json({ works: true, status: 200, error: null });
      } catch (error) {
        if (!(error instanceof MirrorFault)) throw error;
        return c.json({ works: false, status: error.status, error: error.message });
      }
    },
  )
  .get(
    "/:id/runs",
    describe({
      summary: "A mirror's log",
      description: "What was written of each run, and how far it is.",
      tag: "Mirrors",
      answer: { schema: pageAnswer(runAnswer), description: "Runs, newest first." },
      errors: { 404: "No such mirror of yours." },
    }),
    allow("tasks:write"),
    validate("param", idParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { id } = c.req.valid("param");
      const { limit, cursor } = c.req.valid("query");
      const { auth, db } = c.var;
      const before = cursor
        ? decodeCursor("mirror-runs", cursor, z.tuple([z.int(), z.int()]))
        : undefined;
      const {
        mirrors: [found],
        rows,
      } = await chain(db, {
        mirrors: db.select({ url: mirror.url }).from(mirror).where(ownMirror(id, auth)),
        rows: db
          .select(runColumns)
          .from(mirrorRun)
          .innerJoin(trainingTask, eq(trainingTask.id, mirrorRun.taskId))
          .where(
            and(
              sql`${mirrorRun.mirrorId} = (select ${mirror.id} from mirror where ${ownMirror(id, auth)})`,
              before?.[0] === id ? lt(mirrorRun.taskId, before[1]) : undefined,
            ),
          )
          .orderBy(desc(mirrorRun.taskId))
          .limit(limit + 1),
      });
      if (!found) throw notFound("own-mirror", { id });
      return c.json(
        page(
          rows.map((row) => toLine(found.url, row)),
          limit,
          (last) => encodeCursor("mirror-runs", [id, last.task_id]),
        ),
      );
    },
  )
  .post(
    "/:id/runs/:task/retry",
    describe({
      summary: "Write a run again",
      description:
        "The next minute tries anew, also where the server or the run failed. `anew=true` forgets the run there: it is looked for again, or made again where it was deleted.",
      tag: "Mirrors",
      answer: { schema: runAnswer, description: "The run, open." },
      errors: { 404: "No such mirror of yours, or it has no such run." },
    }),
    allow("tasks:write"),
    validate("param", taskParam),
    validate("query", z.strictObject({ anew: flag().default(false) })),
    async (c) => {
      const { id, task } = c.req.valid("param");
      const { anew } = c.req.valid("query");
      const { auth, db } = c.var;
      const mine = sql`exists (select 1 from mirror where ${ownMirror(id, auth)})`;
      const which = and(eq(mirrorRun.mirrorId, id), eq(mirrorRun.taskId, task), mine);
      const {
        mirrors: [found],
        rows: [row],
      } = await chain(db, {
        again: db
          .update(mirrorRun)
          .set({
            ...{ state: "open", nextAt: null, status: null, error: null, tries: 0 },
            ...(anew && {
              ...{ experimentId: null, runId: null, written: null },
              ...{ attempt: 0, arrival: 0, points: 0 },
            }),
          })
          .where(which),
        noted: noteChange(db, auth, "again", "mirror.retry", id, { task, anew }),
        rested: ifChanged("noted", (changed) =>
          db
            .update(mirror)
            .set({ nextAt: null })
            .where(and(ownMirror(id, auth), changed)),
        ),
        mirrors: db.select({ url: mirror.url }).from(mirror).where(ownMirror(id, auth)),
        rows: db
          .select(runColumns)
          .from(mirrorRun)
          .innerJoin(trainingTask, eq(trainingTask.id, mirrorRun.taskId))
          .where(which),
      });
      if (!found) throw notFound("own-mirror", { id });
      if (!row) throw notFound("mirrored-run", { mirror: id, id: task });
      return c.json(toLine(found.url, row));
    },
  );
