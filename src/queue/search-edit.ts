import { isCollection, isScalar, parseDocument } from "yaml";
import { notValid } from "../platform/http/validate.ts";
import type { JsonValue } from "../shared/json.ts";
import { parsePath, printPath, type Segment } from "../shared/setting-path.ts";
import { parseAs } from "../trainers/parse.ts";

type Format = "toml" | "yaml" | "json";
export type Scalar = string | number | boolean;
type Path = Segment[];
/** The place of a key's value in a file, and how to write a value there. */
export type Place = { path: Path; from: number; to: number };

const refuse = (key: string, message: string) =>
  notValid([{ path: `space.${key}`, message }], "The sweep");

const at = (value: JsonValue | undefined, part: string | number): JsonValue | undefined =>
  Array.isArray(value)
    ? value[Number(part)]
    : value !== null && typeof value === "object" && Object.hasOwn(value, part)
      ? value[part]
      : undefined;

/** All paths that end in a name. */
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

/** The path of a key: from the root, or the only path that ends in a bare name. */
function resolve(root: JsonValue, key: string): Path {
  const path = parsePath(key);
  if (path.length && path.reduce<JsonValue | undefined>(at, root) !== undefined) return path;
  const found = path.length === 1 ? pathsNamed(root, String(path[0])) : [];
  const [only, ...others] = found;
  if (!only) throw refuse(key, "is not a key of the base config: add it there with any value");
  if (others.length)
    throw refuse(
      key,
      `stands in several places: ${found
        .slice(0, 5)
        .map(printPath)
        .join(", ")}${found.length > 5 ? `, and ${found.length - 5} more` : ""}`,
    );
  return only;
}

const closers: Record<string, string> = { "'": "'", "[": "]", "{": "}" };

/**
 * How long the value is that a line of TOML begins with: a string, an inline array or table, a
 * number, a date or a boolean. 0: there is none.
 */
function valueLength(line: string): number {
  const first = line.charAt(0);
  if (first === '"') {
    const string = /^"(?:[^"\\]|\\.)*"/.exec(line);
    if (string) return string[0].length;
  }
  const closer = closers[first];
  const end = closer === undefined ? -1 : line.indexOf(closer, 1);
  if (end !== -1) return end + 1;
  return first === "," ? 0 : (line.split("#", 1)[0] ?? "").trimEnd().length;
}

/** Where a line's `key =` has its sign, outside quotes; -1: it has none. */
function signAt(line: string): number {
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (char === "=") return i;
    if (char === '"' || char === "'") {
      i = line.indexOf(char, i + 1);
      if (i === -1) return -1;
    } else if (!/[\w.\- \t]/.test(char)) return -1;
  }
  return -1;
}

/** Compared from the end, where paths differ: a table's long name is in the path of each of its keys. */
const isSamePath = (one: Path, other: Path) =>
  one.length === other.length && one.every((_, n) => one.at(-1 - n) === other.at(-1 - n));

/** The places of the values of wanted paths in `[table]` and `key = value` lines. */
function tomlPlaces(text: string, wanted: Path[]): (Place | undefined)[] {
  const places: (Place | undefined)[] = wanted.map(() => undefined);
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
  let begin = 0;
  for (const line of masked.split("\n")) {
    const [, list, header] = /^[ \t]*(?:\[\[([^\]]+)\]\]|\[([^\]]+)\])/.exec(line) ?? [];
    const sign = signAt(line);
    if (list !== undefined) {
      const path = keys(list);
      const n = counts.get(list) ?? 0;
      counts.set(list, n + 1);
      table = [...path, n];
    } else if (header !== undefined) table = keys(header);
    else if (sign > 0) {
      const path = [...table, ...keys(line.slice(0, sign))];
      const nth = wanted.findIndex((one) => isSamePath(one, path));
      const blanks = line.length - line.slice(sign + 1).trimStart().length;
      const from = begin + blanks;
      const length = valueLength(text.slice(from, begin + line.length));
      if (nth !== -1 && length > 0) places[nth] = { path, from, to: from + length };
    }
    begin += line.length + 1;
  }
  return places;
}

/**
 * The place of each key's value in a text that was parsed as `root`. Throws ApiError 422 on keys that
 * are not there or hold no plain value.
 */
export function findPlaces(format: Format, text: string, root: JsonValue, keys: string[]): Place[] {
  const paths = keys.map((key) => resolve(root, key));
  const toml = format === "toml" ? tomlPlaces(text, paths) : null;
  const document = toml ? null : parseDocument(text);
  return keys.map((key, n) => {
    const path = paths[n] ?? [];
    if (toml) {
      const place = toml[n];
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
 * A config text, parsed as `root`, with values written at their places, all else byte for byte as it
 * was. What comes out is read again and compared. Throws ApiError 422 where it says anything else.
 */
export function writeValues(
  format: Format,
  text: string,
  root: JsonValue,
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
  const wanted = withValues(root, places, values);
  let got: JsonValue = null;
  try {
    got = parseAs(format, edited);
  } catch {
    // Falls through to the refusal: the file does not take the value in that place.
  }
  if (JSON.stringify(got) !== JSON.stringify(wanted))
    throw refuse(keys[0] ?? "", "cannot be written into this file without changing something else");
  return edited;
}
