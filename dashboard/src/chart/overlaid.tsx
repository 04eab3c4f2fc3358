import { useQueries } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Segments, Skeleton, Trouble } from "../ui/parts.tsx";
import { Chart, type Line } from "./chart.tsx";
import { onAxis, smooth, type XAxis } from "./curves.ts";
import { curveQuery } from "./read.ts";

/** Runs that can be told apart by colour. */
export const MOST_LINES = 8;

/** Curves of several runs over one another, with what one changes about them. */
export function Overlaid(props: { ids: number[]; names: Map<number, string>; height: number }) {
  const { names } = props;
  const [metric, setMetric] = useState("loss");
  const [axis, setAxis] = useState<XAxis>("step");
  const [log, setLog] = useState(false);
  const [smoothing, setSmoothing] = useState(0.9);
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
  const failed = curves.find(({ error }) => error);
  return (
    <div class="stack">
      <div class="row wrap">
        <select
          class="field small"
          aria-label={t("Metric")}
          value={metric}
          onChange={(event) => setMetric(event.currentTarget.value)}
        >
          {metrics.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <Segments
          label={t("Across")}
          value={axis}
          choose={setAxis}
          options={[
            ["step", t("Step")],
            ["epoch", t("Epoch")],
            ["time", t("Time")],
          ]}
        />
        <label class="check muted">
          <input
            type="checkbox"
            checked={log}
            onChange={(event) => setLog(event.currentTarget.checked)}
          />
          {t("Log scale")}
        </label>
        <label class="check muted">
          {t("Smoothing")}
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            value={smoothing}
            onInput={(event) => setSmoothing(Number(event.currentTarget.value))}
          />
        </label>
      </div>
      {failed ? (
        <Trouble error={failed.error} again={() => void failed.refetch()} />
      ) : curves.some(({ data }) => data) ? (
        <Chart
          lines={lines}
          axis={axis}
          log={log}
          height={props.height}
          summary={t("Loss curves of {n} runs", { n: shown.length })}
        />
      ) : (
        <Skeleton lines={6} />
      )}
      {props.ids.length > MOST_LINES && (
        <p class="muted">{t("Curves of the first {n} are drawn.", { n: MOST_LINES })}</p>
      )}
    </div>
  );
}
