import { isCollection, isScalar, parseDocument } from "yaml";
import type { JsonValue } from "../db/schema.ts";
import { notValid } from "../http/validate.ts";
import { parseAs } from "../trainers/parse.ts";

type Format = "toml" | "yaml" | "json";
export type Scalar = string | number | boolean;
type Path = (string | number)[];
/** Where a key's value stands in a file, and how one is written there. */
export type Place = { path: Path; from: number; to: number };

const refuse = (key: string, message: string) =>
  notValid([{ path: `space.${key}`, message }], "The sweep");

/** `train.lr`, `process[0].lr` or `"odd key".lr` as a path. */
function pathOf(key: string): Path {
  const parts = [...key.matchAll(/"([^"]*)"|\[(\d+)\]|([^.[\]"]+)/g)];
  return parts.map(([, quoted, index, plain]) =>
    index === undefined ? (quoted ?? plain ?? "") : Number(index),
  );
}

const at = (value: JsonValue | undefined, part: string | number): JsonValue | undefined =>
  Array.isArray(value)
    ? value[Number(part)]
    : value !== null && typeof value === "object" && Object.hasOwn(value, part)
      ? value[part]
      : undefined;

/** All paths at whose end a name stands. */
function pathsNamed(value: JsonValue, name: string, path: Path = []): Path[] {
  if (value === null || typeof value !== "object") return [];
  const entries: [string | number, JsonValue][] = Array.isArray(value)
    ? value.map((item, n) => [n, item])
    : Object.entries(value);
  return entries.flatMap(([part, inner]) => [
    ...(part === name ? [[...path, part]] : []),
    ...pathsNamed(inner, name, [...path, part]),
  ]);
}

/** The path a key means: from the root, or wherever a bare name stands once. */
function resolve(root: JsonValue, key: string): Path {
  const path = pathOf(key);
  if (path.length && path.reduce<JsonValue | undefined>(at, root) !== undefined) return path;
  const found = path.length === 1 ? pathsNamed(root, String(path[0])) : [];
  const [only, ...others] = found;
  if (!only) throw refuse(key, "is not a key of the base config: add it there with any value");
  if (others.length)
    throw refuse(key, `stands in several places: ${found.map((p) => p.join(".")).join(", ")}`);
  return only;
}

/** Value literals of one line of TOML: strings, inline arrays and tables, numbers, dates, booleans. */
const tomlValue =
  /"(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]\n]*\]|\{[^}\n]*\}|[^\s#,][^#\n]*?(?=\s*(?:#|\r?\n|$))/y;

/** Where values of `[table]` and `key = value` lines stand, by their path as JSON. */
function tomlPlaces(text: string): Map<string, Place> {
  const places = new Map<string, Place>();
  const keys = (source: string) =>
    [...source.matchAll(/"([^"]*)"|'([^']*)'|([\w-]+)/g)].map(
      ([, double, single, bare]) => double ?? single ?? bare ?? "",
    );
  const counts = new Map<string, number>();
  let table: Path = [];
  // Text in several lines holds no keys, whatever it looks like.
  const masked = text.replace(/"""[\s\S]*?"""|'''[\s\S]*?'''/g, (part) =>
    part.replace(/[^\n]/g, "_"),
  );
  for (const line of masked.matchAll(
    /^[ \t]*(?:\[\[([^\]\n]+)\]\]|\[([^\]\n]+)\]|((?:"[^"\n]*"|'[^'\n]*'|[\w.\- ])+?)[ \t]*=[ \t]*)/gm,
  )) {
    const [whole, list, header, name] = line;
    if (list !== undefined) {
      const path = keys(list);
      const n = counts.get(list) ?? 0;
      counts.set(list, n + 1);
      table = [...path, n];
    } else if (header !== undefined) table = keys(header);
    else {
      const path = [...table, ...keys(name ?? "")];
      tomlValue.lastIndex = line.index + whole.length;
      const value = tomlValue.exec(text);
      if (value)
        places.set(JSON.stringify(path), {
          path,
          from: value.index,
          to: value.index + value[0].length,
        });
    }
  }
  return places;
}

/** Where each key's value stands. Throws ApiError 422 on keys that are not there or hold no plain value. */
export function findPlaces(format: Format, text: string, keys: string[]): Place[] {
  const root = parseAs(format, text);
  const toml = format === "toml" ? tomlPlaces(text) : null;
  const document = toml ? null : parseDocument(text);
  return keys.map((key) => {
    const path = resolve(root, key);
    if (toml) {
      const place = toml.get(JSON.stringify(path));
      if (!place) throw refuse(key, "cannot be changed where it stands: give it a line of its own");
      return place;
    }
    const node = document?.getIn(path, true);
    if (!isScalar(node) && !isCollection(node)) throw refuse(key, "holds no value");
    if (!isScalar(node) || !node.range) throw refuse(key, "holds no single value");
    return { path, from: node.range[0], to: node.range[1] };
  });
}

/** A value in a format's own spelling; a number with a point stays one. */
function spell(format: Format, value: Scalar, before: string): string {
  if (typeof value === "number" && format === "toml" && /^[-+]?[\d_]+(\.|[eE])/.test(before)) {
    const text = String(value);
    return /[.e]/.test(text) ? text : `${text}.0`;
  }
  // YAML and TOML read JSON's strings; a plain word stays plain in YAML.
  if (
    typeof value === "string" &&
    format === "yaml" &&
    /^[A-Za-z][\w./-]*$/.test(value) &&
    !/^(?:true|false|yes|no|on|off|null|y|n)$/i.test(value)
  )
    return value;
  return JSON.stringify(value);
}

/** The same document with values put at paths. */
function withValues(root: JsonValue, places: Place[], values: Scalar[]): JsonValue {
  const copy: JsonValue = structuredClone(root);
  places.forEach(({ path }, n) => {
    const holder = path.slice(0, -1).reduce<JsonValue | undefined>(at, copy);
    const last = path.at(-1);
    if (Array.isArray(holder)) holder[Number(last)] = values[n] ?? null;
    else if (holder && typeof holder === "object") holder[String(last)] = values[n] ?? null;
  });
  return copy;
}

/**
 * A config text with values written at their places, all else byte for byte as it was. What comes
 * out is read again and compared. Throws ApiError 422 where it says anything else.
 */
export function writeValues(
  format: Format,
  text: string,
  places: Place[],
  keys: string[],
  values: Scalar[],
): string {
  const edits = places
    .map((place, n) => ({ ...place, value: values[n] ?? "" }))
    .sort((a, b) => b.from - a.from);
  const edited = edits.reduce(
    (t, { from, to, value }) =>
      t.slice(0, from) + spell(format, value, text.slice(from, to)) + t.slice(to),
    text,
  );
  const wanted = withValues(parseAs(format, text), places, values);
  let got: JsonValue = null;
  try {
    got = parseAs(format, edited);
  } catch {
    // Falls through to the refusal: the file does not take the value where it stands.
  }
  if (JSON.stringify(got) !== JSON.stringify(wanted))
    throw refuse(keys[0] ?? "", "cannot be written into this file without changing something else");
  return edited;
}
