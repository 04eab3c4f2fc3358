import * as z from "zod";
import { notValid } from "./validate.ts";

/** `limit` and `cursor` of every list. */
export const pageQuery = {
  limit: z.coerce
    .number({ error: "must be a whole number from 1 to 200" })
    .int()
    .min(1)
    .max(200)
    .default(50)
    .describe("The maximum number of items."),
  cursor: z
    .string()
    .max(4000)
    .optional()
    .describe("`next_cursor` of the page before; opaque, works for the same list only."),
};

/** The answer of a list: the items of a page, and the cursor of the next, null after the last. */
export const pageAnswer = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next_cursor: z.string().nullable() });

/** Makes an opaque cursor for one list out of the last row's place. */
export const encodeCursor = (list: string, place: readonly (string | number | null)[]) =>
  btoa(
    JSON.stringify([list, ...place]).replace(
      /[\u0080-\uffff]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  )
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** The place that a cursor encodes. Throws ApiError 422 on a forged cursor or one of another list. */
export function decodeCursor<T extends z.ZodType>(
  list: string,
  cursor: string,
  place: T,
): z.infer<T> {
  try {
    const [from, ...rest] = JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
    const parsed = place.safeParse(rest);
    if (from === list && parsed.success) return parsed.data;
  } catch {
    // Falls through to the refusal: what a client sends as a cursor may be anything.
  }
  throw notValid([{ path: "cursor", message: "is not a cursor of this list; start without one" }]);
}

/** Cuts the row that was read to see whether more follow. */
export function page<T>(rows: T[], limit: number, cursorOf: (last: T) => string) {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > limit && last ? cursorOf(last) : null };
}
