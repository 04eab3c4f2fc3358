import { sql } from "drizzle-orm";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { seedTasks } from "../../test/seed.ts";
import { chooseTasks } from "../runs/select.ts";
import { sourceOf } from "./aggregates.ts";
import { correlationOf, influenceOf, ranksOf } from "./influence.ts";

type Run = {
  id: number;
  lora_rank: number | null;
  batch_size: number | null;
  optimizer: string | null;
  kind: string | null;
  status: string;
  final_loss: number | null;
  best: number | null;
  created_at: string;
};

const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
/** A percentile as numpy's default has it. */
function percentile(values: number[], share: number) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)] ?? 0, sorted[Math.ceil(at)] ?? 0];
  return low + (high - low) * (at - Math.floor(at));
}

describe("aggregates, the best and what goes along with it", () => {
  let ledger: Ledger;
  let key: string;
  const runs: Run[] = [];
  const get = (path: string, query: Record<string, string | number> = {}, status = 200) =>
    ledger.call(
      `${path}?${new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)]))}`,
      { key },
      status,
    );

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key({ user: "anna" }));
    const values = fc.sample(
      fc.record({
        lora_rank: fc.option(fc.constantFrom(4, 8, 16)),
        batch_size: fc.option(fc.constantFrom(1, 2, 4)),
        optimizer: fc.option(fc.constantFrom("adamw", "lion")),
        kind: fc.option(fc.constantFrom("style", "face")),
        status: fc.constantFrom("success", "failed", "pending"),
        noise: fc.integer({ min: 0, max: 999 }),
        day: fc.integer({ min: 1, max: 28 }),
        alpha: fc.constantFrom(1, 2, 3),
      }),
      { numRuns: 120, seed: 11 },
    );
    for (const [n, { kind, status, noise, day, alpha, ...fields }] of values.entries()) {
      const ended = status !== "pending" && noise % 7 !== 0;
      const final_loss = ended ? (fields.lora_rank ?? 32) / 100 + noise / 1e6 : null;
      const { task_id: id } = await ledger.call("/api/tasks", {
        key,
        json: {
          ...fields,
          task_name: `run ${n}`,
          ...(kind && { tags: { kind } }),
          config_snapshot: {
            network: { alpha, "odd key": n % 2 ? "x" : "y" },
            rank: fields.lora_rank,
          },
          import: { source: `stats ${n}`, status, ...(final_loss !== null && { final_loss }) },
        },
      });
      const created_at = `2026-02-${String(day).padStart(2, "0")}T10:00:00.000Z`;
      const best = ended ? noise / 1000 : null;
      await ledger.db.batch([
        ledger.db.run(sql`update training_task set created_at = ${created_at} where id = ${id}`),
        ledger.db.run(sql`
          insert into metric_summary (task_id, metric, count, nonfinite_count, min, last)
          select ${id}, 'odd/loss', 1, 0, ${best}, ${best} where ${best} is not null`),
      ]);
      runs.push({ id, kind, status, final_loss, best, created_at, ...fields });
    }
  }, 60_000);

  const groups = <K extends keyof Run>(names: K[], own = runs) => {
    const found = new Map<string, Run[]>();
    for (const run of own) {
      const name = JSON.stringify(names.map((n) => run[n]));
      found.set(name, [...(found.get(name) ?? []), run]);
    }
    return found;
  };
  const numbers = (own: Run[], field: "final_loss" | "best") =>
    own.flatMap((run) => run[field] ?? []);

  it("gives counts, means, extremes, sums and percentiles of each group", async () => {
    const select =
      'count,count(final_loss),avg(final_loss),min(final_loss),max(final_loss),sum(final_loss),p50(final_loss),p90(final_loss),p50(metrics."odd/loss".min)';
    const answer = await get("/api/stats/tasks", { group_by: "batch_size,tags.kind", select });
    const model = groups(["batch_size", "kind"]);
    expect(answer).toMatchObject({
      next_cursor: null,
      scanned: 120,
      complete: true,
      approximate: null,
    });
    expect(answer.items).toHaveLength(model.size);
    for (const { group, values } of answer.items) {
      const own = model.get(JSON.stringify([group.batch_size, group["tags.kind"]])) ?? [];
      const losses = numbers(own, "final_loss");
      expect(values.count).toBe(own.length);
      expect(values["count(final_loss)"]).toBe(losses.length);
      expect(values["avg(final_loss)"]).toBeCloseTo(mean(losses), 10);
      expect(values["min(final_loss)"]).toBe(Math.min(...losses));
      expect(values["max(final_loss)"]).toBe(Math.max(...losses));
      expect(values["sum(final_loss)"]).toBeCloseTo(mean(losses) * losses.length, 10);
      expect(values["p50(final_loss)"]).toBeCloseTo(percentile(losses, 0.5), 10);
      expect(values["p90(final_loss)"]).toBeCloseTo(percentile(losses, 0.9), 10);
      const best = numbers(own, "best");
      expect(values['p50(metrics."odd/loss".min)']).toBeCloseTo(percentile(best, 0.5), 10);
    }
    // By group, missing ones last.
    const firsts = answer.items.map(
      (item: { group: { batch_size: number } }) => item.group.batch_size,
    );
    expect(firsts).toEqual([...firsts].sort((a, b) => (a ?? 99) - (b ?? 99)));
  });

  it("groups by dates, users and settings in the file, filtered, in any order, page by page", async () => {
    const months = await get("/api/stats/tasks", { group_by: "month(created_at),user" });
    expect(months.items).toEqual([
      { group: { "month(created_at)": "2026-02", user: "anna" }, values: { count: 120 } },
    ]);
    const weeks = await get("/api/stats/tasks", { group_by: "week(created_at)" });
    expect(weeks.items.map((i: { group: object }) => Object.values(i.group)[0])).toEqual([
      "2026-01-26",
      "2026-02-02",
      "2026-02-09",
      "2026-02-16",
      "2026-02-23",
    ]);
    const dates = new Set(runs.map((run) => run.created_at.slice(0, 10)));
    const days = { group_by: "day(created_at)", order_by: "-count", limit: 5 };
    const seen: string[] = [];
    const counts: number[] = [];
    let cursor = "";
    do {
      const page = await get("/api/stats/tasks", { ...days, ...(cursor && { cursor }) });
      for (const { group, values } of page.items) {
        seen.push(group["day(created_at)"]);
        counts.push(values.count);
      }
      expect([page.scanned, page.groups]).toEqual([120, dates.size]);
      cursor = page.next_cursor;
    } while (cursor);
    expect(new Set(seen)).toEqual(dates);
    expect(counts).toEqual([...counts].sort((a, b) => b - a));
    const filtered = await get("/api/stats/tasks", {
      group_by: 'config.network."odd key"',
      filter: "lora_rank = 8 and optimizer = 'lion'",
      select: "count,avg(config.network.alpha),max(created_at)",
    });
    const own = runs.filter((run) => run.lora_rank === 8 && run.optimizer === "lion");
    const total = filtered.items.reduce(
      (sum: number, i: { values: { count: number } }) => sum + i.values.count,
      0,
    );
    expect([total, filtered.scanned, filtered.complete]).toEqual([own.length, 120, true]);
    expect((await get("/api/stats/tasks", { q: "run" })).items[0].values.count).toBe(120);
    expect((await get("/api/stats/tasks", { filter: "id < 0" })).items).toEqual([
      { group: {}, values: { count: 0 } },
    ]);
  });

  it("refuses what is no field, number, bucket or cursor of it", async () => {
    const wrong: Record<string, string>[] = [
      { group_by: "nonsense" },
      { group_by: "day(lora_rank)" },
      { group_by: "moon(created_at)" },
      { group_by: "a,b,c,d,e" },
      { select: "avg(optimizer)" },
      { select: "p0(final_loss)" },
      { select: "p100(final_loss)" },
      { select: "median(final_loss)" },
      { select: "count(" },
      { order_by: "final_loss" },
      { select: "p50(final_loss)", order_by: "p50(final_loss)" },
      { cursor: "x" },
      { filter: "lora_rank =" },
    ];
    for (const query of wrong) await get("/api/stats/tasks", query, 422);
    const { next_cursor } = await get("/api/stats/tasks", { group_by: "batch_size", limit: 1 });
    await get("/api/stats/tasks", { group_by: "lora_rank", limit: 1, cursor: next_cursor }, 422);
  });

  it("names the best run of each group, or the best of all", async () => {
    const board = await get("/api/leaderboard", {
      group_by: "optimizer",
      filter: "status = 'success'",
    });
    const model = groups(
      ["optimizer"],
      runs.filter((run) => run.status === "success" && run.final_loss !== null),
    );
    expect(board.items).toHaveLength(model.size);
    for (const { group, value, runs: count, task } of board.items) {
      const own = model.get(JSON.stringify([group.optimizer])) ?? [];
      expect([value, count]).toEqual([Math.min(...numbers(own, "final_loss")), own.length]);
      expect(own.find((run) => run.id === task.id)?.final_loss).toBe(value);
      expect(task.task_name).toMatch(/^run /);
    }
    const values = board.items.map((item: { value: number }) => item.value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    const most = await get("/api/leaderboard", {
      metric: 'metrics."odd/loss"',
      direction: "max",
      limit: 3,
    });
    expect(most.items.map((item: { value: number }) => item.value)).toEqual(
      numbers(runs, "best")
        .sort((a, b) => b - a)
        .slice(0, 3),
    );
    const all = await get("/api/leaderboard", { limit: 200 });
    expect(all.items).toHaveLength(numbers(runs, "final_loss").length);
    await get("/api/leaderboard", { metric: "task_name" }, 422);
    await get("/api/leaderboard", { metric: "final_loss desc" }, 422);
  });

  it("says which settings go along with the result, on how many runs, and how far to trust it", async () => {
    const answer = await get("/api/stats/influence");
    const of = (name: string) => answer.parameters.find((p: { name: string }) => p.name === name);
    const withBoth = runs.filter((run) => run.lora_rank !== null && run.final_loss !== null);
    expect(answer).toMatchObject({ metric: "final_loss", sampled: false, complete: true });
    expect(answer.runs).toBe(numbers(runs, "final_loss").length);
    expect(answer.parameters[0]).toMatchObject({
      name: "lora_rank",
      kind: "number",
      runs: withBoth.length,
      distinct: 3,
      caution: null,
    });
    expect(of("lora_rank").correlation).toBeGreaterThan(0.9);
    expect(of("lora_rank").groups.map((g: { value: number }) => g.value)).toEqual([4, 8, 16]);
    for (const { value, runs: count, median } of of("lora_rank").groups) {
      const own = withBoth.filter((run) => run.lora_rank === value);
      expect(count).toBe(own.length);
      expect(median).toBeCloseTo(percentile(numbers(own, "final_loss"), 0.5), 10);
    }
    expect(of("optimizer")).toMatchObject({ kind: "category", correlation: null, distinct: 2 });
    expect(of("optimizer").caution).toMatch(/chance/);
    expect(of("config.network.alpha").caution).toMatch(/chance/);
    expect(of('config.network."odd key"').kind).toBe("category");
    // The file's own word for the rank is the same in every run, so it is told once.
    expect(of("config.rank")).toBeUndefined();
    const few = await get("/api/stats/influence", { filter: "final_loss is not null and id <= 5" });
    expect(few.caution).toMatch(/show little/);
    for (const parameter of few.parameters) expect(parameter.caution).toMatch(/Only \d runs/);
    expect((await get("/api/stats/influence", { filter: "id < 0" })).parameters).toEqual([]);
    await get("/api/stats/influence", { metric: "optimizer" }, 422);
  });

  it("ranks and correlates as statistics do", () => {
    expect(ranksOf([10, 30, 20, 20])).toEqual([1, 4, 2.5, 2.5]);
    expect(correlationOf([1, 2, 3], [2, 4, 6])).toBeCloseTo(1);
    expect(correlationOf([1, 1, 1], [2, 4, 6])).toBe(null);
    // Spearman's own formula holds where no values are equal.
    const [xs, ys] = [
      [3, 1, 4, 15, 9, 2, 6, 5],
      [2, 7, 1, 8, 28, 18, 4, 5],
    ];
    const d2 = ranksOf(xs).reduce((sum, rank, i) => sum + (rank - (ranksOf(ys)[i] ?? 0)) ** 2, 0);
    expect(influenceOf("x", xs, ys)?.correlation).toBeCloseTo(1 - (6 * d2) / (8 * 63));
    // A category that decides everything, one that decides nothing, and a name in each run.
    const results = Array.from({ length: 20 }, (_, i) => i);
    const halves = results.map((i) => (i < 10 ? "low" : "high"));
    const turns = results.map((i) => (i % 2 ? "a" : "b"));
    expect(influenceOf("x", halves, results)?.strength).toBeGreaterThan(0.8);
    expect(influenceOf("x", turns, results)).toMatchObject({
      caution: {
        code: "weak-influence",
        params: { runs: 20 },
        message: expect.stringMatching(/chance/),
      },
    });
    expect(influenceOf("x", results.map(String), results)).toBe(null);
    expect(
      influenceOf(
        "x",
        results.map(() => 1),
        results,
      ),
    ).toBe(null);
    const many = influenceOf(
      "x",
      results.map((i) => i / 7),
      results,
    );
    expect(many?.groups).toHaveLength(4);
    expect(many?.groups[0]).toMatchObject({ value: 0, runs: 5, median: 2 });
  });
});

describe("aggregates of many", () => {
  let ledger: Ledger;
  let key: string;
  beforeAll(async () => {
    ledger = await freshLedger();
    const made = await ledger.key({ user: "anna" });
    ({ key } = made);
    await seedTasks(ledger.db, { total: 30_000, userIds: [made.userId] });
    await ledger.request("/api/me", { key });
  }, 120_000);
  const cost = async (query: Record<string, string>) => {
    const response = await ledger.request(`/api/stats/tasks?${new URLSearchParams(query)}`, {
      key,
    });
    const { scanned } = (await response.json()) as { scanned: number };
    return { ...costOf(response), perTask: costOf(response).read / scanned };
  };

  it("reads the founding document's aggregates out of an index, a row a task", async () => {
    const queries: Record<string, string>[] = [
      {
        group_by: "batch_size",
        select:
          "count,avg(final_loss),min(final_loss),avg(total_duration_sec),avg(convergence_step)",
      },
      { group_by: "status" },
      { group_by: "batch_size", select: "avg(convergence_step)", filter: "status = 'pending'" },
    ];
    for (const query of queries) {
      const { trips, perTask } = await cost(query);
      expect(trips).toBe(1);
      // Where a filter's index gives other groups, they are sorted.
      expect(perTask, query.filter).toBeLessThanOrEqual(query.filter ? 2.2 : 1.2);
    }
  });

  it("looks at the newest only where no index serves the filter", async () => {
    const count = async (filter: string, most: number) => {
      const chosen = chooseTasks({ userId: 1 }, { filter, deleted: false });
      const { rows, candidates } = sourceOf(chosen, { newest: most });
      const [found] = await ledger.db.all<{ n: number }>(sql`select count(*) as n from ${rows}`);
      const [looked] = candidates ? await ledger.db.all<{ scanned: number }>(candidates) : [];
      return [found?.n, looked?.scanned ?? null];
    };
    const [newest] = await ledger.db.all<{ n: number }>(sql`
      select count(*) as n from (select * from training_task where deleted_at is null
        order by created_at desc, id desc limit 1000) where lora_rank = 64`);
    expect(await count("lora_rank = 64", 1000)).toEqual([newest?.n, 1000]);
    const [failed] = await ledger.db.all<{ n: number }>(
      sql`select count(*) as n from training_task where deleted_at is null and status = 'failed'`,
    );
    expect(await count("status = 'failed'", 1000)).toEqual([failed?.n, null]);
    expect(await count("status = 'failed' and lora_rank > 0", 100)).toEqual([100, 100]);
  });

  it("draws percentiles of many from a share, says so, and comes near", async () => {
    const { items, approximate } = await ledger.call(
      "/api/stats/tasks?select=p50(final_loss),count(final_loss)",
      { key },
    );
    expect(approximate).toMatchObject({ values: ["p50(final_loss)"] });
    expect(items[0].one_of).toBe(2);
    // Of small groups each value counts, also beside large ones.
    const mixed = await ledger.call(
      "/api/stats/tasks?group_by=status&select=p50(seed),p99(total_duration_sec),p1(total_duration_sec)",
      { key },
    );
    const of = (status: string) =>
      mixed.items.find((item: { group: { status: string } }) => item.group.status === status);
    expect([of("success").one_of > 1, of("failed").one_of]).toEqual([true, 1]);
    const failed = await ledger.db.all<{ v: number }>(
      sql`select total_duration_sec as v from training_task where deleted_at is null and status = 'failed'`,
    );
    for (const [name, share] of [
      ["p99(total_duration_sec)", 0.99],
      ["p1(total_duration_sec)", 0.01],
    ] as const)
      expect(of("failed").values[name]).toBeCloseTo(
        percentile(
          failed.map((row) => row.v),
          share,
        ),
        6,
      );
    const rows = await ledger.db.all<{ v: number }>(
      sql`select final_loss as v from training_task where deleted_at is null and final_loss is not null`,
    );
    const exact = percentile(
      rows.map((row) => row.v),
      0.5,
    );
    expect(items[0].values["count(final_loss)"]).toBe(rows.length);
    expect(Math.abs(items[0].values["p50(final_loss)"] - exact)).toBeLessThan(0.01);
  });

  it("draws influence from the newest runs of many", async () => {
    const answer = await ledger.call("/api/stats/influence?filter=status%20%3D%20'success'", {
      key,
    });
    expect(answer).toMatchObject({ runs: 300, sampled: true });
    expect(answer.parameters.length).toBeGreaterThan(3);
  });
});
