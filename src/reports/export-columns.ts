import { type SQL, sql } from "drizzle-orm";
import { toWire } from "../platform/db/wire.ts";
import { joinedColumnOf, splitFields } from "../platform/filter/compile.ts";
import { explainFaults } from "../platform/filter/request.ts";
import { notValid } from "../platform/http/validate.ts";
import { taskColumns } from "../runs/queries.ts";
import { parseField } from "../shared/filter-grammar.ts";
import { runFields } from "../shared/run-fields.ts";

/** The type of a column's values; `any` is a number or a text. */
export type Kind = "integer" | "number" | "text" | "time" | "boolean" | "any" | "json";
/** A column of an export, over `training_task` joined with `task_config`. */
export type ExportColumn = { name: string; kind: Kind; sql: SQL };
export type Format = "csv" | "jsonl" | "parquet";

const MOST_COLUMNS = 200;

/** A number as JSON: SQLite's own writes 15 digits, a double has up to 17; JSON has no infinity. */
const exactly = (value: SQL) =>
  sql`json(case when ${value} between -1.7976931348623157e308 and 1.7976931348623157e308 then printf('%!.17g', ${value}) else 'null' end)`;

/** A column's value as an argument of json_array(). */
export function jsonArgument({ kind, sql: value }: ExportColumn): SQL {
  if (kind === "json") return sql`json(${value})`;
  if (kind === "number") return exactly(value);
  if (kind === "any")
    return sql`case when typeof(${value}) = 'real' then ${exactly(value)} else ${value} end`;
  return value;
}

/** The rows' own keys are all that there are: a test holds them equal to the catalogue. */
const namesOf = <T extends object>(row: T) => Object.keys(row) as (keyof T)[];

const all = new Map<string, ExportColumn>(
  [
    ...namesOf(toWire(taskColumns)).map(
      (name): ExportColumn => ({
        name,
        kind: runFields[name].type,
        sql: sql`training_task.${sql.identifier(name)}`,
      }),
    ),
    {
      name: "user",
      kind: "text" as const,
      sql: sql`(select name from user where user.id = training_task.user_id)`,
    },
    { name: "config_snapshot", kind: "json" as const, sql: sql`task_config.snapshot` },
    {
      name: "metrics",
      kind: "json" as const,
      sql: sql`(select json_group_object(metric, json_object('count', count, 'nonfinite_count', nonfinite_count,
        'min', ${exactly(sql`min`)}, 'max', ${exactly(sql`max`)}, 'last', ${exactly(sql`last`)}, 'sum', ${exactly(sql`sum`)}, 'best', ${exactly(sql`best`)}, 'best_step', best_step))
        from metric_summary where metric_summary.task_id = training_task.id)`,
    },
  ].map((column) => [column.name, column]),
);

/** Default columns of a spreadsheet: documents would fill its cells. */
const withoutDocuments = [...all.keys()].filter(
  (name) => name !== "config_snapshot" && name !== "metrics",
);

function findColumn(name: string, format: Format): ExportColumn {
  const known = all.get(name);
  if (known) return known;
  const field = explainFaults("columns", () => parseField(name));
  const { sql: value, json, type } = explainFaults("columns", () => joinedColumnOf(field));
  return json && format === "jsonl"
    ? { name, kind: "json", sql: json }
    : { name, kind: type, sql: value };
}

/** The columns that `?columns=` names, or all. Throws ApiError 422. */
export function exportColumns(source: string | undefined, format: Format): ExportColumn[] {
  const asked = splitFields(source ?? "");
  const names = asked.length ? asked : format === "csv" ? withoutDocuments : [...all.keys()];
  if (names.length > MOST_COLUMNS)
    throw notValid([{ path: "columns", message: `names more than ${MOST_COLUMNS} columns` }]);
  const columns = new Map(
    names.map((name) => findColumn(name, format)).map((column) => [column.name, column]),
  );
  return [...columns.values()];
}

/** About how many bytes a row of these columns takes in the database's answer. */
export const rowSize = (columns: ExportColumn[]) =>
  sql<number>`${sql.join(
    [
      sql`${columns.length * 40}`,
      ...columns
        .filter(({ kind }) => kind === "text" || kind === "any" || kind === "json")
        .map(({ sql: value }) => sql`coalesce(octet_length(${value}), 0)`),
    ],
    sql` + `,
  )}`;
