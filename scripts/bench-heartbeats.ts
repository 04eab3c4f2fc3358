/**
 * `node scripts/run.mjs bench-heartbeats`: what heartbeats cost the one writer over a long run, on a real sqld
 * and the Worker in a local workerd: 60 steps of 5 and of 100 metrics each, one behind the other. Prints a
 * table: ms a heartbeat (median, p99, and the median of the last tenth over that of the first), CPU of sqld and
 * of the Worker, bytes that sqld hands to its files and sockets (mostly its log), rows written by the answers and
 * by what comes behind them. The first line is the least that a request takes which asks the database one thing.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { commandLine } from "../src/platform/audit/audit.ts";
import { ensureUser, makeKey } from "../src/platform/auth/keys.ts";
import { roleScopes } from "../src/shared/scopes.ts";
import { build } from "./build.ts";
import { openDatabase } from "./local/database.ts";
import { isMain, main } from "./local/say.ts";
import { startSqld } from "./local/sqld.ts";
import { startWorker } from "./local/worker.ts";
import { migrate } from "./migrate.ts";

const JWT_SECRET = "a secret for a benchmark on one machine";
const STEPS = 60;
/** 8 hours of a heartbeat every 30 s. */
const CASES = [
  { metrics: 5, heartbeats: 960 },
  { metrics: 100, heartbeats: 240 },
];

/** Requests that find the least time of one. */
const ASKED = 300;

/** CPU seconds of a process and its children, and bytes that it wrote, on Linux. */
function useOf(pid: number) {
  const stat = (id: string) => {
    const fields = readFileSync(`/proc/${id}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return { parent: Number(fields[1]), cpu: (Number(fields[11]) + Number(fields[12])) / 100 };
  };
  const parents = new Map<number, number>();
  const cpu = new Map<number, number>();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const found = stat(id);
      parents.set(Number(id), found.parent);
      cpu.set(Number(id), found.cpu);
    } catch {
      // It has just ended.
    }
  const isOurs = (id: number): boolean => id === pid || (id > 1 && isOurs(parents.get(id) ?? 0));
  const ours = [...cpu].filter(([id]) => isOurs(id));
  const writtenBy = (id: number) =>
    Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${id}/io`, "utf8"))?.[1]);
  return {
    seconds: ours.reduce((sum, [, n]) => sum + n, 0),
    written: ours.reduce((sum, [id]) => sum + writtenBy(id), 0),
  };
}

const at = (times: number[], share: number) =>
  [...times].sort((a, b) => a - b)[Math.floor((times.length - 1) * share)] ?? 0;

if (isMain(import.meta.url))
  await main(async () => {
    await build();
    const home = mkdtempSync(join(tmpdir(), "lora-ledger-bench-"));
    const sqld = await startSqld({ dataDir: join(home, "sqld") });
    try {
      await migrate(sqld.url);
      const worker = await startWorker({
        ...{ databaseUrl: sqld.url, jwtSecret: JWT_SECRET, persistDir: join(home, "worker") },
        vars: { COST_REPORTING: "true", RATE_LIMITS: "false" },
      });
      try {
        const db = openDatabase({ url: sqld.url });
        const user = await ensureUser(db, commandLine, "bench", "member");
        const { key } = await makeKey(db, { JWT_SECRET } as never, commandLine, {
          ...{ userId: user.id, name: "bench", scopes: roleScopes.member, days: null },
        });
        const send = async (path: string, json: unknown) => {
          const answer = await fetch(worker.url + path, {
            method: "POST",
            headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
            body: JSON.stringify(json),
          });
          const text = await answer.text();
          if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
          const cost = answer.headers.get("Server-Timing") ?? "";
          return { body: JSON.parse(text), written: Number(/written=(\d+)/.exec(cost)?.[1]) };
        };
        const floor: number[] = [];
        for (let n = 0; n < ASKED; n++) {
          const begun = performance.now();
          const answer = await fetch(`${worker.url}/api/tasks/1000000`, {
            headers: { Authorization: `Bearer ${key}` },
          });
          await answer.body?.cancel();
          floor.push(performance.now() - begun);
        }
        console.log(JSON.stringify({ one_question_ms: Number(at(floor, 0.5).toFixed(1)) }));
        for (const { metrics, heartbeats } of CASES) {
          const { task_id: id } = (await send("/api/tasks", { task_name: `${metrics} metrics` }))
            .body;
          const times: number[] = [];
          let rows = 0;
          const before = [useOf(sqld.pid), useOf(worker.pid)] as const;
          for (let seq = 1; seq <= heartbeats; seq++) {
            const logs = Array.from({ length: STEPS }, (_, n) => ({
              step: (seq - 1) * STEPS + n + 1,
              epoch: 1,
              time: new Date(Date.UTC(2026, 0, 1) + seq * 30_000 + n * 500).toISOString(),
              metrics: Object.fromEntries(
                Array.from({ length: metrics }, (_, m) => [
                  `metric/${m}`,
                  0.1 + ((seq + n + m) % 97) / 1000,
                ]),
              ),
            }));
            const begun = performance.now();
            rows += (await send(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq, logs })).written;
            times.push(performance.now() - begun);
          }
          const after = [useOf(sqld.pid), useOf(worker.pid)] as const;
          const tenth = Math.floor(heartbeats / 10);
          const [found] = await db.all<{ chunks: number }>(
            sql`select count(*) as chunks from log_chunk where task_id = ${id}`,
          );
          console.log(
            JSON.stringify({
              metrics,
              heartbeats,
              median_ms: Number(at(times, 0.5).toFixed(1)),
              p99_ms: Number(at(times, 0.99).toFixed(1)),
              last_over_first: Number(
                (at(times.slice(-tenth), 0.5) / at(times.slice(0, tenth), 0.5)).toFixed(2),
              ),
              sqld_cpu_ms: Number(
                (((after[0].seconds - before[0].seconds) * 1000) / heartbeats).toFixed(2),
              ),
              worker_cpu_ms: Number(
                (((after[1].seconds - before[1].seconds) * 1000) / heartbeats).toFixed(2),
              ),
              written_kb: Number(
                ((after[0].written - before[0].written) / 1000 / heartbeats).toFixed(1),
              ),
              rows_answered: Number((rows / heartbeats).toFixed(2)),
              chunks: found?.chunks,
            }),
          );
        }
      } finally {
        await worker.stop();
      }
    } finally {
      await sqld.stop();
      rmSync(home, { recursive: true, force: true });
    }
  });
