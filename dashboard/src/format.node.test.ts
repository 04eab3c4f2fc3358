import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  ago,
  bestText,
  bytes,
  dateOnly,
  duration,
  isUnstepped,
  measure,
  money,
  progressOf,
  setCurrency,
  setting,
  short,
  sourceOf,
  stepText,
  textAt,
} from "./format.ts";
import { currentLanguage, speak, type Text, t, translate } from "./i18n.ts";
import { idsOf } from "./state.ts";
import { zh } from "./zh.ts";

it("says where a column was read from", () => {
  const task = {
    field_sources: {
      lora_rank: { from: "file" as const, key: "network.linear" },
      seed: { from: "argument" as const, name: "seed" },
      mixed_precision: { from: "launcher" as const, name: "--mixed_precision" },
      dropout: { from: "default" as const },
    },
  };
  const columns = ["lora_rank", "seed", "mixed_precision", "dropout", "epochs"];
  expect(columns.map((column) => sourceOf(task, column))).toEqual([
    "file: network.linear",
    "argument: seed",
    "launcher: --mixed_precision",
    "default",
    "",
  ]);
});

describe("numbers", () => {
  it.each([
    [null, ""],
    [undefined, ""],
    ["NaN", "NaN"],
    [0, "0"],
    [0.123456, "0.1235"],
    [-0.5, "-0.5000"],
    [12, "12.00"],
    [1234.56, "1,234.6"],
    [0.000123456, "1.23e-4"],
    [2e15, "2.00e+15"],
    [Number.POSITIVE_INFINITY, "Infinity"],
  ])("measured: %s", (value, text) => expect(measure(value)).toBe(text));

  it.each([
    [0, "0"],
    [0.00012, "1.2e-4"],
    [2e-5, "2e-5"],
    [1234.567, "1,235"],
    [3e6, "3e+6"],
  ])("of a scale: %s", (value, text) => expect(short(value)).toBe(text));

  it.each([
    [null, ""],
    [1e-4, "1e-4"],
    [0.001, "0.001"],
    [0, "0"],
    [2e9, "2e9"],
    ["1e-4", "1e-4"],
    [true, "true"],
    [[1, "a"], '[1,"a"]'],
    [{ a: null }, '{"a":null}'],
    [7.000000000000001e-5, "7e-5"],
    [0.1 + 0.2, "0.3"],
    [-299999999.99999994, "-300000000"],
    [999999999.9999999, "1e9"],
    [1.23456789012345, "1.23456789012"],
    [9007199254740991, "9.007199254740991e15"],
    [123456789, "123456789"],
    [[0.1 + 0.2, { a: 7.000000000000001e-5 }], '[0.3,{"a":0.00007}]'],
  ])("of a setting: %j", (value, text) => expect(setting(value)).toBe(text));

  it("of steps, with a word and separators, and empty where there is none", () => {
    expect([36_000, 0, null, undefined, "5"].map(stepText)).toEqual([
      ...["step 36,000", "step 0", "", "", ""],
    ]);
  });
  it("of the best smoothed loss, with its step where that is known", () => {
    expect(bestText({ best_loss: 0.0612345, best_step: 36_000 })).toBe("0.06123 · step 36,000");
    expect(bestText({ best_loss: 0.5, best_step: null })).toBe("0.5000");
    expect(bestText({ best_loss: null, best_step: null })).toBe("");
    expect(bestText({})).toBe("");
  });

  it.each([
    [0, "0.00"],
    [0.009, "< 0.01"],
    [0.01, "0.01"],
    [1234.5, "1,234.50"],
    [-1, "-1.00"],
  ])("of money: %s", (value, text) => expect(money(value)).toBe(text));

  it("of money in the ledger's currency", () => {
    setCurrency("EUR");
    expect([money(1234.5), money(0.001)]).toEqual(["€1,234.50", "< €0.01"]);
    setCurrency("JPY");
    expect(money(1234.5)).toBe("¥1,235");
    setCurrency(null);
    expect(money(1)).toBe("1.00");
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1550, "1.6 kB"],
    [15_500, "16 kB"],
    [5e9, "5 GB"],
    [2e16, "20,000 TB"],
  ])("of bytes: %s", (value, text) => expect(bytes(value)).toBe(text));

  it.each([
    [null, ""],
    [Number.NaN, ""],
    [Number.POSITIVE_INFINITY, ""],
    [-5, "0s"],
    [59.4, "59s"],
    [59.6, "1m 00s"],
    [3599, "59m 59s"],
    [3600, "1h 00m"],
    [47 * 3600 + 60, "47h 01m"],
    [48 * 3600, "2d 0h"],
    [49 * 3600, "2d 1h"],
  ])("of seconds: %s", (value, text) => expect(duration(value)).toBe(text));
});

describe("moments", () => {
  const now = Date.parse("2026-05-31T12:00:00Z");
  it.each([
    ["2026-05-31T11:59:30Z", "just now"],
    ["2026-05-31T12:00:30Z", "just now"],
    ["2026-05-31T11:59:10Z", "1m ago"],
    ["2026-05-31T10:00:00Z", "2h ago"],
    ["2026-05-30T11:00:00Z", "yesterday"],
    ["2026-05-01", "May 1, 2026"],
  ])("%s", (iso, text) => expect(ago(iso, now).replace(/\s?min\. /, "m ")).toBe(text));

  it("without a time are the same day everywhere", () => {
    expect(dateOnly("2026-05-31")).toBe("May 31, 2026");
  });
});

describe("progress", () => {
  const started_at = "2026-05-31T12:00:00Z";
  const heartbeat_at = "2026-05-31T12:01:00Z";
  const of = (progress: unknown, status = "running") =>
    progressOf({ status, progress, started_at, heartbeat_at });

  it("is unknown where nothing usable was reported", () => {
    for (const junk of [null, undefined, 7, "5/10", [], {}, { step: "5", total_steps: "10" }])
      expect(of(junk)).toBeNull();
  });
  it("goes by steps, and by epochs where no steps are known", () => {
    expect(of({ step: 5, total_steps: 10, epoch: 1, total_epochs: 4 })?.share).toBe(0.5);
    expect(of({ epoch: 1, total_epochs: 4 })?.share).toBe(0.25);
    expect(of({ step: 5, total_steps: 0 })).toEqual({ share: 0, step: 5, total: 0, left: null });
  });
  it("never passes its end", () => {
    expect(of({ step: 12, total_steps: 10 })).toMatchObject({ share: 1, left: null });
  });
  it("takes the time left from the report, or from the pace so far, while the run goes on", () => {
    expect(of({ step: 1, total_steps: 4, eta_sec: 7 })?.left).toBe(7);
    expect(of({ step: 1, total_steps: 4 })?.left).toBe(180);
    expect(of({ step: 1, total_steps: 1000 })?.left).toBeNull();
    expect(of({ step: 1, total_steps: 4, eta_sec: 7 }, "failed")?.left).toBeNull();
  });
});

describe("a value in a document of any shape", () => {
  it.each([
    [{ a: "x" }, "x"],
    [{ a: 0 }, "0"],
    [{ a: { b: 1 } }, ""],
    [{ a: null }, ""],
    [null, ""],
    ["a", ""],
    [{}, ""],
  ])("%j", (document, text) => expect(textAt(document, "a")).toBe(text));
});

describe("ids of an address", () => {
  it.each([
    [null, []],
    ["", []],
    ["3,1,3", [3, 1]],
    ["1,x,-2,0,1.5,9007199254740993,", [1]],
  ])("%s", (text, ids) => expect(idsOf(text)).toEqual(ids));
});

describe("texts", () => {
  it("fill in what they are given, and nothing else", () => {
    expect(t("{n} runs", { n: "$&" })).toBe("$& runs");
    expect(t("{n} runs")).toBe("{n} runs");
  });

  it("name the same values in both languages", () => {
    const named = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
    const differing = Object.entries(zh).filter(
      ([english, chinese]) => String(named(english)) !== String(named(chinese)),
    );
    expect(differing).toEqual([]);
  });

  describe("in Chinese", () => {
    const element = { lang: "" };
    const kept = new Map<string, string>();
    beforeAll(async () => {
      vi.stubGlobal("document", { documentElement: element });
      vi.stubGlobal("localStorage", {
        setItem: (name: string, value: string) => kept.set(name, value),
      });
      await speak("zh");
    });
    afterAll(async () => {
      await speak("en", false);
      vi.unstubAllGlobals();
    });

    it("are those of the word list, with their values", () => {
      expect(currentLanguage()).toBe("zh");
      expect([element.lang, ...kept.values()]).toEqual(["zh-Hans", "zh"]);
      expect(t("{n} runs", { n: 3 })).toBe("3 次训练");
      const unlisted = "not a text of the pages" as Text;
      expect(t(unlisted)).toBe(unlisted);
    });

    it("take a message of the service by its code, and keep its English where that is unknown", () => {
      const message = "the number is too large";
      expect(translate({ message, code: "no-such-code" })).toBe(message);
      expect(translate({ message, code: "filter-number" })).toBe("数字太大");
    });
  });
});

it("tells runs whose steps nobody knows", () => {
  expect([{ unstepped: true }, { unstepped: 1 }, { step: 3 }, null, "x"].map(isUnstepped)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
