import type { Text } from "../i18n.ts";

/*
 * Regular expressions whose time grows with the length of a name alone. The browser's own go back and try
 * again, and `(a+)+$` would hang the page. They know characters, `.`, classes, groups, `|`, `^`, `$` and
 * all quantifiers; upper and lower case are the same.
 */

/** The longest pattern, and the most states of one: `a{100}` has a hundred. */
export const MOST_CHARACTERS = 200;
const MOST_STATES = 400;

/** Why a text is no pattern. */
export class PatternError extends Error {
  readonly reason: Text;
  constructor(reason: Text) {
    super(reason);
    this.reason = reason;
  }
}

type Test = (character: string) => boolean;
type Node =
  | { kind: "character"; is: Test }
  | { kind: "begin" | "end" }
  | { kind: "sequence" | "choice"; of: Node[] }
  | { kind: "repeat"; of: Node; least: number; most: number };

const classes: Record<string, Test> = {
  d: (c) => /[0-9]/.test(c),
  w: (c) => /[0-9a-z_]/i.test(c),
  s: (c) => /\s/.test(c),
};
/** The class or the character behind a backslash. */
function escaped(character: string | undefined): Test {
  if (character === undefined) throw new PatternError("nothing follows the backslash");
  const known = classes[character.toLowerCase()];
  if (known) return character === character.toLowerCase() ? known : (c) => !known(c);
  if (/[a-z0-9]/i.test(character)) throw new PatternError("this escape is not known");
  return (c) => c === character;
}

/** Reads a pattern as a tree. Throws PatternError. */
function parse(text: string): Node {
  const typed = [...text];
  const characters = typed.map((character) => character.toLowerCase());
  let at = 0;
  const take = (wanted: string) => characters[at] === wanted && ++at > 0;

  function choice(): Node {
    const of = [sequence()];
    while (take("|")) of.push(sequence());
    return { kind: "choice", of };
  }
  function sequence(): Node {
    const of: Node[] = [];
    while (at < characters.length && characters[at] !== "|" && characters[at] !== ")")
      of.push(repeated());
    return { kind: "sequence", of };
  }
  function repeated(): Node {
    let of = atom();
    for (let bounds = quantifier(); bounds; bounds = quantifier()) {
      of = { kind: "repeat", of, ...bounds };
      // Whether it takes more or less changes nothing about whether it matches.
      take("?");
    }
    return of;
  }
  function quantifier() {
    if (take("*")) return { least: 0, most: Number.POSITIVE_INFINITY };
    if (take("+")) return { least: 1, most: Number.POSITIVE_INFINITY };
    if (take("?")) return { least: 0, most: 1 };
    const [whole = "", least, comma, most] =
      characters
        .slice(at, at + 12)
        .join("")
        .match(/^\{(\d{1,3})(,?)(\d{0,3})\}/) ?? [];
    if (!whole || (!comma && most)) return null;
    at += whole.length;
    const from = Number(least);
    const to = most ? Number(most) : comma ? Number.POSITIVE_INFINITY : from;
    if (to < from) throw new PatternError("the bounds of a repetition are out of order");
    return { least: from, most: to };
  }
  function atom(): Node {
    const character = characters[at++];
    switch (character) {
      case "(": {
        if (take("?") && !take(":")) throw new PatternError("this kind of group is not known");
        const inner = choice();
        if (!take(")")) throw new PatternError("a group is not closed");
        return inner;
      }
      case "[":
        return { kind: "character", is: set() };
      case ".":
        return { kind: "character", is: () => true };
      case "^":
        return { kind: "begin" };
      case "$":
        return { kind: "end" };
      case "\\":
        // `\D` is another class than `\d`.
        return { kind: "character", is: escaped(typed[at++]) };
      case "*":
      case "+":
      case "?":
        throw new PatternError("there is nothing to repeat");
      default:
        return { kind: "character", is: (c) => c === character };
    }
  }
  function set(): Test {
    const is: Test[] = [];
    const isNot = take("^");
    for (let first = true; first || characters[at] !== "]"; first = false) {
      const from = characters[at++];
      if (from === undefined) throw new PatternError("a class is not closed");
      if (from === "\\") {
        is.push(escaped(typed[at++]));
        continue;
      }
      const to = characters[at + 1];
      if (characters[at] === "-" && to !== undefined && to !== "]") {
        at += 2;
        if (to < from) throw new PatternError("a range is out of order");
        is.push((c) => c >= from && c <= to);
      } else is.push((c) => c === from);
    }
    at++;
    return isNot ? (c) => !is.some((one) => one(c)) : (c) => is.some((one) => one(c));
  }

  const tree = choice();
  if (at < characters.length) throw new PatternError("a group is closed that was not opened");
  return tree;
}

type State = { is?: Test; only?: "begin" | "end"; next: number[] };

/** The states of a tree, the last one of which matches; `start` is the first. */
function compile(tree: Node): { states: State[]; start: number } {
  const states: State[] = [{ next: [] }];
  const add = (state: State) => {
    if (states.push(state) > MOST_STATES) throw new PatternError("it is too large");
    return states.length - 1;
  };
  /** Gives the state that a node begins with, when `next` comes behind it. */
  function build(node: Node, next: number): number {
    switch (node.kind) {
      case "character":
        return add({ is: node.is, next: [next] });
      case "begin":
      case "end":
        return add({ only: node.kind, next: [next] });
      case "sequence":
        return node.of.reduceRight((behind, one) => build(one, behind), next);
      case "choice":
        return add({ next: node.of.map((one) => build(one, next)) });
      case "repeat": {
        let behind = next;
        if (node.most === Number.POSITIVE_INFINITY) {
          behind = add({ next: [next] });
          states[behind]?.next.push(build(node.of, behind));
        } else
          for (let n = node.least; n < node.most; n++)
            behind = add({ next: [next, build(node.of, behind)] });
        for (let n = 0; n < node.least; n++) behind = build(node.of, behind);
        return behind;
      }
    }
  }
  return { start: build(tree, 0), states };
}

/** Makes a pattern that finds itself anywhere in a name. Throws PatternError, also where it is too long. */
export function patternOf(text: string): (name: string) => boolean {
  if ([...text].length > MOST_CHARACTERS) throw new PatternError("it is too large");
  const { states, start } = compile(parse(text));
  /** The round in which each state was last reached. */
  const seen = new Uint32Array(states.length);
  let round = 0;
  return (name) => {
    const characters = [...name.toLowerCase()];
    let now: number[] = [];
    for (let at = 0; at <= characters.length; at++) {
      round++;
      const character = characters[at];
      const next: number[] = [];
      // All states that are reached without a further character; a name may match from each place on.
      const waiting = [start, ...now];
      for (let n = waiting.pop(); n !== undefined; n = waiting.pop()) {
        const state = states[n];
        if (!state || seen[n] === round) continue;
        if (n === 0) return true;
        seen[n] = round;
        if (state.is) {
          if (character !== undefined && state.is(character))
            for (const to of state.next) next.push(to);
        } else if (
          state.only === undefined ||
          (state.only === "begin" ? at === 0 : at === characters.length)
        )
          for (const to of state.next) if (seen[to] !== round) waiting.push(to);
      }
      now = next;
    }
    return false;
  };
}
