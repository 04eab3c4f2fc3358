/** What a request cost at the database: round trips, rows as they are billed, and time in ms. */
export type Cost = { trips: number; read: number; written: number; ms: number };

export const noCost = (): Cost => ({ trips: 0, read: 0, written: 0, ms: 0 });

type Counted = { rows_read?: number; rows_written?: number };
type Pipeline = {
  results?: { response?: { result?: Counted & { step_results?: (Counted | null)[] } } }[];
};

/**
 * Wraps a fetch to count what @libsql/client hides, read from a copy of the Hrana JSON answer
 * (results[].response.result, and its step_results for a batch).
 */
export function countCost(fetcher: typeof fetch, cost: Cost): typeof fetch {
  return async (...args) => {
    const begun = performance.now();
    const response = await fetcher(...args);
    const body = (await response
      .clone()
      .json()
      .catch(() => ({}))) as Pipeline;
    cost.trips += 1;
    cost.ms += performance.now() - begun;
    for (const { response: answer } of body.results ?? []) {
      const result = answer?.result;
      for (const step of result?.step_results ?? [result]) {
        cost.read += step?.rows_read ?? 0;
        cost.written += step?.rows_written ?? 0;
      }
    }
    return response;
  };
}

/** The value of `Server-Timing` for a cost. */
export const serverTiming = (cost: Cost) =>
  `db;dur=${cost.ms.toFixed(1)};desc="trips=${cost.trips} read=${cost.read} written=${cost.written}"`;
