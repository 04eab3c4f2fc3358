import { useState } from "preact/hooks";
import { duration, measure, setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Scroll, statusText } from "../../ui/parts.tsx";
import { flatten, settings } from "../run/parameters.tsx";

type Line = { name: string; values: string[]; differs: boolean };

/** All settings of some runs, each a line; those that differ come first. */
export function linesOf(tasks: Task[]): Line[] {
  const each = tasks.map((task) => {
    const columns = settings.map((name): [string, unknown] => [name, task[name]]);
    const file = flatten(task.config_snapshot).map(([name, value]): [string, unknown] => [
      `config.${name}`,
      value,
    ]);
    return new Map([...columns, ...file].map(([name, value]) => [name, setting(value)]));
  });
  const names = [...new Set(each.flatMap((values) => [...values.keys()]))];
  const lines = names.flatMap((name): Line[] => {
    const values = each.map((one) => one.get(name) ?? "");
    if (values.every((value) => value === "")) return [];
    return [{ name, values, differs: new Set(values).size > 1 }];
  });
  return [...lines.filter(({ differs }) => differs), ...lines.filter(({ differs }) => !differs)];
}

export function Differences({ tasks }: { tasks: Task[] }) {
  const [all, setAll] = useState(false);
  const lines = linesOf(tasks);
  const differing = lines.filter(({ differs }) => differs);
  const results: [string, string[]][] = [
    [t("Status"), tasks.map((task) => statusText(task.status, task.failure_reason))],
    [t("Final loss"), tasks.map((task) => measure(task.final_loss))],
    [t("Converged at"), tasks.map((task) => setting(task.convergence_step))],
    [t("Duration"), tasks.map((task) => duration(task.total_duration_sec))],
    [t("Cost"), tasks.map((task) => task.cost?.toFixed(2) ?? "")],
    [t("GPU"), tasks.map((task) => task.gpu_info ?? "")],
  ];
  const losses = tasks.map((task) => task.final_loss ?? Number.POSITIVE_INFINITY);
  const best = Math.min(...losses);
  return (
    <section class="panel" aria-label={t("Parameters")}>
      <header>
        <h2>{t("{n} parameters differ", { n: differing.length })}</h2>
        <span class="muted grow">{t("{n} agree", { n: lines.length - differing.length })}</span>
        <label class="check muted">
          <input
            type="checkbox"
            checked={all}
            onChange={(event) => setAll(event.currentTarget.checked)}
          />
          {t("Show all")}
        </label>
      </header>
      <Scroll label={t("What differs")}>
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
            {results
              .filter(([, values]) => values.some((value) => value !== ""))
              .map(([name, values]) => (
                <tr key={name} class="result">
                  <th scope="row">{name}</th>
                  {values.map((value, n) => (
                    <td
                      key={tasks[n]?.id}
                      class={name === t("Final loss") && losses[n] === best ? "best" : ""}
                    >
                      {value || "–"}
                    </td>
                  ))}
                </tr>
              ))}
            {(all ? lines : differing).map(({ name, values, differs }) => (
              <tr key={name} class={differs ? "differs" : ""}>
                <th scope="row" class="mono">
                  {name}
                </th>
                {values.map((value, n) => (
                  <td key={tasks[n]?.id} class="mono">
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
