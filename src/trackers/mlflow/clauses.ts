/*
 * The filters of MLflow's registry and of its logged models: comparisons joined by AND. Keys may be in
 * backticks or double quotes, values are quoted strings, numbers, or lists of strings in parentheses.
 */
import { type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Order } from "../../platform/filter/compile.ts";
import { sha256Hex } from "../../platform/http/hash.ts";
import { decodeCursor, encodeCursor } from "../../platform/http/page.ts";
import { MlflowError } from "./form.ts";

type Value = string | number | string[];
type Clause = { entity: string; key: string; operator: string; value: Value };

const LONGEST = 10_000;
const MOST_CLAUSES = 30;
/** Each of these makes SQLite try every place of a text. */
const MOST_WILDCARDS = 8;

const bad = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);

const clause =
  /^\s*(?:([A-Za-z_]+)\.)?(?:`([^`]+)`|"([^"]+)"|([\w.\-/]+))\s*(>=|<=|!=|=|<|>|(?:not\s+)?(?:i?like|in)\b)\s*('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\(\s*(?:'[^']*'|"[^"]*")(?:\s*,\s*(?:'[^']*'|"[^"]*"))*\s*,?\s*\))\s*/i;

const unquote = (text: string) =>
  text.slice(1, -1).replace(/''|\\(['"\\])/g, (_, char) => char ?? "'");

function readValue(text: string): Value {
  if (text.startsWith("("))
    return (text.match(/'[^']*'|"[^"]*"/g) ?? []).map((item) => item.slice(1, -1));
  return /^['"]/.test(text) ? unquote(text) : Number(text);
}

/** The comparisons of a filter. Throws MlflowError. */
function parseClauses(filter: string): Clause[] {
  if (filter.length > LONGEST) throw bad(`The filter has more than ${LONGEST} characters.`);
  const clauses: Clause[] = [];
  let rest = filter;
  while (rest.trim() !== "") {
    const match = clause.exec(rest);
    if (!match) throw bad(`Invalid clause(s) in filter string: '${rest.trim().slice(0, 200)}'.`);
    const [all, entity = "attribute", tick, quoted, plain, operator = "", value = ""] = match;
    clauses.push({
      entity: entity.toLowerCase().replace(/s$/, ""),
      key: tick ?? quoted ?? plain ?? "",
      operator: operator.toUpperCase().replace(/\s+/g, " "),
      value: readValue(value),
    });
    rest = rest.slice(all.length);
    if (rest === "") break;
    const and = /^and\b/i.exec(rest);
    if (!and)
      throw bad(
        `Expected AND in filter string before '${rest.slice(0, 200)}'; OR is not supported.`,
      );
    rest = rest.slice(and[0].length);
    if (rest.trim() === "") throw bad("The filter ends with AND.");
    if (clauses.length === MOST_CLAUSES)
      throw bad(`A filter may have ${MOST_CLAUSES} comparisons.`);
  }
  return clauses;
}

/** A column that a filter may name, and whether a row without it is other than every value. */
export type Field = { sql: SQL; type: "text" | "number"; missingDiffers?: boolean };

/** LIKE as MLflow has it: case counts. GLOB is SQLite's operator for that. */
const globOf = (pattern: string) =>
  pattern.replace(/[*?[]/g, "[$&]").replaceAll("%", "*").replaceAll("_", "?");

function compare(
  { key, operator, value }: Clause,
  { sql: column, type, missingDiffers }: Field,
): SQL {
  if (type === "number") {
    if (typeof value !== "number") throw bad(`'${key}' is compared with numbers.`);
    if (!/^(?:=|!=|[<>]=?)$/.test(operator))
      throw bad(`Invalid comparator '${operator}' for '${key}'.`);
    return sql`${column} ${sql.raw(operator)} ${value}`;
  }
  if (operator === "IN" || operator === "NOT IN") {
    if (!Array.isArray(value)) throw bad(`${operator} takes a list of strings.`);
    const items = sql`(select value from json_each(${JSON.stringify(value)}))`;
    return operator === "IN" ? sql`${column} in ${items}` : sql`${column} not in ${items}`;
  }
  if (typeof value !== "string") throw bad(`'${key}' is compared with quoted strings.`);
  if (/LIKE$/.test(operator) && (value.match(/[%_]/g) ?? []).length > MOST_WILDCARDS)
    throw bad(`A pattern may have ${MOST_WILDCARDS} wildcards.`);
  switch (operator) {
    case "=":
      return sql`${column} = ${value}`;
    case "!=":
      return missingDiffers ? sql`${column} is not ${value}` : sql`${column} <> ${value}`;
    case "LIKE":
      return sql`${column} glob ${globOf(value)}`;
    case "ILIKE":
      return sql`lower(${column}) like ${value.toLowerCase()}`;
    default:
      throw bad(`Invalid comparator '${operator}' for '${key}'.`);
  }
}

/** A filter as a condition; `field` finds a column, null where there is none. Throws MlflowError. */
export function conditionOf(
  filter: string | undefined,
  field: (entity: string, key: string) => Field | null,
): SQL[] {
  return parseClauses(filter ?? "").map((one) => {
    const found = field(one.entity, one.key);
    if (!found) throw bad(`Invalid attribute key '${one.entity}.${one.key}' specified.`);
    return compare(one, found);
  });
}

/** An `order_by` as SQL. Throws MlflowError. */
export function orderOf(items: readonly string[], columns: Record<string, SQL>): Order[] {
  if (items.length > 5) throw bad("order_by may name 5 columns.");
  return items.map((text) => {
    const [, name = "", direction = "asc"] =
      /^\s*[`"]?([\w.]+)[`"]?(?:\s+(asc|desc))?\s*$/i.exec(text) ?? [];
    const column = columns[name.replace(/^attributes?\./, "").toLowerCase()];
    if (!column) throw bad(`Invalid order_by clause '${text.slice(0, 200)}'.`);
    return { column, descending: direction.toLowerCase() === "desc", missing: false };
  });
}

/** The name of a list, so that its page tokens work for the same question alone. */
export const listName = async (kind: string, ...question: unknown[]) =>
  `${kind} ${(await sha256Hex(JSON.stringify(question))).slice(0, 16)}`;

/** The place after which a page begins: the id of the last row, and what it was ordered by. */
export const placeOfToken = (list: string, token: string | undefined) => {
  if (!token) return null;
  const [id, ...values] = decodeCursor(
    list,
    token,
    z.tuple([z.number()], z.union([z.string(), z.number(), z.null()])),
  );
  return { id, values };
};

/** What one page takes: one row more than `limit` shows whether there is another. */
export function pageOf<R extends { place: string }>(list: string, rows: R[], limit: number) {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last;
  return { items, token: more ? encodeCursor(list, JSON.parse(last.place)) : undefined };
}
