import { useState } from "preact/hooks";
import { isRate } from "../../../../src/shared/metrics.ts";
import { isSystemMetric } from "../../../../src/shared/system-metrics.ts";
import { bestText, duration, measure, money, setting, stepText } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Comparison, Task } from "../../types.ts";
import { statusText } from "../../ui/status.tsx";
import { Scroll } from "../../ui/table.tsx";

type Line = { name: string; values: string[]; kind: "result" | "differs" | "agrees" };

/** Results of the runs, the parameters that differ, and with `all` those that agree. */
function linesOf(
  { tasks, differ, agree, metrics }: Comparison,
  runs: Map<number, Task>,
  all: boolean,
): Line[] {
  const results: [string, string[]][] = [
    [t("Status"), tasks.map((task) => statusText(task.status))],
    [t("Final loss"), tasks.map((task) => measure(task.final_loss))],
    [t("Best smoothed loss"), tasks.map(({ id }) => bestText(runs.get(id) ?? {}))],
    [t("Converged at"), tasks.map((task) => stepText(task.convergence_step))],
    [t("NaN from step"), tasks.map(({ id }) => stepText(runs.get(id)?.nonfinite_from_step))],
    [t("Duration"), tasks.map((task) => duration(task.total_duration_sec))],
    [t("Cost"), tasks.map((task) => (task.cost === null ? "" : money(task.cost)))],
    ...metrics
      .filter(({ metric }) => all || !(isRate(metric) || isSystemMetric(metric)))
      .slice(0, all ? undefined : 4)
      .map(({ metric, values }): [string, string[]] =>
        isSystemMetric(metric)
          ? [t("{metric}, highest", { metric }), values.map((figures) => measure(figures?.max))]
          : [t("{metric}, lowest", { metric }), values.map((figures) => measure(figures?.min))],
      ),
  ];
  return [
    ...results
      .filter(([, values]) => values.some((value) => value !== ""))
      .map(([name, values]): Line => ({ name, values, kind: "result" })),
    ...differ.map(
      ({ name, values }): Line => ({ name, values: values.map(setting), kind: "differs" }),
    ),
    ...(all
      ? agree.map(
          ({ name, value }): Line => ({
            name,
            values: tasks.map(() => setting(value)),
            kind: "agrees",
          }),
        )
      : []),
  ];
}

export function Differences({ comparison, runs }: { comparison: Comparison; runs: Task[] }) {
  const [all, setAll] = useState(false);
  const { tasks, differ, agree } = comparison;
  const known = new Map(runs.map((run) => [run.id, run]));
  // The loss of a run that failed, or was NaN, is no result to be best.
  const losses = tasks.map(({ id, status, final_loss }) =>
    status === "success" && typeof known.get(id)?.nonfinite_from_step !== "number"
      ? (final_loss ?? Number.POSITIVE_INFINITY)
      : Number.POSITIVE_INFINITY,
  );
  const best = Math.min(...losses);
  return (
    <section class="panel" aria-label={t("Parameters")}>
      <header>
        <h2>{t("{n} parameters differ", { n: differ.length })}</h2>
        <span class="muted grow">{t("{n} agree", { n: agree.length })}</span>
        <label class="check muted">
          <input
            type="checkbox"
            checked={all}
            onChange={(event) => setAll(event.currentTarget.checked)}
          />
          {t("Show all")}
        </label>
      </header>
      <Scroll label={t("Differences")}>
        <table class="plain differences">
          <thead>
            <tr>
              <th>{t("Parameter")}</th>
              {tasks.map((task, n) => (
                <th key={task.id}>
                  <span class="row">
                    <i class={`swatch colour-${n + 1}`} />
                    <span class="clip">{task.task_name}</span>
                  </span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {linesOf(comparison, known, all).map(({ name, values, kind }) => (
              <tr key={`${kind} ${name}`} class={kind}>
                <th scope="row" class={kind === "result" ? "" : "mono"}>
                  {name}
                </th>
                {values.map((value, n) => (
                  <td
                    key={tasks[n]?.id}
                    class={`${kind === "result" ? "" : "mono"} ${name === t("Final loss") && losses[n] === best && best < Number.POSITIVE_INFINITY ? "best" : ""}`}
                  >
                    {value || <span class="faint">–</span>}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
