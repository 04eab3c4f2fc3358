/* The files of a run as a tree of folders, of which each name shows its newest file alone. */
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { audit } from "../platform/audit/audit.ts";
import { readable, writable } from "../platform/auth/access.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask, weight } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { ofTask, selectWeights } from "./answers.ts";
import type { PointAtFinal } from "./final.ts";
import { handedTo } from "./uploaders.ts";

/** The name is below a folder, which ends with a slash; every name is below the empty one. */
const isBelow = (folder: string): SQL =>
  sql`substr(${weight.filename}, 1, ${folder.length}) = ${folder}`;

/** The condition that a file of a run may be seen and is complete. */
const shown = (auth: Auth, taskId: number) =>
  and(
    eq(weight.taskId, taskId),
    sql`${weight.state} = 'complete' and ${weight.deletedAt} is null`,
    handedTo(auth),
    ofTask(and(readable(auth), sql`${trainingTask.deletedAt} is null`)),
  );

/** The first `limit` entries of a folder of a run, by name: files with their sizes, and the folders in it. */
export async function listFolder(
  db: Db,
  auth: Auth,
  { taskId, folder, limit }: { taskId: number; folder: string; limit: number },
) {
  const rest = sql`substr(${weight.filename}, ${folder.length + 1})`;
  const slash = sql`instr(${rest}, '/')`;
  const rows = await db.all<{ name: string; is_dir: number; size: number; last: string }>(sql`
    select iif(${slash} > 0, substr(${rest}, 1, ${slash} - 1), ${rest}) as name, ${slash} > 0 as is_dir,
      size, max(completed_at || printf('%020d', id)) as last
    from weight where ${and(shown(auth, taskId), isBelow(folder))} and ${rest} <> ''
    group by 1, 2 order by 1, 2 limit ${limit}`);
  return rows.map(({ name, is_dir, size }) => ({ name, isFolder: is_dir === 1, size }));
}

/** The newest complete file of that name of a run. */
export async function findFile(db: Db, auth: Auth, taskId: number, filename: string) {
  const [row] = await selectWeights(db, and(shown(auth, taskId), eq(weight.filename, filename)))
    .orderBy(sql`weight.completed_at desc, weight.id desc`)
    .limit(1);
  return row ?? null;
}

/** The newest files below a folder of a run, the folders in it included, by name. */
export const filesBelow = (
  db: Db,
  auth: Auth,
  { taskId, folder, limit }: { taskId: number; folder: string; limit: number },
) =>
  db.all<{ id: number; filename: string; size: number; last: string }>(sql`
    select id, filename, size, max(completed_at || printf('%020d', id)) as last
    from weight where ${and(shown(auth, taskId), isBelow(folder))}
    group by filename order by filename limit ${limit}`);

/** Files that one call moves into the trash. */
const TRASHED_AT_ONCE = 1000;

/**
 * Moves every file of that name of a run, and those in the folder of that name, into the trash. Answers with
 * how many, and whether others are left.
 */
export async function trashFolder(
  c: Context<App>,
  pointAtFinal: PointAtFinal,
  taskId: number,
  name: string,
) {
  const { db, auth } = c.var;
  const chosen = and(
    eq(weight.taskId, taskId),
    sql`${weight.state} = 'complete' and ${weight.deletedAt} is null`,
    sql`(${weight.filename} = ${name} or ${isBelow(`${name}/`)})`,
    ofTask(and(writable(auth), sql`${trainingTask.deletedAt} is null`)),
  );
  const ids = sql`select id from weight where ${chosen} order by id limit ${TRASHED_AT_ONCE}`;
  const [last] = await db
    .select({ at: trainingTask.weightsPath })
    .from(trainingTask)
    .where(eq(trainingTask.id, taskId));
  const { trashed, left } = await chain(db, {
    noted: audit(db, auth, "weight.delete", ids, { task_id: taskId, below: name }),
    trashed: db.all<{ id: number }>(
      sql`update weight set deleted_at = ${now} where id in (${ids}) returning id`,
    ),
    final: pointAtFinal(db, taskId, last?.at ?? null),
    left: db.all<{ id: number }>(sql`select id from weight where ${chosen} limit 1`),
  });
  return { trashed: trashed.length, left: left.length > 0 };
}
