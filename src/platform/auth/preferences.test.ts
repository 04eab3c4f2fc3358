import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";

const path = "/api/me/preferences/charts";

describe("preferences", () => {
  let ledger: Ledger;
  let anna: string;
  let viewer: string;
  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key: anna } = await ledger.key({ user: "anna" }));
    ({ key: viewer } = await ledger.key({ user: "vera", role: "viewer" }));
  });
  const put = (value: unknown, status = 200, key = anna) =>
    ledger.call(path, { key, method: "PUT", json: { value } }, status);

  it("are each person's own, over all of their keys, and replaced as a whole", async () => {
    expect(await ledger.call(path, { key: anna })).toEqual({
      ...{ name: "charts", value: {}, updated_at: null },
    });
    const value = {
      axis: "epoch",
      smoothing: 0.5,
      log: true,
      pinned: ["val/loss"],
      hidden: ["a,b"],
    };
    expect(await put(value)).toMatchObject({ name: "charts", value });
    await put({ pinned: ["lr"] }, 200, viewer);
    const { key: second } = await ledger.key({ user: "anna", scopes: ["tasks:read"] });
    expect((await ledger.call(path, { key: second })).value).toEqual(value);
    expect((await ledger.call(path, { key: viewer })).value).toEqual({ pinned: ["lr"] });
    const { updated_at } = await put({ order: ["b", "a"], collapsed: ["gpu"] }, 200, second);
    const now = await ledger.call(path, { key: anna });
    expect(now).toEqual({
      name: "charts",
      value: { order: ["b", "a"], collapsed: ["gpu"] },
      updated_at,
    });
    const [row] = await ledger.db.all<{ n: number }>(sql`select count(*) as n from preference`);
    expect(row?.n).toBe(2);
  });

  it("refuse what is not valid or too large, and store nothing of it", async () => {
    await put({ axis: "step" });
    for (const value of [
      ...[
        null,
        [],
        "x",
        { axis: "moon" },
        { smoothing: 1 },
        { smoothing: -0.1 },
        { smoothing: "0.5" },
      ],
      ...[{ pinned: [""] }, { pinned: ['a"b'] }, { hidden: ["x".repeat(251)] }, { more: 1 }],
      { order: Array.from({ length: 501 }, (_, n) => `m${n}`) },
      { order: Array.from({ length: 400 }, (_, n) => `metric ${n} ${"x".repeat(40)}`) },
    ])
      await put(value, 422);
    await ledger.call(
      "/api/me/preferences/board",
      { key: anna, method: "PUT", json: { value: {} } },
      422,
    );
    await ledger.call("/api/me/preferences/board", { key: anna }, 422);
    await ledger.call(path, { key: anna, method: "PUT", json: { value: {}, name: "x" } }, 422);
    expect((await ledger.call(path, { key: anna })).value).toEqual({ axis: "step" });
  });

  it("give a stored value that this release does not know for none", async () => {
    await put({ axis: "time" });
    await ledger.db.run(sql`update preference set value = '{"axis":"moon"}'
      where user_id = (select id from user where name = 'anna')`);
    expect((await ledger.call(path, { key: anna })).value).toEqual({});
  });

  it("note how far each person has read the alerts, and nothing else", async () => {
    const alerts = "/api/me/preferences/alerts";
    const note = (value: unknown, status = 200, key = anna) =>
      ledger.call(alerts, { key, method: "PUT", json: { value } }, status);
    expect(await ledger.call(alerts, { key: anna })).toEqual({ value: {}, updated_at: null });
    expect(await note({ seen: 7, whose: "all" })).toMatchObject({
      value: { seen: 7, whose: "all" },
    });
    await note({ seen: 2 }, 200, viewer);
    for (const value of [null, [], { seen: -1 }, { seen: 1.5 }, { seen: "7" }, { whose: "nobody" }])
      await note(value, 422);
    await note({ axis: "step" }, 422);
    await note({ seen: Number.MAX_SAFE_INTEGER + 1 }, 422);
    expect((await ledger.call(alerts, { key: anna })).value).toEqual({ seen: 7, whose: "all" });
    expect((await ledger.call(alerts, { key: viewer })).value).toEqual({ seen: 2 });
  });

  it("take one round trip and a row", async () => {
    const sent = { key: anna, method: "PUT", json: { value: { log: true } } };
    const written = costOf(await ledger.request(path, sent));
    expect(written.trips).toBe(1);
    expect(written.written).toBeLessThanOrEqual(2);
    const read = costOf(await ledger.request(path, { key: anna }));
    expect(read).toMatchObject({ trips: 1, written: 0 });
    expect(read.read).toBeLessThanOrEqual(2);
  });
});
