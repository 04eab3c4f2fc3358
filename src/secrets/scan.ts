import { isSecretValue, longestKey, type SecretKey, secretKeyAt } from "./keys.ts";

/** Code units: the bytes of a text in any ASCII-compatible encoding, or UTF-16 units. */
export type Units = Uint8Array | Uint16Array;

/** What was found, kept flat: a hostile text may hold a million secrets. */
export type Found = {
  /** Three numbers a secret, in order: from, to, and 1 where its mark needs quotes of its own. */
  places: number[];
  /** What the first ones stood under, or the kind of token they look like, and their lines from 1. */
  names: { key: string; line: number }[];
};

/** More than anyone reads; the others are counted. */
const MAX_NAMES = 100;

const code = (char: string) => char.charCodeAt(0);
const [TAB, LF, CR, SPACE, QUOTE, APOSTROPHE, BACKSLASH] = [9, 10, 13, 32, 34, 39, 92] as const;
const [HASH, COMMA, DASH, DOT, SLASH, COLON, EQUALS] = [35, 44, 45, 46, 47, 58, 61] as const;
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
const isWord = classOf(`${alnumChars}_`);
const isName = classOf(`${alnumChars}_-`);
const isBearer = classOf(`${alnumChars}-._~+/=`);
const isKeyBlock = classOf(`${alnumChars}+/=\\ \t\r\n:,-`);
const isNumeric = classOf(`${digits}-+.`);
const isBlank = classOf(" \t");
const endsKey = classOf(`${alnumChars} \t"'\``);
const isQuote = classOf("\"'`");
const beforeKey = classOf("{,[#.;&?(-\"'`|");
const beforeSpacedKey = classOf("{,[#;-|");
const endsWord = classOf(" \t\r\n,;&)]}\"'`<>");

/** Tokens known by their first letters, then at least `min` characters of `of`. */
const shapes: [prefix: string, min: number, of: (unit: number) => boolean, exact?: true][] = [
  ["hf_", 20, isAlnum],
  ["sk-proj-", 20, isName],
  ["sk-svcacct-", 20, isName],
  ["sk-admin-", 20, isName],
  ["sk-ant-", 20, isName],
  ["sk-or-v1-", 20, isName],
  ["sk-", 20, isAlnum],
  ["ghp_", 20, isAlnum],
  ["gho_", 20, isAlnum],
  ["ghu_", 20, isAlnum],
  ["ghs_", 20, isAlnum],
  ["ghr_", 20, isAlnum],
  ["github_pat_", 20, isWord],
  ["glpat-", 16, isName],
  ["gsk_", 30, isAlnum],
  ["AKIA", 16, isUpperAlnum, true],
  ["ASIA", 16, isUpperAlnum, true],
  ["AIza", 35, isName],
  ["xoxb-", 10, isName],
  ["xoxp-", 10, isName],
  ["xoxa-", 10, isName],
  ["xoxr-", 10, isName],
  ["xoxs-", 10, isName],
  ["xoxe-", 10, isName],
  ["xapp-", 10, isName],
  ["nvapi-", 20, isName],
  ["npm_", 30, isAlnum],
  ["rpa_", 30, isAlnum],
  ["r8_", 30, isAlnum],
  ["pypi-AgE", 30, isName],
  ["dckr_pat_", 20, isName],
  ["dop_v1_", 40, isAlnum],
  ["Bearer ", 16, isBearer],
  ["bearer ", 16, isBearer],
  ["wandb login ", 32, isAlnum],
];
const shapesByFirst = new Map<number, typeof shapes>();
for (const shape of shapes)
  shapesByFirst.set(code(shape[0]), [...(shapesByFirst.get(code(shape[0])) ?? []), shape]);

const passwordKey: SecretKey = { name: "password", prose: false };

/** Places whose last part is the secret. */
const webhooks = [
  "hooks.slack.com/services/",
  "hooks.slack.com/workflows/",
  "hooks.slack.com/triggers/",
  "discord.com/api/webhooks/",
  "discordapp.com/api/webhooks/",
  "ptb.discord.com/api/webhooks/",
  "canary.discord.com/api/webhooks/",
  "open.feishu.cn/open-apis/bot/",
  "open.larksuite.com/open-apis/bot/",
  "qyapi.weixin.qq.com/cgi-bin/webhook/send?key=",
  "oapi.dingtalk.com/robot/send?access_token=",
];

const [SEPARATOR, HYPHEN, START, JWT] = [1, 2, 3, 4] as const;
const kinds = new Uint8Array(128);
for (const first of shapesByFirst.keys()) kinds[first] = START;
kinds[EQUALS] = kinds[COLON] = SEPARATOR;
kinds[DASH] = HYPHEN;
kinds[code("e")] = JWT;

/**
 * Finds secrets in one pass over the units. Every look ahead or back is either bounded, stops at
 * what a later look starts from, or is remembered, so that the time stays linear for any text.
 *
 * `anywhere` is for logs and messages, where a key may stand in the middle of a line; in a
 * config a key stands where keys stand, so that comments in prose stay as they are.
 */
export function scan(units: Units, { anywhere }: { anywhere: boolean }): Found {
  const n = units.length;
  const places: number[] = [];
  const names: Found["names"] = [];
  const at = (i: number) => (i < n ? (units[i] ?? -1) : -1);
  const isSpace = (unit: number) => unit === SPACE || unit === TAB || unit === LF || unit === CR;
  const lineEnds = (unit: number) => unit === LF || unit === CR || unit === -1;
  const textOf = (from: number, to: number) => {
    let text = "";
    for (let i = from; i < to && i < n; i++) text += String.fromCharCode(at(i));
    return text;
  };
  const startsWith = (from: number, literal: string) => {
    for (let i = 0; i < literal.length; i++)
      if (at(from + i) !== literal.charCodeAt(i)) return false;
    return true;
  };
  const skipBlanks = (i: number) => {
    while (isBlank(at(i))) i++;
    return i;
  };
  // The line looked at last is remembered: many keys of one line ask for the same end and beginning.
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
    places.push(from, to, quoted ? 1 : 0);
    if (names.length >= MAX_NAMES) return;
    for (; counted < from; counted++) if (units[counted] === LF) line++;
    names.push({ key: name || textOf(keyFrom, keyTo), line });
  };
  /** The key being looked at: what is found in its value is reported under it. */
  let key: SecretKey = { name: "", prose: false };
  let keyFrom = 0;
  let keyTo = 0;
  const addIfSecret = (from: number, to: number, quoted = false) => {
    // Long values are judged by their beginning.
    if (to > from && isSecretValue(textOf(from, Math.min(to, from + 256)), key))
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
  const wordEnd = (i: number) => {
    while (i < n && !endsWord(at(i)) && at(i) !== -1) i++;
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

  /** What stands behind a `=` or `:` at `i`, when a secret key stands before it. Returns where to go on. */
  const keyed = (i: number): number => {
    if (i === 0 || !endsKey(at(i - 1))) return i + 1;
    let end = i;
    while (end > 0 && isBlank(at(end - 1)) && i - end < 64) end--;
    const spaced = end < i;
    const quotedKey = end > 0 && isQuote(at(end - 1));
    if (quotedKey) end--;
    const escaped = quotedKey && end > 0 && at(end - 1) === BACKSLASH;
    if (escaped) end--;
    let start = end;
    while (start > 0 && end - start <= longestKey && isName(at(start - 1))) start--;
    // An option's dashes and a list's hyphen are not part of the name.
    while (start < end && at(start) === DASH) start++;
    const found = secretKeyAt(units, start, end);
    if (found === undefined) return i + 1;
    key = found;
    keyFrom = start;
    keyTo = end;

    let next = at(i + 1);
    if (next === EQUALS || (at(i) === COLON && (next === COLON || next === SLASH))) return i + 1;
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
      if (!stands) return i + 1;
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
    if (escaped && next === BACKSLASH && isQuote(at(from + 1))) {
      // JSON inside a string: its quotes are escaped, so the value ends at the next backslash.
      let to = from + 2;
      while (to < n && at(to) !== BACKSLASH && !lineEnds(at(to))) to++;
      addIfSecret(from + 2, to);
      return to;
    }
    if (next === QUOTE || next === APOSTROPHE) return quotedValue(from);
    if (key.name === "authorization") {
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
    const asWord = anywhere || (tight && !(before < 0 || lineEnds(at(before))));
    if (asWord || comment) {
      const to = wordEnd(from);
      // Prose in a comment goes on behind the word; a commented-out setting does not.
      if (
        comment &&
        !asWord &&
        lineEnds(at(skipBlanks(to))) === false &&
        at(skipBlanks(to)) !== HASH
      )
        return i + 1;
      if (anywhere && key.prose && !looksRandom(textOf(from, Math.min(to, from + 64))))
        return i + 1;
      addIfSecret(from, to);
      return Math.max(to, i + 1);
    }
    if (at(i) === COLON && !inFlow && !quotedKey) {
      return Math.max(yamlValue(from, start - lineStart(start)), i + 1);
    }
    const to = plainEnd(from, inFlow || quotedKey);
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
      return isQuote(at(from)) ? quotedValue(from) : from;
    }
    if (!isBlank(at(from))) return end;
    from = skipBlanks(from);
    if (at(from) === QUOTE || at(from) === APOSTROPHE) return quotedValue(from);
    if (at(from) === DASH) return from;
    const to = wordEnd(from);
    addIfSecret(from, to);
    return to;
  };

  let nextKeyEnd = -1;
  /** `-----BEGIN … PRIVATE KEY-----` up to its end, or as far as it goes where that is cut off. */
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

  const jwtEnd = (i: number) => {
    while (isName(at(i))) i++;
    return i;
  };
  let noJwtBefore = 0;
  const jwt = (i: number): number => {
    if (i < noJwtBefore) return i + 1;
    const first = jwtEnd(i);
    noJwtBefore = first;
    if (first - i < 12 || at(first) !== DOT) return i + 1;
    const second = jwtEnd(first + 1);
    if (second - first < 8 || at(second) !== DOT) return i + 1;
    const third = jwtEnd(second + 1);
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
    for (const place of webhooks) {
      if (!startsWith(host, place)) continue;
      const from = host + place.length;
      const to = wordEnd(from);
      if (to - from >= 8 && !startsWith(from, "[redacted]")) add(from, to, "webhook URL");
      return to;
    }
    return host;
  };

  const shape = (i: number): number => {
    for (const [prefix, min, of, exact] of shapesByFirst.get(at(i)) ?? []) {
      if (!startsWith(i, prefix)) continue;
      const from = i + prefix.length;
      let to = from;
      while (to - from < min && of(at(to))) to++;
      if (to - from < min || (exact && isWord(at(to)))) continue;
      while (of(at(to))) to++;
      // Of `Bearer x` and `wandb login x` the words stay.
      const secretFrom = prefix.endsWith(" ") ? from : i;
      add(secretFrom, to, `${prefix.trim()}… token`);
      return to;
    }
    return i + 1;
  };

  for (let i = 0; i < n; ) {
    const unit = units[i] ?? 0;
    const kind = unit < 128 ? kinds[unit] : 0;
    if (kind === 0) {
      i++;
    } else if (kind === SEPARATOR) {
      i = unit === COLON && at(i + 1) === SLASH && at(i + 2) === SLASH ? url(i) : keyed(i);
    } else if (kind === HYPHEN) {
      if (at(i + 1) !== DASH) i++;
      else if (startsWith(i, "-----BEGIN ")) i = privateKey(i);
      else if (isWord(at(i + 2)) && !(i > 0 && isName(at(i - 1)))) i = option(i);
      else i++;
    } else if (i > 0 && isWord(at(i - 1))) {
      i++;
    } else if (kind === JWT) {
      i = at(i + 1) === 121 && at(i + 2) === 74 ? jwt(i) : i + 1;
    } else {
      i = shape(i);
    }
  }
  return { places, names };
}

/** Letters and digits mixed, and long: a token rather than a word of a sentence. */
const looksRandom = (text: string) =>
  text.length >= 8 && /[a-z]/i.test(text) && /\d/.test(text) && /^[\w.+/=-]+$/.test(text);
