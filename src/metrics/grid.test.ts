import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";

const time = (step: number) => new Date(Date.UTC(2026, 4, 1) + step * 1000).toISOString();

describe("the curves of several metrics", () => {
  let ledger: Ledger;
  let key: string;
  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key());
  });
  const call = (path: string, json?: unknown, status = 200) =>
    ledger.call(path, { key, json }, status);

  /** A run whose heartbeats of `size` steps have these metrics; gives its id. */
  async function record(
    beats: number,
    size: number,
    metrics: (step: number) => object,
    attempt = 1,
    id?: number,
  ) {
    const task = id ?? (await call("/api/tasks", { task_name: "grid" })).task_id;
    for (let n = 0; n < beats; n++) {
      const logs = Array.from({ length: size }, (_, i) => {
        const step = n * size + i + 1;
        return { step, epoch: step / 100, time: time(step), metrics: metrics(step) };
      });
      await call(`/api/tasks/${task}/heartbeat`, { attempt, seq: n + 1, logs });
    }
    return task as number;
  }
  const names = Array.from({ length: 23 }, (_, n) => `m${n}`);
  const many = (step: number) => ({
    "train/loss": 1 / step,
    ...Object.fromEntries(names.map((name, n) => [name, step % 97 === 0 ? "NaN" : step * n])),
  });
  const query = (metrics: string[], more = "") =>
    `${metrics.map((name) => `metric=${encodeURIComponent(name)}`).join("&")}${more}`;
  /** What the curve of one metric answers, as the grid has it. */
  const single = async (id: number, metric: string, most: number) => {
    const {
      metrics: _,
      next_since: __,
      ...curve
    } = await call(`/api/tasks/${id}/logs?metric=${metric}&max_points=${most}`);
    return curve;
  };

  it.each([
    ["read point by point", 2, 50],
    ["read by blocks", 30, 250],
  ])("are those of each by itself, of a run that is %s", async (_, beats, size) => {
    const id = await record(beats, size, many);
    for (const most of [7, 300]) {
      const { curves } = await call(
        `/api/tasks/${id}/curves?${query(["loss", ...names], `&max_points=${most}`)}`,
      );
      expect(curves).toHaveLength(24);
      expect(curves[0].metric).toBe("train/loss");
      for (const [n, metric] of ["loss", ...names].entries())
        expect(curves[n], metric).toEqual(await single(id, metric, most));
    }
    await call(`/api/tasks/${id}/finish`, { status: "success" });
    const { curves } = await call(`/api/tasks/${id}/curves?metric=m3`);
    expect(curves).toEqual([await single(id, "m3", 300)]);
    expect(curves[0].total).toBe(beats * size);
  });

  it("have attempts joined where they overlap, and no points of what the run lacks", async () => {
    const id = await record(1, 100, () => ({ a: 1, b: 1 }));
    await call(`/api/tasks/${id}/finish`, { status: "failed" });
    await call(`/api/tasks/${id}/attempts`, { from_step: 0 });
    await record(1, 10, () => ({ a: 2 }), 2, id);
    const { curves } = await call(`/api/tasks/${id}/curves?${query(["a", "b", "none"])}`);
    expect(curves.map(({ total }: { total: number }) => total)).toEqual([10, 0, 0]);
    expect(curves[0]).toEqual(await single(id, "a", 300));
    expect(curves[2].points).toEqual([]);
  });

  it("take the trips and rows of one curve, however many they are", async () => {
    const id = await record(20, 250, many);
    const one = costOf(await ledger.request(`/api/tasks/${id}/logs?metric=m1`, { key }));
    const all = costOf(
      await ledger.request(`/api/tasks/${id}/curves?${query(["loss", ...names])}`, { key }),
    );
    expect(all.trips).toBe(1);
    expect(all.written).toBe(0);
    expect(all.read).toBeLessThanOrEqual(one.read);
  });

  it("are bounded, and those of runs that one may see", async () => {
    const id = await record(1, 3, () => ({ a: 1 }));
    for (const bad of [
      ...["", "metric=", query([...names, "a", "b"]), "metric=a&max_points=601"],
      ...["metric=a&max_points=0", "metric=a&more=1", `metric=${"x".repeat(251)}`, 'metric=a"b'],
    ])
      await call(`/api/tasks/${id}/curves?${bad}`, undefined, 422);
    await call("/api/tasks/99999/curves?metric=a", undefined, 404);
    expect((await call(`/api/tasks/${id}/curves?metric=a`)).curves).toHaveLength(1);
  });
});
