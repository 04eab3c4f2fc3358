import { rounded, setting, short } from "../../format.ts";
import type { Dot, Value } from "./dots.ts";

/** Places of a field's values between 0 and 1, and the marks of its axis. */
export type Scale = {
  place: (value: Value) => number | null;
  ticks: { at: number; text: string }[];
};

/** The marks of a scale whose texts do not lie on one another: their places are `least` apart. */
export function apart(ticks: Scale["ticks"], least: number): Scale["ticks"] {
  const kept: Scale["ticks"] = [];
  for (const tick of [...ticks].sort((a, b) => a.at - b.at)) {
    const before = kept.at(-1);
    if (!before || tick.at - before.at >= least) kept.push(tick);
  }
  return kept;
}

/** Makes the scale of a field: logarithmic for numbers that differ many times, alphabetical for texts. */
export function scaleOf(dots: Dot[], name: string): Scale {
  const values = dots.map((dot) => dot.values[name] ?? null).filter((value) => value !== null);
  const numbers = values.filter((value) => typeof value === "number");
  if (values.length > 0 && numbers.length === values.length) {
    const low = Math.min(...numbers);
    const high = Math.max(...numbers);
    const log = low > 0 && high / low >= 5;
    const to = (value: number) => (log ? Math.log(value) : value);
    const span = to(high) - to(low);
    const place = (value: number) => (span === 0 ? 0.5 : (to(value) - to(low)) / span);
    const distinct = [...new Set(numbers.map(rounded))].sort((a, b) => a - b);
    const marks =
      distinct.length <= 7
        ? distinct
        : [0, 0.25, 0.5, 0.75, 1].map((share) => {
            const at = to(low) + share * span;
            const value = log ? Math.exp(at) : at;
            const brief = Number(value.toPrecision(3));
            return brief >= low && brief <= high ? brief : value;
          });
    return {
      place: (value) => (typeof value === "number" ? place(value) : null),
      ticks: marks.map((value) => ({
        at: place(value),
        text: distinct.length <= 7 ? setting(value) : short(value),
      })),
    };
  }
  const words = [...new Set(values.map(String))].sort();
  const place = (value: Value) => {
    const at = words.indexOf(String(value));
    return value === null || at < 0 ? null : words.length === 1 ? 0.5 : at / (words.length - 1);
  };
  return {
    place,
    ticks: words.slice(0, 12).map((word) => ({ at: place(word) ?? 0, text: word })),
  };
}
