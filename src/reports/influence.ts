import type { JsonValue } from "../shared/json.ts";
import { mistakeOf } from "../shared/mistakes.ts";

/** A caution about a figure: its code and its sentence. */
type Caution = ReturnType<typeof mistakeOf>;

/** How one parameter of some runs correlates with their results. */
export type Influence = {
  name: string;
  kind: "number" | "category";
  runs: number;
  distinct: number;
  /** Spearman's rank correlation, −1 to 1; null for categories. */
  correlation: number | null;
  /** 0 to 1: its size, or for categories how much of the result's ranks they explain. */
  strength: number;
  /** Between the lowest and the highest median of the groups below. */
  spread: number;
  groups: { value: JsonValue; upto?: JsonValue; runs: number; median: number }[];
  caution: Caution | null;
};

const MOST_GROUPS = 8;
/** Fewer runs than this show little, whatever their numbers are. */
const FEW = 10;

/** Ranks from 1; equal values share the mean of theirs. */
export function ranksOf(values: number[]): number[] {
  const order = values.map((value, at) => ({ value, at })).sort((a, b) => a.value - b.value);
  const ranks: number[] = new Array(values.length).fill(0);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && order[to + 1]?.value === order[from]?.value) to++;
    for (let i = from; i <= to; i++) ranks[order[i]?.at ?? 0] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return ranks;
}

/** Pearson's correlation; of ranks it is Spearman's. Null where one of them does not vary. */
export function correlationOf(xs: number[], ys: number[]): number | null {
  const n = xs.length;
  const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / n;
  const [mx, my] = [mean(xs), mean(ys)];
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < n; i++) {
    const [dx, dy] = [(xs[i] ?? 0) - mx, (ys[i] ?? 0) - my];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : null;
}

const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
};

/** The results of runs by the value they had. */
function byValue<T>(values: T[], results: number[]): Map<T, number[]> {
  const groups = new Map<T, number[]>();
  for (const [i, value] of values.entries()) {
    const result = results[i] ?? 0;
    const group = groups.get(value);
    if (group) group.push(result);
    else groups.set(value, [result]);
  }
  return groups;
}

/**
 * How much of the ranks' variance categories explain (Kruskal and Wallis' H as epsilon squared,
 * corrected for the number of categories), as its square root: beside a correlation.
 */
function explainedShare(categories: number[][], ranks: number[]): number {
  const [n, k] = [ranks.length, categories.length];
  if (n <= k) return 0;
  const middle = (n + 1) / 2;
  const total = ranks.reduce((sum, rank) => sum + (rank - middle) ** 2, 0);
  if (total === 0) return 0;
  const between = categories.reduce(
    (sum, own) => sum + own.length * (own.reduce((s, r) => s + r, 0) / own.length - middle) ** 2,
    0,
  );
  return Math.sqrt(Math.max(0, ((between / total) * (n - 1) - k + 1) / (n - k)));
}

/** Medians of the result by value, or by quarters of the values where there are many. */
function groupsOf(values: JsonValue[], numbers: number[] | null, results: number[]) {
  const groups = byValue(values, results);
  if (!numbers || groups.size <= MOST_GROUPS)
    return [...groups]
      .map(([value, own]) => ({ value, runs: own.length, median: median(own) }))
      .sort((a, b) => (numbers ? Number(a.value) - Number(b.value) : b.runs - a.runs))
      .slice(0, MOST_GROUPS);
  const order = numbers
    .map((value, i) => ({ value, result: results[i] ?? 0 }))
    .sort((a, b) => a.value - b.value);
  return [0, 1, 2, 3].map((quarter) => {
    const own = order.slice(
      Math.floor((quarter * order.length) / 4),
      Math.floor(((quarter + 1) * order.length) / 4),
    );
    return {
      value: own[0]?.value ?? null,
      upto: own.at(-1)?.value ?? null,
      runs: own.length,
      median: median(own.map(({ result }) => result)),
    };
  });
}

function cautionOf({ runs, distinct, strength }: Influence): Caution | null {
  if (runs < FEW) return mistakeOf("few-runs", { runs });
  // About two standard errors of a rank correlation where there is none.
  if (strength < 2 / Math.sqrt(runs - 1)) return mistakeOf("weak-influence", { runs });
  if (runs < 3 * distinct) return mistakeOf("many-values", { values: distinct, runs });
  return null;
}

/** The caution about all figures together. */
export const cautionFor = (runs: number): Caution =>
  runs < FEW ? mistakeOf("shared-changes-few", { runs }) : mistakeOf("shared-changes");

/** The correlation of a parameter's values with the results: as many of both, none missing. */
export function influenceOf(
  name: string,
  values: JsonValue[],
  results: number[],
): Influence | null {
  const distinct = new Set(values).size;
  if (distinct < 2 || values.length < 2) return null;
  const numbers = values.every((value) => typeof value === "number") ? values.map(Number) : null;
  // A name or path that is another in each run tells nothing.
  if (!numbers && distinct === values.length) return null;
  const ranks = ranksOf(results);
  const correlation = numbers ? correlationOf(ranksOf(numbers), ranks) : null;
  const groups = groupsOf(values, numbers, results);
  const medians = groups.map((group) => group.median);
  const influence: Influence = {
    name,
    kind: numbers ? "number" : "category",
    runs: values.length,
    distinct,
    correlation,
    strength: numbers
      ? Math.abs(correlation ?? 0)
      : explainedShare([...byValue(values, ranks).values()], ranks),
    spread: Math.max(...medians) - Math.min(...medians),
    groups,
    caution: null,
  };
  return { ...influence, caution: cautionOf(influence) };
}
