import { sql } from "drizzle-orm";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";
import { listTasks } from "../../runs/queries.ts";
import { chooseTasks } from "../../runs/select.ts";
import { FilterError, parseFilter } from "../../shared/filter-grammar.ts";
import type { Place } from "./request.ts";

describe("parsing", () => {
  const fault = (source: string) => {
    try {
      parseFilter(source);
    } catch (error) {
      if (error instanceof FilterError) return [error.position, error.message] as const;
      throw error;
    }
    return null;
  };

  it("gives precedence to not over and over or", () => {
    const shape = (source: string): unknown =>
      JSON.parse(
        JSON.stringify(parseFilter(source), (key, value) =>
          key === "position" ? undefined : value,
        ),
      );
    expect(shape("seed = 1 or seed = 2 and not seed = 3")).toEqual(
      shape("(seed = 1) or ((seed = 2) and (not (seed = 3)))"),
    );
    expect(shape("NOT seed IS NULL")).toEqual(shape("seed is not null"));
    expect(shape('metrics."loss/current".min <= -1.5e-3')).toMatchObject({
      field: { path: ["metrics", "loss/current", "min"] },
      literal: { value: -0.0015 },
    });
    expect(shape("config.a.b[0].c = 'it''s'")).toMatchObject({
      field: { path: ["config", "a", "b", 0, "c"] },
      literal: { value: "it's" },
    });
  });

  it("says where a mistake is and what should be there", () => {
    for (const [source, position, message] of [
      ["", 1, /a field should be/],
      ["lora_rank", 10, /operator/],
      ["lora_rank =", 12, /a number, a 'text'/],
      ["lora_rank = 64 lora_alpha = 1", 16, /`and`, `or` or the end/],
      ["(lora_rank = 64", 16, /`\)`/],
      ["optimizer = adamw", 13, /single quotes: 'adamw'/],
      ["optimizer = 'adamw", 13, /no closing '/],
      ["optimizer in ()", 15, /a number, a 'text'/],
      ["seed = null", 8, /is null/],
      ["seed ; drop table user", 6, /";" means nothing/],
      ["seed = 1e999", 8, /too large/],
      ["and = 1", 1, /a field/],
      ["seed = 1\0", 9, /NUL/],
    ] as const) {
      const found = fault(source);
      expect([source, found?.[0]]).toEqual([source, position]);
      expect(found?.[1]).toMatch(message);
    }
    expect(fault(`seed = 1${" or seed = 1".repeat(300)}`)?.[1]).toMatch(/comparisons/);
    expect(fault(`${"(".repeat(5000)}seed = 1${")".repeat(4000)}`)?.[1]).toMatch(/deeper/);
    expect(fault(`${"not ".repeat(2000)}seed = 1`)?.[1]).toMatch(/deeper/);
    expect(fault("x".repeat(10_001))?.[1]).toMatch(/longer/);
    fc.assert(
      fc.property(fc.string({ maxLength: 60, unit: "grapheme" }), (source) => {
        fault(source); // Any other error than a FilterError fails the test.
      }),
      { numRuns: 2000 },
    );
  });
});

describe("filters and orders over the API", () => {
  let ledger: Ledger;
  let key: string;
  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key({ user: "anna" }));
    const bert = await ledger.key({ user: "bert" });
    const make = async (json: Record<string, unknown>, loss: number[] | null, by = key) => {
      const { task_id } = await ledger.call("/api/tasks", { key: by, json });
      if (!loss) return;
      await ledger.call(`/api/tasks/${task_id}/heartbeat`, {
        key: by,
        json: {
          seq: 1,
          logs: loss.map((value, i) => ({
            step: i + 1,
            metrics: { loss: value, "loss/current": value * 2 },
          })),
        },
      });
      await ledger.call(`/api/tasks/${task_id}/finish`, { key: by, json: { status: "success" } });
    };
    await make(
      { task_name: "a", lora_rank: 64, optimizer: "adamw", tags: { kind: "style" } },
      [0.5, 0.2],
    );
    await make(
      { task_name: "b", lora_rank: 64, optimizer: "lion", tags: { kind: 'it\'s "odd"' } },
      [0.9, 0.4],
    );
    await make({ task_name: "c", lora_rank: 32, optimizer: "AdamW8bit" }, [0.1, 0.3], bert.key);
    await make(
      {
        task_name: "d",
        config: {
          text: 'network_dim = 8\npretrained_model_name_or_path = "m"\nnetwork_module = "networks.lora"\n[extra]\nflag = true\nlist = [1, 2]\nlr = "1e-4"\n',
        },
      },
      null,
    );
    await make({ task_name: "e 日本" }, null);
  });

  const names = async (filter: string, more = "") =>
    (
      await ledger.call(`/api/tasks?filter=${encodeURIComponent(filter)}${more}`, { key })
    ).items.map((t: { task_name: string }) => t.task_name);

  it("answer the founding document's questions", async () => {
    expect(await names("lora_rank = 64 and final_loss < 0.3")).toEqual(["a"]);
    expect(
      await names(
        "lora_rank = 64 and final_loss < 0.3 or optimizer in ('lion') or tags.kind = 'style'",
      ),
    ).toEqual(["b", "a"]);
    expect(await names("tags.kind = 'it''s \"odd\"'")).toEqual(["b"]);
    expect(await names("optimizer like 'adamw%'")).toEqual(["d", "c", "a"]);
    expect(await names("optimizer not like 'adamw%'")).toEqual(["b"]);
    expect(await names("user = 'bert'")).toEqual(["c"]);
    expect(await names("task_name like '%日本'")).toEqual(["e 日本"]);
    expect(await names("status = 'success' and metrics.loss.min <= 0.1")).toEqual(["c"]);
    expect(await names('metrics."loss/current" > 0.7')).toEqual(["b"]);
    expect(await names("metrics.loss.count = 2 and metrics.loss.max < 0.6")).toEqual(["c", "a"]);
    expect(await names("config.extra.flag = true and config.extra.list[1] = 2")).toEqual(["d"]);
    expect(await names("config.network_dim = 8")).toEqual(["d"]);
    expect(await names("config.network_dim = '8'")).toEqual([]);
    expect(await names("config.extra.lr != 5")).toEqual(["d"]);
    expect(
      await names(
        "created_at >= '2020-01-01' and created_at < '2099-01-01T00:00:00Z' and lora_rank = 32",
      ),
    ).toEqual(["c"]);
    expect(await names(`created_at = '${new Date().toISOString().slice(0, 10)}'`)).toHaveLength(5);
  });

  it("treat a comparison with a missing value as false", async () => {
    expect(await names("lora_rank != 64")).toEqual(["d", "c"]);
    expect(await names("not lora_rank = 64")).toEqual(["e 日本", "d", "c"]);
    expect(await names("lora_rank not in (64, 8)")).toEqual(["c"]);
    expect(await names("lora_rank is null")).toEqual(["e 日本"]);
    expect(await names("lora_rank is not null")).toEqual(["d", "c", "b", "a"]);
    expect(await names("tags.kind is null and lora_rank > 0")).toEqual(["d", "c"]);
  });

  it("order by anything, missing values last", async () => {
    expect(await names("", "&order_by=final_loss")).toEqual(["a", "c", "b", "e 日本", "d"]);
    expect(await names("", "&order_by=-final_loss")).toEqual(["b", "c", "a", "e 日本", "d"]);
    expect(await names("", "&order_by=metrics.loss.max%20desc,task_name")).toEqual([
      "b",
      "a",
      "c",
      "d",
      "e 日本",
    ]);
    expect(await names("lora_rank > 0", "&order_by=-lora_rank,-task_name")).toEqual([
      "b",
      "a",
      "c",
      "d",
    ]);
    expect(await names("", "&order_by=config.network_dim,-task_name&limit=2")).toEqual([
      "d",
      "e 日本",
    ]);
  });

  it("refuse what is wrong with its position", async () => {
    for (const [filter, position] of [
      ["lora_rank = '64'", 13],
      ["nonsense = 1", 1],
      ["config = 1", 1],
      ["created_at > 5", 14],
      ["created_at > 'yesterday'", 14],
      ["lora_rank like '6%'", 16],
      ["seed = 1 or or", 13],
    ] as const) {
      const problem = await ledger.call(
        `/api/tasks?filter=${encodeURIComponent(filter)}`,
        { key },
        422,
      );
      expect([filter, problem.position]).toEqual([filter, position]);
      expect(problem.errors[0].path).toBe("filter");
    }
    for (const [order, position] of [
      ["nonsense", 1],
      ["final_loss, -nonsense desc", 14],
      ["final_loss,", 12],
      ["a,b,c,d", 1],
    ] as const) {
      const path = `/api/tasks?order_by=${encodeURIComponent(order)}`;
      expect([order, (await ledger.call(path, { key }, 422)).position]).toEqual([order, position]);
    }
    const first = await ledger.call("/api/tasks?limit=1&order_by=task_name", { key });
    await ledger.call(
      `/api/tasks?limit=1&order_by=-task_name&cursor=${first.next_cursor}`,
      { key },
      422,
    );
    await ledger.call(`/api/tasks?limit=1&cursor=${first.next_cursor}`, { key }, 422);
  });

  it("refuse forged cursors", async () => {
    const list = "/api/tasks?limit=1&order_by=task_name";
    const { next_cursor: cursor } = await ledger.call(list, { key });
    const [name, id, text] = JSON.parse(atob(cursor));
    for (const forged of [
      [name],
      [name, id],
      [name, id, text, text],
      [name, "1", text],
      [name, 1.5, text],
      [name, id, { a: 1 }],
      [name, id, true],
      ["tasks", id, text],
      {},
      null,
    ]) {
      const problem = await ledger.call(
        `${list}&cursor=${btoa(JSON.stringify(forged))}`,
        { key },
        422,
      );
      expect(problem.errors[0].path).toBe("cursor");
    }
    for (const raw of ["", "x", "%00", "💥", cursor.slice(0, -3), btoa(`["${name}",1,"\\ud800"]`)])
      await ledger.call(`${list}&cursor=${encodeURIComponent(raw)}`, { key }, 422);
    // Whatever text a cursor gives as its place is a value, never SQL.
    const odd = btoa(JSON.stringify([name, 1, "b' or 1=1 --\u0000"]));
    expect((await ledger.call(`${list}&cursor=${odd}`, { key })).items[0].task_name).toBe("c");
  });

  it("take the longest filters there may be", async () => {
    const list = Array.from({ length: 500 }, (_, n) => n).join(",");
    const nested = (left: (inner: string, n: number) => string, levels: number) =>
      Array.from({ length: levels }).reduce<string>(
        (inner, _, n) => left(inner, n),
        "lora_rank = 64",
      );
    const longest = [
      `${"not ".repeat(27)}seed in (${list})`,
      nested((inner, n) => `(seed = 1 ${n % 2 ? "and" : "or"} (${inner}))`, 13),
      nested((inner, n) => `seed = 1 ${n % 2 ? "or lora_rank > 0 and" : "or"} (${inner})`, 27),
      nested((inner) => `(seed is null and not (seed = 1 or not (${inner})))`, 5),
      nested((inner, n) => `not (tags.x is null ${n % 2 ? "and" : "or"} ${inner})`, 13),
      // As bushy as 200 comparisons can be.
      nested((inner, n) => (n < 7 ? `(${inner}) ${n % 2 ? "and" : "or"} (${inner})` : inner), 7),
      `config.extra.lr in (${list}) or config.extra.flag in (${list}) or ${"seed = 1 or ".repeat(180)}lora_rank = 64`,
      `created_at in (${Array.from({ length: 500 }, () => "'2026-01-01'").join(",")}) or lora_rank = 64`,
    ];
    const all = (await names("")).sort();
    for (const filter of longest) {
      const both = [...(await names(filter)), ...(await names(`not (${filter})`))];
      expect([filter, both.sort()]).toEqual([filter, all]);
    }
    expect(await names("task_name = 'a''; drop table user; --'")).toEqual([]);
    const nul = await ledger.call("/api/tasks?filter=task_name%20%3D%20%27a%00%27", { key }, 422);
    expect(nul.detail).toContain("control character");
  });

  it("find a metric also while its run lasts", async () => {
    const { task_id } = await ledger.call("/api/tasks", { key, json: { task_name: "runs" } });
    const logs = [3, 7, 5].map((loss, i) => ({ step: i + 1, metrics: { loss, odd: "NaN" } }));
    await ledger.call(`/api/tasks/${task_id}/heartbeat`, { key, json: { seq: 1, logs } });
    expect(await names("metrics.loss = 5")).toEqual(["runs"]);
    expect(await names("metrics.loss.max = 7 and metrics.loss.count = 3")).toEqual(["runs"]);
    expect(await names("metrics.odd > 0 or metrics.odd < 0")).toEqual([]);
    await ledger.call(`/api/tasks/${task_id}/finish`, { key, json: { status: "success" } });
    expect(await names("metrics.loss = 5")).toEqual(["runs"]);
    expect(await names("task_name = 'runs'", "&order_by=-metrics.loss")).toEqual(["runs"]);
    await ledger.call(`/api/tasks/${task_id}`, { key, method: "DELETE" }, 204);
  });

  it("end a page early only with a cursor that goes on, and say how many were looked at", async () => {
    const answer = await ledger.call(`/api/tasks?filter=${encodeURIComponent("lora_rank = 7")}`, {
      key,
    });
    expect(answer).toEqual({ items: [], next_cursor: null, scanned: 5 });
  });

  it("read little where the first tasks match", async () => {
    const response = await ledger.request(
      `/api/tasks?limit=1&filter=${encodeURIComponent("seed is null")}`,
      { key },
    );
    expect(costOf(response)).toMatchObject({ trips: 1, written: 0 });
    expect(costOf(response).read).toBeLessThanOrEqual(10);
  });
});

describe("against a plain model", () => {
  type Row = {
    id: number;
    task_name: string;
    status: string;
    created_at: string;
    lora_rank: number | null;
    final_loss: number | null;
    best: number | null;
    optimizer: string | null;
    kind: string | null;
    notes: string | null;
  };
  const ranks = [4, 8, 16, 32];
  const optimizers = ["adamw", "lion", "prodigy"];
  const losses = [0.1, 0.1 + 0.2, 0.25, 1 / 3, 12345.678901234567];
  const days = ["2026-01-30", "2026-01-31", "2026-02-01"];
  const notes = ["night sky", "夜空", "sky 夜", "空の夜 night"];
  let ledger: Ledger;
  let key: string;
  let userId: number;
  const rows: Row[] = [];

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key, userId } = await ledger.key({ user: "anna" }));
    const values = fc.sample(
      fc.record({
        lora_rank: fc.option(fc.constantFrom(...ranks)),
        final_loss: fc.option(fc.constantFrom(...losses)),
        best: fc.option(fc.constantFrom(...losses)),
        optimizer: fc.option(fc.constantFrom(...optimizers)),
        kind: fc.option(fc.constantFrom("style", "face")),
        notes: fc.option(fc.constantFrom(...notes)),
        status: fc.constantFrom("success", "failed", "pending"),
        day: fc.constantFrom(...days),
      }),
      { numRuns: 300, seed: 7 },
    );
    for (const [n, { kind, final_loss, best, status, day, ...fields }] of values.entries()) {
      const task_name = `task ${n % 40}`;
      const json = {
        ...fields,
        task_name,
        ...(kind && { tags: { kind } }),
        import: { source: `model ${n}`, status, ...(final_loss !== null && { final_loss }) },
      };
      const { task_id: id } = await ledger.call("/api/tasks", { key, json });
      // No request dates a task back, and none gives one a metric without its points.
      const created_at = `${day}T10:00:00.000Z`;
      await ledger.db.batch([
        ledger.db.run(sql`update training_task set created_at = ${created_at} where id = ${id}`),
        ledger.db.run(sql`
          insert into metric_summary (task_id, metric, count, nonfinite_count, last)
          select ${id}, 'best', 1, 0, ${best} where ${best} is not null`),
      ]);
      rows.push({ id, task_name, status, created_at, final_loss, best, kind, ...fields });
    }
  }, 60_000);

  type Test = { text: string; holds: (row: Row) => boolean };
  const operators: Record<string, (a: number | string, b: number | string) => boolean> = {
    "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
    "<": (a, b) => a < b,
    "<=": (a, b) => a <= b,
    ">": (a, b) => a > b,
    ">=": (a, b) => a >= b,
  };
  const comparison = (
    field: keyof Row,
    name: string,
    literals: (number | string)[],
  ): fc.Arbitrary<Test> =>
    fc.oneof(
      fc
        .tuple(fc.constantFrom(...Object.keys(operators)), fc.constantFrom(...literals))
        .map(([operator, literal]) => ({
          text: `${name} ${operator} ${typeof literal === "string" ? `'${literal}'` : literal}`,
          holds: (row: Row) => {
            const value = row[field];
            return value !== null && (operators[operator]?.(value, literal) ?? false);
          },
        })),
      fc.subarray(literals, { minLength: 1 }).chain((list) =>
        fc.boolean().map((negated) => ({
          text: `${name} ${negated ? "not in" : "in"} (${list.map((l) => (typeof l === "string" ? `'${l}'` : l)).join(", ")})`,
          holds: (row: Row) =>
            row[field] !== null && list.includes(row[field] as never) !== negated,
        })),
      ),
      fc.boolean().map((negated) => ({
        text: `${name} is ${negated ? "not " : ""}null`,
        holds: (row: Row) => (row[field] === null) !== negated,
      })),
    );
  const leaf = fc.oneof(
    comparison("lora_rank", "lora_rank", ranks),
    comparison("final_loss", "final_loss", losses),
    comparison("optimizer", "optimizer", optimizers),
    comparison("kind", "tags.kind", ["style", "face"]),
    comparison("best", "metrics.best", losses),
    comparison("status", "status", ["success", "pending"]),
    fc.constantFrom("=", "!=", "<", "<=", ">", ">=").chain((operator) =>
      fc.constantFrom(...days, "2026-01").map((day) => ({
        text: `created_at ${operator} '${day}'`,
        holds: (row: Row) =>
          operators[operator]?.(row.created_at.slice(0, day.length), day) ?? false,
      })),
    ),
  );
  const { filter } = fc.letrec<{ filter: Test; joined: Test; negated: Test }>((tie) => ({
    filter: fc.oneof({ maxDepth: 3 }, leaf, tie("joined"), tie("negated")),
    joined: fc
      .tuple(tie("filter"), fc.constantFrom("and", "or"), tie("filter"))
      .map(([a, word, b]) => ({
        text: `(${a.text}) ${word} (${b.text})`,
        holds: (row) =>
          word === "and" ? a.holds(row) && b.holds(row) : a.holds(row) || b.holds(row),
      })),
    negated: tie("filter").map((a) => ({ text: `not (${a.text})`, holds: (row) => !a.holds(row) })),
  }));
  const orders = {
    lora_rank: "lora_rank",
    final_loss: "final_loss",
    optimizer: "optimizer",
    "tags.kind": "kind",
    task_name: "task_name",
    created_at: "created_at",
    "metrics.best": "best",
  } as const;
  type By = { by: keyof typeof orders; descending: boolean };
  const order = fc.array(
    fc.record({
      by: fc.constantFrom(...(Object.keys(orders) as By["by"][])),
      descending: fc.boolean(),
    }),
    { maxLength: 2 },
  );
  const words = fc.option(
    fc.constantFrom("night", "sky ni", "夜", "空", "夜空", '"night sky"', "の夜"),
    {
      freq: 2,
      nil: undefined,
    },
  );
  const has: Record<string, (text: string) => boolean> = {
    "sky ni": (text) => text.includes("sky") && text.includes("ni"),
    '"night sky"': (text) => text.includes("night sky"),
  };

  /** The ids that a plain reading of the rows gives. */
  function expected(test: Test, by: By[], q: string | undefined) {
    const sorted: By[] = by.length || q ? by : [{ by: "created_at", descending: true }];
    return rows
      .filter(
        (row) =>
          test.holds(row) &&
          (!q || (row.notes !== null && (has[q] ?? ((text) => text.includes(q)))(row.notes))),
      )
      .sort((a, b) => {
        for (const { by: name, descending } of sorted) {
          const [x, y] = [a[orders[name]], b[orders[name]]];
          if (x === y) continue;
          if (x === null) return 1;
          if (y === null) return -1;
          return (x < y ? -1 : 1) * (descending ? -1 : 1);
        }
        return b.id - a.id;
      })
      .map((row) => row.id);
  }
  const orderBy = (by: By[]) =>
    by.length ? by.map((o) => `${o.descending ? "-" : ""}${o.by}`).join(",") : undefined;
  const check = (seen: number[], ids: number[]) => {
    const known = new Set(rows.map((row) => row.id));
    expect(seen.filter((id) => known.has(id))).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  };
  let added = 0;
  const addOne = () =>
    ledger.call("/api/tasks", {
      key,
      json: {
        task_name: `later ${added}`,
        lora_rank: 8,
        optimizer: "lion",
        notes: "night sky 夜空",
      },
    });

  it("every filter in every order gives the same tasks on every page, while tasks are added", async () => {
    await fc.assert(
      fc.asyncProperty(
        filter,
        order,
        words,
        fc.integer({ min: 20, max: 200 }),
        async (test, by, q, limit) => {
          const seen: number[] = [];
          let cursor: string | null = null;
          do {
            const asked = { filter: test.text, order_by: orderBy(by), q, cursor, limit };
            const query = new URLSearchParams(
              Object.entries(asked).flatMap(([name, value]) =>
                value === null || value === undefined ? [] : [[name, String(value)]],
              ),
            );
            const answer: { items: { id: number }[]; next_cursor: string | null } =
              await ledger.call(`/api/tasks?${query}`, { key });
            seen.push(...answer.items.map((item) => item.id));
            cursor = answer.next_cursor;
            if (added++ % 10 === 0) await addOne();
          } while (cursor);
          check(seen, expected(test, by, q));
        },
      ),
      { numRuns: 120 },
    );
  }, 180_000);

  it("the same where a page ends because it has looked at enough tasks", async () => {
    await fc.assert(
      fc.asyncProperty(
        filter,
        order,
        words,
        fc.integer({ min: 3, max: 60 }),
        fc.integer({ min: 30, max: 200 }),
        async (test, by, q, limit, most) => {
          const chosen = chooseTasks(
            { userId },
            { filter: test.text, order_by: orderBy(by), q, deleted: false },
          );
          const seen: number[] = [];
          let place: Place | undefined;
          do {
            const { rows: drawn, resumeAt } = await listTasks(
              ledger.db,
              {},
              { chosen, place, limit, most },
            );
            seen.push(...drawn.slice(0, limit).map((row) => row.id));
            place = (drawn.length > limit ? drawn[limit - 1]?.place : resumeAt) ?? undefined;
            if (added++ % 50 === 0) await addOne();
          } while (place);
          check(seen, expected(test, by, q));
        },
      ),
      { numRuns: 300 },
    );
  }, 180_000);
});
