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
import { mirror, mirrorRun } from "../../platform/db/schema.ts";
import { now } from "../../platform/db/time.ts";
import { fromWire, toWire } from "../../platform/db/wire.ts";
import type { App } from "../../platform/http/context.ts";
import {
  decodeCursor,
  encodeCursor,
  page,
  pageAnswer,
  pageQuery,
} from "../../platform/http/page.ts";
import { idParam } from "../../platform/http/params.ts";
import { changedMeanwhile, ifMatch } from "../../platform/http/preconditions.ts";
import { notFound } from "../../platform/http/problem.ts";
import { describe, notValid, validate } from "../../platform/http/validate.ts";
import { ownMirror } from "./own.ts";
import { ask, MirrorFault, mirrorAddressFault } from "./server.ts";

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

const toAnswer = ({ token, deletedAt: _, upTo: __, ...row }: Row): z.infer<typeof answer> =>
  toWire({ ...row, hasToken: token !== null });

/** Refuses an address that a mirror may not have. Throws ApiError 422. */
function checkAddress(config: Config, url: string | undefined) {
  const fault = url === undefined ? null : mirrorAddressFault(url, config);
  if (fault) throw notValid([{ path: "url", message: fault }], "The mirror");
}

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
  );
