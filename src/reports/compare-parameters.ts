import { writableFields } from "../runs/fields.ts";
import type { JsonValue } from "../shared/json.ts";

/** Columns that are no settings of training: what a person calls a run, and where it ran. */
const others = new Set([
  "task_name",
  "notes",
  "tags",
  "node_info",
  "command",
  "parent_task_id",
  "hourly_price",
]);

/** Columns that hold a run's settings, by their names on the wire. */
export const parameterColumns = Object.keys(writableFields).filter((name) => !others.has(name));

/** A path's segment as the filter language spells it. */
const spelled = (segment: string) =>
  /^[\p{L}_][\p{L}\p{N}_-]*$/u.test(segment) ? segment : `"${segment.replaceAll('"', '""')}"`;

const MOST_LEAVES = 2000;

/**
 * The values of a trainer's file by their paths, as filters name them: `config.network.dim`. A list
 * of plain values is one value.
 */
export function leavesOf(config: JsonValue): Map<string, JsonValue> {
  const leaves = new Map<string, JsonValue>();
  const walk = (value: JsonValue, path: string) => {
    if (leaves.size >= MOST_LEAVES) return;
    const nested = Array.isArray(value)
      ? value.some((item) => typeof item === "object" && item !== null)
        ? value.map((item, n): [string, JsonValue] => [`${path}[${n}]`, item])
        : null
      : typeof value === "object" && value !== null
        ? Object.entries(value).map(([key, item]): [string, JsonValue] => [
            `${path}.${spelled(key)}`,
            item,
          ])
        : null;
    if (!nested) leaves.set(path, value);
    else for (const [deeper, item] of nested) walk(item, deeper);
  };
  walk(config, "config");
  return leaves;
}

/** What runs have different and what they have in common; a value that is missing is null. */
export function compareParameters(runs: Map<string, JsonValue>[]) {
  const names = [...new Set(runs.flatMap((run) => [...run.keys()]))];
  const differ: { name: string; values: JsonValue[] }[] = [];
  const agree: { name: string; value: JsonValue }[] = [];
  for (const name of names) {
    const values = runs.map((run) => run.get(name) ?? null);
    const [value = null] = values;
    const text = JSON.stringify(value);
    if (values.some((other) => JSON.stringify(other) !== text)) differ.push({ name, values });
    else if (value !== null) agree.push({ name, value });
  }
  return { differ, agree };
}
