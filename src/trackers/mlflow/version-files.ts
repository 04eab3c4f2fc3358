/*
 * The files of a registered version. MLflow registers a folder, and clients fetch that folder again by the
 * version: its list is kept as it was at the registration, so that a file that somebody logs there later
 * changes no version, and no approval.
 */
import { and, eq, sql } from "drizzle-orm";
import type { Context } from "hono";
import { hasNumber, noVersion, requireSight, selectVersions } from "../../models/queries.ts";
import { requireScopes } from "../../platform/auth/middleware.ts";
import { registryRecord } from "../../platform/db/schema.ts";
import type { App } from "../../platform/http/context.ts";
import { refuse } from "../../platform/http/problem.ts";

/** Files of one version at the most. */
export const MOST_FILES = 1000;

/** A file of a version: its path below the folder, and the weight. */
export type VersionFile = { path: string; weight: number };

export type StoredFile = VersionFile & {
  size: number;
  filename: string;
  object: { objectKey: string; mediaType: string | null };
};

/**
 * A version and its files that the bucket still has, for callers who read models; boxes do not. Throws ApiError
 * 403, 404.
 */
export async function readVersionFiles(c: Context<App>, name: string, number: number) {
  const { db, auth } = c.var;
  if (auth.box) throw refuse("not-allowed", { case: "box" });
  requireScopes(auth, ["models:read"]);
  const [row] = await selectVersions(db, hasNumber(name, number));
  if (!row) throw noVersion(name, number);
  requireSight(auth, ["tasks:read", "weights:read"], row);
  const [kept] = await db
    .select({ record: registryRecord.record })
    .from(registryRecord)
    .where(and(eq(registryRecord.modelId, row.row.modelId), eq(registryRecord.number, number)));
  const files = kept?.record.files as VersionFile[] | undefined;
  const own = { path: row.filename.slice(row.filename.lastIndexOf("/") + 1), weight: row.weightId };
  const stored = await db.all<{
    path: string;
    weight: number;
    size: number;
    filename: string;
    object_key: string;
    media_type: string | null;
  }>(sql`
    select f.value ->> 'path' as path, w.id as weight, w.size, w.filename, o.object_key, o.media_type
    from json_each(${JSON.stringify(files ?? [own])}) f
      join weight w on w.id = f.value ->> 'weight' join stored_object o on o.id = w.object_id
    where o.state = 'complete' order by 1`);
  return {
    version: row,
    files: stored.map(
      ({ object_key, media_type, ...file }): StoredFile => ({
        ...file,
        object: { objectKey: object_key, mediaType: media_type },
      }),
    ),
  };
}

/** The entries of a folder among files, as listFolder() gives those of a run. */
export function entriesOf(files: readonly StoredFile[], folder: string) {
  const found = new Map<string, { name: string; isFolder: boolean; size: number }>();
  for (const { path, size } of files) {
    if (!path.startsWith(folder)) continue;
    const [name = "", ...more] = path.slice(folder.length).split("/");
    if (!found.has(name)) found.set(name, { name, isFolder: more.length > 0, size });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
