import type { JsonValue } from "../shared/json.ts";
import { comparedSettings } from "../shared/run-fields.ts";
import { leavesOf } from "../shared/setting-path.ts";

/** Columns that hold a run's settings, by their names on the wire. */
export const parameterColumns: string[] = comparedSettings;

const MOST_LEAVES = 2000;

/** The values of a trainer's file by their paths, as filters name them: `config.network.dim`. */
export const configLeaves = (config: JsonValue) => leavesOf(config, "config", MOST_LEAVES);

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
