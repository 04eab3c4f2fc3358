// A night with 50 boxes and 500 queued runs, on the real stack, in a queue of 100,000 more that are for
// other boxes: boxes die, networks are cut and answers lost, at random with a seed, all clocks are
// wrong, and the database is killed once. What really happened is kept here, and compared at the end
// with what the ledger says: each run ends exactly once, none runs twice at the same time beyond a
// lease, none is lost.
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDatabase } from "../scripts/local/database.ts";
import { runScheduled } from "../scripts/local/worker.ts";
import { type Stack, startStack } from "./stack.ts";

const SEED = Number(process.env.SIMULATION_SEED ?? 20261124);
const TASKS = Number(process.env.SIMULATION_TASKS ?? 500);
const AGENTS = 50;
const LEASE_SEC = 3;
const SWEEP_MS = 700;
const BEAT_MS = 500;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    HEARTBEAT_INTERVAL_SEC: "1",
    LOST_AFTER_SEC: String(LEASE_SEC),
    RATE_LIMITS: "false",
  });
});
afterAll(() => stack?.stop());

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
function random(seed: number) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One stretch of time in which a box really trained a task. */
type Stretch = {
  task: number;
  attempt: number;
  box: string;
  from: number;
  to: number;
  /** When the last word that the ledger took was sent. */
  heard: number;
};

const figures = {
  claims: 0,
  deaths: 0,
  cuts: 0,
  lostAnswers: 0,
  toldToStop: 0,
  refusedEnds: 0,
  busy: 0,
  requests: 0,
};
const stretches: Stretch[] = [];
/** Ends that the ledger confirmed, and who claimed what. */
const ends = new Map<number, { attempt: number; status: string; box: string }[]>();
const claimed = new Map<string, string>();
let over = false;

type Answer = { status: number; body: Record<string, unknown> };

class Box {
  readonly id: string;
  readonly #dice: () => number;
  /** How far its clock is off, in ms: up to a day either way. */
  readonly #clock: number;
  /** Until when its network is cut, in ms. */
  #cutUntil = 0;

  constructor(id: string, seed: number) {
    this.id = id;
    this.#dice = random(seed);
    this.#clock = (this.#dice() - 0.5) * 2 * 86_400_000;
  }

  /** One request as a box's network lets it through: null where no answer came. */
  async #once(path: string, json: object): Promise<Answer | null> {
    if (performance.now() < this.#cutUntil) {
      await sleep(100);
      return null;
    }
    figures.requests++;
    let answer: Answer;
    try {
      const response = await fetch(`${stack.url}${path}`, {
        method: "POST",
        headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
        body: JSON.stringify(json),
        signal: AbortSignal.timeout(20_000),
      });
      answer = { status: response.status, body: (await response.json()) as Answer["body"] };
    } catch {
      return null;
    }
    if (answer.status === 503) {
      figures.busy++;
      await sleep(200 + this.#dice() * 400);
      return null;
    }
    if (this.#dice() < 0.04) {
      figures.lostAnswers++;
      return null;
    }
    return answer;
  }

  /** Asks again until there is an answer, as the client does. */
  async #ask(path: string, json: object): Promise<Answer | null> {
    while (!over) {
      const answer = await this.#once(path, json);
      if (answer) return answer;
      await sleep(50 + this.#dice() * 150);
    }
    return null;
  }

  /** Pulls and trains until the night is over, or the box dies: true where it died. */
  async work(): Promise<boolean> {
    while (!over) {
      const answer = await this.#ask("/api/queue/claim", { agent: this.id, labels: ["gpu"] });
      if (!answer) return false;
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      const task = answer.body.task as { id: number } | null;
      if (!task) {
        await sleep(300 + this.#dice() * 500);
        continue;
      }
      const attempt = Number(answer.body.attempt);
      const claim = `${task.id}/${attempt}`;
      // The same slot may get its own again; nobody else may.
      expect(claimed.get(claim) ?? this.id, `who claimed ${claim}`).toBe(this.id);
      if (!claimed.has(claim)) figures.claims++;
      claimed.set(claim, this.id);
      if (await this.#train(task.id, attempt)) return true;
    }
    return false;
  }

  async #train(task: number, attempt: number): Promise<boolean> {
    const now = performance.now();
    const stretch: Stretch = { task, attempt, box: this.id, from: now, to: now, heard: now };
    stretches.push(stretch);
    const beats = 1 + Math.floor(this.#dice() * 9);
    let trained = 0;
    let seq = 0;
    while (trained < beats) {
      // Training goes on whether or not the ledger is in reach.
      await sleep(BEAT_MS * (0.5 + this.#dice()));
      trained++;
      stretch.to = performance.now();
      const fate = this.#dice();
      if (fate < 0.02) {
        figures.deaths++;
        return true;
      }
      if (fate < 0.05) {
        figures.cuts++;
        this.#cutUntil = performance.now() + (1 + this.#dice() * 2.5 * LEASE_SEC) * 1000;
      }
      const body = {
        attempt,
        seq: seq + 1,
        progress: { step: trained },
        logs: [
          {
            step: trained,
            time: new Date(Date.now() + this.#clock).toISOString(),
            metrics: { loss: 1 / trained },
          },
        ],
      };
      const sent = performance.now();
      const told = await this.#once(`/api/tasks/${task}/heartbeat`, body);
      if (told?.status === 409) {
        figures.toldToStop++;
        return false;
      }
      if (told) {
        expect(told.status, JSON.stringify(told.body)).toBe(200);
        seq++;
        stretch.heard = sent;
      }
    }
    const failed = this.#dice() < 0.05;
    const status = failed ? "failed" : "success";
    // Points that did not come through are said before the end, as the client's spool does.
    let revived = false;
    for (;;) {
      const answer = await this.#ask(`/api/tasks/${task}/finish`, {
        attempt,
        status,
        last_seq: seq,
      });
      if (!answer) return false;
      if (answer.status === 200) {
        const known = ends.get(task) ?? [];
        if (!known.some((end) => end.attempt === attempt))
          known.push({ attempt, status, box: this.id });
        ends.set(task, known);
        return false;
      }
      expect(answer.status, JSON.stringify(answer.body)).toBe(409);
      const superseded = JSON.stringify(answer.body).includes("superseded");
      if (superseded || revived) {
        figures.refusedEnds++;
        return false;
      }
      // It may have been taken for lost while it was cut off: a heartbeat revives it.
      revived = true;
      await this.#ask(`/api/tasks/${task}/heartbeat`, { attempt, seq: ++seq, logs: [] });
    }
  }
}

/** Tasks ahead of all others that no box here may pull. */
async function queueForOthers(tasks: number) {
  const db = openDatabase({ url: stack.databaseUrl() });
  try {
    for (let from = 1; from <= tasks; from += 10_000)
      await db.run(sql`
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
        insert into training_task (user_id, task_name, priority, labels, min_gpu_memory_gb, max_attempts, attempt_limit,
          queue_waiting, registration_key, registration_hash)
        select (select min(id) from user), 'for others ' || i, 9, iif(i % 2, '["elsewhere"]', '["gpu","tpu"]'), i % 3, 3, 3,
          0, 'others:' || ${from} || ':' || i, 'h' from n`);
  } finally {
    db.$client.close();
  }
}

it("loses no run, ends each once, and runs none twice beyond a lease", async () => {
  const dice = random(SEED);
  const register = async (n: number): Promise<number> => {
    const answer = await stack.api("/api/tasks", {
      task_name: `night ${n}`,
      experiment_group: `night ${n % 7}`,
      queue: { labels: n % 3 ? [] : ["gpu"], priority: n % 5, max_attempts: 6 },
    });
    return answer.task_id;
  };
  const ids: number[] = [];
  for (let n = 0; n < TASKS; n += 10)
    ids.push(...(await Promise.all(Array.from({ length: 10 }, (_, i) => register(n + i)))));

  await queueForOthers(100_000);

  const begun = performance.now();
  const faults: unknown[] = [];
  // The platform's cron; here as often as the leases are short.
  const sweeping = (async () => {
    while (!over) {
      await runScheduled(stack.url);
      await sleep(SWEEP_MS);
    }
  })();
  const place = async (n: number) => {
    for (let life = 0; !over; life++) {
      const died = await new Box(`box ${n}.${life}`, Math.floor(dice() * 2 ** 32)).work();
      // A renter notices and rents another one.
      if (died) await sleep(1000 + dice() * 3000);
    }
  };
  const places = Array.from({ length: AGENTS }, (_, n) =>
    place(n).catch((error) => {
      faults.push(error);
      over = true;
    }),
  );
  const open = async () => {
    const filter = encodeURIComponent("experiment_group like 'night %'");
    let left = 0;
    for (const status of ["pending", "running"])
      left += (await stack.api(`/api/tasks?status=${status}&limit=200&filter=${filter}`)).items
        .length;
    return left;
  };
  const killing = (async () => {
    await sleep(8000);
    stack.killDatabase();
    await sleep(2000);
    await stack.reviveDatabase();
  })();
  const deadline = performance.now() + 180_000;
  // While the database is away nobody can tell how many are left.
  const left = async () => open().catch(() => Number.POSITIVE_INFINITY);
  // The ledger is asked once about all can be at an end: a look at 100,000 tasks keeps the boxes waiting.
  const goesOn = async () => ends.size < TASKS * 0.9 || (await left()) > 0;
  while (!over && performance.now() < deadline && (await goesOn())) await sleep(1000);
  const unended = await open();
  const seconds = (performance.now() - begun) / 1000;
  // Boxes that were cut off at the last moment still come back to be told.
  await sleep(2000);
  over = true;
  await Promise.all([...places, sweeping, killing]);
  expect(faults).toEqual([]);
  expect(unended, "tasks without an end").toBe(0);

  const byTask = new Map<number, Stretch[]>();
  for (const stretch of stretches)
    byTask.set(stretch.task, [...(byTask.get(stretch.task) ?? []), stretch]);
  let overlap = 0;
  for (const all of byTask.values())
    for (const [n, one] of all.entries())
      for (const other of all.slice(n + 1))
        if (one.attempt !== other.attempt)
          overlap = Math.max(overlap, Math.min(one.to, other.to) - Math.max(one.from, other.from));

  const statuses: Record<string, number> = {};
  let retried = 0;
  for (let n = 0; n < ids.length; n += 20)
    await Promise.all(
      ids.slice(n, n + 20).map(async (id) => {
        const task = await stack.api(`/api/tasks/${id}`);
        const how = task.failure_reason === "lost" ? "failed (lost)" : task.status;
        statuses[how] = (statuses[how] ?? 0) + 1;
        if (task.attempt > 1) retried++;
        const confirmed = ends.get(id) ?? [];
        // What a box was told of its end is what stands: no later one overwrote it.
        for (const end of confirmed) {
          expect({ id, attempt: task.attempt, status: task.status }).toEqual({
            id,
            attempt: end.attempt,
            status: end.status,
          });
        }
        expect(confirmed.length, `ends of task ${id}`).toBeLessThanOrEqual(1);
        // An end whose answer was lost for good is nobody's but the last attempt's.
        const attempts = task.attempts as { attempt: number; status: string }[];
        expect(attempts.filter((a) => a.status === "running")).toEqual([]);
        expect(attempts.filter((a) => a.status === "success").length).toBeLessThanOrEqual(1);
      }),
    );
  console.log(
    `seed ${SEED}: ${TASKS} tasks among 100,500 in the queue, ${AGENTS} boxes, the database killed once, ${seconds.toFixed(0)} s, ${figures.requests} requests (${figures.busy} told to come again); ` +
      `${figures.claims} claims, ${figures.deaths} deaths, ${figures.cuts} cuts, ${figures.lostAnswers} lost answers; ` +
      `${figures.toldToStop} late boxes told to stop, ${figures.refusedEnds} late ends refused; ${retried} tasks tried again; ` +
      `longest overlap of two attempts ${(Math.max(0, overlap) / 1000).toFixed(1)} s (lease ${LEASE_SEC} s); ends: ${JSON.stringify(statuses)}`,
  );
  expect(Object.values(statuses).reduce((a, b) => a + b, 0)).toBe(TASKS);
  // A box that is cut off trains on until it hears of it. Nobody else may begin before its lease, which
  // each heartbeat renews, has run out.
  for (const all of byTask.values())
    for (const one of all)
      for (const other of all)
        if (other.attempt === one.attempt + 1)
          expect(
            other.from - one.heard,
            `task ${one.task}: attempt ${other.attempt} begun after the last word of the one before, ms`,
          ).toBeGreaterThan(LEASE_SEC * 1000 * 0.95);
}, 300_000);
