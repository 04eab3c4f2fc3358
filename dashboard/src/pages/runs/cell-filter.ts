import { runFields } from "../../../../src/shared/run-fields.ts";
import type { Row } from "../../types.ts";
import { printValue } from "./search.ts";

/** Characters after which the table cuts a text. */
const LONGEST = 300;

const isTime = (name: string) =>
  name in runFields && runFields[name as keyof typeof runFields].type === "time";

/** The conditions that a cell suggests, in the filter language; the first is "the same value". */
export function conditionsOf(name: string, row: Row, value: unknown): string[] {
  if (name === "progress" || name === "curve") return [];
  if (name === "status")
    return [
      `status = ${printValue(row.status)}`,
      ...(row.failure_reason ? [`failure_reason = ${printValue(row.failure_reason)}`] : []),
      `status != ${printValue(row.status)}`,
    ];
  if (value === null || value === undefined) return [`${name} is null`, `${name} is not null`];
  if (typeof value === "number")
    return ["=", ">=", "<="].map((operator) => `${name} ${operator} ${value}`);
  if (typeof value !== "string" || value.length >= LONGEST) return [`${name} is not null`];
  if (isTime(name)) {
    const day = printValue(value.slice(0, "2026-05-01".length));
    return ["=", ">=", "<="].map((operator) => `${name} ${operator} ${day}`);
  }
  return ["=", "!="].map((operator) => `${name} ${operator} ${printValue(value)}`);
}
