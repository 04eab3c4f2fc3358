import { type SQL, sql } from "drizzle-orm";

/** Times as the database keeps them: ISO 8601, UTC, milliseconds. Boxes' clocks are never trusted. */
const FORMAT = sql.raw("'%Y-%m-%dT%H:%M:%fZ'");

const unitDays = { seconds: 86_400, minutes: 1440, hours: 24, days: 1 };

/** The database's own clock. */
export const now = sql<string>`(strftime('%Y-%m-%dT%H:%M:%fZ','now'))`;

/** The time that is `amount` after a time of the database, or before it where the amount is negative. */
export const timeAfter = (
  time: SQL,
  amount: number | SQL,
  unit: keyof typeof unitDays = "seconds",
) =>
  sql<string>`strftime(${FORMAT}, julianday(${time}) + ${amount} / ${sql.raw(`${unitDays[unit]}.0`)})`;

/** The time that is `amount` from now by the database's clock; a negative amount is in the past. */
export const fromNow = (amount: number | SQL, unit: keyof typeof unitDays = "seconds") =>
  timeAfter(sql`'now'`, amount, unit);

/** The time that was `amount` ago by the database's clock. */
export const ago = (amount: number | SQL, unit: keyof typeof unitDays) =>
  sql<string>`strftime(${FORMAT}, julianday('now') - ${amount} / ${sql.raw(`${unitDays[unit]}.0`)})`;
