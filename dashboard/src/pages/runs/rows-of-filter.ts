import { type Expression, FilterError, parseField } from "../../../../src/shared/filter-grammar.ts";
import { filterFields } from "../../../../src/shared/run-fields.ts";
import { printPath } from "../../../../src/shared/setting-path.ts";
import { findMistake } from "./complete.ts";
import { printFilter, printValue, readFilter } from "./search.ts";

/** Comparisons that the rows of the builder offer. */
export const operators = [
  ...["=", "!=", ">", ">=", "<", "<="],
  ...["contains", "begins", "in", "null", "not null"],
] as const;
export type Operator = (typeof operators)[number];
export type FilterRow = { field: string; operator: Operator; value: string };
export type FilterRows = { join: "and" | "or"; rows: FilterRow[] };

export const emptyRow: FilterRow = { field: "", operator: "=", value: "" };

const types = new Map<string, string>(filterFields);

/** Whether a field's values are numbers: of settings and metrics of a run that is seen by the value. */
function isNumber(field: string, value: string): boolean {
  if (value.trim() === "" || !Number.isFinite(Number(value))) return false;
  const type = types.get(field);
  if (type) return type === "number";
  return /^(?:config|metrics|node_info)\b/.test(field);
}

const literal = (field: string, value: string) => {
  if (isNumber(field, value)) return String(Number(value));
  const type = types.get(field);
  if (/^(?:true|false)$/.test(value) && (type === "boolean" || field.startsWith("config.")))
    return value;
  return printValue(value);
};

/** `%` and `_` are wildcards of `like`: texts that hold them are found by their other letters. */
const pattern = (text: string) => text.replaceAll(/[%_]/g, "_");

/** A row in the filter language; null where it is not filled in. */
export function printRow({ field, operator, value }: FilterRow): string | null {
  const name = field.trim();
  if (name === "") return null;
  if (operator === "null") return `${name} is null`;
  if (operator === "not null") return `${name} is not null`;
  if (value.trim() === "") return null;
  if (operator === "contains") return `${name} like ${printValue(`%${pattern(value)}%`)}`;
  if (operator === "begins") return `${name} like ${printValue(`${pattern(value)}%`)}`;
  if (operator === "in")
    return `${name} in (${value
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")
      .map((part) => literal(name, part))
      .join(", ")})`;
  return `${name} ${operator} ${literal(name, value.trim())}`;
}

/** The filter that rows make: those that are filled in. */
export const printRows = ({ join, rows }: FilterRows): string =>
  rows.flatMap((row) => printRow(row) ?? []).join(` ${join} `);

/** Why a row is no condition; null where it is one, or is not filled in yet. */
export function rowMistake(row: FilterRow) {
  const name = row.field.trim();
  if (name === "") return null;
  try {
    parseField(name);
  } catch (error) {
    if (error instanceof FilterError) return error;
    throw error;
  }
  return findMistake(printRow(row) ?? "")?.message ?? null;
}

function toRow(part: Expression): FilterRow | null {
  switch (part.kind) {
    case "null":
      return { field: printPath(part.field.path), operator: "null", value: "" };
    case "not":
      return part.part.kind === "null"
        ? { field: printPath(part.part.field.path), operator: "not null", value: "" }
        : null;
    case "in": {
      const texts = part.literals.map(({ value }) => String(value));
      if (texts.some((text) => text.includes(","))) return null;
      return { field: printPath(part.field.path), operator: "in", value: texts.join(", ") };
    }
    case "compare": {
      const field = printPath(part.field.path);
      const value = String(part.literal.value);
      if (part.operator !== "like") return { field, operator: part.operator, value };
      const [, open, inner = ""] = value.match(/^(%?)([^%]+)%$/) ?? [];
      if (inner === "") return null;
      return { field, operator: open ? "contains" : "begins", value: inner };
    }
    default:
      return null;
  }
}

/** The rows that a filter is made of; null where it is more than rows can say. */
export function readRows(filter: string): FilterRows | null {
  if (filter.trim() === "") return { join: "and", rows: [emptyRow] };
  const expression = readFilter(filter);
  if (!expression) return null;
  const join = expression.kind === "or" ? "or" : "and";
  const parts =
    expression.kind === "and" || expression.kind === "or" ? expression.parts : [expression];
  const rows = parts.flatMap((part) => toRow(part) ?? []);
  const found = { join, rows } as const;
  // Rows that would say something else than the filter are none.
  return rows.length === parts.length && printed(printRows(found)) === printFilter(expression)
    ? found
    : null;
}

const printed = (filter: string) => {
  const expression = readFilter(filter);
  return expression && printFilter(expression);
};
