import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runFields } from "../../../../src/shared/run-fields.ts";
import type { Row } from "../../types.ts";
import { runsWhere, splitLabels } from "../board/text.ts";
import {
  askedFields,
  byLabel,
  columnLabel,
  fieldsOf,
  fieldText,
  readColumns,
  sortable,
  writeColumns,
} from "./columns.ts";
import { completions, findMistake, words } from "./complete.ts";
import { newsOf, staleRows, withNews } from "./rows.ts";

describe("columns of an address", () => {
  const brief = (text: string) =>
    readColumns(text).map(({ name, kind, width }) => [name, kind, width]);

  it("have the widths that it gives, within bounds, or their own", () => {
    expect(brief("lora_rank,final_loss:150,notes:9999,seed:1,user:0")).toEqual([
      ["lora_rank", "setting", 64],
      ["final_loss", "measure", 150],
      ["notes", "text", 800],
      ["seed", "setting", 48],
      ["user", "text", 100],
    ]);
  });
  it("may be any field, also with a comma or colon in its quoted name", () => {
    expect(brief('metrics.loss,config."a,b":90,config."c:d",tags.kind:x')).toEqual([
      ["metrics.loss", "measure", 130],
      ['config."a,b"', "text", 90],
      ['config."c:d"', "text", 130],
      ["tags.kind:x", "text", 130],
    ]);
  });
  it("are none where it names none", () => {
    for (const text of ["", ",", ",,,"]) expect(readColumns(text)).toEqual([]);
  });
  it("are written as they were read, with the widths that differ", () => {
    for (const text of ["status,lora_rank:80,config.network_dim", 'tags."a,b":99,id', ""])
      expect(writeColumns(readColumns(text))).toBe(text);
    expect(writeColumns(readColumns("lora_rank:64,x:130"))).toBe("lora_rank,x");
  });
  it("ask the server for fields, not for what is drawn from the row itself", () => {
    const { fields, at } = fieldsOf(readColumns("status,lora_rank,curve,user,progress"));
    expect(fields).toEqual(["lora_rank", "user"]);
    expect([...at]).toEqual([
      ["lora_rank", 0],
      ["user", 1],
    ]);
  });
  it("are asked for with the group and what rows are drawn with, each once and 40 at most", () => {
    const always = ["final_loss", "nonfinite_from_step"].filter((name) => name in runFields);
    expect(askedFields(readColumns("status,lora_rank"), "lora_rank")).toEqual([
      ...["lora_rank", ...always],
    ]);
    expect(askedFields(readColumns("final_loss"), "user").slice(0, 2)).toEqual([
      ...["final_loss", "user"],
    ]);
    const many = Array.from({ length: 40 }, (_, n) => `config.c${n}`);
    expect(askedFields(readColumns(many.join(",")), "")).toEqual(many);
  });
  it("are written by what they hold", () => {
    const texts = [
      ...[fieldText("final_loss", 0.123456), fieldText("convergence_step", 36_000)],
      ...[fieldText("total_duration_sec", 3600), fieldText("cost", 1234.5)],
      ...[fieldText("learning_rate", 7.000000000000001e-5), fieldText("metrics.loss", 0.1)],
      ...[fieldText("max_steps", 36_000), fieldText("config.x", 0.1 + 0.2)],
      ...[fieldText("optimizer", "adamw"), fieldText("final_loss", null)],
    ];
    expect(texts).toEqual([
      ...["0.1235", "step 36,000", "1h 00m", "1,234.50", "7e-5", "0.1000"],
      ...["36000", "0.3", "adamw", ""],
    ]);
  });
  it("are ordered by what they are called", () => {
    expect(byLabel(["user", "lora_rank", "total_duration_sec"])).toEqual([
      "total_duration_sec",
      "lora_rank",
      "user",
    ]);
    expect(columnLabel("config.x")).toBe("config.x");
    expect(readColumns("status,curve,progress,x").map(sortable)).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});

describe("what may stand at the caret of a filter", () => {
  /** The completions where | stands. */
  const at = (text: string, seen?: Record<string, string[]>) => {
    const caret = text.indexOf("|");
    return completions(text.replace("|", ""), caret, seen);
  };

  it("is a field at the start and behind a word that joins, by its beginning first", () => {
    expect(at("lora_r|").items[0]).toBe("lora_rank");
    expect(at("|").items).toHaveLength(8);
    expect(at("lora_rank = 4 and ran|")).toEqual({
      from: 18,
      items: ["conv_lora_rank", "lora_rank"],
    });
    expect(at("zzz|").items).toEqual([]);
  });
  it("is an operator behind a field, and the beginning of one that is there", () => {
    expect(at("lora_rank |").items).toContain(">=");
    expect(at("lora_rank >|")).toEqual({ from: 10, items: [">="] });
    expect(at('config."a b"[0] |').items).toContain(">=");
    expect(at("seed is|").items).toEqual(["is null", "is not null"]);
  });
  it("is a value that a field has, or had in the rows, with its quotes doubled", () => {
    expect(at("status = |").items).toContain("'running'");
    expect(at("status = 'fa|")).toEqual({ from: 9, items: ["'failed'"] });
    expect(at("optimizer in ('a', |", { optimizer: ["it's"] }).items).toEqual(["'it''s'"]);
    expect(at("optimizer = |").items).toEqual([]);
  });
  it("is a word that joins behind a comparison", () => {
    for (const text of ["lora_rank = 4 |", "status = 'failed' |", "(seed = 1) |", "seed is null |"])
      expect(at(text).items).toEqual(["and", "or"]);
  });
  it("lies before the caret, whatever was typed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(), (text, n) => {
        const caret = Math.min(n, text.length);
        const { from, items } = completions(text, caret);
        expect(from).toBeGreaterThanOrEqual(0);
        expect(from).toBeLessThanOrEqual(caret);
        expect(items.length).toBeLessThanOrEqual(8);
      }),
    );
  });
});

describe("a filter's text", () => {
  it("is wrong at a character, or nowhere", () => {
    expect(findMistake("")).toBeNull();
    expect(findMistake("  ")).toBeNull();
    expect(findMistake("lora_rank >= 32")).toBeNull();
    expect(findMistake("lora_rank >= ")).toMatchObject({
      position: 14,
      message: { code: "filter-end" },
    });
    expect(findMistake("status = 'failed")).toMatchObject({ position: 10 });
    expect(findMistake("(".repeat(200))).toMatchObject({ message: { code: "filter-depth" } });
  });
  it("is made of words by what they are", () => {
    expect(words("status = 'it''s' and Not seed<1e-4")).toEqual([
      { text: "status = ", kind: "plain" },
      { text: "'it''s'", kind: "text" },
      { text: " ", kind: "plain" },
      { text: "and", kind: "word" },
      { text: " ", kind: "plain" },
      { text: "Not", kind: "word" },
      { text: " seed<", kind: "plain" },
      { text: "1e-4", kind: "number" },
    ]);
    expect(words("'open")).toEqual([{ text: "'open", kind: "text" }]);
  });
  it("is all of its words together, whatever was typed", () => {
    const typed = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc
        .array(fc.constantFrom("'", "and", " ", "4", "1e", "-", "夜", "\n", "true", "a.b"))
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(typed, (text) => {
        expect(
          words(text)
            .map((word) => word.text)
            .join(""),
        ).toBe(text);
      }),
    );
  });
  it("finds runs by a value that may hold quotes, or by its absence", () => {
    const filter = (value: string | null) =>
      new URL(runsWhere("user", value), "http://x").searchParams.get("filter");
    expect(filter("O'Neil & co=1")).toBe("user = 'O''Neil & co=1'");
    expect(filter(null)).toBe("user is null");
    expect(findMistake(filter("a'b") ?? "x y")).toBeNull();
  });
});

it("labels stand between commas and blanks", () => {
  expect(splitLabels(" sdxl, 24gb,,fast\tone ")).toEqual(["sdxl", "24gb", "fast", "one"]);
  expect(splitLabels(" , ")).toEqual([]);
});

describe("rows of the table", () => {
  const row = (id: number, status: Row["status"] = "success") =>
    ({ id, status, task_name: `run ${id}`, values: [] }) as unknown as Row;
  const going = (id: number) => ({ id, status: "running", attempt: 1 }) as never;
  const table = { key: "a", fields: "", rows: [row(9, "running"), row(8, "running"), row(7)] };

  it("take in what is newer than the first of them, once, and before them", () => {
    const news = newsOf(table.rows, [], { newest: [row(11), row(10), row(9), row(5)], reread: [] });
    expect(news.added.map(({ id }) => id)).toEqual([11, 10]);
    expect(withNews(table, { key: "a", ...news }).map(({ id, status }) => [id, status])).toEqual([
      [11, "success"],
      [10, "success"],
      [9, "success"],
      [8, "running"],
      [7, "success"],
    ]);
  });
  it("change in their place where they go on, or were read again", () => {
    const { changed } = newsOf(table.rows, [going(8), going(7), going(1)], {
      newest: [],
      reread: [row(9, "failed"), row(7, "failed")],
    });
    expect([...changed].map(([id, { status }]) => [id, status])).toEqual([
      [9, "failed"],
      [8, "running"],
      [7, "failed"],
    ]);
    expect(changed.get(8)).toMatchObject({ task_name: "run 8", attempt: 1 });
  });
  it("are read again where they run no more", () => {
    expect(staleRows(table.rows, [going(9)]).map(({ id }) => id)).toEqual([8]);
    expect(staleRows([], [going(9)])).toEqual([]);
  });
  it("take no news of another question", () => {
    const news = { key: "b", added: [row(11)], changed: new Map([[9, row(9)]]) };
    expect(withNews(table, news)).toBe(table.rows);
    expect(withNews(table, { key: "a", added: [], changed: new Map() })).toBe(table.rows);
  });
});
