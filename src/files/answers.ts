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
import { URLS_AT_ONCE } from "./parts.ts";
import { compareWithTask } from "./safetensors.ts";
import { uploadedBy } from "./uploaders.ts";

const signedUrl = {
  url: z.string(),
  headers: z
    .record(z.string(), z.string())
    .describe("Send these, no others but Content-Length, and no Authorization."),
};
export const upload = z
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

/** A row as it goes over the wire. The task's settings may change later, so it is compared here. */
export function toAnswer({
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

/** The live weight of this id, under a condition, without its metadata. */
export const selectById = (db: Db, weightId: number, condition: SQL | undefined) =>
  selectWeights(db, and(eq(weight.id, weightId), condition));

/** That a weight's task is such a one; the one task is looked at, not all of them. */
export const ofTask = (condition: SQL | undefined) =>
  sql`exists (select 1 from training_task where ${and(eq(trainingTask.id, weight.taskId), condition)})`;
