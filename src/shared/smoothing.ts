/** A point to smooth: null is a gap. `weight` is the number of finite values that `y` is the mean of. */
export type Weighted = { x: number; y: number | null; weight: number };

/**
 * The exponential moving average of a curve over the distance in x, without the bias of its start:
 *
 *     factor = strength ** (100 · (x − x before) / range)
 *     sum = sum · factor + weight · y,   norm = norm · factor + weight,   smoothed = sum / norm
 *
 * A strength of 0.9 so averages over about the last tenth of the curve, whatever its length, and whether
 * its points cover one step or, as means, many. `range` is that of the entire curve, so that a part
 * of it is smoothed as the whole is. A strength of 0 changes nothing; 1 gives the mean of all before.
 *
 * The quotient is kept instead of the sum, which values of 1e308 would make infinite.
 */
export function smooth(
  points: readonly Weighted[],
  strength: number,
  range = (points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0),
): (number | null)[] {
  let smoothed = 0;
  let norm = 0;
  let before = 0;
  return points.map(({ x, y, weight }) => {
    if (y === null || !Number.isFinite(y) || !(weight > 0)) return null;
    if (strength <= 0) return y;
    const share = range > 0 ? Math.max(0, x - before) / range : 0;
    if (norm > 0) norm *= strength ** (100 * share);
    norm += weight;
    before = x;
    const part = weight / norm;
    const next = smoothed * (1 - part) + y * part;
    // Rounding must not carry a mean over its values: beyond the largest number lies infinity.
    smoothed =
      part === 1 ? y : Math.min(Math.max(next, Math.min(smoothed, y)), Math.max(smoothed, y));
    return smoothed;
  });
}
