import { describe, expect, it } from "vitest";
import { joinTail, partsOf, placesOf, unpackLog } from "./console-lines.ts";

describe("a live console", () => {
  it("joins what a report repeats with what is new", () => {
    const cases: [seen: string[], tail: string, joined: string[]][] = [
      [[], "a\nb\n", ["a", "b"]],
      [["a", "b"], "a\nb", ["a", "b"]],
      [["a", "b"], "b\nc\n", ["a", "b", "c"]],
      // The bar at the end has moved on.
      [["a", "10%"], "a\n20%", ["a", "20%"]],
      [["a", "b", "10%"], "b\n20%", ["a", "b", "20%"]],
      // The tail's first line is cut.
      [["long line", "b"], "ne\nb\nc", ["long line", "b", "c"]],
      [["long line", "b", "10%"], "ne\nb\n20%", ["long line", "b", "20%"]],
      [["a"], "x\ny", ["a", "…", "x", "y"]],
      [["", ""], "\nb", ["", "", "b"]],
    ];
    for (const [seen, tail, joined] of cases)
      expect([tail, joinTail(seen, tail)]).toEqual([tail, joined]);
  });

  it("is bounded, however long it is watched", () => {
    let lines: string[] = [];
    for (let n = 0; n < 30; n++)
      lines = joinTail(lines, Array.from({ length: 1000 }, (_, i) => `${n} ${i}`).join("\n"));
    expect(lines).toHaveLength(20_000);
    expect(lines.at(-1)).toBe("29 999");
  });
});

describe("a search", () => {
  it("finds lines whatever the case, and parts them by the word", () => {
    expect(placesOf(["Loss 1", "x", "a loss"], "LOSS")).toEqual([0, 2]);
    expect(placesOf(["a", "b"], "")).toEqual([]);
    expect(
      placesOf(
        Array.from({ length: 50 }, () => "a"),
        "a",
        7,
      ),
    ).toHaveLength(7);
    expect(partsOf("aXbxc", "x")).toEqual(["a", "X", "b", "x", "c"]);
    expect(partsOf("(.*)", ".*")).toEqual(["(", ".*", ")"]);
    expect(partsOf("İx", "x")).toEqual(["İx"]);
    for (const line of ["", "a", "aaa", "<b>"]) expect(partsOf(line, "a").join("")).toBe(line);
  });
});

describe("a whole log", () => {
  const streamOf = (bytes: BlobPart) => new Blob([bytes]).stream();
  const pack = (text: string) => streamOf(text).pipeThrough(new CompressionStream("gzip"));

  it("is unpacked into its lines", async () => {
    expect(await unpackLog(pack("a\nΩ\n\nlast"))).toEqual({
      ...{ lines: ["a", "Ω", "", "last"], isCut: false },
    });
    expect(await unpackLog(pack(""))).toEqual({ lines: [], isCut: false });
  });

  it("ends where a page can hold no more, though it would unpack to far more", async () => {
    const numbers = "0123456789\n".repeat(200_000);
    const { lines, isCut } = await unpackLog(pack(numbers), undefined, 1_100);
    expect(lines).toHaveLength(100);
    expect(isCut).toBe(true);
    const long = await unpackLog(pack("x".repeat(3_000_000)), undefined, 1_000_000);
    expect(long.isCut).toBe(true);
    expect(long.lines).toEqual([`${"x".repeat(16_384)}…`]);
  });

  it("that is none is refused", async () => {
    await expect(unpackLog(streamOf("not packed"))).rejects.toThrow();
    const whole = await new Response(pack("cut off".repeat(1000))).arrayBuffer();
    await expect(unpackLog(streamOf(whole.slice(0, 30)))).rejects.toThrow();
  });
});
