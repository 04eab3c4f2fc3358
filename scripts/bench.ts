/**
 * `npm run bench`: what each route costs with 1,000, 100,000 and 1,000,000 tasks and 100 log points
 * a task, on a real sqld and the Worker under `wrangler dev`. Prints a table of round trips, rows
 * read and written (the most of all calls) and times (median and p99), and ends with 1 where a
 * budget of the contract does not hold. Other sizes: `npm run bench -- --sizes 1000,20000`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { commandLine } from "../src/audit/audit.ts";
import { ensureUser, makeKey } from "../src/auth/keys.ts";
import { roleScopes } from "../src/auth/scopes.ts";
import { seedLongRun, seedTasks } from "../test/seed.ts";
import { type Held, type Measured, type Rows, routes } from "./bench/routes.ts";
import { build } from "./build.ts";
import { openDatabase } from "./local/database.ts";
import { Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";
import { startSqld } from "./local/sqld.ts";
import { startWorker } from "./local/worker.ts";
import { migrate } from "./migrate.ts";

type Figures = Rows & { median: number; p99: number };

const JWT_SECRET = "a secret for a benchmark on one machine";

const sizeOf = (text: string) => {
  const sizes = text.split(",").map(Number);
  if (sizes.some((size) => !Number.isInteger(size) || size < 100))
    throw new Trouble("--sizes takes whole numbers from 100, with commas: 1000,100000");
  return sizes.sort((a, b) => a - b);
};

/** A caller whose key was looked up less than 30 seconds ago, as the budgets suppose. */
function caller(url: string, makeFreshKey: () => Promise<string>) {
  let key = "";
  let checkedAt = Number.NEGATIVE_INFINITY;
  const send = (path: string, method: string, body?: string) =>
    fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body,
      redirect: "manual",
    });
  return async (path: string, method = "GET", body?: unknown) => {
    if (performance.now() - checkedAt > 20_000) {
      key = await makeFreshKey();
      await (await send("/api/me", "GET")).arrayBuffer();
      checkedAt = performance.now();
    }
    const from = performance.now();
    const response = await send(path, method, body === undefined ? body : JSON.stringify(body));
    const text = await response.text();
    return { response, text, ms: performance.now() - from };
  };
}
type Call = ReturnType<typeof caller>;

/** Calls one route many times; the rows are the most that any call took. */
async function measure(call: Call, what: Measured, held: Held): Promise<Figures> {
  const times: number[] = [];
  const most = { trips: 0, read: 0, written: 0 };
  for (let n = 0; n < (what.times ?? 40); n++) {
    const path = (await what.path?.(held)) ?? what.route;
    const { response, text, ms } = await call(path, what.method, what.body?.(held));
    if (response.status >= 400) throw new Trouble(`${what.name}: ${response.status} ${text}`);
    times.push(ms);
    const [, ...counts] =
      response.headers.get("Server-Timing")?.match(/trips=(\d+) read=(\d+) written=(\d+)/) ?? [];
    const [trips = 0, read = 0, written = 0] = counts.map(Number);
    most.trips = Math.max(most.trips, trips);
    most.read = Math.max(most.read, read);
    most.written = Math.max(most.written, written);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  return { ...most, median: at(0.5) ?? 0, p99: at(0.99) ?? 0 };
}

const count = (n: number) => n.toLocaleString("en-US");
const holds = ({ trips, read, written }: Figures, budget: Rows | undefined) =>
  !budget || (trips <= budget.trips && read <= budget.read && written <= budget.written);

/** One line of the table for each route and each size. */
function table(sizes: number[], results: Map<Measured, Figures[]>): string[] {
  const lines = [
    "| call | tasks | round trips | rows read | rows written | median ms | p99 ms | budget |",
    "|---|---:|---:|---:|---:|---:|---:|---|",
  ];
  for (const [{ name, budget }, figures] of results)
    for (const [n, f] of figures.entries())
      lines.push(
        `| ${n === 0 ? name : ""} | ${count(sizes[n] ?? 0)} | ${f.trips} | ${count(f.read)} | ${count(f.written)} | ${f.median.toFixed(1)} | ${f.p99.toFixed(1)} | ${
          budget
            ? holds(f, budget)
              ? "holds"
              : `**over** ${budget.trips} / ${count(budget.read)} / ${budget.written}`
            : ""
        } |`,
      );
  return lines;
}

if (isMain(import.meta.url))
  await main(async () => {
    const { values } = parseArgs({
      options: {
        sizes: { type: "string", default: "1000,100000,1000000" },
        points: { type: "string", default: "104" },
        only: { type: "string" },
      },
    });
    const sizes = sizeOf(values.sizes);
    const wanted = routes.filter((r) => !values.only || r.name.includes(values.only));
    await build();
    const home = mkdtempSync(join(tmpdir(), "lora-ledger-bench-"));
    const sqld = await startSqld({ dataDir: join(home, "sqld") });
    const ended: (() => unknown)[] = [
      () => sqld.stop(),
      () => rmSync(home, { recursive: true, force: true }),
    ];
    try {
      await migrate(sqld.url);
      const worker = await startWorker({
        databaseUrl: sqld.url,
        jwtSecret: JWT_SECRET,
        persistDir: join(home, "worker"),
        vars: { COST_REPORTING: "true", RATE_LIMITS: "false" },
      });
      ended.unshift(() => worker.stop());
      const db = openDatabase({ url: sqld.url });
      ended.unshift(() => db.$client.close());
      const users = await Promise.all(
        Array.from({ length: 20 }, (_, n) => ensureUser(db, commandLine, `user ${n}`, "member")),
      );
      const admin = await ensureUser(db, commandLine, "bench", "admin");
      const call = caller(worker.url, async () => {
        const input = { userId: admin.id, name: "bench", scopes: roleScopes.admin, days: null };
        return (await makeKey(db, { JWT_SECRET }, commandLine, input)).key;
      });
      const register = async (): Promise<number> =>
        JSON.parse((await call("/api/tasks", "POST", { task_name: "measured" })).text).task_id;
      const results = new Map<Measured, Figures[]>(wanted.map((what) => [what, []]));
      const long = await seedLongRun(db, users[0]?.id ?? 1, 1_000_000);
      for (const size of sizes) {
        const from = performance.now();
        await seedTasks(db, {
          total: size,
          userIds: users.map((user) => user.id),
          points: Number(values.points),
          progress: (tasks) =>
            process.stderr.write(`\r  seeding  ${count(tasks)} of ${count(size)} tasks`),
        });
        process.stderr.write(` (${((performance.now() - from) / 1000).toFixed(0)} s)\n`);
        let number = 0;
        const [{ id = 1 } = {}] = await db.all<{ id: number }>(
          sql`select max(id) as id from training_task where status = 'success' and deleted_at is null`,
        );
        const ledger: Held = {
          running: await register(),
          long,
          ended: id,
          user: users[3]?.name ?? "",
          next: () => ++number,
          task: register,
        };
        for (const what of wanted) {
          process.stderr.write(`\r  measuring ${what.name.padEnd(60)}`);
          results.get(what)?.push(await measure(call, what, ledger));
        }
        process.stderr.write(`\r${"".padEnd(75)}\r`);
      }
      console.log(table(sizes, results).join("\n"));
      const over = wanted.filter(
        (what) => what.budget && results.get(what)?.some((f) => !holds(f, what.budget)),
      );
      if (over.length) {
        console.log(`\nOver their budget: ${over.map((what) => what.name).join("; ")}`);
        process.exitCode = 1;
      }
    } finally {
      for (const end of ended) await end();
    }
  });
