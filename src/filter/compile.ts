import { type SQL, sql } from "drizzle-orm";
import { numbers, texts, times } from "./fields.ts";
import {
  type Expression,
  type Field,
  FilterError,
  type Literal,
  type Operator,
  parseField,
  parseFilter,
  type Segment,
} from "./parse.ts";

/** What a field holds; `any` is what a trainer's file or a tag may hold. */
type Type = "number" | "text" | "boolean" | "time" | "any";
/** A field as SQL over `training_task` joined with `task_config`; `json` is a document's part as JSON text. */
export type Column = { sql: SQL; type: Type; json?: SQL };
/** What a name stands for in a list. Throws FilterError when it is nothing there. */
export type Fields = (field: Field) => Column;

const types = new Map<string, Type>([
  ...numbers.map((name): [string, Type] => [name, "number"]),
  ...texts.map((name): [string, Type] => [name, "text"]),
  ...times.map((name): [string, Type] => [name, "time"]),
  ["cancel_requested", "boolean"],
]);

/** Columns of JSON, reached into by path. */
const documents = new Map([
  ["config", sql`task_config.snapshot`],
  ["tags", sql`training_task.tags`],
  ["progress", sql`training_task.progress`],
  ["node_info", sql`training_task.node_info`],
  ["additional_args", sql`training_task.additional_args`],
]);
const statistics = new Set(["min", "max", "last", "count", "sum", "nonfinite_count"]);

/** All that a filter can name, for messages and completion. */
export const fieldNames = [
  ...types.keys(),
  "user",
  ...[...documents.keys()].map((name) => `${name}.…`),
  "metrics.…",
];

/** A SQLite JSON path; bound as a value, so only what ends a quoted key has to be refused. */
export function jsonPath(segments: Segment[], position: number): string {
  return segments.reduce<string>((path, segment) => {
    if (typeof segment === "number") return `${path}[${segment}]`;
    if (/["\\]/.test(segment))
      throw new FilterError("a name with a quote or backslash cannot be looked up", position);
    return `${path}."${segment}"`;
  }, "$");
}

/** The column behind a field. Throws FilterError when there is none. */
export function columnOf({ path, position }: Field): Column {
  const [first, ...rest] = path;
  const name = String(first);
  if (rest.length === 0) {
    const type = types.get(name);
    if (type) return { sql: sql`training_task.${sql.identifier(name)}`, type };
    if (name === "user")
      return {
        sql: sql`(select name from user where user.id = training_task.user_id)`,
        type: "text",
      };
  }
  const document = documents.get(name);
  if (document && rest.length > 0) {
    // A trainer's file that is flattened for its columns keeps its sections here.
    const at = jsonPath(rest, position);
    return { sql: sql`(${document} ->> ${at})`, type: "any", json: sql`(${document} -> ${at})` };
  }
  if (name === "metrics" && rest.length > 0) {
    const last = rest.at(-1);
    const named = rest.length > 1 && typeof last === "string" && statistics.has(last);
    const metric = (named ? rest.slice(0, -1) : rest).join(".");
    return {
      sql: sql`(select ${sql.identifier(named ? String(last) : "last")} from metric_summary where metric_summary.task_id = training_task.id and metric_summary.metric = ${metric})`,
      type: "number",
    };
  }
  const near = [...types.keys(), "user"].filter(
    (known) => known.includes(name) || name.includes(known),
  );
  throw new FilterError(
    `there is no field ${path.join(".")}${near.length ? ` (did you mean ${near.slice(0, 3).join(" or ")}?)` : ""}; fields are a task's columns, user, config.…, metrics.… and tags.…`,
    position,
  );
}

const DAY_MS = 86_400_000;

/** A time literal: a moment, or a whole day as [begin, end) in ISO 8601 UTC. */
function timeRange({ value, position }: Literal): { from: string; to: string | null } {
  const text = String(value);
  const at =
    typeof value === "string" && /^\d{4}-\d\d(-\d\d([T ].*)?)?$/.test(text)
      ? Date.parse(text.length === 16 || text.length === 19 ? `${text.replace(" ", "T")}Z` : text)
      : Number.NaN;
  if (Number.isNaN(at))
    throw new FilterError(
      "a time is a text such as '2026-05-01' or '2026-05-01T10:00:00Z'",
      position,
    );
  const iso = (ms: number) => new Date(ms).toISOString();
  return { from: iso(at), to: text.length === 10 ? iso(at + DAY_MS) : null };
}

function compareTime(column: SQL, operator: Operator, literal: Literal): SQL {
  const { from, to } = timeRange(literal);
  if (to === null) return sql`${column} ${sql.raw(operator)} ${from}`;
  switch (operator) {
    case "=":
      return sql`(${column} >= ${from} and ${column} < ${to})`;
    case "!=":
      return sql`(${column} < ${from} or ${column} >= ${to})`;
    case "<=":
      return sql`${column} < ${to}`;
    case ">":
      return sql`${column} >= ${to}`;
    default:
      return sql`${column} ${sql.raw(operator)} ${from}`;
  }
}

const kindOf = ({ value }: Literal) =>
  typeof value === "string" ? "a text" : typeof value === "number" ? "a number" : "true or false";

/** Refuses a comparison that could never hold because of its types. */
function checkType(column: Column, field: Field, literal: Literal) {
  const wanted = {
    number: "number",
    text: "string",
    boolean: "boolean",
    time: "string",
    any: null,
  }[column.type];
  if (wanted !== null && typeof literal.value !== wanted)
    throw new FilterError(
      `${field.path.join(".")} is ${column.type === "number" ? "a number" : column.type === "boolean" ? "true or false" : `a ${column.type}`}, not ${kindOf(literal)}`,
      literal.position,
    );
}

/**
 * Of a value that may be of any kind only one of the literal's own kind compares; one of another
 * kind is different from it.
 */
function guarded(column: Column, operator: Operator, literal: Literal, condition: SQL): SQL {
  if (column.type !== "any") return condition;
  const text = sql`typeof(${column.sql}) = 'text'`;
  const alike = typeof literal.value === "string" ? text : sql`not ${text}`;
  return operator === "!="
    ? sql`(${column.sql} is not null and (not (${alike}) or ${condition}))`
    : sql`(${alike} and ${condition})`;
}

const bound = ({ value }: Literal) => (typeof value === "boolean" ? Number(value) : value);

function compare(fields: Fields, field: Field, operator: Operator, literal: Literal): SQL {
  const column = fields(field);
  if (operator === "like") {
    if (typeof literal.value !== "string" || column.type === "number" || column.type === "boolean")
      throw new FilterError("like compares texts", literal.position);
    return guarded(column, operator, literal, sql`${column.sql} like ${literal.value}`);
  }
  checkType(column, field, literal);
  if (column.type === "time") return compareTime(column.sql, operator, literal);
  return guarded(
    column,
    operator,
    literal,
    sql`${column.sql} ${sql.raw(operator)} ${bound(literal)}`,
  );
}

function compile(expression: Expression, fields: Fields): SQL {
  switch (expression.kind) {
    case "and":
    case "or":
      return sql`(${sql.join(
        expression.parts.map((part) => compile(part, fields)),
        sql.raw(` ${expression.kind} `),
      )})`;
    case "not":
      // A comparison with a missing value is false, so that its negation is true.
      return sql`(not coalesce(${compile(expression.part, fields)}, false))`;
    case "null":
      return sql`(${fields(expression.field).sql} is null)`;
    case "in": {
      const column = fields(expression.field);
      if (column.type === "any" || column.type === "time")
        return sql`(${sql.join(
          expression.literals.map((literal) => compare(fields, expression.field, "=", literal)),
          sql` or `,
        )})`;
      for (const literal of expression.literals) checkType(column, expression.field, literal);
      return sql`${column.sql} in (${sql.join(
        expression.literals.map((literal) => sql`${bound(literal)}`),
        sql`, `,
      )})`;
    }
    case "compare":
      return compare(fields, expression.field, expression.operator, expression.literal);
  }
}

/** A filter as a condition with every value bound, over tasks or other fields. Throws FilterError. */
export const filterToSql = (source: string, fields: Fields = columnOf): SQL =>
  compile(parseFilter(source), fields);

/** The fields of a list with commas between; a comma within quotes belongs to a name. */
export const splitFields = (source: string): string[] =>
  source.trim() === ""
    ? []
    : source.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((name) => name.trim());

export type Order = { column: SQL; descending: boolean };

/**
 * `order_by`: fields separated by commas, each with `-` before it or `desc` behind it for
 * descending order. Nulls come last either way, and newer tasks first among equals. At most three.
 */
export function parseOrder(source: string, fields: Fields = columnOf): Order[] {
  const parts = splitFields(source);
  if (parts.length > 3) throw new FilterError("orders by at most three fields", 1);
  return parts.map((part) => {
    const found = part.match(/^(-?)(.*?)(?:\s+(asc|desc))?$/is);
    const [, minus, name = "", direction] = found ?? [];
    const { sql: column, type } = fields(parseField(name));
    return {
      column: type === "text" || type === "any" ? beginning(column) : column,
      descending: minus === "-" || direction?.toLowerCase() === "desc",
    };
  });
}

/** A text's first characters, which its place in an order is kept by: cursors stay short. */
const beginning = (column: SQL): SQL =>
  sql`(case when typeof(${column}) = 'text' then substr(${column}, 1, 100) else ${column} end)`;

const taskId = sql.raw("training_task.id");

/** ORDER BY of an order, ended by the id so that no two rows stand in the same place. */
export const orderSql = (order: Order[], id: SQL = taskId): SQL =>
  sql.join(
    [
      ...order.map(
        ({ column, descending }) =>
          sql`${column} is null, ${column} ${sql.raw(descending ? "desc" : "asc")}`,
      ),
      sql`${id} desc`,
    ],
    sql`, `,
  );

/** The condition of standing behind a place: its values, one for each field, and its id. */
export function behind(
  order: Order[],
  values: (string | number | null)[],
  id: number,
  idColumn: SQL = taskId,
): SQL {
  const [first, ...rest] = order;
  if (!first) return sql`${idColumn} < ${id}`;
  const [value = null, ...others] = values;
  const deeper = behind(rest, others, id, idColumn);
  const { column, descending } = first;
  return value === null
    ? sql`(${column} is null and ${deeper})`
    : sql`(${column} ${sql.raw(descending ? "<" : ">")} ${value} or ${column} is null or (${column} = ${value} and ${deeper}))`;
}
