import { idsOf, useAddress } from "../state.ts";
import { type Band, bands } from "./curves.ts";

/**
 * How several runs are shown beside each other, which the page's address holds: the runs that are hidden, the
 * baseline, whether curves are differences to it, and the field that they are grouped by with its band.
 */
export function useSeveral() {
  const { params, change } = useAddress();
  const hidden = idsOf(params.get("hide"));
  const baseline = idsOf(params.get("baseline"))[0] ?? null;
  return {
    hidden: new Set(hidden),
    baseline,
    isDifference: params.get("diff") === "1",
    by: params.get("by") ?? "",
    band: bands.find((name) => name === params.get("band")) ?? bands[0],
    hide: (id: number, on: boolean) =>
      change({ hide: (on ? [...hidden, id] : hidden.filter((one) => one !== id)).join(",") }),
    chooseBaseline: (id: number | null) =>
      change({ baseline: id === null ? null : String(id), ...(id === null && { diff: null }) }),
    showDifference: (on: boolean) => change({ diff: on ? "1" : null }),
    groupBy: (field: string) => change({ by: field }),
    chooseBand: (band: Band) => change({ band: band === bands[0] ? null : band }),
  };
}

/** The parameters of an address that keep this from page to page. */
export function severalParams(params: URLSearchParams): string {
  const kept = ["hide", "baseline", "diff", "by", "band", "curve", "x", "log", "smooth", "y"];
  const text = new URLSearchParams(
    kept.flatMap((name) => {
      const value = params.get(name);
      return value ? [[name, value]] : [];
    }),
  ).toString();
  return text && `&${text}`;
}
