import { describe, expect, it } from "vitest";
import { COLOURS, dashes, lineStyles, MOST_RUNS } from "./line-styles.ts";

const range = (count: number, from = 1) => Array.from({ length: count }, (_, n) => from + n);
const texts = (ids: number[]) =>
  [...lineStyles(ids).values()].map(({ colour, dash }) => `${colour}.${dash}`);

describe("the styles of lines", () => {
  it("are a run's own in every selection", () => {
    for (const id of [1, 7, 12, 13, 4711, 9_007_199_254_740_991]) {
      const { colour } = lineStyles([id]).get(id) ?? {};
      for (const others of [range(10), range(10, 40), [4700, 4720]])
        expect(lineStyles([...others, id]).get(id)?.colour).toBe(colour);
      expect(lineStyles([id]).get(id)?.dash).toBe(0);
    }
  });

  it("differ among as many runs as are drawn, whatever their ids and order", () => {
    for (const ids of [
      range(MOST_RUNS),
      range(MOST_RUNS, 1001),
      range(MOST_RUNS).map((n) => n * COLOURS),
      range(MOST_RUNS).map((n) => n * n * 7),
    ]) {
      expect(new Set(texts(ids)).size).toBe(MOST_RUNS);
      expect(lineStyles(ids.toReversed())).toEqual(lineStyles(ids));
    }
    expect(new Set(texts(range(COLOURS))).size).toBe(COLOURS);
    expect(texts(range(COLOURS)).every((text) => text.endsWith(".0"))).toBe(true);
    expect(lineStyles(range(100)).size).toBe(COLOURS * dashes.length);
  });
});
