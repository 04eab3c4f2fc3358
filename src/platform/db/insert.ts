import { getTableColumns, is, SQL, sql, type Table } from "drizzle-orm";
import { toWire } from "./wire.ts";

/**
 * An insert of one row that happens only where `room` holds, and where no unique index has it already:
 * in one statement, so that of many at once none exceeds it. Where there is no room the row has no
 * user, which IGNORE passes over; a SELECT with a condition would read a row more.
 */
export function insertIf<T extends Table>(
  table: T,
  {
    userId,
    ...values
  }: { [K in keyof T["$inferInsert"]]: T["$inferInsert"][K] | SQL } & {
    userId: number;
  },
  room: SQL,
): SQL {
  const columns = getTableColumns(table);
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const names = Object.keys(toWire(Object.fromEntries(given))).map((name) => sql.identifier(name));
  const written = given.map(([name, value]) =>
    is(value, SQL) ? value : sql`${sql.param(value, columns[name])}`,
  );
  return sql`
    insert or ignore into ${table} (user_id, ${sql.join(names, sql`, `)})
    values (iif(${room}, ${userId}, null), ${sql.join(written, sql`, `)})`;
}
