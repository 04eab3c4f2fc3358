import { and, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import type { Config } from "../env.ts";
import { audit, briefly } from "../platform/audit/audit.ts";
import { writable } from "../platform/auth/access.ts";
import { roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { afterPlace } from "../platform/filter/compile.ts";
import { filterText, placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { encodeCursor, pageQuery } from "../platform/http/page.ts";
import { refuse } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { reindexTasks, type Searched } from "../platform/search/words.ts";
import { writableFields } from "./fields.ts";
import { listTasks, MOST_SCANNED, withinWeight } from "./queries.ts";
import { choiceName, chooseTasks, taskChoice, withWords } from "./select.ts";
import {
  cancelRuns,
  editRuns,
  isRequeuable,
  putBackRun,
  restoreRuns,
  trashRuns,
} from "./states.ts";

/** Tasks that one call changes: each is a row written, and its entry in the audit. */
const MOST_CHANGED = 500;
const MOST_TAGS = 100;

const which = {
  filter: filterText.optional(),
  q: taskChoice.q,
  ids: z.array(z.int().min(1)).min(1).max(1000).optional().describe("Only these tasks."),
  dry_run: z
    .boolean()
    .default(false)
    .describe("true: changes nothing and reports what would change."),
  expect: z
    .int()
    .min(0)
    .optional()
    .describe("`changed` of the dry run: if the number differs now, nothing changes (409)."),
  cursor: pageQuery.cursor,
};

const bulkBody = z.discriminatedUnion("action", [
  z.strictObject({ ...which, action: z.literal("tag"), tags: writableFields.tags }),
  z.strictObject({
    ...which,
    action: z.literal("untag"),
    tags: z.array(z.string().min(1).max(100)).min(1).max(MOST_TAGS).describe("Names of tags."),
  }),
  z.strictObject({
    ...which,
    action: z.literal("group"),
    group: writableFields.experiment_group.nullable().describe("null: removes the group."),
  }),
  z.strictObject({ ...which, action: z.enum(["cancel", "delete", "restore", "queue"]) }),
]);
type Bulk = z.infer<typeof bulkBody>;

const reasons = {
  "not-yours": "It belongs to someone else.",
  same: "It is so already.",
  running: "It is running: let it end, or cancel it first.",
  ended: "It has ended, so there is nothing to cancel.",
  succeeded: "It has ended in success, so there is nothing to run again.",
  full: "Its user has as many bytes in the database as there may be.",
  "too-many-tags": `It would have more than ${MOST_TAGS} tags.`,
  meanwhile: "It was changed by someone else at that moment.",
};
type Reason = keyof typeof reasons;
const isReason = (text: unknown): text is Reason => typeof text === "string" && text in reasons;

type Action = {
  /** Its name in the audit. */
  name: "task.update" | "task.cancel" | "task.delete" | "task.restore" | "task.requeue";
  detail: object;
  change: (
    where: SQL,
  ) => ReturnType<typeof editRuns> | ReturnType<typeof cancelRuns> | ReturnType<typeof putBackRun>;
  /** Its words in the full-text index. */
  searched?: Searched;
  /** Reasons to leave a task as it is; the answer names the first that holds. */
  leaves: Partial<Record<Reason, SQL>>;
};

/** The statements of an action. */
function actionOf(db: Db, body: Bulk, config: Config): Action {
  switch (body.action) {
    case "tag":
    case "untag": {
      // A merge patch sets what it names and takes away what it names null (RFC 7396).
      const patch =
        body.action === "tag"
          ? body.tags
          : Object.fromEntries(body.tags.map((name) => [name, null]));
      const patched = sql`json_patch(coalesce(tags, '{}'), ${JSON.stringify(patch)})`;
      return {
        name: "task.update",
        detail: { tags: patch },
        change: (where) => editRuns(db, where, { tags: patched }),
        searched: { tagsPatch: patch },
        leaves: {
          same: sql`${patched} = coalesce(tags, '{}')`,
          full: sql`not (${roomFor(config, sql`training_task.user_id`, {
            database_bytes: body.action === "tag" ? JSON.stringify(patch).length : 0,
          })})`,
          "too-many-tags": sql`(select count(*) from json_each(${patched})) > ${MOST_TAGS}`,
        },
      };
    }
    case "group":
      return {
        name: "task.update",
        detail: { experiment_group: body.group },
        change: (where) => editRuns(db, where, { experimentGroup: body.group }),
        searched: { experimentGroup: body.group },
        leaves: { same: sql`experiment_group is ${body.group}` },
      };
    case "cancel":
      return {
        name: "task.cancel",
        detail: {},
        change: (where) => cancelRuns(db, where),
        leaves: {
          ended: sql`status not in ('pending', 'running')`,
          same: sql`cancel_requested`,
        },
      };
    case "delete":
      return {
        name: "task.delete",
        detail: {},
        change: (where) => trashRuns(db, where),
        leaves: { running: sql`status = 'running'` },
      };
    case "restore":
      return {
        name: "task.restore",
        detail: {},
        change: (where) => restoreRuns(db, where),
        leaves: {},
      };
    case "queue":
      return {
        name: "task.requeue",
        detail: {},
        change: (where) => putBackRun(db, where, {}),
        leaves: {
          // A running task would be taken from its box: `requeue` does that to one that is named.
          running: sql`status = 'running'`,
          succeeded: sql`not (${isRequeuable})`,
          same: sql`status = 'pending' and queue_waiting is not null`,
          full: sql`not (${roomFor(config, sql`training_task.user_id`, { database_bytes: 0 })})`,
        },
      };
  }
}

/** Counts a whole choice, or as much of it as one call may look at, by why tasks are left. */
async function count(
  db: Db,
  { base, condition, after }: Record<"base" | "condition" | "after", SQL | undefined>,
  reason: SQL,
  most: number,
) {
  const candidates = sql`select id from training_task where ${and(base, after) ?? sql`true`}
    order by id desc limit ${most}`;
  const {
    counts,
    looked: [looked],
  } = await chain(db, {
    counts: db.all<{ reason: string | null; count: number; example: number }>(sql`
      select ${reason} as reason, count(*) as count, max(training_task.id) as example
      from (${candidates}) candidate
      cross join training_task on training_task.id = candidate.id
      left join task_config on task_config.task_id = training_task.id
      where ${condition ?? sql`true`} group by 1`),
    looked: db.all<{ scanned: number; last: number | null }>(
      sql`select count(*) as scanned, min(id) as last from (${candidates})`,
    ),
  });
  const more = looked && looked.scanned >= most;
  return { counts, resumeAt: more ? looked.last : null };
}

const skippedOf = (counts: { reason: string | null; count: number; example: number }[]) =>
  counts.flatMap(({ reason, count, example }) =>
    isReason(reason) ? [{ reason, why: reasons[reason], count, example }] : [],
  );

const sum = (counts: { count: number }[]) => counts.reduce((all, { count }) => all + count, 0);

export const bulk = new Hono<App>().post(
  "/bulk",
  describe({
    summary: "Change many tasks",
    description: `Tags, groups, cancels, deletes, restores or queues what a filter, words or a list of ids choose (together: what is in all of them). A call changes up to ${MOST_CHANGED} tasks and a dry run looks at ${MOST_SCANNED} (fewer where the filter asks for much of configurations): go on with \`next_cursor\` until it is null.`,
    tag: "Tasks",
    answer: {
      schema: z.object({
        matched: z.int().describe("Tasks that the filter chose in this call."),
        changed: z.int().describe("Number of these that changed (dry run: would change)."),
        skipped: z.array(
          z.object({
            reason: z.enum(Object.keys(reasons) as [Reason, ...Reason[]]), // Object.keys forgets which.
            why: z.string(),
            count: z.int(),
            example: z.int().describe("One of these tasks."),
          }),
        ),
        next_cursor: z.string().nullable(),
      }),
      description: "The result.",
      example: { matched: 12, changed: 12, skipped: [], next_cursor: null },
    },
    errors: {
      409: "The number of tasks to change differs from `expect`; nothing has changed.",
      422: "The body is not valid; nothing has changed.",
    },
  }),
  allow("tasks:write"),
  validate("json", bulkBody, ["cursor"]),
  async (c) => {
    const body = c.req.valid("json");
    const { filter, q, ids, dry_run, expect, cursor } = body;
    const { db, auth } = c.var;
    if (!filter?.trim() && !q?.trim() && !ids)
      throw notValid([
        {
          path: "filter",
          message: "is missing: name the tasks by a filter, by words (q) or by ids",
        },
      ]);
    const { name, detail, change, leaves, searched } = actionOf(db, body, c.var.config);
    const choice = { filter, q, deleted: body.action === "restore" };
    const chosen = chooseTasks(auth, choice);
    const { live, terms, words } = chosen;
    const named = ids && {
      sql: sql`training_task.id in (select value from json_each(${JSON.stringify(ids)}))`,
      column: "id",
    };
    const base = and(live, named?.sql);
    const condition = and(...terms.map((term) => term.sql));
    const list = await choiceName(`bulk ${ids ?? ""} ${body.action}`, choice);
    const place = placeOf(list, cursor, []);
    const reason = sql`case when not (${writable(auth)}) then 'not-yours' ${sql.join(
      Object.entries(leaves).map(([why, when]) => sql`when ${when} then ${why}`),
      sql` `,
    )} end`;
    const cursorAt = (id: number | null) => (id === null ? null : encodeCursor(list, [id]));

    if (dry_run || (expect !== undefined && !cursor)) {
      const after = place && afterPlace([], [], sql`id`, place[0]);
      const narrowed = words === null ? base : and(base, withWords(words));
      const most = withinWeight(MOST_SCANNED, chosen.weight);
      const among = { base: narrowed, condition, after };
      const { counts, resumeAt } = await count(db, among, reason, most);
      const changed = sum(counts.filter((row) => row.reason === null));
      if (expect !== undefined && resumeAt !== null)
        throw notValid([
          {
            path: "expect",
            message: `can be checked among ${most} tasks only, and there are more; leave it out, or narrow by ids`,
          },
        ]);
      if (expect !== undefined && changed !== expect)
        throw refuse(
          "number-changed",
          { changed, expected: expect },
          { extra: { matched: sum(counts), changed } },
        );
      if (dry_run)
        return c.json({
          ...{ matched: sum(counts), changed, skipped: skippedOf(counts) },
          next_cursor: cursorAt(resumeAt),
        });
    }

    const { rows, resumeAt } = await listTasks(
      db,
      {},
      {
        chosen: { ...chosen, terms: named ? [named, ...terms] : terms, order: [] },
        ...{ place, limit: MOST_CHANGED, fields: [reason] },
      },
    );
    const found = rows.slice(0, MOST_CHANGED).map(({ id, values: [why] }) => ({ id, why }));
    const chosenIds = found.filter(({ why }) => why === null).map(({ id }) => id);
    // All conditions once more in the statements that change: what happened meanwhile counts. But for
    // the words, whose index changes with the tags and groups that it holds.
    const still = sql`select training_task.id from training_task
      left join task_config on task_config.task_id = training_task.id
      where ${and(sql`training_task.id in (select value from json_each(${JSON.stringify(chosenIds)}))`, base, condition, sql`${reason} is null`)}`;
    const detailNoted = briefly({
      ...detail,
      filter: filter ?? null,
      q: q ?? null,
      by_ids: ids !== undefined,
    });
    const { changed } = await chain(db, {
      noted: audit(db, auth, name, still, detailNoted),
      indexed: searched && reindexTasks(db, sql`rowid in (${still})`, searched),
      changed: change(sql`id in (${still})`).returning({ id: trainingTask.id }),
    });
    const done = new Set(changed.map(({ id }) => id));
    const left = new Map<Reason, { reason: Reason; count: number; example: number }>();
    for (const { id, why } of found) {
      if (done.has(id)) continue;
      const key = isReason(why) ? why : "meanwhile";
      const known = left.get(key);
      left.set(key, { reason: key, count: (known?.count ?? 0) + 1, example: known?.example ?? id });
    }
    const last = rows.length > MOST_CHANGED ? (found.at(-1)?.id ?? null) : (resumeAt?.[0] ?? null);
    return c.json({
      ...{ matched: found.length, changed: done.size, skipped: skippedOf([...left.values()]) },
      next_cursor: cursorAt(last),
    });
  },
);
