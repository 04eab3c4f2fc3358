import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { isRate } from "../../../../src/shared/metrics.ts";
import { Chart } from "../../chart/chart.tsx";
import { linesOf, onAxis } from "../../chart/curves.ts";
import type { Look } from "../../chart/look.tsx";
import type { Mark } from "../../chart/marks.ts";
import { gridCurveQuery } from "../../chart/queries.ts";
import { whole } from "../../format.ts";
import { currentLanguage, t } from "../../i18n.ts";
import { Loaded } from "../../ui/loading.tsx";

/** A metric of a run as a small chart. */
export function MetricChart(props: {
  id: number;
  metric: string;
  look: Look;
  images: number | null;
  marks: Mark[];
}) {
  const { id, metric, look, images, marks } = props;
  const { axis, log, all, smoothing, zoom, set } = look;
  const query = useQuery(gridCurveQuery(id, metric));
  const { data } = query;
  // A learning rate is a setting, which nothing is to be averaged out of.
  const strength = isRate(metric) ? 0 : smoothing;
  const lines = useMemo(() => {
    const spots = data ? onAxis(data, axis, data, images) : [];
    const smoothed = t("{metric}, smoothed", { metric });
    return linesOf(spots, axis, strength, { label: metric, smoothed, colour: 6 });
  }, [data, axis, images, metric, strength, currentLanguage()]);
  return (
    <Loaded query={query} lines={4}>
      {() => (
        <Chart
          {...{ lines, axis, log, all, marks }}
          height={110}
          name={metric}
          file={`run-${id}-${metric}`}
          range={zoom}
          zoomed={(range) => set({ zoom: range })}
          summary={t("{n} points", { n: whole(lines[0]?.points.length ?? 0) })}
        />
      )}
    </Loaded>
  );
}
