// Questions that a reader may ask: bounded in what they cost, and refused by name beyond.
import { sql } from "drizzle-orm";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { likeSql } from "../../src/platform/filter/compile.ts";
import { freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let key: string;
const RUNS = 400;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key({ user: "viola" }));
  const { userId } = await ledger.key();
  const config = JSON.stringify(
    Object.fromEntries(Array.from({ length: 800 }, (_, n) => [`key_${n}`, `value ${n}`])),
  );
  await ledger.db.run(sql`
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${RUNS})
    insert into training_task (user_id, task_name, notes, registration_key, registration_hash)
    select ${userId}, 'run ' || i, ${"a".repeat(50_000)}, 'long:' || i, '' from n`);
  await ledger.db.run(sql`
    insert into task_config (task_id, format, sha256, snapshot, original)
    select id, 'json', '', ${config}, x'' from training_task`);
});

const ask = (path: string, query: Record<string, string>) =>
  ledger.request(`${path}?${new URLSearchParams(query)}`, { key });

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** What looking through all texts once takes the database on the reference machine while nobody else works, in ms. */
const REFERENCE_MS = 60;
const lookThrough = () =>
  ledger.db.all(sql`select sum(length(replace(notes, 'b', 'c'))) from training_task`);

/**
 * That an answer takes less than so many ms, at best of three. Other work on the machine makes it later as it makes
 * a fixed work of the database, right before and behind it, and the bound goes along with that. A long work waits for
 * more turns than a short one, so that it has twice the time.
 */
async function expectQuick(path: string, query: Record<string, string>, most: number) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3 && least >= most; i++) {
    const before = await timeOf(lookThrough);
    const took = await timeOf(async () => {
      const response = await ask(path, query);
      const text = await response.text();
      expect([response.status, response.status === 200 ? "" : text]).toEqual([200, ""]);
    });
    const slowness = (before + (await timeOf(lookThrough))) / 2 / REFERENCE_MS;
    least = Math.min(least, took / (2 * Math.max(1, slowness)));
  }
  expect(least).toBeLessThan(most);
}

const config = (count: number) => Array.from({ length: count }, (_, n) => `config.key_${n}`);

describe("a pattern", () => {
  it("means what LIKE means, however it is spelled in SQL", async () => {
    const letters = fc.array(fc.constantFrom("a", "B", "b", "é", "%", "_", "x", "日"), {
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(letters, letters, async (pattern, text) => {
        const [p, t] = [pattern.join(""), text.join("")];
        const [row] = await ledger.db.all<{ like: number; ours: number }>(
          sql`select t like ${p} as like, ${likeSql(sql`t`, p, 1)} as ours from (select ${t} as t)`,
        );
        expect([p, t, row?.ours]).toEqual([p, t, row?.like]);
      }),
      { numRuns: 400 },
    );
  });

  it.each([
    ["longer than 200 characters", `notes like '%${"a".repeat(200)}%'`],
    ["more than 6 wildcards", `notes like '${"%a".repeat(7)}%'`],
    ["at most 20 characters", `notes like '%${"a".repeat(21)}%b%c'`],
    ["more than 20 comparisons by like", Array(21).fill("notes like '%a%'").join(" or ")],
    [
      "more than 50 comparisons of config",
      config(51)
        .map((name) => `${name} = 1`)
        .join(" or "),
    ],
  ])("is refused where it is %s", async (why, filter) => {
    const response = await ask("/api/tasks", { filter });
    const body = await response.json<{ detail: string; position: number }>();
    expect([response.status, body.detail]).toEqual([422, expect.stringContaining(why)]);
    expect(body.position).toBeGreaterThan(0);
  });

  it.each<[most: number, filter: string]>([
    [650, `notes like '%${"a".repeat(197)}b%'`],
    [650, `notes like '${"a".repeat(100)}%${"a".repeat(97)}b'`],
    [650, `notes like '${`%${"a".repeat(19)}`.repeat(5)}b%'`],
    // So many at a fifth of the runs: at all of them a busy machine's database is given up before it answers.
    [
      1100,
      `id <= ${RUNS / 5} and (${Array(20)
        .fill(`notes like '%${"a".repeat(190)}b%'`)
        .join(" or ")})`,
    ],
  ])(
    "costs the text's length, not the pattern's too, in less than %i ms (%#)",
    async (most, filter) => {
      // The database spent 1.8 s on the first of these where it compared each place with the pattern.
      await expectQuick("/api/tasks", { filter }, most);
    },
  );
});

describe("what is asked of configurations", () => {
  it("costs little, by as many keys as one may name", async () => {
    const many = config(40).join(",");
    const values = Array.from({ length: 500 }, (_, n) => `'${n}'`).join(", ");
    const either = config(50)
      .map((name) => `${name} in ('1', '2', '3', 4, 5, 6)`)
      .join(" or ");
    await expectQuick("/api/table", { fields: many, limit: "200" }, 1000);
    await expectQuick("/api/tasks/export", { columns: config(200).join(",") }, 2500);
    await expectQuick("/api/tasks", { filter: `config.key_1 in (${values})` }, 500);
    await expectQuick("/api/tasks", { filter: either }, 2000);
  });

  it("looks at fewer tasks a call the more it asks, and goes on from there", async () => {
    const { scanned } = await ledger.call(
      `/api/tasks?${new URLSearchParams({ filter: "config.none = 1" })}`,
      { key },
    );
    expect(scanned).toBe(RUNS);
    const { withinWeight, MOST_SCANNED } = await import("../../src/runs/queries.ts");
    expect([0, 1, 4, 50].map((weight) => withinWeight(MOST_SCANNED, weight))).toEqual([
      50_000, 50_000, 50_000, 4000,
    ]);
  });

  it("keeps a group's key short, and tells groups apart by its beginning and length", async () => {
    const long = "x".repeat(200_000);
    for (const [n, value] of [long, long, `${long}y`, "x"].entries())
      await ledger.call("/api/tasks", {
        key: (await ledger.key()).key,
        json: {
          task_name: `long ${n}`,
          config: { text: JSON.stringify({ style: value }), format: "json" },
        },
      });
    const { items } = await ledger.call("/api/stats/tasks?group_by=config.style", { key });
    expect(
      items.map(({ group, values }: { group: Record<string, string>; values: object }) => [
        group["config.style"]?.replace(/x{2,}/, "x…"),
        values,
      ]),
    ).toEqual([
      ["x", { count: 1 }],
      ["x…… (200000)", { count: 2 }],
      ["x…… (200001)", { count: 1 }],
      [undefined, { count: RUNS }],
    ]);
  });
});
