import { isSystemMetric } from "../../../src/shared/system-metrics.ts";
import { t } from "../i18n.ts";
import { Check, Segments } from "../ui/form.tsx";
import { Loaded } from "../ui/loading.tsx";
import { Chart } from "./chart.tsx";
import { MOST_RUNS } from "./line-styles.ts";
import { LookTools, useOwnLook, WholeRun } from "./look.tsx";
import { useSeveralLines } from "./several-lines.ts";
import { LARGE } from "./several-queries.ts";
import { useSeveral } from "./several-view.ts";

/** Fields that runs are often grouped by; any other field of the filter language can be typed. */
const groupings = [
  ...["experiment_group", "lora_rank", "lora_alpha", "learning_rate", "optimizer", "scheduler"],
  ...["batch_size", "network_algo", "base_arch", "trainer", "user", "status"],
];

/** Groups the curves by a field. */
const GroupBy = ({ by, choose }: { by: string; choose: (field: string) => void }) => (
  <label class="check muted">
    {t("Group by")}
    <input
      key={by}
      class="field small group-by"
      list="curve-groupings"
      maxLength={300}
      defaultValue={by}
      placeholder={t("no field")}
      onChange={(event) => choose(event.currentTarget.value.trim())}
    />
    <datalist id="curve-groupings">
      {groupings.map((name) => (
        <option key={name} value={name} />
      ))}
    </datalist>
  </label>
);

/** Curves of several runs over one another or in groups, with the tools that change them. */
export function Overlaid(props: { ids: number[]; names: Map<number, string>; height: number }) {
  const look = useOwnLook();
  const { metric, log, all, set } = look;
  const several = useSeveral();
  const { by, band, isDifference } = several;
  const found = useSeveralLines(props.ids, props.names, metric, look, LARGE);
  const { single, grouped, drawn, axis, from, chosen, shown, visible } = found;
  const metrics = [...new Set(["loss", metric, ...(single.data?.metrics ?? [])])]
    .filter((name) => name === metric || !isSystemMetric(name))
    .sort();
  const zoom = axis === look.axis ? look.zoom : null;
  const title = from ? t("{metric}, difference to {name}", { metric, name: from.name }) : metric;
  const without = visible.filter(({ curve }) => curve.points.length === 0);
  const isPart = visible.some(({ id }) =>
    single.data?.items.some((item) => item.id === id && item.one_of > 1),
  );
  return (
    <div class="stack overlaid">
      <div class="row wrap">
        <LookTools look={{ ...look, axis }} metrics={metrics} />
        {zoom && <WholeRun clear={() => set({ zoom: null })} />}
      </div>
      <div class="row wrap">
        <GroupBy by={by} choose={several.groupBy} />
        {by && (
          <Segments
            label={t("Band")}
            value={band}
            choose={several.chooseBand}
            options={[
              ["std", t("± standard deviation")],
              ["range", t("lowest to highest")],
            ]}
          />
        )}
        {chosen.some((id) => id === several.baseline) && (
          <span class="muted">
            <Check
              label={t("Difference to the baseline")}
              checked={isDifference}
              change={several.showDifference}
            />
          </span>
        )}
      </div>
      {/* As high as the chart before it is there, so that nothing below moves. */}
      <div style={{ minHeight: `${props.height + 48}px` }}>
        <Loaded query={drawn} lines={6}>
          {(drawable) => (
            <Chart
              lines={drawable}
              axis={axis}
              log={log}
              all={all}
              height={props.height}
              title={title}
              file={metric}
              range={zoom}
              zoomed={(range) => set(axis === look.axis ? { zoom: range } : { axis, zoom: range })}
              summary={
                by
                  ? t("{metric} of {n} groups of runs", {
                      metric,
                      n: grouped.data?.groups.length ?? 0,
                    })
                  : t("{metric} of {n} runs", { metric, n: visible.length })
              }
            />
          )}
        </Loaded>
      </div>
      <div class="muted notes">
        {shown.length === 0 && <p>{t("All curves are hidden.")}</p>}
        {props.ids.length > MOST_RUNS && (
          <p>
            {t("{n} runs are chosen; the first {most} are drawn.", {
              n: props.ids.length,
              most: MOST_RUNS,
            })}
          </p>
        )}
        {by && (
          <p>
            {t(
              "Each line is the mean of a group's runs at aligned steps; a run counts from its first step to its last.",
            )}
          </p>
        )}
        {by && (grouped.data?.left_out.length ?? 0) > 0 && (
          <p>
            {t("{n} runs of further groups are left out.", {
              n: grouped.data?.left_out.length ?? 0,
            })}
          </p>
        )}
        {without.length > 0 && (
          <p>
            {t("Without {metric}: {names}", {
              metric,
              names: without.map(({ name }) => name).join(", "),
            })}
          </p>
        )}
        {isPart && <p>{t("Of very long runs a part of the points is drawn.")}</p>}
      </div>
    </div>
  );
}
