import { Link } from "wouter-preact";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Overlaid } from "../../chart/overlaid.tsx";
import { RunKeys } from "../../chart/run-buttons.tsx";
import { severalParams } from "../../chart/several-view.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";

/** The curves of the chosen runs over one another, beside the table. */
export function Overlay(props: {
  ids: number[];
  names: Map<number, string>;
  styles: Map<number, LineStyle>;
  clear: () => void;
}) {
  const { ids, names, styles } = props;
  const { params } = useAddress();
  return (
    <aside class="panel overlay" aria-label={t("Curves of the selected runs")}>
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
