import { type Bucket, finiteOf, shownValue } from "../metrics/buckets.ts";
import { alignedSteps, type Piece, spreadOf, valuesAt } from "../shared/aligned.ts";

/** Groups of an answer: more lines with bands cannot be told apart. */
export const MOST_GROUPS = 20;

type GroupValue = string | number | null;
type Run = { id: number; group: GroupValue; buckets: Bucket[] };

const pieceOf = (bucket: Bucket): Piece => {
  const value = shownValue(bucket);
  return {
    ...{ first: bucket.first, step: bucket.last[0], weight: finiteOf(bucket) },
    value: typeof value === "number" ? value : null,
  };
};

/** A value as runs are grouped by it: 7.000000000000001e-5 and 7e-5 are the same setting. */
const rounded = (value: GroupValue) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(12)) : value;

/** Numbers first, then texts, and no value last. */
function inOrder([a]: [GroupValue, unknown], [b]: [GroupValue, unknown]): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : 1;
  const rank = (value: GroupValue) => (value === null ? 2 : typeof value === "string" ? 1 : 0);
  return rank(a) - rank(b);
}

/**
 * The mean and the spread of each group of runs at aligned steps, of which there are at most `most`; see
 * alignedSteps(), valuesAt() and spreadOf() for what they come to. Buckets ascend by step.
 */
export function groupCurves(runs: Run[], most: number) {
  const groups = [...Map.groupBy(runs, ({ group }) => rounded(group))].sort(inOrder);
  const shown = groups.slice(0, MOST_GROUPS);
  const pieces = new Map(
    shown.flatMap(([, own]) => own.map(({ id, buckets }) => [id, buckets.map(pieceOf)] as const)),
  );
  const steps = alignedSteps([...pieces.values()], most);
  return {
    steps,
    groups: shown.map(([group, own]) => {
      const values = own.map(({ id }) => valuesAt(pieces.get(id) ?? [], steps));
      const spreads = steps.map((_, at) => spreadOf(values.map((run) => run[at] ?? null)));
      return {
        group,
        ids: own.map(({ id }) => id),
        n: spreads.map(({ n }) => n),
        mean: spreads.map(({ mean }) => mean),
        std: spreads.map(({ std }) => std),
        min: spreads.map(({ min }) => min),
        max: spreads.map(({ max }) => max),
      };
    }),
    left_out: groups.slice(MOST_GROUPS).flatMap(([, own]) => own.map(({ id }) => id)),
  };
}
