import { useCallback, useEffect, useState } from "preact/hooks";
import { useWho } from "../../who.ts";

/**
 * What this browser keeps for a person, under their id: another one who signs in here sees none of it.
 * A browser that keeps nothing for pages is no fault.
 */
const nameOf = (part: string, userId: number) => `ledger.${part}.${userId}`;

function read(part: string, userId: number): string | null {
  try {
    return localStorage.getItem(nameOf(part, userId));
  } catch {
    return null;
  }
}

function write(part: string, userId: number, text: string | null) {
  try {
    if (text === null) localStorage.removeItem(nameOf(part, userId));
    else localStorage.setItem(nameOf(part, userId), text);
  } catch {
    // Storage is full or switched off: the page works without it.
  }
}

/** The part that names who was here last: a session most likely lasts, and the page draws before it knows. */
const LAST = "last-user";

/** A text that this browser keeps for the person who is signed in, and a function that changes it; null: none. */
export function useKept(part: string) {
  const { user_id: userId } = useWho();
  const id = userId || Number(read(LAST, 0));
  const [, redraw] = useState(0);
  useEffect(() => {
    if (userId) write(LAST, 0, String(userId));
  }, [userId]);
  const keep = useCallback(
    (text: string | null) => {
      write(part, id, text);
      redraw((n) => n + 1);
    },
    [part, id],
  );
  return [read(part, id), keep] as const;
}

const MOST_SEARCHES = 12;
const LONGEST_SEARCH = 500;

/** A kept list of searches, the latest first; anything else that lies there is no list. */
export function readSearches(text: string | null): string[] {
  if (text === null) return [];
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list)
      ? list
          .filter((one): one is string => typeof one === "string" && one !== "")
          .slice(0, MOST_SEARCHES)
      : [];
  } catch {
    return [];
  }
}

/** The list with one search more, at its front. */
export const withSearch = (list: readonly string[], search: string): string[] =>
  search === "" || search.length > LONGEST_SEARCH
    ? [...list]
    : [search, ...list.filter((one) => one !== search)].slice(0, MOST_SEARCHES);
