import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MOST_CHARACTERS, PatternError, patternOf } from "./pattern.ts";

describe("a pattern", () => {
  it("finds what the browser's own regular expressions find", () => {
    const { pattern } = fc.letrec<{ atom: string; piece: string; pattern: string }>((tie) => ({
      atom: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.constantFrom("a", "B", "/", "_", "1", ".", "\\.", "\\d", "\\W", "\\w", "[a-c]", "[^/]"),
        fc.constantFrom("[]]".replace("]]", "\\]]"), "[\\d_]", "[a-]", "^", "$"),
        tie("pattern").map((inner) => `(${inner})`),
        tie("pattern").map((inner) => `(?:${inner})`),
      ),
      piece: fc
        .tuple(tie("atom"), fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?"))
        // A place alone is nothing that can be repeated.
        .map(([atom, quantifier]) => (/^[$^]$/.test(atom) ? atom : atom + quantifier)),
      pattern: fc
        .array(fc.oneof({ weight: 6, arbitrary: tie("piece") }, fc.constant("|")), { maxLength: 5 })
        .map((pieces) => pieces.join("")),
    }));
    const name = fc.string({ unit: fc.constantFrom(..."aAbBc/_.1-]"), maxLength: 8 });
    fc.assert(
      fc.property(pattern, name, (text, one) => {
        fc.pre([...text].length <= 60);
        expect(patternOf(text)(one), `${text} in ${one}`).toBe(new RegExp(text, "i").test(one));
      }),
      { numRuns: 3000 },
    );
  });
  it("finds metrics as people look for them", () => {
    const names = ["loss", "train/loss", "val/loss", "lr/unet", "gpu.0.util", "gpu.10.util"];
    const found = (text: string) => names.filter(patternOf(text));
    expect(found("")).toEqual(names);
    expect(found("LOSS")).toEqual(["loss", "train/loss", "val/loss"]);
    expect(found("^(train|val)/")).toEqual(["train/loss", "val/loss"]);
    expect(found("gpu\\.\\d\\.")).toEqual(["gpu.0.util"]);
    expect(found("^[^/.]+$")).toEqual(["loss"]);
    expect(found("\\D{9}")).toEqual(["train/loss"]);
    expect(patternOf("a{x}")("a{x}")).toBe(true);
  });
  it("says why a text is none", () => {
    const why = (text: string) => {
      try {
        patternOf(text);
      } catch (error) {
        if (error instanceof PatternError) return error.reason;
        throw error;
      }
      return null;
    };
    expect(
      ["(", "a)", "[", "[]", "*", "a|+", "\\", "\\q", "[z-a]", "a{3,1}", "(?=a)", "(?<n>a)"].map(
        why,
      ),
    ).toEqual([
      ...["a group is not closed", "a group is closed that was not opened"],
      ...["a class is not closed", "a class is not closed", "there is nothing to repeat"],
      ...[
        "there is nothing to repeat",
        "nothing follows the backslash",
        "this escape is not known",
      ],
      ...["a range is out of order", "the bounds of a repetition are out of order"],
      ...["this kind of group is not known", "this kind of group is not known"],
    ]);
    for (const text of ["a".repeat(MOST_CHARACTERS + 1), "a{999}", "((a{99}){99}){99}"])
      expect(why(text)).toBe("it is too large");
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => why(text) !== undefined));
  });
  it("takes no longer for any pattern over 500 long names than a moment", () => {
    const names = Array.from({ length: 500 }, (_, n) => `${"a".repeat(124)}${n}`);
    for (const text of [
      "(a+)+$",
      "(a*)*b",
      ".*.*.*.*.*.*x",
      "(a|aa)+$",
      "(a{0,9}){20}b",
      "(.?){100}b",
    ]) {
      const begin = performance.now();
      expect(names.filter(patternOf(text))).toEqual([]);
      expect(performance.now() - begin, text).toBeLessThan(4000);
    }
  });
});
