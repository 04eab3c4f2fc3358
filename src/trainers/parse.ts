import { parse as parseTomlText, TomlDate, TomlError } from "smol-toml";
import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
  visit,
} from "yaml";
import type { JsonValue } from "../shared/json.ts";
import { isObject, type JsonObject, lookUp, setKey } from "./json.ts";

export type ConfigFormat = "toml" | "yaml" | "json" | "text";

/** A file that is broken or hostile: the reason in plain words, and where (from 1). */
export class ConfigSyntaxError extends Error {
  override name = "ConfigSyntaxError";
  line: number;
  column: number;
  constructor(format: string, reason: string, line: number, column: number) {
    super(`The ${format} is broken at line ${line}, column ${column}: ${reason}`);
    this.line = line;
    this.column = column;
  }
}

const MAX_DEPTH = 100;
const tooDeep = `it nests deeper than ${MAX_DEPTH} levels`;

function positionOf(text: string, offset: number): [line: number, column: number] {
  let line = 1;
  let start = 0;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) {
    line++;
    start = i + 1;
  }
  return [line, offset - start + 1];
}

const errorAt = (format: string, reason: string, text: string, offset: number) =>
  new ConfigSyntaxError(format, reason, ...positionOf(text, offset));

/** A value of any parser as plain JSON: dates as ISO strings, what JSON cannot hold as strings. */
function plain(value: unknown, format: string, depth = 0): JsonValue {
  if (depth > MAX_DEPTH) throw new ConfigSyntaxError(format, tooDeep, 1, 1);
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return String(value);
  if (value instanceof TomlDate) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => plain(item, format, depth + 1));
  if (typeof value !== "object" || value === null) return null;
  const object: JsonObject = {};
  for (const [key, item] of Object.entries(value))
    setKey(object, key, plain(item, format, depth + 1));
  return object;
}

/** Longer numbers are no setting, and turning digits into a number takes more than linear time. */
const hugeNumber = /[\s=[,+-]\d[\dA-Fa-f_xob]{10000}/;

function parseToml(text: string): JsonValue {
  const huge = hugeNumber.exec(text);
  if (huge) throw errorAt("TOML", "a number has more than 10,000 digits", text, huge.index + 1);
  try {
    return plain(
      parseTomlText(text, { integersAsBigInt: "asNeeded", maxDepth: MAX_DEPTH }),
      "TOML",
    );
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const first = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    const reason = /excessively nested/.test(first) ? tooDeep : first;
    const hint = /escape/i.test(reason)
      ? " (in double quotes a backslash starts an escape: write paths with / or in single quotes)"
      : "";
    throw new ConfigSyntaxError("TOML", `${reason}${hint}`, error.line, error.column);
  }
}

/** How deep brackets nest outside strings, and where they first nest too deeply. */
function tooDeepAt(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 34) {
      for (i++; i < text.length && text.charCodeAt(i) !== 34; i++)
        if (text.charCodeAt(i) === 92) i++;
    } else if (unit === 91 || unit === 123) {
      if (++depth > MAX_DEPTH) return i;
    } else if (unit === 93 || unit === 125) depth--;
  }
  return -1;
}

/** JSON.parse's reviver gets the source text of numbers; TypeScript's own types do not say so yet. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
) => unknown;

/** What JSON.parse gives is JSON by its nature, which its type does not say. */
const asJson = (value: unknown) => value as JsonValue;

function parseJson(text: string): JsonValue {
  const deep = tooDeepAt(text);
  if (deep !== -1) throw errorAt("JSON", tooDeep, text, deep);
  // Nothing but a huge exponent makes of JSON what JSON cannot hold again.
  const finish = (value: unknown): JsonValue =>
    /\d[eE]\+?\d{3}/.test(text) ? plain(value, "JSON") : asJson(value);
  const exact = (source: string): unknown =>
    // Integers that a double cannot hold stay as their digits.
    /\d{16}/.test(source)
      ? parseWithSource(source, (_, value, context) =>
          typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)
            ? (context.source ?? value)
            : value,
        )
      : JSON.parse(source);
  try {
    return finish(exact(text));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const quoted = quoteBareNumbers(text);
    if (quoted !== text) {
      try {
        return finish(exact(quoted));
      } catch (second) {
        if (!(second instanceof SyntaxError)) throw second;
      }
    }
    const [offset, reason] = jsonFault(text);
    throw errorAt("JSON", reason, text, offset);
  }
}

/** What Python writes bare, and reads again. */
const bareNumbers = ["NaN", "-NaN", "Infinity", "-Infinity"];

/** Behind the closing quote of the JSON string that opens at `from`; -1 where its line ends first. */
function jsonStringEnd(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i++) {
    let unit = text.charCodeAt(i);
    if (unit === 34) return i + 1;
    if (unit === 92) unit = text.charCodeAt(++i);
    if (unit === 10) return -1;
  }
  return -1;
}

const isWordUnit = (unit: number) =>
  (unit >= 48 && unit <= 57) ||
  (unit >= 65 && unit <= 90) ||
  (unit >= 97 && unit <= 122) ||
  unit === 95;

/** Bare `NaN` and `Infinity` outside strings as strings; the same text where there are none. */
function quoteBareNumbers(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  for (let i = 0; i < text.length; ) {
    const unit = text.charCodeAt(i);
    if (unit === 34) {
      const end = jsonStringEnd(text, i);
      if (end === -1) break;
      i = end;
    } else if (unit === 45 || isWordUnit(unit)) {
      let end = i + 1;
      while (isWordUnit(text.charCodeAt(end))) end++;
      const word = end - i <= 9 ? text.slice(i, end) : "";
      if (bareNumbers.includes(word)) {
        parts.push(text.slice(copied, i), `"${word}"`);
        copied = end;
      }
      i = end;
    } else i++;
  }
  return copied === 0 ? text : parts.join("") + text.slice(copied);
}

const jsonMark = /[{}[\],:]/;
const jsonWord = /(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null)/y;

/** The end of the JSON token at `from`, or -1 where there is none. */
function jsonTokenEnd(text: string, from: number): number {
  const first = text[from] ?? "";
  if (jsonMark.test(first)) return from + 1;
  if (first === '"') return jsonStringEnd(text, from);
  jsonWord.lastIndex = from;
  return jsonWord.test(text) ? jsonWord.lastIndex : -1;
}

/** Where a text stops being JSON. V8's own messages give no position for most faults. */
function jsonFault(text: string): [offset: number, reason: string] {
  const open: string[] = [];
  // What may come next: a value, a key, what closes, a comma.
  let expected = "value";
  for (let offset = 0, end = 0; ; offset = end) {
    while (" \t\r\n".includes(text[offset] ?? "none")) offset++;
    end = jsonTokenEnd(text, offset);
    const inside = open.at(-1);
    if (end === -1) {
      if (offset < text.length)
        return [
          offset,
          text[offset] === '"'
            ? "a string is not closed"
            : `unexpected ${JSON.stringify(text[offset])}`,
        ];
      return [
        offset,
        open.length > 0 ? `the file ends before its "${inside}" is closed` : "a value is missing",
      ];
    }
    const token = text.slice(offset, end);
    const mark = jsonMark.test(token.charAt(0)) ? token : undefined;
    const isString = token.startsWith('"');
    const fault: [number, string] = [
      offset,
      `unexpected ${token.length > 60 ? `${token.slice(0, 60)}…` : token}, where a ${expected} should stand`,
    ];
    if (mark === "{" || mark === "[") {
      if (!expected.includes("value")) return fault;
      open.push(mark);
      expected = mark === "{" ? 'key or "}"' : 'value or "]"';
    } else if (mark === "}" || mark === "]") {
      const pair = mark === "}" ? "{" : "[";
      if (inside !== pair || !(expected.includes("comma") || expected.includes(`"${mark}"`)))
        return fault;
      open.pop();
      expected = "comma or end";
    } else if (mark === ",") {
      if (!expected.includes("comma") || inside === undefined) return fault;
      expected = inside === "{" ? "key" : "value";
    } else if (mark === ":") {
      if (expected !== "colon") return fault;
      expected = "value";
    } else if (isString && expected.startsWith("key")) {
      expected = "colon";
    } else {
      if (!expected.startsWith("value")) return fault;
      expected = "comma or end";
    }
  }
}

/** Where YAML's own lexical structure nests too deeply, found without recursion. */
function yamlTooDeep(tokens: Iterable<unknown>): boolean {
  let level: unknown[] = [...tokens];
  for (let depth = 0; level.length > 0; depth++) {
    // A collection and its items are two levels of the syntax tree.
    if (depth > MAX_DEPTH * 3) return true;
    const next: unknown[] = [];
    for (const token of level) {
      if (typeof token !== "object" || token === null) continue;
      if ("items" in token && Array.isArray(token.items))
        for (const item of token.items) next.push(item);
      if ("key" in token && token.key) next.push(token.key);
      if ("value" in token && token.value) next.push(token.value);
    }
    level = next;
  }
  return false;
}

/** The tokens without those of faults behind the first. */
function firstFaultOnly(tokens: Iterable<CST.Token>): CST.Token[] {
  let faulty = false;
  return [...tokens].filter(({ type }) => {
    const again = faulty && type === "error";
    faulty ||= type === "error";
    return !again;
  });
}

/** What PyYAML, which the trainers use, reads as booleans besides true and false. */
const yes = new Set(["yes", "Yes", "YES", "on", "On", "ON"]);
const no = new Set(["no", "No", "NO", "off", "Off", "OFF"]);

/** Where flow brackets nest too deeply; a line that starts at the margin closes them all. */
function flowTooDeepAt(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 91 || unit === 123) {
      if (++depth > MAX_DEPTH) return i;
    } else if (unit === 93 || unit === 125) {
      if (depth > 0) depth--;
    } else if (unit === 10 && /[\w#-]/.test(text[i + 1] ?? "")) depth = 0;
  }
  return -1;
}

/** Of the same length, so that positions stay; private characters, so that nobody writes it. */
const MASK = "\uE000redacted\uE000";
const unmask = (text: string) => text.replaceAll(MASK, "[redacted]");

function parseYaml(source: string): JsonValue {
  // What redaction leaves of an unquoted value would be a list, or no YAML at all.
  const text = source.replaceAll("[redacted]", MASK);
  const deep = flowTooDeepAt(text);
  if (deep !== -1) throw errorAt("YAML", tooDeep, text, deep);
  const lines = new LineCounter();
  const tokens = firstFaultOnly(new Parser(lines.addNewLine).parse(text));
  if (yamlTooDeep(tokens)) throw new ConfigSyntaxError("YAML", tooDeep, 1, 1);
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    merge: true,
    uniqueKeys: false,
    logLevel: "silent",
  });
  const fault = (at: number, message: string) => {
    const { line, col } = lines.linePos(at);
    return new ConfigSyntaxError("YAML", message.replace(/\.?$/, ""), line, col);
  };
  // The first fault ends it: a hostile file has one a character, and each would keep its stack. It
  // is thrown again where the composer catches it to report another fault.
  let first: ConfigSyntaxError | undefined;
  Object.assign(composer, {
    onError(
      source: number | readonly number[] | { offset: number },
      _code: string,
      message: string,
      isWarning?: boolean,
    ) {
      if (isWarning) return;
      const at =
        typeof source === "number" ? source : "offset" in source ? source.offset : source[0];
      first ??= fault(at ?? 0, message);
      throw first;
    },
  });
  const document = firstDocument(composer.compose(tokens, true, text.length));
  if (document === null) return null;
  const [error] = document.errors;
  if (error) throw fault(error.pos[0], error.message);
  return yamlValue(document, text.length * 2 + 65_536, (node, reason) =>
    fault(node.range?.[0] ?? 0, reason),
  );
}

/** Of several documents the first counts, as trainers read it; the others are not converted. */
function firstDocument(documents: Iterable<Document.Parsed>): Document.Parsed | null {
  for (const document of documents) return document;
  return null;
}

/**
 * A YAML document as plain JSON. `budget` bounds what aliases expand to: each value costs its
 * length, so that a small file cannot become a large one.
 */
function yamlValue(
  document: Document.Parsed,
  budget: number,
  fault: (node: Node, reason: string) => ConfigSyntaxError,
): JsonValue {
  const anchors = new Map<string, Node>();
  let hasAlias = false;
  visit(document, {
    Alias: () => {
      hasAlias = true;
      return visit.BREAK;
    },
  });
  if (hasAlias)
    visit(document, {
      Node: (_, node) => {
        if ("anchor" in node && node.anchor && !anchors.has(node.anchor))
          anchors.set(node.anchor, node);
      },
    });
  let left = budget;
  const spend = (cost: number, node: Node) => {
    left -= cost;
    if (left < 0) throw fault(node, "its aliases (*name) expand to far more than the file holds");
  };

  const convert = (node: unknown, depth: number): JsonValue => {
    if (depth > MAX_DEPTH && isNode(node)) throw fault(node, tooDeep);
    if (isAlias(node)) return convert(target(node), depth + 1);
    if (isScalar(node)) return scalar(node);
    if (isSeq(node)) {
      spend(2, node);
      return node.items.map((item) => convert(item, depth + 1));
    }
    if (!isMap(node)) return null;
    const object: JsonObject = {};
    const merged: JsonObject = {};
    for (const { key, value } of node.items) {
      if (!isScalar(key)) throw fault(node, "a key must be plain text");
      const name = unmask(typeof key.source === "string" ? key.source : String(key.value));
      spend(name.length + 4, node);
      const item = convert(value, depth + 1);
      if (name === "<<") {
        for (const part of Array.isArray(item) ? item : [item])
          if (isObject(part))
            for (const [inner, innerValue] of Object.entries(part))
              if (!Object.hasOwn(merged, inner)) setKey(merged, inner, innerValue);
      } else setKey(object, name, item);
    }
    if (Object.keys(merged).length === 0) return object;
    for (const [name, item] of Object.entries(object)) setKey(merged, name, item);
    return merged;
  };

  const target = (alias: Alias): Node => {
    spend(4, alias);
    const node = anchors.get(alias.source);
    if (!node) throw fault(alias, `nothing is named *${alias.source}`);
    return node;
  };

  const scalar = (node: Scalar): JsonValue => {
    const { value, source = "" } = node;
    spend(source.length + 2, node);
    if (typeof value === "string" && node.type === "PLAIN") {
      if (yes.has(value)) return true;
      if (no.has(value)) return false;
    }
    if (typeof value === "string") return unmask(value);
    if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
      return source;
    return plain(value, "YAML");
  };

  return convert(document.contents, 0);
}

const parsers = { toml: parseToml, yaml: parseYaml, json: parseJson };

/** Parses a text of a known format. Throws ConfigSyntaxError with line and column. */
export const parseAs = (format: Exclude<ConfigFormat, "text">, text: string): JsonValue =>
  parsers[format](text);

/** No trainer's file comes near these lengths; YAML is by far the slowest to parse. */
export const MAX_PARSED = 500_000;
export const MAX_YAML = 100_000;

const extensions: Record<string, Exclude<ConfigFormat, "text">> = {
  toml: "toml",
  yaml: "yaml",
  yml: "yaml",
  json: "json",
};

const share = (lines: string[], pattern: RegExp) =>
  lines.length === 0 ? 0 : lines.filter((line) => pattern.test(line)).length / lines.length;

/**
 * Parses a text whose format is only hinted at, or not at all: by its file name, else by trying.
 * A text that is plainly TOML, YAML or JSON and broken is a ConfigSyntaxError; one that is none
 * of them, or is said to be just text, has the format "text" and no value. Nor has a text that is
 * longer than MAX_PARSED, or MAX_YAML where it is no TOML or JSON.
 */
export function parseConfig(
  text: string,
  format: ConfigFormat | undefined,
  path: string | undefined,
): { format: ConfigFormat; value: JsonValue } {
  if (format === "text") return { format, value: null };
  const extension = /\.(\w+)$/.exec(path ?? "")?.[1]?.toLowerCase() ?? "";
  const known = format ?? lookUp(extensions, extension);
  if (text.length > (known === "yaml" ? MAX_YAML : MAX_PARSED))
    return { format: known ?? "text", value: null };
  if (known) return { format: known, value: parseAs(known, text) };

  const trimmed = text.trim();
  if (trimmed === "") return { format: "text", value: null };
  if (/^[{[]/.test(trimmed)) {
    const json = attempt("json", text);
    if (!(json instanceof ConfigSyntaxError)) return { format: "json", value: json };
    if (looksLikeObject(trimmed)) throw json;
  }
  const toml = attempt("toml", text);
  if (!(toml instanceof ConfigSyntaxError)) {
    // A file of comments alone is TOML and YAML, and no config.
    if (isObject(toml) && Object.keys(toml).length > 0) return { format: "toml", value: toml };
    return { format: "text", value: null };
  }
  const lines = trimmed.split("\n").filter((line) => /^\s*[^\s#]/.test(line));
  if (share(lines, /^\s*(?:[\w."'-]+\s*=|\[\[?[\w."' -]+\]\]?\s*(?:#|$))/) > 0.5) throw toml;
  if (text.length > MAX_YAML) return { format: "text", value: null };
  const yaml = attempt("yaml", text);
  if (!(yaml instanceof ConfigSyntaxError))
    return isObject(yaml) ? { format: "yaml", value: yaml } : { format: "text", value: null };
  if (lines.length > 2 && share(lines, /^\s*(?:- )?[\w."'-]+:(?:\s|$)/) > 0.8) throw yaml;
  return { format: "text", value: null };
}

/** Whether a text between braces has a quoted key somewhere: broken JSON rather than anything else. */
function looksLikeObject(text: string): boolean {
  if (!text.startsWith("{") || !text.endsWith("}")) return false;
  for (let colon = text.indexOf(":"); colon !== -1; colon = text.indexOf(":", colon + 1)) {
    let before = colon - 1;
    while (/\s/.test(text.charAt(before))) before--;
    if (text[before] === '"') return true;
  }
  return false;
}

function attempt(format: Exclude<ConfigFormat, "text">, text: string) {
  try {
    return parseAs(format, text);
  } catch (error) {
    if (error instanceof ConfigSyntaxError) return error;
    throw error;
  }
}
