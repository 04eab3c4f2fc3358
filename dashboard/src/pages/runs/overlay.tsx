import { useQueries } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { Chart, type Line } from "../../chart/chart.tsx";
import { onAxis, smooth, type XAxis } from "../../chart/curves.ts";
import { curveQuery } from "../../chart/read.ts";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { Segments, Skeleton, Trouble } from "../../ui/parts.tsx";

const MOST = 8;

/** The curves of the chosen runs over one another, beside the table. */
export function Overlay(props: { ids: number[]; names: Map<number, string>; clear: () => void }) {
  const { ids, names } = props;
  const [axis, setAxis] = useState<XAxis>("step");
  const [log, setLog] = useState(false);
  const [smoothing, setSmoothing] = useState(0.9);
  const shown = ids.slice(0, MOST);
  const curves = useQueries({
    queries: shown.map((id) => curveQuery(id, "loss", 600)),
  });
  const lines = curves.flatMap(({ data }, n): Line[] => {
    const id = shown[n] ?? 0;
    const points = data ? onAxis(data.points, axis) : [];
    const line = { label: names.get(id) ?? `${id}`, colour: n + 1 };
    return smoothing > 0
      ? [
          { ...line, points, faint: true },
          { ...line, points: smooth(points, smoothing) },
        ]
      : [{ ...line, points }];
  });
  const failed = curves.find(({ error }) => error);
  return (
    <aside class="panel overlay" aria-label={t("Curves of the selected runs")}>
      <header>
        <h2 class="grow">{t("{n} selected", { n: ids.length })}</h2>
        <Link class="button small" href={`/compare?ids=${ids.join(",")}`}>
          <Icon name="compare" />
          {t("Compare")}
        </Link>
        <button
          type="button"
          class="button plain icon small"
          aria-label={t("Select none")}
          onClick={props.clear}
        >
          <Icon name="close" />
        </button>
      </header>
      <div class="body stack">
        <div class="row wrap">
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
          <label class="check">
            <input
              type="checkbox"
              checked={log}
              onChange={(event) => setLog(event.currentTarget.checked)}
            />
            {t("Log scale")}
          </label>
          <label class="check">
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
            height={280}
            summary={t("Loss curves of {n} runs", { n: shown.length })}
          />
        ) : (
          <Skeleton lines={6} />
        )}
        {ids.length > MOST && (
          <p class="muted">{t("Curves of the first {n} are drawn.", { n: MOST })}</p>
        )}
      </div>
    </aside>
  );
}
