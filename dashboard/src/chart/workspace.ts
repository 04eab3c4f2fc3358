import { isSystemMetric } from "../../../src/shared/system-metrics.ts";
import { groupOf, groupsInOrder, inOrder } from "./metrics.ts";

/** How the grid of metrics is arranged: lists of metrics, and of groups that are collapsed. */
export type Arrangement = {
  pinned: string[];
  hidden: string[];
  order: string[];
  collapsed: string[];
};
export const unarranged: Arrangement = { pinned: [], hidden: [], order: [], collapsed: [] };

/** The longest regular expression that metrics are searched by, in characters. */
export const LONGEST_SEARCH = 200;

/** Metrics under one title; the pinned ones are together in the first group. */
export type Group = { name: string; isPinned: boolean; metrics: string[] };

/** Names that no prefix has: of the group of what is pinned, and in lists of the one without a prefix. */
const PINNED = "/pinned";
const GENERAL = "/";

/** The key of a group in the list of collapsed groups. */
export const keyOf = ({ name }: Pick<Group, "name">) => name || GENERAL;

/** Metrics in the order that they were given, and the others in theirs behind these. */
function arrange(names: string[], order: string[]): string[] {
  const place = new Map(order.map((name, n) => [name, n]));
  const placeOf = (name: string) => place.get(name) ?? order.length;
  return inOrder(names).sort((a, b) => placeOf(a) - placeOf(b));
}

/** The groups of metrics to draw, in their order; those hidden are in none, unless `all` are to be, and the machine's never. */
export function groupsOf(
  names: string[],
  { pinned, hidden, order }: Arrangement,
  { matches, all = false }: { matches?: (name: string) => boolean; all?: boolean } = {},
): Group[] {
  const left = new Set(hidden);
  const shown = names.filter(
    (name) => !isSystemMetric(name) && (matches?.(name) ?? true) && (all || !left.has(name)),
  );
  const first = pinned.filter((name) => shown.includes(name));
  const groups = new Map<string, string[]>();
  for (const name of shown)
    if (!first.includes(name))
      groups.set(groupOf(name), [...(groups.get(groupOf(name)) ?? []), name]);
  return [
    ...(first.length ? [{ name: PINNED, isPinned: true, metrics: first }] : []),
    ...groupsInOrder(groups.keys()).map((name) => ({
      ...{ name, isPinned: false, metrics: arrange(groups.get(name) ?? [], order) },
    })),
  ];
}

/**
 * Moves a metric by a number of places among those of its group that are shown, as far as there are any; `whole`
 * has all of the group.
 */
export function moved(
  arrangement: Arrangement,
  { isPinned, metrics }: Group,
  metric: string,
  by: number,
  whole: string[] = metrics,
): Partial<Arrangement> {
  const from = metrics.indexOf(metric);
  const to = Math.min(Math.max(from + by, 0), metrics.length - 1);
  const place = whole.indexOf(metrics[to] ?? "");
  if (from < 0 || from === to || place < 0) return {};
  const list = whole.toSpliced(whole.indexOf(metric), 1).toSpliced(place, 0, metric);
  const others = (kept: string[]) => kept.filter((name) => !list.includes(name));
  return isPinned
    ? { pinned: [...list, ...others(arrangement.pinned)] }
    : { order: bounded([...others(arrangement.order), ...list]) };
}

/** Names that a list keeps: a person's defaults take 500, and 16 kB in all. */
const MOST_NAMES = 300;
const MOST_LENGTH = 4000;

/** The last names of a list that fit into a person's defaults. */
export function bounded(names: string[]): string[] {
  const kept: string[] = [];
  let length = 0;
  for (const name of names.toReversed()) {
    length += new TextEncoder().encode(JSON.stringify(name)).length + 1;
    if (length > MOST_LENGTH || kept.length === MOST_NAMES) break;
    kept.push(name);
  }
  return kept.reverse();
}

/** A list with a name that it lacked, or without one that it had. */
export const toggled = (names: string[], name: string): string[] =>
  names.includes(name) ? names.filter((one) => one !== name) : bounded([...names, name]);

/** The parameters of an address that hold an arrangement. */
const parameters: Record<keyof Arrangement, string> = {
  pinned: "pin",
  hidden: "skip",
  order: "order",
  collapsed: "fold",
};
const keys = Object.keys(parameters) as (keyof Arrangement)[];

/** An address takes so many characters of a list; longer ones are in their person's defaults alone. */
const MOST_ADDRESS = 1500;

const nothing = "~0";
const listText = (names: string[]) =>
  names.length === 0
    ? nothing
    : names.map((name) => name.replaceAll("~", "~1").replaceAll(",", "~2")).join(",");
const readList = (text: string) =>
  text === nothing
    ? []
    : [...new Set(text.split(","))]
        .map((name) => name.replaceAll("~2", ",").replaceAll("~1", "~"))
        .slice(0, MOST_NAMES);

/** Reads the arrangement of an address; what it does not say is as its person likes it. */
export function readArrangement(params: URLSearchParams, own: Partial<Arrangement>): Arrangement {
  const read = (key: keyof Arrangement) => {
    const text = params.get(parameters[key]);
    return text ? readList(text) : (own[key] ?? []);
  };
  return {
    ...{ pinned: read("pinned"), hidden: read("hidden") },
    ...{ order: read("order"), collapsed: read("collapsed") },
  };
}

/** Parameters of the address for a change of the arrangement: null is as its person likes it. */
export function arrangementParams(change: Partial<Arrangement>, own: Partial<Arrangement>) {
  return Object.fromEntries(
    keys.flatMap((key): [string, string | null][] => {
      const names = change[key];
      if (names === undefined) return [];
      const text = listText(names);
      const isOwn = text === listText(own[key] ?? []);
      return [[parameters[key], isOwn || text.length > MOST_ADDRESS ? null : text]];
    }),
  );
}
