/**
 * Makes Python source shorter without changing its meaning or the number of any line: tabs for indentation, no docstrings,
 * no comments, no annotations, no imports that only annotations need. It knows the Python that ruff formats.
 */

interface Token {
  kind: "string" | "comment" | "newline" | "space" | "name" | "op";
  text: string;
  /** How many brackets are open around the token; a bracket itself counts from outside. */
  depth: number;
}

const kinds: [Token["kind"], RegExp][] = [
  ["newline", /\n/y],
  ["space", /(?:[ \t\f]|\\\n)+/y],
  ["comment", /#[^\n]*/y],
  ["name", /[\w\u0080-\uffff]+/y],
  ["op", /->|:=|[=!<>]=|./y],
];
const stringStart = /([rbfuRBFU]{0,2})("""|'''|"|')/y;

/** Where the Python string ends whose text begins at `at`; `quote` closes it. */
function stringEnd(code: string, at: number, quote: string): number {
  while (!code.startsWith(quote, at)) {
    if (at >= code.length) throw new Error("a string has no end");
    at += code[at] === "\\" ? 2 : 1;
  }
  return at + quote.length;
}

function tokenize(code: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  for (let at = 0; at < code.length; ) {
    stringStart.lastIndex = at;
    const opening = stringStart.exec(code);
    let kind: Token["kind"] = "string";
    let end = at;
    if (opening) end = stringEnd(code, at + opening[0].length, opening[2] ?? "");
    else
      for (const [name, pattern] of kinds) {
        pattern.lastIndex = at;
        const found = pattern.exec(code);
        if (!found) continue;
        kind = name;
        end = at + found[0].length;
        break;
      }
    const text = code.slice(at, end);
    if (kind === "op" && ")]}".includes(text)) depth--;
    tokens.push({ kind, text, depth });
    if (kind === "op" && "([{".includes(text)) depth++;
    at = end;
  }
  return tokens;
}

/** A statement, or the head of a compound one, up to the end of its last line. */
interface Line {
  tokens: Token[];
  /** The tokens that are code, in order. */
  code: Token[];
  indent: number;
}

function splitLines(tokens: Token[]): Line[] {
  const lines: Line[] = [];
  let from = 0;
  tokens.forEach((token, n) => {
    const isEnd = token.kind === "newline" && token.depth === 0;
    if (!isEnd && n + 1 < tokens.length) return;
    const whole = tokens.slice(from, n + 1);
    from = n + 1;
    const code = whole.filter(({ kind }) => !["newline", "space", "comment"].includes(kind));
    const first = whole[0];
    lines.push({ tokens: whole, code, indent: first?.kind === "space" ? first.text.length : 0 });
  });
  return lines;
}

/** Takes tokens out of a line, from one to another, the last one excluded; line ends stay. */
function remove(line: Line, from: Token | undefined, to: Token | undefined): void {
  const start = from ? line.tokens.indexOf(from) : -1;
  const end = to ? line.tokens.indexOf(to) : line.tokens.length;
  if (start < 0) return;
  const gone = line.tokens.splice(start, end - start);
  line.tokens.splice(start, 0, ...gone.filter(({ kind }) => kind === "newline"));
  line.code = line.code.filter((token) => line.tokens.includes(token));
}

/** The first token of a text at a depth, from the place `from` in the line's code on. */
const find = (line: Line, texts: string[], depth: number, from = 0) =>
  line.code.find(
    (t, n) => n >= from && t.kind === "op" && t.depth === depth && texts.includes(t.text),
  );

/** Takes the annotations out of the head of a function. */
function bareFunction(line: Line): void {
  const open = find(line, ["("], 0);
  const close = find(line, [")"], 0);
  if (!open || !close) throw new Error("a function's head has no parameters");
  const arrow = find(line, ["->"], 0);
  if (arrow) {
    const colon = find(line, [":"], 0, line.code.indexOf(arrow));
    remove(line, arrow, colon);
    // Lines of the annotation would break the statement outside of brackets.
    const after = line.tokens.splice(line.tokens.indexOf(close) + 1);
    const breaks = after.filter(({ kind }, n) => kind === "newline" && n + 1 < after.length);
    line.tokens.splice(line.tokens.indexOf(close), 0, ...breaks);
    line.tokens.push(...after.filter((token) => token.kind !== "space" && !breaks.includes(token)));
  }
  let isLambda = false;
  for (const token of line.code.slice(line.code.indexOf(open), line.code.indexOf(close))) {
    if (token.depth !== 1) continue;
    if (token.text === "lambda") isLambda = true;
    if (token.text !== ":") continue;
    if (isLambda) {
      isLambda = false;
      continue;
    }
    const from = line.code.indexOf(token);
    const end = find(line, [",", "="], 1, from);
    const stop = end && line.code.indexOf(end) < line.code.indexOf(close) ? end : close;
    // A line break before the closing bracket, and the indentation after it, stay.
    let last = line.tokens.indexOf(stop);
    while (["space", "newline"].includes(line.tokens[last - 1]?.kind ?? "")) last--;
    remove(line, token, stop === close ? line.tokens[last] : stop);
    const next = line.tokens[line.tokens.indexOf(stop) + 1];
    if (stop.text === "=" && next?.kind === "space")
      line.tokens.splice(line.tokens.indexOf(next), 1);
  }
}

/** Words that begin statements with a colon of their own, or lines that cannot be an annotated name. */
const keywords = new Set(
  (
    "if elif else for while try except finally with class def async lambda return yield raise assert del import " +
    "from global nonlocal pass break continue not await"
  ).split(" "),
);

/** The colon and the equals sign of an annotated assignment; the sign is undefined in a bare declaration. */
function annotation(line: Line): { colon: Token; equals: Token | undefined } | undefined {
  const [first] = line.code;
  if (first?.kind !== "name" || keywords.has(first.text)) return undefined;
  const colon = find(line, [":", "=", ":="], 0);
  if (colon?.text !== ":") return undefined;
  return { colon, equals: find(line, ["="], 0) };
}

/** Takes an annotation out of an assignment; false where it has to stay, on lines of its own or without a value. */
function bareAssignment(line: Line, colon: Token, equals: Token | undefined): boolean {
  const from = line.tokens.indexOf(colon);
  if (!equals) return false;
  const to = line.tokens.indexOf(equals);
  if (line.tokens.slice(from, to).some(({ kind }) => kind === "newline")) return false;
  remove(line, colon, line.tokens[to - 1]?.kind === "space" ? line.tokens[to - 1] : equals);
  return true;
}

/** Takes a whole line out; its line ends stay. */
const empty = (line: Line) => remove(line, line.tokens[0], undefined);

/** Takes names that nothing uses out of a `from … import …` at the top of a module. */
function bareImport(line: Line, used: Set<string>): void {
  const at = line.code.findIndex(({ text }) => text === "import");
  const items: Token[][] = [[]];
  for (const token of line.code.slice(at + 1)) {
    if ("()".includes(token.text)) continue;
    items.at(-1)?.push(token);
    if (token.text === ",") items.push([]);
  }
  const named = items.filter((item) => item.some(({ kind }) => kind === "name"));
  const nameOf = (item: Token[]) => item.filter(({ kind }) => kind === "name").at(-1)?.text ?? "";
  const gone = named.filter((item) => !used.has(nameOf(item)));
  if (!gone.length || named.some((item) => item[0]?.text === "*")) return;
  if (gone.length === named.length) empty(line);
  else takeOut(line, gone);
}

/** Takes some names of an import out, each with its comma. */
function takeOut(line: Line, gone: Token[][]): void {
  for (const item of gone)
    for (const token of item) {
      const next = line.tokens[line.tokens.indexOf(token) + 1];
      remove(line, token, next);
      if (next?.kind === "space") line.tokens.splice(line.tokens.indexOf(next), 1);
    }
  // Outside of brackets the last name has no comma.
  const last = line.code.at(-1);
  if (last?.text === ",") remove(line, last, line.tokens[line.tokens.indexOf(last) + 1]);
}

/** The names in a token: that of a name, and every word of a formatted string. */
function namesIn({ kind, text }: Token): string[] {
  if (kind === "name") return [text];
  return kind === "string" && /^[rR]?[fF]/.test(text) ? (text.match(/\w+/g) ?? []) : [];
}

/** Takes annotations, and what only they need, out of a module. */
function bare(lines: Line[]): void {
  const blocks: { kind: string; indent: number }[] = [];
  let isAnnotated = false;
  for (const line of lines.filter(({ code }) => code.length)) {
    while (blocks.length && (blocks.at(-1)?.indent ?? 0) >= line.indent) {
      const ended = blocks.pop();
      if (ended?.kind === "typing" && line.code[0]?.text === "else" && ended.indent === line.indent)
        throw new Error("`if TYPE_CHECKING:` has an else, which nothing here shortens");
    }
    const words = line.code.map(({ text }) => text);
    const head = words[0] === "async" ? words[1] : words[0];
    const found = annotation(line);
    if (words.join(" ") === "if TYPE_CHECKING :")
      blocks.push({ kind: "typing", indent: line.indent });
    if (blocks.some(({ kind }) => kind === "typing")) empty(line);
    else if (head === "def") bareFunction(line);
    else if (
      found &&
      (blocks.at(-1)?.kind === "class" || !bareAssignment(line, found.colon, found.equals))
    )
      isAnnotated = true;
    if (head === "def" || head === "class") blocks.push({ kind: head, indent: line.indent });
  }
  const isImport = ({ code, indent }: Line) => code[0]?.text === "from" && indent === 0;
  const used = new Set(
    lines.filter((line) => !isImport(line)).flatMap(({ code }) => code.flatMap(namesIn)),
  );
  if (used.has("__all__")) return;
  for (const line of lines.filter(isImport))
    if (line.code[1]?.text !== "__future__") bareImport(line, used);
    else if (!isAnnotated) empty(line);
}

/** Takes docstrings out; an empty string stays where a block has nothing else. */
function bareDocstrings(lines: Line[]): void {
  const withCode = lines.filter(({ code }) => code.length);
  withCode.forEach((line, n) => {
    const [only] = line.code;
    if (line.code.length !== 1 || only?.kind !== "string") return;
    const isNeeded = line.indent > 0 && withCode[n + 1]?.indent !== line.indent;
    only.text = `${isNeeded ? '""' : ""}${"\n".repeat(only.text.split("\n").length - 1)}`;
  });
}

/** The text with tabs, without comments and blanks at the ends of lines. */
function render(lines: Line[]): string {
  let whole = "";
  let last = "";
  for (const { kind, text } of lines.flatMap(({ tokens }) => tokens)) {
    if (kind === "comment" || kind === "newline") last = last.trimEnd();
    if (kind === "comment") continue;
    if (kind === "space" && last === "")
      last = "\t".repeat(text.length >> 2) + " ".repeat(text.length & 3);
    else last += text;
    const end = last.lastIndexOf("\n") + 1;
    whole += last.slice(0, end);
    last = last.slice(end);
  }
  return whole + last;
}

/**
 * A module with tabs for indentation and without comments. Unless it is `documented`, its docstrings, annotations and the
 * imports for these alone are taken out as well. Annotations in the bodies of classes stay, since dataclasses and their
 * like read them. Every line keeps its number, so that tracebacks name the lines of the repository.
 */
export function shortenPython(code: string, documented = false): string {
  const lines = splitLines(tokenize(code));
  if (!documented) {
    bare(lines);
    bareDocstrings(lines);
  }
  return render(lines);
}
