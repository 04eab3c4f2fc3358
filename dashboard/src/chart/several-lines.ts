import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { currentLanguage, t } from "../i18n.ts";
import { lineStyles, MOST_RUNS } from "./line-styles.ts";
import type { Look } from "./look.tsx";
import { type Drawn, differenceLines, groupLines, groupName, runLines } from "./several.ts";
import { curvesQuery, groupCurvesQuery } from "./several-queries.ts";
import { useSeveral } from "./several-view.ts";

/**
 * The lines of one metric of several runs, as the address has them: each its own, in groups, or as differences to
 * the baseline; and the queries that they come from, in so many points.
 */
export function useSeveralLines(
  ids: number[],
  names: Map<number, string>,
  metric: string,
  look: Look,
  points: number,
) {
  const { smoothing } = look;
  const several = useSeveral();
  const { by, band, isDifference } = several;
  const chosen = ids.slice(0, MOST_RUNS);
  const shown = chosen.filter((id) => !several.hidden.has(id));
  const single = useQuery(curvesQuery(chosen, metric, points));
  const grouped = useQuery(groupCurvesQuery(shown, metric, by, points));
  const nameOf = (id: number) => names.get(id) ?? `#${id}`;
  const styles = lineStyles(chosen);
  const runs = (single.data?.items ?? []).flatMap((curve): Drawn[] => {
    const style = styles.get(curve.id);
    return style ? [{ id: curve.id, name: nameOf(curve.id), style, curve }] : [];
  });
  const visible = runs.filter(({ id }) => shown.includes(id));
  const baseline = runs.find(({ id }) => id === several.baseline);
  const from = isDifference ? baseline : undefined;
  // Groups and differences are at aligned steps.
  const axis = by || from ? "step" : look.axis;
  const query = by && shown.length > 0 ? grouped : single;
  const lines = useMemo(() => {
    if (by)
      return grouped.data && shown.length > 0
        ? groupLines(grouped.data, band, smoothing, {
            nameOf: ({ group, ids: own }) =>
              `${groupName(group, t("Without a group"))} (${own.length})`,
            baseline: from,
          })
        : [];
    return from
      ? differenceLines(visible, from, smoothing)
      : runLines(visible, axis, smoothing, several.baseline);
  }, [
    ...[single.data, grouped.data, axis, smoothing, by, band, from?.id, several.baseline],
    ...[shown.join(), chosen.map(nameOf).join("\n"), currentLanguage()],
  ]);
  const drawn = { data: query.data && lines, error: query.error, refetch: query.refetch };
  return { single, grouped, drawn, axis, from, chosen, shown, visible } as const;
}
