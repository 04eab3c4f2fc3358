import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { useAddress } from "../state.ts";
import { Check, Segments } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { axisNames } from "./axes.ts";
import { type XAxis, xAxes } from "./curves.ts";
import { useChartPreferences } from "./preferences.ts";
import { readView, type Usual, usual, type View, viewParams } from "./view.ts";

/** Milliseconds without a move before the smoothing is written into the address. */
const STILL_MS = 250;

/**
 * The view of a page's curves, which its address holds; `first` is the axis to begin with. Where the images
 * of a step are known, they are an axis too. `own` is how its person likes to see curves, and `changed` gets
 * what the person changes.
 */
function useLook(
  first: XAxis = "step",
  more: {
    images?: boolean;
    own?: Partial<Usual>;
    changed?: (next: Partial<View>) => void;
  } = {},
) {
  const { params, change } = useAddress();
  const axes = xAxes.filter((axis) => axis !== "images" || more.images);
  const { axis = first, ...own } = more.own ?? {};
  const begin = { ...usual, ...own, axis: axes.includes(axis) ? axis : first };
  const view = readView(params, begin, axes);
  const set = (next: Partial<View>) => {
    change(viewParams(next, begin));
    more.changed?.(next);
  };
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

/** The view of a page's curves, as its person likes it where the address does not say; changes are the next default. */
export function useOwnLook({ unstepped = false, images = false } = {}) {
  const { own, change } = useChartPreferences();
  const { axis, smoothing, log } = own;
  return useLook(unstepped ? "time" : "step", {
    images,
    // A run without steps is drawn over time, whatever axis the person prefers.
    own: {
      ...(axis !== undefined && !unstepped && { axis }),
      ...(smoothing !== undefined && { smoothing }),
      ...(log !== undefined && { log }),
    },
    changed: (to) => {
      const next = {
        ...(to.axis !== undefined && !unstepped && { axis: to.axis }),
        ...(to.smoothing !== undefined && { smoothing: to.smoothing }),
        ...(to.log !== undefined && { log: to.log }),
      };
      if (Object.keys(next).length > 0) change(next);
    },
  });
}

export type Look = ReturnType<typeof useOwnLook>;

/** Why curves of a run go by no images. */
const noImages = () =>
  t("Unknown here: images are steps × batch size × gradient accumulation of an image model.");

/**
 * Changes the metric, axis, scales and smoothing, and where there are marks whether they show. `images` says
 * whether curves go by images; without it there is no such choice.
 */
export const LookTools = (props: {
  look: Look;
  metrics: string[];
  images?: boolean;
  marks?: boolean;
}) => {
  const { metric, axis, log, all, smoothing, smoothBy, set } = props.look;
  const axes = xAxes.filter((name) => name !== "images" || props.images !== undefined);
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
        options={axes.map((name) =>
          name === "images" && !props.images
            ? [name, t(axisNames[name]), noImages()]
            : [name, t(axisNames[name])],
        )}
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
      {props.marks && (
        <span
          class="muted"
          title={t("Where attempts begin, and checkpoints and samples were made")}
        >
          <Check
            label={t("Marks")}
            checked={props.look.marks}
            change={(next) => set({ marks: next })}
          />
        </span>
      )}
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
