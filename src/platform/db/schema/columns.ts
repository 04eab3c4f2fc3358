import { type SQLWrapper, sql } from "drizzle-orm";
import { integer, text } from "drizzle-orm/sqlite-core";
import { now } from "../time.ts";

export const createdAt = () => text().notNull().default(now);
export const bool = () => integer({ mode: "boolean" });
export const json = <T>() => text({ mode: "json" }).$type<T>();

/**
 * A CHECK that a column is one of this file's own constants. Spelled with `or`, since SQLite makes
 * a table of an IN list, and every insert would read rows from it.
 */
export const oneOf = (column: SQLWrapper, values: readonly string[]) =>
  sql.join(
    values.map((value) => sql`${column} = ${sql.raw(`'${value}'`)}`),
    sql` or `,
  );

/** A CHECK that a column is within a range of the catalogue. */
export const within = (column: SQLWrapper, { min, max }: { min: number; max?: number }) =>
  max === undefined
    ? sql`${column} >= ${sql.raw(`${min}`)}`
    : sql`${column} between ${sql.raw(`${min}`)} and ${sql.raw(`${max}`)}`;
