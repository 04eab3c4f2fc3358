import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { useAddress } from "../state.ts";
import { Check, Segments } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import type { XAxis } from "./curves.ts";
import { readView, type View, viewParams } from "./view.ts";

/** Milliseconds without a move before the smoothing is written into the address. */
const STILL_MS = 250;

/** The view of a page's curves, which stands in its address; `first` is the axis to begin with. */
export function useLook(first: XAxis = "step") {
  const { params, change } = useAddress();
  const view = readView(params, first);
  const set = (next: Partial<View>) => change(viewParams(next, first));
  // A slider moves faster than browsers let an address change.
  const [moved, setMoved] = useState<number | null>(null);
  useEffect(() => {
    if (moved === null) return;
    const still = setTimeout(() => {
      set({ smoothing: moved });
      setMoved(null);
    }, STILL_MS);
    return () => clearTimeout(still);
  }, [moved]);
  return { ...view, smoothing: moved ?? view.smoothing, smoothBy: setMoved, set };
}

/** Changes the metric, axis, scales and smoothing. */
export const LookTools = (props: { look: ReturnType<typeof useLook>; metrics: string[] }) => {
  const { metric, axis, log, all, smoothing, smoothBy, set } = props.look;
  return (
    <>
      <select
        class="field small"
        aria-label={t("Metric")}
        value={metric}
        onChange={(event) => set({ metric: event.currentTarget.value })}
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
        choose={(next) => set({ axis: next })}
        options={[
          ["step", t("Step")],
          ["epoch", t("Epoch")],
          ["time", t("Time")],
        ]}
      />
      <span class="muted">
        <Check label={t("Log scale")} checked={log} change={(next) => set({ log: next })} />
      </span>
      <span
        class="muted"
        title={t("Else the few values that would flatten the curve are outside.")}
      >
        <Check label={t("All values")} checked={all} change={(next) => set({ all: next })} />
      </span>
      <label class="check muted">
        {t("Smoothing")}
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={smoothing}
          onInput={(event) => smoothBy(Number(event.currentTarget.value))}
        />
        <output class="smoothing">{smoothing.toFixed(2)}</output>
      </label>
    </>
  );
};

export const WholeRun = ({ clear }: { clear: () => void }) => (
  <button type="button" class="button small" onClick={clear}>
    <Icon name="zoom" />
    {t("Whole run")}
  </button>
);
