import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Icon, type IconName } from "../ui/icon.tsx";
import { valueTitle } from "./axes.ts";

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

type Card = {
  metric: string;
  draw: (metric: string) => JSX.Element;
  enlarge: (metric: string) => void;
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
  const { metric } = props;
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
              onClick={() => props.enlarge(metric)}
            >
              <span class="clip">{valueTitle(metric)}</span>
            </button>
            <CardTools {...props} />
          </div>
          {props.draw(metric)}
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
