import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { configLeaves } from "./compare-parameters.ts";

describe("comparing tasks", () => {
  let ledger: Ledger;
  let key: string;
  const ids: number[] = [];
  const compare = (more = "", status = 200, list: readonly (number | string)[] = ids.slice(0, 2)) =>
    ledger.call(`/api/tasks/compare?ids=${list.join(",")}${more}`, { key }, status);
  const toml = (rank: number, more = "") =>
    `network_module = "networks.lora"\r\nnetwork_dim = ${rank}\r\npretrained_model_name_or_path = "m"\r\nseed = 42\r\n${more}`;
  const steps = (count: number, from: number, offset = 0) =>
    Array.from({ length: count }, (_, i) => ({
      step: (i + 1) * 10,
      epoch: (i + 1) / 10,
      time: new Date(Date.UTC(2026, 4, 1, 10, 0, offset + i * 2)).toISOString(),
      metrics: { loss: from / (i + 1), lr: 1e-4 },
    }));

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key());
    const make = async (json: object, logs: object[], end = true) => {
      const { task_id } = await ledger.call("/api/tasks", { key, json });
      ids.push(task_id);
      await ledger.call(`/api/tasks/${task_id}/heartbeat`, { key, json: { seq: 1, logs } });
      if (end)
        await ledger.call(`/api/tasks/${task_id}/finish`, { key, json: { status: "success" } });
    };
    const data = (image_count: number, tags: Record<string, number>) => ({
      name: "10_aki",
      image_count,
      repeats: 10,
      tag_distribution: tags,
    });
    await make(
      {
        task_name: "first",
        config: { text: toml(32, "[extra]\r\nflags = [1, 2]\r\n") },
        tags: { kind: "style" },
        datasets: [data(10, { girl: 10, smile: 4, hat: 2 }), { name: "reg", image_count: 5 }],
      },
      steps(10, 1),
    );
    await make(
      {
        task_name: "second",
        config: { text: toml(64, '[extra]\r\nflags = [1, 3]\r\n"odd key" = true\r\n') },
        tags: { kind: "style" },
        datasets: [data(12, { girl: 10, smile: 7, cape: 1 }), { name: "reg", image_count: 5 }],
      },
      steps(20, 2, 100),
    );
    await make(
      { task_name: "third", lora_rank: 8 },
      [{ step: 1, metrics: { "loss/average": 3 } }],
      false,
    );
  });

  it("tells what differs and what agrees, in the file too", async () => {
    const { tasks, differ, agree } = await compare();
    expect(tasks.map((task: { task_name: string }) => task.task_name)).toEqual(["first", "second"]);
    expect(differ).toEqual([
      { name: "lora_rank", values: [32, 64] },
      { name: "config.network_dim", values: [32, 64] },
      {
        name: "config.extra.flags",
        values: [
          [1, 2],
          [1, 3],
        ],
      },
      { name: 'config.extra."odd key"', values: [null, true] },
    ]);
    expect(agree).toContainEqual({ name: "seed", value: 42 });
    expect(agree).toContainEqual({ name: "tags.kind", value: "style" });
    expect(agree).toContainEqual({ name: "config.network_module", value: "networks.lora" });
    // What it calls a setting, a filter finds by that name.
    const filter = encodeURIComponent('config.extra."odd key" = true and config.network_dim = 64');
    expect((await ledger.call(`/api/tasks?filter=${filter}`, { key })).items[0].id).toBe(ids[1]);
  });

  it("gives metrics of ended and running tasks", async () => {
    const { metrics } = await compare("", 200, ids);
    const of = (name: string) => metrics.find((m: { metric: string }) => m.metric === name).values;
    expect(of("loss")).toEqual([
      { last: 0.1, min: 0.1, max: 1, best: 0.1, best_step: 100, count: 10 },
      { last: 0.1, min: 0.1, max: 2, best: 0.1, best_step: 200, count: 20 },
      null,
    ]);
    expect(of("loss/average")).toEqual([
      ...[null, null],
      { last: 3, min: 3, max: 3, best: null, best_step: null, count: 1 },
    ]);
  });

  it("lays curves along steps, epochs and time", async () => {
    const along = async (align: string) =>
      (await compare(`&align=${align}`, 200, ids)).curves.series.map(
        (s: { points: [number, number][] }) => s.points.slice(0, 2),
      );
    expect(await along("step")).toEqual([
      [
        [10, 1],
        [20, 0.5],
      ],
      [
        [10, 2],
        [20, 1],
      ],
      [[1, 3]],
    ]);
    expect(await along("epoch")).toEqual([
      [
        [0.1, 1],
        [0.2, 0.5],
      ],
      [
        [0.1, 2],
        [0.2, 1],
      ],
      [],
    ]);
    expect(await along("time")).toEqual([
      [
        [0, 1],
        [2, 0.5],
      ],
      [
        [0, 2],
        [2, 1],
      ],
      [],
    ]);
    const { curves } = await compare("&max_points=5&metric=lr");
    expect(curves.series[1].points.length).toBeLessThanOrEqual(5);
    expect(curves.series[1].metric).toBe("lr");
  });

  it("shows which data and which of its tags differ", async () => {
    const { datasets } = await compare();
    expect(datasets).toMatchObject([
      {
        name: "10_aki",
        same: false,
        tasks: [{ image_count: 10, repeats: 10 }, { image_count: 12 }],
        tags: [
          { tag: "smile", counts: [4, 7] },
          { tag: "hat", counts: [2, 0] },
          { tag: "cape", counts: [0, 1] },
        ],
        tags_differ: 3,
      },
      { name: "reg", same: true, tags: [], tags_differ: 0 },
    ]);
    const { datasets: three } = await compare("", 200, ids);
    expect(three[1]).toMatchObject({ name: "reg", same: false, tags: [] });
    expect(three[1].tasks[2]).toBe(null);
  });

  it("gives the files' difference as other tools read it", async () => {
    const { config_diffs } = await compare("", 200, ids);
    expect(config_diffs[0]).toEqual({
      id: ids[1],
      diff: `--- task ${ids[0]}\n+++ task ${ids[1]}\n@@ -1,6 +1,7 @@\n network_module = "networks.lora"\n-network_dim = 32\n+network_dim = 64\n pretrained_model_name_or_path = "m"\n seed = 42\n [extra]\n-flags = [1, 2]\n+flags = [1, 3]\n+"odd key" = true\n`,
    });
    expect(config_diffs[1]).toMatchObject({ id: ids[2], diff: null, why: expect.any(String) });
    const same = await compare("", 200, [
      ids[0] ?? 0,
      (
        await ledger.call("/api/tasks", {
          key,
          json: { config: { text: toml(32, "[extra]\r\nflags = [1, 2]\r\n") } },
        })
      ).task_id,
    ]);
    expect(same.config_diffs[0].diff).toBe("");
  });

  it("refuses ids that are none, one alone, too many, or a deleted task's", async () => {
    for (const list of [
      [],
      ["x"],
      [1],
      [1, 1],
      Array.from({ length: 51 }, (_, n) => n + 1),
      ["1;2"],
    ])
      await compare("", 422, list);
    await compare("", 404, [ids[0] ?? 0, 999_999]);
    await compare("&align=moon", 422);
    const { task_id } = await ledger.call("/api/tasks", { key, json: { task_name: "gone" } });
    await ledger.call(`/api/tasks/${task_id}`, { key, method: "DELETE" }, 204);
    await compare("", 404, [ids[0] ?? 0, task_id]);
  });

  it("takes one round trip, and survives large and very different files", async () => {
    const response = await ledger.request(`/api/tasks/compare?ids=${ids.join(",")}`, { key });
    expect(costOf(response)).toMatchObject({ trips: 1, written: 0 });
    expect(costOf(response).read).toBeLessThanOrEqual(150);
    const huge = async (text: string) =>
      (await ledger.call("/api/tasks", { key, json: { config: { text, path: "x.yaml" } } }))
        .task_id;
    const lines = (make: (n: number) => string) =>
      Array.from({ length: 3000 }, (_, n) => make(n)).join("\n");
    const two = [await huge(lines((n) => `a${n}: ${n}`)), await huge(lines((n) => `b${n}: ${n}`))];
    const far = await compare("", 200, two);
    expect(far.config_diffs[0].diff).toBe(null);
    expect(far.config_diffs[0].why).toMatch(/more than/);
    expect(far.differ.length).toBeLessThanOrEqual(4100);
    const over = await compare("", 200, [
      two[0],
      await huge(lines((n) => `${"c".repeat(40)}${n}: ${n}`)),
    ]);
    expect(over.config_diffs[0].why).toMatch(/over/);
  });

  it("names the leaves of any file", () => {
    expect([...configLeaves({ a: { b: [{ c: 1 }, 2], "d.e": null }, f: [] })]).toEqual([
      ["config.a.b[0].c", 1],
      ["config.a.b[1]", 2],
      ['config.a."d.e"', null],
      ["config.f", []],
    ]);
  });
});
