import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { whole } from "../format.ts";
import { t } from "../i18n.ts";
import { useAddress } from "../state.ts";
import { Icon } from "../ui/icon.tsx";
import { MetricCard } from "./metric-card.tsx";
import { type ChartPreferences, useChartPreferences } from "./preferences.ts";
import {
  type Arrangement,
  arrangementParams,
  type Group,
  groupsOf,
  keyOf,
  LONGEST_SEARCH,
  moved,
  readArrangement,
  toggled,
  unarranged,
} from "./workspace.ts";

/** How the metrics are arranged: as the address says, or else as the person likes it; changes are kept in both. */
function useArrangement() {
  const { params, change } = useAddress();
  const { own, isPending, change: keep } = useChartPreferences();
  const arrangement = readArrangement(params, own);
  // A link that somebody sent has an arrangement of its own: a change of it is one of the person's own as well.
  const set = (make: (before: Arrangement) => Partial<Arrangement>) => {
    change(arrangementParams(make(arrangement), own));
    if (!isPending) keep(make({ ...unarranged, ...own }) satisfies ChartPreferences);
  };
  return { arrangement, set };
}

/** A search as a test of names, or why it is none; while its library is loaded, all names are found. */
function useSearch(search: string) {
  const [library, setLibrary] = useState<typeof import("./metric-search.ts") | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (search === "" || library) return;
    setFailed(false);
    import("./metric-search.ts").then(setLibrary, () => setFailed(true));
  }, [search, library]);
  const read = useMemo(
    () => (search === "" ? undefined : library?.readSearch(search)),
    [search, library],
  );
  const said = read?.mistake && t(read.mistake.text, { why: read.mistake.why });
  const missed = search !== "" && failed ? t("The ledger cannot be reached just now.") : null;
  return { matches: read?.matches, mistake: said ?? missed };
}

const titleOf = ({ name, isPinned }: Group) => (isPinned ? t("Pinned") : name || t("General"));

/**
 * All metrics of a run, or of several, as small charts in groups. Only those in view are drawn, by `draw`, and so
 * asked for; `enlarge` draws one large.
 */
export function MetricGrid(props: {
  metrics: string[];
  draw: (metric: string) => JSX.Element;
  enlarge: (metric: string) => void;
}) {
  const { params, change } = useAddress();
  const { arrangement, set } = useArrangement();
  const [all, setAll] = useState(false);
  const search = params.get("find") ?? "";
  const { matches, mistake } = useSearch(search);
  const hidden = props.metrics.filter((name) => arrangement.hidden.includes(name)).length;
  const groups = groupsOf(props.metrics, arrangement, { matches, all });
  /** All metrics of a group, those too that are hidden or not found. */
  const wholeOf = (group: Group) =>
    groupsOf(props.metrics, arrangement, { all: true }).find((one) => keyOf(one) === keyOf(group))
      ?.metrics;
  return (
    <section class="stack" aria-label={t("All metrics")}>
      <div class="row wrap metric-tools">
        <h2>{t("{n} metrics", { n: whole(props.metrics.length) })}</h2>
        <span class="grow" />
        {hidden > 0 && (
          <button
            type="button"
            class="button small plain"
            aria-pressed={all}
            onClick={() => setAll(!all)}
          >
            <Icon name="eye" />
            {all ? t("Leave {n} hidden out", { n: hidden }) : t("{n} hidden, show", { n: hidden })}
          </button>
        )}
        <input
          type="search"
          class="field small mono"
          aria-label={t("Search metrics by a regular expression")}
          placeholder="^train/|loss$"
          maxLength={LONGEST_SEARCH}
          value={search}
          aria-invalid={mistake !== null}
          onInput={(event) => change({ find: event.currentTarget.value })}
        />
      </div>
      {mistake && (
        <p class="curve-bad" role="alert">
          {mistake}
        </p>
      )}
      {groups.length === 0 && <p class="muted">{t("No metric is found.")}</p>}
      {groups.map((group) => {
        // Whoever searches sees what is found.
        const isOpen = search !== "" || !arrangement.collapsed.includes(keyOf(group));
        return (
          <section key={keyOf(group)} class="stack" aria-label={titleOf(group)}>
            <h3>
              <button
                type="button"
                class="head-sort metric-group"
                aria-expanded={isOpen}
                onClick={() =>
                  set(({ collapsed }) => ({ collapsed: toggled(collapsed, keyOf(group)) }))
                }
              >
                <Icon name={isOpen ? "down" : "right"} />
                {titleOf(group)}
                <span class="faint">{whole(group.metrics.length)}</span>
              </button>
            </h3>
            {isOpen && (
              <div class="small-curves">
                {group.metrics.map((metric) => (
                  <MetricCard
                    key={metric}
                    {...{ metric, draw: props.draw, enlarge: props.enlarge }}
                    isPinned={arrangement.pinned.includes(metric)}
                    isHidden={arrangement.hidden.includes(metric)}
                    pin={() => set((own) => ({ pinned: toggled(own.pinned, metric) }))}
                    hide={() => set((own) => ({ hidden: toggled(own.hidden, metric) }))}
                    move={(by) => set((own) => moved(own, group, metric, by, wholeOf(group)))}
                    take={(dragged) => {
                      const by = group.metrics.indexOf(metric) - group.metrics.indexOf(dragged);
                      set((own) => moved(own, group, dragged, by, wholeOf(group)));
                    }}
                  />
                ))}
              </div>
            )}
          </section>
        );
      })}
    </section>
  );
}
