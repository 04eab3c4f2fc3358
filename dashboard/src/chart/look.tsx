import { useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Check, Segments } from "../ui/form.tsx";
import type { XAxis } from "./curves.ts";

/** The metric, axis, scale and smoothing that curves are shown with; `first` is the axis to begin with. */
export function useLook(first: XAxis = "step") {
  const [metric, setMetric] = useState("loss");
  const [axis, setAxis] = useState<XAxis>(first);
  const [log, setLog] = useState(false);
  const [smoothing, setSmoothing] = useState(0.9);
  return { metric, setMetric, axis, setAxis, log, setLog, smoothing, setSmoothing };
}

/** Changes the metric, axis, scale and smoothing. */
export const LookTools = (props: { look: ReturnType<typeof useLook>; metrics: string[] }) => {
  const { metric, setMetric, axis, setAxis, log, setLog, smoothing, setSmoothing } = props.look;
  return (
    <>
      <select
        class="field small"
        aria-label={t("Metric")}
        value={metric}
        onChange={(event) => setMetric(event.currentTarget.value)}
      >
        {props.metrics.map((name) => (
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
      <span class="muted">
        <Check label={t("Log scale")} checked={log} change={setLog} />
      </span>
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
    </>
  );
};
