// Chunks are summed up behind heartbeats and ends; what is read of them stays the same.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { type ChunkText, nextChunks, type Place, segmentsBehind } from "../metrics/read.ts";
import { sumUp } from "../metrics/sum-up.ts";
import { renewOldLogs, settleLogs } from "./settle-logs.ts";
import { sumUpRun } from "./sum-up-logs.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const register = async () =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "rows" } })).task_id as number;
const lossAt = (step: number) => 0.1 + ((step * 37) % 101) / 1000;
const send = (id: number, seq: number, steps: number[], more: object = {}) =>
  ledger.request(`/api/tasks/${id}/heartbeat`, {
    key,
    json: {
      ...{ attempt: 1, seq },
      logs: steps.map((step) => ({ step, metrics: { loss: lossAt(step), ...more } })),
    },
  });
const wide = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`wide/${n}`, n / 7]));
const range = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);
const openOf = async (id: number) =>
  (
    await ledger.db.all(
      sql`select open_chunk as chunk, open_count as count, open_size as size from task_attempt where task_id = ${id}`,
    )
  )[0];
const stepsOf = async (id: number, query = "") =>
  (
    await ledger.call(`/api/tasks/${id}/logs?max_points=10000&thin=raw${query}`, { key })
  ).points.map((point: [number]) => point[0]);

/** What the stored chunks say of the loss, as they are and summed up anew: the same of each. */
async function expectSummedUp(id: number) {
  const rows = await ledger.db.all<{
    form: number;
    summary: string;
    blocks: string;
    points: string;
  }>(sql`select form, summary, blocks, points from log_chunk where task_id = ${id} order by chunk`);
  for (const { form, summary, blocks, points } of rows)
    if (form === 2) expect({ summary, blocks }).toEqual(sumUp(JSON.parse(points)));
  return rows.map(({ form }) => form);
}

describe("the chunks of an attempt", () => {
  it("are summed up once the next has begun, and at the end", async () => {
    const id = await register();
    for (let seq = 1; seq <= 64; seq++) await send(id, seq, range(seq * 40, 40));
    const forms = await expectSummedUp(id);
    expect(forms[0]).toBe(2);
    expect(forms.at(-1)).toBe(1);
    const before = await ledger.call(`/api/tasks/${id}/logs?max_points=30`, { key });
    await ledger.call(`/api/tasks/${id}/finish`, { key, json: { status: "success" } });
    expect(new Set(await expectSummedUp(id))).toEqual(new Set([2]));
    const after = await ledger.call(`/api/tasks/${id}/logs?max_points=30`, { key });
    expect(after.points.map((point: number[]) => point[3])).toEqual(
      before.points.map((point: number[]) => expect.closeTo(point[3] ?? 0, 12)),
    );
    // What comes late has a chunk of its own, which the job sums up with the rest.
    await send(id, 65, range(65 * 40, 40));
    expect((await expectSummedUp(id)).at(-1)).toBe(1);
    await settleLogs(ledger.db);
    expect(new Set(await expectSummedUp(id))).toEqual(new Set([2]));
    expect(await stepsOf(id)).toEqual(range(40, 2600));
  });

  it.each([
    { points: 1, metrics: 20, beats: 400 },
    { points: 60, metrics: 5, beats: 100 },
    { points: 60, metrics: 60, beats: 20 },
  ])(
    "stay small while they take points in, and come together: $points points of $metrics metrics",
    async ({ points, metrics, beats }) => {
      const id = await register();
      const more = Object.fromEntries(range(1, metrics - 1).map((n) => [`m/${n}`, n / 7]));
      const most = { count: 0, bytes: 0, rows: 0 };
      for (let seq = 1; seq <= beats; seq++) {
        await send(id, seq, range(seq * points, points), more);
        if (seq % 10 > 0) continue;
        const [found] = await ledger.db.all<{ bytes: number; one: number; rows: number }>(sql`
          select max(length(points) + length(blocks)) as bytes, max((length(points) + length(blocks)) / json_array_length(blocks)) as one,
            count(*) as rows from log_chunk where task_id = ${id} and form = 1`);
        // A heartbeat that is larger than a chunk may be has one of its own.
        most.bytes = Math.max(most.bytes, (found?.bytes ?? 0) - (found?.one ?? 0));
        most.rows = Math.max(most.rows, found?.rows ?? 0);
      }
      expect(most.bytes).toBeLessThan(26_000);
      expect(most.rows).toBeLessThan(64);
      await ledger.call(`/api/tasks/${id}/finish`, { key, json: { status: "success" } });
      const forms = await expectSummedUp(id);
      expect(new Set(forms)).toEqual(new Set([2]));
      const rows = await ledger.db.all<{ count: number; size: number }>(
        sql`select count, size from log_chunk where task_id = ${id} order by chunk`,
      );
      for (const [n, { count, size }] of rows.slice(0, -1).entries())
        expect([n, count > 700 || size > 60_000]).toEqual([n, true]);
      expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(points * beats);
      const csv = await (await ledger.request(`/api/tasks/${id}/logs?format=csv`, { key })).text();
      expect(csv.trim().split("\r\n").slice(1).map(Number.parseFloat)).toEqual(
        range(points, points * beats),
      );
      const last = await ledger.call(`/api/tasks/${id}/logs?metric=m/${metrics - 1}`, { key });
      expect(last.total).toBe(points * beats);
    },
  );

  it("cost a heartbeat the same whatever came before", async () => {
    const id = await register();
    const costs = new Set<string>();
    for (let seq = 1; seq <= 40; seq++) {
      const { trips, read, written } = costOf(await send(id, seq, range(seq * 60, 60)));
      costs.add(`${trips} ${read <= 10} ${written <= 5}`);
    }
    expect(costs).toEqual(new Set(["1 true true"]));
  });

  it("say the same while they take points in, in order or not, with NaN and one step twice", async () => {
    const id = await register();
    const steps = [range(200, 100), range(1, 150), range(290, 40), range(140, 20)];
    for (const [n, own] of steps.entries())
      await send(id, n + 1, own, n === 2 ? { lr: "NaN" } : {});
    // More points than are read one by one.
    for (let seq = 5; seq <= 12; seq++) await send(id, seq, range(seq * 1000, 990));
    const { points, count, low, high, total } = await ledger.call(
      `/api/tasks/${id}/logs?max_points=2000`,
      { key },
    );
    expect(total).toBe(count.reduce((sum: number, n: number) => sum + n, 0));
    expect(
      points.every(([step]: number[], n: number) => n === 0 || (step ?? 0) >= points[n - 1][0]),
    ).toBe(true);
    for (const [n, [, , , mean]] of points.entries()) {
      expect(mean).toBeGreaterThanOrEqual(low[n] - 1e-12);
      expect(mean).toBeLessThanOrEqual(high[n] + 1e-12);
    }
    const { nonfinite } = await ledger.call(`/api/tasks/${id}/logs?metric=lr`, { key });
    expect(nonfinite.reduce((sum: number, n: number) => sum + n, 0)).toBe(40);
  });

  it("are summed up once, also where several try at a time while points come", async () => {
    const id = await register();
    for (let seq = 1; seq <= 40; seq++) await send(id, seq, range(seq * 60, 60));
    await Promise.all([
      ...range(0, 4).map(() => sumUpRun(ledger.db, id)),
      ...range(41, 4).map((seq) => send(id, seq, range(seq * 60, 60))),
    ]);
    await sumUpRun(ledger.db, id);
    expect(new Set(await expectSummedUp(id))).toEqual(new Set([2]));
    expect(await stepsOf(id)).toEqual(range(60, 44 * 60));
    expect(await openOf(id)).toEqual({ chunk: 0, count: 0, size: 0 });
  });

  it("are read in parts without a hole and without a point twice, also where chunks come together in between", async () => {
    const id = await register();
    for (let seq = 1; seq <= 60; seq++) await send(id, seq, range(seq * 10, 10), wide);
    const found: number[] = [];
    let place: Place = { attempt: 0, arrival: 0 };
    for (let n = 0; ; n++) {
      const rows = await ledger.db.all<ChunkText>(
        sql`select * from (${nextChunks(id, place, undefined)}) limit 2`,
      );
      if (rows.length === 0) break;
      for (const row of rows) {
        for (const { p } of segmentsBehind(row, place)) found.push(...p.map(([step]) => step));
        place = row;
      }
      if (n === 1) await sumUpRun(ledger.db, id);
    }
    expect(found).toEqual(range(10, 600));
  });

  it("are read by since without a hole and without a point twice", async () => {
    const id = await register();
    const found: number[] = [];
    let since = "0.0";
    const follow = async () => {
      const news = await ledger.call(`/api/tasks/${id}/logs?since=${since}`, { key });
      found.push(...news.points.map((point: [number]) => point[0]));
      since = news.next_since;
      return news.points.length > 0;
    };
    for (let seq = 1; seq <= 150; seq++) {
      await send(id, seq, range(seq * 20, 20));
      if (seq % 7 === 0) await follow();
    }
    while (await follow());
    expect(found).toEqual(range(20, 3000));
    found.length = 0;
    since = "0.0";
    while (await follow());
    expect(found).toEqual(range(20, 3000));
  });
});

describe("points that an older release stored", () => {
  /** A run of 8,000 points as the release before stored it: summaries and extremes, no means of blocks. */
  async function old(status: "running" | "success") {
    const id = await register();
    await send(id, 1, [1]);
    await ledger.db.run(sql`delete from log_chunk where task_id = ${id}`);
    for (let n = 0; n < 8; n++) {
      const rows = range(n * 1000 + 1, 1000).map((step) => [step, null, null, lossAt(step)]);
      const points = JSON.stringify([{ a: n + 1, q: n + 1, m: ["loss"], p: rows }]);
      const values = rows.map((row) => row[3] as number);
      const at = (value: number) => rows[values.indexOf(value)];
      const summary = {
        ...{ count: 1000, nonfinite_count: 0, sum: values.reduce((a, b) => a + b, 0) },
        ...{ min: at(Math.min(...values)), max: at(Math.max(...values)), last: rows.at(-1) },
      };
      await ledger.db.run(sql`
        insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points)
        values (${id}, 1, ${n + 1}, ${n + 1}, ${n * 1000 + 1}, ${n * 1000 + 1000}, 1000, ${points.length},
          ${JSON.stringify({ loss: summary })}, ${JSON.stringify({ loss: [at(Math.min(...values)), at(Math.max(...values))] })}, ${points})`);
    }
    await ledger.db.run(sql`
      update task_attempt set received = 8, last_seq = 8, gaps = '[]', open_chunk = 8, open_count = 1000, open_size = 20000, points = 8000, bytes = 200000,
        first_step = 1, last_step = 8000 where task_id = ${id}`);
    if (status === "success")
      await ledger.db.run(sql`
        update training_task set status = 'success', final_loss = 99, settle_at = null where id = ${id}`);
    return id;
  }
  const curve = (id: number, query: string) =>
    ledger.call(`/api/tasks/${id}/logs?${query}`, { key });
  const meanOf = (from: number, to: number) =>
    range(from, to - from + 1).reduce((sum, step) => sum + lossAt(step), 0) / (to - from + 1);

  it("have true means at once, finer ones later, and new figures of the run", async () => {
    await settleLogs(ledger.db);
    const id = await old("success");
    const before = await curve(id, "max_points=400");
    expect(before.points).toHaveLength(8);
    for (const [n, [step, , , mean]] of before.points.entries())
      expect(mean).toBeCloseTo(meanOf(n * 1000 + 1, step), 9);
    await renewOldLogs(ledger.db);
    const after = await curve(id, "max_points=400");
    expect(after.points.length).toBeGreaterThan(100);
    for (const [n, [step, , , mean]] of after.points.entries())
      expect(mean).toBeCloseTo(meanOf(after.first_step[n], step), 9);
    expect(await settleLogs(ledger.db)).toBe(1);
    const { final_loss } = await ledger.call(`/api/tasks/${id}`, { key });
    expect(Math.abs(final_loss / meanOf(7201, 8000) - 1)).toBeLessThan(0.05);
  });

  it("of one run that cannot be read keep no other run waiting", async () => {
    const broken = await old("success");
    await ledger.db.run(
      sql`update log_chunk set points = 'broken' where task_id = ${broken} and chunk = 3`,
    );
    const sound = await old("success");
    await renewOldLogs(ledger.db);
    const forms = await ledger.db.all(
      sql`select distinct form from log_chunk where task_id = ${sound}`,
    );
    expect(forms).toEqual([{ form: 2 }]);
    await ledger.db.run(sql`delete from log_chunk where task_id = ${broken}`);
  });

  it("go on under a run that is under way", async () => {
    const id = await old("running");
    await send(id, 9, range(8001, 60));
    for (const when of ["before", "after"]) {
      const { points, total, count } = await curve(id, "max_points=2000");
      expect([when, total, points.at(-1)[0]]).toEqual([when, 8060, 8060]);
      expect(count.reduce((sum: number, n: number) => sum + n, 0)).toBe(8060);
      await renewOldLogs(ledger.db);
    }
    await send(id, 10, range(8061, 60));
    expect(await openOf(id)).toMatchObject({ chunk: 9, count: 120 });
    expect((await curve(id, "max_points=10")).total).toBe(8120);
  });
});
