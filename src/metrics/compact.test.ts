// A run's rows are brought together behind its heartbeats; what is read of it stays the same.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { renewOldLogs, settleLogs } from "../runs/settle-logs.ts";
import { compact } from "./compact.ts";

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
const range = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);
const rowsOf = (id: number) =>
  ledger.db.all<{ chunk: number; arrival: number; count: number; form: number; points: string }>(
    sql`select chunk, arrival, count, form, points from log_chunk where task_id = ${id} order by chunk`,
  );
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

describe("the rows of an attempt", () => {
  it("come together once there are 64, or 1,000 points, whatever the heartbeats bring", async () => {
    const id = await register();
    for (let seq = 1; seq <= 70; seq++) await send(id, seq, [seq]);
    const few = await rowsOf(id);
    expect(few[0]).toMatchObject({ chunk: 1, form: 2 });
    expect(few.length).toBeLessThan(10);
    // The chunk that is still short takes more in.
    for (let seq = 71; seq <= 140; seq++) await send(id, seq, [seq]);
    expect((await rowsOf(id)).filter(({ form }) => form === 2)).toHaveLength(1);
    expect(await stepsOf(id)).toEqual(range(1, 140));
    for (let seq = 141; seq <= 160; seq++) await send(id, seq, range(200 + (seq - 141) * 150, 150));
    const rows = await rowsOf(id);
    expect(rows.every(({ count }) => count <= 1000)).toBe(true);
    expect(rows.length).toBeLessThan(15);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(140 + 3000);
    expect(await stepsOf(id)).toEqual([...range(1, 140), ...range(200, 3000)]);
  });

  it("cost a heartbeat the same whatever came before", async () => {
    const id = await register();
    const costs: string[] = [];
    for (let seq = 1; seq <= 40; seq++) {
      const { trips, read, written } = costOf(await send(id, seq, range(seq * 60, 60)));
      // What brings the rows together comes behind the answer.
      if (seq > 2) costs.push(`${trips} ${read <= 10} ${written <= 5}`);
    }
    expect(new Set(costs)).toEqual(new Set(["1 true true"]));
  });

  it("come together once, also where several try at a time", async () => {
    const id = await register();
    for (let seq = 1; seq <= 50; seq++) await send(id, seq, range(seq * 20, 20));
    await Promise.all(range(0, 5).map(() => compact(ledger.db, id, 1)));
    await send(id, 51, range(1020, 20));
    await compact(ledger.db, id, 1);
    const rows = await rowsOf(id);
    expect(rows.map(({ count }) => count)).toEqual([1000, 20]);
    const segments = rows.flatMap(({ points }) => JSON.parse(points) as { a: number }[]);
    expect(segments.map(({ a }) => a)).toEqual(range(1, 51));
    expect(await openOf(id)).toEqual({ chunk: 52, count: 0, size: 0 });
  });

  it("are read by since without a hole and without a point twice, before and after", async () => {
    const id = await register();
    const found: number[] = [];
    let since = "0.0";
    for (let seq = 1; seq <= 200; seq++) {
      await send(id, seq, range(seq * 10, 10));
      if (seq % 7) continue;
      const news = await ledger.call(`/api/tasks/${id}/logs?since=${since}`, { key });
      found.push(...news.points.map((point: [number]) => point[0]));
      since = news.next_since;
    }
    for (let more = true; more; ) {
      const news = await ledger.call(`/api/tasks/${id}/logs?since=${since}`, { key });
      found.push(...news.points.map((point: [number]) => point[0]));
      more = news.points.length > 0;
      since = news.next_since;
    }
    expect(found).toEqual(range(10, 2000));
    let all: number[] = [];
    for (since = "0.0"; ; ) {
      const news = await ledger.call(`/api/tasks/${id}/logs?since=${since}`, { key });
      all = [...all, ...news.points.map((point: [number]) => point[0])];
      if (news.points.length === 0) break;
      since = news.next_since;
    }
    expect(all).toEqual(range(10, 2000));
  });

  it("come together when the run ends", async () => {
    const id = await register();
    for (let seq = 1; seq <= 5; seq++) await send(id, seq, range(seq * 10, 10));
    await ledger.call(`/api/tasks/${id}/finish`, { key, json: { status: "success" } });
    expect((await rowsOf(id)).map(({ count, form }) => [count, form])).toEqual([[50, 2]]);
    // A late heartbeat is a row until the job settles the run again.
    await send(id, 6, range(60, 10));
    await settleLogs(ledger.db);
    expect((await rowsOf(id)).map(({ count, form }) => [count, form])).toEqual([[60, 2]]);
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

  it("go on under a run that is under way", async () => {
    const id = await old("running");
    await send(id, 9, range(8001, 60));
    for (const when of ["before", "after"]) {
      const { points, total, count } = await curve(id, "max_points=2000");
      expect([when, total, points.at(-1)[0]]).toEqual([when, 8060, 8060]);
      expect(count.reduce((sum: number, n: number) => sum + n, 0)).toBe(8060);
      await renewOldLogs(ledger.db);
    }
    await compact(ledger.db, id, 1);
    expect(await openOf(id)).toEqual({ chunk: 10, count: 0, size: 0 });
    expect((await curve(id, "max_points=10")).total).toBe(8060);
  });
});
