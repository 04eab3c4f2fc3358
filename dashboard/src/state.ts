import { useCallback } from "preact/hooks";
import { useLocation, useSearch } from "wouter-preact";
import { queryText } from "../../src/shared/view-query.ts";

/**
 * A page keeps its state in its address, so that a link shares it: reads the address's parameters, and
 * changes some of them (null or "" takes one away) without a new entry in the history.
 */
export function useAddress() {
  const search = useSearch();
  const [path, go] = useLocation();
  const params = new URLSearchParams(search);
  const edit = useCallback(
    (make: (params: URLSearchParams) => URLSearchParams, { push = false } = {}) => {
      const text = queryText(make(new URLSearchParams(window.location.search)));
      go(`${window.location.pathname}${text ? `?${text}` : ""}`, { replace: !push });
    },
    [go],
  );
  const change = useCallback(
    (next: Record<string, string | null>, options?: { push?: boolean }) =>
      edit((changed) => {
        for (const [name, value] of Object.entries(next))
          if (value) changed.set(name, value);
          else changed.delete(name);
        return changed;
      }, options),
    [edit],
  );
  return { path, go, search, params, change, edit };
}

/** Ids in a parameter of an address, each once. */
export const idsOf = (text: string | null) =>
  text
    ? [...new Set(text.split(",").map(Number))].filter((id) => Number.isSafeInteger(id) && id > 0)
    : [];
