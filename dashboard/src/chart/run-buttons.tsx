import { t } from "../i18n.ts";
import { Icon } from "../ui/icon.tsx";
import type { LineStyle } from "./line-styles.ts";
import { useSeveral } from "./several-view.ts";
import { Swatch } from "./swatch.tsx";

/** Hides a run's line, and makes the run the baseline. */
export function RunButtons({ id, name }: { id: number; name: string }) {
  const { hidden, baseline, hide, chooseBaseline } = useSeveral();
  const isHidden = hidden.has(id);
  const isBaseline = baseline === id;
  return (
    <>
      <button
        type="button"
        class={`button plain icon small ${isBaseline ? "chosen" : ""}`}
        aria-pressed={isBaseline}
        aria-label={t("Baseline: {name}", { name })}
        title={isBaseline ? t("Without a baseline") : t("Use as the baseline")}
        onClick={() => chooseBaseline(isBaseline ? null : id)}
      >
        <Icon name="flag" />
      </button>
      <button
        type="button"
        class="button plain icon small"
        aria-pressed={isHidden}
        aria-label={t("Hide {name}", { name })}
        title={isHidden ? t("Show the curve") : t("Hide the curve")}
        onClick={() => hide(id, !isHidden)}
      >
        <Icon name={isHidden ? "hidden" : "eye"} />
      </button>
    </>
  );
}

/** The runs of a chart, each with its line and its buttons. */
export function RunKeys(props: {
  ids: number[];
  names: Map<number, string>;
  styles: Map<number, LineStyle>;
}) {
  const { hidden } = useSeveral();
  return (
    <ul class="run-keys" aria-label={t("Runs of the chart")}>
      {props.ids.map((id) => {
        const name = props.names.get(id) ?? `#${id}`;
        const style = props.styles.get(id);
        return (
          <li key={id} class={hidden.has(id) ? "hidden-run" : ""}>
            {style && <Swatch {...style} />}
            <span class="clip grow" title={name}>
              {name}
            </span>
            <RunButtons id={id} name={name} />
          </li>
        );
      })}
    </ul>
  );
}
