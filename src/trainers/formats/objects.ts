import type { JsonValue } from "../../shared/json.ts";

export type JsonObject = { [key: string]: JsonValue };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Own keys only, so that `__proto__` and `constructor` are names like any other. */
export const lookUp = <T>(table: { [key: string]: T }, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined;

/** The first value of an object, without listing all of a large one. */
export function firstValue(object: JsonObject): JsonValue | undefined {
  for (const key in object) return object[key];
  return undefined;
}

/** Sets a key as JSON.parse does: `__proto__` becomes an own property. */
export function setKey(object: JsonObject, key: string, value: JsonValue) {
  if (key === "__proto__")
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  else object[key] = value;
}

/** The value at `a.b.0.c`, or of a key of that whole name; undefined where the path leads nowhere. */
export function at(value: JsonValue | undefined, path: string): JsonValue | undefined {
  const whole = isObject(value) ? lookUp(value, path) : undefined;
  if (whole !== undefined) return whole;
  let node = value;
  for (const part of path.split(".")) {
    if (Array.isArray(node)) node = node[Number(part)];
    else if (isObject(node)) node = lookUp(node, part);
    else return undefined;
  }
  return node;
}
