import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import type { Changes } from "../../live.ts";
import type { Row } from "../../types.ts";

/** The first page is what a screen shows, so that it is there at once; then come the largest there are. */
const FIRST = 60;
const PAGE = 200;

/** What the table asks the server for. */
export type Asked = {
  filter: string;
  q: string;
  status: string;
  user: string;
  order: string;
  deleted: boolean;
  fields: string;
};

type State = {
  key: string;
  /** The fields that the rows' values are of. */
  fields: string;
  rows: Row[];
  cursor: string | null;
  /** Tasks that a filter without an index looked at, on its way to the rows so far. */
  scanned: number;
  loading: boolean;
  error: unknown;
};

const begin = (key: string): State => ({
  key,
  fields: "",
  rows: [],
  cursor: null,
  scanned: 0,
  loading: true,
  error: null,
});

function toQuery(asked: Asked, more: { cursor?: string | null; limit: number; filter?: string }) {
  const { filter, q, status, user, order, deleted, fields } = asked;
  const query: Record<string, string> = { limit: String(more.limit) };
  const put = (name: string, value: string | null | undefined) => {
    if (value) query[name] = value;
  };
  put("filter", more.filter ?? filter);
  put("q", q);
  put("status", status);
  put("user", user);
  put("order_by", order);
  put("fields", fields);
  put("cursor", more.cursor);
  if (deleted) query.deleted = "true";
  return query;
}

/**
 * The rows of the table, loaded page after page as they are looked at. Fresh rows come in at the
 * front and changed ones in their place; what is already there is never loaded again.
 */
export function useRows(asked: Asked, changes: Changes | null | undefined) {
  const key = JSON.stringify(asked);
  const [state, setState] = useState<State>(() => begin(key));
  const current = useRef(state);
  current.current = state;
  const update = useCallback((change: (before: State) => State) => {
    current.current = change(current.current);
    setState(current.current);
  }, []);

  const load = useCallback(
    async (cursor: string | null) => {
      update((before) => ({ ...before, loading: true, error: null }));
      try {
        const page = await read(
          api.table.$get({ query: toQuery(asked, { cursor, limit: cursor ? PAGE : FIRST }) }),
        );
        if (current.current.key !== key) return;
        update((before) => ({
          ...before,
          fields: asked.fields,
          rows: cursor ? before.rows.concat(page.items) : page.items,
          cursor: page.next_cursor,
          scanned: before.scanned + (page.scanned ?? 0),
          loading: false,
        }));
      } catch (error) {
        if (current.current.key === key) update((before) => ({ ...before, loading: false, error }));
      }
    },
    [key, update],
  );

  useEffect(() => {
    // Rows of the question before stay on the page until the answer to the new one is there.
    update(({ rows, fields }) => ({ ...begin(key), rows, fields }));
    void load(null);
  }, [key, load, update]);

  const more = useCallback(() => {
    const { cursor, loading, error } = current.current;
    if (cursor && !loading && !error) void load(cursor);
  }, [load]);

  const refresh = useRef(Promise.resolve());
  useEffect(() => {
    if (!changes) return;
    refresh.current = refresh.current.then(async () => {
      if (current.current.key !== key || current.current.loading) return;
      try {
        const running = new Map(changes.running.map((run) => [run.id, run]));
        const stale = current.current.rows.filter(
          ({ id, status }) => status === "running" && !running.has(id),
        );
        const newestFirst = asked.order === "";
        const asks = [
          ...(newestFirst ? [toQuery(asked, { limit: 50 })] : []),
          ...(stale.length
            ? [
                toQuery(
                  { ...asked, status: "" },
                  {
                    limit: 200,
                    filter: `id in (${stale
                      .slice(0, 200)
                      .map(({ id }) => id)
                      .join(", ")})`,
                  },
                ),
              ]
            : []),
        ];
        const [first, ...others] = await Promise.all(
          asks.map((query) => read(api.table.$get({ query }))),
        );
        if (current.current.key !== key) return;
        const fresh = new Map(
          [first, ...others].flatMap((page) => page?.items ?? []).map((row) => [row.id, row]),
        );
        update((before) => {
          const seen = new Set(before.rows.map(({ id }) => id));
          const oldest = before.rows[0]?.id ?? 0;
          const added = newestFirst
            ? (first?.items ?? []).filter(({ id }) => !seen.has(id) && id > oldest)
            : [];
          const rows = before.rows.map((row) => {
            const run = running.get(row.id);
            return fresh.get(row.id) ?? (run ? { ...row, ...run } : row);
          });
          return { ...before, rows: [...added, ...rows] };
        });
      } catch (error) {
        // A page that is open all night meets an outage now and then; the next change tries again.
        console.warn("the rows were not refreshed", error);
      }
    });
  }, [changes, key, update]);

  return useMemo(() => ({ ...state, more, again: () => void load(null) }), [state, more, load]);
}
