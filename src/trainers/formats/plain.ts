import { TomlDate } from "smol-toml";
import type { JsonValue } from "../../shared/json.ts";
import { ConfigSyntaxError, MAX_DEPTH, tooDeep } from "./fault.ts";
import { type JsonObject, setKey } from "./objects.ts";

/** A value of any parser as plain JSON: dates as ISO strings, what JSON cannot hold as strings. */
export function toPlainJson(value: unknown, format: string, depth = 0): JsonValue {
  if (depth > MAX_DEPTH) throw new ConfigSyntaxError(format, tooDeep, 1, 1);
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return String(value);
  if (value instanceof TomlDate) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => toPlainJson(item, format, depth + 1));
  if (typeof value !== "object" || value === null) return null;
  const object: JsonObject = {};
  for (const [key, item] of Object.entries(value))
    setKey(object, key, toPlainJson(item, format, depth + 1));
  return object;
}
