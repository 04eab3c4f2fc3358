import { useState } from "preact/hooks";
import { duration, measure, setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Comparison } from "../../types.ts";
import { statusText } from "../../ui/status.tsx";
import { Scroll } from "../../ui/table.tsx";

type Line = { name: string; values: string[]; kind: "result" | "differs" | "agrees" };

/** Results of the runs, the parameters that differ, and with `all` those that agree. */
function linesOf({ tasks, differ, agree, metrics }: Comparison, all: boolean): Line[] {
  const results: [string, string[]][] = [
    [t("Status"), tasks.map((task) => statusText(task.status))],
    [t("Final loss"), tasks.map((task) => measure(task.final_loss))],
    [t("Converged at"), tasks.map((task) => setting(task.convergence_step))],
    [t("Duration"), tasks.map((task) => duration(task.total_duration_sec))],
    [t("Cost"), tasks.map((task) => task.cost?.toFixed(2) ?? "")],
    ...metrics
      .slice(0, all ? undefined : 4)
      .map(({ metric, values }): [string, string[]] => [
        t("{metric}, lowest", { metric }),
        values.map((figures) => measure(figures?.min)),
      ]),
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

export function Differences({ comparison }: { comparison: Comparison }) {
  const [all, setAll] = useState(false);
  const { tasks, differ, agree } = comparison;
  const losses = tasks.map((task) => task.final_loss ?? Number.POSITIVE_INFINITY);
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
            {linesOf(comparison, all).map(({ name, values, kind }) => (
              <tr key={`${kind} ${name}`} class={kind}>
                <th scope="row" class={kind === "result" ? "" : "mono"}>
                  {name}
                </th>
                {values.map((value, n) => (
                  <td
                    key={tasks[n]?.id}
                    class={`${kind === "result" ? "" : "mono"} ${name === t("Final loss") && losses[n] === best ? "best" : ""}`}
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
