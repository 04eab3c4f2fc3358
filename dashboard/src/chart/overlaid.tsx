import { useQueries } from "@tanstack/preact-query";
import { t } from "../i18n.ts";
import { Loaded } from "../ui/loading.tsx";
import { Chart, type Line } from "./chart.tsx";
import { onAxis, smooth } from "./curves.ts";
import { LookTools, useLook } from "./look.tsx";
import { curveQuery } from "./queries.ts";

/** The number of colours, one a run. */
const MOST_LINES = 8;

/** Curves of several runs over one another, with the tools that change them. */
export function Overlaid(props: { ids: number[]; names: Map<number, string>; height: number }) {
  const { names } = props;
  const look = useLook();
  const { metric, axis, log, smoothing } = look;
  const shown = props.ids.slice(0, MOST_LINES);
  const curves = useQueries({ queries: shown.map((id) => curveQuery(id, metric, 600)) });
  const metrics = [
    ...new Set(["loss", ...curves.flatMap(({ data }) => data?.metrics ?? [])]),
  ].sort();
  const lines = curves.flatMap(({ data }, n): Line[] => {
    const id = shown[n] ?? 0;
    const points = data ? onAxis(data.points, axis) : [];
    const line = { label: names.get(id) ?? `#${id}`, colour: n + 1 };
    return smoothing > 0
      ? [
          { ...line, points, faint: true },
          { ...line, points: smooth(points, smoothing) },
        ]
      : [{ ...line, points }];
  });
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
      </div>
      <Loaded query={drawn} lines={6}>
        {(drawable) => (
          <Chart
            lines={drawable}
            axis={axis}
            log={log}
            height={props.height}
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
