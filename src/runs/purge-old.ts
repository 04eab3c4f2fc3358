import { sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { ago } from "../platform/db/time.ts";
import { forgetOpeningKeys } from "./attempts.ts";
import { forgetRegistrationKeys } from "./states.ts";

/** Datasets and tasks in one call; the next minute continues. */
const DATASETS_AT_ONCE = 200;
const TASKS_AT_ONCE = 500;

/**
 * Forgets the Idempotency-Keys of runs and attempts: in the order of runs, each looked at once, up
 * to the first that is too young.
 */
function forgetKeys(db: Db, days: number): Statement[] {
  const place = sql`coalesce((select place from purge_place where id = 1), 0)`;
  const next = sql`(
    select coalesce(min(iif(created_at >= ${ago(days, "days")} and import_source is null, id, null)) - 1, max(id), ${place})
    from (select id, created_at, import_source from training_task where id > ${place} order by id limit ${TASKS_AT_ONCE}))`;
  return [
    forgetRegistrationKeys(db, sql`id > ${place} and id <= ${next}`),
    forgetOpeningKeys(db, days, sql`task_id > ${place} and task_id <= ${next}`),
    db.run(sql`
      insert into purge_place (id, place) values (1, ${next})
      on conflict (id) do update set place = excluded.place where excluded.place > place`),
  ];
}

/** Statements that purge what is old of runs: their Idempotency-Keys, and facts about data that no run names any more. */
export const purgeOldOfRuns = (
  db: Db,
  { IDEMPOTENCY_DAYS, DATASETS_DAYS }: Config,
): Statement[] => [
  ...(IDEMPOTENCY_DAYS > 0 ? forgetKeys(db, IDEMPOTENCY_DAYS) : []),
  ...(DATASETS_DAYS > 0
    ? [
        db.run(sql`
          delete from dataset where id in (
            select id from dataset where links <= 0 and created_at < ${ago(DATASETS_DAYS, "days")} order by created_at limit ${DATASETS_AT_ONCE})
          and id < (select max(id) from dataset)`),
      ]
    : []),
];
