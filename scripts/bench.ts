/**
 * `npm run bench`: what each route costs with 1,000, 100,000 and 1,000,000 tasks and 100 log points
 * a task, on a real sqld and the Worker in a local workerd. Prints a table of round trips, rows
 * read and written (the most of all calls) and times (median and p99), at each size where they
 * differ, and ends with 1 where a budget of the contract does not hold. Other sizes: `npm run bench -- --sizes 1000,20000`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { commandLine } from "../src/platform/audit/audit.ts";
import { ensureUser, makeKey } from "../src/platform/auth/keys.ts";
import { roleScopes } from "../src/shared/scopes.ts";
import { rowsOf } from "../test/route-table.ts";
import { seedLongRun, seedTasks } from "../test/seed.ts";
import { localBucket } from "./backup/local-bucket.ts";
import {
  type Asked,
  type Held,
  type Measured,
  otherRoutes,
  type Rows,
  routes,
} from "./bench/routes.ts";
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
function caller(url: string, makeFreshKey: () => Promise<{ key: string; keyId: number }>) {
  let current = { key: "", keyId: 0 };
  let checkedAt = Number.NEGATIVE_INFINITY;
  const send = ({ path, json, ...init }: Asked) =>
    fetch(url + path, {
      ...init,
      headers: {
        ...(json !== undefined && { "Content-Type": "application/json" }),
        ...Object.fromEntries(new Headers(init.headers)),
        Authorization: `Bearer ${current.key}`,
      },
      body: json === undefined ? init.body : JSON.stringify(json),
      redirect: "manual",
    });
  /** Sees to it that the key was looked up within the last 20 seconds; gives its id. */
  async function ready() {
    if (performance.now() - checkedAt > 20_000) {
      current = await makeFreshKey();
      await (await send({ path: "/api/me" })).arrayBuffer();
      checkedAt = performance.now();
    }
    return current.keyId;
  }
  return {
    ready,
    async call(asked: Asked) {
      const from = performance.now();
      const response = await send(asked);
      const text = await response.text();
      return { response, text, ms: performance.now() - from };
    },
  };
}
type Caller = ReturnType<typeof caller>;

/** Calls one route many times; the rows are the most that any call took. */
async function measure({ call, ready }: Caller, what: Measured, held: Held): Promise<Figures> {
  const times: number[] = [];
  const most = { trips: 0, read: 0, written: 0 };
  for (let n = 0; n < (what.times ?? 40); n++) {
    await ready();
    const { ask, path, body, method, route } = what;
    const asked = ask
      ? await ask(held)
      : { path: (await path?.(held)) ?? route, method, json: body?.(held) };
    const { response, text, ms } = await call(asked);
    if (response.status >= 400) throw new Trouble(`${response.status} ${text}`);
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

/** A figure at each size; once where they are all the same. */
const each = (figures: Figures[], of: (f: Figures) => string) => {
  const shown = figures.map(of);
  return new Set(shown).size === 1 ? shown[0] : shown.join(" · ");
};

/** One line of the table for each call, its figures at the sizes from the smallest to the largest. */
function table(sizes: number[], results: Map<Measured, Figures[]>): string[] {
  const at = sizes.map(count).join(" · ");
  return [
    `| call | round trips | rows read | rows written | median ms at ${at} tasks | p99 ms |`,
    "|---|---|---|---|---|---|",
    ...[...results].map(([{ name, budget }, figures]) => {
      const over = figures.some((f) => !holds(f, budget)) ? " **over its budget**" : "";
      const cells = [
        each(figures, (f) => count(f.trips)),
        each(figures, (f) => count(f.read)),
        each(figures, (f) => count(f.written)),
        figures.map((f) => f.median.toFixed(0)).join(" · "),
        figures.map((f) => f.p99.toFixed(0)).join(" · "),
      ];
      return `| ${name}${over} | ${cells.join(" | ")} |`;
    }),
  ];
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
    const wanted = [...routes, ...otherRoutes].filter(
      ({ name }) => !values.only || name.includes(values.only),
    );
    await build();
    const home = mkdtempSync(join(tmpdir(), "lora-ledger-bench-"));
    const sqld = await startSqld({ dataDir: join(home, "sqld"), oneWriter: true });
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
        vars: { COST_REPORTING: "true", RATE_LIMITS: "false", ALLOW_INSIDE_WEBHOOKS: "true" },
      });
      ended.unshift(() => worker.stop());
      const db = openDatabase({ url: sqld.url });
      ended.unshift(() => db.$client.close());
      const users = await Promise.all(
        Array.from({ length: 20 }, (_, n) => ensureUser(db, commandLine, `user ${n}`, "member")),
      );
      const admin = await ensureUser(db, commandLine, "bench", "admin");
      let keyId = 0;
      const asking = caller(worker.url, async () => {
        const input = { userId: admin.id, name: "bench", scopes: roleScopes.admin, days: 30 };
        const { key, row } = await makeKey(db, { JWT_SECRET }, commandLine, input);
        keyId = row.id;
        return { key, keyId };
      });
      const register = async (): Promise<number> => {
        await asking.ready();
        const json = { task_name: "measured" };
        const { text } = await asking.call({ path: "/api/tasks", method: "POST", json });
        return JSON.parse(text).task_id;
      };
      // The same bucket as the Worker's, for rows whose bytes must really be there.
      const bucket = await localBucket(join(home, "worker/state"));
      ended.unshift(() => bucket.close());
      const BUCKET = {
        put(key: string, text: string) {
          const bytes = new TextEncoder().encode(text);
          return bucket.write(key, [bytes.buffer as ArrayBuffer], bytes.length);
        },
      };
      const faults: string[] = [];
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
          rows: (whose) =>
            rowsOf(
              { db, bindings: { BUCKET } },
              whose === "own"
                ? { userId: admin.id, keyId }
                : { userId: users[0]?.id ?? 1, keyId: 0 },
            ),
        };
        for (const what of wanted) {
          process.stderr.write(`\r  measuring ${what.name.padEnd(60)}`);
          try {
            results.get(what)?.push(await measure(asking, what, ledger));
          } catch (error) {
            // One route's fault must not cost the figures of all the others.
            const why = error instanceof Error ? error.message : String(error);
            faults.push(`${what.name}: ${why} (with ${count(size)} tasks)`);
          }
        }
        process.stderr.write(`\r${"".padEnd(75)}\r`);
      }
      console.log(table(sizes, results).join("\n"));
      for (const fault of faults) console.log(`\nNot measured: ${fault}`);
      const over = wanted.filter(
        (what) => what.budget && results.get(what)?.some((f) => !holds(f, what.budget)),
      );
      if (over.length)
        console.log(`\nOver their budget: ${over.map((what) => what.name).join("; ")}`);
      process.exitCode = over.length || faults.length ? 1 : 0;
    } finally {
      for (const end of ended) await end();
    }
  });
