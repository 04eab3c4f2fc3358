/*
 * MLflow's language of filters and orders: comparisons joined by AND. What a name means, and which comparators
 * it takes, is the caller's.
 */
import { invalid } from "./body.ts";

export type Comparator =
  | ">"
  | ">="
  | "="
  | "!="
  | "<"
  | "<="
  | "LIKE"
  | "ILIKE"
  | "IN"
  | "NOT IN"
  | "IS NULL"
  | "IS NOT NULL";

/** A literal: a number, a text in quotes, a list of these, or another word, as which it is refused. */
export type Literal =
  | { kind: "number"; value: number; source: string }
  | { kind: "text"; value: string; source: string }
  | { kind: "list"; values: Literal[]; source: string }
  | { kind: "word"; source: string }
  | { kind: "none"; source: string };

export type Clause = {
  entity: string | null;
  key: string;
  comparator: Comparator;
  literal: Literal;
};

/** Characters of a filter, and comparisons in it. */
const MOST_FILTER = 20_000;
const MOST_CLAUSES = 50;
const MOST_VALUES = 1000;

const tokens =
  /\s+|>=|<=|!=|<>|==|[=<>(),]|'(?:[^']|'')*'|(?:"(?:[^"]|"")*"|`[^`]*`|[^\s=<>!'"`(),])+|./gsy;

function tokensOf(text: string): string[] {
  if (text.length > MOST_FILTER)
    throw invalid(`The filter is longer than ${MOST_FILTER} characters.`);
  return [...text.matchAll(tokens)].map(([token]) => token).filter((token) => token.trim() !== "");
}

/** Splits at the first dot outside quotes; quotes around a key fall away. */
function nameOf(token: string): { entity: string | null; key: string } {
  const [, entity, rest] = /^([A-Za-z_]+)\.(.+)$/s.exec(token) ?? [];
  const bare = (text: string) => /^([`"])(.*)\1$/s.exec(text)?.[2] ?? text;
  return entity === undefined || rest === undefined
    ? { entity: null, key: bare(token) }
    : { entity: entity.toLowerCase(), key: bare(rest) };
}

function literalOf(token: string): Literal {
  const [, quote, inner] = /^(['"])(.*)\1$/s.exec(token) ?? [];
  if (quote !== undefined && inner !== undefined)
    return { kind: "text", value: inner.replaceAll(quote + quote, quote), source: token };
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(token))
    return { kind: "number", value: Number(token), source: token };
  return { kind: "word", source: token };
}

const comparators = new Map<string, Comparator>([
  ...([">", ">=", "=", "!=", "<", "<="] as const).map((one) => [one, one] as const),
  ["LIKE", "LIKE"],
  ["ILIKE", "ILIKE"],
]);

/** The comparisons of a filter, all of which hold. Throws MlflowError. */
export function parseFilter(text: string): Clause[] {
  const all = tokensOf(text);
  const clauses: Clause[] = [];
  let at = 0;
  const upper = (n: number) => all[n]?.toUpperCase();
  const wrong = (part: string) => invalid(`Invalid clause(s) in filter string: '${part}'`);
  while (at < all.length) {
    const [name = ""] = all.slice(at, at + 1);
    if (/^[()=<>!,]/.test(name)) throw wrong(all.slice(at).join(" "));
    at++;
    const word = upper(at);
    if (word === undefined || word === "AND" || word === "OR") throw wrong(name);
    const { entity, key } = nameOf(name);
    let comparator = comparators.get(word);
    let literal: Literal | undefined;
    if (comparator) at++;
    else if (word === "IN" || (word === "NOT" && upper(at + 1) === "IN")) {
      comparator = word === "IN" ? "IN" : "NOT IN";
      at += word === "IN" ? 1 : 2;
    } else if (word === "IS") {
      const isNot = upper(at + 1) === "NOT";
      if (upper(at + (isNot ? 2 : 1)) !== "NULL") throw wrong(all.slice(at - 1, at + 3).join(" "));
      comparator = isNot ? "IS NOT NULL" : "IS NULL";
      at += isNot ? 3 : 2;
      literal = { kind: "none", source: "NULL" };
    } else throw wrong(all.slice(at - 1, at + 2).join(" "));
    if (!literal) {
      const token = all[at];
      if (token === undefined) throw wrong(all.slice(at - 2).join(" "));
      if (token === "(") {
        const end = all.indexOf(")", at);
        if (end < 0) throw wrong(all.slice(at).join(" "));
        const values = all.slice(at + 1, end);
        // Values and commas take turns.
        if (
          values.length === 0 ||
          values.length % 2 === 0 ||
          values.some((one, n) => (n % 2 === 1) !== (one === ","))
        )
          throw wrong(all.slice(at, end + 1).join(" "));
        if (values.length > 2 * MOST_VALUES)
          throw invalid(`A list in the filter has more than ${MOST_VALUES} values.`);
        literal = {
          kind: "list",
          values: values.filter((_, n) => n % 2 === 0).map(literalOf),
          source: `(${values.join(" ").replaceAll(" ,", ",")})`,
        };
        at = end + 1;
      } else {
        literal = literalOf(token);
        at++;
      }
    }
    clauses.push({ entity, key, comparator, literal });
    if (clauses.length > MOST_CLAUSES)
      throw invalid(`The filter has more than ${MOST_CLAUSES} comparisons.`);
    if (at >= all.length) break;
    if (upper(at) !== "AND") throw wrong(all[at] ?? "");
    at++;
  }
  return clauses;
}

export type Ordering = { entity: string | null; key: string; descending: boolean };
const MOST_ORDERS = 10;

/** The fields of an order, in MLflow's words. Throws MlflowError. */
export function parseOrder(list: string[]): Ordering[] {
  if (list.length > MOST_ORDERS) throw invalid(`The order has more than ${MOST_ORDERS} fields.`);
  return list.map((text) => {
    const all = tokensOf(text);
    const [name = "", direction] = all;
    const word = direction?.toUpperCase();
    if (
      all.length === 0 ||
      all.length > 2 ||
      /^['()=<>!,]/.test(name) ||
      (word !== undefined && word !== "ASC" && word !== "DESC")
    )
      throw invalid(`Invalid order_by clause '${text}'. Could not be parsed.`);
    return { ...nameOf(name), descending: word === "DESC" };
  });
}

/** Bounds of patterns: each piece is compared with every place of a text. */
const MAX_PATTERN = 250;
const MAX_WILDCARDS = 8;

/** A pattern with `%` and `_` as SQLite's GLOB has it, which minds upper and lower case. Throws MlflowError. */
export function globOf(pattern: string): string {
  if (pattern.length > MAX_PATTERN)
    throw invalid(`A pattern in the filter is longer than ${MAX_PATTERN} characters.`);
  if ((pattern.match(/%+/g) ?? []).length > MAX_WILDCARDS)
    throw invalid(`A pattern in the filter has more than ${MAX_WILDCARDS} wildcards.`);
  return pattern.replace(/[*?[\]]|%+|_/g, (one) =>
    one.startsWith("%") ? "*" : one === "_" ? "?" : `[${one}]`,
  );
}

/** The names of a set, as MLflow's sentences list them. */
export const listed = (names: Iterable<string>) =>
  `{${[...names].map((n) => `'${n}'`).join(", ")}}`;
