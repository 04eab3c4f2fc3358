import { Link } from "wouter-preact";
import { Overlaid } from "../../chart/overlaid.tsx";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";

/** The curves of the chosen runs over one another, beside the table. */
export const Overlay = (props: {
  ids: number[];
  names: Map<number, string>;
  clear: () => void;
}) => (
  <aside class="panel overlay" aria-label={t("Curves of the selected runs")}>
    <header>
      <h2 class="grow">{t("{n} selected", { n: props.ids.length })}</h2>
      <Link class="button small" href={`/compare?ids=${props.ids.join(",")}`}>
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
    <div class="body">
      <Overlaid ids={props.ids} names={props.names} height={280} />
    </div>
  </aside>
);
