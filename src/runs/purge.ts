import { getTableName, type SQL, sql } from "drizzle-orm";
import type { Bindings, Config } from "../env.ts";
import { openStore } from "../files/bucket/open.ts";
import type { Store } from "../files/bucket/store.ts";
import { collectFilesOf, collectTrashedFiles, findTrashedFiles } from "../files/collect.ts";
import { audit, scheduledJob } from "../platform/audit/audit.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import {
  logChunk,
  loggedModel,
  metricSummary,
  mirrorRun,
  taskAttempt,
  taskDataset,
  taskDependency,
  trackerRun,
} from "../platform/db/schema.ts";
import { ago } from "../platform/db/time.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { deleteRuns, postponePurge } from "./states.ts";

/**
 * What may refer to the task `t`, each a condition that holds while it does. A child that is itself
 * in the trash counts, since it can be restored.
 */
const references: SQL[] = [
  sql`exists (select 1 from training_task c where c.parent_task_id = t.id)`,
  sql`exists (select 1 from task_dependency d where d.depends_on = t.id)`,
  sql`exists (select 1 from version_hold h where h.task_id = t.id)`,
  // The samples that a decision was based on are of the version's own run.
  sql`exists (select 1 from model_version v join review_sample s on s.version_id = v.id where v.task_id = t.id)`,
];

/** Whether nothing refers to the task `t`: only then may it be purged. */
const unreferenced = sql`not (${sql.join(references, sql` or `)})`;

/**
 * Tables whose rows go with their task, by `task_id` and the rest of their key, and how many rows of
 * each one call takes away.
 */
export const belongings = [
  // A chunk holds up to 128 kB of points.
  { table: logChunk, key: "attempt, chunk", most: 200 },
  { table: metricSummary, key: "metric", most: 500 },
  { table: taskAttempt, key: "attempt", most: 100 },
  { table: taskDataset, key: "dataset_id, name", most: 200 },
  { table: taskDependency, key: "depends_on", most: 200 },
  { table: trackerRun, key: "tracker", most: 10 },
  { table: loggedModel, key: "id", most: 200 },
  { table: mirrorRun, key: "mirror_id", most: 200 },
];

const TASKS_AT_ONCE = 20;

/**
 * Purges what has been in the trash for TRASH_DAYS, unless something refers to it: that is looked
 * at again a day later. A task and its settings go at once, noted in the audit, so that nobody can
 * restore half a run; its other rows and its objects follow within bounds, call by call. Files deleted
 * by themselves go likewise. Bytes that another weight shares stay. One round trip where nothing is
 * due, five at most.
 */
export async function emptyTrash(
  db: Db,
  env: Bindings,
  config: Config,
  faults: JobFaults = faultsOf(db, "emptyTrash"),
): Promise<void> {
  const store = openStore({ db, env, config, base: "" });
  const longAgo = ago(config.TRASH_DAYS, "days");
  const among = (ids: number[]) => sql`(select value from json_each(${JSON.stringify(ids)}))`;
  // As the index training_task_purge has it.
  const since = sql`case when trash_since > deleted_at then trash_since else deleted_at end`;
  const ids = (rows: { id: number }[]) => rows.map(({ id }) => id);
  const { due, withFiles, begun } = await chain(db, {
    due: db.all<{ id: number }>(sql`
      select id from training_task where deleted_at is not null and (${since}) < ${longAgo}
        and ${faults.sound(sql`id`)}
      order by ${since} limit ${TASKS_AT_ONCE}`),
    // A fault of a file is noted by its run's id, as all of this job are.
    withFiles: findTrashedFiles(db, longAgo, faults.sound),
    begun: db.all<{ id: number }>(
      sql`select task_id as id from purged_task where ${faults.sound(sql`task_id`)} order by task_id limit 1`,
    ),
  });
  await faults.each(ids(due), (part) =>
    purgeTasks(db, among(part), ago(config.TRASH_DAYS - 1, "days")),
  );
  // Rows of one run at a time: of the one that was begun, or else of one that was purged just now.
  const oldest =
    begun.length > 0 || due.length === 0
      ? begun
      : await db.all<{ id: number }>(sql`
          select task_id as id from purged_task where ${faults.sound(sql`task_id`)} order by task_id limit 1`);
  await faults.each(ids(oldest), ([id = 0]) => purgeBelongings(db, store, id));
  await faults.each(ids(withFiles), (part) => collectTrashedFiles(db, store, among(part), longAgo));
}

/** Purges tasks that nothing refers to, with their settings; the others wait until `again`. */
function purgeTasks(db: Db, due: SQL, again: SQL) {
  const purged = sql`select task_id from purged_task where task_id in ${due}`;
  return chain(db, {
    purged: db.run(sql`
      insert into purged_task (task_id)
      select t.id from training_task t where t.id in ${due} and t.deleted_at is not null and ${unreferenced}`),
    noted: audit(
      db,
      scheduledJob,
      "task.purge",
      sql`select t.id, t.task_name, t.user_id, t.deleted_at from purged_task p join training_task t on t.id = p.task_id
        where p.task_id in ${due}`,
      sql`json_object('task_name', changed.task_name, 'user_id', changed.user_id, 'deleted_at', changed.deleted_at)`,
    ),
    postponed: postponePurge(db, sql`id in ${due} and id not in (${purged})`, again),
    configs: db.run(sql`delete from task_config where task_id in (${purged})`),
    runs: deleteRuns(db, sql`id in (${purged})`),
  });
}

/** Takes away what is left of a purged task, as much as one call may. */
function purgeBelongings(db: Db, store: Store, taskId: number) {
  const left = [...belongings.map(({ table }) => getTableName(table)), "weight"].map(
    (name) => sql`exists (select 1 from ${sql.identifier(name)} where task_id = ${taskId})`,
  );
  return chain(db, {
    belongings: belongings.map(({ table, key, most }) =>
      db.run(sql`
        delete from ${table} where task_id = ${taskId} and (${sql.raw(key)}) in (
          select ${sql.raw(key)} from ${table} where task_id = ${taskId} limit ${most})`),
    ),
    ...collectFilesOf(db, store, taskId),
    finished: db.run(sql`
      delete from purged_task where task_id = ${taskId} and not (${sql.join(left, sql` or `)})`),
  });
}
