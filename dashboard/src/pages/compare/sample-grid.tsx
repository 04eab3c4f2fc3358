import { useQueries } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Swatch } from "../../chart/swatch.tsx";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import { samplesQuery } from "../run/queries.ts";
import { byPrompt, Picture } from "../run/samples.tsx";

/** Runs whose samples are shown: each is a request, and a column of pictures. */
const MOST_RUNS = 8;

/** Samples of one prompt side by side, a column a run, at the same share of each training. */
export function SampleGrid(props: { runs: ChosenRun[]; styles: Map<number, LineStyle> }) {
  const tasks = props.runs.slice(0, MOST_RUNS);
  const [share, setShare] = useState(1);
  const found = useQueries({ queries: tasks.map(({ id }) => samplesQuery(id)) });
  const each = found.map(({ data }) => byPrompt(data ?? []));
  const prompts = [...new Set(each.flatMap((one) => [...one.keys()]))].filter(
    (prompt) => each.filter((one) => one.has(prompt)).length > 1 || tasks.length === 1,
  );
  if (prompts.length === 0) return null;
  return (
    <section class="panel" aria-label={t("Samples")}>
      <header class="wrap">
        <h2>{t("Samples of the same prompts")}</h2>
        <label class="row grow scrub">
          <span class="visually-hidden">{t("Which moment")}</span>
          <input
            type="range"
            min={0}
            max={1}
            step={0.05}
            value={share}
            onInput={(event) => setShare(Number(event.currentTarget.value))}
          />
        </label>
        {props.runs.length > MOST_RUNS && (
          <span class="faint">{t("of the first {n} runs", { n: MOST_RUNS })}</span>
        )}
        <span class="muted">
          {t("at {percent}% of each", { percent: Math.round(share * 100) })}
        </span>
      </header>
      <div class="body stack">
        {prompts.slice(0, 12).map((prompt) => (
          <figure key={prompt} class="stack">
            <figcaption class="muted">{prompt}</figcaption>
            <div class="sample-strip">
              {tasks.map((task, n) => {
                const style = props.styles.get(task.id);
                const samples = each[n]?.get(prompt) ?? [];
                const sample = samples[Math.round(share * (samples.length - 1))];
                return (
                  <div key={task.id} class="sample">
                    {sample ? (
                      <Picture sample={sample} text={`${task.task_name}: ${prompt}`} />
                    ) : (
                      <span class="no-sample faint">{t("none")}</span>
                    )}
                    <span class="row">
                      {style && <Swatch {...style} />}
                      <span class="clip">{task.task_name}</span>
                    </span>
                  </div>
                );
              })}
            </div>
          </figure>
        ))}
      </div>
    </section>
  );
}
