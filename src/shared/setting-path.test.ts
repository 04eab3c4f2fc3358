import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { parseField } from "./filter-grammar.ts";
import {
  keywords,
  leavesOf,
  parsePath,
  printPath,
  type Segment,
  splitAtCommas,
} from "./setting-path.ts";

const name = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom("network_dim", "8bit", "a.b", "a[0]", "", 'say "hi"', "a,b", "阿尔法", "x y"),
  fc.constantFrom(...keywords, "In", "NULL"),
);
const path = fc.array(fc.oneof({ weight: 3, arbitrary: name }, fc.nat(20)), {
  minLength: 1,
  maxLength: 5,
});

it("reads back each path that it prints", () => {
  fc.assert(
    fc.property(path, (segments) => {
      expect(parsePath(printPath(segments))).toEqual(segments);
    }),
    { numRuns: 2000 },
  );
});

it("prints paths that the filter language reads", () => {
  const named = fc.tuple(name, path).map(([first, rest]): Segment[] => [first, ...rest]);
  fc.assert(
    fc.property(named, (segments) => {
      expect(parseField(printPath(segments)).path).toEqual(segments);
    }),
    { numRuns: 2000 },
  );
});

it("quotes what is no plain word, and a keyword at the beginning", () => {
  expect(printPath(["config", "a b", 0, "c"])).toBe('config."a b"[0].c');
  expect(printPath(["Not", "in", 'say "hi"'])).toBe('"Not".in."say ""hi"""');
  expect(parsePath("network/linear.odd key[2]")).toEqual(["network/linear", "odd key", 2]);
});

it("splits lists at the commas outside quotes", () => {
  expect(splitAtCommas('a,config."b,c",,d')).toEqual(["a", 'config."b,c"', "", "d"]);
  const list = fc.array(path.map(printPath), { minLength: 1 });
  fc.assert(
    fc.property(list, (paths) => {
      expect(splitAtCommas(paths.join(","))).toEqual(paths);
    }),
  );
});

it("names the values of a document", () => {
  const document = { "odd key": [{ in: 1 }, 2], in: { "a.b": null, plain: [1, 2] }, none: {} };
  expect([...leavesOf<unknown>(document)]).toEqual([
    ['"odd key"[0].in', 1],
    ['"odd key"[1]', 2],
    ['"in"."a.b"', null],
    ['"in".plain', [1, 2]],
  ]);
  expect([...leavesOf([[{ a: 1 }], "b"], "config", 1).keys()]).toEqual(["config[0][0].a"]);
});

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger();
});

it("prints paths by which a filter finds the setting", async () => {
  const { key } = await ledger.key({ user: "anna" });
  // SQLite's own paths have no way to write these two.
  const writable = path.map((segments) =>
    segments.map((one) => (typeof one === "string" ? one.replace(/["\\]/g, "'") : one % 3)),
  );
  let n = 0;
  await fc.assert(
    fc.asyncProperty(writable, async (segments) => {
      const value = `value ${++n}`;
      const [first, ...rest] = segments;
      const inner = rest.reduceRight<unknown>(
        (held, one) =>
          typeof one === "number"
            ? Array.from({ length: one + 1 }, (_, at) => (at === one ? held : null))
            : { [one]: held },
        value,
      );
      const { task_id: id } = await ledger.call("/api/tasks", {
        key,
        json: { config_snapshot: { [String(first)]: inner } },
      });
      const filter = `${printPath(["config", String(first), ...rest])} = '${value}'`;
      const { items } = await ledger.call(`/api/tasks?filter=${encodeURIComponent(filter)}`, {
        key,
      });
      expect([filter, items.map((item: { id: number }) => item.id)]).toEqual([filter, [id]]);
    }),
    { numRuns: 60 },
  );
});
