import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { type Actor, audit, scheduledJob } from "../platform/audit/audit.ts";
import { owns } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import type { Role } from "../platform/auth/scopes.ts";
import { noRoom, roomToMake } from "../platform/bounds.ts";
import { batchOf } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { insertIf } from "../platform/db/insert.ts";
import { type KeepRule, keepRule, user } from "../platform/db/schema.ts";
import { ago, now } from "../platform/db/time.ts";
import { faultsOf, type JobFaults } from "../platform/faults.ts";
import { columnOf, filterToSql } from "../platform/filter/compile.ts";
import { explained, filterText } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { parseField } from "../shared/filter-grammar.ts";

/** Files that one application puts into the trash; the next goes on. */
const AT_ONCE = 500;
/** Files that a dry run names. */
const MOST_NAMED = 100;

const wholeNumber = z.int().min(1).max(10_000);

const keepRuleBody = z
  .strictObject({
    kinds: z
      .array(z.enum(["checkpoint", "state", "sample"]))
      .min(1)
      .default(["checkpoint"])
      .describe("Which files it is about. Final files no rule takes."),
    filter: filterText.optional().describe("Of which runs; without it, of all."),
    best: z
      .strictObject({
        count: wholeNumber,
        by: z.string().max(300).default("final_loss").describe("A field as filters name it."),
        order: z.enum(["asc", "desc"]).default("asc").describe("asc: the lowest are the best."),
        per: z
          .enum(["group", "all"])
          .default("group")
          .describe("Best of each experiment group, or of all."),
      })
      .optional()
      .describe("Keep the files of the best runs."),
    last: wholeNumber.optional().describe("Keep the last so many files of each kind in each run."),
    days: z
      .number()
      .min(0)
      .max(36_500)
      .optional()
      .describe("Keep files younger than so many days."),
  })
  .refine(
    (rule) => rule.best !== undefined || rule.last !== undefined || rule.days !== undefined,
    "says what is kept by best, last, days or several of them",
  )
  .meta({ id: "KeepRule" });

const ruleAnswer = z.object({
  id: z.int(),
  name: z.string(),
  rule: keepRuleBody,
  active: z.boolean().describe("Applied every day by the scheduled job."),
  created_by: z.string(),
  last_run_at: z.string().nullable(),
  created_at: z.string(),
});

const columns = {
  id: keepRule.id,
  name: keepRule.name,
  rule: keepRule.rule,
  active: keepRule.active,
  created_by: sql<string>`(select name from user where user.id = keep_rule.user_id)`,
  last_run_at: keepRule.lastRunAt,
  created_at: keepRule.createdAt,
};

const going = z.object({
  files: z.int(),
  bytes: z.int().describe("Of these files."),
  frees: z
    .int()
    .describe("Bytes that the bucket is rid of once they are purged: shared files stay."),
});

/** Runs a reader of the rule's own texts; mistakes are 422 with their position. */
const compileRule = (rule: KeepRule) => ({
  condition: rule.filter?.trim()
    ? explained("rule.filter", () => filterToSql(rule.filter ?? ""))
    : sql`true`,
  by: rule.best
    ? explained("rule.best.by", () => columnOf(parseField(rule.best?.by ?? "")).sql)
    : sql`null`,
});

/**
 * Weights that a rule lets go, as a query of id, object_id and size: complete files of its kinds, of
 * runs that have ended, that none of its clauses keeps and no model version stands on. `whose` is
 * the condition on the run.
 */
function goes(rule: KeepRule, whose: SQL): SQL {
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

/** What a rule would put into the trash, and what purging it would free. */
const summarise = (db: Db, rule: KeepRule, whose: SQL) =>
  db.all<{ files: number; bytes: number; frees: number }>(sql`
    with going as materialized (${goes(rule, whose)})
    select (select count(*) from going) as files, (select coalesce(sum(size), 0) from going) as bytes,
      (select coalesce(sum(o.size), 0) from stored_object o where o.id in (select object_id from going)
        and not exists (select 1 from weight x where x.object_id = o.id and x.state <> 'aborted' and x.deleted_at is null and x.id not in (select id from going))
        and not exists (select 1 from version_hold h where h.object_id = o.id)) as frees`);

/** Puts what a rule lets go into the trash, at most AT_ONCE files, each noted in the audit. */
async function apply(db: Db, actor: Actor, id: number, rule: KeepRule, whose: SQL) {
  const chosen = sql`select g.id from (${goes(rule, whose)}) g order by g.id limit ${AT_ONCE}`;
  const { gone } = await batchOf(db, {
    audit: audit(
      db,
      actor,
      "weight.tidy",
      sql`select w.id, w.task_id, w.filename from weight w where w.id in (${chosen})`,
      sql`json_object('task_id', changed.task_id, 'filename', changed.filename, 'keep_rule', ${id})`,
    ),
    gone: db.all<{ size: number }>(
      sql`update weight set deleted_at = ${now} where id in (${chosen}) returning size`,
    ),
    noted: db.run(sql`
      update keep_rule set last_run_at = iif(changes() < ${AT_ONCE}, ${now}, last_run_at) where id = ${id}`),
  });
  return {
    deleted: gone.length,
    bytes: gone.reduce((sum, { size }) => sum + size, 0),
    more: gone.length === AT_ONCE,
  };
}

/** The runs that a person's rule is about: their own, an admin's all. */
const runsOf = (userId: number, role: Role) => owns({ role, userId }, sql`training_task.user_id`);

/** Applies one active rule that has not been applied for a day; the next minute another. */
export async function applyKeepRules(
  db: Db,
  faults: JobFaults = faultsOf(db, "applyKeepRules"),
): Promise<void> {
  const [due] = await db
    .select({ id: keepRule.id, rule: keepRule.rule, userId: keepRule.userId, role: user.role })
    .from(keepRule)
    .innerJoin(user, eq(user.id, keepRule.userId))
    .where(
      and(
        eq(keepRule.active, true),
        eq(user.active, true),
        faults.sound(sql`${keepRule.id}`),
        sql`coalesce(${keepRule.lastRunAt}, '') < ${ago(1, "days")}`,
      ),
    )
    .orderBy(sql`coalesce(${keepRule.lastRunAt}, '')`)
    .limit(1);
  if (!due) return;
  const { id, rule, userId, role } = due;
  await faults.each([id], () => apply(db, scheduledJob, id, rule, runsOf(userId, role)));
}

const nameField = z.string().trim().min(1).max(200);

export const rules = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a rule of what to keep",
      description:
        "Such as `keep the checkpoints of the best 3 runs of each group by final_loss, and the last of every run`: {best: {count: 3}, last: 1}; or `checkpoints for 30 days`: {days: 30}. Whatever none of its clauses keeps may go. One's own runs; an admin's rule is about all. It does nothing until it is applied, or made active.",
      tag: "Storage",
      answer: { schema: ruleAnswer, description: "The rule." },
      errors: { 403: "`over-limit`: the user has as many of them as there may be." },
    }),
    allow("weights:write"),
    validate(
      "json",
      z.strictObject({ name: nameField, rule: keepRuleBody, active: z.boolean().default(false) }),
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      compileRule(body.rule);
      const [, , [made]] = await db.batch([
        db.run(
          insertIf(
            keepRule,
            { ...body, userId: auth.userId },
            roomToMake(config, auth.userId, "rules"),
          ),
        ),
        audit(db, auth, "rule.create", sql`select last_insert_rowid() as id where changes() = 1`, {
          name: body.name,
          rule: body.rule,
          active: body.active,
        }),
        db
          .select(columns)
          .from(keepRule)
          .where(sql`keep_rule.id = (select max(id) from keep_rule) and changes() = 1`),
      ]);
      if (!made) throw await noRoom(db, config, auth.userId, "rules");
      return c.json({ ...made, created_by: auth.userName });
    },
  )
  .get(
    "/",
    describe({
      summary: "List rules",
      tag: "Storage",
      answer: {
        schema: pageAnswer(ruleAnswer),
        description: "Newest first.",
      },
    }),
    allow("weights:read"),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { limit, cursor } = c.req.valid("query");
      const before = cursor ? decodeCursor("rules", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await c.var.db
        .select(columns)
        .from(keepRule)
        .where(before === undefined ? undefined : lt(keepRule.id, before))
        .orderBy(desc(keepRule.id))
        .limit(limit + 1);
      return c.json(page(rows, limit, (last) => encodeCursor("rules", [last.id])));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a rule",
      description: "What it put into the trash stays there.",
      tag: "Storage",
      errors: { 404: "No such rule of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const [[gone]] = await db.batch([
        db
          .delete(keepRule)
          .where(and(eq(keepRule.id, id), owns(auth, keepRule.userId)))
          .returning({ id: keepRule.id }),
        audit(db, auth, "rule.delete", sql`select ${id} as id where changes() = 1`),
      ]);
      if (!gone) throw notFound("own-rule", { id: id });
      return c.body(null, 204);
    },
  )
  .get(
    "/:id/preview",
    describe({
      summary: "What a rule would take",
      description: "Changes nothing.",
      tag: "Storage",
      answer: {
        schema: going.extend({
          items: z
            .array(z.object({ id: z.int(), task_id: z.int(), filename: z.string(), size: z.int() }))
            .describe(`The first ${MOST_NAMED}.`),
        }),
        description: "Files that would go into the trash now, and bytes that purging them frees.",
      },
      errors: { 404: "No such rule of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db } = c.var;
      const found = await ruleOf(c.var, id);
      const whose = runsOf(found.userId, found.role);
      const [[sum], items] = await db.batch([
        summarise(db, found.rule, whose),
        db.all<{ id: number; task_id: number; filename: string; size: number }>(
          sql`select g.id, g.task_id, g.filename, g.size from (${goes(found.rule, whose)}) g order by g.id limit ${MOST_NAMED}`,
        ),
      ]);
      return c.json({ ...(sum ?? { files: 0, bytes: 0, frees: 0 }), items });
    },
  )
  .post(
    "/:id/apply",
    describe({
      summary: "Apply a rule now",
      description: `Puts what it does not keep into the trash, ${AT_ONCE} files at most; \`more\` says that others are left. They can be restored until TRASH_DAYS have passed.`,
      tag: "Storage",
      answer: {
        schema: z.object({ deleted: z.int(), bytes: z.int(), more: z.boolean() }),
        description: "What went.",
      },
      errors: { 404: "No such rule of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const found = await ruleOf(c.var, id);
      return c.json(await apply(db, auth, id, found.rule, runsOf(found.userId, found.role)));
    },
  );

/** A rule of the caller's. Throws ApiError 404. */
async function ruleOf({ db, auth }: App["Variables"], id: number) {
  const [found] = await db
    .select({ rule: keepRule.rule, userId: keepRule.userId, role: user.role })
    .from(keepRule)
    .innerJoin(user, eq(user.id, keepRule.userId))
    .where(and(eq(keepRule.id, id), owns(auth, keepRule.userId)));
  if (!found) throw notFound("own-rule", { id: id });
  return found;
}
