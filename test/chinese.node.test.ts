// What the service says, as the pages show it in Simplified Chinese.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inChinese, refusals } from "../dashboard/src/zh-service.ts";
import { root } from "../scripts/local/processes.ts";
import { filterToSql, parseOrder } from "../src/platform/filter/compile.ts";
import { cautionFor, influenceOf } from "../src/reports/influence.ts";
import { FilterError } from "../src/shared/filter-grammar.ts";

/** English words that are neither the filter language's own nor a field, nor in quotes or brackets. */
const english = (text: string) =>
  text
    .replaceAll(/`[^`]*`|'[^']*'|"[^"]*"|（[^）]*）/g, "")
    .match(/[a-z_]{3,}/gi)
    ?.filter((word) => !own.has(word.toLowerCase())) ?? [];
const own = new Set(
  "nul null true false user config metrics tags like lora_rank lora_rnk rank task_name".split(" "),
);

describe("in Chinese", () => {
  const mistakes = [
    "lora_rank >=",
    "lora_rank",
    "lora_rank 4",
    "(lora_rank = 4",
    "and",
    "lora_rank = 4 or",
    "lora_rank = 4 5",
    "lora_rank not 4",
    "lora_rank in 4",
    "lora_rank in (4",
    "lora_rank is 4",
    "lora_rank = null",
    "lora_rank = 1e999",
    "task_name = aki",
    "task_name = 4",
    "lora_rank = 'a'",
    "lora_rank = true",
    "task_name = 'a",
    "task_name = 'a' ; x",
    "lora_rank like 4",
    "created_at > 'soon'",
    "config.list[x] = 1",
    "config.list[1 = 1",
    'config."a""b" = 1',
    "lora_rnk = 4",
    "rank = 4",
    "task_name = 'a\0'",
    `${"(".repeat(200)}lora_rank = 1${")".repeat(200)}`,
    Array.from({ length: 300 }, (_, n) => `lora_rank = ${n}`).join(" or "),
    `lora_rank in (${Array.from({ length: 900 }, (_, n) => n).join(",")})`,
    `task_name = '${"a".repeat(20_000)}'`,
  ];
  it.each(mistakes.map((filter) => [filter.slice(0, 40), filter]))(
    "the mistake in %s",
    (_, filter) => {
      let said: unknown;
      try {
        filterToSql(filter);
      } catch (error) {
        said = error;
      }
      expect(said).toBeInstanceOf(FilterError);
      const { message } = said as FilterError;
      for (const text of [message, `The filter is not right at character 3: ${message}.`])
        expect([text, english(inChinese(text)).filter((word) => word !== "filter")]).toEqual([
          text,
          [],
        ]);
    },
  );

  it("an order by too much", () => {
    expect(() => parseOrder("a,b,c,d")).toThrow(FilterError);
    expect(inChinese("orders by at most three fields")).toBe("最多按三个字段排序");
  });

  it("each caution about an influence", () => {
    const cautions = [cautionFor(3), cautionFor(500)];
    for (const [runs, values] of [
      [5, 2],
      [100, 2],
      [30, 29],
    ] as const) {
      const given = Array.from({ length: runs }, (_, n) => n % values);
      const results = given.map((value, n) => (values === 2 ? (n * 7919) % 13 : value));
      const caution = influenceOf("lora_rank", given, results)?.caution;
      expect(caution, `${runs} runs`).toBeTruthy();
      cautions.push(caution ?? "");
    }
    for (const caution of cautions)
      expect([caution, english(inChinese(caution))]).toEqual([caution, []]);
  });

  it("every refusal that there is, by its code", () => {
    const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
    const codes = files
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .flatMap((file) =>
        [
          ...readFileSync(join(root, "src", file), "utf8").matchAll(
            /(?:ApiError\(\s*\d{3},|unauthorized\()\s*"([a-z-]+)"/g,
          ),
        ].map(([, code = ""]) => code),
      );
    expect(codes.length).toBeGreaterThan(60);
    // Those whose code is put together, or chosen.
    codes.push("refused");
    for (const holder of ["key", "session"]) codes.push(`${holder}-expired`, `${holder}-unknown`);
    expect(codes.filter((code) => !refusals[code])).toEqual([]);
    const said = "There is a view of that name.";
    expect(inChinese(said, "name-taken")).toBe(`该名称已被使用（${said}）`);
    expect(inChinese("Said by nobody.", "no-such-code")).toBe("Said by nobody.");
  });
});
