import { isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Auth } from "../platform/auth/caller.ts";
import { statuses, trainingTask } from "../platform/db/schema.ts";
import {
  columnOf,
  type Fields,
  filterTerms,
  type Order,
  parseOrder,
  type Term,
  type Value,
  weightOf,
} from "../platform/filter/compile.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { decodeCursor } from "../platform/http/page.ts";
import { flag } from "../platform/http/params.ts";
import { refuse } from "../platform/http/problem.ts";
import { notValid } from "../platform/http/validate.ts";
import { matching } from "../platform/search/words.ts";
import { FilterError, parseField } from "../shared/filter-grammar.ts";

/** A filter as a parameter or field. */
export const filterText = z
  .string()
  .max(20_000)
  .describe(
    "Such as `lora_rank = 64 and final_loss < 0.3 and (optimizer in ('adamw', 'lion') or tags.kind = 'style')`: = != < <= > >= like in is null and or not ( ), over columns, user, config.…, metrics.…, tags.…",
  );

/** An order as a parameter. */
export const orderText = z
  .string()
  .max(1000)
  .describe(
    "Up to three fields, `-` before one for descending order; missing values come last. Default: newest first.",
  );

/** How a request says which tasks it means, and in which order. */
export const taskChoice = {
  filter: filterText.optional(),
  order_by: orderText.optional(),
  q: z
    .string()
    .max(500)
    .optional()
    .describe(
      "Words that names, groups, notes, tags or sample prompts hold, all of them; the beginning of a word is enough, and what stands in double quotes is found as it stands. Newest first unless order_by says otherwise.",
    ),
  status: z.enum(statuses).optional(),
  user: z.string().max(100).optional().describe("A user's name, or `me`."),
  deleted: flag().default(false).describe("true: the trash instead of what is live."),
};
export type TaskChoice = z.infer<z.ZodObject<typeof taskChoice>>;

/** Runs a reader of the filter language; its mistakes are 422 with their position. */
export function explained<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw refuse(
      "not-valid",
      { case: "filter", path, position: error.position, message: error.message },
      {
        errors: [{ path, message: error.message, code: error.code, params: error.params }],
        extra: { position: error.position },
      },
    );
  }
}

/** A field that the parameter `path` names. Throws ApiError 422. */
export function fieldOf(path: string, name: string, fields: Fields = columnOf) {
  try {
    return fields(parseField(name));
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw notValid([
      { path, message: `${name}: ${error.message}`, code: error.code, params: error.params },
    ]);
  }
}

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

/** A task's place in a list: its id and its values of the order. */
export type Place = readonly [id: number, ...values: Value[]];

/** The tasks that a request means: all of these hold. */
export type Chosen = {
  /** The trash instead of what is live. */
  deleted: boolean;
  live: SQL;
  terms: Term[];
  words: string | null;
  order: Order[];
  /** What its filter costs a task, as `weightOf` counts it. */
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
    explained("filter", () => {
      weight = weightOf(filter);
      terms.push(...filterTerms(filter));
    });
  const words = q?.trim() ? matching(q) : null;
  return {
    deleted,
    live: deleted ? isNotNull(trainingTask.deletedAt) : isNull(trainingTask.deletedAt),
    terms,
    words,
    weight,
    // The index of words goes by id, newest first, and by nothing else.
    order: order_by?.trim()
      ? explained("order_by", () => parseOrder(order_by))
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

const placeValue = z.union([
  z.string().refine((text) => text.isWellFormed()),
  z.number(),
  z.null(),
]);

/** The place a cursor of such a list stands for: the last row's id and its values of the order. */
export const placeOf = (
  list: string,
  cursor: string | undefined,
  order: Order[],
): Place | undefined =>
  cursor === undefined
    ? undefined
    : decodeCursor(
        list,
        cursor,
        z.tuple([z.int()], placeValue).refine((place) => place.length === order.length + 1),
      );
