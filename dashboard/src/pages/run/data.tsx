import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Dataset, Task } from "../../types.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { datasetsQuery } from "./queries.ts";

const SHOWN = 24;

/** Facts of the datasets that the run was trained on. */
export function Data({ task }: { task: Task }) {
  return (
    <Loaded query={useQuery(datasetsQuery(task.id))} lines={8}>
      {({ datasets }) =>
        datasets.length === 0 ? (
          <Empty icon="image" title={t("No dataset is known")}>
            <p>
              {t(
                "The client reads image counts and tags from the data folder where the run starts.",
              )}
            </p>
          </Empty>
        ) : (
          <div class="stack">
            {datasets.map((dataset) => (
              <One key={`${dataset.id} ${dataset.name}`} dataset={dataset} />
            ))}
          </div>
        )
      }
    </Loaded>
  );
}

function One({ dataset }: { dataset: Dataset }) {
  const [all, setAll] = useState(false);
  const tags = Object.entries(dataset.tag_distribution ?? {}).sort((a, b) => b[1] - a[1]);
  const most = tags[0]?.[1] ?? 1;
  const shown = all ? tags : tags.slice(0, SHOWN);
  return (
    <section class="panel">
      <header class="wrap">
        <h2>{dataset.name}</h2>
        <span class="muted">
          {dataset.image_count !== null && t("{n} images", { n: whole(dataset.image_count) })}
          {dataset.repeats !== null && ` × ${dataset.repeats}`}
        </span>
        <span class="grow" />
        <span class="faint clip mono">{dataset.source_path}</span>
      </header>
      <div class="body stack">
        {tags.length > 0 ? (
          <>
            <h3>{t("Tags, the most frequent first ({n})", { n: whole(tags.length) })}</h3>
            <ol class="bars">
              {shown.map(([tag, count]) => (
                <li key={tag}>
                  <span class="clip">{tag}</span>
                  <span class="bar" aria-hidden="true">
                    <i style={{ width: `${(count / most) * 100}%` }} />
                  </span>
                  <span class="right">{whole(count)}</span>
                </li>
              ))}
            </ol>
            {tags.length > SHOWN && (
              <p>
                <button type="button" class="button small" onClick={() => setAll(!all)}>
                  {all ? t("Fewer") : t("All {n}", { n: whole(tags.length) })}
                </button>
              </p>
            )}
          </>
        ) : (
          <p class="muted">{t("This dataset has no captions with tags.")}</p>
        )}
        {dataset.content_hash && (
          <p class="faint clip">
            {t("Content hash")} <code>{dataset.content_hash}</code>
          </p>
        )}
      </div>
    </section>
  );
}
