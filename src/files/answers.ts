import { and, eq, isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Db } from "../platform/db/client.ts";
import {
  storedObject,
  trainingTask,
  verifications,
  weight,
  weightKinds,
  weightStates,
} from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { compareWithTask } from "./mismatch.ts";
import { URLS_AT_ONCE } from "./parts.ts";
import { uploadedBy } from "./uploaders.ts";

const signedUrl = {
  url: z.string(),
  headers: z
    .record(z.string(), z.string())
    .describe("Send these headers, no others except Content-Length, and no Authorization."),
};
export const upload = z
  .union([
    z.object({ method: z.literal("PUT"), ...signedUrl, expires_at: z.string() }),
    z.object({
      method: z.literal("PUT"),
      part_size: z.int().describe("Bytes of each part but the last."),
      part_count: z.int(),
      remaining: z
        .int()
        .describe("The number of parts that have not arrived yet, from the requested part on."),
      parts: z
        .array(z.object({ number: z.int(), ...signedUrl }))
        .describe(`The first ${URLS_AT_ONCE} missing parts.`),
      expires_at: z.string(),
    }),
  ])
  .nullable()
  .meta({ id: "Upload" });
export const uploadAnswer = z.object({ weight_id: z.int(), upload });

export const weightAnswer = z
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
        "The check that the service made itself: `sha256`: the file's SHA-256; `parts`: its parts against the uploader's MD5s, which leaves the SHA-256 as announced; `size`: its size.",
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
        "The settings in which the file differs from its task; empty: they agree; null: not compared.",
      ),
    warnings: z.array(z.string()).optional(),
    uploaded_by: z
      .int()
      .nullable()
      .describe(
        "The user whose key announced the file; null: not known. Box keys only get files that keys of their own user announced.",
      ),
    created_at: z.string(),
    completed_at: z.string().nullable(),
  })
  .meta({ id: "Weight" });

const columns = {
  id: weight.id,
  taskId: weight.taskId,
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
  convRank: storedObject.convRank,
  alpha: storedObject.alpha,
  algorithm: storedObject.algorithm,
  baseArch: storedObject.baseArch,
  tensorCount: storedObject.tensorCount,
  dtype: storedObject.dtype,
  warnings: storedObject.warnings,
  uploadedBy: uploadedBy,
  createdAt: weight.createdAt,
  completedAt: weight.completedAt,
  // Facts that the answer depends on but does not contain.
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
export const selectWeights = (db: Db, condition: SQL | undefined, { deleted = false } = {}) =>
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
export const selectWeight = (db: Db, condition: SQL | undefined) =>
  db
    .select({ ...columns, metadata: storedObject.metadata })
    .from(weight)
    .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
    .innerJoin(trainingTask, eq(trainingTask.id, weight.taskId))
    .where(and(isNull(weight.deletedAt), isNull(trainingTask.deletedAt), condition));

export type WeightRow = Awaited<ReturnType<typeof selectWeights>>[number] & {
  metadata?: Record<string, string> | null;
};

/** A weight as the API answers it. The task's settings may change later, so the comparison is made here. */
export function toAnswer({
  object: _,
  settings,
  warnings,
  ...row
}: WeightRow): z.infer<typeof weightAnswer> {
  const compared =
    row.state === "complete" &&
    row.tensorCount !== null &&
    (row.kind === "final" || row.kind === "checkpoint");
  return {
    ...toWire(row),
    mismatches: compared ? compareWithTask(row, settings) : null,
    ...(warnings?.length && { warnings }),
  };
}

/** The live weight of this id, under a condition, without its metadata. */
export const selectById = (db: Db, weightId: number, condition: SQL | undefined) =>
  selectWeights(db, and(eq(weight.id, weightId), condition));

/** That a weight's task is such a one; the one task is looked at, not all of them. */
export const ofTask = (condition: SQL | undefined) =>
  sql`exists (select 1 from training_task where ${and(eq(trainingTask.id, weight.taskId), condition)})`;
