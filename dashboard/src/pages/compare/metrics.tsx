import { useQuery } from "@tanstack/preact-query";
import { isRate } from "../../../../src/shared/metrics.ts";
import { isSystemMetric } from "../../../../src/shared/system-metrics.ts";
import { Chart } from "../../chart/chart.tsx";
import { MetricGrid } from "../../chart/grid.tsx";
import { type Look, useOwnLook } from "../../chart/look.tsx";
import { useSeveralLines } from "../../chart/several-lines.ts";
import { curvesQuery, SMALL } from "../../chart/several-queries.ts";
import { t } from "../../i18n.ts";
import { Loaded } from "../../ui/loading.tsx";

type Runs = { ids: number[]; names: Map<number, string> };

/** All metrics of the compared runs as small charts; one that is chosen is drawn large above. */
export function ComparedMetrics({ ids, names }: Runs) {
  const look = useOwnLook();
  const { data } = useQuery(curvesQuery(ids, look.metric));
  const metrics = (data?.metrics ?? []).filter((name) => !isSystemMetric(name));
  if (metrics.length < 2) return null;
  return (
    <MetricGrid
      metrics={metrics}
      enlarge={(metric) => {
        look.set({ metric });
        document.getElementById("main")?.scrollTo({ top: 0 });
      }}
      draw={(metric) => <SmallChart ids={ids} names={names} metric={metric} look={look} />}
    />
  );
}

function SmallChart(props: Runs & { metric: string; look: Look }) {
  const { ids, names, metric, look } = props;
  // A learning rate is a setting, which nothing is to be averaged out of.
  const own = isRate(metric) ? { ...look, smoothing: 0 } : look;
  const { drawn, axis, visible } = useSeveralLines(ids, names, metric, own, SMALL);
  const { log, all, zoom, set } = look;
  return (
    <Loaded query={drawn} lines={4}>
      {(lines) => (
        <Chart
          {...{ lines, axis, log, all }}
          height={110}
          name={metric}
          file={metric}
          range={axis === look.axis ? zoom : null}
          zoomed={(range) => set(axis === look.axis ? { zoom: range } : { axis, zoom: range })}
          summary={t("{n} runs: {metric}", { metric, n: visible.length })}
        />
      )}
    </Loaded>
  );
}
