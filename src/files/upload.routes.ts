import { and, eq, isNull, ne, or, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { audit } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { readable, reportable, reportedOnce } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import {
  storedObject,
  trainingTask,
  uploadPart,
  weight,
  weightKinds,
} from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, limitBody, notValid, validate } from "../platform/http/validate.ts";
import {
  selectById,
  selectWeight,
  selectWeights,
  toAnswer,
  uploadAnswer,
  type WeightRow,
  weightAnswer,
} from "./answers.ts";
import { storeOf } from "./bucket/open.ts";
import { OBJECT_PREFIX, type Store } from "./bucket/store.ts";
import { giveUpObjects, removeBytes } from "./collect.ts";
import type { PointAtFinal } from "./final.ts";
import { filename } from "./names.ts";
import { partSizeFor, sizeLimit, URLS_AT_ONCE } from "./parts.ts";
import { handedTo, uploadable } from "./uploaders.ts";
import { joinParts, refuseGivenUp, uploadOf } from "./uploads.ts";
import { FileDiffers, inspect, readLateFacts } from "./verify.ts";

const announcement = z.strictObject({
  attempt: z.int().min(0).optional().describe("Required for box keys; default: the current one."),
  filename,
  size: z.int().min(0).describe("In bytes."),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, "must be 64 hexadecimal digits")
    .transform((hash) => hash.toLowerCase()),
  kind: z.enum(weightKinds),
  epoch: z.number().min(0).nullish(),
  step: z.int().min(0).nullish(),
  prompt: z
    .string()
    .max(20_000)
    .nullish()
    .describe("For a sample: the prompt that it was made from."),
  seed: z.int().nullish(),
  group: z.string().max(200).nullish().describe("Files that belong together, e.g. a checkpoint's."),
});

const refuseSuperseded = (attempt: number, current: number) =>
  refuse("superseded", { case: "upload", attempt, current }, { extra: { attempt: current } });

export const announcements = (pointAtFinal: PointAtFinal) =>
  new Hono<App>().post(
    "/:id/weights",
    describe({
      summary: "Announce a file of a task",
      description:
        "Answers with the URL to PUT the file to, or with the URLs of its parts. Announcing the same file again gives the same weight, with fresh URLs for the bytes that are missing. `upload` is null if the ledger has this very file already and the caller may read it.",
      tag: "Weights",
      answer: {
        schema: uploadAnswer,
        description: "The weight, and the URLs for its bytes.",
        example: {
          weight_id: 7,
          upload: {
            method: "PUT",
            url: "https://ledger.example/signed/w/3/0b5c…?size=147770496&sha256=…&expires=…&signature=…",
            headers: { "If-None-Match": "*" },
            expires_at: "2026-01-01T13:00:00.000Z",
          },
        },
      },
      errors: {
        403: "`over-limit`: the bounds of the run's user leave no room.",
        404: "No such task of yours.",
        409: "`superseded`: the attempt is no longer the current one, which `attempt` names. `already-announced`: for a box key, another user's key announced this very file before.",
        413: "The file is too large.",
      },
    }),
    allow("weights:write", { box: true }),
    limitBody(200_000),
    validate("param", idParam),
    validate("json", announcement),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      if (auth.box && body.attempt === undefined)
        throw notValid([{ path: "attempt", message: "is required of box keys" }]);
      const limit = sizeLimit(config);
      if (body.size > limit) throw refuse("too-large", { case: "file", limit, size: body.size });

      const task = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt));
      // A task that has not begun is at attempt 0; its first files belong to attempt 1.
      const current = sql`max(${trainingTask.attempt}, 1)`;
      const mine = and(
        task,
        reportable(auth),
        sql`max(coalesce(${body.attempt ?? null}, ${trainingTask.attempt}), 1) = ${current}`,
      );
      const objectKey = `${OBJECT_PREFIX}${taskId}/${crypto.randomUUID()}`;
      const fresh = sql`(select id from stored_object where object_key = ${objectKey})`;
      const same = sql`w.attempt = ${current} and w.kind = ${body.kind} and w.filename = ${body.filename}
      and w.sha256 = ${body.sha256} and w.size = ${body.size} and w.deleted_at is null and w.state <> 'aborted'`;
      const announced = sql`exists (select 1 from weight w where w.task_id = ${trainingTask.id} and ${same})`;
      // Only a hash that the ledger checked itself counts, and only where the caller may read the
      // file anyhow: knowing a hash gives nobody a file, and claiming one spoils nobody's. CROSS JOIN
      // keeps the order of the loops, which begin at the hash and not at a task's thousands of files.
      const reach = auth.box
        ? sql`h.task_id = ${trainingTask.id} and (select k.user_id from api_key k where k.id = h.key_id) = ${auth.userId}`
        : auth.scopes.has("weights:read")
          ? sql`true`
          : sql`false`;
      const held = sql`(
      select o.id from stored_object o
        cross join weight h on h.object_id = o.id and h.state = 'complete' and h.deleted_at is null
        cross join training_task ht on ht.id = h.task_id and ht.deleted_at is null
      where o.sha256 = ${body.sha256} and o.size = ${body.size} and o.state = 'complete'
        and o.verified = 'sha256' and ${reach} limit 1)`;
      const more = { files: 1, file_bytes: body.size, database_bytes: body.prompt?.length ?? 0 };
      const {
        row: [row],
        seen: [seen],
      } = await chain(db, {
        object: db.run(sql`
        insert into stored_object (object_key, task_id, user_id, size, sha256, part_size)
        select ${objectKey}, id, user_id, ${body.size}, ${body.sha256}, ${partSizeFor(body.size)}
        from training_task where ${mine} and not ${announced} and ${held} is null
          and ${roomFor(config, sql`training_task.user_id`, { ...more, uploads: 1 })}`),
        file: db.run(sql`
        insert into weight (task_id, attempt, object_id, key_id, kind, filename, size, sha256, state, completed_at,
          epoch, step, prompt, seed, "group")
        select id, ${current}, coalesce(${fresh}, ${held}), ${auth.keyId}, ${body.kind}, ${body.filename}, ${body.size}, ${body.sha256},
          iif(${fresh} is null, 'complete', 'uploading'), iif(${fresh} is null, ${now}, null),
          ${body.epoch ?? null}, ${body.step ?? null}, ${body.prompt ?? null}, ${body.seed ?? null}, ${body.group ?? null}
        from training_task where ${mine} and not ${announced}
          and (${fresh} is not null or (${held} is not null and ${roomFor(config, sql`training_task.user_id`, more)}))`),
        noted: ifChanged("file", (changed) =>
          audit(
            db,
            auth,
            "weight.announce",
            sql`select w.id from training_task cross join weight w
            where ${mine} and w.task_id = ${taskId} and ${same} and ${changed}`,
            { task_id: taskId },
          ),
        ),
        final: pointAtFinal(
          db,
          sql`(select id from training_task where ${mine} and ${body.kind} = 'final' and ${announced})`,
        ),
        row: selectWeights(
          db,
          and(
            mine,
            sql`${weight.attempt} = ${current}`,
            eq(weight.taskId, taskId),
            eq(weight.kind, body.kind),
            eq(weight.filename, body.filename),
            eq(weight.sha256, body.sha256),
            eq(weight.size, body.size),
            ne(weight.state, "aborted"),
            handedTo(auth),
          ),
        ),
        seen: db
          .select({
            attempt: trainingTask.attempt,
            userId: trainingTask.userId,
            mine: sql<number>`${reportable(auth)}`,
            once: sql<number>`${reportedOnce(auth)}`,
            open: sql<number>`${mine}`,
          })
          .from(trainingTask)
          .where(and(task, or(readable(auth), reportedOnce(auth)))),
      });
      if (row) {
        if (row.state === "complete") c.var.later(readLateFacts(db, storeOf(c), row));
        return c.json({
          weight_id: row.id,
          upload: await uploadOf(c, row, { fresh: row.object.objectKey === objectKey }),
        });
      }
      if (!seen?.mine && !seen?.once) throw notFound("own-task", { id: taskId });
      if (seen.open) {
        const full = await explainRoom(db, config, seen.userId, { ...more, uploads: 1 });
        if (full) throw full;
      }
      const attempt = body.attempt ?? 0;
      if (!seen.mine || attempt < seen.attempt) throw refuseSuperseded(attempt, seen.attempt);
      if (Math.max(attempt, 1) === Math.max(seen.attempt, 1))
        throw refuse("already-announced", { filename: body.filename, attempt });
      throw refuse(
        "attempt-not-open",
        { attempt, current: Math.max(seen.attempt, 1) },
        { extra: { attempt: Math.max(seen.attempt, 1) } },
      );
    },
  );

export const uploads = (pointAtFinal: PointAtFinal) =>
  new Hono<App>()
    .get(
      "/:id/upload",
      describe({
        summary: "Resume an upload",
        description:
          "Gives fresh URLs for the parts that have not arrived, from part `from` on, or the URL for the single PUT.",
        tag: "Weights",
        answer: {
          schema: uploadAnswer,
          description: "`upload` is null if the file is complete.",
        },
        errors: { 404: "No such weight of yours.", 409: "The upload was given up." },
      }),
      allow("weights:write", { box: true }),
      validate("param", idParam),
      validate(
        "query",
        z.strictObject({
          from: z.coerce.number().int().min(1).default(1).describe("The first part of interest."),
          limit: z.coerce.number().int().min(1).max(URLS_AT_ONCE).default(URLS_AT_ONCE),
        }),
      ),
      async (c) => {
        const weightId = c.req.valid("param").id;
        const { auth, db } = c.var;
        const [row] = await selectById(db, weightId, and(reportable(auth), uploadable(auth)));
        if (!row) throw notFound("own-weight", { id: weightId });
        return c.json({ weight_id: row.id, upload: await uploadOf(c, row, c.req.valid("query")) });
      },
    )
    .post(
      "/:id/complete",
      describe({
        summary: "Finish an upload",
        description:
          "Joins the parts, checks size and hash, and reads the safetensors header. A repeated request gets the same answer. If the request has the MD5 of every part, the service checks these too.",
        tag: "Weights",
        answer: { schema: weightAnswer, description: "The complete weight." },
        errors: {
          404: "No such weight of yours.",
          409: "Bytes are missing (`missing` names the parts), or the upload was given up.",
          422: "The bytes are not those of the announced file, and were removed.",
        },
      }),
      allow("weights:write", { box: true }),
      limitBody(1_000_000),
      validate("param", idParam),
      validate(
        "json",
        z.strictObject({
          parts: z
            .array(
              z.strictObject({
                number: z.int().min(1).max(10_000),
                etag: z.string().max(500).nullish(),
                md5: z
                  .string()
                  .regex(/^[0-9a-fA-F]{32}$/, "must be 32 hexadecimal digits")
                  .nullish(),
              }),
            )
            .max(10_000)
            .nullish(),
        }),
      ),
      async (c) => {
        const weightId = c.req.valid("param").id;
        const { db, auth, config } = c.var;
        const claimed = c.req.valid("json").parts ?? [];
        const find = () =>
          selectWeight(db, and(eq(weight.id, weightId), reportable(auth), uploadable(auth)));
        const [row] = await find();
        if (!row) throw notFound("own-weight", { id: weightId });
        if (row.state === "complete") return c.json(toAnswer(row));
        if (row.state !== "uploading") throw refuseGivenUp(row);

        const store = storeOf(c);
        const { object } = row;
        const head =
          (await store.head(object.objectKey)) ?? (await joinParts(db, store, row, claimed));
        let found: Awaited<ReturnType<typeof inspect>>;
        try {
          found = await inspect(store, row, head, claimed, { stream: config.VERIFY_BY_STREAMING });
        } catch (error) {
          if (!(error instanceof FileDiffers)) throw error;
          await giveUpDiffering(c, store, row, error.field);
          throw notValid([{ path: error.field, message: error.message }], "The uploaded file");
        }
        const { verified, mediaType, facts } = found;
        const {
          done: [done],
        } = await chain(db, {
          object: db
            .update(storedObject)
            .set({ state: "complete", verified, mediaType, uploadId: null, ...facts })
            .where(and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading"))),
          file: db
            .update(weight)
            .set({ state: "complete", completedAt: now })
            .where(
              and(
                eq(weight.id, weightId),
                eq(weight.state, "uploading"),
                sql`(select state from stored_object where id = ${object.id}) = 'complete'`,
              ),
            ),
          noted: noteChange(db, auth, "file", "weight.complete", weightId, {
            task_id: row.taskId,
          }),
          parts: db.delete(uploadPart).where(eq(uploadPart.objectId, object.id)),
          final: pointAtFinal(db, row.kind === "final" ? row.taskId : null),
          done: find(),
        });
        if (!done) throw notFound("own-weight", { id: weightId });
        if (done.state !== "complete") throw refuseGivenUp(done);
        return c.json(toAnswer(done));
      },
    );

/** Gives up an upload whose bytes are wrong, and takes them away. */
async function giveUpDiffering(c: Context<App>, store: Store, row: WeightRow, differs: string) {
  const { id: weightId, object } = row;
  const { db, auth, later } = c.var;
  const { objects } = await chain(db, {
    file: db
      .update(weight)
      .set({ state: "aborted" })
      .where(and(eq(weight.id, weightId), eq(weight.state, "uploading"))),
    noted: noteChange(db, auth, "file", "weight.abort", weightId, {
      task_id: row.taskId,
      differs,
    }),
    objects: giveUpObjects(
      db,
      store,
      and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading")),
    ),
  });
  // Another request may have completed it meanwhile; then the bytes are in use.
  if (objects.length) later(removeBytes(store, [object]));
}
