import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import * as z from "zod";
import { storeOf } from "../files/bucket/open.ts";
import { owns } from "../platform/auth/access.ts";
import { requireScopes } from "../platform/auth/middleware.ts";
import type { Db } from "../platform/db/client.ts";
import {
  model,
  modelVersion,
  storedObject,
  verifications,
  versionStates,
} from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import type { Scope } from "../shared/scopes.ts";
import { nameKey } from "./names.ts";

export const shaAnswer = z
  .enum(["verified", "announced"])
  .describe(
    "Whether somebody besides the uploader computed the SHA-256 over the bytes. `announced`: compute the hash of the download to find out.",
  );

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
    sha256_is: shaAnswer,
    verified: z
      .enum(verifications)
      .nullable()
      .describe(
        "The check that the file passed: `sha256` compared its bytes with that hash; `parts` compared them with MD5s that the uploader gave, so nothing was lost on the way; `size` compared their number.",
      ),
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
    released_at: z.string().nullable().describe("When the version first carried `production`."),
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
  weightId: modelVersion.weightId,
  taskId: modelVersion.taskId,
  filename: modelVersion.filename,
  size: modelVersion.size,
  sha256: modelVersion.sha256,
  sha256Is: sql<
    "verified" | "announced"
  >`iif(${storedObject.verified} = 'sha256', 'verified', 'announced')`,
  verified: storedObject.verified,
  rank: storedObject.rank,
  alpha: storedObject.alpha,
  algorithm: storedObject.algorithm,
  baseArch: storedObject.baseArch,
  notes: modelVersion.notes,
  license: sql<string | null>`coalesce(${modelVersion.license}, ${model.license})`,
  createdBy: userName(sql`model_version.user_id`),
  submittedBy: userName(sql`model_version.submitted_by`).mapWith((name: string | null) => name),
  createdAt: modelVersion.createdAt,
  submittedAt: modelVersion.submittedAt,
  approvedAt: modelVersion.approvedAt,
  releasedAt: modelVersion.releasedAt,
  updatedAt: modelVersion.updatedAt,
  // Facts that answers depend on but do not contain.
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

/** A version as the API answers it. */
export const toVersion = ({
  row: _,
  object: __,
  ...version
}: VersionRow): z.infer<typeof versionAnswer> => toWire(version);

/** The model of a name, whatever its case and separators. */
export const hasName = (name: string) => eq(model.nameKey, nameKey(name));

/** A model's id by its name, for statements. */
export const modelIdOf = (name: string) =>
  sql`(select id from model where name_key = ${nameKey(name)})`;

/** Version n of a model. */
export const hasNumber = (name: string, number: number) =>
  and(hasName(name), eq(modelVersion.number, number));

/** Whether the caller may change a model's own settings, or a version that they made. */
export const ownsModel = (auth: Auth, owner: SQL | typeof model.userId = model.userId) =>
  owns(auth, owner);

/**
 * Refuses more of versions that were never approved than their entries, unless the caller holds
 * `scopes`, or decides on them while they are in review. An approval opens a version to all who read
 * models. Throws ApiError 403.
 */
export function requireSight(
  auth: Auth,
  scopes: readonly Scope[],
  ...versions: Pick<VersionRow, "model" | "version" | "state" | "approvedAt">[]
) {
  for (const { model: name, version, state, approvedAt } of versions) {
    if (approvedAt !== null) continue;
    if (state === "in_review" && auth.scopes.has("models:approve")) continue;
    requireScopes(auth, scopes, { model: name, version });
  }
}

export const noVersion = (name: string, number: number) =>
  notFound("version", { version: number, model: name });

/** Makes sure that the bucket still has a version's bytes. Throws ApiError 409. */
export async function requireBytes(c: Context<App>, { object, filename, size }: VersionRow) {
  const head = object?.state === "complete" ? await storeOf(c).head(object.objectKey) : null;
  if (head?.size !== size) throw refuse("file-gone", { filename });
}
