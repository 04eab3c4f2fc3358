import { useQuery } from "@tanstack/preact-query";
import { useCallback } from "preact/hooks";
import { viewParameters, viewQuery } from "../../../../src/shared/view-query.ts";
import { useAddress } from "../../state.ts";
import { savedViewQuery } from "./queries.ts";

/** Takes a view's parameters out of an address, and leaves the others: the view's id, the selection. */
export function withoutView(params: URLSearchParams): URLSearchParams {
  for (const name of viewParameters) params.delete(name);
  return params;
}

const bare = (address: URLSearchParams) => !viewParameters.some((name) => address.has(name));

/** The parameters that an address shows: its own, or those of the saved view that it names alone. */
function parametersOf(address: URLSearchParams, saved: string | undefined): URLSearchParams {
  if (saved === undefined || !address.has("view") || !bare(address)) return address;
  const shown = new URLSearchParams(address);
  for (const [name, value] of new URLSearchParams(saved)) shown.set(name, value);
  return shown;
}

/**
 * The runs' address and the saved view it names. `?view=7` alone shows the view as it was saved;
 * once something is changed the address carries all of what is shown beside the view's id.
 */
export function useView() {
  const { params: address, edit } = useAddress();
  const id = address.get("view");
  const { data, error, refetch } = useQuery(savedViewQuery(id));
  const saved = id === null ? undefined : data;
  const params = parametersOf(address, saved?.query);
  const query = viewQuery(params);
  const change = useCallback(
    (next: Record<string, string | null>, options?: { push?: boolean }) =>
      edit((now) => {
        const changed = parametersOf(now, saved?.query);
        for (const [name, value] of Object.entries(next))
          if (value) changed.set(name, value);
          else changed.delete(name);
        const text = viewQuery(changed);
        if (!changed.has("view")) return changed;
        if (text === saved?.query) return withoutView(changed);
        // An empty query is a change too, which the view's id alone would not show.
        if (text === "") changed.set("filter", "");
        return changed;
      }, options),
    [edit, saved?.query],
  );
  return {
    params,
    change,
    edit,
    /** The saved view, and the query that the page shows. */
    view: saved,
    query,
    changed: saved !== undefined && query !== saved.query,
    /** Whether the parameters are known; where they are not, `error` may say why. */
    ready: id === null || saved !== undefined || !bare(address),
    error,
    again: refetch,
  };
}
