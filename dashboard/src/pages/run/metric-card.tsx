import { useQuery } from "@tanstack/preact-query";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { isRate } from "../../../../src/shared/metrics.ts";
import { valueTitle } from "../../chart/axes.ts";
import { Chart } from "../../chart/chart.tsx";
import { linesOf, onAxis } from "../../chart/curves.ts";
import type { useLook } from "../../chart/look.tsx";
import type { Mark } from "../../chart/marks.ts";
import { gridCurveQuery } from "../../chart/queries.ts";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Icon, type IconName } from "../../ui/icon.tsx";
import { Loaded } from "../../ui/loading.tsx";

/** Pixels beyond the window within which a chart is drawn already. */
const AHEAD = "250px";

/** The kind of what is dragged from card to card: a metric's name. */
const DRAGGED = "text/x-ledger-metric";

/** Whether an element is in view, or soon will be. */
function useInView() {
  const ref = useRef<HTMLDivElement>(null);
  const [isInView, setInView] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new IntersectionObserver(
      (seen) => setInView(seen.at(-1)?.isIntersecting ?? false),
      { rootMargin: AHEAD },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, isInView };
}

type Look = ReturnType<typeof useLook>;
type Card = {
  id: number;
  metric: string;
  look: Look;
  images: number | null;
  marks: Mark[];
  isPinned: boolean;
  isHidden: boolean;
  pin: () => void;
  hide: () => void;
  /** Moves the card by so many places of its group. */
  move: (by: number) => void;
  /** Takes in the place of this card one of its group that was dragged here. */
  take: (dragged: string) => void;
};

/** A metric of the grid. Out of view it is its title alone, at the same height. */
export function MetricCard(props: Card) {
  const { metric, look } = props;
  const { ref, isInView } = useInView();
  return (
    // A group, for 500 landmarks would mark nothing.
    <div
      ref={ref}
      role="group"
      class={`panel small-curve metric-card ${props.isHidden ? "is-hidden" : ""}`}
      aria-label={metric}
      onDragOver={(event) => {
        if (event.dataTransfer?.types.includes(DRAGGED)) event.preventDefault();
      }}
      onDrop={(event) => {
        const dragged = event.dataTransfer?.getData(DRAGGED);
        if (!dragged) return;
        event.preventDefault();
        props.take(dragged);
      }}
    >
      {isInView ? (
        <>
          {/* biome-ignore lint/a11y/noStaticElementInteractions: its buttons move the card by keys. */}
          <div
            class="metric-head"
            draggable
            onDragStart={({ dataTransfer }) => dataTransfer?.setData(DRAGGED, metric)}
          >
            <button
              type="button"
              class="head-sort"
              title={t("Draw it large")}
              onClick={() => look.set({ metric })}
            >
              <span class="clip">{valueTitle(metric)}</span>
            </button>
            <CardTools {...props} />
          </div>
          <CardChart {...props} />
        </>
      ) : (
        <p class="clip muted metric-title">{valueTitle(metric)}</p>
      )}
    </div>
  );
}

function CardTools({ metric, isPinned, isHidden, pin, hide, move }: Card) {
  const tool = (icon: IconName, name: string, act: () => void, pressed?: boolean) => (
    <button
      type="button"
      class="button plain icon small"
      aria-label={name}
      title={name}
      aria-pressed={pressed}
      onClick={(event: JSX.TargetedMouseEvent<HTMLButtonElement>) => {
        const button = event.currentTarget;
        act();
        // A card that moves takes the focus off its button.
        requestAnimationFrame(() => button.focus());
      }}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <div class="metric-actions">
      {tool("left", t("{name} further left", { name: metric }), () => move(-1))}
      {tool("right", t("{name} further right", { name: metric }), () => move(1))}
      {tool("star", t("Pin {name}", { name: metric }), pin, isPinned)}
      {tool("eye", t("Hide {name}", { name: metric }), hide, isHidden)}
    </div>
  );
}

function CardChart({ id, metric, look, images, marks }: Card) {
  const { axis, log, all, smoothing, zoom, set } = look;
  const query = useQuery(gridCurveQuery(id, metric));
  const { data } = query;
  // A learning rate is a setting, which nothing is to be averaged out of.
  const strength = isRate(metric) ? 0 : smoothing;
  const lines = useMemo(() => {
    const spots = data ? onAxis(data, axis, data, images) : [];
    const smoothed = t("{metric}, smoothed", { metric });
    return linesOf(spots, axis, strength, { label: metric, smoothed, colour: 6 });
  }, [data, axis, images, metric, strength]);
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
