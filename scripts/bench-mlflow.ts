/**
 * `node scripts/run.mjs bench-mlflow`: the times of MLflow's log calls here and of a real `mlflow server` (SQLite, its
 * default workers), both on this machine, call by call in turn. Prints median and p95 of each and their
 * ratios, and ends with 1 where p95 of 10 metrics is above MLflow's, or 1,000 metrics are not 5 times as fast.
 * `TRACKERS_PYTHON` names the Python that has mlflow.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startStack } from "../test/stack.ts";
import { trackersPython } from "../test/trackers/clients.ts";
import { build } from "./build.ts";
import { Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

type Server = { url: string; headers: Record<string, string> };

const freePort = () =>
  new Promise<number>((found) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => found(typeof address === "object" && address ? address.port : 0));
    });
  });

/** A real `mlflow server` with a database of its own. */
async function startMlflow(python: string) {
  const home = mkdtempSync(join(tmpdir(), "bench-mlflow-"));
  const port = await freePort();
  const child = spawn(
    join(dirname(python), "mlflow"),
    [
      ...[
        "server",
        "--backend-store-uri",
        "sqlite:///mlflow.db",
        "--artifacts-destination",
        "./artifacts",
      ],
      ...["--host", "127.0.0.1", "--port", String(port)],
    ],
    {
      cwd: home,
      stdio: "ignore",
      detached: true,
      env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true" },
    },
  );
  const url = `http://127.0.0.1:${port}`;
  const stop = () => {
    // Its workers are processes of its group.
    if (child.pid) process.kill(-child.pid);
    rmSync(home, { recursive: true, force: true });
  };
  for (let tries = 0; tries < 600; tries++) {
    const there = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (there) return { url, stop };
    await sleep(500);
  }
  stop();
  throw new Trouble("mlflow server did not start within 5 minutes");
}

async function post({ url, headers }: Server, path: string, json: unknown) {
  const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(json),
  });
  const text = await response.text();
  if (!response.ok) throw new Trouble(`${path}: ${response.status} ${text.slice(0, 300)}`);
  return text ? JSON.parse(text) : {};
}

async function begin(server: Server): Promise<string> {
  const name = `bench ${Date.now()}`;
  const { experiment_id } = await post(server, "experiments/create", { name });
  const { run } = await post(server, "runs/create", { experiment_id, start_time: Date.now() });
  return run.info.run_id;
}

/** A batch of a call: the next steps of 10 metrics. */
const batch = (size: number, call: number) =>
  Array.from({ length: size }, (_, n) => ({
    key: `metric_${n % 10}`,
    value: Math.random(),
    timestamp: Date.now(),
    step: (call * size) / 10 + Math.floor(n / 10),
  }));

const quantile = (times: number[], share: number) =>
  [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ??
  0;

const cases = [
  { size: 10, calls: 400, of: "p95", wanted: 1 },
  { size: 1000, calls: 40, of: "median", wanted: 5 },
] as const;

/** Measures both, and says whether the wanted ratios hold. */
async function compare(ours: Server, theirs: Server): Promise<boolean> {
  let holds = true;
  for (const { size, calls, of, wanted } of cases) {
    const servers = [
      { name: "ledger", server: ours, run: await begin(ours), times: [] as number[] },
      { name: "mlflow server", server: theirs, run: await begin(theirs), times: [] as number[] },
    ];
    for (let call = 0; call < calls; call++)
      for (const { server, run, times } of servers) {
        const json = { run_id: run, metrics: batch(size, call) };
        const began = performance.now();
        await post(server, "runs/log-batch", json);
        // The first calls open connections and load code.
        if (call >= 10) times.push(performance.now() - began);
      }
    const [own, other] = servers.map(({ name, times }) => {
      const figures = { median: quantile(times, 0.5), p95: quantile(times, 0.95) };
      console.log(
        `${String(size).padStart(5)} metrics  ${name.padEnd(14)} median ${figures.median.toFixed(1)} ms, p95 ${figures.p95.toFixed(1)} ms`,
      );
      return figures;
    });
    if (!own || !other) continue;
    const ratio = other[of] / own[of];
    holds &&= ratio >= wanted;
    console.log(
      `               ${of}: ${ratio.toFixed(2)} times as fast (wanted: ${wanted}); median ${(other.median / own.median).toFixed(2)}, p95 ${(other.p95 / own.p95).toFixed(2)}`,
    );
  }
  return holds;
}

if (isMain(import.meta.url))
  await main(async () => {
    const python = trackersPython();
    if (!python) throw new Trouble("TRACKERS_PYTHON must name a Python with mlflow");
    await build();
    const stack = await startStack({ COST_REPORTING: "false" });
    const mlflow = await startMlflow(python);
    try {
      const ours = {
        url: `${stack.url}/mlflow`,
        headers: { Authorization: `Bearer ${stack.admin}` },
      };
      if (!(await compare(ours, { url: mlflow.url, headers: {} }))) process.exitCode = 1;
    } finally {
      mlflow.stop();
      await stack.stop();
    }
  });
