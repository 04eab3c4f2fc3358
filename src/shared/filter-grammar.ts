/**
 * The filter language of `GET /api/tasks?filter=`:
 *
 *     lora_rank = 64 and final_loss < 0.3 and (optimizer in ('adamw', 'lion') or tags.kind = 'style')
 *
 * `= != < <= > >= [not] like [not] in is [not] null and or not ( )`; `not` binds tighter than `and`,
 * `and` tighter than `or`. Fields are dotted paths whose segments are identifiers or "double
 * quoted", with [0] for list elements; texts stand in 'single quotes', doubled within.
 */

import { type MistakeCode, type MistakeParams, mistakeOf, type Phrase } from "./mistakes.ts";
import { keywords, plainSegment, quotedSegment, type Segment, unquote } from "./setting-path.ts";

/** A filter that is not right; `position` counts characters from 1. */
export class FilterError extends Error {
  /** The character it is at, from 1. */
  readonly position: number;
  readonly code: MistakeCode;
  readonly params: MistakeParams;
  constructor(code: MistakeCode, params: MistakeParams, position: number) {
    super(mistakeOf(code, params).message);
    this.code = code;
    this.params = params;
    this.position = position;
  }
}

export type Literal = { value: string | number | boolean; position: number };
export type Field = { path: Segment[]; position: number };
export type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "like";

export type Expression =
  | { kind: "and" | "or"; parts: Expression[] }
  | { kind: "not"; part: Expression }
  | { kind: "compare"; field: Field; operator: Operator; literal: Literal }
  | { kind: "in"; field: Field; literals: Literal[] }
  | { kind: "null"; field: Field };

type Token =
  | { type: "word"; text: string; position: number }
  | { type: "quoted"; text: string; position: number }
  | { type: "text"; text: string; position: number }
  | { type: "number"; value: number; position: number }
  | { type: "sign"; text: string; position: number }
  | { type: "end"; position: number };

const MAX_LENGTH = 10_000;
/** What SQLite's parser takes of any shape, with the statement around it. */
const MAX_DEPTH = 30;
const MAX_COMPARISONS = 200;
const MAX_LIST = 500;

const signs: Record<string, string> = { "==": "=", "<>": "!=" };

/** The kinds of token in the order in which they are tried, and what each makes of its text. */
const kinds: [pattern: RegExp, make: (text: string, position: number) => Token | null][] = [
  [/\s+/y, () => null],
  [
    /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\p{L}\d_])/uy,
    (text, position) => ({ type: "number", value: Number(text), position }),
  ],
  [new RegExp(plainSegment, "uy"), (text, position) => ({ type: "word", text, position })],
  [/'(?:[^']|'')*'/y, (text, position) => ({ type: "text", text: unquote(text), position })],
  [
    new RegExp(quotedSegment, "y"),
    (text, position) => ({ type: "quoted", text: unquote(text), position }),
  ],
  [
    /<=|>=|!=|<>|==|[=<>().,[\]]/y,
    (text, position) => ({ type: "sign", text: signs[text] ?? text, position }),
  ],
];

function tokenise(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < source.length) {
    const begun = at;
    for (const [pattern, make] of kinds) {
      pattern.lastIndex = at;
      const text = pattern.exec(source)?.[0];
      if (text === undefined) continue;
      const token = make(text, at + 1);
      if (token) tokens.push(token);
      at += text.length;
      break;
    }
    if (at > begun) continue;
    const char = String.fromCodePoint(source.codePointAt(at) ?? 0);
    throw char === "'" || char === '"'
      ? new FilterError("filter-unclosed", { quote: char }, at + 1)
      : new FilterError("filter-sign", { sign: JSON.stringify(char) }, at + 1);
  }
  tokens.push({ type: "end", position: source.length + 1 });
  return tokens;
}

/** Reads a filter. Throws FilterError with the position of what is wrong. */
export function parseFilter(source: string): Expression {
  if (source.length > MAX_LENGTH)
    throw new FilterError("filter-length", { most: MAX_LENGTH }, MAX_LENGTH + 1);
  if (source.includes("\0")) throw new FilterError("filter-nul", {}, source.indexOf("\0") + 1);
  const parser = new Parser(tokenise(source));
  const expression = parser.either(0);
  parser.expectEnd();
  return expression;
}

/** Reads one field, as `order_by` and aggregates name it. */
export function parseField(source: string): Field {
  const parser = new Parser(tokenise(source));
  const field = parser.field();
  parser.expectEnd();
  return field;
}

class Parser {
  readonly #tokens: Token[];
  #at = 0;
  #comparisons = 0;

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  get #token(): Token {
    return this.#tokens[this.#at] ?? { type: "end", position: 1 };
  }

  #isWord(word: string): boolean {
    const token = this.#token;
    return token.type === "word" && token.text.toLowerCase() === word;
  }

  #takeWord(word: string): boolean {
    if (!this.#isWord(word)) return false;
    this.#at++;
    return true;
  }

  #takeSign(sign: string): boolean {
    const token = this.#token;
    if (token.type !== "sign" || token.text !== sign) return false;
    this.#at++;
    return true;
  }

  #fail(wanted: Phrase): never {
    const token = this.#token;
    if (token.type === "end") throw new FilterError("filter-end", { wanted }, token.position);
    const found = token.type === "number" ? String(token.value) : JSON.stringify(token.text);
    throw new FilterError("filter-token", { found, wanted }, token.position);
  }

  expectEnd() {
    if (this.#token.type !== "end") this.#fail("end");
  }

  either(depth: number): Expression {
    if (depth > MAX_DEPTH)
      throw new FilterError("filter-depth", { most: MAX_DEPTH }, this.#token.position);
    const parts = [this.#all(depth)];
    while (this.#takeWord("or")) parts.push(this.#all(depth));
    const [only] = parts;
    return parts.length === 1 && only ? only : { kind: "or", parts };
  }

  #all(depth: number): Expression {
    const parts = [this.#not(depth)];
    while (this.#takeWord("and")) parts.push(this.#not(depth));
    const [only] = parts;
    return parts.length === 1 && only ? only : { kind: "and", parts };
  }

  #not(depth: number): Expression {
    if (depth > MAX_DEPTH)
      throw new FilterError("filter-depth", { most: MAX_DEPTH }, this.#token.position);
    if (this.#takeWord("not")) return { kind: "not", part: this.#not(depth + 1) };
    if (this.#takeSign("(")) {
      const inner = this.either(depth + 1);
      if (!this.#takeSign(")")) this.#fail("close");
      return inner;
    }
    return this.#comparison();
  }

  #comparison(): Expression {
    if (++this.#comparisons > MAX_COMPARISONS)
      throw new FilterError("filter-comparisons", { most: MAX_COMPARISONS }, this.#token.position);
    const field = this.field();
    if (this.#takeWord("is")) {
      const negated = this.#takeWord("not");
      if (!this.#takeWord("null")) this.#fail("null");
      const part: Expression = { kind: "null", field };
      return negated ? { kind: "not", part } : part;
    }
    const negated = this.#takeWord("not");
    if (this.#takeWord("in")) {
      const literals = this.#list();
      // Like every comparison, `not in` is false where the value is missing.
      return negated
        ? {
            kind: "and",
            parts: [
              { kind: "not", part: { kind: "null", field } },
              { kind: "not", part: { kind: "in", field, literals } },
            ],
          }
        : { kind: "in", field, literals };
    }
    if (this.#takeWord("like")) {
      const literal = this.#literal();
      const compare: Expression = { kind: "compare", field, operator: "like", literal };
      return negated
        ? {
            kind: "and",
            parts: [
              { kind: "not", part: { kind: "null", field } },
              { kind: "not", part: compare },
            ],
          }
        : compare;
    }
    if (negated) this.#fail("in-like");
    const token = this.#token;
    for (const operator of ["=", "!=", "<=", ">=", "<", ">"] as const)
      if (this.#takeSign(operator)) {
        if (this.#isWord("null")) throw new FilterError("filter-null", {}, this.#token.position);
        return { kind: "compare", field, operator, literal: this.#literal() };
      }
    if (token.type === "number" && token.value >= 0) this.#fail("equals");
    return this.#fail("operator");
  }

  #list(): Literal[] {
    if (!this.#takeSign("(")) this.#fail("open");
    const literals = [this.#literal()];
    while (this.#takeSign(",")) literals.push(this.#literal());
    if (!this.#takeSign(")")) this.#fail("comma-bracket");
    if (literals.length > MAX_LIST)
      throw new FilterError("filter-list", { most: MAX_LIST }, literals[MAX_LIST]?.position ?? 1);
    return literals;
  }

  #literal(): Literal {
    const token = this.#token;
    const { position } = token;
    if (token.type === "number") {
      if (!Number.isFinite(token.value)) throw new FilterError("filter-number", {}, position);
      this.#at++;
      return { value: token.value, position };
    }
    if (token.type === "text") {
      this.#at++;
      return { value: token.text, position };
    }
    if (this.#takeWord("true")) return { value: true, position };
    if (this.#takeWord("false")) return { value: false, position };
    if (token.type === "word" || token.type === "quoted")
      throw new FilterError("filter-quotes", { text: token.text }, position);
    return this.#fail("literal");
  }

  field(): Field {
    const { position } = this.#token;
    const path: Segment[] = [this.#segment()];
    for (;;) {
      if (this.#takeSign(".")) path.push(this.#segment());
      else if (this.#takeSign("[")) {
        const token = this.#token;
        if (token.type !== "number" || !Number.isSafeInteger(token.value) || token.value < 0)
          this.#fail("element");
        this.#at++;
        path.push(token.value);
        if (!this.#takeSign("]")) this.#fail("close-square");
      } else return { path, position };
    }
  }

  #segment(): string {
    const token = this.#token;
    if (token.type === "quoted") {
      this.#at++;
      return token.text;
    }
    if (token.type === "word" && !(keywords.has(token.text.toLowerCase()) && this.#at === 0)) {
      // A keyword can be a path's later segment (`tags.in`), and no field's first.
      const before = this.#tokens[this.#at - 1];
      const first = !(before?.type === "sign" && before.text === ".");
      if (first && keywords.has(token.text.toLowerCase())) this.#fail("field");
      this.#at++;
      return token.text;
    }
    return this.#fail("field");
  }
}
