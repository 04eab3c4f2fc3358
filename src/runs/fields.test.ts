import { sql } from "drizzle-orm";
import { SQLiteColumn } from "drizzle-orm/sqlite-core";
import { expect, it } from "vitest";
import { freshLedger } from "../../test/harness.ts";
import { toWire } from "../platform/db/wire.ts";
import { type RunField, type RunFieldName, runFieldList, runFields } from "../shared/run-fields.ts";
import { importSchema } from "./fields.ts";
import { listColumns, taskColumns } from "./queries.ts";

const columns = new Map<string, SQLiteColumn>(Object.entries(toWire(taskColumns)));
const sorted = (names: Iterable<string>) => [...names].sort();

it("has a line of the catalogue for each column that answers give, and of its type", () => {
  expect(sorted(columns.keys())).toEqual(sorted(Object.keys(runFields)));
  const kinds: Record<string, RunField["type"][]> = {
    SQLiteInteger: ["integer"],
    SQLiteReal: ["number"],
    SQLiteBoolean: ["boolean"],
    SQLiteTextJson: ["json"],
    SQLiteText: ["text", "time"],
  };
  for (const [name, { type, values, always }] of runFieldList) {
    const column = columns.get(name);
    expect([name, kinds[column?.columnType ?? ""]]).toEqual([name, expect.arrayContaining([type])]);
    expect([name, column?.notNull]).toEqual([name, always === true]);
    expect([name, column?.enumValues ?? []]).toEqual([name, values ?? []]);
  }
});

it("has the ranges and words of the catalogue in the database's CHECKs", async () => {
  const { db } = await freshLedger();
  const [table] = await db.all<{ sql: string }>(
    sql`select sql from sqlite_master where name = 'training_task'`,
  );
  const text = table?.sql ?? "";
  const ranges = new Map<string, Pick<RunField, "min" | "max">>();
  for (const [, name = "", min, , max] of text.matchAll(
    /CHECK\s*\("training_task"\."(\w+)" (?:>=|between) (-?\d+)( and (\d+))?\)/gi,
  ))
    ranges.set(name, { min: Number(min), ...(max !== undefined && { max: Number(max) }) });
  // The server's own figures have no CHECK: they would cost what they find.
  const checked = runFieldList.filter(
    ([name, { by, min }]) => min !== undefined && (by === "trainer" || ranges.has(name)),
  );
  expect(sorted(ranges.keys())).toEqual(sorted(checked.map(([name]) => name)));
  for (const [name, { min, max }] of checked)
    expect([name, ranges.get(name)]).toEqual([
      name,
      // Older ledgers may hold a price beyond what is taken today.
      max === undefined || name === "hourly_price" ? { min } : { min, max },
    ]);
  for (const [name, { values }] of runFieldList)
    if (values)
      expect(text).toContain(
        `CHECK(${values.map((value) => `"training_task"."${name}" = '${value}'`).join(" or ")})`,
      );
});

it("lets an import state what the catalogue says", () => {
  const stated = runFieldList.flatMap(([name, { by }]) => (by === "import" ? [name] : []));
  expect(sorted(Object.keys(importSchema.shape))).toEqual(
    sorted([...stated, "source", "additional_args", "attempts"]),
  );
});

it("leaves every column that may be long out of a list that has no room for it", () => {
  const cut = Object.entries(toWire(listColumns(50))).flatMap(([name, column]) =>
    column instanceof SQLiteColumn || name === "left_out" ? [] : [name],
  );
  // A document that the server bounds, or whose form is fixed, is short.
  const short: RunFieldName[] = ["labels", "progress", "defaulted_fields", "guard"];
  const long = runFieldList.flatMap(([name, { type, longest = 0 }]) =>
    (type === "json" && !short.includes(name)) || longest > 2000 ? [name] : [],
  );
  expect(sorted(cut)).toEqual(sorted(long));
});
