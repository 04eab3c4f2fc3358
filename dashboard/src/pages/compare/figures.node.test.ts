import { describe, expect, it } from "vitest";
import { deltaText } from "../../format.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Comparison } from "../../types.ts";
import { bestOf, figuresOf } from "./figures.ts";

const run = (id: number, more: Partial<ChosenRun> = {}): ChosenRun => ({
  ...{ id, task_name: `run ${id}`, status: "success", failure_reason: null },
  ...{ experiment_group: "a", final_loss: id, best_loss: id / 2, best_step: 10 },
  nonfinite_from_step: null,
  ...more,
});

describe("a comparison", () => {
  it("has a best run in each group, of those that succeeded", () => {
    const best = (runs: ChosenRun[]) => {
      const found = bestOf(runs);
      return [[...found.best], found.groups];
    };
    expect(best([run(1), run(2), run(3)])).toEqual([[1], 1]);
    expect(best([run(1, { status: "failed" }), run(2), run(3)])).toEqual([[2], 1]);
    expect(best([run(1, { nonfinite_from_step: 5 }), run(2)])).toEqual([[2], 1]);
    expect(best([run(1, { final_loss: null }), run(2, { status: "cancelled" })])).toEqual([[], 0]);
    expect(best([run(1, { final_loss: 2 }), run(2)])).toEqual([[1, 2], 1]);
    // The loss of another group is another thing, and a run alone is the best of nothing.
    const b = { experiment_group: "b" };
    expect(best([run(1), run(2), run(3, b), run(4, b)])).toEqual([[1, 3], 2]);
    expect(best([run(1), run(2), run(3, b)])).toEqual([[1], 2]);
    expect(best([run(1), run(3, { experiment_group: null })])).toEqual([[], 2]);
  });

  const comparison = {
    tasks: [1, 2, 3].map((id) => ({
      ...{ id, user_id: 1, task_name: `run ${id}`, status: "success", created_at: "" },
      ...{ final_loss: id === 3 ? null : id / 10, convergence_step: null },
      ...{ total_duration_sec: id * 60, cost: id === 2 ? null : 1 },
    })),
    differ: [{ name: "lora_rank", values: [8, 16, 8] }],
    agree: [{ name: "seed", value: 7 }],
    metrics: [
      {
        metric: "lr",
        values: [1, 2, 3].map((n) => ({
          last: n,
          min: 0,
          max: 9,
          count: 1,
          best: null,
          best_step: null,
        })),
      },
      {
        metric: "gpu.0.util",
        values: [1, 2, 3].map((n) => ({
          last: 0,
          min: 0,
          max: n,
          count: 1,
          best: null,
          best_step: null,
        })),
      },
    ],
    ...{ curves: { align: "step", series: [] }, datasets: [], config_diffs: [] },
  } satisfies Comparison;
  const known = new Map([1, 2, 3].map((id) => [id, run(id)]));
  const lineOf = (name: string, baseline: number | null, all = false) =>
    figuresOf(comparison, known, { all, baseline }).find((line) => line.name === name);

  it("has differences to the baseline where both are known", () => {
    expect(lineOf("Final loss", 1)?.deltas).toEqual(["", "+0.1000", ""]);
    expect(lineOf("Final loss", 2)?.deltas).toEqual(["−0.1000", "", ""]);
    expect(lineOf("Final loss", 3)?.deltas).toEqual(["", "", ""]);
    expect(lineOf("Best smoothed loss", 1)?.deltas).toEqual(["", "+0.5000", "+1.000"]);
    expect(lineOf("Duration", 1)?.deltas).toEqual(["", "+1m 00s", "+2m 00s"]);
    expect(lineOf("Cost", 1)?.deltas).toEqual(["", "", "±0"]);
    expect(lineOf("lora_rank", 1)?.unlike).toEqual([false, true, false]);
    for (const none of [null, 99]) {
      expect(lineOf("Final loss", none)?.deltas).toEqual(["", "", ""]);
      expect(lineOf("lora_rank", none)?.unlike).toEqual([false, false, false]);
    }
  });

  it("has no lowest learning rate nor lowest load as results", () => {
    const names = (all: boolean) =>
      figuresOf(comparison, known, { all, baseline: null }).map(({ name }) => name);
    expect(names(false)).toContain("gpu.0.util, highest");
    expect(names(false).some((name) => name.startsWith("lr"))).toBe(false);
    expect(names(true)).toContain("lr, last");
    expect(lineOf("gpu.0.util, highest", null)?.values).toEqual(["1.000", "2.000", "3.000"]);
  });

  it("writes a difference with its sign", () => {
    expect(deltaText(0.5, 0.25)).toBe("+0.2500");
    expect(deltaText(0.25, 0.5)).toBe("−0.2500");
    expect(deltaText(1, 1)).toBe("±0");
    for (const none of [null, undefined]) {
      expect(deltaText(1, none)).toBe("");
      expect(deltaText(none, 1)).toBe("");
    }
    expect(deltaText(1.7e308, -1.7e308)).toBe("");
  });
});
