import type { JsonValue } from "../../shared/json.ts";
import { errorAt, MAX_DEPTH, tooDeep } from "./fault.ts";
import { toPlainJson } from "./plain.ts";

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

/** The result of JSON.parse is JSON, which its type does not say. */
const asJson = (value: unknown) => value as JsonValue;

export function parseJson(text: string): JsonValue {
  const deep = tooDeepAt(text);
  if (deep !== -1) throw errorAt("JSON", tooDeep, text, deep);
  // Nothing but a huge exponent makes of JSON what JSON cannot hold again.
  const finish = (value: unknown): JsonValue =>
    /\d[eE]\+?\d{3}/.test(text) ? toPlainJson(value, "JSON") : asJson(value);
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

/** Numbers that Python writes without quotes, and reads again. */
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

/** The first place where a text is not JSON. V8's own messages give no position for most faults. */
function jsonFault(text: string): [offset: number, reason: string] {
  const open: string[] = [];
  // The tokens that may come next: a value, a key, a closing bracket, a comma.
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
