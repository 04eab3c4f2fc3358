import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../../test/harness.ts";
import { chain, ifChanged, ifUnchanged, withChanges } from "./batch.ts";
import { user } from "./schema.ts";

let ledger: Ledger;
beforeEach(async () => {
  ledger = await freshLedger();
});

const named = (name: string) => ledger.db.insert(user).values({ name }).returning();
const rename = (from: string, to: string, when = sql`true`) =>
  ledger.db.update(user).set({ name: to }).where(sql`name = ${from} and ${when}`).returning();

describe("a chain", () => {
  it("answers by name, in one round trip, with what was left out undefined", async () => {
    const { made, nothing, several, none } = await chain(ledger.db, {
      made: named("one"),
      nothing: null,
      several: [named("two"), named("three")],
      none: [],
    });
    expect(made.map(({ name }) => name)).toEqual(["one"]);
    expect(nothing).toBeUndefined();
    expect(several.map(([row]) => row?.name)).toEqual(["two", "three"]);
    expect(none).toEqual([]);
  });

  it("lets a statement depend on what the one before it changed", async () => {
    await named("one");
    const { first, second, third } = await chain(ledger.db, {
      first: rename("one", "two"),
      second: ifChanged("first", (changed) => rename("two", "three", changed)),
      third: ifUnchanged("second", (unchanged) => rename("three", "four", unchanged)),
    });
    expect([first.length, second.length, third.length]).toEqual([1, 1, 0]);
    const { count } = await chain(ledger.db, {
      first: rename("nobody", "two"),
      count: withChanges("first", (rows) => ledger.db.select({ rows }).from(user).limit(1)),
    });
    expect(count).toEqual([{ rows: 0 }]);
  });

  it("refuses a condition on any other statement, and no statements", async () => {
    const refused = (parts: Parameters<typeof chain>[1]) =>
      expect(chain(ledger.db, parts)).rejects.toThrow();
    await refused({});
    await refused({ first: ifChanged("nothing", () => named("one")) });
    await refused({
      first: named("one"),
      second: named("two"),
      third: ifChanged("first", () => named("three")),
    });
    await refused({
      several: [named("one"), named("two")],
      next: ifChanged("several", () => named("three")),
    });
    expect(await ledger.db.select().from(user).where(sql`name in ('one', 'two', 'three')`)).toEqual(
      [],
    );
  });
});
