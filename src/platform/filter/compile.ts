import { type SQL, sql } from "drizzle-orm";
import {
  type Expression,
  type Field,
  FilterError,
  type Literal,
  type Operator,
  parseField,
  parseFilter,
} from "../../shared/filter-grammar.ts";
import type { Phrase } from "../../shared/mistakes.ts";
import { nearestNames } from "../../shared/nearest.ts";
import { filterFields, pathFields, runFields } from "../../shared/run-fields.ts";
import { printPath, type Segment, splitAtCommas } from "../../shared/setting-path.ts";

/** A value of an order, as a cursor keeps it. */
export type Value = string | number | null;

/** What a field holds; `any` is what a trainer's file or a tag may hold. */
type Type = "number" | "text" | "boolean" | "time" | "any";
/** A field as SQL over `training_task`; `json` is a document's part as JSON text, which reads a whole document. */
export type Column = { sql: SQL; type: Type; json?: SQL };
/** The meaning of a name in a list. Throws FilterError if it has none. */
export type Fields = (field: Field) => Column;

const types = new Map<string, Type>(filterFields);

/** Fields that are never null. */
const always = new Set([
  "user",
  ...Object.entries(runFields).flatMap(([name, field]) => ("always" in field ? [name] : [])),
]);

/** Columns of JSON, reached into by path. */
const documents = new Map<string, SQL>([
  // No join: a query that asks nothing of the file would read its row all the same.
  ["config", sql`(select snapshot from task_config where task_config.task_id = training_task.id)`],
  ...pathFields.map((name): [string, SQL] => [name, sql.raw(`training_task.${name}`)]),
]);
const statistics = new Set([
  ...["min", "max", "last", "count", "sum", "nonfinite_count", "best", "best_step"],
]);
/** Those by which an index of a metric's figures orders. */
const ordering = new Set(["last", "best"]);

/** A SQLite JSON path; bound as a value, so only what ends a quoted key has to be refused. */
export function jsonPath(segments: Segment[], position: number): string {
  return segments.reduce<string>((path, segment) => {
    if (typeof segment === "number") return `${path}[${segment}]`;
    if (/["\\]/.test(segment)) throw new FilterError("filter-name", {}, position);
    return `${path}."${segment}"`;
  }, "$");
}

type Metric = { name: string; statistic: string };

/**
 * `metrics.loss` (its last value) or `metrics."loss/current".min`. A run under way has no `best` yet: that is
 * computed when it ends.
 */
function metricOf({ path: [first, ...rest] }: Field): Metric | null {
  if (first !== "metrics" || rest.length === 0) return null;
  const last = rest.at(-1);
  return rest.length > 1 && typeof last === "string" && statistics.has(last)
    ? { name: rest.slice(0, -1).join("."), statistic: last }
    : { name: rest.join("."), statistic: "last" };
}

/** A metric's figure of a run that has ended. */
const ended = ({ name, statistic }: Metric) =>
  sql`(select ${sql.identifier(statistic)} from metric_summary where metric_summary.task_id = training_task.id and metric_summary.metric = ${name})`;

/** A metric's figure; while a run lasts, what its attempt has come to so far. */
function metricSql(metric: Metric): SQL {
  const { name, statistic } = metric;
  if (/["\\]/.test(name)) return ended(metric);
  const point = statistic === "last" || statistic === "min" || statistic === "max";
  const path = `$."${name}".${statistic}${point ? "[3]" : ""}`;
  return sql`(case training_task.status when 'running' then (select case when json_type(a.summary, ${path}) <> 'text' then a.summary ->> ${path} end from task_attempt a where a.task_id = training_task.id and a.attempt = training_task.attempt) else ${ended(metric)} end)`;
}

/** The column of a field. Throws FilterError if there is none. */
export const columnOf: Fields = (field) => columnIn(documents, field);

/** As `columnOf`, for a query that joins `task_config`: many fields of one file read it once. */
export const joinedColumnOf: Fields = (field) =>
  columnIn(new Map(documents).set("config", sql`task_config.snapshot`), field);

function columnIn(documents: ReadonlyMap<string, SQL>, { path, position }: Field): Column {
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
    const at = jsonPath(rest, position);
    return { sql: sql`(${document} ->> ${at})`, type: "any", json: sql`(${document} -> ${at})` };
  }
  const metric = metricOf({ path, position });
  if (metric) return { sql: metricSql(metric), type: "number" };
  const near =
    rest.length === 0
      ? nearestNames(name, [...types.keys(), "user"])
      : nearestNames(name, [...documents.keys(), "metrics"]).map((known) =>
          printPath([known, ...rest]),
        );
  const field = printPath(path);
  throw near.length
    ? new FilterError("filter-field-near", { field, near: near.join(" or ") }, position)
    : new FilterError("filter-field", { field }, position);
}

const DAY_MS = 86_400_000;

/** A time literal: a moment, or a whole day or month as [begin, end) in ISO 8601 UTC. */
function timeRange({ value, position }: Literal): { from: string; to: string | null } {
  const text = String(value);
  const at =
    typeof value === "string" && /^\d{4}-\d\d(-\d\d([T ].*)?)?$/.test(text)
      ? Date.parse(text.length === 16 || text.length === 19 ? `${text.replace(" ", "T")}Z` : text)
      : Number.NaN;
  if (Number.isNaN(at)) throw new FilterError("filter-time", {}, position);
  const iso = (ms: number) => new Date(ms).toISOString();
  const date = new Date(at);
  if (text.length === 7)
    return { from: iso(at), to: iso(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1)) };
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

const kindOf = ({ value }: Literal): Phrase =>
  typeof value === "string" ? "text" : typeof value === "number" ? "number" : "boolean";

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
      "filter-kind",
      { field: field.path.join("."), wanted: column.type, given: kindOf(literal) },
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
      throw new FilterError("filter-like", {}, literal.position);
    return guarded(column, operator, literal, likeSql(column.sql, literal.value, literal.position));
  }
  checkType(column, field, literal);
  if (fields === columnOf && field.path.join(".") === "user" && operator === "=")
    return sql`training_task.user_id = (select id from user where name = ${literal.value})`;
  if (column.type === "time") return compareTime(column.sql, operator, literal);
  return guarded(
    column,
    operator,
    literal,
    sql`${column.sql} ${sql.raw(operator)} ${bound(literal)}`,
  );
}

/** Bounds of patterns, by what the longest text and the worst pattern cost: see docs/limits.md. */
const MAX_PATTERN = 200;
const MAX_WILDCARDS = 6;
const MAX_PIECE = 20;

/**
 * `column like pattern`. SQLite compares a pattern's pieces with every place of a text, so a long
 * piece costs its length for each character. A pattern with at most one piece between two `%` is
 * spelled out as comparisons that cost the text's length alone; others have short pieces.
 */
export function likeSql(column: SQL, pattern: string, position: number): SQL {
  if (pattern.length > MAX_PATTERN)
    throw new FilterError("filter-pattern", { most: MAX_PATTERN }, position);
  const pieces = pattern.split(/%+/);
  const [first = "", ...rest] = pieces;
  const last = rest.pop();
  if (!pattern.includes("_") && rest.length <= 1 && last !== undefined) {
    const [middle = ""] = rest;
    const length = (text: string) => [...text].length;
    const ends = length(first) + length(last);
    const text = sql`lower(${column})`;
    const between = sql`substr(${text}, ${length(first) + 1}, length(${column}) - ${ends})`;
    const conditions = [
      sql`length(${column}) >= ${ends + length(middle)}`,
      ...(first ? [sql`substr(${text}, 1, ${length(first)}) = lower(${first})`] : []),
      ...(last ? [sql`substr(${text}, ${-length(last)}) = lower(${last})`] : []),
      ...(middle ? [sql`instr(${between}, lower(${middle})) > 0`] : []),
    ];
    return sql`(${sql.join(conditions, sql` and `)})`;
  }
  if (pieces.length - 1 > MAX_WILDCARDS)
    throw new FilterError("filter-wildcards", { most: MAX_WILDCARDS }, position);
  if (rest.concat(last ?? "").some((piece) => piece.length > MAX_PIECE))
    throw new FilterError("filter-piece", { most: MAX_PIECE }, position);
  return sql`${column} like ${pattern}`;
}

const MAX_LIKES = 20;
const MAX_DOCUMENT_VALUES = 50;

/**
 * What a filter costs a task more than its columns do: a comparison within a document (`config.…`)
 * counts 1, a pattern 2. Throws FilterError where they are too many.
 */
export function weightOf(source: string): number {
  let likes = 0;
  let values = 0;
  const count = (expression: Expression): void => {
    switch (expression.kind) {
      case "and":
      case "or":
        for (const part of expression.parts) count(part);
        return;
      case "not":
        count(expression.part);
        return;
    }
    const [name = ""] = expression.field.path;
    const { position } = expression.field;
    if (documents.has(String(name)) && ++values > MAX_DOCUMENT_VALUES)
      throw new FilterError("filter-documents", { most: MAX_DOCUMENT_VALUES }, position);
    if (expression.kind === "compare" && expression.operator === "like" && ++likes > MAX_LIKES)
      throw new FilterError("filter-likes", { most: MAX_LIKES }, position);
  };
  count(parseFilter(source));
  return values + 2 * likes;
}

function depthOf(expression: Expression): number {
  switch (expression.kind) {
    case "and":
    case "or":
      return 1 + Math.max(...expression.parts.map(depthOf));
    case "not":
      return 1 + depthOf(expression.part);
    default:
      return 0;
  }
}

function compile(expression: Expression, fields: Fields): SQL {
  switch (expression.kind) {
    case "and":
    case "or": {
      // SQLite's parser keeps the text before a parenthesis on a stack of 100: the deepest comes first.
      const parts = [...expression.parts].sort((a, b) => depthOf(b) - depthOf(a));
      return sql`(${sql.join(
        parts.map((part) => compile(part, fields)),
        sql.raw(` ${expression.kind} `),
      )})`;
    }
    case "not":
      // A comparison with a missing value is false, so that its negation is true.
      return expression.part.kind === "not"
        ? sql`(${compile(expression.part.part, fields)} is true)`
        : sql`(${compile(expression.part, fields)} is not true)`;
    case "null":
      return sql`(${fields(expression.field).sql} is null)`;
    case "in": {
      const column = fields(expression.field);
      if (column.type === "time")
        return sql`(${sql.join(
          expression.literals.map((literal) => compare(fields, expression.field, "=", literal)),
          sql` or `,
        )})`;
      if (column.type === "any") {
        // Of two lists only the one of the value's own kind is searched, so that it is read twice at most.
        const among = (text: boolean) =>
          sql`${column.sql} in (${sql.join(
            expression.literals
              .filter(({ value }) => (typeof value === "string") === text)
              .map((literal) => sql`${bound(literal)}`),
            sql`, `,
          )})`;
        return sql`(case when typeof(${column.sql}) = 'text' then ${among(true)} else ${among(false)} end)`;
      }
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

/**
 * One of the conditions that all have to hold. `column` is one that an index could find it by, `equals`
 * the one value it then has.
 */
export type Term = { sql: SQL; column?: string; equals?: Literal["value"] };

/** Conditions of a filter over tasks, with every value bound. Throws FilterError. */
export const filterTerms = (source: string): Term[] => termsOf(parseFilter(source));

function termsOf(expression: Expression): Term[] {
  if (expression.kind === "and") return expression.parts.flatMap(termsOf);
  const term = { sql: compile(expression, columnOf) };
  if (expression.kind !== "compare" || expression.field.path.length > 1) return [term];
  const { field, operator } = expression;
  if (operator === "!=" || operator === "like") return [term];
  const name = String(field.path[0]);
  const column = name === "user" ? "user_id" : name;
  const one = operator === "=" && types.get(column) !== "time";
  return [{ ...term, column, ...(one && { equals: expression.literal.value }) }];
}

/**
 * One field of an order. `missing`: it may be null. What an index could serve is named: a column, or
 * the metric whose last or best value it is.
 */
export type Order = {
  column: SQL;
  descending: boolean;
  missing: boolean;
  name?: string;
  metric?: Metric;
};

/** The fields of a list with commas between. */
export const splitFields = (source: string): string[] =>
  source.trim() === "" ? [] : splitAtCommas(source).map((name) => name.trim());

/**
 * `order_by`: fields separated by commas, each with `-` before it or `desc` after it for
 * descending order. Nulls come last either way, and newer tasks first among equals. At most three.
 */
export function parseOrder(source: string, fields: Fields = columnOf): Order[] {
  const parts = splitAtCommas(source);
  if (parts.length > 3) throw new FilterError("filter-order", {}, 1);
  let next = 0;
  return parts.map((text) => {
    const begins = next;
    next += text.length + 1;
    const bare = text.trim().replace(/^-\s*/, "");
    const before = bare ? text.indexOf(bare) : text.length;
    const direction = /\s(?:asc|desc)$/i.exec(bare)?.[0].trim().toLowerCase();
    const name = direction ? bare.slice(0, -direction.length).trimEnd() : bare;
    const descending = text.trim().startsWith("-") || direction === "desc";
    try {
      return { ...orderOf(parseField(name), fields), descending };
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      throw new FilterError(error.code, error.params, begins + before + error.position);
    }
  });
}

function orderOf(field: Field, fields: Fields): Omit<Order, "descending"> {
  const metric = fields === columnOf ? metricOf(field) : null;
  if (metric)
    // An order uses the figures of ended runs: those are indexed.
    return {
      column: ended(metric),
      missing: true,
      ...(ordering.has(metric.statistic) && { metric }),
    };
  const { sql: column, type } = fields(field);
  const name = String(field.path[0]);
  return {
    column: type === "text" || type === "any" ? beginning(column) : column,
    missing: !(field.path.length === 1 && always.has(name)),
    ...(field.path.length === 1 && { name }),
  };
}

/** A text's first characters, which its place in an order is kept by: cursors stay short. */
const beginning = (column: SQL): SQL =>
  sql`(case when typeof(${column}) = 'text' then substr(${column}, 1, 100) else ${column} end)`;

/** ORDER BY of an order, ended by the id so that no two rows have the same place. */
export const orderSql = (order: Order[], id: SQL): SQL =>
  sql.join(
    [
      ...order.map(
        ({ column, descending, missing }) =>
          sql`${missing ? sql`${column} is null, ` : sql``}${column} ${sql.raw(descending ? "desc" : "asc")}`,
      ),
      sql`${id} desc`,
    ],
    sql`, `,
  );

/**
 * The condition that a row comes after a place: the place's values, one for each field, and its id. The
 * first part is the range that an index on the first field serves.
 */
export function afterPlace(order: Order[], values: Value[], id: SQL, lastId: number): SQL {
  const [first, ...rest] = order;
  if (!first) return sql`${id} < ${lastId}`;
  const [value = null, ...others] = values;
  const deeper = afterPlace(rest, others, id, lastId);
  const { column, descending, missing } = first;
  if (value === null) return sql`(${column} is null and ${deeper})`;
  const past = sql.raw(descending ? "<" : ">");
  const there = sql`(${column} ${past}= ${value} and (${column} ${past} ${value} or ${deeper}))`;
  return missing ? sql`(${column} is null or ${there})` : there;
}
