import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { audit } from "../platform/audit/audit.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { insertIf } from "../platform/db/insert.ts";
import { retentionRule, user } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { filterText } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { AT_ONCE, applyRule, compileRule, releasedBy, runsOf, sumUpReleased } from "./retention.ts";

/** Files that a dry run names. */
const MOST_NAMED = 100;

const wholeNumber = z.int().min(1).max(10_000);

const ruleBody = z
  .strictObject({
    kinds: z
      .array(z.enum(["checkpoint", "state", "sample"]))
      .min(1)
      .default(["checkpoint"])
      .describe("The kinds of files that the rule deletes. No rule deletes final files."),
    filter: filterText.optional().describe("The runs that the rule is about; default: all."),
    best: z
      .strictObject({
        count: wholeNumber,
        by: z.string().max(300).default("final_loss").describe("A field, named as in filters."),
        order: z.enum(["asc", "desc"]).default("asc").describe("asc: the lowest are the best."),
        per: z
          .enum(["group", "all"])
          .default("group")
          .describe("Whether to take the best of each experiment group, or of all."),
      })
      .optional()
      .describe("Keep the files of the best runs."),
    last: wholeNumber
      .optional()
      .describe("Keep this many of the last files of each kind in each run."),
    days: z
      .number()
      .min(0)
      .max(36_500)
      .optional()
      .describe("Keep files younger than this many days."),
  })
  .refine(
    (rule) => rule.best !== undefined || rule.last !== undefined || rule.days !== undefined,
    "says what is kept by best, last, days or several of them",
  )
  .meta({ id: "RetentionRule" });

const ruleAnswer = z.object({
  id: z.int(),
  name: z.string(),
  rule: ruleBody,
  active: z.boolean().describe("Whether the scheduled job applies the rule every day."),
  created_by: z.string(),
  last_run_at: z.string().nullable(),
  created_at: z.string(),
});

const columns = {
  id: retentionRule.id,
  name: retentionRule.name,
  rule: retentionRule.rule,
  active: retentionRule.active,
  createdBy: sql<string>`(select name from user where user.id = keep_rule.user_id)`,
  lastRunAt: retentionRule.lastRunAt,
  createdAt: retentionRule.createdAt,
};

const releasedAnswer = z.object({
  files: z.int(),
  bytes: z.int().describe("The bytes of these files."),
  frees: z.int().describe("Bytes that purging these files frees in the bucket: shared files stay."),
});

const nameField = z.string().trim().min(1).max(200);

export const rules = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a retention rule",
      description:
        "Such as `keep the checkpoints of the best 3 runs of each group by final_loss, and the last of every run`: {best: {count: 3}, last: 1}; or `checkpoints for 30 days`: {days: 30}. A rule deletes the files that none of its clauses keeps. It is about its maker's own runs; an admin's rule is about all. A rule does nothing until you apply it or make it active.",
      tag: "Storage",
      answer: { schema: ruleAnswer, description: "The rule." },
      errors: { 403: "`over-limit`: the user has the maximum number of rules." },
    }),
    allow("weights:write"),
    validate(
      "json",
      z.strictObject({ name: nameField, rule: ruleBody, active: z.boolean().default(false) }),
    ),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      compileRule(body.rule);
      const {
        made: [made],
      } = await chain(db, {
        inserted: db.run(
          insertIf(
            retentionRule,
            { ...body, userId: auth.userId },
            roomToMake(config, auth.userId, "rules"),
          ),
        ),
        noted: ifChanged("inserted", (changed) =>
          audit(db, auth, "rule.create", sql`select last_insert_rowid() as id where ${changed}`, {
            name: body.name,
            rule: body.rule,
            active: body.active,
          }),
        ),
        made: ifChanged("noted", (changed) =>
          db
            .select(columns)
            .from(retentionRule)
            .where(sql`keep_rule.id = (select max(id) from keep_rule) and ${changed}`),
        ),
      });
      if (!made) throw await noRoom(db, config, auth.userId, "rules");
      return c.json(toWire({ ...made, createdBy: auth.userName }));
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
        .from(retentionRule)
        .where(before === undefined ? undefined : lt(retentionRule.id, before))
        .orderBy(desc(retentionRule.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("rules", [last.id])));
    },
  )
  .delete(
    "/:id",
    describe({
      summary: "Delete a rule",
      description: "Files that the rule put into the trash stay there.",
      tag: "Storage",
      errors: { 404: "No such rule of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const {
        deleted: [deleted],
      } = await chain(db, {
        deleted: db
          .delete(retentionRule)
          .where(and(eq(retentionRule.id, id), owns(auth, retentionRule.userId)))
          .returning({ id: retentionRule.id }),
        noted: noteChange(db, auth, "deleted", "rule.delete", id),
      });
      if (!deleted) throw notFound("own-rule", { id: id });
      return c.body(null, 204);
    },
  )
  .get(
    "/:id/preview",
    describe({
      summary: "Preview a rule",
      description: "Changes nothing.",
      tag: "Storage",
      answer: {
        schema: releasedAnswer.extend({
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
      const whose = runsOf(found);
      const {
        sum: [sum],
        items,
      } = await chain(db, {
        sum: sumUpReleased(db, found.rule, whose),
        items: db.all<{ id: number; task_id: number; filename: string; size: number }>(
          sql`select g.id, g.task_id, g.filename, g.size from (${releasedBy(found.rule, whose)}) g order by g.id limit ${MOST_NAMED}`,
        ),
      });
      return c.json({ ...(sum ?? { files: 0, bytes: 0, frees: 0 }), items });
    },
  )
  .post(
    "/:id/apply",
    describe({
      summary: "Apply a rule now",
      description: `Puts the files that the rule does not keep into the trash, at most ${AT_ONCE}; \`more\` states that others are left. You can restore them until TRASH_DAYS have passed.`,
      tag: "Storage",
      answer: {
        schema: z.object({ deleted: z.int(), bytes: z.int(), more: z.boolean() }),
        description: "The files that went into the trash.",
      },
      errors: { 404: "No such rule of yours." },
    }),
    allow("weights:write"),
    validate("param", idParam),
    async (c) => {
      const { id } = c.req.valid("param");
      const { db, auth } = c.var;
      const found = await ruleOf(c.var, id);
      return c.json(await applyRule(db, auth, id, found.rule, runsOf(found)));
    },
  );

/** A rule of the caller's. Throws ApiError 404. */
async function ruleOf({ db, auth }: App["Variables"], id: number) {
  const [found] = await db
    .select({ rule: retentionRule.rule, userId: retentionRule.userId, role: user.role })
    .from(retentionRule)
    .innerJoin(user, eq(user.id, retentionRule.userId))
    .where(and(eq(retentionRule.id, id), owns(auth, retentionRule.userId)));
  if (!found) throw notFound("own-rule", { id: id });
  return found;
}
