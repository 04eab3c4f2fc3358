import { useState } from "preact/hooks";
import { t } from "../../i18n.ts";
import type { Comparison } from "../../types.ts";
import { Highlight } from "../../ui/highlight.tsx";

/** Changed lines between the first run's file and another's. */
export function ConfigDiff({ comparison }: { comparison: Comparison }) {
  const { tasks, config_diffs: diffs } = comparison;
  const [chosen, setChosen] = useState<number | null>(null);
  const shown = diffs.find(({ id }) => id === chosen) ?? diffs[0];
  const nameOf = (id: number | undefined) =>
    tasks.find((task) => task.id === id)?.task_name ?? `#${id}`;
  if (!shown) return null;
  return (
    <section class="panel" aria-label={t("Config")}>
      <header class="wrap">
        <h2>{t("Config, line by line")}</h2>
        <span class="muted clip">{nameOf(tasks[0]?.id)}</span>
        <span class="faint" aria-hidden="true">
          →
        </span>
        <select
          class="field small"
          aria-label={t("To")}
          value={shown.id}
          onChange={(event) => setChosen(Number(event.currentTarget.value))}
        >
          {diffs.map(({ id }) => (
            <option key={id} value={id}>
              {nameOf(id)}
            </option>
          ))}
        </select>
      </header>
      {shown.diff === null ? (
        <p class="body muted">{shown.why}</p>
      ) : shown.diff === "" ? (
        <p class="body muted">{t("The two files are the same.")}</p>
      ) : (
        <Highlight text={shown.diff} language="diff" />
      )}
    </section>
  );
}
