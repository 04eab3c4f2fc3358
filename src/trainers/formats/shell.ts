/** No script that starts a trainer comes near these lengths; what goes beyond is not read. */
const MOST_TEXT = 200_000;
const MOST_WORDS = 20_000;
/** Variables hold variables: without an end to their lengths, a short script could fill the memory. */
const MOST_VALUE = 20_000;
const MOST_EXPANDED = 1_000_000;

const NAME = /^[A-Za-z_]\w*/;
const KEYWORDS = new Set([
  ...["then", "do", "else", "if", "elif", "while", "!", "{", "(", "time", "exec"],
  ...["export", "local", "readonly"],
]);

/**
 * The commands of a shell script as lists of words: quotes, comments and continued lines are taken away, and
 * variables that the script sets to plain words or lists are put in. Branches are all taken, in their order;
 * what a program would print (`$(…)`) and variables from outside stay as they are written.
 */
export function commandsOf(text: string): string[][] {
  const reader = new Reader(text.slice(0, MOST_TEXT).replaceAll("\r\n", "\n"));
  return reader.commands();
}

const append = (text: string | undefined, more: string | undefined): string => {
  const room = MOST_VALUE - (text ?? "").length;
  return room > 0 ? (text ?? "") + (more ?? "").slice(0, room) : (text ?? "");
};

class Reader {
  private readonly text: string;
  private at = 0;
  private words = 0;
  /** Characters and words that variables have put in so far. */
  private expanded = 0;
  private readonly variables = new Map<string, string[]>();

  constructor(text: string) {
    this.text = text;
  }

  commands(): string[][] {
    const found: string[][] = [];
    while (this.at < this.text.length && this.words < MOST_WORDS) {
      const command = this.command();
      if (command.length > 0) found.push(command);
    }
    return found;
  }

  /** Words up to the end of a command; assignments before them are kept, and are no words. */
  private command(): string[] {
    const words: string[] = [];
    while (this.at < this.text.length && this.words < MOST_WORDS) {
      this.skipBlanks();
      const char = this.text[this.at] ?? "";
      if (/[\n;&|]/.test(char)) {
        this.at++;
        break;
      }
      if (char === "#") this.skipLine();
      else if (char === ")") this.at++;
      else if (words.length === 0 && this.assign()) continue;
      else {
        const before = this.at;
        const more = this.word();
        if (this.at === before) this.at++;
        if (words.length === 0 && more.length === 1 && KEYWORDS.has(more[0] ?? "")) continue;
        this.words += more.length;
        words.push(...more);
      }
    }
    return words;
  }

  private skipBlanks() {
    for (;;) {
      const char = this.text[this.at];
      const next = this.text[this.at + 1];
      // Windows' batch files continue a line by ^.
      if ((char === "\\" || char === "^" || char === "`") && next === "\n") this.at += 2;
      else if (char === " " || char === "\t") this.at++;
      else return;
    }
  }

  private skipLine() {
    const end = this.text.indexOf("\n", this.at);
    this.at = end === -1 ? this.text.length : end;
  }

  /** `NAME=word` and `NAME=(words)`. */
  private assign(): boolean {
    const [name = ""] = NAME.exec(this.text.slice(this.at, this.at + 100)) ?? [];
    if (name === "" || this.text[this.at + name.length] !== "=") return false;
    this.at += name.length + 1;
    if (this.text[this.at] === "(") {
      this.at++;
      this.variables.set(name, this.list());
    } else {
      const isWord = !/[\s;&|]/.test(this.text[this.at] ?? "\n");
      this.variables.set(name, [isWord ? this.word().join(" ") : ""]);
    }
    return true;
  }

  /** The words of a list up to its parenthesis, over several lines. */
  private list(): string[] {
    const words: string[] = [];
    while (this.at < this.text.length && this.words < MOST_WORDS) {
      this.skipBlanks();
      const char = this.text[this.at];
      if (char === ")") {
        this.at++;
        break;
      }
      if (char === "#") this.skipLine();
      else if (/[\n;&|]/.test(char ?? "")) this.at++;
      else {
        const before = this.at;
        const more = this.word();
        if (this.at === before) this.at++;
        this.words += more.length;
        words.push(...more);
      }
    }
    return words;
  }

  /** One word as it is written, which is several where an unquoted variable holds several. */
  private word(): string[] {
    const words: string[] = [];
    let text = "";
    let isOpen = false;
    const add = (more: string) => {
      text = append(text, more);
      isOpen = true;
    };
    while (this.at < this.text.length) {
      const char = this.text[this.at] ?? "";
      if (/[\s;&|)]/.test(char)) break;
      if (char === "'") add(this.until("'"));
      else if (char === '"') {
        const parts = this.quoted();
        // "${list[@]}" is as many words as the list has.
        add(parts[0] ?? "");
        for (const part of parts.slice(1)) {
          words.push(text);
          text = part;
        }
        if (parts.length === 0 && text === "") isOpen = false;
      } else if (char === "$") {
        const values = this.variable();
        const parts = values.join(" ").split(/\s+/);
        if (parts.length === 1) add(parts[0] ?? "");
        else
          parts.forEach((part, i) => {
            if (i > 0) words.push(text);
            text = append(i > 0 ? "" : text, part);
            isOpen = true;
          });
      } else if (char === "\\") {
        add(this.text[this.at + 1] === "\n" ? "" : (this.text[this.at + 1] ?? ""));
        this.at += 2;
      } else {
        add(char);
        this.at++;
      }
      if (words.length > MOST_WORDS) break;
    }
    return isOpen ? [...words, text] : words;
  }

  private until(quote: string): string {
    const end = this.text.indexOf(quote, this.at + 1);
    const inner = this.text.slice(this.at + 1, end === -1 ? undefined : end);
    this.at = end === -1 ? this.text.length : end + 1;
    return inner;
  }

  /** What stands in double quotes; several texts where it is a list. */
  private quoted(): string[] {
    this.at++;
    const parts: string[] = [""];
    while (this.at < this.text.length) {
      const char = this.text[this.at] ?? "";
      const last = parts.length - 1;
      if (char === '"') {
        this.at++;
        return parts;
      }
      if (char === "$") {
        const isList = /^\$\{\w+\[@\]\}/.test(this.text.slice(this.at, this.at + 200));
        const values = this.variable();
        if (isList && values.length === 0 && parts.length === 1 && parts[0] === "") {
          if (this.text[this.at] === '"') {
            this.at++;
            return [];
          }
        } else if (isList) {
          parts[last] = append(parts[last], values[0]);
          for (const value of values.slice(1)) parts.push(value);
        } else parts[last] = append(parts[last], values.join(" "));
        continue;
      }
      if (char === "\\" && /["\\$`\n]/.test(this.text[this.at + 1] ?? "")) {
        const next = this.text[this.at + 1] ?? "";
        parts[last] = append(parts[last], next === "\n" ? "" : next);
        this.at += 2;
        continue;
      }
      parts[last] = append(parts[last], this.plain());
    }
    return parts;
  }

  /** Text without a quote, a variable or a backslash, from here on; at least one character. */
  private plain(): string {
    let end = this.at + 1;
    while (end < this.text.length && !/["$\\]/.test(this.text[end] ?? "")) end++;
    const text = this.text.slice(this.at, end);
    this.at = end;
    return text;
  }

  /** The values of the variable here; what is none, or set elsewhere, as it is written. */
  private variable(): string[] {
    const rest = this.text.slice(this.at, this.at + 300);
    const [whole, braced, fallback, bare] =
      /^\$(?:\{(\w+)(?:\[[@*]\])?(?::?-([^{}$]*))?\}|([A-Za-z_]\w*))/.exec(rest) ?? [];
    if (whole === undefined) {
      if (rest.startsWith("$(")) return [this.parenthesised()];
      this.at++;
      return ["$"];
    }
    this.at += whole.length;
    const values = this.variables.get(braced ?? bare ?? "");
    if (values === undefined) return [fallback ?? whole];
    if (this.expanded > MOST_EXPANDED) return [whole];
    for (const value of values) this.expanded += value.length + 1;
    return this.expanded > MOST_EXPANDED ? [whole] : values;
  }

  private parenthesised(): string {
    const from = this.at;
    let depth = 0;
    for (this.at++; this.at < this.text.length; this.at++) {
      if (this.text[this.at] === "(") depth++;
      else if (this.text[this.at] === ")" && --depth === 0) break;
    }
    this.at++;
    return this.text.slice(from, this.at);
  }
}
