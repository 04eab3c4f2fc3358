// As much of an MLflow tracking server as a mirror asks, in memory: for answers that a real one gives only by
// accident. It keeps a value of the same metric, step, time and number once, and refuses changed parameters.
type Pair = { key: string; value: string };
type Metric = { key: string; value: number | string; timestamp: number; step: number };
// biome-ignore lint/suspicious/noExplicitAny: a body may hold anything.
type Body = any;

export type FakeRun = {
  id: string;
  experiment: string;
  name: string;
  status: string;
  endTime: number | null;
  params: Map<string, string>;
  tags: Map<string, string>;
  metrics: Map<string, Metric>;
};

export type Reply = { status: number; body: string; headers?: Record<string, string> };
export type Call = { path: string; body: Body; authorization: string | null };

const ok = (body: object = {}): Reply => ({ status: 200, body: JSON.stringify(body) });
const no = (status: number, error_code: string, message: string): Reply => ({
  status,
  body: JSON.stringify({ error_code, message }),
});

export function fakeMlflow() {
  const experiments = new Map<string, string>([["Default", "0"]]);
  const runs = new Map<string, FakeRun>();
  const calls: Call[] = [];
  const shown = (run: FakeRun) => ({
    info: { run_id: run.id, experiment_id: run.experiment, run_name: run.name, status: run.status },
    data: {
      params: [...run.params].map(([key, value]) => ({ key, value })),
      tags: [...run.tags].map(([key, value]) => ({ key, value })),
    },
  });
  const valid = (key: string) =>
    /^[\p{L}\p{N}_\-. :/]{1,250}$/u.test(key) && !/(^|\/)(\.{0,2})(\/|$)/.test(key);

  const routes: Record<string, (body: Body) => Reply> = {
    "experiments/search": () => ok({ experiments: [] }),
    "experiments/get-by-name": ({ experiment_name }) => {
      const id = experiments.get(experiment_name);
      return id === undefined
        ? no(404, "RESOURCE_DOES_NOT_EXIST", `no experiment ${experiment_name}`)
        : ok({
            experiment: { experiment_id: id, name: experiment_name, lifecycle_stage: "active" },
          });
    },
    "experiments/create": ({ name }) => {
      const id = String(experiments.size);
      experiments.set(name, id);
      return ok({ experiment_id: id });
    },
    "runs/search": ({ filter, experiment_ids }) => {
      const wanted = [...filter.matchAll(/tags\."([^"]+)" = '([^']*)'/g)];
      const found = [...runs.values()].filter(
        (run) =>
          experiment_ids.includes(run.experiment) &&
          wanted.every(([, key, value]) => run.tags.get(key) === value),
      );
      return ok({ runs: found.map(shown) });
    },
    "runs/create": ({ experiment_id, run_name, tags }) => {
      const run: FakeRun = {
        ...{ id: `run${runs.size}`, experiment: experiment_id, name: run_name, status: "RUNNING" },
        ...{ endTime: null, params: new Map(), metrics: new Map() },
        tags: new Map(tags.map(({ key, value }: Pair) => [key, value])),
      };
      runs.set(run.id, run);
      return ok({ run: shown(run) });
    },
    "runs/get": ({ run_id }) => {
      const run = runs.get(run_id);
      return run ? ok({ run: shown(run) }) : no(404, "RESOURCE_DOES_NOT_EXIST", `no run ${run_id}`);
    },
    "runs/update": ({ run_id, status, end_time, run_name }) => {
      const run = runs.get(run_id);
      if (!run) return no(404, "RESOURCE_DOES_NOT_EXIST", `no run ${run_id}`);
      Object.assign(run, { status, endTime: end_time ?? null, name: run_name });
      return ok({ run_info: shown(run).info });
    },
    "runs/log-batch": ({ run_id, params = [], tags = [], metrics = [] }) => {
      const run = runs.get(run_id);
      if (!run) return no(404, "RESOURCE_DOES_NOT_EXIST", `no run ${run_id}`);
      if (params.length > 100 || tags.length > 100 || metrics.length > 1000)
        return no(400, "INVALID_PARAMETER_VALUE", "too many");
      for (const { key } of [...params, ...tags, ...metrics])
        if (!valid(key)) return no(400, "INVALID_PARAMETER_VALUE", `invalid name ${key}`);
      for (const { key, value } of params as Pair[])
        if ((run.params.get(key) ?? value) !== value)
          return no(400, "INVALID_PARAMETER_VALUE", `changing ${key} is not allowed`);
      for (const { key, value } of params as Pair[]) run.params.set(key, value);
      for (const { key, value } of tags as Pair[]) run.tags.set(key, value);
      for (const metric of metrics as Metric[]) {
        const { key, step, timestamp, value } = metric;
        run.metrics.set(JSON.stringify([key, step, timestamp, value]), metric);
      }
      return ok();
    },
  };

  const fake = {
    experiments,
    runs,
    calls,
    /** What answers instead of the server: null lets it answer. */
    instead: (_call: Call): Reply | null => null,
    /** The answer to a request below `/api/2.0/mlflow/`. */
    answer(url: URL, authorization: string | null, text: string): Reply {
      const path = url.pathname.replace(/^.*\/api\/2\.0\/mlflow\//, "");
      const body = text ? JSON.parse(text) : Object.fromEntries(url.searchParams);
      const call = { path, body, authorization };
      calls.push(call);
      return (
        fake.instead(call) ??
        routes[path]?.(body) ??
        no(404, "ENDPOINT_NOT_FOUND", `no endpoint ${path}`)
      );
    },
    /** How often each request was asked. */
    counts(): Record<string, number> {
      const counts: Record<string, number> = {};
      for (const { path } of calls) counts[path] = (counts[path] ?? 0) + 1;
      return counts;
    },
    only(): FakeRun {
      const [run, ...more] = runs.values();
      if (!run || more.length > 0) throw new Error(`${runs.size} runs instead of one`);
      return run;
    },
  };
  return fake;
}
