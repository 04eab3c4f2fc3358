import type { JsonValue } from "../../shared/json.ts";
import { secretKey } from "./keys.ts";
import { MARK } from "./redact.ts";

/**
 * A `[redacted]` that is the whole value of a secret key, so that a repeat may put a value there:
 * the byte it begins at, and its key. `typed`: the text held the mark already when it was sent.
 */
export type Mark = { at: number; name: string; typed?: true };

/** A file with more marks than this has the first ones listed. */
const MOST_MARKS = 100;
/** Names of options and keys as a file may write them; a longer one is no key of the list. */
const optionName = /^--?([A-Za-z][\w-]*)$/;

const markBytes = new TextEncoder().encode(MARK);

/** Where the first marks of a text begin; none in UTF-16, whose marks have two bytes a letter. */
function findMarks(bytes: Uint8Array): number[] {
  const places: number[] = [];
  const first = markBytes[0] ?? 0;
  for (let at = bytes.indexOf(first); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (!markBytes.every((byte, n) => bytes[at + n] === byte)) continue;
    places.push(at);
    if (places.length === MOST_MARKS) break;
  }
  return places;
}

/** The bytes with a word of its own for each mark. */
function withWords(bytes: Uint8Array, places: number[], words: string[]): Uint8Array<ArrayBuffer> {
  const written = words.map((word) => new TextEncoder().encode(word));
  const extra = written.reduce((sum, word) => sum + word.length - markBytes.length, 0);
  const out = new Uint8Array(bytes.length + extra);
  let read = 0;
  let write = 0;
  for (const [n, word] of written.entries()) {
    const place = places[n] ?? 0;
    out.set(bytes.subarray(read, place), write);
    write += place - read;
    out.set(word, write);
    write += word.length;
    read = place + markBytes.length;
  }
  out.set(bytes.subarray(read), write);
  return out;
}

/**
 * The marks of a stored file that are each the whole value of a secret key, wherever the file's own
 * parser sees them: no part of a longer string, no comment, no value that an alias repeats under
 * another key. `parse` reads the file's format. `made` are the places of the marks that redacting
 * has just put there, `names` the keys whose values it took out of the file that this one was made
 * from: the others count as typed.
 */
export function fillableMarks(
  bytes: Uint8Array,
  parse: (bytes: Uint8Array) => JsonValue,
  made: number[] = [],
  names: string[] = [],
): Mark[] {
  const places = findMarks(bytes);
  if (places.length === 0) return [];
  // No text that was written before this call holds such a word.
  const stem = `redacted${crypto.randomUUID().replaceAll("-", "")}n`;
  const words = places.map((_, n) => `${stem}${n}n`);
  const keys = findKeys(parse(withWords(bytes, places, words)), stem);
  // Both are in order, so that no later one of them is among the first places.
  const first = new Set(made.slice(0, MOST_MARKS));
  return places.flatMap((at, n): Mark[] => {
    const name = keys.get(words[n] ?? "");
    if (!name) return [];
    const typed = !(first.has(at) || names.includes(name));
    return [{ at, name, ...(typed && { typed }) }];
  });
}

/** The secret key of each word; null for one that also occurs elsewhere than as such a key's value. */
function findKeys(tree: JsonValue, stem: string): Map<string, string | null> {
  const found = new Map<string, string | null>();
  const spoil = (text: string) => {
    for (const [word] of text.matchAll(new RegExp(`${stem}\\d+n`, "g"))) found.set(word, null);
  };
  const look = (text: string, key: string) => {
    if (!text.includes(stem)) return;
    const isWhole = text.startsWith(stem) && text.indexOf("n", stem.length) === text.length - 1;
    if (isWhole && secretKey(key) && found.get(text) !== null) found.set(text, key);
    else spoil(text);
  };
  const walk = (node: JsonValue, key: string) => {
    if (typeof node === "string") look(node, key);
    else if (Array.isArray(node))
      for (const [n, item] of node.entries()) {
        const before = node[n - 1];
        const option = typeof before === "string" ? optionName.exec(before)?.[1] : undefined;
        walk(item, option ?? key);
      }
    else if (node !== null && typeof node === "object") {
      const named = [node.name, node.key].find((name) => typeof name === "string");
      for (const [name, item] of Object.entries(node)) {
        spoil(name);
        walk(item, name === "value" && typeof named === "string" ? named : name);
      }
    }
  };
  walk(tree, "");
  return found;
}

/**
 * The words of a command that are, or end in, a mark as the whole value of a secret option or
 * assignment: `at` is the word's number. The client replaces secrets before it sends a command, so
 * that nothing tells its marks from typed ones.
 */
export function commandMarks(command: string[]): Mark[] {
  return command.flatMap((word, at): Mark[] => {
    if (!word.endsWith(MARK)) return [];
    const name =
      word === MARK
        ? optionName.exec(command[at - 1] ?? "")?.[1]
        : /^-{0,2}([A-Za-z][\w.-]*)=$/.exec(word.slice(0, -MARK.length))?.[1]?.replace(/^.*\./, "");
    return name && secretKey(name) ? [{ at, name }] : [];
  });
}
