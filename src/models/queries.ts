import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import * as z from "zod";
import type { Auth } from "../auth/keys.ts";
import type { App } from "../auth/middleware.ts";
import type { Db } from "../db/client.ts";
import { model, modelVersion, storedObject, verifications, versionStates } from "../db/schema.ts";
import { ApiError, notFound } from "../http/problem.ts";
import { storeOf } from "../weights/store.ts";
import { nameKey } from "./names.ts";

export const versionAnswer = z
  .object({
    model: z.string(),
    version: z.int(),
    state: z.enum(versionStates),
    aliases: z.array(z.string()),
    weight_id: z.int(),
    task_id: z.int(),
    filename: z.string(),
    size: z.int(),
    sha256: z.string(),
    verified: z.enum(verifications).nullable().describe("What the ledger checked of the file."),
    rank: z.int().nullable(),
    alpha: z.number().nullable(),
    algorithm: z.string().nullable(),
    base_arch: z.string().nullable(),
    notes: z.string().nullable(),
    license: z.string().nullable(),
    created_by: z.string(),
    submitted_by: z.string().nullable(),
    created_at: z.string(),
    submitted_at: z.string().nullable(),
    approved_at: z.string().nullable(),
    released_at: z.string().nullable().describe("When it first carried `production`."),
    updated_at: z.string(),
  })
  .meta({ id: "ModelVersion" });

const aliasesOf = sql<string>`(select json_group_array(a.alias) from (
  select alias from model_alias where version_id = model_version.id order by alias) a)`;
const userName = (column: SQL) => sql<string>`(select name from user where id = ${column})`;

const columns = {
  model: model.name,
  version: modelVersion.number,
  state: modelVersion.state,
  aliases: aliasesOf.mapWith((json: string): string[] => JSON.parse(json)),
  weight_id: modelVersion.weightId,
  task_id: modelVersion.taskId,
  filename: modelVersion.filename,
  size: modelVersion.size,
  sha256: modelVersion.sha256,
  verified: storedObject.verified,
  rank: storedObject.rank,
  alpha: storedObject.alpha,
  algorithm: storedObject.algorithm,
  base_arch: storedObject.baseArch,
  notes: modelVersion.notes,
  license: sql<string | null>`coalesce(${modelVersion.license}, ${model.license})`,
  created_by: userName(sql`model_version.user_id`),
  submitted_by: userName(sql`model_version.submitted_by`).mapWith((name: string | null) => name),
  created_at: modelVersion.createdAt,
  submitted_at: modelVersion.submittedAt,
  approved_at: modelVersion.approvedAt,
  released_at: modelVersion.releasedAt,
  updated_at: modelVersion.updatedAt,
  // What answers are made from, besides what they show.
  row: {
    id: modelVersion.id,
    modelId: modelVersion.modelId,
    objectId: modelVersion.objectId,
    version: modelVersion.version,
    userId: modelVersion.userId,
    submittedUserId: modelVersion.submittedBy,
    ownerId: model.userId,
  },
  object: {
    objectKey: storedObject.objectKey,
    state: storedObject.state,
    mediaType: storedObject.mediaType,
  },
};

/** Versions with their models and objects. */
export const selectVersions = (db: Db, condition: SQL | undefined) =>
  db
    .select(columns)
    .from(modelVersion)
    .innerJoin(model, eq(model.id, modelVersion.modelId))
    .leftJoin(storedObject, eq(storedObject.id, modelVersion.objectId))
    .where(condition);

export type VersionRow = Awaited<ReturnType<typeof selectVersions>>[number];

export const toVersion = ({
  row: _,
  object: __,
  ...answer
}: VersionRow): z.infer<typeof versionAnswer> => answer;

/** The model of a name, whatever its case and separators. */
export const named = (name: string) => eq(model.nameKey, nameKey(name));

/** A model's id by its name, for statements. */
export const modelIdOf = (name: string) =>
  sql`(select id from model where name_key = ${nameKey(name)})`;

/** Version n of a model. */
export const numbered = (name: string, number: number) =>
  and(named(name), eq(modelVersion.number, number));

/** Whether the caller may change a model's own settings, or a version that they made. */
export const ownsModel = (auth: Auth, owner: SQL | typeof model.userId = model.userId) =>
  auth.role === "admin" ? sql`true` : sql`${owner} = ${auth.userId}`;

export const noVersion = (name: string, number: number) =>
  notFound(`version ${number} of a model ${name}`);

/** Makes sure that the bucket still has a version's bytes. Throws ApiError 409. */
export async function requireBytes(c: Context<App>, { object, filename, size }: VersionRow) {
  const head = object?.state === "complete" ? await storeOf(c).head(object.objectKey) : null;
  if (head?.size !== size)
    throw new ApiError(
      409,
      "file-gone",
      `The bytes of ${filename} are not in the storage any more. Upload the file to its run again and make a new version of it.`,
    );
}
