import * as z from "zod";
import { FilterError, parseField } from "../../shared/filter-grammar.ts";
import { decodeCursor } from "../http/page.ts";
import { refuse } from "../http/problem.ts";
import { notValid } from "../http/validate.ts";
import { columnOf, type Fields, type Order, type Value } from "./compile.ts";

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

/** Runs a reader of the filter language; its mistakes become 422 with their position. */
export function explainFaults<T>(path: string, make: () => T): T {
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

/** A row's place in a list: its id and its values of the order. */
export type Place = readonly [id: number, ...values: Value[]];

const placeValue = z.union([
  z.string().refine((text) => text.isWellFormed()),
  z.number(),
  z.null(),
]);

/** The place that a cursor of such a list encodes: the last row's id and its values of the order. */
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
