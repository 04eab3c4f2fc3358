import { useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import { lineStyles, MOST_RUNS } from "../../chart/line-styles.ts";
import { Overlaid } from "../../chart/overlaid.tsx";
import { RunButtons } from "../../chart/run-buttons.tsx";
import { severalParams, useSeveral } from "../../chart/several-view.ts";
import { Swatch } from "../../chart/swatch.tsx";
import { t } from "../../i18n.ts";
import { useChanges } from "../../live.ts";
import { type ChosenRun, chosenQuery } from "../../queries.ts";
import { idsOf, useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { NanBadge, StatusBadge } from "../../ui/status.tsx";
import { ConfigDiff } from "./config-diff.tsx";
import { Differences } from "./differences.tsx";
import { Explore } from "./explore.tsx";
import { ComparedMetrics } from "./metrics.tsx";
import { comparisonQuery } from "./queries.ts";
import { SampleGrid } from "./sample-grid.tsx";

export function Compare() {
  const { params, change } = useAddress();
  const ids = idsOf(params.get("ids"));
  const explore = params.get("view") === "explore" || ids.length === 0;
  return (
    <div class="page">
      <div class="page-head">
        <h1>{t("Compare")}</h1>
        <nav class="segments" aria-label={t("What to compare")}>
          <button
            type="button"
            aria-pressed={!explore}
            disabled={ids.length === 0}
            onClick={() => change({ view: null })}
          >
            {t("Runs side by side")}
          </button>
          <button type="button" aria-pressed={explore} onClick={() => change({ view: "explore" })}>
            {t("Parameters against results")}
          </button>
        </nav>
      </div>
      {explore ? <Explore /> : <SideBySide ids={ids} />}
    </div>
  );
}

function SideBySide({ ids }: { ids: number[] }) {
  const shown = ids.slice(0, MOST_RUNS);
  useChanges(shown);
  return (
    <Loaded query={useQuery(chosenQuery(shown))} lines={10}>
      {(runs) => <Compared ids={ids} shown={shown} runs={runs} />}
    </Loaded>
  );
}

/** Compares the chosen runs; those with `shown` as their ids are as many as can be. */
function Compared({ ids, shown, runs }: { ids: number[]; shown: number[]; runs: ChosenRun[] }) {
  const { params, change } = useAddress();
  const { hidden, baseline } = useSeveral();
  const found = runs.map(({ id }) => id);
  const missing = shown.filter((id) => !found.includes(id));
  const comparison = useQuery(comparisonQuery(found));
  const names = new Map(runs.map(({ id, task_name }) => [id, task_name]));
  const styles = lineStyles(shown);
  return (
    <>
      <ul class="compared">
        {runs.map((run) => (
          <li key={run.id} class={`panel ${hidden.has(run.id) ? "hidden-run" : ""}`}>
            <Swatch {...(styles.get(run.id) ?? { colour: 8 })} />
            <Link class="grow clip" href={`/runs/${run.id}`} title={run.task_name}>
              {run.task_name}
            </Link>
            <StatusBadge status={run.status} reason={run.failure_reason} />
            {run.nonfinite_from_step !== null && (
              <NanBadge status={run.status} step={run.nonfinite_from_step} brief />
            )}
            <RunButtons id={run.id} name={run.task_name} />
            <button
              type="button"
              class="button plain icon small"
              aria-label={t("Select {name} no more", { name: run.task_name })}
              onClick={() => change({ ids: ids.filter((id) => id !== run.id).join(",") })}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
        <li>
          <Link class="button plain" href={`/runs?sel=${ids.join(",")}${severalParams(params)}`}>
            <Icon name="plus" />
            {t("Choose runs")}
          </Link>
        </li>
      </ul>
      {missing.length > 0 && (
        <p class="muted">
          {t("Not found: {ids}", { ids: missing.map((id) => `#${id}`).join(", ") })}
        </p>
      )}
      {runs.length === 0 ? (
        <Empty icon="compare" title={t("Nothing to compare")}>
          <Link class="button" href="/runs">
            {t("To the runs")}
          </Link>
        </Empty>
      ) : (
        <>
          <section class="panel" aria-label={t("Curves")}>
            <div class="body">
              <Overlaid ids={ids} names={names} height={320} />
            </div>
          </section>
          {ids.length < 2 && (
            <p class="note">{t("Choose a second run to compare this one with.")}</p>
          )}
          <Loaded query={comparison} lines={0}>
            {(data) => (
              <Differences comparison={data} runs={runs} styles={styles} baseline={baseline} />
            )}
          </Loaded>
          <SampleGrid runs={runs.filter(({ id }) => !hidden.has(id))} styles={styles} />
          <ComparedMetrics ids={shown} names={names} />
          {comparison.data && <ConfigDiff comparison={comparison.data} />}
        </>
      )}
    </>
  );
}
