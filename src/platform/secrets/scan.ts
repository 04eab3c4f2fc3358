import {
  isCount,
  isHarmless,
  isRandom,
  isSecretValue,
  longestKey,
  looksChosen,
  type SecretKey,
  secretKey,
  secretKeyAt,
  textOf as textAt,
} from "./keys.ts";
import { type CharClass, rules } from "./rules.ts";

/** Code units: the bytes of a text in any ASCII-compatible encoding, or UTF-16 units. */
export type Units = Uint8Array | Uint16Array;

/** The secrets found, kept flat: a hostile text may contain a million of them. */
export type Found = {
  /** Three numbers a secret, in order: from, to, and 1 where its mark needs quotes of its own. */
  places: number[];
  /** The key of each of the first ones, or the kind of token that it looks like, and its line from 1. */
  names: { key: string; line: number }[];
};

/** More than anyone reads; the others are counted. */
const MAX_NAMES = 100;

const code = (char: string) => char.charCodeAt(0);
const [TAB, LF, CR, SPACE, QUOTE, APOSTROPHE, BACKSLASH] = [9, 10, 13, 32, 34, 39, 92] as const;
const [HASH, COMMA, DASH, DOT, SLASH, COLON, EQUALS] = [35, 44, 45, 46, 47, 58, 61] as const;
const [PERCENT, QUESTION, AMPERSAND] = [37, 63, 38] as const;
const [AT, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [64, 91, 93, 123, 125] as const;

/** A lookup table of character classes keeps the one pass over a text at a few ns a unit. */
function classOf(chars: string) {
  const table = new Uint8Array(128);
  for (const char of chars) table[code(char)] = 1;
  return (unit: number) => unit < 128 && table[unit] === 1;
}
const digits = "0123456789";
const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const alnumChars = digits + upper + upper.toLowerCase();
const isAlnum = classOf(alnumChars);
const isUpperAlnum = classOf(digits + upper);
const isDigit = classOf(digits);
const isWeakValue = classOf(`${alnumChars}_+~-`);
const isHex = classOf(`${digits}abcdefABCDEF`);
const isEscapeLetter = classOf("nrt");
/** The words and signs between a secret's name and its value in sentences and tables. */
const spokenLink =
  /^(?:(?:is|was|are|set to|to be|=>|->|of|\||\u2502|\xe2\x94\x82)(?: now)?:? +){1,2}/;
const isLinkInAscii = classOf("iwast=-o|");
const beginsLink = (unit: number) => isLinkInAscii(unit) || unit === 0xe2 || unit === 0x2502;
const isStop = classOf(".,;:!?");
/** Last letters of the words that a secret may follow in a sentence. */
const endsSpoken = classOf("ynydtesckhlYNDTESCKH0123456789");
const isWord = classOf(`${alnumChars}_`);
const isName = classOf(`${alnumChars}_-`);
const isKeyBlock = classOf(`${alnumChars}+/=\\ \t\r\n:,-`);
const isNumeric = classOf(`${digits}-+.`);
const isBlank = classOf(" \t");
const endsKey = classOf(`${alnumChars} \t"'\`]`);
const isQuote = classOf("\"'`");
const beforeKey = classOf("{,[#.;:&?(-\"'`|");
const beforeSpacedKey = classOf("{,[#;-|");
const endsWord = classOf(" \t\r\n,;&)]}\"'`<>");

/** A class of the rules, given as ranges: `0-9A-Z`. */
function classOfRanges(ranges: string) {
  const table = new Uint8Array(128);
  for (const [, from = "", to = ""] of ranges.matchAll(/(.)-(.)/g))
    for (let unit = code(from); unit <= code(to); unit++) table[unit] = 1;
  for (const char of ranges.replace(/.-./g, "")) table[code(char)] = 1;
  return (unit: number) => unit < 128 && table[unit] === 1;
}
const ofClass = Object.fromEntries(
  Object.entries(rules.classes).map(([name, ranges]) => [name, classOfRanges(ranges)]),
) as Record<CharClass, (unit: number) => boolean>; // Object.fromEntries forgets the keys.

/** The shapes by their first letter: longer prefixes come before shorter ones of the same kind. */
function byFirst<T>(items: T[], textOf: (item: T) => string): Map<number, T[]> {
  const found = new Map<number, T[]>();
  for (const item of items) {
    const first = code(textOf(item).charAt(0));
    found.set(first, [...(found.get(first) ?? []), item]);
  }
  return found;
}
const shapesByFirst = byFirst(rules.shapes, ([prefix]) => prefix);
const programsByFirst = byFirst(rules.programs, ({ program }) => program);

const passwordKey: SecretKey = { name: "password", prose: false };

const queryKeys = new Set(rules.query);
const pairNames = new Set(rules.pairNames);
const pairValues = new Set(rules.pairValues);
const sentence = new Set(rules.sentence);
/** A setting's name and its value that are further apart belong to two settings. */
const PAIR_REACH = 400;
/** The most characters of a command line between a program and its option. */
const PROGRAM_REACH = 400;
/** The shortest secret in a sentence. */
const SHORTEST = 6;
/** The most characters of a sentence between a secret's name and the secret. */
const TOLD_REACH = 80;
/** Last letters of the Chinese names, and the signs between such a name and its secret. */
const chineseEnds = new Set(rules.chinese.map((name) => name.charCodeAt(name.length - 1)));
const chineseLink = /^ ?(?:是|为|：|:|=) ?/;
const longestPairWord = Math.max(...rules.pairNames.concat(rules.pairValues).map((w) => w.length));

const [SEPARATOR, HYPHEN, START, JWT, BLANK, ESCAPE, LISTED] = [1, 2, 3, 4, 5, 6, 7] as const;
const kinds = new Uint8Array(128);
for (const first of [...shapesByFirst.keys(), ...programsByFirst.keys()]) kinds[first] = START;
kinds[SPACE] = BLANK;
kinds[PERCENT] = ESCAPE;
kinds[EQUALS] = kinds[COLON] = SEPARATOR;
kinds[DASH] = HYPHEN;
kinds[COMMA] = LISTED;
kinds[code("e")] = JWT;

/**
 * Finds secrets in one pass over the units. Every look ahead or back is bounded, or stops where a later
 * look starts, or is remembered, so the time stays linear for any text.
 *
 * `anywhere` is for logs and messages, where a key may be in the middle of a line; in a config a key
 * is only where keys may be, so that comments in prose stay as they are.
 */
export function scan(units: Units, { anywhere }: { anywhere: boolean }): Found {
  const n = units.length;
  const places: number[] = [];
  const names: Found["names"] = [];
  const at = (i: number) => (i < n ? (units[i] ?? -1) : -1);
  const isSpace = (unit: number) => unit === SPACE || unit === TAB || unit === LF || unit === CR;
  const lineEnds = (unit: number) => unit === LF || unit === CR || unit === -1;
  const textOf = (from: number, to: number) => textAt(units, from, to);
  const startsWith = (from: number, literal: string) => {
    for (let i = 0; i < literal.length; i++)
      if (at(from + i) !== literal.charCodeAt(i)) return false;
    return true;
  };
  const skipBlanks = (i: number) => {
    while (isBlank(at(i))) i++;
    return i;
  };
  // Remembers the last line: many keys of one line ask for the same end and beginning.
  let endAsked = 0;
  let endKnown = -1;
  const lineEnd = (i: number) => {
    if (i < endAsked || i > endKnown) {
      endAsked = i;
      for (endKnown = i; !lineEnds(at(endKnown)); ) endKnown++;
    }
    return endKnown;
  };
  let startAsked = 0;
  let startKnown = 0;
  const lineStart = (i: number) => {
    const asked = i >= startAsked ? startAsked : 0;
    let start = i;
    while (start > asked && !lineEnds(at(start - 1))) start--;
    startKnown = start === asked && asked > 0 ? startKnown : start;
    startAsked = i;
    return startKnown;
  };

  let line = 1;
  let counted = 0;
  const add = (from: number, to: number, name: string, quoted = false) => {
    const end = places.at(-2) ?? 0;
    if (from < end) {
      // A token that begins within the last secret, as in `Bearer 12345678:AA…`, is part of it.
      places[places.length - 2] = Math.max(end, to);
      return;
    }
    places.push(from, to, quoted ? 1 : 0);
    if (names.length >= MAX_NAMES) return;
    for (; counted < from; counted++) if (units[counted] === LF) line++;
    names.push({ key: name || textOf(keyFrom, keyTo), line });
  };
  /** The present key: secrets in its value are reported under it. */
  let key: SecretKey = { name: "", prose: false };
  let keyFrom = 0;
  let keyTo = 0;
  const addIfSecret = (from: number, to: number, quoted = false) => {
    // Long values are judged by their beginning.
    const text = textOf(from, Math.min(to, from + 256));
    if (to > from && isSecretValue(text, key) && !(anywhere && isCount(text)))
      add(from, to, "", quoted);
  };

  /** End of a quoted value whose opening quote is before `from`; -1 when it is never closed. */
  const quoteEnd = (from: number, quote: number, triple: boolean) => {
    for (let i = from; i < n; i++) {
      const unit = at(i);
      if (unit === BACKSLASH && quote === QUOTE) i++;
      else if (unit === quote && !triple) {
        if (quote === APOSTROPHE && at(i + 1) === APOSTROPHE) i++;
        else return i;
      } else if (unit === quote && at(i + 1) === quote && at(i + 2) === quote) return i;
    }
    return -1;
  };

  /** A value that opens with a quote at `i`; returns where it ends, after the quote. */
  const quotedValue = (i: number) => {
    const quote = at(i);
    const triple = at(i + 1) === quote && at(i + 2) === quote;
    if (!triple && at(i + 1) === quote && at(i + 2) !== quote) return i + 2;
    const from = i + (triple ? 3 : 1);
    const end = quoteEnd(from, quote, triple);
    const to = end === -1 ? lineEnd(from) : end;
    addIfSecret(from, to);
    return end === -1 ? to : to + (triple ? 3 : 1);
  };

  /** A word that ends at a blank, a comma or a closing bracket, as in `KEY=value other`. */
  const wordEnd = (i: number, longest = n) => {
    const most = Math.min(n, i + longest);
    while (i < most && !endsWord(at(i))) i++;
    return i;
  };

  const trimEnd = (from: number, to: number) => {
    while (to > from && isSpace(at(to - 1))) to--;
    return to;
  };

  /** End of an unquoted YAML or TOML value on one line, its comment and trailing blanks left out. */
  const plainEnd = (from: number, inFlow: boolean) => {
    let i = from;
    for (; !lineEnds(at(i)); i++) {
      const unit = at(i);
      if (unit === HASH && isBlank(at(i - 1))) break;
      if (inFlow && (unit === COMMA || unit === CLOSE_BRACE || unit === CLOSE_BRACKET)) break;
    }
    return trimEnd(from, i);
  };

  let above = -1;
  let below = { start: n, text: n };
  /** The next line below the one that ends at `end` which is not blank: where it and its text start. */
  const lineBelow = (end: number) => {
    if (above === end) return below;
    above = end;
    below = { start: n, text: n };
    for (let start = end; start < n; ) {
      if (at(start) === CR) start++;
      if (at(start) === LF) start++;
      const text = skipBlanks(start);
      if (!lineEnds(at(text))) {
        below = { start, text };
        break;
      }
      start = text;
    }
    return below;
  };

  /** The text of the next line below `i` that is not blank, if it is indented deeper than `column`. */
  const deeperLine = (i: number, column: number): number => {
    const { start, text } = lineBelow(lineEnd(i));
    return text - start > column ? text : -1;
  };

  /** End of the deeper lines that begin with the one at `text`. */
  const deeperEnd = (text: number, column: number) => {
    let end = lineEnd(text);
    for (let next = text; next !== -1; next = deeperLine(end, column)) end = lineEnd(next);
    return trimEnd(text, end);
  };

  /** `key:` at the start of a line's text, which makes deeper lines a mapping of their own. */
  const opensMapping = (i: number) => {
    if (isQuote(at(i))) i++;
    const start = i;
    while (isName(at(i)) && i - start < 200) i++;
    if (isQuote(at(i))) i++;
    return i > start && at(i) === COLON && (isSpace(at(i + 1)) || at(i + 1) === -1);
  };

  /** A YAML value that may go on below its key: a block, a list, or a folded plain value. */
  const yamlValue = (i: number, column: number) => {
    const unit = at(i);
    const below = deeperLine(i, column);
    const isPlain = unit !== code("|") && unit !== code(">");
    if (!isPlain || lineEnds(unit) || unit === HASH) {
      if (below === -1 || (isPlain && opensMapping(below))) return i;
      if (isPlain && isQuote(at(below))) return quotedValue(below);
      if (isPlain && at(below) === DASH && isBlank(at(below + 1))) return listItems(below, column);
      const end = deeperEnd(below, column);
      addIfSecret(below, end);
      return end;
    }
    const end = plainEnd(i, false);
    const folds = below !== -1 && lineEnds(at(end)) && !opensMapping(below);
    const to = folds ? deeperEnd(below, column) : end;
    addIfSecret(i, to);
    return to;
  };

  /** A YAML list under a secret key, up to where an item is a mapping with keys of its own. */
  const listItems = (first: number, column: number) => {
    let end = first;
    for (let item = first; item !== -1; item = deeperLine(end, column)) {
      if (at(item) === DASH) item = skipBlanks(item + 1);
      if (opensMapping(item)) return item;
      if (isQuote(at(item))) end = quotedValue(item);
      else {
        end = plainEnd(item, false);
        addIfSecret(item, end);
      }
    }
    return end;
  };

  /** `["a", "b"]` under a secret key. */
  const listValue = (i: number, oneLine: boolean) => {
    for (i++; i < n && at(i) !== CLOSE_BRACKET; ) {
      if (oneLine && lineEnds(at(i))) return i;
      if (at(i) === QUOTE || at(i) === APOSTROPHE) i = quotedValue(i);
      else if (isSpace(at(i)) || at(i) === COMMA) i++;
      else {
        const end = plainEnd(i, true);
        addIfSecret(i, end);
        i = Math.max(end, i + 1);
      }
    }
    return i;
  };

  /** How many of the units at `i` belong to an escape that begins before it: `\n`, `%22`. */
  const escapeBefore = (i: number): number => {
    const unit = at(i - 1);
    if (unit === BACKSLASH) return isEscapeLetter(at(i)) ? 1 : 0;
    return unit === PERCENT && isHex(at(i)) && isHex(at(i + 1)) ? 2 : 0;
  };
  /** Whether a token may begin at `i`: no word does before it that is no escape. */
  const begins = (i: number): boolean => {
    if (i === 0 || !isWord(at(i - 1))) return true;
    if (at(i - 2) === BACKSLASH) return isEscapeLetter(at(i - 1));
    return at(i - 3) === PERCENT && isHex(at(i - 2)) && isHex(at(i - 1));
  };

  const queryKey = (from: number, to: number): SecretKey | null => {
    const name = to - from > 24 ? "" : textOf(from, to).toLowerCase().replaceAll("-", "_");
    if (!queryKeys.has(name)) return null;
    return { name, prose: false, weak: name === "key" || name === "auth" };
  };

  /** The range of a short value at `i`, its quotes left out. */
  const shortValue = (i: number): [from: number, to: number] => {
    let from = i;
    while (isSpace(at(from)) && from - i < 64) from++;
    if (at(from) === BACKSLASH) from++;
    if (!isQuote(at(from))) return [from, wordEnd(from, 512)];
    const quote = at(from++);
    let to = from;
    while (!lineEnds(at(to)) && at(to) !== quote && at(to) !== BACKSLASH && to - from < 512) to++;
    return [from, to];
  };

  let pair: { key: SecretKey; at: number } | null = null;
  /** The sign after the last key such as `value` that no name was known for. */
  let valueAt = -1;
  const parted = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (at(i) === OPEN_BRACE || at(i) === CLOSE_BRACE) return true;
    return false;
  };
  /**
   * The key of a value whose setting is named beside it: `{"name": "HF_TOKEN",
   * "value": …}`, in either order.
   */
  const pairedKey = (i: number, start: number, end: number): SecretKey | null => {
    if (end - start > longestPairWord) return null;
    const word = textOf(start, end).toLowerCase();
    if (pairNames.has(word)) {
      let from = i + 1;
      while (isSpace(at(from)) && from - i < 64) from++;
      if (at(from) === BACKSLASH) from++;
      if (isQuote(at(from))) from++;
      let to = from;
      while (to - from <= longestKey && isName(at(to))) to++;
      const named = secretKeyAt(units, from, to);
      pair = named ? { key: { ...named, prose: false }, at: to } : null;
      const last = valueAt;
      valueAt = -1;
      if (!named || last === -1 || i - last > PAIR_REACH) return null;
      const [valueFrom, valueTo] = shortValue(last + 1);
      if (parted(valueTo, start) || valueFrom < (places.at(-2) ?? 0)) return null;
      key = { ...named, prose: false };
      [keyFrom, keyTo] = [from, to];
      addIfSecret(valueFrom, valueTo);
      return null;
    }
    if (!pairValues.has(word)) return null;
    const named = pair;
    pair = null;
    if (named && i - named.at < PAIR_REACH && !parted(named.at, start)) return named.key;
    valueAt = i;
    return null;
  };

  /**
   * The key that a sentence names at [start, end): a word before it may make it no secret's name
   * (`cache key`), or be a part of it (`ssh pass`).
   */
  const spokenKey = (start: number, end: number): SecretKey | undefined => {
    const found = secretKeyAt(units, start, end);
    const may = found ? found.weak || found.prose : end - start <= 4;
    if (!may || at(start - 1) !== SPACE) return found;
    let from = start - 1;
    while (from > 0 && start - from <= 24 && isName(at(from - 1))) from--;
    const before = textOf(from, start - 1);
    if (found && isHarmless(before)) return undefined;
    const joined = secretKey(`${before}_${textOf(start, end)}`);
    return joined && !joined.weak && !joined.prose ? { ...joined, weak: true } : found;
  };

  /** The last place of a secret's name in the sentence. */
  let toldFrom = 0;
  let toldTo = 0;
  /** Whether the text is a secret that a sentence gives under the key's name. */
  const isGiven = (text: string, name: SecretKey): boolean =>
    isPassword(name) ? looksChosen(text) : isRandom(text) || isLongKey(text, name);
  /** A value later in the sentence, after the sign that ends at `i`; -1 if there is none. */
  const toldValue = (i: number): number => {
    const [start, end] = [toldFrom, toldTo];
    if (start === end || i - end > TOLD_REACH || !isBlank(at(i))) return -1;
    toldFrom = toldTo = 0;
    for (let j = end; j < i; j++) if (lineEnds(at(j))) return -1;
    let from = skipBlanks(i);
    if (isQuote(at(from))) from++;
    let to = wordEnd(from, 512);
    while (to > from && isStop(at(to - 1))) to--;
    const found = to - from < SHORTEST ? undefined : spokenKey(start, end);
    if (!found || !isGiven(textOf(from, to), found)) return -1;
    key = { name: found.name, prose: false };
    [keyFrom, keyTo] = [start, end];
    addIfSecret(from, to);
    return to;
  };

  /** Where to continue after a sign at `i` that no secret's name precedes. */
  const later = (i: number) => (at(i) === COLON ? Math.max(toldValue(i + 1), i + 1) : i + 1);

  /** Whether the word after `password:` continues as a sentence does. */
  const isSentence = (from: number, to: number): boolean => {
    if (keyTo - keyFrom > 12 || !/^[a-z]+$/i.test(textOf(from, Math.min(to, from + 40))))
      return false;
    const next = skipBlanks(to);
    return sentence.has(textOf(from, to).toLowerCase()) || (next > to && isAlnum(at(next)));
  };

  /** A value that is a secret only where it looks like one; all others are read on into. */
  const weakValue = (i: number): number => {
    let from = skipBlanks(i + 1);
    if (at(from) === BACKSLASH) from++;
    if (isQuote(at(from))) from++;
    let to = isPassword(key) ? wordEnd(from, 512) : from;
    while (to - from <= 512 && isWeakValue(at(to))) to++;
    while (to - from <= 512 && at(to) === EQUALS) to++;
    const ends = to >= n || endsWord(at(to)) || at(to) === BACKSLASH || at(to) === HASH;
    if (!ends || !isGiven(textOf(from, to), key)) return i + 1;
    add(from, to, "");
    return to;
  };

  /** The value after a `=` or `:` at `i` that follows a secret key. Returns where to continue. */
  const keyed = (i: number): number => {
    if (i === 0 || !endsKey(at(i - 1))) return later(i);
    let end = i;
    while (end > 0 && isBlank(at(end - 1)) && i - end < 64) end--;
    const spaced = end < i;
    // `os.environ["HF_TOKEN"] = …`
    if (at(end - 1) === CLOSE_BRACKET && isQuote(at(end - 2))) end--;
    const quotedKey = end > 0 && isQuote(at(end - 1));
    if (quotedKey) end--;
    const escaped = quotedKey && end > 0 && at(end - 1) === BACKSLASH;
    if (escaped) end--;
    let start = end;
    while (start > 0 && end - start <= longestKey && isName(at(start - 1))) start--;
    // Neither are an escape's letters (`\nHF_TOKEN=`), an option's dashes and a list's hyphen part of the name.
    start += escapeBefore(start);
    while (start < end && at(start) === DASH) start++;
    const inQuery = start > 0 && (at(start - 1) === QUESTION || at(start - 1) === AMPERSAND);
    const named = anywhere ? spokenKey(start, end) : secretKeyAt(units, start, end);
    const found = pairedKey(i, start, end) ?? named ?? null;
    const known = found ?? (inQuery ? queryKey(start, end) : null);
    if (known === null) return later(i);
    key = known;
    keyFrom = start;
    keyTo = end;

    if (at(i) === EQUALS && at(i + 1) === code(">")) i++;
    let next = at(i + 1);
    if (next === EQUALS || (at(i) === COLON && (next === COLON || next === SLASH))) return i + 1;
    if (at(i) === COLON && next === EQUALS) return i + 1;
    if (key.weak) return weakValue(i);
    const tight = at(i) === EQUALS && !spaced && !isSpace(next);
    let before = start - 1;
    if (quotedKey) before -= escaped ? 2 : 1;
    let comment = false;
    let inFlow = false;
    if (before >= 0 && !lineEnds(at(before))) {
      const adjacent = !isBlank(at(before));
      let back = before;
      while (back >= 0 && isBlank(at(back))) back--;
      const unit = back < 0 ? LF : at(back);
      const stands =
        unit === LF ||
        (adjacent ? beforeKey(unit) : beforeSpacedKey(unit)) ||
        (tight && !adjacent) ||
        (anywhere && !key.prose);
      if (!stands) return anywhere ? weakValue(i) : i + 1;
      comment = unit === HASH;
      inFlow = unit === OPEN_BRACE || unit === COMMA;
    }
    if (
      at(i) === COLON &&
      !anywhere &&
      !quotedKey &&
      !isSpace(next) &&
      next !== -1 &&
      !isQuote(next)
    )
      return i + 1;

    let from = skipBlanks(i + 1);
    if (quotedKey && lineEnds(at(from))) while (isSpace(at(from))) from++;
    next = at(from);
    if ((escaped || anywhere || tight) && next === BACKSLASH && isQuote(at(from + 1))) {
      // JSON inside a string: its quotes are escaped, so the value ends at the next backslash.
      let to = from + 2;
      while (to < n && at(to) !== BACKSLASH && !lineEnds(at(to))) to++;
      addIfSecret(from + 2, to);
      return to;
    }
    if (isQuote(at(from + 1)) && (next === 98 || next === 114 || next === 117)) next = at(++from);
    if (next === QUOTE || next === APOSTROPHE) return quotedValue(from);
    if (next === code("`")) from++;
    if (key.name.endsWith("authorization")) {
      const scheme = wordEnd(from);
      if (
        at(scheme) === SPACE &&
        /^(?:basic|bearer|token)$/i.test(textOf(from, Math.min(scheme, from + 8)))
      )
        from = scheme + 1;
    }
    if (next === OPEN_BRACE) return from;
    if (next === OPEN_BRACKET && !startsWith(from, "[redacted]"))
      return anywhere && key.prose ? from : listValue(from, comment || anywhere);
    const opened = before >= 0 && !quotedKey && isQuote(at(before)) ? at(before) : -1;
    const asWord = anywhere || (tight && !(before < 0 || lineEnds(at(before))));
    if (!asWord && opened !== -1) {
      // A header or setting that is a string as a whole, as in `-H "X-Api-Key: …"`.
      let to = from;
      while (!lineEnds(at(to)) && at(to) !== opened) to++;
      // A sentence continues after the word: `"password: 123, on a note"`.
      if (wordEnd(from) === to) addIfSecret(from, to);
      return Math.max(to, i + 1);
    }
    if (asWord || comment) {
      const to = wordEnd(from);
      // Prose in a comment continues after the word; a commented-out setting does not.
      if (
        comment &&
        !asWord &&
        lineEnds(at(skipBlanks(to))) === false &&
        at(skipBlanks(to)) !== HASH
      )
        return i + 1;
      if (anywhere && key.prose && !inQuery && !looksRandom(textOf(from, Math.min(to, from + 64))))
        return i + 1;
      if (anywhere && at(i) === COLON && !tight && !quotedKey && isSentence(from, to)) return i + 1;
      addIfSecret(from, to);
      return Math.max(to, i + 1);
    }
    if (at(i) === COLON && !inFlow && !quotedKey) {
      return Math.max(yamlValue(from, start - lineStart(start)), i + 1);
    }
    const to = plainEnd(from, inFlow || quotedKey);
    // A vocabulary's entry: `"password": 3`.
    if (quotedKey && isCount(textOf(from, Math.min(to, from + 8)))) return Math.max(to, i + 1);
    addIfSecret(from, to, isNumeric(at(from)));
    return Math.max(to, i + 1);
  };

  /** `--hf_token value`, also as the list items `"--hf_token", "value"`. */
  const option = (i: number): number => {
    const start = i + 2;
    let end = start;
    while (isName(at(end)) && end - start <= longestKey) end++;
    const found = secretKeyAt(units, start, end);
    if (found === undefined) return end;
    key = found;
    keyFrom = start;
    keyTo = end;
    let from = end;
    if (isQuote(at(from))) {
      from = skipBlanks(from + 1);
      if (at(from) !== COMMA) return from;
      for (from++; isSpace(at(from)); ) from++;
      return isQuote(at(from)) ? optionValue(from) : from;
    }
    if (!isBlank(at(from))) return end;
    from = skipBlanks(from);
    return at(from) === DASH ? from : optionValue(from);
  };

  /** An option's value. One that its name alone makes no secret may still hold one: `--webhook https://…`. */
  const optionValue = (from: number): number => {
    const found = places.length;
    let to = from;
    if (at(from) === QUOTE || at(from) === APOSTROPHE) to = quotedValue(from);
    else {
      to = wordEnd(from);
      addIfSecret(from, to);
    }
    return key.weak && places.length === found ? Math.min(from + 1, to) : to;
  };

  let nextKeyEnd = -1;
  /** `-----BEGIN … PRIVATE KEY-----` up to its end, or to the end of the text if it is cut off. */
  const privateKey = (i: number): number => {
    let head = i + 11;
    while (head < i + 48 && (isUpperAlnum(at(head)) || at(head) === SPACE)) head++;
    if (!textOf(i, head).endsWith("PRIVATE KEY") || !startsWith(head, "-----")) return i + 11;
    if (nextKeyEnd < head) {
      nextKeyEnd = head + 5;
      while (nextKeyEnd < n && !startsWith(nextKeyEnd, "-----END ")) nextKeyEnd++;
    }
    let to = head + 5;
    while (to < nextKeyEnd && isKeyBlock(at(to))) to++;
    if (to === nextKeyEnd && to < n) {
      to = Math.min(to + 9, n);
      while (to < n && (isUpperAlnum(at(to)) || at(to) === SPACE)) to++;
      while (at(to) === DASH) to++;
    }
    add(i, trimEnd(i, to), "private key");
    return to;
  };

  /** The rest of a private key whose beginning is cut off, up to its last line at `i`. */
  const endOfPrivateKey = (i: number): number => {
    let head = i + 9;
    while (head < i + 48 && (isUpperAlnum(at(head)) || at(head) === SPACE)) head++;
    if (!textOf(i, head).endsWith("PRIVATE KEY")) return i + 9;
    const least = places.at(-2) ?? 0;
    let from = i;
    for (let lines = 0; lines < 80; lines++) {
      let start = from;
      while (start > least && isSpace(at(start - 1))) start--;
      const end = start;
      while (start > least && end - start <= 80 && ofClass.base64(at(start - 1))) start--;
      if (end === start || !(start === least || lineEnds(at(start - 1)))) break;
      from = start;
    }
    if (from < i) add(from, trimEnd(from, i), "private key");
    return head;
  };

  const jwtEnd = (i: number) => {
    while (isName(at(i))) i++;
    return i;
  };
  /** The end of `.run42`, the run that a ledger's key may name behind it, from the key's end on. */
  const handedDownEnd = (i: number) => {
    if (!startsWith(i, ".run")) return i;
    let end = i + 4;
    while (end - i < 20 && at(end) >= code("0") && at(end) <= code("9")) end++;
    return end > i + 4 && end - i < 20 && !isName(at(end)) ? end : i;
  };
  let noJwtBefore = 0;
  const jwt = (i: number): number => {
    if (i < noJwtBefore) return i + 1;
    const first = jwtEnd(i);
    noJwtBefore = first;
    if (first - i < 12 || at(first) !== DOT) return i + 1;
    const second = jwtEnd(first + 1);
    if (second - first < 8 || at(second) !== DOT) return i + 1;
    const third = handedDownEnd(jwtEnd(second + 1));
    add(i, third, "a JSON web token");
    return third;
  };

  /** `://user:password@`, and webhooks, from the colon on. */
  const url = (i: number): number => {
    const host = i + 3;
    if (startsWith(host, "[redacted]@")) return host + 11;
    let colon = -1;
    let userEnd = -1;
    let j = host;
    for (; j < n && j - host < 1024; j++) {
      const unit = at(j);
      if (unit === COLON && colon === -1) colon = j;
      else if (unit === AT) userEnd = j;
      else if (unit === SLASH || isSpace(unit) || isQuote(unit) || unit === code("<")) break;
    }
    if (userEnd !== -1 && colon !== -1 && colon + 1 < userEnd) {
      const password = textOf(colon + 1, userEnd);
      if (isSecretValue(password, passwordKey)) add(host, userEnd, "password in a URL");
      return userEnd;
    }
    if (userEnd !== -1 && colon === -1 && isRandom(textOf(host, Math.min(userEnd, host + 256)))) {
      add(host, userEnd, "key in a URL");
      return userEnd;
    }
    for (const place of rules.webhooks) {
      if (!startsWith(host, place)) continue;
      const from = host + place.length;
      const to = wordEnd(from);
      if (to - from >= 8 && !startsWith(from, "[redacted]")) add(from, to, "webhook URL");
      return to;
    }
    return host;
  };

  const shape = (i: number): number => {
    for (const [prefix, min, name, exact] of shapesByFirst.get(at(i)) ?? []) {
      if (!startsWith(i, prefix)) continue;
      const of = ofClass[name];
      const from = i + prefix.length;
      let to = from;
      while (to - from < min && of(at(to))) to++;
      if (to - from < min) continue;
      while (of(at(to))) to++;
      if (exact && isWord(at(to))) continue;
      // Of `Bearer x` and `wandb login x` the words stay, and prose has no digits there.
      const afterWord = prefix.endsWith(" ");
      if (isBlankToFill(textOf(from, Math.min(to, from + 128)))) return to;
      if (afterWord && !/\d/.test(textOf(from, Math.min(to, from + 128)))) continue;
      add(afterWord ? from : i, to, `${prefix.trim()}… token`);
      return to;
    }
    for (const { program } of programsByFirst.get(at(i)) ?? [])
      if (startsWith(i, program) && !isName(at(i + program.length)))
        lastProgram = { at: i, name: program };
    return i + 1;
  };

  let lastProgram: { at: number; name: string } | null = null;
  /** `-u user:password` of a program that was named on this line; -1 where it is no such option. */
  const programOption = (i: number): number => {
    const last = lastProgram;
    if (!last || i - last.at > PROGRAM_REACH || !(isSpace(at(i - 1)) || isQuote(at(i - 1))))
      return -1;
    const between = textOf(last.at, i);
    if (/[\n;|]/.test(between)) return -1;
    for (const { program, options, form, pair: isPair, sub } of rules.programs) {
      if (program !== last.name || (sub && !between.includes(` ${sub} `))) continue;
      for (const option of options) {
        if (!startsWith(i, option)) continue;
        let from = i + option.length;
        const quotedOption = isQuote(at(from));
        if (quotedOption && at(from + 1) === COMMA) from += 2;
        const apart = isSpace(at(from)) || at(from) === EQUALS || quotedOption;
        if (apart ? form === "glued" : form === "apart" || option.startsWith("--")) continue;
        if (at(from) === EQUALS) from++;
        let [begin, to] = shortValue(from);
        if (at(begin) === DASH && apart) continue;
        if (isPair) {
          const parts = /^[^:%\s]*[:%]/.exec(textOf(begin, Math.min(to, begin + 200)));
          if (!parts) continue;
          begin += parts[0].length;
          if (begin === to) continue;
        }
        if (to > begin && isSecretValue(textOf(begin, Math.min(to, begin + 256)), passwordKey))
          add(begin, to, `${program} ${option}`);
        return Math.max(to, i + 1);
      }
    }
    return -1;
  };

  /** A secret after its name in a sentence or a command: `logged in with key …`, `password is …`. */
  const spoken = (i: number): number => {
    let start = i;
    while (start > 0 && i - start <= longestKey && isName(at(start - 1))) start--;
    start += escapeBefore(start);
    while (start < i && at(start) === DASH) start++;
    if (i - start === 5 && textOf(start, i) === "Basic") return basic(i);
    if (i - start === 2 && startsWith(start, "is")) return Math.max(toldValue(i), i + 1);
    const named = secretKeyAt(units, start, i);
    if (!named) return i + 1;
    if (anywhere) [toldFrom, toldTo] = [start, i];
    let from = skipBlanks(i);
    const link = beginsLink(at(from)) ? spokenLink.exec(textOf(from, from + 24)) : null;
    if (link) from += link[0].length;
    const quote = isQuote(at(from)) ? at(from) : -1;
    if (quote !== -1) from++;
    let to = wordEnd(from, 512);
    if (quote !== -1 && link && isPassword(named)) to = quotedEnd(from, quote) ?? to;
    while (to > from && isStop(at(to - 1))) to--;
    if (at(to) === EQUALS || at(to) === COLON || (to === from && quote === -1)) return i + 1;
    if (to - from < SHORTEST && !isPassword(named)) return i + 1;
    const found = spokenKey(start, i);
    if (!found) return i + 1;
    const text = textOf(from, to);
    const login =
      !link &&
      isPassword(found) &&
      / login \S{1,80} $/.test(textOf(Math.max(0, start - 100), start));
    const likely = link ? isGiven(text, found) : isLongKey(text, found);
    if (!login && !likely && !isRandom(text)) return i + 1;
    key = { name: found.name, prose: false };
    [keyFrom, keyTo] = [start, i];
    toldFrom = toldTo = 0;
    addIfSecret(from, to);
    return to;
  };

  /** Where a short quoted text ends; undefined where its line ends before. */
  const quotedEnd = (from: number, quote: number): number | undefined => {
    for (let to = from; to - from <= 128 && !lineEnds(at(to)); to++)
      if (at(to) === quote) return to;
    return undefined;
  };

  /** `Basic` and a user's name and password in base64. */
  const basic = (i: number): number => {
    let to = i + 1;
    while (ofClass.base64(at(to))) to++;
    const text = textOf(i + 1, Math.min(to, i + 200));
    if (text.length < 12 || !/[a-z]/.test(text) || !/[A-Z]/.test(text) || !/[\d=]/.test(text))
      return i + 1;
    add(i + 1, to, "Basic authorization");
    return to;
  };

  /** A key's value within an encoded address or form: `token%3D…`, `%22hf_token%22%3A%22…`. */
  const encoded = (i: number): number => {
    const sign = textOf(i + 1, i + 3).toUpperCase();
    if (sign !== "3D" && sign !== "3A") return i + 1;
    const isEncodedQuote = (from: number) => /^%2[27]$/.test(textOf(from, from + 3));
    let end = i;
    if (isEncodedQuote(end - 3)) end -= 3;
    let start = end;
    while (start > 0 && end - start <= longestKey && isName(at(start - 1))) start--;
    start += escapeBefore(start);
    const found = secretKeyAt(units, start, end);
    if (!found) return i + 1;
    let from = i + 3;
    while (startsWith(from, "%20")) from += 3;
    if (isEncodedQuote(from)) from += 3;
    let to = from;
    while (to < n && !endsWord(at(to)) && !/^%(?:2[2-7C]|7D|20|0A)/i.test(textOf(to, to + 3))) to++;
    key = found;
    [keyFrom, keyTo] = [start, end];
    if (!found.prose || looksRandom(textOf(from, Math.min(to, from + 64)))) addIfSecret(from, to);
    return Math.max(to, i + 3);
  };

  /** A value after its quoted name in a call: `setenv("HF_TOKEN", "…")`, at the comma. */
  const listed = (i: number): number => {
    if (!isQuote(at(i - 1))) return i + 1;
    let start = i - 1;
    while (start > 0 && i - start <= longestKey && isName(at(start - 1))) start--;
    if (!isQuote(at(skipBlanks(i + 1))) || at(start - 1) !== at(i - 1)) return i + 1;
    const found = secretKeyAt(units, start, i - 1);
    if (!found) return i + 1;
    key = found;
    [keyFrom, keyTo] = [start, i - 1];
    return weakValue(i);
  };

  /** A password or key after its Chinese name: `密码：…`, `密码是 …`. */
  const chinese = (i: number): number => {
    const name = textOf(i - 1, i + 1);
    const link = rules.chinese.includes(name) ? chineseLink.exec(textOf(i + 1, i + 4)) : null;
    if (!link) return i + 1;
    const from = i + 1 + link[0].length;
    let to = from;
    while (to - from < 512 && at(to) < 127 && at(to) > SPACE && !endsWord(at(to))) to++;
    const text = textOf(from, to);
    const isShort = name === "密码" || name === "口令";
    if (!(isShort ? looksChosen(text) : isRandom(text))) return i + 1;
    key = passwordKey;
    [keyFrom, keyTo] = [i - 1, i + 1];
    addIfSecret(from, to);
    return to;
  };

  /** A Telegram bot's token, `123456789:AA…`, at its colon. */
  const telegram = (i: number): number => {
    let from = i;
    while (from > 0 && i - from <= 10 && isDigit(at(from - 1))) from--;
    let to = i + 1;
    while (to - i <= 64 && isName(at(to))) to++;
    if (i - from < 8 || i - from > 10 || to - i < 34) return -1;
    add(from, to, "a bot's token");
    return to;
  };

  for (let i = 0; i < n; ) {
    const unit = units[i] ?? 0;
    const kind = unit < 128 ? kinds[unit] : 0;
    if (kind === 0) {
      i = anywhere && unit > 127 && chineseEnds.has(unit) ? chinese(i) : i + 1;
    } else if (kind === BLANK) {
      i = i > 0 && endsSpoken(at(i - 1)) ? spoken(i) : i + 1;
    } else if (kind === SEPARATOR) {
      if (unit === COLON && at(i + 1) === SLASH && at(i + 2) === SLASH) i = url(i);
      else if (unit === COLON && at(i + 1) === 65 && at(i + 2) === 65 && telegram(i) !== -1)
        i = Math.max(i + 1, places.at(-2) ?? 0);
      else i = keyed(i);
    } else if (kind === HYPHEN) {
      const after = programOption(i);
      if (after !== -1) i = after;
      else if (at(i + 1) !== DASH) i++;
      else if (startsWith(i, "-----BEGIN ")) i = privateKey(i);
      else if (startsWith(i, "-----END ")) i = endOfPrivateKey(i);
      else if (isWord(at(i + 2)) && !(i > 0 && isName(at(i - 1)))) i = option(i);
      else i++;
    } else if (kind === LISTED) {
      i = listed(i);
    } else if (kind === ESCAPE) {
      i = encoded(i);
    } else if (!begins(i)) {
      i++;
    } else if (kind === JWT && at(i + 1) === 121 && at(i + 2) === 74) {
      i = jwt(i);
    } else {
      i = shape(i);
    }
  }
  return { places, names };
}

const isPassword = ({ name }: SecretKey) => /(?:pass(?:word|wd|phrase|code)?|pwd|_pw)$/.test(name);
/** As SHA-256 hashes look, under a name that no hash has. */
const isLongKey = (text: string, { name }: SecretKey) =>
  /^[0-9a-f]{64}$/i.test(text) && secretKey(name)?.weak !== true;
/** `hf_xxxxxxxx`, as examples have it. */
const isBlankToFill = (text: string) => /^x+$/i.test(text);

/** Letters and digits mixed, and long: a token rather than a word of a sentence. */
const looksRandom = (text: string) =>
  text.length >= 8 && /[a-z]/i.test(text) && /\d/.test(text) && /^[\w.+/=-]+$/.test(text);
