import { FilterError, parseFilter } from "../../../../src/shared/filter-grammar.ts";
import { filterFields, runFieldList } from "../../../../src/shared/run-fields.ts";
import type { Said } from "../../said.ts";

const fields = [...filterFields.map(([name]) => name), "user"].sort();
const beginnings = ["config.", "metrics.", "tags."];
const operators = ["=", "!=", "<", "<=", ">", ">=", "like", "in (", "is null", "is not null"];
const keywords = new Set(["and", "or", "not", "in", "is", "null", "like"]);
const values: Record<string, readonly string[]> = Object.fromEntries(
  runFieldList.flatMap(([name, { values }]) => (values ? [[name, values]] : [])),
);

/** What may stand at the caret, and which part of the text before it that would replace. */
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
  const word = head.match(/([\p{L}_"][\p{L}\p{N}_.\]"-]*)$/u)?.[1] ?? "";
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

/** What is wrong with a filter, and at which character (from 1); null where nothing is. */
export function mistake(text: string): { said: Said; position: number } | null {
  if (text.trim() === "") return null;
  try {
    parseFilter(text);
    return null;
  } catch (error) {
    if (error instanceof FilterError) return { said: error, position: error.position };
    throw error;
  }
}

/** The filter's words by what they are, for colouring; together they are the text. */
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
