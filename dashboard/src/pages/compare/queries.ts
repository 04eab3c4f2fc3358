import { keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";
import type { Dot } from "./dots.ts";

const PAGE = 200;
/** Runs that a chart shows: more lines are one colour. */
const MOST = 1000;

/** A run that ended early has a loss, and it says little of its parameters. */
const finished = "status = 'success' and final_loss is not null";
const amongFinished = (filter: string) => (filter ? `(${filter}) and ${finished}` : finished);

/** The comparison of two or more runs. */
export const comparisonQuery = (ids: number[]) =>
  queryOptions({
    queryKey: ["compare", ids.join(",")],
    meta: { live: { runs: ids, everyMs: 20_000 } },
    enabled: ids.length > 1,
    placeholderData: keepPreviousData,
    // The curves are drawn from their own queries, which a page shares.
    queryFn: () => read(api.tasks.compare.$get({ query: { ids: ids.join(","), max_points: "2" } })),
  });

/** Correlation of each parameter with a result, over the finished runs of a filter. */
export const influenceQuery = (filter: string, metric: string) =>
  queryOptions({
    queryKey: ["influence", filter, metric],
    placeholderData: keepPreviousData,
    queryFn: () =>
      read(api.stats.influence.$get({ query: { metric, filter: amongFinished(filter) } })),
  });

/** Values of some fields over the finished runs of a filter, as far as a chart can show them. */
export const dotsQuery = (filter: string, fields: string[]) =>
  queryOptions({
    queryKey: ["dots", filter, fields.join(",")],
    queryFn: () => readDots(filter, fields),
  });

async function readDots(filter: string, fields: string[]): Promise<{ dots: Dot[]; more: boolean }> {
  const dots: Dot[] = [];
  let cursor: string | null = null;
  do {
    const query: Record<string, string> = { limit: String(PAGE), fields: fields.join(",") };
    query.filter = amongFinished(filter);
    if (cursor) query.cursor = cursor;
    const page: Awaited<ReturnType<typeof readTable>> = await readTable(query);
    for (const { id, task_name, values } of page.items) {
      const named = Object.fromEntries(fields.map((name, n) => [name, values[n] ?? null]));
      dots.push({
        id,
        name: task_name,
        group: String(named.experiment_group ?? ""),
        values: named,
      });
    }
    cursor = page.next_cursor;
  } while (cursor && dots.length < MOST);
  return { dots, more: cursor !== null };
}

const readTable = (query: Record<string, string>) => read(api.table.$get({ query }));
