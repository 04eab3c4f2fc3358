import { useQueries, useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import { Overlaid } from "../../chart/overlaid.tsx";
import { t } from "../../i18n.ts";
import { useChanges } from "../../live.ts";
import { taskQuery } from "../../queries.ts";
import { idsOf, useAddress } from "../../state.ts";
import type { Task } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { NanBadge, StatusBadge } from "../../ui/status.tsx";
import { ConfigDiff } from "./config-diff.tsx";
import { Differences } from "./differences.tsx";
import { Explore } from "./explore.tsx";
import { comparisonQuery } from "./queries.ts";
import { SampleGrid } from "./sample-grid.tsx";

const MOST = 8;

export function Compare() {
  const { params, change } = useAddress();
  const ids = idsOf(params.get("ids")).slice(0, MOST);
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
  useChanges(ids);
  const found = useQueries({
    queries: ids.map((id) => ({
      ...taskQuery(id),
      meta: { live: { runs: [id], everyMs: 60_000 } },
    })),
  });
  const runs = {
    data: found.some(({ isPending }) => isPending) ? undefined : found,
    error: null,
    refetch: () => {},
  };
  return (
    <Loaded query={runs} lines={10}>
      {(answers) => (
        <Compared
          ids={ids}
          tasks={answers.flatMap(({ data }): Task[] => (data ? [data] : []))}
          missing={ids.filter((_, n) => answers[n]?.error)}
        />
      )}
    </Loaded>
  );
}

function Compared({ ids, tasks, missing }: { ids: number[]; tasks: Task[]; missing: number[] }) {
  const { change } = useAddress();
  const comparison = useQuery(comparisonQuery(ids));
  const names = new Map(tasks.map(({ id, task_name }) => [id, task_name]));
  return (
    <>
      <ul class="compared">
        {tasks.map((task) => (
          <li key={task.id} class="panel">
            <i class={`swatch colour-${ids.indexOf(task.id) + 1}`} />
            <Link class="grow clip" href={`/runs/${task.id}`} title={task.task_name}>
              {task.task_name}
            </Link>
            <StatusBadge status={task.status} reason={task.failure_reason} />
            {typeof task.nonfinite_from_step === "number" && (
              <NanBadge status={task.status} step={task.nonfinite_from_step} brief />
            )}
            <button
              type="button"
              class="button plain icon small"
              aria-label={t("Select {name} no more", { name: task.task_name })}
              onClick={() => change({ ids: ids.filter((id) => id !== task.id).join(",") })}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
        <li>
          <Link class="button plain" href={`/runs?sel=${ids.join(",")}`}>
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
      {tasks.length === 0 ? (
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
            {(data) => <Differences comparison={data} runs={tasks} />}
          </Loaded>
          <SampleGrid tasks={tasks} />
          {comparison.data && <ConfigDiff comparison={comparison.data} />}
        </>
      )}
    </>
  );
}
