/** Shortest beginning that is worth leaving out. */
const LEAST_SHARED = 10;
/** The part of the room that the end of a long name takes. */
const TAIL_SHARE = 0.45;

/** The room that a text takes, in Latin letters: a Chinese character is as wide as two. */
const roomOf = (text: string) => {
  let room = 0;
  for (const letter of text) room += (letter.codePointAt(0) ?? 0) > 0x2e80 ? 2 : 1;
  return room;
};

/** How many characters two texts begin with in common, up to the end of a word, and no half of a letter. */
function shared(a: string, b: string | undefined): number {
  if (!b) return 0;
  let at = 0;
  while (at < a.length && at < b.length && a[at] === b[at]) at++;
  if (at === a.length) return 0;
  const words = a.slice(0, at).match(/^.*[\s_\-/=.,:;]/su);
  return words ? words[0].length : 0;
}

/** How many characters two texts end with in common, from the beginning of a word. */
function sharedEnd(a: string, b: string | undefined): number {
  if (!b) return 0;
  let n = 0;
  while (n < a.length && n < b.length && a.at(-1 - n) === b.at(-1 - n)) n++;
  if (n === a.length) return 0;
  const words = a.slice(a.length - n).match(/[\s_/,;].*$/su);
  return words ? words[0].length : 0;
}

export type CutName = {
  /** The beginning that its neighbours have too, and that is left out. */
  ahead: string;
  /** What is cut at its end where there is no room. */
  head: string;
  /** The end, which is always shown. */
  tail: string;
  /** The end that its neighbours have too, and that is left out. */
  behind: string;
};

/**
 * A name for a column with room for so many Latin letters. A name that does not fit loses what a neighbour
 * begins with as well; if it still does not fit, its middle gives way.
 */
export function cutName(name: string, neighbours: (string | undefined)[], room: number): CutName {
  if (roomOf(name) <= room) return { ahead: "", head: name, tail: "", behind: "" };
  const common = Math.max(0, ...neighbours.map((other) => shared(name, other)));
  const ahead = common >= LEAST_SHARED ? name.slice(0, common) : "";
  let rest = name.slice(ahead.length);
  if (roomOf(rest) < room) return { ahead, head: rest, tail: "", behind: "" };
  const same = Math.max(0, ...neighbours.map((other) => sharedEnd(rest, other)));
  const behind = same >= LEAST_SHARED ? rest.slice(-same) : "";
  rest = rest.slice(0, rest.length - behind.length);
  if (roomOf(rest) < room) return { ahead, head: rest, tail: "", behind };
  const letters = [...rest];
  let taken = 0;
  let from = letters.length;
  while (from > 1 && taken < room * TAIL_SHARE) taken += roomOf(letters[--from] ?? "");
  return {
    ahead,
    head: letters.slice(0, from).join(""),
    tail: letters.slice(from).join(""),
    behind,
  };
}
