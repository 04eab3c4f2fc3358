/**
 * The simple commands of a shell script, as the shell would start them: words without their quotes,
 * lines joined, arrays and variables that the script itself sets put in. Nothing is run: what a command
 * would print (`$(…)`), what comes from outside (`$1`, `$HOME`) and what depends on a condition or a loop
 * stays as it is written. Grammar: POSIX Shell Command Language, and bash's arrays.
 *
 * Linear in the text and what the variables put in, which MOST_CHARACTERS bounds.
 */

/** No script that people write comes near these. */
const MOST_CHARACTERS = 1_000_000;
const MOST_WORDS = 20_000;
const MOST_COMMANDS = 2000;
/** `$(…)` within `$(…)`. */
const MOST_NESTED = 50;

/** A variable of one value, or an array. */
type Value = string | string[];

/** A part of a word: its text, and whether blanks in it end the word, as in a bare `$VAR`. */
type Piece = { text: string; splits?: true; list?: string[]; unknown?: true };
type Word = { pieces: Piece[]; quoted: boolean; raw: string };

class TooMuch extends Error {}

const blank = /[ \t\r]/;
const name = /[A-Za-z_]\w*/y;
/** Words that only begin or end a part of the script; a command may follow each. */
const reserved = new Set(["then", "do", "else", "elif", "if", "while", "until", "!", "{", "time"]);
const opens = new Set(["if", "while", "until", "for", "case", "select", "{"]);
const closes = new Set(["fi", "done", "esac", "}"]);
const declares = new Set(["export", "declare", "local", "readonly", "typeset"]);

/**
 * The commands of a script, first to last; null where it is too much to be one that people write. In a
 * batch file of Windows a backslash is a path's, and `^` goes on in the next line.
 */
export function commandsOf(text: string, isBatch = false): string[][] | null {
  const lines = text.replaceAll("\r\n", "\n");
  try {
    return new Script(
      isBatch ? lines.replaceAll("\\", "\\\\").replaceAll("^\n", "\\\n") : lines,
    ).read();
  } catch (error) {
    if (error instanceof TooMuch) return null;
    throw error;
  }
}

class Script {
  private at = 0;
  private readonly variables = new Map<string, Value>();
  /** Variables that a branch, a loop or a command sets: nobody knows to what. */
  private readonly uncertain = new Set<string>();
  /** Branches, loops and functions around the present place; and whether a `&&` or `||` is before it. */
  private depth = 0;
  private isConditional = false;
  private spent = 0;
  private words = 0;
  private readonly heredocs: { end: string; tabs: boolean }[] = [];
  private readonly commands: string[][] = [];

  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  read(): string[][] {
    let words: Word[] = [];
    const end = () => {
      this.finish(words);
      words = [];
    };
    while (this.at < this.text.length) {
      const unit = this.text.charAt(this.at);
      if (blank.test(unit)) this.at++;
      else if (unit === "\n") {
        this.at++;
        end();
        this.isConditional = false;
        this.skipHeredocs();
      } else if (unit === "#") this.skipLine();
      else if (unit === "\\" && this.text[this.at + 1] === "\n") this.at += 2;
      else if (/[;&|()]/.test(unit)) {
        const isDouble = /[&|]/.test(unit) && this.text[this.at + 1] === unit;
        const isBehindRedirection = unit === "&" && this.text[this.at + 1] === ">";
        this.at += isDouble ? 2 : 1;
        if (isBehindRedirection) continue;
        end();
        this.isConditional = isDouble;
      } else if (unit === "<" || unit === ">") this.skipRedirection(words);
      else {
        const array = this.readArray();
        if (array) {
          const [first, ...flags] = words;
          const isOwn =
            first === undefined ||
            (declares.has(first.raw) && flags.every(({ raw }) => raw.startsWith("-")));
          if (isOwn) this.set(array.name, array.list, array.adds);
          continue;
        }
        words.push(this.readWord());
        if (++this.words > MOST_WORDS) throw new TooMuch();
      }
    }
    end();
    return this.commands;
  }

  private spend(count: number) {
    this.spent += count;
    if (this.spent > MOST_CHARACTERS) throw new TooMuch();
  }

  private add(list: string[], words: string[]) {
    this.words += words.length + 1;
    if (this.words > MOST_WORDS) throw new TooMuch();
    for (const word of words) list.push(word);
  }

  private skipLine() {
    const end = this.text.indexOf("\n", this.at);
    this.at = end === -1 ? this.text.length : end;
  }

  /** `> file`, `2>&1`, `<<END`: none of it is a word of the command. */
  private skipRedirection(words: Word[]) {
    // A number right before it is the stream's.
    if (/\d/.test(this.text[this.at - 1] ?? "") && /^\d$/.test(words.at(-1)?.raw ?? ""))
      words.pop();
    const [operator = ""] =
      /^(?:<<<|<<-?|>>|>\||[<>]&?)/.exec(this.text.slice(this.at, this.at + 3)) ?? [];
    this.at += Math.max(1, operator.length);
    while (blank.test(this.text.charAt(this.at))) this.at++;
    if (this.at >= this.text.length || /[\n;&|()]/.test(this.text.charAt(this.at))) return;
    const word = this.readWord();
    if (operator === "<<" || operator === "<<-")
      this.heredocs.push({
        end: word.pieces.map((piece) => piece.text).join(""),
        tabs: operator === "<<-",
      });
  }

  private skipHeredocs() {
    for (const { end, tabs } of this.heredocs.splice(0))
      while (this.at < this.text.length) {
        const from = this.at;
        this.skipLine();
        const line = this.text.slice(from, this.at);
        this.at++;
        if ((tabs ? line.replace(/^\t+/, "") : line) === end) break;
      }
  }

  /** `NAME=( … )` and `NAME+=( … )` at the present place; null where there is none. */
  private readArray(): { name: string; list: string[]; adds: boolean } | null {
    name.lastIndex = this.at;
    const [found] = name.exec(this.text) ?? [];
    if (found === undefined) return null;
    let at = this.at + found.length;
    const adds = this.text[at] === "+";
    if (adds) at++;
    if (this.text[at] !== "=" || this.text[at + 1] !== "(") return null;
    this.at = at + 2;
    const list: string[] = [];
    while (this.at < this.text.length && this.text[this.at] !== ")") {
      const unit = this.text.charAt(this.at);
      if (blank.test(unit) || unit === "\n") this.at++;
      else if (unit === "#") this.skipLine();
      else if (unit === "\\" && this.text[this.at + 1] === "\n") this.at += 2;
      else if (/[;&|(<>]/.test(unit)) this.at++;
      else {
        this.add(list, this.expand(this.readWord()));
      }
    }
    this.at++;
    return { name: found, list, adds };
  }

  /** A word up to the next blank or operator, its quotes taken away. */
  private readWord(): Word {
    const from = this.at;
    const pieces: Piece[] = [];
    let quoted = false;
    let literal = "";
    const push = (piece: Piece) => {
      if (literal) pieces.push({ text: literal });
      literal = "";
      pieces.push(piece);
    };
    for (; this.at < this.text.length; ) {
      const unit = this.text.charAt(this.at);
      if (unit === "\n" || blank.test(unit) || /[;&|()<>]/.test(unit)) break;
      if (unit === "\\") {
        const next = this.text[this.at + 1] ?? "";
        if (next !== "\n") literal += next;
        this.at += 2;
      } else if (unit === "'") {
        quoted = true;
        const end = this.text.indexOf("'", this.at + 1);
        const to = end === -1 ? this.text.length : end;
        literal += this.text.slice(this.at + 1, to);
        this.at = to + 1;
      } else if (unit === '"') {
        quoted = true;
        this.readQuoted((text) => (literal += text), push);
      } else if (unit === "$" || unit === "`") push(this.readExpansion(false));
      else {
        literal += unit;
        this.at++;
      }
    }
    if (literal) pieces.push({ text: literal });
    const raw = this.text.slice(from, this.at);
    this.spend(raw.length);
    return { pieces, quoted, raw };
  }

  private readQuoted(add: (text: string) => void, push: (piece: Piece) => void) {
    this.at++;
    while (this.at < this.text.length) {
      const unit = this.text.charAt(this.at);
      if (unit === '"') {
        this.at++;
        return;
      }
      const next = this.text[this.at + 1] ?? "";
      if (unit === "\\" && /["\\$`\n]/.test(next)) {
        if (next !== "\n") add(next);
        this.at += 2;
      } else if (unit === "$" || unit === "`") push(this.readExpansion(true));
      else {
        add(unit);
        this.at++;
      }
    }
  }

  /** What `$NAME`, `${NAME:-x}`, `${NAME[@]}`, `$(…)` at the present place comes to. */
  private readExpansion(quoted: boolean): Piece {
    const from = this.at;
    const unit = this.text[this.at];
    const next = this.text[this.at + 1] ?? "";
    const asWritten = (): Piece => ({ text: this.text.slice(from, this.at), unknown: true });
    if (unit === "`") {
      const end = this.text.indexOf("`", this.at + 1);
      this.at = end === -1 ? this.text.length : end + 1;
      return asWritten();
    }
    if (next === "(") {
      this.skipParentheses();
      return asWritten();
    }
    if (next === "{") {
      const end = this.closingBrace();
      if (end === -1) {
        this.at = this.text.length;
        return asWritten();
      }
      const inner = this.text.slice(this.at + 2, end);
      this.at = end + 1;
      return this.valueOf(inner, quoted) ?? asWritten();
    }
    if (next === "'" && !quoted) {
      // $'…' of bash: a quoted text with escapes, of which a trainer's words have none.
      this.at++;
      return { text: "" };
    }
    name.lastIndex = this.at + 1;
    const [found] = name.exec(this.text) ?? [];
    this.at += found === undefined ? (/[@*#?$!\d-]/.test(next) ? 2 : 1) : 1 + found.length;
    if (found === undefined) return next && this.at - from === 2 ? asWritten() : { text: "$" };
    return this.valueOf(found, quoted) ?? asWritten();
  }

  /** The end of the `${` at the present place, past those within it; -1 where there is none. */
  private closingBrace(): number {
    let depth = 0;
    for (let at = this.at + 1; at < this.text.length; at++) {
      const unit = this.text[at];
      if (unit === "{") depth++;
      else if (unit === "}" && --depth === 0) return at;
    }
    return -1;
  }

  private skipParentheses() {
    let depth = 0;
    for (; this.at < this.text.length; this.at++) {
      const unit = this.text[this.at];
      if (unit === "(" && ++depth > MOST_NESTED) throw new TooMuch();
      if (unit === ")" && --depth === 0) break;
    }
    this.at++;
  }

  /** The value of `NAME`, `NAME[@]`, `NAME:-x` or `NAME-x`; null where the script does not set it for sure. */
  private valueOf(inner: string, quoted: boolean): Piece | null {
    const [, key = "", index, operator, fallback = ""] =
      /^([A-Za-z_]\w*)(\[[@*]\])?(?:(:?[-=])([\s\S]*))?$/.exec(inner) ?? [];
    const value = this.variables.get(key);
    if (key === "" || this.uncertain.has(key)) return null;
    if (index !== undefined) {
      if (value === undefined || operator !== undefined) return null;
      const list = typeof value === "string" ? [value] : value;
      for (const item of list) this.spend(item.length + 1);
      return quoted && index === "[*]" ? { text: list.join(" ") } : { text: list.join(" "), list };
    }
    const one = typeof value === "string" ? value : value?.[0];
    const isSet = one !== undefined && (one !== "" || !operator?.startsWith(":"));
    // The environment may set it otherwise; the script's own word for that is its best.
    const own = isSet ? one : this.fallbackOf(operator, fallback);
    if (own === null) return null;
    if (!isSet && operator?.endsWith("=")) this.set(key, own, false);
    this.spend(own.length);
    // What would be run or comes from outside is one word, whatever stands in it.
    return quoted || /[$`]/.test(own) ? { text: own } : { text: own, splits: true };
  }

  /** The `x` of `${NAME:-x}`: a plain text, or another variable that the script sets. */
  private fallbackOf(operator: string | undefined, written: string): string | null {
    if (operator === undefined) return null;
    const text = /^(["'])([^"']*)\1$/.exec(written)?.[2] ?? written;
    const [, other] = /^\$\{?([A-Za-z_]\w*)\}?$/.exec(text) ?? [];
    if (other !== undefined) return this.valueOf(other, true)?.text ?? null;
    return /[$`]/.test(text) ? null : text;
  }

  /** A word as the command gets it: none, one or, of a list or a text with blanks, several. */
  private expand({ pieces, quoted }: Word): string[] {
    const words: string[] = [];
    let word = "";
    let isOpen = quoted;
    const cut = () => {
      if (isOpen || word !== "") words.push(word);
      word = "";
      isOpen = false;
    };
    for (const { text, splits, list } of pieces) {
      const parts = list ?? (splits ? text.split(/[ \t\n]+/) : [text]);
      // An empty list is no word, even within quotes.
      if (list?.length === 0 && pieces.length === 1) return [];
      parts.forEach((part, i) => {
        if (i > 0) cut();
        word += part;
        if (list) isOpen = true;
      });
    }
    cut();
    return words;
  }

  private set(key: string, value: Value, adds: boolean) {
    const before = this.variables.get(key);
    if (this.depth > 0 || this.isConditional) {
      // What may be added leaves what is there for sure.
      const grows = typeof value === "string" && typeof before === "string" && before !== "";
      if (!(adds && before !== undefined) && !(grows && value.startsWith(before)))
        this.uncertain.add(key);
      return;
    }
    const list = (of: Value | undefined) =>
      of === undefined ? [] : typeof of === "string" ? [of] : of;
    const after =
      !adds || before === undefined
        ? value
        : typeof value === "string" && typeof before === "string"
          ? before + value
          : [...list(before), ...list(value)];
    this.spend(typeof after === "string" ? after.length : after.length + 1);
    this.variables.set(key, after);
    if (!adds) this.uncertain.delete(key);
  }

  /** Takes a command's words in: an assignment, a part of the script's own grammar, or a program to start. */
  private finish(written: Word[]) {
    let words = written;
    if (words[0]?.raw === "function") words = words.filter(({ raw }) => raw === "{");
    for (let first = words[0]?.raw; first !== undefined; first = words[0]?.raw) {
      if (closes.has(first)) this.depth = Math.max(0, this.depth - 1);
      else if (opens.has(first)) this.depth++;
      else if (!reserved.has(first)) break;
      if (first === "for" || first === "select") {
        if (words[1]) this.uncertain.add(words[1].raw);
        return;
      }
      if (first === "case") return;
      words = words.slice(1);
    }
    if (/^(?:read|unset|mapfile|readarray)$/.test(words[0]?.raw ?? "")) {
      for (const word of words.slice(1)) this.uncertain.add(word.raw);
      return;
    }
    const isDeclared = declares.has(words[0]?.raw ?? "");
    const rest = isDeclared ? words.slice(1) : words;
    const assigned = rest.findIndex((word) => !assignment.test(word.raw));
    const isAll = assigned === -1;
    if (isDeclared || (isAll && rest.length > 0)) {
      for (const word of rest) this.assign(word);
      return;
    }
    const started = rest.slice(assigned);
    if (started.length === 0 || isAll) return;
    const command = this.argvOf(started);
    if (command.length > 0 && this.commands.length < MOST_COMMANDS) this.commands.push(command);
  }

  private assign(word: Word) {
    const [, key, adds] = assignment.exec(word.raw) ?? [];
    if (key === undefined) return;
    // What a command prints is known to nobody: the text stands for itself, as a trainer's setting.
    const text = word.pieces.map((piece) => piece.text).join("");
    this.set(key, text.slice(text.indexOf("=") + 1), adds !== undefined);
  }

  /** Words as the program gets them, without such as come from outside and may be none or many. */
  private argvOf(words: Word[]): string[] {
    const argv: string[] = [];
    for (const word of words) {
      const [piece] = word.pieces;
      const isAlone = word.pieces.length === 1 && piece?.unknown === true;
      if (isAlone && /^"?\$\{?(?:[@*]|\w+\[[@*]\])/.test(word.raw)) continue;
      // A bare variable of the environment adds options of its own, unless an option waits for it.
      if (
        isAlone &&
        !word.quoted &&
        /^\$\{?\w/.test(word.raw) &&
        !/^--?[A-Za-z]/.test(argv.at(-1) ?? "")
      )
        continue;
      this.add(argv, this.expand(word));
    }
    return argv[0] === "eval" ? argv.slice(1).join(" ").split(/\s+/) : argv;
  }
}

const assignment = /^([A-Za-z_]\w*)(\+)?=/;
