// Cells that a spreadsheet would run, whatever sign parts its columns.
import { describe, expect, it } from "vitest";
import { csvCell } from "../../src/reports/export-formats.ts";

describe("a text in CSV", () => {
  it.each([
    ["=1+1", "'=1+1"],
    ["+1", "'+1"],
    ["-1", "'-1"],
    ["@SUM(A1)", "'@SUM(A1)"],
    ["\t=1", `"'\t=1"`],
    ["x;=1+1;y", '"x;=1+1;y"'],
    ["x\t=1+1", '"x\t=1+1"'],
    ["x|=1+1", '"x|=1+1"'],
    ["x,=1+1", '"x,=1+1"'],
    ['say "hi"; =1', '"say ""hi""; =1"'],
    ["a = b", "a = b"],
    ["flux-dev", "flux-dev"],
  ])("%j is written as %j", (text, cell) => {
    expect(csvCell(text, "text")).toBe(cell);
  });

  it("leaves numbers as they are", () => {
    expect(csvCell(-1.5, "number")).toBe("-1.5");
  });
});
