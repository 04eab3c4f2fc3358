import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { xAxes } from "./curves.ts";
import { usual as first, readView, type View, viewParams } from "./view.ts";

const usual: View = {
  ...{ metric: "loss", axis: "step", log: false, smoothing: 0.9, all: false, zoom: null },
  marks: true,
};
const read = (text: string) => readView(new URLSearchParams(text), first);

describe("the view of curves in an address", () => {
  it("is the usual one where it is silent or says nothing that can be shown", () => {
    expect(read("")).toEqual(usual);
    expect(readView(new URLSearchParams(), { ...first, axis: "time" }).axis).toBe("time");
    const own = { axis: "epoch", log: true, smoothing: 0.5 } as const;
    expect(readView(new URLSearchParams("smooth=7"), own)).toEqual({ ...usual, ...own });
    // An axis that the curves lack is none.
    expect(readView(new URLSearchParams("x=images"), first, ["step", "time"]).axis).toBe("step");
    for (const text of [
      ...["smooth=1", "smooth=-0.1", "smooth=x", "x=moon", "y=some", "log=true", "curve="],
      ...[
        "zoom=1",
        "zoom=2:1",
        "zoom=1:1",
        "zoom=a:b",
        "zoom=:5",
        "zoom=1:2:3",
        "zoom=0:Infinity",
        "marks=1",
      ],
    ])
      expect(read(text), text).toEqual(usual);
  });
  it("is what it says", () => {
    expect(read("curve=val%2Floss&x=epoch&log=1&smooth=0&y=all&marks=0&zoom=-0.5:1.25")).toEqual({
      ...{ metric: "val/loss", axis: "epoch", log: true, smoothing: 0, all: true },
      marks: false,
      zoom: [-0.5, 1.25],
    });
  });
  it("is read back as it was written, and takes what is usual out of the address", () => {
    const view = fc.record({
      metric: fc.string({ minLength: 1 }),
      axis: fc.constantFrom(...xAxes),
      log: fc.boolean(),
      smoothing: fc.integer({ min: 0, max: 99 }).map((n) => n / 100),
      all: fc.boolean(),
      marks: fc.boolean(),
      zoom: fc.option(
        fc
          .tuple(fc.integer(), fc.nat())
          .map(([low, more]): [number, number] => [
            Math.floor(low / 10),
            Math.floor(low / 10) + more / 8 + 1,
          ]),
      ),
    });
    const own = fc.record({
      axis: fc.constantFrom(...xAxes),
      log: fc.boolean(),
      smoothing: fc.constantFrom(0, 0.5, 0.9),
    });
    fc.assert(
      fc.property(view, own, (wanted, first) => {
        const params = new URLSearchParams();
        for (const [name, value] of Object.entries(viewParams(wanted, first)))
          if (value !== null) params.set(name, value);
        const { zoom, ...others } = readView(params, first);
        const { zoom: asked, ...rest } = wanted;
        expect(others).toEqual(rest);
        for (const [n, end] of (asked ?? []).entries())
          expect(zoom?.[n]).toBeCloseTo(end, Math.abs(end) < 1e6 ? 2 : -2);
      }),
    );
    const nothing = { curve: null, x: null, log: null, smooth: null, y: null, zoom: null };
    expect(viewParams(usual, first)).toEqual({ ...nothing, marks: null });
  });
  it("changes by what is asked alone, but a stretch of an axis goes with the axis", () => {
    expect(viewParams({ log: true }, first)).toEqual({ log: "1" });
    expect(viewParams({ axis: "time" }, first)).toEqual({ x: "time", zoom: null });
    expect(viewParams({ zoom: [1 / 3, 200.123456789] }, first)).toEqual({
      zoom: "0.333333333:200.123457",
    });
  });
});
