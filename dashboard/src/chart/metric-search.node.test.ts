import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readSearch } from "./metric-search.ts";

const names = ["loss", "train/loss", "val/loss", "lr/unet", "gpu.0.util", "gpu.10.util"];
const found = (search: string, among = names) => among.filter(readSearch(search).matches);

describe("a search", () => {
  it("finds metrics as people look for them", () => {
    expect(found("")).toEqual(names);
    expect(found("LOSS")).toEqual(["loss", "train/loss", "val/loss"]);
    expect(found("^(train|val)/")).toEqual(["train/loss", "val/loss"]);
    expect(found("gpu\\.\\d\\.")).toEqual(["gpu.0.util"]);
    expect(found("^[^/.]+$")).toEqual(["loss"]);
    expect(found("\\D{9}")).toEqual(["train/loss"]);
  });
  it("takes each character as one, in any script and case", () => {
    const foreign = ["损失/训练", "PERTE_ÉVALUÉE", "loss😀"];
    expect(found("^损失.训练$", foreign)).toEqual(["损失/训练"]);
    expect(found("évaluée$", foreign)).toEqual(["PERTE_ÉVALUÉE"]);
    expect(found("^loss.$", foreign)).toEqual(["loss😀"]);
    expect(found("\\p{Han}", foreign)).toEqual(["损失/训练"]);
  });
  it("that is no expression finds all, and says why", () => {
    const why = (search: string) => readSearch(search).mistake?.why;
    expect(
      ["(", "a)", "[", "*", "\\", "\\q", "[z-a]", "a{3,1}", "(?=a)", "(a)\\1"].map(why),
    ).toEqual([
      ...["missing closing )", "unexpected )", "missing closing ]"],
      ...["missing argument to repetition operator", "trailing backslash at end of expression"],
      ...["invalid escape sequence", "invalid character class range", "invalid repeat count"],
      ...["invalid or unsupported Perl syntax", "invalid escape sequence"],
    ]);
    expect(found("(")).toEqual(names);
    for (const search of ["a".repeat(201), "😀".repeat(201), "a{999}", "((a{9}){9}){9}"]) {
      expect(readSearch(search).mistake?.text).toBe("The regular expression is too large.");
      expect(found(search)).toEqual(names);
    }
    expect(readSearch("😀".repeat(200)).mistake).toBeNull();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (search, name) => {
        const { matches, mistake } = readSearch(search);
        expect(matches(name) || mistake === null).toBe(true);
      }),
    );
  });
  it("ends soon over 500 long names, with an expression that others never end with", () => {
    const long = Array.from({ length: 500 }, (_, n) => `${"a".repeat(124)}${n}`);
    for (const search of [
      ...["(a+)+$", "(a*)*b", "(a*)*[b-z]", ".*.*.*.*.*.*x", "(a|aa)+$", "(a{0,9}){18}b"],
      ...["(a{0,9}){18}[b-z]$", "(.?){90}[b-z]", "(a|.)*a(a|.){90}[b-z]"],
    ]) {
      const begin = performance.now();
      expect([search, found(search, long), readSearch(search).mistake]).toEqual([search, [], null]);
      expect(performance.now() - begin, search).toBeLessThan(10_000);
    }
  });
});
