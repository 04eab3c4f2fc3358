import {
  type Expression,
  FilterError,
  type Literal,
  parseFilter,
} from "../../../../src/shared/filter-grammar.ts";
import { filterFields } from "../../../../src/shared/run-fields.ts";
import { printPath } from "../../../../src/shared/setting-path.ts";
import { findMistake, type Mistake } from "./complete.ts";

/** The text of one search box: words, and a filter in the filter language. */
export type Search = {
  q: string;
  filter: string;
  /** Characters of the text before the filter. */
  ahead: number;
};

const roots = new Set([
  ...filterFields.map(([name]) => name as string),
  ...["user", "config", "metrics", "tags"],
]);

const quoted = `"(?:[^"]|"")*"`;
const path = String.raw`(?:[\p{L}_][\p{L}\p{N}_-]*|${quoted})(?:\.(?:[\p{L}_][\p{L}\p{N}_-]*|${quoted})|\[\d+\])*`;
/** A field and the operator behind it, with the brackets and `not` before it. */
const comparison = new RegExp(
  String.raw`(?:\(\s*|(?<![\p{L}\p{N}_])not(?=[\s(])\s*)*(?:(?<![\p{L}\p{N}_.\]])${path})?\s*(?:[<>=!]=?|(?<=\s)(?:not\s+)?(?:in\s*\(|like\s+'|is\s+(?:not\s+)?null(?![\p{L}\p{N}_])))`,
  "iu",
);

/** A longer text is one filter: no words are looked for in it. */
const MOST_MIXED = 2000;

const isWords = (text: string) =>
  !comparison.test(text) && !/^(?:and|or)(?![\p{L}\p{N}_])/iu.test(text);
const startsWithField = (text: string) =>
  roots.has(text.match(/^[\p{L}_][\p{L}\p{N}_]*/u)?.[0] ?? "");

/**
 * Splits the text of a search box. A text without a comparison is words; one that is a filter is a filter; else
 * the filter begins with the first comparison, and what is before it, and behind its end, is words. Text in
 * "double quotes" before the first comparison is words too. Throws nothing: a filter that does not parse is the
 * filter, so that its mistake shows.
 */
export function splitSearch(text: string): Search {
  if (text.length > MOST_MIXED) return { q: "", filter: text.trim(), ahead: 0 };
  const found = comparison.exec(
    // A text in double quotes that is followed by no operator is an exact phrase, whatever is in it.
    text.replace(
      /(?<![.\p{L}\p{N}])"(?:[^"]|"")*"(?!\s*(?:[<>=!.[]|(?:not\s+)?(?:in\s*\(|like\s+'|is\s+(?:not\s+)?null)))/giu,
      (phrase) => "\u0001".repeat(phrase.length),
    ),
  );
  if (!found || parses(text)) return found ? { q: "", filter: text.trim(), ahead: 0 } : words(text);
  const before = text.slice(0, found.index).trimEnd();
  // `or` and brackets join comparisons, not words: the parser says so.
  if (/(?:^|[\s(])or$|\($/i.test(before)) return { q: "", filter: text.trim(), ahead: 0 };
  const q = before.replace(/(?:^|\s+)and$/i, "");
  const rest = text.slice(found.index);
  const ahead = found.index + (rest.length - rest.trimStart().length);
  const { filter, behind } = cutBehind(rest.trim());
  return { q: [q.trim(), behind].filter(Boolean).join(" "), filter, ahead };
}

const words = (text: string): Search => ({ q: text.trim(), filter: "", ahead: 0 });

const parses = (text: string) => findMistake(text) === null;

/** The filter at the beginning of a text, and the words behind it. */
function cutBehind(text: string): { filter: string; behind: string } {
  const whole = { filter: text, behind: "" };
  const mistake = findMistake(text);
  if (!mistake) return whole;
  const filter = text.slice(0, mistake.position - 1).trim();
  const behind = text.slice(mistake.position - 1).trim();
  if (behind && isWords(behind) && filter && parses(filter)) return { filter, behind };
  // `lora_rank > 16 and aki`: a comparison was expected behind `and`.
  const joined = text.match(/^(.*)\sand\s+([^<>=!()']+)$/is);
  const [, head = "", tail = ""] = joined ?? [];
  return tail && isWords(tail) && !startsWithField(tail) && parses(head)
    ? { filter: head.trim(), behind: tail.trim() }
    : whole;
}

/** The text of a search box that splitSearch() splits into these words and this filter. */
export function joinSearch(q: string, filter: string): string {
  const joined = (ahead: string) => [ahead, filter].filter(Boolean).join(" ");
  const plain = joined(q.trim());
  const split = splitSearch(plain);
  if (split.q === q.trim() && split.filter === filter.trim()) return plain;
  return joined(q.trim() && `"${q.trim().replaceAll('"', " ")}"`);
}

/** The mistake in the filter of a search box's text, at its place in the text. */
export function findSearchMistake(text: string): Mistake | null {
  const { filter, ahead } = splitSearch(text);
  const mistake = findMistake(filter);
  return mistake && { ...mistake, position: mistake.position + ahead };
}

/** A value as the filter language writes it. */
export const printValue = (value: Literal["value"]) =>
  typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);

/** An expression in the filter language; parsed again it is the same expression. */
export function printFilter(expression: Expression): string {
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.parts
        .map((part) =>
          part.kind === "or" || part.kind === expression.kind
            ? `(${printFilter(part)})`
            : printFilter(part),
        )
        .join(` ${expression.kind} `);
    case "not":
      return expression.part.kind === "null"
        ? `${printPath(expression.part.field.path)} is not null`
        : expression.part.kind === "and" || expression.part.kind === "or"
          ? `not (${printFilter(expression.part)})`
          : `not ${printFilter(expression.part)}`;
    case "null":
      return `${printPath(expression.field.path)} is null`;
    case "in":
      return `${printPath(expression.field.path)} in (${expression.literals.map(({ value }) => printValue(value)).join(", ")})`;
    case "compare":
      return `${printPath(expression.field.path)} ${expression.operator} ${printValue(expression.literal.value)}`;
  }
}

/** The expression of a filter; null where it is empty or has a mistake. */
export function readFilter(filter: string): Expression | null {
  if (filter.trim() === "") return null;
  try {
    return parseFilter(filter);
  } catch (error) {
    if (error instanceof FilterError) return null;
    throw error;
  }
}

/** The conditions that must all hold, each in the filter language. */
export function termsOf(filter: string): string[] {
  const expression = readFilter(filter);
  if (!expression) return [];
  return (expression.kind === "and" ? expression.parts : [expression]).map((part) =>
    part.kind === "or" || part.kind === "and" ? `(${printFilter(part)})` : printFilter(part),
  );
}

/** A filter with one condition more; a filter with a mistake is left out. */
export function withTerm(filter: string, term: string): string {
  const expression = readFilter(filter);
  if (!expression || termsOf(filter).includes(term)) return expression ? filter : term;
  return `${expression.kind === "or" ? `(${filter.trim()})` : filter.trim()} and ${term}`;
}

/** A filter without one of its conditions. */
export const withoutTerm = (filter: string, term: string): string =>
  termsOf(filter)
    .filter((one) => one !== term)
    .join(" and ");
