// The database as the code tells it: the texts of triggers and views, and the pages about tables.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { getTableName, is, sql } from "drizzle-orm";
import { SQLiteTable } from "drizzle-orm/sqlite-core";
import { describe, expect, inject, it } from "vitest";
import { openDatabase } from "../scripts/local/database.ts";
import { root } from "../scripts/local/processes.ts";
import * as schema from "../src/platform/db/schema.ts";

const folder = join(root, "src/platform/db");
const files = ["triggers", "views", "tables"].flatMap((kind) =>
  readdirSync(join(folder, kind)).map((name) => `${kind}/${name}`),
);

/** A statement without comments, its white space made even. */
const plain = (statement: string) =>
  statement
    .replace(/^\s*--.*$/gm, "")
    .replace(/\s+/g, " ")
    .replace(/;\s*$/, "")
    .trim();

/** Statements of a text by what they make, as `trigger weight_held`. */
function byName(statements: string[]): Record<string, string> {
  const entries = statements.map((statement): [string, string] => {
    const [, kind = "", name = ""] =
      /^create (trigger|view|virtual table) (\w+)/i.exec(statement) ?? [];
    return [`${kind.toLowerCase()} ${name}`, statement];
  });
  expect(new Set(entries.map(([name]) => name)).size).toBe(entries.length);
  return Object.fromEntries(entries);
}

describe("the database in the code", () => {
  it("has the triggers, views and virtual tables that the migrations make", async () => {
    const tree = files.flatMap((file) =>
      readFileSync(join(folder, file), "utf8")
        .split(/^(?=create )/im)
        .map(plain)
        .filter(Boolean),
    );
    // Every migration was applied to this database, and nothing else.
    const db = openDatabase({ url: `${inject("sqldUrl")}/dev/template/` });
    try {
      const made = await db.all<{ sql: string }>(
        sql`select sql from sqlite_master where type in ('trigger', 'view') or sql like 'create virtual%'`,
      );
      expect(byName(tree)).toEqual(byName(made.map((row) => plain(row.sql))));
    } finally {
      db.$client.close();
    }
  });

  it("says of every trigger, view and virtual table what it is for", () => {
    for (const file of files) {
      const text = readFileSync(join(folder, file), "utf8");
      expect([file, text.match(/(?<!^--[^\n]*\n)^create \w+ \w+ \w+/gim)]).toEqual([file, null]);
    }
  });

  it.each(["docs/database.md", "docs/database.zh.md"])("is in %s, table by table", (page) => {
    const text = readFileSync(join(root, page), "utf8");
    const tables = Object.values<unknown>(schema)
      .filter((value) => is(value, SQLiteTable))
      .map((table) => getTableName(table));
    const listed = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual([...tables, "task_text"].sort());
    const linked = [
      ...text.matchAll(/\]\(\.\.\/src\/platform\/db\/((?:triggers|views|tables)\/[\w-]+\.sql)\)/g),
    ].map(([, file]) => file);
    expect([...new Set(linked)].sort()).toEqual([...files].sort());
  });
});
