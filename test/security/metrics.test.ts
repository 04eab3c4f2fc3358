// Metrics by name: bounded in number, summed up right however they come, and cheap for the one writer.
import { sql } from "drizzle-orm";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { mergeAll, type StoredBucket, unpackBucket } from "../../src/metrics/buckets.ts";
import { type Point, summarise, type Value } from "../../src/metrics/points.ts";
import { isSystemMetric } from "../../src/shared/system-metrics.ts";
import { costOf, freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let key: string;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const register = async () =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "m" } })).task_id as number;
type Entry = { step: number; metrics: Record<string, Value> };
const beat = async (id: number, seq: number, logs: Entry[]) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt: 1, seq, logs } });
const named = (from: number, count: number, step: number): Entry => ({
  step,
  metrics: Object.fromEntries(Array.from({ length: count }, (_, n) => [`m/${from + n}`, n])),
});
const summaryOf = async (id: number) => {
  const [row] = await ledger.db.all<{ summary: string }>(
    sql`select summary from task_attempt where task_id = ${id}`,
  );
  return JSON.parse(row?.summary ?? "{}");
};

describe("the summary of an attempt", () => {
  // Narrow heartbeats are merged by their statement, wide ones in the Worker.
  it.each([3, 70])("is what its points say, of %i metrics a heartbeat", async (wide) => {
    const value = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.double({ min: -1e300, max: 1e300, noNaN: true }).map((v) => v || 0),
      },
      { weight: 1, arbitrary: fc.constantFrom<Value>("NaN", "Infinity", "-Infinity") },
    );
    const heartbeat = fc.array(
      fc.record({
        step: fc.integer({ min: 0, max: 40 }),
        values: fc.array(value, { minLength: 3, maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(heartbeat, { minLength: 1, maxLength: 5 }), async (beats) => {
        const id = await register();
        const points = new Map<string, Point[]>();
        for (const [n, entries] of beats.entries()) {
          const steps = new Map(entries.map((entry) => [entry.step, entry.values]));
          const logs = [...steps].map(([step, values]) => ({
            step,
            metrics: {
              ...Object.fromEntries(values.map((v, m) => [`v${m}`, v])),
              ...named(0, wide - 3, step).metrics,
            },
          }));
          for (const [step, values] of [...steps].sort((a, b) => a[0] - b[0]))
            for (const [m, v] of values.entries())
              points.set(`v${m}`, [...(points.get(`v${m}`) ?? []), [step, null, null, v]]);
          await beat(id, n + 1, logs);
          // The same again changes nothing.
          await beat(id, n + 1, logs);
        }
        const found = await summaryOf(id);
        for (const [metric, all] of points) {
          const { count, nonfinite_count, min, max, sum } = summarise(all);
          expect(found[metric]).toMatchObject({ count, nonfinite_count });
          expect([found[metric].min?.[3], found[metric].max?.[3]]).toEqual([min?.[3], max?.[3]]);
          const finite = all.flatMap(([, , , v]) => (typeof v === "number" ? [Math.abs(v)] : []));
          const size = finite.reduce((a, b) => a + b, 0);
          expect(Math.abs(found[metric].sum - (sum ?? 0))).toBeLessThanOrEqual(1e-12 * size);
          const last = Math.max(...all.map(([step]) => step));
          expect(found[metric].last).toEqual(all.findLast(([step]) => step === last));
        }
        // The chunks have of each heartbeat what it brought; wide ones fill the first of them.
        const chunks = await ledger.db.all<{ blocks: string }>(
          sql`select blocks from log_chunk where task_id = ${id} order by chunk`,
        );
        const each: Record<string, StoredBucket[]>[] = chunks.flatMap(({ blocks }) =>
          JSON.parse(blocks),
        );
        expect(each).toHaveLength(beats.length);
        for (const [metric, all] of points) {
          const own = each.flatMap((blocks) => (blocks[metric] ?? []).map(unpackBucket));
          expect(own.reduce((sum, { count }) => sum + count, 0)).toBe(all.length);
          expect(mergeAll(own).max?.[3]).toBe(found[metric].max?.[3]);
        }
      }),
      { numRuns: 25 },
    );
  });

  it("has at most 200 figures of the machine, also where each report brings few", async () => {
    const id = await register();
    const part = ["util", "mem_mb", "temp_c", "power_w"];
    let warned = 0;
    for (let seq = 1; seq <= 6; seq++) {
      const figures = Array.from({ length: 60 }, (_, n) => {
        const at = (seq - 1) * 60 + n;
        return [`gpu.${at >> 2}.${part[at % 4]}`, at];
      });
      const { warnings } = await beat(id, seq, [
        { step: seq, metrics: { loss: 1, ...Object.fromEntries(figures) } },
      ]);
      warned += warnings?.length ?? 0;
    }
    const names = Object.keys(await summaryOf(id));
    expect(names.filter(isSystemMetric)).toHaveLength(200);
    expect(warned).toBeGreaterThan(0);
  });

  it("costs a heartbeat of few metrics one round trip, of many a second one to read", async () => {
    const id = await register();
    for (const [seq, count, trips] of [
      [1, 60, 1],
      [2, 60, 1],
      [3, 64, 1],
      [4, 400, 2],
      [5, 400, 2],
      [6, 5, 2],
    ] as const) {
      const response = await ledger.request(`/api/tasks/${id}/heartbeat`, {
        key,
        json: { attempt: 1, seq, logs: [named(0, count, seq)] },
      });
      const cost = costOf(response);
      expect(cost.trips, `trips of ${seq}`).toBeLessThanOrEqual(trips);
      expect(cost.read, `rows read of ${seq}`).toBeLessThanOrEqual(trips === 1 ? 10 : 12);
      expect(cost.written, `rows written of ${seq}`).toBeLessThanOrEqual(5);
    }
    expect(Object.keys(await summaryOf(id))).toHaveLength(400);
  });
});

describe("more metrics than an attempt may have", () => {
  it("are left out and told, and nothing else is lost", async () => {
    const id = await register();
    for (let seq = 1; seq <= 7; seq++) {
      const answer = await beat(id, seq, [
        { step: seq, metrics: { loss: seq, ...named(seq * 90, 90, seq).metrics } },
      ]);
      const room = Math.max(0, Math.min(90, 499 - (seq - 1) * 90));
      if (room === 90) expect(answer.warnings).toBeUndefined();
      else
        expect(answer.warnings).toEqual([
          {
            ...{ code: "too-many-metrics", path: "logs" },
            message: expect.stringContaining(`${90 - room} further names`),
          },
        ]);
    }
    const found = await summaryOf(id);
    expect(Object.keys(found)).toHaveLength(500);
    expect(found.loss.count).toBe(7);
    const { points } = await ledger.call(`/api/tasks/${id}/logs`, { key });
    expect(points.map((p: number[]) => p[3])).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it("also where they come a few at a time", async () => {
    const few = await freshLedger({ MAX_METRICS: "100" });
    const { key } = await few.key();
    const { task_id: id } = await few.call("/api/tasks", { key, json: { task_name: "few" } });
    for (let seq = 1; seq <= 30; seq++)
      await few.call(`/api/tasks/${id}/heartbeat`, {
        key,
        json: { attempt: 1, seq, logs: [named(seq * 10, 10, seq)] },
      });
    const [row] = await few.db.all<{ summary: string }>(sql`select summary from task_attempt`);
    expect(Object.keys(JSON.parse(row?.summary ?? "{}"))).toHaveLength(100);
    const [chunk] = await few.db.all<{ blocks: string }>(sql`select blocks from log_chunk`);
    const each: object[] = JSON.parse(chunk?.blocks ?? "[]");
    const names = each.flatMap((blocks) => Object.keys(blocks));
    expect(new Set(names).size).toBe(100);
  });

  it("leave their place to figures of the machine, which have a bound of their own", async () => {
    const id = await register();
    const figures = (from: number, count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, i) => [
          `gpu.${(from + i) >> 2}.${["util", "mem_mb", "temp_c", "power_w"][i % 4]}`,
          i,
        ]),
      );
    await beat(id, 1, [{ step: 1, metrics: { ...figures(0, 160), "sys.cpu": 1 } }]);
    const full = await beat(id, 2, [named(0, 500, 2)]);
    expect(full.warnings).toBeUndefined();
    const over = await beat(id, 3, [{ step: 3, metrics: { ...figures(160, 60), "one.more": 1 } }]);
    expect(over.warnings[0].message).toContain("22 further names");
    const found = Object.keys(await summaryOf(id));
    expect(found.filter((name) => isSystemMetric(name))).toHaveLength(200);
    expect(found.filter((name) => !isSystemMetric(name))).toHaveLength(500);
  });

  it("hold nobody else's writes up", async () => {
    const id = await register();
    const other = await register();
    const wait = async (seq: number) => {
      const begun = performance.now();
      await beat(other, seq, [{ step: seq, metrics: { loss: 1 } }]);
      return performance.now() - begun;
    };
    const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
    const idle: number[] = [];
    for (let seq = 1; seq <= 9; seq++) idle.push(await wait(seq));
    const busy: number[] = [];
    // Eight heartbeats of 500 new names took 2 to 6 s each, and the last was 500.
    const flood = (async () => {
      for (let seq = 1; seq <= 8; seq++) await beat(id, seq, [named(seq * 500, 500, seq)]);
    })();
    let ended = false;
    void flood.finally(() => {
      ended = true;
    });
    for (let seq = 10; !ended && seq < 500; seq++) busy.push(await wait(seq));
    await flood;
    expect(median(busy)).toBeLessThan(Math.max(100, 10 * median(idle)));
    expect(Math.max(...busy)).toBeLessThan(1500);
  });
});

it("an attempt of which many ranges never came takes those first", async () => {
  const id = await register();
  let status = 200;
  let seq = 1;
  for (; status === 200 && seq < 1000; seq += 2)
    ({ status } = await ledger.request(`/api/tasks/${id}/heartbeat`, {
      key,
      json: { attempt: 1, seq, logs: [{ step: seq, metrics: { loss: 1 } }] },
    }));
  expect([status, seq]).toEqual([422, 405]);
  await beat(id, 2, [{ step: 2, metrics: { loss: 1 } }]);
  await beat(id, seq - 2, [{ step: seq, metrics: { loss: 1 } }]);
});

it("twenty heartbeats of one attempt at a time are each counted once", async () => {
  const id = await register();
  await beat(id, 1, [named(0, 70, 1)]);
  const responses = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      for (let tries = 0; ; tries++) {
        const response = await ledger.request(`/api/tasks/${id}/heartbeat`, {
          key,
          json: { attempt: 1, seq: n + 2, logs: [named(0, 70, n + 2)] },
        });
        if (response.status !== 503 || tries > 20) return response.status;
      }
    }),
  );
  expect(new Set(responses)).toEqual(new Set([200]));
  expect((await summaryOf(id))["m/1"].count).toBe(21);
});
