import { describe, expect, it } from "vitest";
import { readSources, wingFaults } from "./wings.ts";

/** The faults of a house of these files alone. */
const faultsOf = (files: Record<string, string>, allowed: string[] = []) =>
  wingFaults(new Map(Object.entries(files)), allowed);

describe("the order of the house", () => {
  it("is kept", () => {
    expect(wingFaults(readSources())).toEqual([]);
  });

  it.each([
    ["an arrow up", { "platform/a.ts": 'import { b } from "../runs/b.ts";' }, /platform is below/],
    ["a type's arrow up", { "files/a.ts": 'import type { B } from "../runs/b.ts";' }, /is below/],
    ["a neighbour", { "queue/a.ts": 'import { b } from "../models/b.ts";' }, /queue is below/],
    ["an export", { "alerts/a.ts": 'export { b } from "../metrics/b.ts";' }, /alerts is below/],
    ["a room of no wing", { "tasks/a.ts": "" }, /no wing/],
    ["routes elsewhere", { "runs/a.ts": "export const a = new Hono();" }, /\.routes\.ts/],
    ["who imports routes", { "runs/a.ts": 'import { b } from "./b.routes.ts";' }, /only app\.ts/],
    ["what is shared", { "shared/a.ts": 'import { sql } from "drizzle-orm";' }, /zod alone/],
    ["who writes, in SQL", { "queue/a.ts": "sql`update training_task set x`" }, /only src\/runs/],
    ["who writes, in drizzle", { "runs/a.ts": "db.insert(storedObject)" }, /only src\/files/],
    ["a batch by position", { "runs/a.ts": "await db.batch([a, b]);" }, /chain\(\) names/],
    ["a condition by hand", { "runs/a.ts": "sql`x where changes() = 1`" }, /chain\(\) names/],
    ["what is outside", { "runs/a.ts": 'import "../../scripts/b.ts";' }, /outside src/],
  ])("refuses %s", (_, files: Record<string, string>, fault) => {
    expect(faultsOf(files)).toEqual([expect.stringMatching(fault)]);
  });

  it("lets exceptions be, until they are none", () => {
    const files = { "queue/a.ts": 'import { b } from "../models/b.ts";' };
    expect(faultsOf(files, ["queue/a.ts -> models/b.ts"])).toEqual([]);
    expect(faultsOf({ "queue/a.ts": "" }, ["queue/a.ts -> models/b.ts"])).toEqual([
      expect.stringMatching(/no longer/),
    ]);
  });
});
