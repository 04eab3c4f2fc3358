import type { Client, InStatement, ResultSet } from "@libsql/client/http";

/** Something that runs statements: a client, or a transaction of one. */
export type Runner = { execute(statement: InStatement): Promise<ResultSet> };

export type Table = {
  name: string;
  columns: string[];
  /** What its rows are found and ordered by. */
  key: string[];
};

/** A name as SQL has it; rowid is no column's name, and in quotes it would be taken for a text. */
export const quoted = (name: string) =>
  name === "rowid" ? name : `"${name.replaceAll('"', '""')}"`;
export const list = (names: string[]) => names.map(quoted).join(", ");

/** Tables of a restore itself and of migrations, which a backup's header stands for. */
const own = ["__drizzle_migrations", "__restore"];

/** Names that the database server keeps for itself. */
export const reserved = (name: string) =>
  `(${name} like 'sqlite\\_%' escape '\\' or ${name} like 'libsql\\_%' escape '\\')`;

/**
 * The tables that hold a ledger's rows. What SQLite keeps behind a full-text table is left out, since
 * the table itself gives and takes its rows. The last ids that were given out stand at the end.
 */
export async function tablesOf(db: Runner): Promise<Table[]> {
  const { rows } = await db.execute(`
    select t.name as "table", t.type, t.wr as without_rowid, c.name as column, c.pk
    from pragma_table_list t join pragma_table_xinfo(t.name) c on c.hidden = 0
    where t.schema = 'main' and t.type in ('table', 'virtual') and (t.name = 'sqlite_sequence' or not ${reserved("t.name")})
    order by t.name = 'sqlite_sequence', t.name, c.cid`);
  const tables = new Map<string, Table & { rowid: boolean; parts: [number, string][] }>();
  for (const row of rows) {
    const name = String(row.table);
    if (own.includes(name)) continue;
    const table = tables.get(name) ?? {
      name,
      columns: row.type === "virtual" ? ["rowid"] : [],
      key: ["rowid"],
      rowid: row.without_rowid === 0,
      parts: [],
    };
    table.columns.push(String(row.column));
    if (Number(row.pk) > 0) table.parts.push([Number(row.pk), String(row.column)]);
    tables.set(name, table);
  }
  return [...tables.values()].map(({ name, columns, key, rowid, parts }) => ({
    name,
    columns,
    key: rowid ? key : parts.sort(([a], [b]) => a - b).map(([, column]) => column),
  }));
}

/** The migrations that a database has had: their hashes in order; none in one that was never migrated. */
export async function migrationsOf(db: Runner): Promise<string[]> {
  const { rows: made } = await db.execute(
    "select 1 from sqlite_master where name = '__drizzle_migrations'",
  );
  if (!made.length) return [];
  const { rows } = await db.execute("select hash from __drizzle_migrations order by created_at");
  return rows.map((row) => String(row.hash));
}

/** Takes everything out of a database, and runs `then` in the same batch. */
export async function wipe(client: Client, then: string[] = []): Promise<void> {
  const { rows } = await client.execute(`
    select m.type, m.name from sqlite_master m left join pragma_table_list t on t.schema = 'main' and t.name = m.name
    where m.type in ('table', 'view', 'trigger') and not ${reserved("m.name")} and coalesce(t.type, '') <> 'shadow'
    order by m.type = 'table', coalesce(t.type, '') <> 'virtual'`);
  await client.migrate([
    ...rows.map((row) => `drop ${row.type} if exists ${quoted(String(row.name))}`),
    ...then,
  ]);
}
