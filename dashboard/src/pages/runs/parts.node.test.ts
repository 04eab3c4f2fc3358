import { describe, expect, it } from "vitest";
import { nearestNames } from "../../../../src/shared/nearest.ts";
import type { Row } from "../../types.ts";
import { add, jobsOf, noSum, replacedField, undoOf } from "./bulk.ts";
import { conditionsOf } from "./cell-filter.ts";
import { findMistake } from "./complete.ts";
import { readSearches, withSearch } from "./kept.ts";
import { cutName } from "./names.ts";
import { type FilterRow, printRow, printRows, readRows, rowMistake } from "./rows-of-filter.ts";

describe("a long name", () => {
  const parts = (name: string, neighbours: string[], room: number) => {
    const { ahead, head, tail, behind } = cutName(name, neighbours, room);
    expect(ahead + head + tail + behind).toBe(name);
    return [ahead, head, tail, behind];
  };
  it("stays whole where there is room", () => {
    expect(parts("aki", ["aki 2"], 20)).toEqual(["", "aki", "", ""]);
    expect(parts("", [], 20)).toEqual(["", "", "", ""]);
  });
  it("loses what a neighbour begins and ends with, by whole words", () => {
    expect(
      parts(
        "rank-sweep dim=32 lr=13e-5 seed=1 data=aki-v2",
        ["rank-sweep dim=32 lr=12e-5 seed=1 data=aki-v2"],
        30,
      ),
    ).toEqual(["rank-sweep dim=32 lr=", "13e-5 seed=1 data=aki-v2", "", ""]);
    expect(
      parts(
        "rank-sweep dim=32 lr=13e-5 seed=1 data=aki-v2",
        ["rank-sweep dim=32 lr=12e-5 seed=1 data=aki-v2"],
        12,
      ),
    ).toEqual(["rank-sweep dim=32 lr=", "13e-5", "", " seed=1 data=aki-v2"]);
  });
  it("gives way in its middle, without half a letter", () => {
    const [, head = "", tail = ""] = parts("x".repeat(40) + "🎉".repeat(20), [], 20);
    expect(tail).toBe("🎉".repeat(5));
    expect(head.endsWith("🎉")).toBe(true);
    expect(parts("夜空".repeat(20), ["夜空".repeat(20)], 20)[2]).toBe("空夜空夜空");
  });
});

describe("a cell's conditions", () => {
  const row = { status: "failed", failure_reason: "oom" } as Row;
  it("say the value, and what is above and below it", () => {
    expect(conditionsOf("status", row, null)).toEqual([
      ...["status = 'failed'", "failure_reason = 'oom'", "status != 'failed'"],
    ]);
    expect(conditionsOf("lora_rank", row, 32)[1]).toBe("lora_rank >= 32");
    expect(conditionsOf("optimizer", row, "it's")[0]).toBe("optimizer = 'it''s'");
    expect(conditionsOf("created_at", row, "2026-05-01T10:00:00Z")[1]).toBe(
      "created_at >= '2026-05-01'",
    );
    expect(conditionsOf("notes", row, "x".repeat(300))).toEqual(["notes is not null"]);
    expect(conditionsOf("seed", row, null)).toEqual(["seed is null", "seed is not null"]);
    expect(conditionsOf("curve", row, null)).toEqual([]);
    for (const value of [7.000000000000001e-5, -1e-300, 1e21])
      for (const condition of conditionsOf("final_loss", row, value))
        expect(findMistake(condition)).toBeNull();
  });
});

describe("the rows of the builder", () => {
  const row = (field: string, operator: FilterRow["operator"], value = "") => ({
    ...{ field, operator, value },
  });
  it("are conditions of the filter language", () => {
    expect(
      [
        row("lora_rank", ">=", "16"),
        row("optimizer", "=", "16"),
        row("config.seed", "=", "16"),
        row("tags.kind", "=", "16"),
        row("task_name", "contains", "50%_'"),
        row("optimizer", "in", "adamw, lion,"),
        row("seed", "null", "x"),
        row("", "=", "1"),
        row("seed", "=", " "),
      ].map(printRow),
    ).toEqual([
      ...["lora_rank >= 16", "optimizer = '16'", "config.seed = 16", "tags.kind = '16'"],
      ...["task_name like '%50__''%'", "optimizer in ('adamw', 'lion')", "seed is null"],
      ...[null, null],
    ]);
  });
  it("come back from the filter that they made, and from no other", () => {
    for (const filter of [
      "lora_rank >= 16 and optimizer in ('adamw', 'lion') and seed is not null",
      "task_name like '%aki%' or task_name like 'aki%'",
    ])
      expect(printRows(readRows(filter) ?? expect.unreachable())).toBe(filter);
    for (const filter of [
      "not lora_rank = 1",
      "a = 1 and (b = 2 or c = 3)",
      "seed = ",
      "a like 'x'",
    ])
      expect(readRows(filter)).toBeNull();
  });
  it("say which of them is wrong", () => {
    expect(rowMistake(row("lora rank", "=", "1"))).not.toBeNull();
    expect(rowMistake(row("lora_rank", "=", "1"))).toBeNull();
    expect(rowMistake(row("", "=", ""))).toBeNull();
    expect(rowMistake(row("seed = 1 or seed", "=", "1"))).not.toBeNull();
    expect(rowMistake(row("seed", "in", ","))).not.toBeNull();
  });
});

describe("a change of many runs", () => {
  const targets = [
    { id: 1, before: null },
    { id: 2, before: "a" },
    { id: 3, before: "b" },
    { id: 4, before: "b" },
  ];
  it("is undone by what runs had before", () => {
    expect(undoOf({ action: "group", group: "a" }, targets)).toEqual([
      { change: { action: "group", group: null }, ids: [1] },
      { change: { action: "group", group: "b" }, ids: [3, 4] },
    ]);
    expect(undoOf({ action: "tag", tags: { k: "b" } }, targets)).toEqual([
      { change: { action: "untag", tags: ["k"] }, ids: [1] },
      { change: { action: "tag", tags: { k: "a" } }, ids: [2] },
    ]);
    expect(undoOf({ action: "delete" }, targets)).toEqual([
      { change: { action: "restore" }, ids: [1, 2, 3, 4] },
    ]);
    expect(undoOf({ action: "cancel" }, targets)).toBeNull();
    expect(undoOf({ action: "queue" }, targets)).toBeNull();
    expect(replacedField({ action: "tag", tags: { 'a "b"': "" } })).toBe('tags."a ""b"""');
  });
  it("is done in parts, whose sums add up", () => {
    const many = Array.from({ length: 450 }, (_, id) => ({ id, before: null }));
    expect(jobsOf({ action: "delete" }, many).map(({ ids }) => ids.length)).toEqual([200, 200, 50]);
    const part = { matched: 2, changed: 1, skipped: [{ reason: "running", count: 1 }] };
    expect(add(add(noSum, part), part)).toEqual({
      matched: 4,
      changed: 2,
      skipped: [{ reason: "running", count: 2 }],
    });
  });
});

it("searches are kept once each, the latest first, and nothing else that lies there", () => {
  expect(withSearch(["a", "b"], "b")).toEqual(["b", "a"]);
  expect(withSearch(["a"], "")).toEqual(["a"]);
  expect(withSearch(["a"], "x".repeat(501))).toEqual(["a"]);
  expect(readSearches('["a", 1, ""]')).toEqual(["a"]);
  for (const text of [null, "", "{", "{}", "7"]) expect(readSearches(text)).toEqual([]);
});

it("names that are misspelt find those nearest to them", () => {
  const known = ["lora_rank", "conv_lora_rank", "seed", "final_loss", "user"];
  expect(nearestNames("lora_rnk", known)[0]).toBe("lora_rank");
  expect(nearestNames("Lora_Rank", known)[0]).toBe("lora_rank");
  expect(nearestNames("rank", known)).toEqual(["lora_rank", "conv_lora_rank"]);
  expect(nearestNames("usre", known)).toEqual(["user"]);
  expect(nearestNames("zzzzz", known)).toEqual([]);
  expect(nearestNames("x".repeat(10_000), known)).toEqual([]);
});
