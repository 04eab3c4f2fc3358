/**
 * A piece of a run's curve: the mean of the finite values of its steps `first` to `step`, null where none is
 * finite. `weight` is the number of these values.
 */
export type Piece = { first: number; step: number; value: number | null; weight: number };

/**
 * Steps at which the curves of several runs are set side by side, ascending and at most `most`: every step at
 * which a piece of any curve ends, where these are few enough; else the ends of `most` equal stretches from
 * the first step of all to the last.
 */
export function alignedSteps(runs: readonly (readonly Piece[])[], most: number): number[] {
  const ends = new Set<number>();
  let first = Number.POSITIVE_INFINITY;
  for (const piece of runs.flat()) {
    ends.add(piece.step);
    first = Math.min(first, piece.first);
  }
  const all = [...ends].sort((a, b) => a - b);
  if (all.length <= most) return all;
  const before = first - 1;
  const length = (all.at(-1) ?? first) - before;
  return Array.from({ length: most }, (_, n) => before + Math.ceil(((n + 1) * length) / most));
}

/** The mean so far with one more value, which `share` of all values is: it never leaves its values. */
function mix(mean: number, value: number, share: number): number {
  const mixed = mean * (1 - share) + value * share;
  return Math.min(Math.max(mixed, Math.min(mean, value)), Math.max(mean, value));
}

/**
 * A run's values at aligned steps. `pieces` ascend by step. A step stands for the stretch from behind the step
 * before it:
 *
 * - Where pieces end in the stretch, their mean, weighted by the values that they cover; null where none of
 *   these is finite.
 * - Where none ends there, the straight line between the piece before and the piece behind, each at its last
 *   step; null where one of the two has no finite value. Within the first piece, that piece's mean.
 * - Before the run's first step and behind its last, null.
 */
export function valuesAt(pieces: readonly Piece[], steps: readonly number[]): (number | null)[] {
  let n = 0;
  return steps.map((at) => {
    const start = n;
    let mean = 0;
    let total = 0;
    for (let piece = pieces[n]; piece && piece.step <= at; piece = pieces[++n]) {
      const { value, weight } = piece;
      if (value === null || !(weight > 0)) continue;
      total += weight;
      mean = weight === total ? value : mix(mean, value, weight / total);
    }
    if (n > start) return total > 0 ? mean : null;
    const [before, behind] = [pieces[n - 1], pieces[n]];
    if (!behind || behind.value === null) return null;
    if (before && before.value !== null)
      return mix(before.value, behind.value, (at - before.step) / (behind.step - before.step));
    return at >= behind.first ? behind.value : null;
  });
}

/** What runs come to at one step. */
export type Spread = {
  /** Runs that have a value there. */
  n: number;
  mean: number | null;
  /** The sample standard deviation, √(Σ(x − mean)² / (n − 1)); null of fewer than two. */
  std: number | null;
  min: number | null;
  max: number | null;
};

/** What the runs' values at one step come to; each run weighs the same, and null is not counted. */
export function spreadOf(values: readonly (number | null)[]): Spread {
  const known = values.filter((value) => value !== null);
  const n = known.length;
  if (n === 0) return { n, mean: null, std: null, min: null, max: null };
  const [min, max] = [Math.min(...known), Math.max(...known)];
  let mean = 0;
  for (const [at, value] of known.entries())
    mean = at === 0 ? value : mix(mean, value, 1 / (at + 1));
  if (n < 2) return { n, mean, std: null, min, max };
  // Squares of values near the largest number would be infinite.
  const scale = Math.max(Math.abs(min), Math.abs(max)) || 1;
  const squares = known.reduce((sum, value) => sum + (value / scale - mean / scale) ** 2, 0);
  const std = scale * Math.sqrt(squares / (n - 1));
  return { n, mean, std: Number.isFinite(std) ? std : null, min, max };
}
