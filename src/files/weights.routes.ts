import { and, desc, eq, isNotNull, isNull, lt, ne, or, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { audit, ifChanged } from "../platform/audit/audit.ts";
import { readable, reportable, reportedOnce, writable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { explainRoom, roomFor } from "../platform/bounds.ts";
import type { Db } from "../platform/db/client.ts";
import {
  storedObject,
  trainingTask,
  uploadPart,
  verifications,
  weight,
  weightKinds,
  weightStates,
} from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, limitBody, notValid, validate } from "../platform/http/validate.ts";
import { pointAtFinal } from "../runs/states.ts";
import { storeOf } from "./bucket/open.ts";
import { bareEtag } from "./bucket/s3.ts";
import { DOWNLOAD_URL_SEC, OBJECT_PREFIX, type Store, UPLOAD_URL_SEC } from "./bucket/store.ts";
import { giveUpObjects, removeBytes } from "./collect.ts";
import { partCount, partLength, partSizeFor, sizeLimit, URLS_AT_ONCE } from "./parts.ts";
import { compareWithTask } from "./safetensors.ts";
import { handedTo, uploadable, uploadedBy } from "./uploaders.ts";
import { forgetUpload, keepUploadId } from "./uploads.ts";
import { FileDiffers, inspect } from "./verify.ts";

/** A relative path below the run's output folder, with forward slashes. */
const filename = z
  .string()
  .min(1)
  .max(255)
  // U+FFFD is what became of a control character or of half a surrogate pair.
  .refine(
    (name) => !/[\p{Cc}\\\ufffd]/u.test(name),
    "must be well-formed Unicode without control characters or backslashes",
  )
  .refine(
    (name) =>
      !/^[a-z]:/i.test(name) &&
      name.split("/").every((segment) => segment !== "" && segment !== "." && segment !== ".."),
    "must be a relative path without `.`, `..` or empty segments",
  )
  .describe("Relative to the output folder, e.g. `checkpoint-500/adapter_model.safetensors`.");

const announcement = z.strictObject({
  attempt: z.int().min(0).optional().describe("Required of box keys; default: the current one."),
  filename,
  size: z.int().min(0).describe("In bytes."),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, "must be 64 hexadecimal digits")
    .transform((hash) => hash.toLowerCase()),
  kind: z.enum(weightKinds),
  epoch: z.number().min(0).nullish(),
  step: z.int().min(0).nullish(),
  prompt: z.string().max(20_000).nullish().describe("Of a sample: what it was made from."),
  seed: z.int().nullish(),
  group: z.string().max(200).nullish().describe("Files that belong together, e.g. a checkpoint's."),
});

const signedUrl = {
  url: z.string(),
  headers: z
    .record(z.string(), z.string())
    .describe("Send these, no others but Content-Length, and no Authorization."),
};
const upload = z
  .union([
    z.object({ method: z.literal("PUT"), ...signedUrl, expires_at: z.string() }),
    z.object({
      method: z.literal("PUT"),
      part_size: z.int().describe("Bytes of each part but the last."),
      part_count: z.int(),
      remaining: z.int().describe("How many parts have not arrived yet, from the asked number on."),
      parts: z
        .array(z.object({ number: z.int(), ...signedUrl }))
        .describe(`The first ${URLS_AT_ONCE} missing parts.`),
      expires_at: z.string(),
    }),
  ])
  .nullable()
  .meta({ id: "Upload" });
const uploadAnswer = z.object({ weight_id: z.int(), upload });

const weightAnswer = z
  .object({
    id: z.int(),
    task_id: z.int(),
    attempt: z.int(),
    kind: z.enum(weightKinds),
    filename: z.string(),
    size: z.int(),
    sha256: z.string(),
    state: z.enum(weightStates),
    verified: z
      .enum(verifications)
      .nullable()
      .describe(
        "What the service checked itself: the file's SHA-256; its parts against the uploader's MD5s, which leaves the SHA-256 as it was announced; or its size.",
      ),
    epoch: z.number().nullable(),
    step: z.int().nullable(),
    prompt: z.string().nullable(),
    seed: z.int().nullable(),
    group: z.string().nullable(),
    rank: z.int().nullable(),
    conv_rank: z.int().nullable(),
    alpha: z.number().nullable(),
    algorithm: z.string().nullable(),
    base_arch: z.string().nullable(),
    tensor_count: z.int().nullable(),
    dtype: z.string().nullable(),
    metadata: z
      .record(z.string(), z.string())
      .nullable()
      .optional()
      .describe("The safetensors header's `__metadata__`; left out of lists."),
    mismatches: z
      .array(z.object({ field: z.string(), file: z.json(), task: z.json() }))
      .nullable()
      .describe(
        "Where the file and its task's settings differ; empty: they agree; null: not compared.",
      ),
    warnings: z.array(z.string()).optional(),
    uploaded_by: z
      .int()
      .nullable()
      .describe(
        "The user whose key announced the file; null: not known. Box keys are given the files of their own user's keys alone.",
      ),
    created_at: z.string(),
    completed_at: z.string().nullable(),
  })
  .meta({ id: "Weight" });

const columns = {
  id: weight.id,
  task_id: weight.taskId,
  attempt: weight.attempt,
  kind: weight.kind,
  filename: weight.filename,
  size: weight.size,
  sha256: weight.sha256,
  state: weight.state,
  verified: storedObject.verified,
  epoch: weight.epoch,
  step: weight.step,
  prompt: weight.prompt,
  seed: weight.seed,
  group: weight.group,
  rank: storedObject.rank,
  conv_rank: storedObject.convRank,
  alpha: storedObject.alpha,
  algorithm: storedObject.algorithm,
  base_arch: storedObject.baseArch,
  tensor_count: storedObject.tensorCount,
  dtype: storedObject.dtype,
  warnings: storedObject.warnings,
  uploaded_by: uploadedBy,
  created_at: weight.createdAt,
  completed_at: weight.completedAt,
  // What the answer is made from, besides what it shows.
  object: {
    id: storedObject.id,
    objectKey: storedObject.objectKey,
    state: storedObject.state,
    uploadId: storedObject.uploadId,
    partSize: storedObject.partSize,
    mediaType: storedObject.mediaType,
  },
  settings: {
    loraRank: trainingTask.loraRank,
    convLoraRank: trainingTask.convLoraRank,
    loraAlpha: trainingTask.loraAlpha,
    networkAlgo: trainingTask.networkAlgo,
    baseArch: trainingTask.baseArch,
  },
};

/** Weights with their objects and tasks: live ones, or those in the trash; those of deleted tasks are hidden. */
const selectWeights = (db: Db, condition: SQL | undefined, { deleted = false } = {}) =>
  db
    .select(columns)
    .from(weight)
    .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
    .innerJoin(trainingTask, eq(trainingTask.id, weight.taskId))
    .where(
      and(
        deleted ? isNotNull(weight.deletedAt) : isNull(weight.deletedAt),
        isNull(trainingTask.deletedAt),
        condition,
      ),
    );

/** The same with the metadata, which is too much for lists. */
const selectWeight = (db: Db, condition: SQL | undefined) =>
  db
    .select({ ...columns, metadata: storedObject.metadata })
    .from(weight)
    .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
    .innerJoin(trainingTask, eq(trainingTask.id, weight.taskId))
    .where(and(isNull(weight.deletedAt), isNull(trainingTask.deletedAt), condition));

type WeightRow = Awaited<ReturnType<typeof selectWeights>>[number] & {
  metadata?: Record<string, string> | null;
};

/** A row as it goes over the wire. The task's settings may change later, so it is compared here. */
function toAnswer({
  object: _,
  settings,
  warnings,
  ...row
}: WeightRow): z.infer<typeof weightAnswer> {
  const compared =
    row.state === "complete" &&
    row.tensor_count !== null &&
    (row.kind === "final" || row.kind === "checkpoint");
  return {
    ...row,
    mismatches: compared
      ? compareWithTask(
          {
            ...row,
            convRank: row.conv_rank,
            baseArch: row.base_arch,
            tensorCount: row.tensor_count,
          },
          settings,
        )
      : null,
    ...(warnings?.length && { warnings }),
  };
}

/** That a weight's task is such a one; the one task is looked at, not all of them. */
const ofTask = (condition: SQL | undefined) =>
  sql`exists (select 1 from training_task where ${and(eq(trainingTask.id, weight.taskId), condition)})`;

const superseded = (attempt: number, current: number) =>
  refuse("superseded", { case: "upload", attempt, current }, { extra: { attempt: current } });

const givenUp = (row: WeightRow) =>
  refuse(
    "upload-aborted",
    { case: "before", filename: row.filename },
    { extra: { state: row.state } },
  );

/** The URLs an unfinished upload still needs, from part `from` on; null when it is complete. */
async function uploadOf(
  c: Context<App>,
  row: WeightRow,
  { from = 1, limit = URLS_AT_ONCE, fresh = false } = {},
): Promise<z.infer<typeof upload>> {
  if (row.state === "complete") return null;
  if (row.state !== "uploading") throw givenUp(row);
  const { object, size, sha256 } = row;
  const store = storeOf(c);
  const expires = new Date(Date.now() + UPLOAD_URL_SEC * 1000);
  const expires_at = expires.toISOString();
  if (object.partSize === null)
    return {
      method: "PUT",
      ...(await store.signPut({ ...object, size, sha256 }, expires)),
      expires_at,
    };

  let uploadId = object.uploadId;
  let arrived = uploadId && !fresh ? await store.listParts({ ...object, uploadId }) : [];
  if (uploadId && arrived === null) {
    await forgetUpload(c.var.db, object.id, uploadId);
    uploadId = null;
  }
  arrived ??= [];
  const target = { ...object, uploadId: uploadId ?? (await startUpload(c, store, row)) };
  const count = partCount(size, object.partSize);
  const there = new Set(goodParts(arrived, size, object.partSize).map((part) => part.number));
  const missing = [];
  for (let number = from; number <= count; number++) if (!there.has(number)) missing.push(number);
  const parts = await Promise.all(
    missing.slice(0, limit).map(async (number) => ({
      number,
      ...(await store.signPart(
        target,
        { number, size: partLength(size, object.partSize ?? size, number) },
        expires,
      )),
    })),
  );
  return {
    method: "PUT",
    part_size: object.partSize,
    part_count: count,
    remaining: missing.length,
    parts,
    expires_at,
  };
}

/** Parts of another length than theirs are as good as missing: S3 takes any. */
const goodParts = <P extends { number: number; size: number }>(
  parts: P[],
  size: number,
  partSize: number,
) => parts.filter((part) => part.size === partLength(size, partSize, part.number));

/** Starts the multipart upload of an object. Of two requests that do so at once, one wins. */
async function startUpload(c: Context<App>, store: Store, { object }: WeightRow): Promise<string> {
  const { db, later } = c.var;
  const uploadId = await store.createUpload(object.objectKey);
  const [kept] = await keepUploadId(db, object.id, uploadId);
  if (kept) return uploadId;
  later(store.abortUpload({ objectKey: object.objectKey, uploadId }));
  const [current] = await db
    .select({ uploadId: storedObject.uploadId })
    .from(storedObject)
    .where(and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading")));
  if (!current?.uploadId) throw refuse("upload-aborted", { case: "meanwhile" });
  return current.uploadId;
}

export const taskWeights = new Hono<App>().post(
  "/:id/weights",
  describe({
    summary: "Announce a file of a task",
    description:
      "Answers where to PUT it: one URL, or URLs of parts. The same file announced again gives the same weight with fresh URLs for what is missing. `upload` is null when the ledger holds this very file where the caller may read it.",
    tag: "Weights",
    answer: {
      schema: uploadAnswer,
      description: "The weight, and where its bytes go.",
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
      404: "No such task that is yours.",
      409: "`superseded`: the attempt is not the current one any more; `attempt` names it. `already-announced`: for a box key, another user's key announced this very file before.",
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
    const [, , , , [row], [seen]] = await db.batch([
      db.run(sql`
        insert into stored_object (object_key, task_id, user_id, size, sha256, part_size)
        select ${objectKey}, id, user_id, ${body.size}, ${body.sha256}, ${partSizeFor(body.size)}
        from training_task where ${mine} and not ${announced} and ${held} is null
          and ${roomFor(config, sql`training_task.user_id`, { ...more, uploads: 1 })}`),
      db.run(sql`
        insert into weight (task_id, attempt, object_id, key_id, kind, filename, size, sha256, state, completed_at,
          epoch, step, prompt, seed, "group")
        select id, ${current}, coalesce(${fresh}, ${held}), ${auth.keyId}, ${body.kind}, ${body.filename}, ${body.size}, ${body.sha256},
          iif(${fresh} is null, 'complete', 'uploading'), iif(${fresh} is null, ${now}, null),
          ${body.epoch ?? null}, ${body.step ?? null}, ${body.prompt ?? null}, ${body.seed ?? null}, ${body.group ?? null}
        from training_task where ${mine} and not ${announced}
          and (${fresh} is not null or (${held} is not null and ${roomFor(config, sql`training_task.user_id`, more)}))`),
      audit(
        db,
        auth,
        "weight.announce",
        sql`select w.id from training_task cross join weight w
          where ${mine} and w.task_id = ${taskId} and ${same} and changes() = 1`,
        { task_id: taskId },
      ),
      pointAtFinal(
        db,
        sql`(select id from training_task where ${mine} and ${body.kind} = 'final' and ${announced})`,
      ),
      selectWeights(
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
      db
        .select({
          attempt: trainingTask.attempt,
          userId: trainingTask.userId,
          mine: sql<number>`${reportable(auth)}`,
          once: sql<number>`${reportedOnce(auth)}`,
          open: sql<number>`${mine}`,
        })
        .from(trainingTask)
        .where(and(task, or(readable(auth), reportedOnce(auth)))),
    ]);
    if (row)
      return c.json({
        weight_id: row.id,
        upload: await uploadOf(c, row, { fresh: row.object.objectKey === objectKey }),
      });
    if (!seen?.mine && !seen?.once) throw notFound("own-task", { id: taskId });
    if (seen.open) {
      const full = await explainRoom(db, config, seen.userId, { ...more, uploads: 1 });
      if (full) throw full;
    }
    const attempt = body.attempt ?? 0;
    if (!seen.mine || attempt < seen.attempt) throw superseded(attempt, seen.attempt);
    if (Math.max(attempt, 1) === Math.max(seen.attempt, 1))
      throw refuse("already-announced", { filename: body.filename, attempt });
    throw refuse(
      "attempt-not-open",
      { attempt, current: Math.max(seen.attempt, 1) },
      { extra: { attempt: Math.max(seen.attempt, 1) } },
    );
  },
);

const byId = (c: Context<App>, weightId: number, condition: SQL | undefined) =>
  selectWeights(c.var.db, and(eq(weight.id, weightId), condition));

export const weights = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "List weights",
      description:
        "Newest first, without the given-up ones unless asked for, and without `metadata`.",
      tag: "Weights",
      answer: {
        schema: pageAnswer(weightAnswer),
        description: "Weights.",
      },
    }),
    allow("weights:read", { box: true }),
    validate(
      "query",
      z.strictObject({
        task_id: z.coerce.number().int().positive().optional().describe("Required of box keys."),
        attempt: z.coerce.number().int().positive().optional(),
        kind: z.enum(weightKinds).optional(),
        state: z.enum(weightStates).optional(),
        deleted: flag().default(false).describe("true: the trash instead of what is live."),
        ...pageQuery,
      }),
    ),
    async (c) => {
      const { task_id, attempt, kind, state, deleted, limit, cursor } = c.req.valid("query");
      const { db, auth } = c.var;
      if (auth.box && task_id === undefined)
        throw notValid([{ path: "task_id", message: "is required of box keys" }]);
      const before = cursor ? decodeCursor("weights", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await selectWeights(
        db,
        and(
          readable(auth),
          handedTo(auth),
          task_id === undefined ? undefined : eq(weight.taskId, task_id),
          attempt === undefined ? undefined : eq(weight.attempt, attempt),
          kind === undefined ? undefined : eq(weight.kind, kind),
          state === undefined ? ne(weight.state, "aborted") : eq(weight.state, state),
          before === undefined ? undefined : lt(weight.id, before),
        ),
        { deleted },
      )
        .orderBy(desc(weight.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toAnswer), limit, (last) => encodeCursor("weights", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "One weight",
      description: "With the file's own metadata, and where it differs from its task's settings.",
      tag: "Weights",
      answer: { schema: weightAnswer, description: "The weight." },
      errors: { 404: "No such weight." },
    }),
    allow("weights:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const [row] = await selectWeight(
        c.var.db,
        and(eq(weight.id, weightId), readable(c.var.auth), handedTo(c.var.auth)),
      );
      if (!row) throw notFound("weight", { id: weightId });
      return c.json(toAnswer(row));
    },
  )
  .get(
    "/:id/upload",
    describe({
      summary: "What an upload still needs",
      description:
        "Fresh URLs for the parts that have not arrived, from part `from` on; or for the one PUT.",
      tag: "Weights",
      answer: { schema: uploadAnswer, description: "`upload` is null when the file is complete." },
      errors: { 404: "No such weight of yours.", 409: "The upload was given up." },
    }),
    allow("weights:write", { box: true }),
    validate("param", idParam),
    validate(
      "query",
      z.strictObject({
        from: z.coerce
          .number()
          .int()
          .min(1)
          .default(1)
          .describe("The first part number of interest."),
        limit: z.coerce.number().int().min(1).max(URLS_AT_ONCE).default(URLS_AT_ONCE),
      }),
    ),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const { auth } = c.var;
      const [row] = await byId(c, weightId, and(reportable(auth), uploadable(auth)));
      if (!row) throw notFound("own-weight", { id: weightId });
      return c.json({ weight_id: row.id, upload: await uploadOf(c, row, c.req.valid("query")) });
    },
  )
  .post(
    "/:id/complete",
    describe({
      summary: "Finish an upload",
      description:
        "Joins the parts, checks size and hash, and reads the safetensors header. Repeated, it answers the same. With the MD5 of every part these are checked too.",
      tag: "Weights",
      answer: { schema: weightAnswer, description: "The complete weight." },
      errors: {
        404: "No such weight of yours.",
        409: "Bytes are missing (`missing` names the parts), or the upload was given up.",
        422: "The file is not the one that was announced; its bytes were removed.",
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
      if (row.state !== "uploading") throw givenUp(row);

      const store = storeOf(c);
      const { object } = row;
      const head =
        (await store.head(object.objectKey)) ?? (await joinParts(db, store, row, claimed));
      let found: Awaited<ReturnType<typeof inspect>>;
      try {
        found = await inspect(store, row, head, claimed, { stream: config.VERIFY_BY_STREAMING });
      } catch (error) {
        if (!(error instanceof FileDiffers)) throw error;
        await abort(c, store, row, error.field);
        throw notValid([{ path: error.field, message: error.message }], "The uploaded file");
      }
      const { verified, mediaType, facts } = found;
      const [, , , , , [done]] = await db.batch([
        db
          .update(storedObject)
          .set({ state: "complete", verified, mediaType, uploadId: null, ...facts })
          .where(and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading"))),
        db
          .update(weight)
          .set({ state: "complete", completedAt: now })
          .where(
            and(
              eq(weight.id, weightId),
              eq(weight.state, "uploading"),
              sql`(select state from stored_object where id = ${object.id}) = 'complete'`,
            ),
          ),
        audit(db, auth, "weight.complete", ifChanged(weightId), { task_id: row.task_id }),
        db.delete(uploadPart).where(eq(uploadPart.objectId, object.id)),
        pointAtFinal(db, row.kind === "final" ? row.task_id : null),
        find(),
      ]);
      if (!done) throw notFound("own-weight", { id: weightId });
      if (done.state !== "complete") throw givenUp(done);
      return c.json(toAnswer(done));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a weight",
      description:
        "Gives an unfinished upload up. A file goes into the trash with its bytes, where it can be restored until TRASH_DAYS have passed; what a model version stands on stays.",
      tag: "Weights",
      errors: { 403: "Box keys delete nothing.", 404: "No such weight of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const { db, auth, later } = c.var;
      const store = storeOf(c);
      const [row] = await byId(c, weightId, writable(auth));
      if (!row) throw notFound("own-weight", { id: weightId });
      const [, , [given]] = await db.batch([
        db
          .update(weight)
          .set({ deletedAt: now, state: sql`iif(state = 'uploading', 'aborted', state)` })
          .where(and(eq(weight.id, weightId), isNull(weight.deletedAt), ofTask(writable(auth)))),
        audit(
          db,
          auth,
          row.state === "uploading" ? "weight.abort" : "weight.delete",
          ifChanged(weightId),
          { task_id: row.task_id, filename: row.filename },
        ),
        giveUpObjects(
          db,
          store,
          and(
            eq(storedObject.id, row.object.id),
            eq(storedObject.state, "uploading"),
            sql`not exists (select 1 from weight w where w.object_id = ${row.object.id} and w.state <> 'aborted')`,
          ),
        ),
        pointAtFinal(db, row.kind === "final" ? row.task_id : null, row.filename),
      ]);
      // An unfinished upload's bytes go at once; collectUploads repeats it should this fail.
      if (given) later(removeBytes(store, [row.object]));
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
        409: "The same file was uploaded again meanwhile.",
      },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const mine = and(eq(weight.id, weightId), writable(auth));
      const [[restored], , , [live], [trashed]] = await db.batch([
        db
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
        audit(db, auth, "weight.restore", ifChanged(weightId)),
        pointAtFinal(
          db,
          sql`(select task_id from weight where id = ${weightId} and kind = 'final' and deleted_at is null and changes() = 1)`,
        ),
        selectWeights(db, mine),
        selectWeights(db, mine, { deleted: true }),
      ]);
      if (restored && live) return c.json(toAnswer(live));
      if (trashed?.state !== "complete") throw notFound("own-trashed-weight", { id: weightId });
      throw refuse("already-uploaded-again", { filename: trashed.filename });
    },
  )
  .get(
    "/:id/download",
    describe({
      summary: "Download a weight",
      description:
        "302 to a signed URL that lasts minutes. With `redirect=false` the URL as JSON: urllib and wget would send the key along with a redirect.",
      tag: "Weights",
      answer: {
        schema: z.object({
          url: z.string(),
          expires_at: z.string(),
          sha256: z.string(),
          size: z.int(),
        }),
        description: "With `redirect=false`.",
      },
      errors: {
        302: "To the signed URL.",
        404: "No such weight.",
        409: "The file is not complete.",
      },
    }),
    allow("weights:read", { box: true }),
    validate("param", idParam),
    validate("query", z.strictObject({ redirect: flag().default(true) })),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const { auth } = c.var;
      const [row] = await byId(c, weightId, and(readable(auth), handedTo(auth)));
      if (!row) throw notFound("weight", { id: weightId });
      if (row.state !== "complete")
        throw refuse(
          "not-complete",
          { filename: row.filename, state: row.state },
          { extra: { state: row.state } },
        );
      const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
      const { object, size, sha256, filename: name } = row;
      const url = await storeOf(c).signGet(
        { ...object, size },
        { name, mediaType: object.mediaType },
        expires,
      );
      c.header("Cache-Control", "no-store");
      return c.req.valid("query").redirect
        ? c.redirect(url)
        : c.json({ url, expires_at: expires.toISOString(), sha256, size });
    },
  );

type ClaimedPart = { number: number; etag?: string | null; md5?: string | null };

/** Joins the parts of an upload whose object is not there yet. Throws ApiError 409. */
async function joinParts(
  db: Db,
  store: Store,
  { id: weightId, object, size, filename }: WeightRow,
  claimed: ClaimedPart[],
) {
  const { uploadId, partSize } = object;
  if (partSize === null) throw refuse("not-uploaded", { filename });
  const numbers = Array.from({ length: partCount(size, partSize) }, (_, i) => i + 1);
  const lacks = (missing: number[]) =>
    refuse(
      "parts-missing",
      { missing: missing.length, total: numbers.length, filename, weight: weightId },
      { extra: { missing: missing.slice(0, 100) } },
    );
  if (uploadId === null) throw lacks(numbers);
  const arrived = await store.listParts({ ...object, uploadId });
  const parts = new Map(goodParts(arrived ?? [], size, partSize).map((p) => [p.number, p]));
  for (const { number, etag, md5 } of claimed) {
    const part = parts.get(number);
    if (!part) continue;
    // Something else arrived as this part than what was sent: it has to come again.
    const other = etag && bareEtag(etag) !== part.etag;
    if (other || (md5 && store.md5Etags && md5.toLowerCase() !== part.etag)) parts.delete(number);
  }
  const missing = numbers.filter((number) => !parts.has(number));
  if (arrived && missing.length) throw lacks(missing);
  const ordered = [...parts.values()].sort((a, b) => a.number - b.number);
  const joined =
    arrived !== null &&
    (await store.completeUpload({ objectKey: object.objectKey, uploadId }, ordered));
  // Another request may have joined them meanwhile: the object itself tells.
  const head = await store.head(object.objectKey);
  if (head) return head;
  if (!joined) await forgetUpload(db, object.id, uploadId);
  throw lacks(numbers);
}

/** Gives up an upload whose bytes are wrong, and takes them away. */
async function abort(c: Context<App>, store: Store, row: WeightRow, differs: string) {
  const { id: weightId, object } = row;
  const { db, auth, later } = c.var;
  const [, , gone] = await db.batch([
    db
      .update(weight)
      .set({ state: "aborted" })
      .where(and(eq(weight.id, weightId), eq(weight.state, "uploading"))),
    audit(db, auth, "weight.abort", ifChanged(weightId), { task_id: row.task_id, differs }),
    giveUpObjects(
      db,
      store,
      and(eq(storedObject.id, object.id), eq(storedObject.state, "uploading")),
    ),
  ]);
  // Another request may have completed it meanwhile; then the bytes are in use.
  if (gone.length) later(removeBytes(store, [object]));
}
