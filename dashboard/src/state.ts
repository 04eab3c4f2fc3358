import { useCallback } from "preact/hooks";
import { useLocation, useSearch } from "wouter-preact";

/**
 * What a page shows stands in its address, so that a link shares it: reads the address's parameters,
 * and changes some of them (null or "" takes one away) without a new entry in the history.
 */
export function useAddress() {
  const search = useSearch();
  const [path, go] = useLocation();
  const params = new URLSearchParams(search);
  const change = useCallback(
    (next: Record<string, string | null>, { push = false } = {}) => {
      const changed = new URLSearchParams(window.location.search);
      for (const [name, value] of Object.entries(next))
        if (value) changed.set(name, value);
        else changed.delete(name);
      // Commas and colons are all over these lists, and readable as they are.
      const text = changed.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
      go(`${window.location.pathname}${text ? `?${text}` : ""}`, { replace: !push });
    },
    [go],
  );
  return { path, go, search, params, change };
}

/** Ids that an address names, each once. */
export const idsOf = (text: string | null) =>
  text
    ? [...new Set(text.split(",").map(Number))].filter((id) => Number.isSafeInteger(id) && id > 0)
    : [];
