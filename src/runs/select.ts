import { isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import { statuses, trainingTask } from "../platform/db/schema.ts";
import {
  filterTerms,
  type Order,
  parseOrder,
  type Term,
  weightOf,
} from "../platform/filter/compile.ts";
import { explainFaults, filterText, orderText } from "../platform/filter/request.ts";
import type { Auth } from "../platform/http/caller.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { flag } from "../platform/http/params.ts";
import { toMatchQuery } from "../platform/search/words.ts";

/** How a request says which tasks it means, and in which order. */
export const taskChoice = {
  filter: filterText.optional(),
  order_by: orderText.optional(),
  q: z
    .string()
    .max(500)
    .optional()
    .describe(
      "Words that names, groups, notes, tags or sample prompts contain, all of them; the beginning of a word is enough, and text in double quotes must match exactly. Newest first without order_by.",
    ),
  status: z.enum(statuses).optional(),
  user: z.string().max(100).optional().describe("A user's name, or `me`."),
  deleted: flag().default(false).describe("true: the trash instead of what is live."),
};
export type TaskChoice = z.infer<z.ZodObject<typeof taskChoice>>;

const newest: Order = {
  column: sql`training_task.created_at`,
  descending: true,
  missing: false,
  name: "created_at",
};
const lastDeleted: Order = {
  ...newest,
  column: sql`training_task.deleted_at`,
  name: "deleted_at",
};

/** The tasks that a request means: all of these hold. */
export type Chosen = {
  /** The trash instead of what is live. */
  deleted: boolean;
  live: SQL;
  terms: Term[];
  words: string | null;
  order: Order[];
  /** The cost of its filter for one task, as `weightOf` counts it. */
  weight: number;
};

/** A choice as SQL. Throws ApiError 422. */
export function chooseTasks(auth: Pick<Auth, "userId">, choice: TaskChoice): Chosen {
  const { filter, order_by, q, status, user, deleted } = choice;
  const terms: Term[] = [];
  if (status)
    terms.push({
      sql: sql`training_task.status = ${status}`,
      column: "status",
      equals: status,
    });
  if (user !== undefined)
    terms.push({
      sql:
        user === "me"
          ? sql`training_task.user_id = ${auth.userId}`
          : sql`training_task.user_id = (select id from user where name = ${user})`,
      column: "user_id",
      equals: user,
    });
  let weight = 0;
  if (filter?.trim())
    explainFaults("filter", () => {
      weight = weightOf(filter);
      terms.push(...filterTerms(filter));
    });
  const words = q?.trim() ? toMatchQuery(q) : null;
  return {
    deleted,
    live: deleted ? isNotNull(trainingTask.deletedAt) : isNull(trainingTask.deletedAt),
    terms,
    words,
    weight,
    // The index of words is ordered by id, newest first, and by nothing else.
    order: order_by?.trim()
      ? explainFaults("order_by", () => parseOrder(order_by))
      : words !== null
        ? []
        : [deleted ? lastDeleted : newest],
  };
}

export const withWords = (words: string) =>
  sql`training_task.id in (select rowid from task_text where task_text match ${words})`;

/** The name under which a list of these tasks makes its cursors, so that each serves no other. */
export const choiceName = async (list: string, choice: TaskChoice) =>
  `${list} ${(await sha256Hex(JSON.stringify(choice))).slice(0, 16)}`;
