// A real `mlflow server` with its data in a folder, which can be killed and started again on its port.
import { join } from "node:path";
import { freePort } from "../../scripts/local/processes.ts";
import { eventually, runProcess } from "../stack.ts";

/** Starts it by the Python that has it. Its first start makes its database, which takes a while. */
export async function startMlflow(python: string, home: string) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const start = async () => {
    const server = runProcess(
      python,
      [
        ...[
          "-m",
          "mlflow",
          "server",
          "--host",
          "127.0.0.1",
          "--port",
          String(port),
          "--workers",
          "1",
        ],
        ...["--backend-store-uri", `sqlite:///${join(home, "mlflow.db")}`],
        ...["--artifacts-destination", join(home, "artifacts")],
      ],
      // Its worker is a process of its own; those for jobs of its own are not needed.
      {
        cwd: home,
        detached: true,
        env: { ...process.env, MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false" },
      },
    );
    await eventually(
      "mlflow server",
      async () => {
        if (server.child.exitCode !== null) throw new Error(server.output());
        return (await fetch(`${url}/health`)).ok;
      },
      120,
    );
    return server;
  };
  let server = await start();
  const kill9 = async () => {
    if (server.child.pid) process.kill(-server.child.pid, "SIGKILL");
    await server.ended;
  };
  // biome-ignore lint/suspicious/noExplicitAny: tests read whatever it answers.
  async function ask(path: string, body?: object): Promise<any> {
    const sent = new Request(`${url}/api/2.0/mlflow/${path}`, {
      method: body ? "POST" : "GET",
      headers: { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    // It closes idle connections, at times just when a request is sent on one.
    const response = await fetch(sent.clone()).catch(() => fetch(sent));
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
  return {
    url,
    ask,
    kill9,
    async revive() {
      server = await start();
    },
    /** The runs of an experiment by name. */
    async runs(experiment: string) {
      const found = await ask(
        `experiments/get-by-name?experiment_name=${encodeURIComponent(experiment)}`,
      );
      const { runs = [] } = await ask("runs/search", {
        experiment_ids: [found.experiment.experiment_id],
        max_results: 100,
      });
      return runs;
    },
    /** Every value of a metric that the server keeps. */
    async history(run: string, metric: string) {
      const all: { value: number | string; timestamp: number; step: number }[] = [];
      let token = "";
      do {
        const query = new URLSearchParams({
          run_id: run,
          metric_key: metric,
          max_results: "25000",
        });
        if (token) query.set("page_token", token);
        const page = await ask(`metrics/get-history?${query}`);
        all.push(...(page.metrics ?? []));
        token = page.next_page_token ?? "";
      } while (token);
      return all;
    },
    stop: kill9,
  };
}
