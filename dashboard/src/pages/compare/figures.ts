import { isHigherBetter, isRate } from "../../../../src/shared/metrics.ts";
import { isSystemMetric } from "../../../../src/shared/system-metrics.ts";
import { bestText, deltaText, duration, measure, money, setting, stepText } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Comparison } from "../../types.ts";
import { statusText } from "../../ui/status.tsx";

/** A line of the comparison: each run's value, and where there is a baseline what it has more than that one. */
export type Figures = {
  name: string;
  kind: "result" | "differs" | "agrees";
  values: string[];
  /** Of a result, the difference to the baseline; empty where one of the two is unknown. */
  deltas: string[];
  /** Of a setting, whether it differs from the baseline's. */
  unlike: boolean[];
  isFinalLoss?: boolean;
};

type Result = {
  name: string;
  values: string[];
  numbers?: (number | null | undefined)[];
  write?: (n: number) => string;
  isFinalLoss?: boolean;
};

function resultsOf({ tasks, metrics }: Comparison, runs: Map<number, ChosenRun>, all: boolean) {
  const numbered = (
    name: string,
    numbers: (number | null | undefined)[],
    write: (n: number) => string = measure,
  ): Result => ({
    ...{ name, numbers, write },
    values: numbers.map((n) => (typeof n === "number" ? write(n) : "")),
  });
  return [
    { name: t("Status"), values: tasks.map(({ status }) => statusText(status)) },
    {
      ...numbered(
        t("Final loss"),
        tasks.map(({ final_loss }) => final_loss),
      ),
      isFinalLoss: true,
    },
    {
      name: t("Best smoothed loss"),
      values: tasks.map(({ id }) => bestText(runs.get(id) ?? {})),
      numbers: tasks.map(({ id }) => runs.get(id)?.best_loss),
    },
    {
      name: t("Converged at"),
      values: tasks.map((task) => stepText(task.convergence_step)),
    },
    {
      name: t("NaN from step"),
      values: tasks.map(({ id }) => stepText(runs.get(id)?.nonfinite_from_step)),
    },
    numbered(
      t("Duration"),
      tasks.map((task) => task.total_duration_sec),
      duration,
    ),
    numbered(
      t("Cost"),
      tasks.map((task) => task.cost),
      money,
    ),
    ...metrics
      .filter(({ metric }) => all || !isRate(metric))
      .slice(0, all ? undefined : 4)
      .map(({ metric, values }) =>
        // The lowest learning rate is no result, nor is the lowest load.
        isRate(metric)
          ? numbered(
              t("{metric}, last", { metric }),
              values.map((figures) => figures?.last),
            )
          : isSystemMetric(metric)
            ? numbered(
                t("{metric}, highest", { metric }),
                values.map((figures) => figures?.max),
              )
            : isHigherBetter(metric)
              ? numbered(
                  t("{metric}, highest", { metric }),
                  values.map((figures) => figures?.max),
                )
              : numbered(
                  t("{metric}, lowest", { metric }),
                  values.map((figures) => figures?.min),
                ),
      ),
  ] satisfies Result[];
}

/** Results of the runs, the parameters that differ, and with `all` those that agree. */
export function figuresOf(
  comparison: Comparison,
  runs: Map<number, ChosenRun>,
  { all, baseline }: { all: boolean; baseline: number | null },
): Figures[] {
  const { tasks, differ, agree } = comparison;
  const base = tasks.findIndex(({ id }) => id === baseline);
  const no = tasks.map(() => false);
  const none = tasks.map(() => "");
  const results: Result[] = resultsOf(comparison, runs, all);
  return [
    ...results
      .filter(({ values }) => values.some((value) => value !== ""))
      .map(
        ({ name, values, numbers = [], write, isFinalLoss }): Figures => ({
          ...{ name, values, kind: "result", unlike: no },
          ...(isFinalLoss && { isFinalLoss }),
          deltas: tasks.map((_, n) =>
            base < 0 || n === base ? "" : deltaText(numbers[n], numbers[base], write),
          ),
        }),
      ),
    ...differ.map(
      ({ name, values }): Figures => ({
        ...{ name, values: values.map(setting), kind: "differs", deltas: none },
        unlike: values.map(
          (value) => base >= 0 && JSON.stringify(value) !== JSON.stringify(values[base]),
        ),
      }),
    ),
    ...(all ? agree : []).map(
      ({ name, value }): Figures => ({
        ...{ name, kind: "agrees", deltas: none, unlike: no },
        values: tasks.map(() => setting(value)),
      }),
    ),
  ];
}

/**
 * The runs with the lowest final loss of their experiment group, by their ids, and the number of groups. The
 * loss of a run that did not succeed, or was NaN, is no result. Of several groups, one with a single run has
 * no best.
 */
export function bestOf(runs: ChosenRun[]): { best: Set<number>; groups: number } {
  const sound = runs.flatMap(({ id, status, final_loss, nonfinite_from_step, ...run }) =>
    status === "success" && final_loss !== null && nonfinite_from_step === null
      ? [{ id, loss: final_loss, group: run.experiment_group }]
      : [],
  );
  const groups = Map.groupBy(sound, ({ group }) => group);
  const best = [...groups.values()]
    .filter(({ length }) => length > 1 || groups.size === 1)
    .flatMap((own) => {
      const lowest = Math.min(...own.map(({ loss }) => loss));
      return own.filter(({ loss }) => loss === lowest);
    });
  return { best: new Set(best.map(({ id }) => id)), groups: groups.size };
}
