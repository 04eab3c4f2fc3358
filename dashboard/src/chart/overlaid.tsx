import { useQueries } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { isSystemMetric } from "../../../src/shared/system-metrics.ts";
import { t } from "../i18n.ts";
import { Loaded } from "../ui/loading.tsx";
import { Chart } from "./chart.tsx";
import { linesOf, onAxis } from "./curves.ts";
import { LookTools, useLook, WholeRun } from "./look.tsx";
import { curveQuery } from "./queries.ts";

/** The number of colours, one a run. */
const MOST_LINES = 8;

/** Curves of several runs over one another, with the tools that change them. */
export function Overlaid(props: { ids: number[]; names: Map<number, string>; height: number }) {
  const { names } = props;
  const look = useLook();
  const { metric, axis, log, smoothing, all, zoom, set } = look;
  const shown = props.ids.slice(0, MOST_LINES);
  const curves = useQueries({ queries: shown.map((id) => curveQuery(id, metric, 600)) });
  const metrics = [...new Set(["loss", ...curves.flatMap(({ data }) => data?.metrics ?? [])])]
    .filter((name) => name === metric || !isSystemMetric(name))
    .sort();
  const found = curves.map(({ data }) => data);
  const lines = useMemo(
    () =>
      found.flatMap((curve, n) => {
        const id = shown[n] ?? 0;
        const label = names.get(id) ?? `#${id}`;
        const spots = curve ? onAxis(curve, axis) : [];
        return linesOf(spots, axis, smoothing, { label, smoothed: label, colour: n + 1 });
      }),
    [...found, ...shown, axis, smoothing, shown.map((id) => names.get(id)).join("\n")],
  );
  const failed = curves.find(({ data, error }) => error && !data);
  // A chart that lacks a curve would look complete: an error takes its place.
  const drawn = {
    data: !failed && curves.some(({ data }) => data) ? lines : undefined,
    error: failed?.error,
    refetch: () => failed?.refetch(),
  };
  return (
    <div class="stack">
      <div class="row wrap">
        <LookTools look={look} metrics={metrics} />
        {zoom && <WholeRun clear={() => set({ zoom: null })} />}
      </div>
      <Loaded query={drawn} lines={6}>
        {(drawable) => (
          <Chart
            lines={drawable}
            axis={axis}
            log={log}
            all={all}
            height={props.height}
            title={metric}
            range={zoom}
            zoomed={(range) => set({ zoom: range })}
            summary={t("Loss curves of {n} runs", { n: shown.length })}
          />
        )}
      </Loaded>
      {props.ids.length > MOST_LINES && (
        <p class="muted">{t("Curves of the first {n} are drawn.", { n: MOST_LINES })}</p>
      )}
    </div>
  );
}
