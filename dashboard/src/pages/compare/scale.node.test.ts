import { describe, expect, it } from "vitest";
import type { Dot, Value } from "./dots.ts";
import { apart, scaleOf } from "./scale.ts";

const scale = (values: (Value | undefined)[]) =>
  scaleOf(
    values.map(
      (value, id): Dot => ({
        id,
        name: `run ${id}`,
        group: "",
        values: value === undefined ? {} : { x: value },
      }),
    ),
    "x",
  );

describe("the scale of a field", () => {
  it("places numbers of one size by their distance", () => {
    const { place, ticks } = scale([1, 2, 4]);
    expect([1, 2, 4].map(place)).toEqual([0, 1 / 3, 1]);
    expect(ticks).toEqual([
      { at: 0, text: "1" },
      { at: 1 / 3, text: "2" },
      { at: 1, text: "4" },
    ]);
  });

  it("places numbers that are many times one another by their logarithm", () => {
    const { place, ticks } = scale([1e-5, 1e-4, 1e-3]);
    expect(place(1e-4)).toBeCloseTo(0.5, 10);
    expect(ticks.map(({ text }) => text)).toEqual(["1e-5", "1e-4", "0.001"]);
  });

  it("takes no logarithm of zero and below", () => {
    expect(scale([0, 100]).place(50)).toBe(0.5);
    expect(scale([-100, 100]).place(0)).toBe(0.5);
  });

  it("marks five places where there are more than seven values", () => {
    const { ticks } = scale(Array.from({ length: 101 }, (_, n) => n + 100));
    expect(ticks.map(({ text }) => text)).toEqual(["100", "125", "150", "175", "200"]);
    expect(ticks.map(({ at }) => at)).toEqual([0, 0.25, 0.5, 0.75, 1]);
  });

  it("marks numbers of at most three digits, none on another", () => {
    const { ticks } = scale(Array.from({ length: 40 }, (_, n) => 0.0912345 + n * 0.00098765));
    for (const { text } of ticks.slice(1, -1)) expect(text).toMatch(/^0\.[01]\d{1,3}$/);
    const near = [0, 0.02, 0.5, 0.51, 1].map((at) => ({ at, text: String(at) }));
    expect(apart(near, 0.05).map(({ at }) => at)).toEqual([0, 0.5, 1]);
    expect(apart([...near].reverse(), 0.05).map(({ at }) => at)).toEqual([0, 0.5, 1]);
    expect(apart([], 0.05)).toEqual([]);
  });

  it("puts a single value in the middle", () => {
    expect(scale([3, 3]).place(3)).toBe(0.5);
    expect(scale(["AdamW"]).place("AdamW")).toBe(0.5);
  });

  it("places texts, and a mix of texts and numbers, in alphabetical order", () => {
    const { place, ticks } = scale(["b", "a", "c", "a"]);
    expect(["a", "b", "c"].map(place)).toEqual([0, 0.5, 1]);
    expect(ticks.map(({ text }) => text)).toEqual(["a", "b", "c"]);
    expect([2, "auto"].map(scale([2, "auto"]).place)).toEqual([0, 1]);
  });

  it("names at most twelve texts", () => {
    const names = Array.from({ length: 30 }, (_, n) => `t${n}`);
    expect(scale(names).ticks).toHaveLength(12);
  });

  it("has no place for what is missing, unknown or of another kind", () => {
    const numbers = scale([1, 2, null, undefined]);
    expect(numbers.place(null)).toBeNull();
    expect(numbers.place("1")).toBeNull();
    const texts = scale(["a", "b", null]);
    expect(texts.place(null)).toBeNull();
    expect(texts.place("z")).toBeNull();
    const none = scale([null, undefined]);
    expect([none.place(null), none.place(1), none.ticks]).toEqual([null, null, []]);
    expect(scale([]).ticks).toEqual([]);
  });
});
