import { useInfiniteQuery } from "@tanstack/preact-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Changes } from "../../live.ts";
import type { Row } from "../../types.ts";
import { type Asked, keyOf, readRows, rowsQuery, type Table } from "./queries.ts";

/** The newest runs that a change reads, and the most that it reads by their ids. */
const NEWEST = 50;
const MOST_STALE = 200;

/** Rows that changed after their page was read, and new ones, for the table with this key. */
type News = { key: string; first?: object; added: Row[]; changed: Map<number, Row> };

const nothing: Table = { key: "", fields: "", rows: [] };
const noNews: News = { key: "", added: [], changed: new Map() };

/** The rows of a table with what is new about them. */
export function withNews({ key, first, rows }: Table, news: News): Row[] {
  if (
    news.key !== key ||
    news.first !== first ||
    (news.added.length === 0 && news.changed.size === 0)
  )
    return rows;
  return [...news.added, ...rows].map((row) => news.changed.get(row.id) ?? row);
}

/** Rows that run no more, though the table still shows them running. */
export const staleRows = (rows: Row[], running: Changes["running"]): Row[] => {
  const ids = new Set(running.map(({ id }) => id));
  return rows.filter(({ id, status }) => status === "running" && !ids.has(id));
};

/**
 * Finds the news about the rows of a table: `newest` are the newest runs of its filter, `reread` are
 * some of its rows as they are now, and `running` are the runs in progress.
 */
export function newsOf(
  rows: Row[],
  running: Changes["running"],
  { newest, reread }: { newest: Row[]; reread: Row[] },
): Omit<News, "key" | "first"> {
  const known = new Set(rows.map(({ id }) => id));
  const latest = rows[0]?.id ?? 0;
  const read = new Map([...newest, ...reread].map((row) => [row.id, row]));
  const now = new Map(running.map((run) => [run.id, run]));
  const changed = new Map<number, Row>();
  for (const row of rows) {
    const run = now.get(row.id);
    const next = read.get(row.id) ?? (run && { ...row, ...run });
    if (next) changed.set(row.id, next);
  }
  return { added: newest.filter(({ id }) => !known.has(id) && id > latest), changed };
}

/**
 * The rows of the table, loaded page after page as they are looked at. Fresh rows come in at the
 * front and changed ones in their place; a page that was loaded is never loaded again.
 */
export function useRows(asked: Asked, changes: Changes | null | undefined) {
  const key = keyOf(asked);
  const query = useInfiniteQuery(rowsQuery(asked));
  // Rows of the question before stay on the page, also where the new one is refused.
  const last = useRef(nothing);
  if (query.data) last.current = query.data;
  const table = last.current;
  const [news, setNews] = useState(noNews);
  const rows = useMemo(() => withNews(table, news), [table, news]);
  const current = useRef({ ...table, rows });
  current.current = { ...table, rows };

  const refresh = useRef(Promise.resolve());
  const handled = useRef<{ changes?: Changes; key?: string; first?: object }>({});
  useEffect(() => {
    const last = handled.current;
    handled.current = { ...(changes && { changes }), key: table.key, first: table.first };
    if (!changes) return;
    // Rows that have just come hold all changes so far; rows that were read anew need those since.
    if (changes === last.changes && (table.key !== last.key || !last.first)) return;
    refresh.current = refresh.current.then(async () => {
      const before = current.current;
      if (before.key !== key) return;
      try {
        const stale = staleRows(before.rows, changes.running).slice(0, MOST_STALE);
        const filter = `id in (${stale.map(({ id }) => id).join(", ")})`;
        const [newest, reread] = await Promise.all([
          asked.order === "" ? readRows(asked, { limit: String(NEWEST) }) : null,
          stale.length > 0
            ? readRows({ ...asked, status: "", filter }, { limit: String(MOST_STALE) })
            : null,
        ]);
        const { rows: shown, key: now, first } = current.current;
        // What was read for other rows may be older than these.
        if (now !== key || first !== before.first) return;
        const found = newsOf(shown, changes.running, {
          newest: newest?.items ?? [],
          reread: reread?.items ?? [],
        });
        setNews((known) => {
          const { added, changed } = known.key === key && known.first === first ? known : noNews;
          return {
            key,
            first,
            added: [...found.added, ...added],
            changed: new Map([...changed, ...found.changed]),
          };
        });
      } catch (error) {
        // A page that is open all night meets an outage now and then; the next change tries again.
        console.warn("the rows were not refreshed", error);
      }
    });
  }, [changes, key, table.first]);

  const { hasNextPage, isFetching, isFetchingNextPage, error, fetchNextPage, refetch } = query;
  const more = useCallback(() => {
    if (hasNextPage && !isFetching && !error) void fetchNextPage();
  }, [hasNextPage, isFetching, error, fetchNextPage]);
  return {
    rows,
    /** The fields that the rows' values are of. */
    fields: table.fields,
    hasMore: hasNextPage,
    /** Whether rows are on their way that are not on the page; reading the same again is not told. */
    loading: query.isPending || isFetchingNextPage || query.isPlaceholderData,
    error,
    more,
    again: () => void (query.data ? fetchNextPage() : refetch()),
  };
}
