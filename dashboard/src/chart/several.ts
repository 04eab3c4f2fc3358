import { alignedSteps, type Piece, valuesAt } from "../../../src/shared/aligned.ts";
import { setting } from "../format.ts";
import type { Curve, GroupCurves } from "../types.ts";
import { type Band, type Line, linesOf, onAxis, type Spot, type XAxis } from "./curves.ts";
import type { LineStyle } from "./line-styles.ts";

/** Steps at which runs are set beside the baseline. */
const MOST_STEPS = 500;

/** A run's curve with how it is drawn. */
export type Drawn = { id: number; name: string; style: LineStyle; curve: Curve };

const pieceOf = ({ firstStep, step, y, count, nonfinite }: Spot): Piece => ({
  ...{ first: firstStep, step, value: y, weight: count - nonfinite },
});
const piecesOf = (curve: Curve): Piece[] => onAxis(curve, "step").map(pieceOf);

const spotAt = (step: number, y: number | null, more: Partial<Spot> = {}): Spot => ({
  ...{ x: step, y, low: y, high: y, count: 1, nonfinite: 0, firstStep: step, step },
  ...more,
});

/** The steps from the first to the last that have a value: the others are no part of a line. */
function trimmed(spots: Spot[]): Spot[] {
  const first = spots.findIndex(({ y }) => y !== null);
  const last = spots.findLastIndex(({ y }) => y !== null);
  return first < 0 ? [] : spots.slice(first, last + 1);
}

/** Lines up to which the raw values of smoothed ones are drawn. */
const MOST_RAW = 12;

/** Hides the raw values behind smoothed lines where there are many. */
const withoutNoise = (lines: Line[]): Line[] =>
  lines.filter(({ faint }) => !faint).length > MOST_RAW
    ? lines.map((line) => (line.faint ? { ...line, unseen: true } : line))
    : lines;

/** The names of a run's lines: many runs may have one name, so saved points have its id too. */
const namesOf = (id: number, name: string) => ({
  ...{ label: name, smoothed: name },
  series: name === `#${id}` ? name : `#${id} ${name}`,
});

/** The lines of some runs over an axis; that of the baseline is thicker. */
export const runLines = (
  runs: Drawn[],
  axis: XAxis,
  smoothing: number,
  baseline: number | null,
): Line[] =>
  withoutNoise(
    runs.flatMap(({ id, name, style, curve }) =>
      linesOf(onAxis(curve, axis), axis, smoothing, {
        ...{ ...namesOf(id, name), ...style, strong: id === baseline },
      }),
    ),
  );

/** What runs have more than the baseline, over steps; nothing where one of the two has no value. */
export function differenceLines(runs: Drawn[], baseline: Drawn, smoothing: number): Line[] {
  const pieces = new Map([...runs, baseline].map(({ id, curve }) => [id, piecesOf(curve)]));
  const steps = alignedSteps([...pieces.values()], MOST_STEPS);
  const base = valuesAt(pieces.get(baseline.id) ?? [], steps);
  const lines = runs.flatMap(({ id, name, style }) => {
    const values = valuesAt(pieces.get(id) ?? [], steps);
    const spots = steps.map((step, n) => spotAt(step, less(values[n], base[n])));
    return linesOf(trimmed(spots), "step", smoothing, {
      ...{ ...namesOf(id, name), ...style, strong: id === baseline.id },
    });
  });
  return withoutNoise(lines);
}

const less = (a: number | null | undefined, b: number | null | undefined) =>
  typeof a === "number" && typeof b === "number" ? a - b : null;

/** A group's name: its value, and how many runs it has. */
export const groupName = (group: GroupCurves["groups"][number]["group"], none: string) =>
  group === null || group === "" ? none : setting(group);

/** A line for each group, its mean, with a band; where there is a baseline, what they have more than it. */
export function groupLines(
  { steps, groups }: GroupCurves,
  band: Band,
  smoothing: number,
  {
    nameOf,
    baseline,
  }: { nameOf: (group: GroupCurves["groups"][number]) => string; baseline?: Drawn },
): Line[] {
  const base = baseline && valuesAt(piecesOf(baseline.curve), steps);
  return groups.flatMap((group, at) => {
    const spots = steps.map((step, n) => {
      const zero = base ? (base[n] ?? null) : 0;
      const mean = group.mean[n] ?? null;
      const std = group.std[n] ?? null;
      const runs = group.n[n] ?? 0;
      const [low, high] =
        band === "range"
          ? [group.min[n], group.max[n]]
          : mean === null || std === null
            ? [mean, mean]
            : [mean - std, mean + std];
      return spotAt(step, less(mean, zero), {
        ...{ low: less(low, zero), high: less(high, zero), count: Math.max(1, runs) },
        band,
      });
    });
    const name = nameOf(group);
    return linesOf(trimmed(spots), "step", smoothing, {
      ...{ label: name, smoothed: name, colour: (at % 12) + 1, dash: Math.floor(at / 12) },
    });
  });
}
