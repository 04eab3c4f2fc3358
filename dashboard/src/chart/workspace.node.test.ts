import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Arrangement,
  arrangementParams,
  bounded,
  groupsOf,
  moved,
  readArrangement,
  toggled,
  unarranged,
} from "./workspace.ts";

const names = ["loss", "train/b", "train/a", "val/loss", "lr", "gpu.0.util", "sys.cpu"];
const shown = (arrangement: Partial<Arrangement>, more = {}) =>
  groupsOf(names, { ...unarranged, ...arrangement }, more).map(({ name, metrics }) => [
    name,
    ...metrics,
  ]);

describe("the grid of metrics", () => {
  it("has all of them in groups, without the machine's", () => {
    expect(shown({})).toEqual([
      ["", "loss"],
      ["val", "val/loss"],
      ["train", "train/a", "train/b"],
      ["lr", "lr"],
    ]);
  });
  it("has the pinned ones first, without the hidden ones and those that are not searched", () => {
    const arrangement = { pinned: ["lr", "gone", "train/b"], hidden: ["gpu.0.util", "lr"] };
    expect(shown(arrangement)).toEqual([
      ...[
        ["/pinned", "train/b"],
        ["", "loss"],
        ["val", "val/loss"],
        ["train", "train/a"],
      ],
    ]);
    expect(shown(arrangement, { all: true })[0]).toEqual(["/pinned", "lr", "train/b"]);
    expect(shown({}, { matches: (name: string) => name.includes("loss") })).toEqual([
      ...[
        ["", "loss"],
        ["val", "val/loss"],
      ],
    ]);
  });
  it("moves a metric within its group, and no further", () => {
    const all = { ...unarranged, pinned: ["loss", "lr"], order: ["x", "train/b"] };
    const [pins, , train] = groupsOf(names, all);
    if (!pins || !train) throw new Error("groups are missing");
    expect(train.metrics).toEqual(["train/b", "train/a"]);
    expect(moved(all, train, "train/a", -1)).toEqual({ order: ["x", "train/a", "train/b"] });
    expect(moved(all, train, "train/a", 1)).toEqual({});
    expect(moved(all, train, "nothing", 1)).toEqual({});
    // Among the metrics that a search has found, a move swaps places with the next found one.
    const found = { ...train, metrics: ["t/x", "t/y"] };
    const whole = ["t/a", "t/x", "t/b", "t/y"];
    expect(moved(unarranged, found, "t/y", -1, whole).order).toEqual([
      ...["t/a", "t/y", "t/x", "t/b"],
    ]);
    expect(moved(all, pins, "loss", 5)).toEqual({ pinned: ["lr", "loss"] });
    expect(toggled(["a"], "b")).toEqual(["a", "b"]);
    expect(toggled(["a", "b"], "a")).toEqual(["b"]);
  });
  it("keeps no more names than a person's defaults take", () => {
    const many = Array.from({ length: 2000 }, (_, n) => `m${n}`);
    expect(bounded(many)).toHaveLength(300);
    expect(bounded(many).at(-1)).toBe("m1999");
    const long = Array.from({ length: 300 }, (_, n) => `${n}${"é".repeat(100)}`);
    const lists = {
      pinned: bounded(long),
      hidden: bounded(long),
      order: bounded(long),
      collapsed: bounded(long),
    };
    expect(new TextEncoder().encode(JSON.stringify(lists)).length).toBeLessThan(16_384);
  });
  it("is read from an address as it was written, above what its person likes", () => {
    const list = fc.uniqueArray(
      fc.oneof(
        fc.string({ unit: fc.constantFrom("a", "~", ",", "0", "1", "2", "/"), minLength: 1 }),
      ),
      { maxLength: 6 },
    );
    const arrangement = fc.record({ pinned: list, hidden: list, order: list, collapsed: list });
    fc.assert(
      fc.property(arrangement, arrangement, (wanted, own) => {
        const params = new URLSearchParams();
        for (const [name, value] of Object.entries(arrangementParams(wanted, own)))
          if (value) params.set(name, value);
        expect(readArrangement(params, own)).toEqual(wanted);
      }),
    );
    expect(arrangementParams({ pinned: ["a"] }, { pinned: ["a"] })).toEqual({ pin: null });
    expect(arrangementParams({ pinned: [] }, { pinned: ["a"] })).toEqual({ pin: "~0" });
    expect(
      arrangementParams({ order: Array.from({ length: 300 }, (_, n) => `metric${n}`) }, {}),
    ).toEqual({ order: null });
  });
});
