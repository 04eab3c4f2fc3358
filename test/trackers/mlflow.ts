// MLflow's protocol for tests in workerd: `const mlflow = await trackingOf(ledger, key)`.
import { type costOf, freshLedger, type Ledger } from "../harness.ts";

export { freshLedger };
export type Cost = ReturnType<typeof costOf>;

// biome-ignore lint/suspicious/noExplicitAny: tests read whatever shape the answer should have.
type Answer = any;

/** Calls of one key; paths are those below `mlflow/`. */
export function trackingOf(ledger: Ledger, key: string) {
  const base = "/mlflow/api/2.0/mlflow/";
  const post = (path: string, json: unknown, status = 200): Promise<Answer> =>
    ledger.call(base + path, { key, json }, status);
  const get = (path: string, query: Record<string, string | string[]> = {}, status = 200) => {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      for (const one of [value].flat()) search.append(name, one);
    return ledger.call(`${base}${path}?${search}`, { key }, status) as Promise<Answer>;
  };
  /** Makes an experiment: its id. */
  const experiment = async (name: string) =>
    String((await post("experiments/create", { name })).experiment_id);
  /** Begins a run: its id. */
  const begin = async (experiment_id = "0", more: Record<string, unknown> = {}) =>
    String(
      (await post("runs/create", { experiment_id, start_time: Date.now(), ...more })).run.info
        .run_id,
    );
  const run = async (run_id: string) => (await get("runs/get", { run_id })).run;
  const log = (run_id: string, key: string, value: unknown, step = 0, timestamp = 1_000) =>
    post("runs/log-metric", { run_id, key, value, step, timestamp });
  const search = (experiment_ids: string[], more: Record<string, unknown> = {}, status = 200) =>
    post("runs/search", { experiment_ids, ...more }, status);
  /** A refusal's code and message. */
  const refusal = async (path: string, json: unknown, status = 400): Promise<string> => {
    const { error_code, message } = await post(path, json, status);
    return `${error_code}: ${message}`;
  };
  return { post, get, experiment, begin, run, log, search, refusal };
}

/** The pairs of a list as an object. */
export const asObject = (list: { key: string; value: unknown }[]) =>
  Object.fromEntries(list.map(({ key, value }) => [key, value]));
