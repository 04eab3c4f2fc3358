/*
 * Experiments: groups of runs. A trigger makes the row of a group's first run; MLflow's clients make, rename,
 * delete and restore them too.
 */
import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { audit } from "../../platform/audit/audit.ts";
import { writable } from "../../platform/auth/access.ts";
import { chain, ifChanged } from "../../platform/db/batch.ts";
import { experiment } from "../../platform/db/schema.ts";
import { now } from "../../platform/db/time.ts";
import type { App } from "../../platform/http/context.ts";
import { reindexTasks } from "../../platform/search/words.ts";
import { editRuns, restoreRuns, trashRuns } from "../../runs/states.ts";
import { runFields } from "../../shared/run-fields.ts";
import { invalid } from "./body.ts";
import { noExperiment } from "./create.ts";
import { MlflowError, runIdOf } from "./form.ts";
import { trashRun } from "./states.ts";
import { readHeld } from "./write.ts";

export const MOST_NAME = runFields.experiment_group.longest;

/** Runs of an experiment that a rename, a deletion or a restoration moves in one call. */
const MOST_MOVED = 2000;
/** Runs under way that a deletion ends. */
const MOST_ENDED = 20;

type Row = typeof experiment.$inferSelect;

/** An experiment in MLflow's form. */
export const experimentOf = (row: Row) => ({
  experiment_id: String(row.id),
  name: row.name,
  artifact_location: `mlflow-artifacts:/${row.id}`,
  lifecycle_stage: row.deletedAt === null ? "active" : "deleted",
  creation_time: Date.parse(row.createdAt),
  last_update_time: Date.parse(row.updatedAt),
  tags: Object.entries(row.tags).map(([key, value]) => ({ key, value })),
});

/** The row of an id. Throws MlflowError. */
async function rowOf(c: Context<App>, id: string): Promise<Row> {
  const number = /^\d{1,15}$/.test(id) ? Number(id) : -1;
  const [row] = await c.var.db.select().from(experiment).where(eq(experiment.id, number));
  if (!row) throw noExperiment(id.slice(0, 100));
  return row;
}

export const experimentById = async (c: Context<App>, id: string) =>
  experimentOf(await rowOf(c, id));

export async function experimentByName(c: Context<App>, name: string) {
  const [row] = await c.var.db.select().from(experiment).where(eq(experiment.name, name));
  return row ? experimentOf(row) : null;
}

const taken = (name: string, deleted: boolean) =>
  new MlflowError(
    "RESOURCE_ALREADY_EXISTS",
    `Experiment(name=${name}) already exists.${deleted ? " It is deleted: restore it, or choose another name." : ""}`,
  );

/** Makes an experiment: its number. Throws MlflowError where the name is taken, also by a deleted one. */
export async function createExperiment(
  c: Context<App>,
  name: string,
  tags: Record<string, string>,
): Promise<number> {
  const { db, auth } = c.var;
  const {
    made: [made],
    there: [there],
  } = await chain(db, {
    made: db
      .insert(experiment)
      .values({ name, userId: auth.userId, tags })
      .onConflictDoNothing()
      .returning({ id: experiment.id }),
    there: db.select().from(experiment).where(eq(experiment.name, name)),
  });
  if (!made) throw taken(name, there?.deletedAt !== null);
  return made.id;
}

/** Whether the caller may change an experiment: its maker, an admin, or anybody where the first run of a group made it. */
const mayChange = (c: Context<App>, row: Row): boolean =>
  c.var.auth.role === "admin" || row.userId === null || row.userId === c.var.auth.userId;

function requireChange(c: Context<App>, row: Row) {
  if (!mayChange(c, row))
    throw new MlflowError("PERMISSION_DENIED", `Experiment ${row.id} belongs to someone else.`);
}

const requireNamed = (row: Row, what: string) => {
  if (row.id === 0)
    throw invalid(`The experiment 0 holds the runs without a group; it cannot be ${what}.`);
};

type Members = { count: number; others: number; running: number };

/** How many runs an experiment has, as far as one call goes; `others` are not the caller's. */
async function membersOf(c: Context<App>, row: Row, live: SQL): Promise<Members> {
  const { db, auth } = c.var;
  const [members] = await db.all<Members>(sql`
    select count(*) as count, coalesce(sum(other), 0) as others, coalesce(sum(running), 0) as running from (
      select not ${writable(auth)} as other, status = 'running' as running from training_task
      where experiment_group = ${row.name} and ${live} limit ${MOST_MOVED + 1})`);
  const found = members ?? { count: 0, others: 0, running: 0 };
  if (found.count > MOST_MOVED)
    throw invalid(
      `Experiment ${row.id} has more than ${MOST_MOVED} runs, the most that one call changes. Move or delete runs first.`,
    );
  if (found.others > 0)
    throw new MlflowError(
      "PERMISSION_DENIED",
      `Experiment ${row.id} has runs of other people; an admin can change it.`,
    );
  return found;
}

/** Gives an experiment another name, and its runs the group. Throws MlflowError. */
export async function renameExperiment(c: Context<App>, id: string, name: string) {
  const { db, auth } = c.var;
  const row = await rowOf(c, id);
  requireNamed(row, "renamed");
  if (row.deletedAt !== null)
    throw invalid(
      `The experiment ${row.id} must be in the 'active' state. Current state is deleted.`,
    );
  if (name === row.name) return;
  requireChange(c, row);
  await membersOf(c, row, sql`true`);
  const [other] = await db.select().from(experiment).where(eq(experiment.name, name));
  if (other) throw taken(name, other.deletedAt !== null);
  const ids = await db.all<{ id: number }>(
    sql`select id from training_task where experiment_group = ${row.name} and ${writable(auth)} limit ${MOST_MOVED}`,
  );
  const list = JSON.stringify(ids.map((one) => one.id));
  const these = sql`id in (select value from json_each(${list}))`;
  const { renamed } = await chain(db, {
    renamed: db
      .update(experiment)
      .set({ name, updatedAt: now })
      .where(
        and(
          eq(experiment.id, row.id),
          eq(experiment.name, row.name),
          sql`not exists (select 1 from experiment o where o.name = ${name})`,
        ),
      ),
    moved: ifChanged("renamed", (changed) =>
      editRuns(
        db,
        sql`${these} and experiment_group = ${row.name} and ${writable(auth)} and ${changed}`,
        {
          experimentGroup: name,
        },
      ),
    ),
    noted:
      ids.length > 0 &&
      audit(
        db,
        auth,
        "task.update",
        sql`select id from training_task where ${these} and experiment_group = ${name}`,
        { experiment_group: name },
      ),
    indexed: reindexTasks(db, sql`rowid in (select value from json_each(${list}))`, {
      experimentGroup: name,
    }),
  });
  if (renamed.rowsAffected === 0) throw taken(name, false);
}

/** Marks an experiment as deleted and puts its runs into the trash. Throws MlflowError. */
export async function deleteExperiment(c: Context<App>, id: string) {
  const { db, auth } = c.var;
  const row = await rowOf(c, id);
  requireNamed(row, "deleted");
  if (row.deletedAt !== null) throw noExperiment(id);
  requireChange(c, row);
  const { running } = await membersOf(c, row, sql`deleted_at is null`);
  if (running > MOST_ENDED)
    throw invalid(
      `Experiment ${row.id} has ${running} runs under way; end all but ${MOST_ENDED} of them first.`,
    );
  const under = running
    ? await db.all<{ id: number }>(
        sql`select id from training_task where experiment_group = ${row.name} and status = 'running' and deleted_at is null limit ${MOST_ENDED}`,
      )
    : [];
  await db
    .update(experiment)
    .set({ deletedAt: now, updatedAt: now })
    .where(eq(experiment.id, row.id));
  for (const run of under) await trashRun(c, await readHeld(c, runIdOf(run.id)));
  const where = sql`experiment_group = ${row.name} and deleted_at is null and status <> 'running' and ${writable(auth)}`;
  await chain(db, {
    noted: audit(db, auth, "task.delete", sql`select id from training_task where ${where}`),
    trashed: trashRuns(db, where),
  });
}

/** Restores an experiment, and the runs that were deleted with it or since. Throws MlflowError. */
export async function restoreExperiment(c: Context<App>, id: string) {
  const { db, auth } = c.var;
  const row = await rowOf(c, id);
  if (row.deletedAt === null) {
    if (row.id === 0) return;
    throw noExperiment(id);
  }
  requireChange(c, row);
  const since = sql`deleted_at >= ${row.deletedAt}`;
  await membersOf(c, row, since);
  const where = sql`experiment_group = ${row.name} and ${since} and ${writable(auth)}`;
  await chain(db, {
    restored: db
      .update(experiment)
      .set({ deletedAt: null, updatedAt: now })
      .where(eq(experiment.id, row.id)),
    noted: audit(db, auth, "task.restore", sql`select id from training_task where ${where}`),
    runs: restoreRuns(db, where),
  });
}

/** Bytes of an experiment's tags. */
const MOST_TAGS = 100_000;

/** Sets an experiment's tags; null takes one away. Throws MlflowError. */
export async function setExperimentTag(
  c: Context<App>,
  id: string,
  tags: Record<string, string | null>,
) {
  const row = await rowOf(c, id);
  if (row.deletedAt !== null)
    throw invalid(
      `The experiment ${row.id} must be in the 'active' state. Current state is deleted.`,
    );
  requireChange(c, row);
  const text = JSON.stringify(tags);
  if (JSON.stringify(row.tags).length + text.length > MOST_TAGS)
    throw invalid(
      `Experiment ${row.id} has as many tags as the ledger keeps of one (${MOST_TAGS} bytes).`,
    );
  await c.var.db
    .update(experiment)
    .set({ tags: sql`json_patch(tags, ${text})`, updatedAt: now })
    .where(and(eq(experiment.id, row.id), isNull(experiment.deletedAt)));
}
