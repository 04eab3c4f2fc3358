import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import type { RunFieldName } from "../../../../src/shared/run-fields.ts";
import { api, read, refusalOf } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { AddField } from "../../ui/form.tsx";
import { Empty, Skeleton, Trouble } from "../../ui/parts.tsx";
import { columnLabel, results } from "../runs/columns.ts";
import { FilterBox } from "../runs/filter-box.tsx";
import type { Dot } from "./dots.ts";
import { Influence } from "./influence.tsx";
import { ParallelCoordinates } from "./parallel.tsx";
import { Scatter } from "./scatter.tsx";

const PAGE = 200;
/** Runs that a chart shows: more lines are one colour. */
const MOST = 1000;

const parameters = [
  "lora_rank",
  "lora_alpha",
  "learning_rate",
  "batch_size",
  "epochs",
  "optimizer",
  "scheduler",
  "base_arch",
  "network_algo",
  "dropout",
] satisfies RunFieldName[];
const fields = [...parameters, ...results, "experiment_group"];

/** All finished runs that a filter lets through, as far as a chart can show them. */
async function readDots(filter: string, extra: string[]): Promise<{ dots: Dot[]; more: boolean }> {
  const asked = [...fields, ...extra];
  const dots: Dot[] = [];
  let cursor: string | null = null;
  do {
    const query: Record<string, string> = { limit: String(PAGE), fields: asked.join(",") };
    query.filter = filter ? `(${filter}) and ${finished}` : finished;
    if (cursor) query.cursor = cursor;
    const page: Awaited<ReturnType<typeof ask>> = await ask(query);
    for (const { id, task_name, values } of page.items) {
      const named = Object.fromEntries(asked.map((name, n) => [name, values[n] ?? null]));
      dots.push({
        id,
        name: task_name,
        group: String(named.experiment_group ?? ""),
        values: named,
      });
    }
    cursor = page.next_cursor;
  } while (cursor && dots.length < MOST);
  return { dots, more: cursor !== null };
}
/** A run that ended early has a loss, and it says little of its parameters. */
const finished = "status = 'success' and final_loss is not null";
const ask = (query: Record<string, string>) => read(api.table.$get({ query }));

/** Parameters that really vary among these runs. */
const varying = (dots: Dot[], names: string[]) =>
  names.filter((name) => new Set(dots.map(({ values }) => values[name])).size > 1);

export function Explore() {
  const { params, change } = useAddress();
  const filter = params.get("filter") ?? "";
  const own = (params.get("axes") ?? "").split(",").filter(Boolean);
  const { data, error, refetch } = useQuery({
    queryKey: ["explore", filter, own.join(",")],
    queryFn: () => readDots(filter, own),
  });
  const dots = data?.dots ?? [];
  const metric = params.get("metric") ?? "final_loss";
  const axes = useMemo(
    () => [...varying(dots, [...parameters, ...own]).slice(0, 8), metric],
    [dots, metric, own.join(",")],
  );
  const refused = refusalOf(error);
  return (
    <>
      <FilterBox
        value={filter}
        apply={(next) => change({ filter: next }, { push: true })}
        refused={refused}
        seen={{}}
      />
      <div class="row wrap">
        <label class="check muted">
          {t("Result")}
          <select
            class="field small"
            value={metric}
            onChange={(event) => change({ metric: event.currentTarget.value })}
          >
            {results.map((name) => (
              <option key={name} value={name}>
                {columnLabel(name)}
              </option>
            ))}
          </select>
        </label>
        <AddField add={(name) => change({ axes: [...new Set([...own, name])].join(",") })} />
        {own.length > 0 && (
          <button type="button" class="button plain small" onClick={() => change({ axes: null })}>
            {t("Without added fields")}
          </button>
        )}
        <span class="grow" />
        {data && (
          <span class="faint">
            {data.more
              ? t("the newest {n} runs", { n: dots.length })
              : t("{n} runs", { n: dots.length })}
          </span>
        )}
      </div>
      {error && !refused && !data ? (
        <Trouble error={error} again={() => void refetch()} />
      ) : !data ? (
        <Skeleton lines={10} />
      ) : dots.length < 2 ? (
        <Empty icon="compare" title={t("Too few finished runs")}>
          <p>{t("Two or more with a final loss show which parameters go along with it.")}</p>
        </Empty>
      ) : (
        <>
          <ParallelCoordinates dots={dots} axes={axes} />
          <Influence filter={filter ? `(${filter}) and ${finished}` : finished} metric={metric} />
          <Scatter
            dots={dots}
            parameters={varying(dots, [...parameters, ...own])}
            metric={metric}
          />
        </>
      )}
    </>
  );
}
