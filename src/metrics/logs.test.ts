import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { settleLogs } from "../runs/settle-logs.ts";
import { bucketOf } from "./buckets.ts";
import { toSegment, type Value } from "./points.ts";
import { bestOf, convergenceStepOf, finalLossOf, type Mean, settle, smoothed } from "./settle.ts";

describe("a heartbeat's points", () => {
  it("become one segment by step, entries of one step merged, the later word winning", () => {
    const segment = toSegment([
      { step: 2, metrics: { loss: 2 } },
      { step: 1, epoch: 1, metrics: { loss: 1, lr: 0.1 } },
      { step: 2, time: "2026-01-01T00:00:00Z", metrics: { loss: 3, extra: "NaN" } },
    ]);
    expect(segment).toEqual({
      metrics: ["loss", "lr", "extra"],
      rows: [
        [1, 1, null, 1, 0.1],
        [2, null, 1_767_225_600_000, 3, null, "NaN"],
      ],
    });
  });
});

const means = (values: number[]): Mean[] =>
  values.map((value, step) => ({ step, value, weight: 1 }));

const buckets = (values: Value[]) =>
  values.map((value, step) => bucketOf([step, null, null, value]));

/** Numbers from 0 to 1 that fill it evenly, in no order. */
const even = (n: number) => (n * 0.618_033_988_749_895) % 1;
/** A skewed loss with the mean 0.11: most values are low, few are high. */
const skewed = (n: number) => -0.11 * Math.log(1 - even(n + 1));

describe("the final loss", () => {
  it("is the median of the means of the last tenth", () => {
    expect(finalLossOf(buckets(Array.from({ length: 50 }, (_, i) => i)))).toBe(47);
    expect(finalLossOf(buckets([0, 1, 2, 3, 4]))).toBe(4);
    expect(finalLossOf([])).toBeNull();
    expect(finalLossOf(buckets(Array.from({ length: 5000 }, (_, i) => i)))).toBe(4749.5);
  });

  it("is none where the last tenth holds no number, and else of the numbers in it", () => {
    const lost = Array.from({ length: 200 }, (_, i): Value => (i < 120 ? 0.1 : "NaN"));
    expect(finalLossOf(buckets(lost))).toBeNull();
    expect(finalLossOf(buckets(lost.with(195, 0.3)))).toBe(0.3);
  });

  it.each([1000, 20_000, 1_000_000])("is the same of the same losses at %i steps", (steps) => {
    const each = Math.max(1, steps / 1000);
    const stretches = Array.from({ length: steps / each }, (_, n) => {
      const step = (n + 1) * each;
      let sum = 0;
      for (let i = 0; i < each; i++) sum += skewed(n * each + i);
      return { ...bucketOf([step, null, null, 0]), first: step - each + 1, count: each, sum };
    });
    expect(Math.abs((finalLossOf(stretches) ?? 0) / 0.11 - 1)).toBeLessThan(0.15);
  });

  it("moves by less than 1 % for one spike", () => {
    const calm = Array.from({ length: 2000 }, (_, n) => 0.09 + 0.02 * even(n));
    const spiky = calm.with(1950, 90);
    const [before, after] = [calm, spiky].map((values) => finalLossOf(buckets(values)) ?? 0);
    expect(Math.abs((after ?? 0) / (before ?? 1) - 1)).toBeLessThan(0.01);
  });
});

describe("the step from which a loss is lost", () => {
  const settled = (values: Value[], whole: boolean) => {
    const rows = values.map((value, n): [number, null, null, Value] => [n, null, null, value]);
    const numbers = { attempt: 1, points: rows.length, firstStep: 0, received: 1 };
    const attempts = [{ ...numbers, overlap: false, summaries: {} }];
    const raw = [{ attempt: 1, segments: [{ a: 1, q: 1, m: ["loss"], p: rows }] }];
    return settle({ attempts, outlines: [], raw, whole }).nonfiniteFromStep;
  };

  it("is known where the whole run was read, and left alone else", () => {
    expect(settled([1, "NaN", 1, "Infinity"], true)).toBe(1);
    expect(settled([1, 1], true)).toBeNull();
    expect(settled([1, "NaN"], false)).toBeUndefined();
  });
});

describe("the smoothed curve", () => {
  it("has a window of a twentieth of the run's steps behind each of its points", () => {
    const curve = smoothed(means(Array.from({ length: 201 }, (_, i) => i)));
    expect([curve[0], curve.length]).toEqual([{ step: 10, value: 5, weight: 11 }, 191]);
    expect(bestOf(curve)).toMatchObject({ step: 10, value: 5 });
    expect([smoothed([]), bestOf([])]).toEqual([[], null]);
  });

  it("forgets what was beyond all measure", () => {
    const curve = smoothed(means(Array.from({ length: 400 }, (_, i) => (i === 100 ? 1e30 : 0.1))));
    expect(curve.at(-1)?.value).toBeCloseTo(0.1, 12);
    const huge = smoothed(means(Array.from({ length: 400 }, () => 1.7e308)));
    expect(huge.every(({ value }) => Number.isFinite(value))).toBe(true);
  });

  it("converges where it first comes within 5 % of its last value", () => {
    const falls = Array.from({ length: 1000 }, (_, i) => (i < 500 ? 10 - i / 60 : 1));
    const step = convergenceStepOf(smoothed(means(falls))) ?? 0;
    expect(step).toBeGreaterThanOrEqual(500);
    expect(step).toBeLessThanOrEqual(555);
    expect(convergenceStepOf([])).toBeNull();
  });

  it("converges nowhere where it diverges, and does in a calm one that is rough", () => {
    const explodes = Array.from({ length: 1000 }, (_, i) => (i < 700 ? 0.1 : 0.38));
    expect(convergenceStepOf(smoothed(means(explodes)))).toBeNull();
    const rough = Array.from({ length: 1000 }, (_, n) => skewed(n));
    expect(convergenceStepOf(smoothed(means(rough)))).not.toBeNull();
  });
});

describe("a live curve", () => {
  it("gives only what is new, also what filled a gap, and tells of a later attempt", async () => {
    const ledger = await freshLedger();
    const { key } = await ledger.key();
    const { task_id: id } = await ledger.call("/api/tasks", { key, json: { task_name: "live" } });
    const beat = (seq: number, steps: number[], attempt = 1) =>
      ledger.call(`/api/tasks/${id}/heartbeat`, {
        key,
        json: { attempt, seq, logs: steps.map((step) => ({ step, metrics: { loss: step } })) },
      });
    const get = (since?: string) =>
      ledger.call(`/api/tasks/${id}/logs${since ? `?since=${since}` : ""}`, { key });
    const steps = (answer: { points: number[][] }) => answer.points.map((p) => p[0]);
    const empty = await get();
    expect(empty).toMatchObject({ total: 0, points: [], next_since: "0.0" });
    await beat(1, [1, 2]);
    const first = await get(empty.next_since);
    expect(steps(first)).toEqual([1, 2]);
    await beat(3, [5, 6]);
    const second = await get(first.next_since);
    expect(steps(second)).toEqual([5, 6]);
    await beat(2, [3, 4]);
    const third = await get(second.next_since);
    expect(steps(third)).toEqual([3, 4]);
    expect(steps(await get(third.next_since))).toEqual([]);
    await ledger.call(`/api/tasks/${id}/attempts`, { key, json: { from_step: 4 } });
    await beat(1, [5, 6, 7], 2);
    const fourth = await get(third.next_since);
    expect(fourth.replaces_from).toBe(5);
    expect(steps(fourth)).toEqual([5, 6, 7]);
    expect(steps(await get())).toEqual([1, 2, 3, 4, 5, 6, 7]);
    await ledger.call(`/api/tasks/${id}/logs?since=x`, { key }, 422);
    await ledger.call(`/api/tasks/${id}/logs?attempt=9`, { key }, 404);
  });
});

describe("a run of 1,000,000 points", () => {
  const HEARTBEATS = 1000;
  const EACH = 1000;
  const SPIKE = 654_321;
  const loss = (step: number) =>
    step === SPIKE ? 50 : 0.1 + 2 * Math.exp(-step / 100_000) + 0.01 * Math.sin(step);
  const meanOf = (from: number, to: number) => {
    let sum = 0;
    for (let step = from; step <= to; step++) sum += loss(step);
    return sum / (to - from + 1);
  };
  let ledger: Ledger;
  let key: string;
  let id: number;

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key());
    ({ task_id: id } = await ledger.call("/api/tasks", { key, json: { task_name: "long" } }));
    for (let seq = 1; seq <= HEARTBEATS; seq++) {
      const logs = Array.from({ length: EACH }, (_, i) => {
        const step = (seq - 1) * EACH + i + 1;
        return { step, epoch: Math.floor(step / 10_000), metrics: { loss: loss(step), lr: 1e-4 } };
      });
      await ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt: 1, seq, logs } });
    }
  }, 400_000);

  it("shows 1,000 points of its curve in one trip and at most 2,100 rows, peaks and all", async () => {
    const response = await ledger.request(`/api/tasks/${id}/logs?metric=loss&max_points=1000`, {
      key,
    });
    const cost = costOf(response);
    const { points, total, first_step, high, count } = (await response.json()) as {
      points: [number, number, string, number][];
      total: number;
      first_step: number[];
      high: number[];
      count: number[];
    };
    expect(cost.trips).toBe(1);
    expect(cost.read).toBeLessThanOrEqual(2100);
    expect(total).toBe(1_000_000);
    expect(points.length).toBeGreaterThan(700);
    expect(points.length).toBeLessThanOrEqual(1000);
    expect(Math.max(...high)).toBe(50);
    expect(count.reduce((sum, n) => sum + n, 0)).toBe(1_000_000);
    expect(points.at(-1)?.[0]).toBe(1_000_000);
    for (const [n, [step, , , value]] of points.entries()) {
      const mean = meanOf(first_step[n] ?? 0, step);
      expect(Math.abs(value / mean - 1), `steps ${first_step[n]} to ${step}`).toBeLessThan(1e-9);
    }
    const peaks = await ledger.call(`/api/tasks/${id}/logs?max_points=1000&thin=extremes`, { key });
    expect(peaks.points.length).toBeLessThanOrEqual(1000);
    expect(peaks.points.find((p: number[]) => p[0] === SPIKE)?.[3]).toBe(50);
    await ledger.call(`/api/tasks/${id}/logs?thin=raw`, { key }, 422);
  });

  it("shows a part in its detail: every point of a short one, peaks of a long one", async () => {
    const part = async (query: string) => {
      const response = await ledger.request(`/api/tasks/${id}/logs?${query}`, { key });
      const cost = costOf(response);
      expect(cost.trips).toBe(1);
      expect(cost.read).toBeLessThanOrEqual(2100);
      return (await response.json()) as {
        points: [number, number, string, number][];
        high: number[];
      };
    };
    const short = await part("from_step=654000&to_step=655500&max_points=2000");
    expect(short.points.map(([step]) => step)).toEqual(
      Array.from({ length: 1501 }, (_, n) => 654_000 + n),
    );
    const long = await part("from_step=600000&to_step=900000&max_points=500");
    expect(long.points.length).toBeGreaterThan(300);
    expect(long.points.length).toBeLessThanOrEqual(500);
    expect(Math.max(...long.high)).toBe(50);
    expect(long.points.every(([step]) => step >= 600_000 && step <= 900_000)).toBe(true);
    expect((await part("from_step=2000000")).points).toEqual([]);
    await ledger.call(`/api/tasks/${id}/logs?from_step=x`, { key }, 422);
    await ledger.call(`/api/tasks/${id}/logs?from_step=1&attempt=1`, { key }, 422);
  });

  it("spreads out in the two SQL views, reading rows in proportion to the points", async () => {
    const [all] = await ledger.db.all(
      sql`select count(*) as n, min(step) as lo, max(step) as hi, max(loss) as top, count(distinct id) as ids from training_log where task_id = ${id}`,
    );
    expect(all).toEqual({ n: 1_000_000, lo: 1, hi: 1_000_000, top: 50, ids: 1_000_000 });
    const [points] = await ledger.db.all(
      sql`select count(*) as n, count(distinct metric) as metrics from metric_point where task_id = ${id}`,
    );
    expect(points).toEqual({ n: 2_000_000, metrics: 2 });
    // A small run beside the long one is not slowed by it: the views go in by task.
    const { task_id: small } = await ledger.call("/api/tasks", {
      key,
      json: { task_name: "small" },
    });
    await ledger.call(`/api/tasks/${small}/heartbeat`, {
      key,
      json: { seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] },
    });
    const body = {
      requests: [
        { type: "execute", stmt: { sql: `select * from training_log where task_id = ${small}` } },
        { type: "close" },
      ],
    };
    const answer = await fetch(`${ledger.bindings.DATABASE_URL}v2/pipeline`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    const { results } = (await answer.json()) as {
      results: { response: { result: { rows: unknown[]; rows_read: number } } }[];
    };
    expect(results[0]?.response.result.rows).toHaveLength(1);
    expect(results[0]?.response.result.rows_read).toBeLessThanOrEqual(20);
  }, 120_000);

  it("streams as CSV, every point once", async () => {
    const response = await ledger.request(`/api/tasks/${id}/logs?format=csv`, { key });
    const reader = (response.body ?? new ReadableStream())
      .pipeThrough(new TextDecoderStream())
      .getReader();
    let lines = 0;
    let largest = 0;
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      largest = Math.max(largest, part.value.length);
      lines += part.value.split("\r\n").length - 1;
      if (!text) text = part.value;
    }
    expect(text.split("\r\n")[0]).toBe("step,epoch,time,value");
    expect(lines).toBe(1_000_001);
    expect(largest).toBeLessThan(5_000_000);
  }, 120_000);

  it("finishes within its budget, and the scheduled job draws the rest", async () => {
    // The tests before may have taken longer than a checked key is remembered.
    await ledger.call("/api/me", { key });
    const response = await ledger.request(`/api/tasks/${id}/finish`, {
      key,
      json: { status: "success", last_seq: HEARTBEATS },
    });
    const cost = costOf(response);
    const { task, missing } = (await response.json()) as {
      task: { final_loss: number; convergence_step: number | null };
      missing: unknown[];
    };
    expect(missing).toEqual([]);
    expect(cost.trips).toBeLessThanOrEqual(2);
    expect(cost.read).toBeLessThanOrEqual(200);
    expect(cost.written).toBeLessThanOrEqual(60);
    expect(task.final_loss).toBeCloseTo(0.1, 2);
    expect(task.convergence_step).toBeNull();
    expect(await settleLogs(ledger.db)).toBe(1);
    const settled = await ledger.call(`/api/tasks/${id}`, { key });
    expect(settled.convergence_step).toBeGreaterThan(400_000);
    expect(settled.convergence_step).toBeLessThan(700_000);
    expect(settled.final_loss).toBeCloseTo(task.final_loss, 9);
    expect(await settleLogs(ledger.db)).toBe(0);
  });
});
