import { and, eq, isNotNull, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { noteChange } from "../platform/audit/note.ts";
import { writable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { storedObject, trainingTask, weight } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { ofTask, selectById, selectWeights, toAnswer, weightAnswer } from "./answers.ts";
import { storeOf } from "./bucket/open.ts";
import { giveUpObjects, removeBytes } from "./collect.ts";
import type { PointAtFinal } from "./final.ts";

/** Files into the trash and out of it; collect.ts deletes them for good. */
export const trash = (pointAtFinal: PointAtFinal) =>
  new Hono<App>()
    .delete(
      "/:id",
      describe({
        summary: "Delete a weight",
        description:
          "Gives up an unfinished upload. A complete file moves into the trash with its bytes, and you can restore it until TRASH_DAYS have passed; files of model versions stay.",
        tag: "Weights",
        errors: { 403: "Box keys may not delete weights.", 404: "No such weight of yours." },
      }),
      allow("weights:write"),
      validate("param", idParam),
      async (c) => {
        const weightId = c.req.valid("param").id;
        const { db, auth, later } = c.var;
        const store = storeOf(c);
        const [row] = await selectById(db, weightId, writable(auth));
        if (!row) throw notFound("own-weight", { id: weightId });
        const {
          objects: [object],
        } = await chain(db, {
          trashed: db
            .update(weight)
            .set({ deletedAt: now, state: sql`iif(state = 'uploading', 'aborted', state)` })
            .where(and(eq(weight.id, weightId), isNull(weight.deletedAt), ofTask(writable(auth)))),
          noted: noteChange(
            db,
            auth,
            "trashed",
            row.state === "uploading" ? "weight.abort" : "weight.delete",
            weightId,
            { task_id: row.taskId, filename: row.filename },
          ),
          objects: giveUpObjects(
            db,
            store,
            and(
              eq(storedObject.id, row.object.id),
              eq(storedObject.state, "uploading"),
              sql`not exists (select 1 from weight w where w.object_id = ${row.object.id} and w.state <> 'aborted')`,
            ),
          ),
          final: pointAtFinal(db, row.kind === "final" ? row.taskId : null, row.filename),
        });
        // An unfinished upload's bytes go at once; collectUploads repeats it should this fail.
        if (object) later(removeBytes(store, [row.object]));
        return c.body(null, 204);
      },
    )
    .post(
      "/:id/restore",
      describe({
        summary: "Take a weight out of the trash",
        tag: "Weights",
        answer: { schema: weightAnswer, description: "The weight, live again with its bytes." },
        errors: {
          404: "No such weight of yours in the trash.",
          409: "The same file was uploaded again in the meantime.",
        },
      }),
      allow("weights:write"),
      validate("param", idParam),
      async (c) => {
        const weightId = c.req.valid("param").id;
        const { db, auth } = c.var;
        const mine = and(eq(weight.id, weightId), writable(auth));
        const {
          restored: [restored],
          live: [live],
          trashed: [trashed],
        } = await chain(db, {
          restored: db
            .update(weight)
            .set({ deletedAt: null })
            .where(
              and(
                eq(weight.id, weightId),
                isNotNull(weight.deletedAt),
                eq(weight.state, "complete"),
                ofTask(and(writable(auth), isNull(trainingTask.deletedAt))),
                sql`exists (select 1 from stored_object o where o.id = object_id and o.state = 'complete')`,
                sql`not exists (select 1 from weight w where w.task_id = ${weight.taskId} and w.attempt = ${weight.attempt}
                and w.kind = ${weight.kind} and w.filename = ${weight.filename} and w.sha256 = ${weight.sha256}
                and w.size = ${weight.size} and w.deleted_at is null and w.state <> 'aborted')`,
              ),
            )
            .returning({ id: weight.id }),
          noted: noteChange(db, auth, "restored", "weight.restore", weightId),
          final: ifChanged("noted", (changed) =>
            pointAtFinal(
              db,
              sql`(select task_id from weight where id = ${weightId} and kind = 'final' and deleted_at is null and ${changed})`,
            ),
          ),
          live: selectWeights(db, mine),
          trashed: selectWeights(db, mine, { deleted: true }),
        });
        if (restored && live) return c.json(toAnswer(live));
        if (trashed?.state !== "complete") throw notFound("own-trashed-weight", { id: weightId });
        throw refuse("already-uploaded-again", { filename: trashed.filename });
      },
    );

/** Files and runs in the trash that are looked at: the ones that go first. */
const MOST_FILES = 1000;
const MOST_RUNS = 200;

const dayAnswer = z.object({
  goes_on: z.string().describe("The day (UTC) on which these are purged at the earliest."),
  runs: z.int(),
  files: z.int().describe("The number of files of these runs, and of files deleted by themselves."),
  bytes: z
    .int()
    .describe("The bytes of these files; the bucket keeps files that another run shares."),
});

type Day = z.infer<typeof dayAnswer>;

export const storageTrash = new Hono<App>().get(
  "/",
  describe({
    summary: "The contents of the trash by day of purging",
    description: `Runs and files are purged TRASH_DAYS after their deletion; those that something still refers to stay longer. Counts the ${MOST_RUNS} runs and ${MOST_FILES} files that are purged first.`,
    tag: "Storage",
    answer: {
      schema: z.object({
        trash_days: z.number(),
        days: z.array(dayAnswer).describe("The next day first."),
        complete: z.boolean().describe("false: the trash holds more than was counted."),
      }),
      description: "The trash.",
    },
  }),
  allow("weights:read"),
  async (c) => {
    const { db, config } = c.var;
    const purgeDay = (since: string) =>
      sql`date(julianday(${sql.raw(since)}) + ${config.TRASH_DAYS})`;
    // The expression of the index training_task_purge.
    const since = "case when trash_since > deleted_at then trash_since else deleted_at end";
    const runs = sql`select id, ${sql.raw(since)} as since from training_task
      where deleted_at is not null order by ${sql.raw(since)} limit ${MOST_RUNS}`;
    const { ofRuns, ofTheirs, single } = await chain(db, {
      ofRuns: db.all<{ day: string; n: number }>(sql`
        select ${purgeDay("r.since")} as day, count(*) as n from (${runs}) r group by day`),
      ofTheirs: db.all<{ day: string; n: number; bytes: number }>(sql`
        select day, count(*) as n, sum(size) as bytes from (
          select ${purgeDay("r.since")} as day, w.size from (${runs}) r cross join weight w on w.task_id = r.id
          where w.state = 'complete' and w.deleted_at is null limit ${MOST_FILES})
        group by day`),
      single: db.all<{ day: string; n: number; bytes: number }>(sql`
        select ${purgeDay("w.deleted_at")} as day, count(*) as n, sum(w.size) as bytes from (
          select deleted_at, size from weight where deleted_at is not null and state = 'complete'
          order by deleted_at limit ${MOST_FILES}) w
        group by day`),
    });
    const days = new Map<string, Day>();
    const at = (day: string) => {
      const known = days.get(day) ?? { goes_on: day, runs: 0, files: 0, bytes: 0 };
      days.set(day, known);
      return known;
    };
    for (const { day, n } of ofRuns) at(day).runs += n;
    for (const { day, n, bytes } of [...ofTheirs, ...single]) {
      at(day).files += n;
      at(day).bytes += bytes;
    }
    const count = (rows: { n: number }[]) => rows.reduce((sum, { n }) => sum + n, 0);
    return c.json({
      trash_days: config.TRASH_DAYS,
      days: [...days.values()].sort((a, b) => a.goes_on.localeCompare(b.goes_on)),
      complete:
        count(ofRuns) < MOST_RUNS && count(ofTheirs) < MOST_FILES && count(single) < MOST_FILES,
    });
  },
);
