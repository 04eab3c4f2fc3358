import { useQuery } from "@tanstack/preact-query";
import { useCallback } from "preact/hooks";
import { viewParameters, viewQuery } from "../../../../src/shared/view-query.ts";
import { api, read } from "../../api.ts";
import { useAddress } from "../../state.ts";

/** Takes out of an address what a view keeps, and leaves what is not its: the view's id, the selection. */
export function withoutView(params: URLSearchParams): URLSearchParams {
  for (const name of viewParameters) params.delete(name);
  return params;
}

const bare = (address: URLSearchParams) => !viewParameters.some((name) => address.has(name));

/** What an address shows: itself, or the saved view that it names and nothing more. */
function shownBy(address: URLSearchParams, saved: string | undefined): URLSearchParams {
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
  const { data, error, refetch } = useQuery({
    queryKey: ["view", id],
    enabled: id !== null,
    queryFn: () => read(api.views[":id"].$get({ param: { id: id ?? "" } })),
  });
  const saved = id === null ? undefined : data;
  const params = shownBy(address, saved?.query);
  const query = viewQuery(params);
  const change = useCallback(
    (next: Record<string, string | null>, options?: { push?: boolean }) =>
      edit((now) => {
        const changed = shownBy(now, saved?.query);
        for (const [name, value] of Object.entries(next))
          if (value) changed.set(name, value);
          else changed.delete(name);
        const text = viewQuery(changed);
        if (!changed.has("view")) return changed;
        if (text === saved?.query) return withoutView(changed);
        // All taken away is a change too, which a view's id alone would not tell.
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
    /** Whether it is known what to show; where it is not, `error` may say why. */
    ready: id === null || saved !== undefined || !bare(address),
    error,
    again: refetch,
  };
}
