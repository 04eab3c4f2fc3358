import { useState } from "preact/hooks";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Swatch } from "../../chart/swatch.tsx";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Comparison } from "../../types.ts";
import { Scroll } from "../../ui/table.tsx";
import { bestOf, figuresOf } from "./figures.ts";

/** Results and settings of the runs side by side, with differences to the baseline where there is one. */
export function Differences(props: {
  comparison: Comparison;
  runs: ChosenRun[];
  styles: Map<number, LineStyle>;
  baseline: number | null;
}) {
  const { comparison, runs, styles, baseline } = props;
  const [all, setAll] = useState(false);
  const { tasks, differ, agree } = comparison;
  const known = new Map(runs.map((run) => [run.id, run]));
  const { best, groups } = bestOf(runs);
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
      {groups > 1 && (
        <p class="body muted">
          {t(
            "The runs belong to {n} groups, whose losses need not be comparable: the lowest final loss is marked in each group of two or more.",
            { n: groups },
          )}
        </p>
      )}
      <Scroll label={t("Differences")}>
        <table class="plain differences">
          <thead>
            <tr>
              <th>{t("Parameter")}</th>
              {tasks.map((task) => (
                <th key={task.id}>
                  <span class="row">
                    <Swatch {...(styles.get(task.id) ?? { colour: 8 })} />
                    <span class="clip">{task.task_name}</span>
                    {task.id === baseline && <span class="badge">{t("Baseline")}</span>}
                  </span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {figuresOf(comparison, known, { all, baseline }).map((line) => (
              <tr key={`${line.kind} ${line.name}`} class={line.kind}>
                <th scope="row" class={line.kind === "result" ? "" : "mono"}>
                  {line.name}
                </th>
                {line.values.map((value, n) => {
                  const id = tasks[n]?.id ?? 0;
                  const isBest = line.isFinalLoss && best.has(id);
                  return (
                    <td
                      key={id}
                      class={`${line.kind === "result" ? "" : "mono"} ${isBest ? "best" : ""} ${line.unlike[n] ? "unlike" : ""}`}
                      title={line.unlike[n] ? t("differs from the baseline") : undefined}
                    >
                      {value || <span class="faint">–</span>}
                      {line.deltas[n] && <span class="delta">{line.deltas[n]}</span>}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
