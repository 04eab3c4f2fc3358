import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findMistake } from "./complete.ts";
import {
  findSearchMistake,
  joinSearch,
  printFilter,
  readFilter,
  splitSearch,
  termsOf,
  withoutTerm,
  withTerm,
} from "./search.ts";

const split = (text: string) => {
  const { q, filter } = splitSearch(text);
  return [q, filter];
};

describe("the text of the search box", () => {
  it.each([
    ["", "", ""],
    ["  aki  夜空 ", "aki  夜空", ""],
    ["lora_rank > 16", "", "lora_rank > 16"],
    ["lora_rank", "lora_rank", ""],
    ["aki lora_rank > 16", "aki", "lora_rank > 16"],
    ["aki and lora_rank > 16", "aki", "lora_rank > 16"],
    ["lora_rank > 16 aki", "aki", "lora_rank > 16"],
    ["lora_rank > 16 and aki", "aki", "lora_rank > 16"],
    ["night lora_rank > 16 or seed = 1 aki two", "night aki two", "lora_rank > 16 or seed = 1"],
    ["aki (lora_rank > 16 or seed = 1)", "aki", "(lora_rank > 16 or seed = 1)"],
    ["aki not (lora_rank>16)", "aki", "not (lora_rank>16)"],
    ["aki seed is not null", "aki", "seed is not null"],
    ["aki optimizer in ('adamw', 'lion')", "aki", "optimizer in ('adamw', 'lion')"],
    ["task_name like '%a > b%'", "", "task_name like '%a > b%'"],
    ["is in like", "is in like", ""],
    ['"a = b"', '"a = b"', ""],
    ['"a = b" lora_rank > 16', '"a = b"', "lora_rank > 16"],
    ['aki config."a b"[0] = 2', "aki", 'config."a b"[0] = 2'],
    ["aki tags.kind = 'style'", "aki", "tags.kind = 'style'"],
  ])("%j is words and a filter", (text, q, filter) => {
    expect(split(text)).toEqual([q, filter]);
  });
  it.each(["lora_rank >= ", "lora_rank > 16 and seed", "aki or lora_rank > 16", "= 4", "a = b"])(
    "%j is a filter with a mistake",
    (text) => {
      const { position } = findSearchMistake(text) ?? {};
      expect(position).toBeGreaterThan(0);
      expect(split(text)[1]).not.toBe("");
    },
  );
  it("has its mistake where it was typed", () => {
    expect(findSearchMistake("aki lora_rank > ")).toMatchObject({ position: 16 });
    expect(findSearchMistake("aki night")).toBeNull();
  });
  it("is split into what it was joined from", () => {
    for (const [q, filter] of [
      ["", ""],
      ["aki", ""],
      ["", "lora_rank > 16"],
      ["aki 夜", "lora_rank > 16 or seed = 1"],
      ["not", "seed = 1"],
      ["that and", "seed = 1"],
    ] as const) {
      const again = splitSearch(joinSearch(q, filter));
      expect(again.filter).toBe(filter);
      expect(again.q.replaceAll('"', "")).toBe(q);
    }
    // Words of an old link that look like a comparison stay words.
    expect(split(joinSearch("a=b", ""))).toEqual(['"a=b"', ""]);
    expect(split(joinSearch("a=b", "seed = 1"))).toEqual(['"a=b"', "seed = 1"]);
  });
  it("splits any text in no time, and loses none of a filter that parses", () => {
    const typed = fc
      .array(
        fc.constantFrom(
          "aki",
          "lora_rank",
          ">",
          "16",
          "and",
          "or",
          "not",
          "(",
          ")",
          "'x'",
          '"',
          "is null",
          "in (",
          "=",
          " ",
          "夜",
        ),
      )
      .map((parts) => parts.join(" "));
    fc.assert(
      fc.property(fc.oneof(typed, fc.string({ unit: "grapheme" })), (text) => {
        const { filter, q } = splitSearch(text);
        if (text.trim() && findMistake(text) === null) expect(filter).toBe(text.trim());
        expect(q.length + filter.length).toBeLessThanOrEqual(text.length + 1);
      }),
    );
    const began = performance.now();
    for (const length of [2000, 100_000])
      for (const part of ["a ", "( ", '"', "not ", "a.", "(not("])
        splitSearch(part.repeat(length).slice(0, length));
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

describe("a filter's conditions", () => {
  it("are printed as they are read", () => {
    for (const text of [
      "lora_rank = 64",
      "not (seed = 1 or seed = 2)",
      "seed is not null",
      "(a.b = 'it''s' or seed is null) and config.\"a b\"[0] like '%x%'",
      "optimizer in ('adamw', 'lion') and status != 'failed'",
      "optimizer not in ('adamw')",
    ]) {
      const printed = printFilter(readFilter(text) ?? expect.unreachable());
      expect(printFilter(readFilter(printed) ?? expect.unreachable())).toBe(printed);
    }
    expect(termsOf("seed = 1 and (lora_rank > 4 or lora_rank < 2)")).toEqual([
      "seed = 1",
      "(lora_rank > 4 or lora_rank < 2)",
    ]);
  });
  it("are added once and taken away", () => {
    expect(withTerm("", "seed = 1")).toBe("seed = 1");
    expect(withTerm("seed=1", "seed = 1")).toBe("seed=1");
    expect(withTerm("seed=1", "lora_rank = 4")).toBe("seed=1 and lora_rank = 4");
    expect(withTerm("seed=1 or seed=2", "lora_rank = 4")).toBe(
      "(seed=1 or seed=2) and lora_rank = 4",
    );
    expect(withTerm("seed = ", "lora_rank = 4")).toBe("lora_rank = 4");
    expect(withoutTerm("seed=1 and lora_rank = 4", "lora_rank = 4")).toBe("seed = 1");
    expect(withoutTerm("seed=1", "seed = 1")).toBe("");
  });
});
