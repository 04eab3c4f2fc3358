import { and, eq, type SQL, sql } from "drizzle-orm";
import { type Actor, audit, scheduledJob } from "../platform/audit/audit.ts";
import { owns } from "../platform/auth/access.ts";
import { chain, withChanges } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { type RetentionRule, retentionRule, user } from "../platform/db/schema.ts";
import { ago, now } from "../platform/db/time.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { columnOf, filterToSql } from "../platform/filter/compile.ts";
import { explainFaults } from "../platform/filter/request.ts";
import type { Auth } from "../platform/http/caller.ts";
import { parseField } from "../shared/filter-grammar.ts";

/** Files that one application puts into the trash; the next continues. */
export const AT_ONCE = 500;

/** Runs a reader of the rule's own texts; mistakes are 422 with their position. */
export const compileRule = (rule: RetentionRule) => ({
  condition: rule.filter?.trim()
    ? explainFaults("rule.filter", () => filterToSql(rule.filter ?? ""))
    : sql`true`,
  by: rule.best
    ? explainFaults("rule.best.by", () => columnOf(parseField(rule.best?.by ?? "")).sql)
    : sql`null`,
});

/**
 * Weights that a rule lets go, as a query of id, object_id and size: complete files of its kinds, of
 * runs that have ended, that none of its clauses keeps and no model version uses. `whose` is
 * the condition on the run.
 */
export function releasedBy(rule: RetentionRule, whose: SQL): SQL {
  const { condition, by } = compileRule(rule);
  const kinds = sql.join(
    rule.kinds.map((kind) => sql`${kind}`),
    sql`, `,
  );
  const scope = rule.best?.per === "all" ? sql`` : sql`partition by training_task.experiment_group`;
  const keeps = [
    rule.best ? sql`(c.value is not null and c.place <= ${rule.best.count})` : undefined,
    rule.last === undefined ? undefined : sql`c.nth <= ${rule.last}`,
    rule.days === undefined ? undefined : sql`c.created_at > ${ago(rule.days, "days")}`,
    sql`exists (select 1 from version_hold h where h.weight_id = c.id)`,
  ].filter((clause) => clause !== undefined);
  return sql`
    select c.id, c.object_id, c.size, c.task_id, c.filename from (
      select w.id, w.object_id, w.size, w.task_id, w.filename, w.created_at, ${by} as value,
        row_number() over (partition by w.task_id, w.kind order by w.attempt desc, coalesce(w.step, -1) desc, coalesce(w.epoch, -1) desc, w.id desc) as nth,
        dense_rank() over (${scope} order by ${by} is null, ${by} ${sql.raw(rule.best?.order ?? "asc")}, training_task.id) as place
      from weight w join training_task on training_task.id = w.task_id
        left join task_config on task_config.task_id = training_task.id
      where w.deleted_at is null and w.state = 'complete' and w.kind in (${kinds})
        and training_task.deleted_at is null and training_task.status in ('success', 'failed', 'cancelled')
        and ${whose} and ${condition}
    ) c where not (${sql.join(keeps, sql` or `)})`;
}

/** A statement that sums up what a rule would put into the trash, and what purging it would free. */
export const sumUpReleased = (db: Db, rule: RetentionRule, whose: SQL) =>
  db.all<{ files: number; bytes: number; frees: number }>(sql`
    with going as materialized (${releasedBy(rule, whose)})
    select (select count(*) from going) as files, (select coalesce(sum(size), 0) from going) as bytes,
      (select coalesce(sum(o.size), 0) from stored_object o where o.id in (select object_id from going)
        and not exists (select 1 from weight x where x.object_id = o.id and x.state <> 'aborted' and x.deleted_at is null and x.id not in (select id from going))
        and not exists (select 1 from version_hold h where h.object_id = o.id)) as frees`);

/** Puts what a rule lets go into the trash, at most AT_ONCE files, each noted in the audit. */
export async function applyRule(db: Db, actor: Actor, id: number, rule: RetentionRule, whose: SQL) {
  const chosen = sql`select g.id from (${releasedBy(rule, whose)}) g order by g.id limit ${AT_ONCE}`;
  const { trashed } = await chain(db, {
    noted: audit(
      db,
      actor,
      "weight.tidy",
      sql`select w.id, w.task_id, w.filename from weight w where w.id in (${chosen})`,
      sql`json_object('task_id', changed.task_id, 'filename', changed.filename, 'keep_rule', ${id})`,
    ),
    trashed: db.all<{ size: number }>(
      sql`update weight set deleted_at = ${now} where id in (${chosen}) returning size`,
    ),
    lastRun: withChanges("trashed", (count) =>
      db.run(sql`
        update keep_rule set last_run_at = iif(${count} < ${AT_ONCE}, ${now}, last_run_at) where id = ${id}`),
    ),
  });
  return {
    deleted: trashed.length,
    bytes: trashed.reduce((sum, { size }) => sum + size, 0),
    more: trashed.length === AT_ONCE,
  };
}

/** The runs that a person's rule is about: their own, an admin's all. */
export const runsOf = (whose: Pick<Auth, "userId" | "role">) =>
  owns(whose, sql`training_task.user_id`);

/** Applies one active retention rule that has not been applied for a day; the next minute another. */
export async function applyRetentionRules(
  db: Db,
  faults: JobFaults = faultsOf(db, "applyKeepRules"),
): Promise<void> {
  const [due] = await db
    .select({
      id: retentionRule.id,
      rule: retentionRule.rule,
      userId: retentionRule.userId,
      role: user.role,
    })
    .from(retentionRule)
    .innerJoin(user, eq(user.id, retentionRule.userId))
    .where(
      and(
        eq(retentionRule.active, true),
        eq(user.active, true),
        faults.sound(sql`${retentionRule.id}`),
        sql`coalesce(${retentionRule.lastRunAt}, '') < ${ago(1, "days")}`,
      ),
    )
    .orderBy(sql`coalesce(${retentionRule.lastRunAt}, '')`)
    .limit(1);
  if (!due) return;
  const { id, rule } = due;
  await faults.each([id], () => applyRule(db, scheduledJob, id, rule, runsOf(due)));
}
