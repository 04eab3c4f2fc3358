import { expect, it } from "vitest";
import type { Curve } from "../types.ts";
import { type News, withNews } from "./fresh.ts";

const curve = (steps: number[], more: Partial<News> = {}): News => ({
  metric: "loss",
  total: steps.length,
  points: steps.map((step) => [step, null, null, step % 7 === 0 ? "NaN" : step / 10]),
  metrics: [],
  next_since: `1.${steps.at(-1)}`,
  ...more,
});
const thinned: Curve = {
  ...curve([100, 200]),
  ...{ total: 200, first_step: [1, 101], low: [0, 1], high: [2, 3], count: [100, 100] },
  ...{ nonfinite: [0, 4], metrics: ["loss"] },
};

it("puts what is new behind the curve, and counts it", () => {
  expect(withNews(thinned, curve([201, 203], { metrics: ["loss", "lr"] }), 100)).toEqual({
    metric: "loss",
    total: 202,
    points: [...thinned.points, [201, null, null, 20.1], [203, null, null, "NaN"]],
    metrics: ["loss", "lr"],
    next_since: "1.203",
    ...{ first_step: [1, 101, 201, 203], low: [0, 1, 20.1, null], high: [2, 3, 20.1, null] },
    ...{ count: [100, 100, 1, 1], nonfinite: [0, 4, 0, 1] },
  });
  expect(withNews(thinned, curve([]), 100)?.points).toEqual(thinned.points);
});

it("asks for the whole where points replace others, repeat steps, or are too many", () => {
  for (const news of [
    curve([201], { replaces_from: 150 }),
    curve([200]),
    curve([150, 300]),
    curve([201], { metric: "loss/average" }),
    curve(Array.from({ length: 200 }, (_, n) => 201 + n)),
  ])
    expect(withNews(thinned, news, 100)).toBe(null);
  expect(withNews({ ...thinned, points: [] }, curve([1]), 100)).toBe(null);
});
