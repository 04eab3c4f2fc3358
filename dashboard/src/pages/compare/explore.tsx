import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import type { RunFieldName } from "../../../../src/shared/run-fields.ts";
import { refusalOf } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { AddField } from "../../ui/form.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { columnLabel, results } from "../runs/columns.ts";
import { FilterBox } from "../runs/filter-box.tsx";
import type { Dot } from "./dots.ts";
import { Influence } from "./influence.tsx";
import { ParallelCoordinates } from "./parallel.tsx";
import { dotsQuery } from "./queries.ts";
import { Scatter } from "./scatter.tsx";

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

/** Parameters that really vary among these runs. */
const varying = (dots: Dot[], names: string[]) =>
  names.filter((name) => new Set(dots.map(({ values }) => values[name])).size > 1);

export function Explore() {
  const { params, change } = useAddress();
  const filter = params.get("filter") ?? "";
  const own = (params.get("axes") ?? "").split(",").filter(Boolean);
  const query = useQuery(dotsQuery(filter, [...fields, ...own]));
  const { data } = query;
  const dots = data?.dots ?? [];
  const metric = params.get("metric") ?? "final_loss";
  const axes = useMemo(
    () => [...varying(dots, [...parameters, ...own]).slice(0, 8), metric],
    [dots, metric, own.join(",")],
  );
  const refused = refusalOf(query.error, "(".length);
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
      <Loaded query={query} lines={10} failed={() => (refused ? null : undefined)}>
        {() =>
          dots.length < 2 ? (
            <Empty icon="compare" title={t("Too few finished runs")}>
              <p>
                {t("Two or more runs with a final loss show which parameters correlate with it.")}
              </p>
            </Empty>
          ) : (
            <>
              <ParallelCoordinates dots={dots} axes={axes} />
              <Influence filter={filter} metric={metric} />
              <Scatter
                dots={dots}
                parameters={varying(dots, [...parameters, ...own])}
                metric={metric}
              />
            </>
          )
        }
      </Loaded>
    </>
  );
}
