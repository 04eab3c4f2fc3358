// What the service says, as the pages show it in Simplified Chinese.
import { describe, expect, it } from "vitest";
import { inChinese } from "../dashboard/src/zh-problems.ts";
import { filterToSql, parseOrder } from "../src/platform/filter/compile.ts";
import { cautionFor, influenceOf } from "../src/reports/influence.ts";
import { FilterError } from "../src/shared/filter-grammar.ts";
import { mistakes } from "../src/shared/mistakes.ts";
import { problems } from "../src/shared/problems.ts";

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
  const filters = [
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
  it.each(filters.map((filter) => [filter.slice(0, 40), filter]))(
    "the mistake in %s",
    (_, filter) => {
      let said: unknown;
      try {
        filterToSql(filter);
      } catch (error) {
        said = error;
      }
      expect(said).toBeInstanceOf(FilterError);
      const { message, code, params, position } = said as FilterError;
      const refused = {
        message: `The filter is not right at character ${position}: ${message}.`,
        code: "not-valid",
        params: { case: "filter", path: "filter", position, message },
        faults: [{ code, params }],
      };
      for (const one of [{ message, code, params }, refused]) {
        const chinese = inChinese(one) ?? message;
        expect([message, english(chinese).filter((word) => word !== "filter")]).toEqual([
          message,
          [],
        ]);
      }
    },
  );

  it("an order by too much", () => {
    expect(() => parseOrder("a,b,c,d")).toThrow(FilterError);
    expect(inChinese({ message: "", code: "filter-order" })).toBe("最多按三个字段排序");
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
      if (caution) cautions.push(caution);
    }
    for (const caution of cautions)
      expect([caution, english(inChinese(caution) ?? caution.message)]).toEqual([caution, []]);
  });

  const names = (text: string) =>
    new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name));
  type Sentence = { code: string; params: { case?: string }; says: readonly [string, string] };
  const sentences: Sentence[] = [
    ...Object.entries(problems).flatMap(([code, entry]) =>
      "says" in entry
        ? [{ code, params: {}, says: entry.says }]
        : Object.entries(entry.cases).map(([name, says]) => ({
            code,
            params: { case: name },
            says,
          })),
    ),
    ...Object.entries(mistakes).map(([code, says]) => ({ code, params: {}, says })),
  ];

  it.each(sentences.map((one) => [`${one.code} ${one.params.case ?? ""}`, one] as const))(
    "the sentence of %s",
    (_, { code, params, says: [english, chinese] }) => {
      expect(inChinese({ message: english, code, params })).toMatch(/\p{Script=Han}/u);
      // It names nothing that does not come along.
      const missing = [...names(chinese)].filter((name) => !names(english).has(name));
      expect(missing).toEqual([]);
    },
  );

  it("what has no code stays English, and words of the service become Chinese", () => {
    expect(inChinese({ message: "Said by nobody.", code: "no-such-code" })).toBeNull();
    expect(
      inChinese({ message: "", code: "task-running", params: { task: 7, status: "running" } }),
    ).toBe("训练 7 为运行中：请先等它结束或取消它，再删除。");
  });
});
