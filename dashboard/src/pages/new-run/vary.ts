/** One setting of a sweep as a person writes it: its key, and values or a range. */
export type Varied = { key: string; text: string };

export type Axis =
  | (string | number | boolean)[]
  | { min: number; max: number; log?: boolean; int?: boolean };

const scalar = (word: string): string | number | boolean => {
  if (word === "true" || word === "false") return word === "true";
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(word)) return Number(word);
  return word.replace(/^(["'])(.*)\1$/, "$2");
};

/**
 * The values of an axis: `1e-4, 2e-4` is a list, and `1e-5 .. 1e-3 log` a range to draw from (`int` draws whole
 * numbers, `log` evenly over the orders of magnitude). Null: it is neither.
 */
export function axisOf(text: string): Axis | null {
  const range = /^\s*(\S+?)\s*\.\.\s*(\S+?)((?:\s+(?:log|int))*)\s*$/.exec(text);
  if (range) {
    const [min, max] = [scalar(range[1] ?? ""), scalar(range[2] ?? "")];
    const words = (range[3] ?? "").split(/\s+/);
    if (typeof min !== "number" || typeof max !== "number" || !(min < max)) return null;
    if (words.includes("log") && min <= 0) return null;
    return {
      min,
      max,
      ...(words.includes("log") && { log: true }),
      ...(words.includes("int") && { int: true }),
    };
  }
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  return words.length === 0 ? null : words.map(scalar);
}

/** Runs that a grid of these axes makes; null where one of them is a range, which only drawing takes. */
export const gridSize = (axes: readonly Axis[]): number | null =>
  axes.every((axis) => Array.isArray(axis))
    ? axes.reduce((product, axis) => product * (Array.isArray(axis) ? axis.length : 1), 1)
    : null;
