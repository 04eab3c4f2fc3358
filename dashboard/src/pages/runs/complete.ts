import { FilterError, parseFilter } from "../../../../src/shared/filter-grammar.ts";
import { filterFields, runFieldList } from "../../../../src/shared/run-fields.ts";
import type { Message } from "../../message.ts";

const fields = [...filterFields.map(([name]) => name), "user"].sort();
const beginnings = ["config.", "metrics.", "tags."];
const operators = ["=", "!=", "<", "<=", ">", ">=", "like", "in (", "is null", "is not null"];
const keywords = new Set(["and", "or", "not", "in", "is", "null", "like"]);
const values: Record<string, readonly string[]> = Object.fromEntries(
  runFieldList.flatMap(([name, { values }]) => (values ? [[name, values]] : [])),
);

/** Completions at the caret, and where the part of the text begins that they replace. */
export function completions(text: string, caret: number, seen: Record<string, string[]> = {}) {
  const before = text.slice(0, caret);
  const fragment = before.match(/'?[\p{L}_][\p{L}\p{N}_.-]*$|'$|[<>=!]+$/u)?.[0] ?? "";
  const from = caret - fragment.length;
  const head = before.slice(0, from).trimEnd();
  // Within a 'text' that is being written, its quote is part of the fragment.
  const field = head.match(
    /([\p{L}_][\p{L}\p{N}_.]*)\s*(?:=|!=|<>|<=?|>=?|like|in\s*\((?:[^()]*,)?)$/iu,
  )?.[1];
  if (field) {
    const known = values[field] ?? seen[field] ?? [];
    const items = known.map((value) => `'${value.replaceAll("'", "''")}'`);
    return { from, items: matching(items, fragment) };
  }
  const word = head.match(/([\p{L}_"][\p{L}\p{N}_.[\]"-]*)$/u)?.[1] ?? "";
  if (word && !keywords.has(word.toLowerCase()))
    return { from, items: matching(operators, fragment) };
  if (/(?:\d|'|\)|null)$/i.test(head)) return { from, items: matching(["and", "or"], fragment) };
  return { from, items: matching([...fields, ...beginnings, "not"], fragment) };
}

function matching(items: string[], fragment: string): string[] {
  const wanted = fragment.toLowerCase().replace(/^'/, "");
  const bare = (item: string) => item.toLowerCase().replace(/^'/, "");
  const begins = items.filter((item) => bare(item).startsWith(wanted));
  const holds = items.filter(
    (item) => !bare(item).startsWith(wanted) && bare(item).includes(wanted),
  );
  return [...begins, ...holds].filter((item) => item !== fragment).slice(0, 8);
}

/** A mistake, and the character (from 1) that it begins at. */
export type Mistake = { message: Message; position: number };

/** Finds the mistake in a filter; null where there is none. */
export function findMistake(text: string): Mistake | null {
  if (text.trim() === "") return null;
  try {
    parseFilter(text);
    return null;
  } catch (error) {
    if (error instanceof FilterError) return { message: error, position: error.position };
    throw error;
  }
}

/** Splits a filter into words by kind, for colouring; joined they are the text. */
export function words(
  text: string,
): { text: string; kind: "text" | "number" | "word" | "plain" }[] {
  const found = text.matchAll(
    /'(?:[^']|'')*'?|\b(?:and|or|not|in|is|null|like|true|false)\b|\b\d[\d.eE+-]*|[^']+?(?=\b(?:and|or|not|in|is|null|like|true|false)\b|'|\b\d|$)/giu,
  );
  return [...found].map(([part]) => ({
    text: part,
    kind: part.startsWith("'")
      ? "text"
      : /^\d/.test(part)
        ? "number"
        : keywords.has(part.toLowerCase()) || /^(?:true|false)$/i.test(part)
          ? "word"
          : "plain",
  }));
}
