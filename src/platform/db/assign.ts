import { type SQL, sql } from "drizzle-orm";

/** The assignments of an UPDATE, or of an upsert's `do update set`, from values by their columns' names. */
export const assign = (values: Record<string, SQL>): SQL =>
  sql.join(
    Object.entries(values).map(([column, value]) => sql`${sql.identifier(column)} = ${value}`),
    sql`, `,
  );
