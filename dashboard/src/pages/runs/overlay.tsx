import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Overlaid } from "../../chart/overlaid.tsx";
import { RunKeys } from "../../chart/run-buttons.tsx";
import { severalParams } from "../../chart/several-view.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";
import { follow } from "./head.tsx";
import { useKept } from "./kept.ts";

const NARROWEST = 280;
const WIDEST = 1200;
const USUAL = 480;

/** The curves of the chosen runs over one another, beside the table, as wide as a person makes it. */
export function Overlay(props: {
  ids: number[];
  names: Map<number, string>;
  styles: Map<number, LineStyle>;
  clear: () => void;
}) {
  const { ids, names, styles } = props;
  const { params } = useAddress();
  const [kept, keep] = useKept("overlay");
  const [dragged, setDragged] = useState<number | null>(null);
  const within = (width: number) => Math.round(Math.min(WIDEST, Math.max(NARROWEST, width)));
  const width = within(dragged ?? (Number(kept) || USUAL));
  const resize = (next: number, last: boolean) => {
    setDragged(last ? null : next);
    if (last) keep(String(within(next)));
  };
  return (
    <aside
      class="panel overlay"
      aria-label={t("Curves of the selected runs")}
      style={{ "--overlay": `${width}px` }}
    >
      <div
        class="overlay-edge"
        role="separator"
        aria-orientation="vertical"
        aria-label={t("Width of the curves")}
        aria-valuenow={width}
        aria-valuemin={NARROWEST}
        aria-valuemax={WIDEST}
        tabIndex={0}
        onPointerDown={(event) => {
          event.preventDefault();
          let now = width;
          follow(event, {
            move: (by) => {
              now = width - by;
              resize(now, false);
            },
            end: () => resize(now, true),
          });
        }}
        onKeyDown={(event) => {
          const step = event.key === "ArrowLeft" ? 32 : event.key === "ArrowRight" ? -32 : 0;
          if (!step) return;
          event.preventDefault();
          resize(width + step, true);
        }}
      />
      <header>
        <h2 class="grow">{t("{n} selected", { n: ids.length })}</h2>
        <Link class="button small" href={`/compare?ids=${ids.join(",")}${severalParams(params)}`}>
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
        <Overlaid ids={ids} names={names} height={280} />
        <RunKeys ids={[...styles.keys()]} names={names} styles={styles} />
      </div>
    </aside>
  );
}
