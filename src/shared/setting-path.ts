/**
 * The path of a setting, as filters, comparisons, sweeps and pages spell it: `config."odd key"[0].lr`. A
 * segment is a name, or the place of a list's element. A name that is no plain word stands in "double
 * quotes", doubled within.
 */

export type Segment = string | number;

/** A segment without quotes, and one in quotes. */
export const plainSegment = /[\p{L}_][\p{L}\p{N}_-]*/u;
export const quotedSegment = /"(?:[^"]|"")*"/;

/** The words of the filter language: in small or capital letters, no path begins with one outside quotes. */
export const keywords: ReadonlySet<string> = new Set([
  "and",
  "or",
  "not",
  "in",
  "is",
  "null",
  "like",
  "true",
  "false",
]);

/** The text between two quotes of either kind, each doubled within. */
export const unquote = (text: string): string =>
  text.slice(1, -1).replaceAll(text.charAt(0).repeat(2), text.charAt(0));

const isPlain = new RegExp(`^${plainSegment.source}$`, "u");
const printName = (name: string) => (isPlain.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

/** A printed path with one segment more; "" is the path of no segment. */
function extendPath(path: string, segment: Segment): string {
  if (typeof segment === "number") return `${path}[${segment}]`;
  if (path !== "") return `${path}.${printName(segment)}`;
  return keywords.has(segment.toLowerCase()) ? `"${segment}"` : printName(segment);
}

export const printPath = (segments: Segment[]): string => segments.reduce(extendPath, "");

const parts = new RegExp(String.raw`(${quotedSegment.source})|\[(\d+)\]|([^.[\]"]+)`, "g");

/**
 * The segments of a path. It takes any name without quotes that has no dot, bracket or quote: a person
 * writes `network/linear` for a key of a file. The filter language is stricter, because more follows there.
 */
export const parsePath = (path: string): Segment[] =>
  [...path.matchAll(parts)].map(([, quoted, index, name = ""]) =>
    index !== undefined ? Number(index) : quoted !== undefined ? unquote(quoted) : name,
  );

/** The parts of a list of paths; a comma within quotes belongs to a name. */
export function splitAtCommas(source: string): string[] {
  const found: string[] = [];
  let begin = 0;
  let isQuoted = false;
  for (let i = 0; i < source.length; i++) {
    if (source[i] === '"') isQuoted = !isQuoted;
    else if (source[i] === "," && !isQuoted) {
      found.push(source.slice(begin, i));
      begin = i + 1;
    }
  }
  return [...found, source.slice(begin)];
}

/** A list with an object in it is not one value but many; so is an object. */
const isNested = (value: unknown): value is object =>
  typeof value === "object" &&
  value !== null &&
  (!Array.isArray(value) || value.some((item) => typeof item === "object" && item !== null));

/** The values of a document by their paths below `root`, no more than `most`. A list of plain values is one value. */
export function leavesOf<Value>(
  document: Value,
  root = "",
  most = Number.POSITIVE_INFINITY,
): Map<string, Value> {
  const leaves = new Map<string, Value>();
  const walk = (value: Value, path: string) => {
    if (leaves.size >= most) return;
    if (!isNested(value)) leaves.set(path, value);
    else if (Array.isArray(value))
      for (const [n, item] of value.entries()) walk(item, extendPath(path, n));
    else for (const [name, item] of Object.entries(value)) walk(item, extendPath(path, name));
  };
  walk(document, root);
  return leaves;
}
