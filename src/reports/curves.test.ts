import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { groupCurves } from "./curve-groups.ts";

type Metrics = Record<string, number | string>;

describe("the curves of many tasks", () => {
  let ledger: Ledger;
  let key: string;
  /** Three of rank 8, two of rank 16, one without a rank and one without points. */
  const ids: number[] = [];
  const get = (path: string, status = 200) => ledger.call(`/api/curves${path}`, { key }, status);

  async function record(json: object, points: [step: number, metrics: Metrics][]) {
    const { task_id } = await ledger.call("/api/tasks", { key, json });
    const logs = points.map(([step, metrics]) => ({ step, metrics }));
    for (let from = 0, seq = 1; from < logs.length; from += 1000, seq++)
      await ledger.call(`/api/tasks/${task_id}/heartbeat`, {
        ...{ key, json: { seq, logs: logs.slice(from, from + 1000) } },
      });
    return Number(task_id);
  }
  const steps = (count: number, loss: (step: number) => number | string, every = 1) =>
    Array.from({ length: count }, (_, n): [number, Metrics] => [
      (n + 1) * every,
      { loss: loss((n + 1) * every) },
    ]);

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key());
    ids.push(
      await record(
        { task_name: "a", lora_rank: 8, tags: { who: "x" } },
        steps(10, () => 1),
      ),
    );
    ids.push(
      await record(
        { task_name: "b", lora_rank: 8 },
        steps(10, () => 2),
      ),
    );
    // It ends at step 6, and its step 3 is NaN.
    ids.push(
      await record(
        { task_name: "c", lora_rank: 8 },
        steps(6, (step) => (step === 3 ? "NaN" : 6)),
      ),
    );
    // It has a point at every fifth step alone.
    ids.push(
      await record(
        { task_name: "d", lora_rank: 16 },
        steps(2, (step) => step, 5),
      ),
    );
    ids.push(
      await record(
        { task_name: "e", lora_rank: 16 },
        steps(10, () => 4).map(([step, metrics]): [number, Metrics] => [
          step,
          { ...metrics, ...(step % 4 === 0 && { "val/loss": step }) },
        ]),
      ),
    );
    ids.push(
      await record(
        { task_name: "f" },
        steps(10, () => 9),
      ),
    );
    ids.push(await record({ task_name: "g", lora_rank: 8 }, []));
  });

  it("are those that each task has by itself, in the order asked for", async () => {
    const asked = [ids[4], ids[0], ids[6]];
    const { items, metrics, missing } = await get(`?ids=${asked.join(",")}`);
    expect(items.map(({ id }: { id: number }) => id)).toEqual(asked);
    expect(metrics).toEqual(["loss", "val/loss"]);
    expect(missing).toEqual([]);
    for (const { id, one_of, ...curve } of items) {
      const alone = await ledger.call(`/api/tasks/${id}/logs`, { key });
      expect(one_of).toBe(1);
      expect(alone).toMatchObject(curve);
    }
    expect(items[2].points).toEqual([]);
    const val = await get(`?ids=${ids.join(",")}&metric=val/loss`);
    expect(val.items.map(({ points }: { points: unknown[] }) => points.length)).toEqual([
      ...[0, 0, 0, 0, 2, 0, 0],
    ]);
  });

  it("name what is no task, is in the trash, or may not be read, and answer the others", async () => {
    const gone = await record(
      { task_name: "gone" },
      steps(3, () => 1),
    );
    await ledger.call(`/api/tasks/${gone}/finish`, { key, json: { status: "failed" } });
    await ledger.call(`/api/tasks/${gone}`, { key, method: "DELETE" }, 204);
    const list = [ids[0], ids[0], 0, 999_999, gone, ids[1]].join(",");
    for (const path of ["?", "/groups?"]) {
      const { missing, items, tasks } = await get(`${path}ids=${list}`);
      expect(missing).toEqual([0, 999_999, gone]);
      expect((items ?? tasks).map(({ id }: { id: number }) => id)).toEqual(ids.slice(0, 2));
    }
    const { key: box } = await ledger.key({ scopes: ["box"] });
    const { task_id: own } = await ledger.call("/api/tasks", {
      ...{ key: box, json: { task_name: "of a box" } },
    });
    await ledger.call(`/api/tasks/${own}/heartbeat`, {
      ...{ key: box, json: { attempt: 1, seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] } },
    });
    const seen = await ledger.call(`/api/curves?ids=${ids[0]},${own}`, { key: box });
    expect(seen.items.map(({ id }: { id: number }) => id)).toEqual([own]);
    expect(seen.missing).toEqual([ids[0]]);
    expect(seen.metrics).toEqual(["loss"]);
    await ledger.call(`/api/curves/groups?ids=${own}`, { key: box }, 403);
  });

  it("refuse ids and names that are none, and more than an answer holds", async () => {
    const many = (count: number) => Array.from({ length: count }, (_, n) => n + 1).join(",");
    for (const path of ["?", "/groups?"]) {
      await get(`${path}ids=${many(50)}`);
      for (const list of ["", "x", "1,", "-1", "1.5", many(51), "1;2", `1${"0".repeat(16)}`])
        await get(`${path}ids=${encodeURIComponent(list)}`, 422);
      await get(path, 422);
      await get(`${path}ids=1&max_points=1`, 422);
      await get(`${path}ids=1&max_points=1201`, 422);
      await get(`${path}ids=1&metric=${"m".repeat(300)}`, 422);
      await get(`${path}ids=1&metric=${encodeURIComponent('a"b')}`, 422);
      await get(`${path}ids=1&more=1`, 422);
    }
    for (const field of [
      "",
      "nothing",
      "lora_rank,user",
      "lora_rank;",
      "id) or (1",
      "x".repeat(301),
    ])
      await get(`/groups?ids=1&group_by=${encodeURIComponent(field)}`, 422);
  });

  it("of a group are its mean and spread at aligned steps, by hand", async () => {
    const answer = await get(`/groups?ids=${ids.join(",")}&group_by=lora_rank`);
    expect(answer.steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const [eight, sixteen, without, ...more] = answer.groups;
    expect(more).toEqual([]);
    expect(eight).toMatchObject({ group: 8, ids: [ids[0], ids[1], ids[2], ids[6]] });
    // 1, 2 and 6, but 1 and 2 at the NaN of step 3 and behind step 6.
    expect(eight.n).toEqual([3, 3, 2, 3, 3, 3, 2, 2, 2, 2]);
    expect(eight.mean).toEqual([3, 3, 1.5, 3, 3, 3, 1.5, 1.5, 1.5, 1.5]);
    expect(eight.max).toEqual([6, 6, 2, 6, 6, 6, 2, 2, 2, 2]);
    // √((4 + 1 + 9) / 2) = √7, and √(2 · 0.5²).
    expect(eight.std[0]).toBeCloseTo(Math.sqrt(7), 12);
    expect(eight.std[9]).toBeCloseTo(Math.SQRT1_2, 12);
    // Between its points at 5 and 10 the run is on the line; before step 5 it is not.
    expect(sixteen).toMatchObject({ group: 16, ids: [ids[3], ids[4]] });
    expect(sixteen.n).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    expect(sixteen.mean).toEqual([4, 4, 4, 4, 4.5, 5, 5.5, 6, 6.5, 7]);
    expect(sixteen.std[0]).toBe(null);
    expect(without).toMatchObject({ group: null, ids: [ids[5]], min: without.mean });
    expect(answer.tasks).toContainEqual({ id: ids[6], metric: null, one_of: 1 });

    const coarse = await get(`/groups?ids=${ids.slice(0, 4)}&group_by=lora_rank&max_points=2`);
    expect(coarse.steps).toEqual([5, 10]);
    expect(coarse.groups[0]).toMatchObject({ mean: [3, 3], n: [3, 3] });
    const val = await get(`/groups?ids=${ids}&group_by=tags.who&metric=val/loss`);
    expect(val.steps).toEqual([4, 8]);
    expect(val.groups).toMatchObject([
      { group: "x", n: [0, 0], mean: [null, null] },
      { group: null, n: [1, 1], mean: [4, 8] },
    ]);
  });

  it("are grouped by no noise of arithmetic, and by as many values as can be told apart", () => {
    const run = (id: number, group: string | number | null) => ({ id, group, buckets: [] });
    expect(
      groupCurves([run(1, 3 * 2e-5), run(2, "b"), run(3, null), run(4, 6e-5), run(5, "a")], 9)
        .groups,
    ).toMatchObject([
      { group: 6e-5, ids: [1, 4] },
      { group: "a", ids: [5] },
      { group: "b", ids: [2] },
      { group: null, ids: [3] },
    ]);
    const many = groupCurves(
      Array.from({ length: 22 }, (_, n) => run(n, n)),
      9,
    );
    expect(many.groups).toHaveLength(20);
    expect(many.left_out).toEqual([20, 21]);
  });

  it("cost one round trip, and no more rows than are drawn", async () => {
    const long = await record(
      { task_name: "long" },
      steps(30_000, (step) => 1 / step),
    );
    const list = [long, ...ids].join(",");
    for (const path of [`?ids=${list}`, `/groups?ids=${list}`]) {
      const cost = costOf(await ledger.request(`/api/curves${path}`, { key }));
      expect(cost).toMatchObject({ trips: 1, written: 0 });
      // 37 chunks: each is listed, taken from the list and read; and of each task some rows.
      expect(cost.read, path).toBeLessThanOrEqual(37 * 4 + 8 * 35);
    }
    const { items } = await get(`?ids=${list}&max_points=100`);
    expect(items[0].total).toBe(30_000);
    expect(items[0].points).toHaveLength(100);
    expect(items[0].count.reduce((sum: number, n: number) => sum + n, 0)).toBe(30_000);
  });
});
