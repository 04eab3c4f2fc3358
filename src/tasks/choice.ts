import { and, eq, isNotNull, isNull, sql } from "drizzle-orm";
import * as z from "zod";
import type { Auth } from "../auth/keys.ts";
import { statuses, trainingTask } from "../db/schema.ts";
import { filterToSql, type Order, parseOrder } from "../filter/compile.ts";
import { FilterError } from "../filter/parse.ts";
import { sha256Hex } from "../http/hash.ts";
import { decodeCursor } from "../http/page.ts";
import { ApiError } from "../http/problem.ts";

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
  status: z.enum(statuses).optional(),
  user: z.string().max(100).optional().describe("A user's name, or `me`."),
  deleted: z.stringbool().default(false).describe("true: the trash instead of what is live."),
};
export type TaskChoice = z.infer<z.ZodObject<typeof taskChoice>>;

/** Runs a reader of the filter language; its mistakes are 422 with their position. */
export function explained<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new ApiError(
      422,
      "not-valid",
      `The ${path} is not right at character ${error.position}: ${error.message}.`,
      { errors: [{ path, message: error.message }], extra: { position: error.position } },
    );
  }
}

/** A choice as SQL: `base` is what an index serves, `condition` what the filter asks besides. */
export function chooseTasks(auth: Auth, { filter, order_by, status, user, deleted }: TaskChoice) {
  return {
    base: and(
      deleted ? isNotNull(trainingTask.deletedAt) : isNull(trainingTask.deletedAt),
      status && eq(trainingTask.status, status),
      user === "me"
        ? eq(trainingTask.userId, auth.userId)
        : user !== undefined
          ? sql`${trainingTask.userId} = (select id from user where name = ${user})`
          : undefined,
    ),
    condition: filter?.trim() ? explained("filter", () => filterToSql(filter)) : undefined,
    order: order_by?.trim() ? explained("order_by", () => parseOrder(order_by)) : [],
  };
}

/** The name under which a list of these tasks makes its cursors, so that each serves no other. */
export const choiceName = async (list: string, choice: TaskChoice) =>
  `${list} ${(await sha256Hex(JSON.stringify(choice))).slice(0, 16)}`;

const placeValue = z.union([z.string(), z.number(), z.null()]);

/** The place a cursor of such a list stands for: the last row's id and its values of the order. */
export const placeOf = (
  list: string,
  cursor: string | undefined,
  order: Order[],
): readonly z.infer<typeof placeValue>[] | undefined =>
  cursor === undefined
    ? undefined
    : decodeCursor(list, cursor, z.tuple([z.int(), ...order.map(() => placeValue)]));
