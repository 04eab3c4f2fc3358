/** Lines of a live console that are kept; older ones are in the whole log. */
const MOST_LIVE = 20_000;

const GAP = "…";
const sameAt = (lines: string[], from: number, tail: string[]) =>
  lines.slice(from).every((line, n) => line === tail[n]);

/** Where in `lines` the tail begins, or -1 where none of it is there. */
function placeOf(lines: string[], tail: string[]): number {
  for (let from = Math.max(0, lines.length - tail.length); from < lines.length; from++)
    if (sameAt(lines, from, tail)) return from;
  return -1;
}

/**
 * Puts the latest lines of a console behind those that were seen before. A report repeats lines of the one
 * before it; its first line may be cut, and the last line seen may have been a bar that has moved on. Where
 * lines are missing between, a line of one sign says so.
 */
export function joinTail(seen: string[], text: string): string[] {
  const tail = text.replace(/\n$/, "").split("\n");
  if (seen.length === 0) return tail;
  const known = seen.slice(0, -1);
  const cut = tail.slice(1);
  for (const [lines, latest] of [
    [seen, tail],
    [known, tail],
    [seen, cut],
    [known, cut],
  ] as const) {
    const at = latest.length > 0 ? placeOf(lines, latest) : -1;
    if (at >= 0) return [...lines.slice(0, at), ...latest].slice(-MOST_LIVE);
  }
  return [...seen, GAP, ...tail].slice(-MOST_LIVE);
}

/** The lines that hold a word, whatever its case: their places, at most so many. */
export function placesOf(lines: readonly string[], word: string, most = 10_000): number[] {
  const wanted = word.toLowerCase();
  const found: number[] = [];
  if (wanted === "") return found;
  for (let n = 0; n < lines.length && found.length < most; n++)
    if (lines[n]?.toLowerCase().includes(wanted)) found.push(n);
  return found;
}

/** A line in parts, every other of which is the word that was looked for. */
export function partsOf(line: string, word: string): string[] {
  const wanted = word.toLowerCase();
  const low = line.toLowerCase();
  // Some letters are longer in lower case: the places would not be those of the line.
  if (wanted === "" || low.length !== line.length) return [line];
  const parts: string[] = [];
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(line.slice(from, at), line.slice(at, at + wanted.length));
    from = at + wanted.length;
  }
  return [...parts, line.slice(from)];
}

/** Characters of a whole log that a page holds, and of one line; the download has the rest. */
const MOST_CHARACTERS = 32_000_000;
const LONGEST_LINE = 16_384;

export type Log = { lines: string[]; isCut: boolean };

/**
 * The lines of a packed log, as far as a page can hold them: `seen` is called as they come. What follows is
 * not unpacked, however long it would be. Throws where it is no gzip.
 */
export async function unpackLog(
  packed: ReadableStream<Uint8Array<ArrayBuffer>>,
  seen: (log: Log) => void = () => {},
  most = MOST_CHARACTERS,
): Promise<Log> {
  const reader = packed
    .pipeThrough(new DecompressionStream("gzip"))
    .pipeThrough(new TextDecoderStream())
    .getReader();
  const lines: string[] = [];
  let rest = "";
  let read = 0;
  const add = (line: string) =>
    lines.push(line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line);
  let isCut = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const room = most - read;
    read += value.length;
    const parts = (rest + value.slice(0, room)).split("\n");
    rest = parts.pop() ?? "";
    // Of a line without an end only what is shown is kept.
    if (rest.length > LONGEST_LINE) rest = rest.slice(0, LONGEST_LINE + 1);
    for (const line of parts) add(line);
    if (value.length > room) {
      isCut = true;
      await reader.cancel();
      break;
    }
    seen({ lines, isCut });
  }
  if (rest) add(rest);
  return { lines, isCut };
}
