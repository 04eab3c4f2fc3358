import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import migration from "../../../migrations/0014_full-text.sql?raw";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";
import { toMatchQuery } from "./words.ts";

describe("full text", () => {
  let ledger: Ledger;
  let key: string;
  const ids: Record<string, number> = {};
  const make = async (task_name: string, json: Record<string, unknown> = {}) => {
    ids[task_name] = (
      await ledger.call("/api/tasks", { key, json: { task_name, ...json } })
    ).task_id;
  };
  const found = async (q: string, more = ""): Promise<string[]> =>
    (await ledger.call(`/api/tasks?q=${encodeURIComponent(q)}${more}`, { key })).items.map(
      (task: { task_name: string }) => task.task_name,
    );

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key());
    await make("aki_style_v2", { notes: "Trained on the night sky.", tags: { 种类: "水彩画" } });
    await make("夜空のLoRA", {
      experiment_group: "Größe-XL",
      sample_prompts: "1girl, 猫耳\n--w 512",
    });
    await make("third", { notes: "桜の木の下で、ネコが寝る。", tags: { kind: "STYLE two" } });
    await make("wide", { notes: "ｆｕｌｌ ﾈｺ" });
    await make("한국어 모델", { notes: 'sky night C:\\out "quoted" 100%' });
  });

  it("finds words in names, groups, notes, tags and prompts, newest first", async () => {
    expect(await found("aki")).toEqual(["aki_style_v2"]);
    expect(await found("style")).toEqual(["third", "aki_style_v2"]);
    expect(await found("styl v2")).toEqual(["aki_style_v2"]);
    expect(await found("style_v2")).toEqual(["aki_style_v2"]);
    expect(await found("grosse xl")).toEqual([]);
    expect(await found("GRÖSSE")).toEqual([]);
    expect(await found("größe")).toEqual(["夜空のLoRA"]);
    expect(await found("groß")).toEqual(["夜空のLoRA"]);
    expect(await found("night sky")).toEqual(["한국어 모델", "aki_style_v2"]);
    expect(await found('"night sky"')).toEqual(["aki_style_v2"]);
    expect(await found("1girl")).toEqual(["夜空のLoRA"]);
    expect(await found("kind")).toEqual(["third"]);
    expect(await found("quoted out")).toEqual(["한국어 모델"]);
    expect(await found("ight")).toEqual([]);
    expect(await found("s")).toEqual([]);
  });

  it("finds Chinese, Japanese and Korean words of one character and more", async () => {
    expect(await found("夜")).toEqual(["夜空のLoRA"]);
    expect(await found("空")).toEqual(["夜空のLoRA"]);
    expect(await found("夜空")).toEqual(["夜空のLoRA"]);
    expect(await found("空夜")).toEqual([]);
    expect(await found("空のlora")).toEqual(["夜空のLoRA"]);
    expect(await found("猫耳")).toEqual(["夜空のLoRA"]);
    expect(await found("水彩")).toEqual(["aki_style_v2"]);
    expect(await found("彩画")).toEqual(["aki_style_v2"]);
    expect(await found("种类")).toEqual(["aki_style_v2"]);
    expect(await found("桜 ネコ")).toEqual(["third"]);
    expect(await found("ﾈｺ")).toEqual(["wide", "third"]);
    expect(await found("full ネコ")).toEqual(["wide"]);
    expect(await found("桜")).toEqual(["third"]);
    expect(await found("모델")).toEqual(["한국어 모델"]);
    expect(await found("국")).toEqual(["한국어 모델"]);
  });

  it("has runs from before it came in the same form", async () => {
    const texts = () => ledger.db.all("select rowid, * from task_text where task_name <> 'wide'");
    const before = await texts();
    await ledger.db.run("delete from task_text");
    await ledger.db.run(migration.split("--> statement-breakpoint").at(-1) ?? "");
    const squeezed = (rows: unknown[]) =>
      JSON.stringify(rows).replaceAll(/(?:\\n|[^\p{L}\p{N},{}])+/gu, " ");
    expect(squeezed(await texts())).toBe(squeezed(before));
  });

  it("goes with filters, orders, states and cursors", async () => {
    expect(await found("style", "&filter=notes%20like%20%27%25night%25%27")).toEqual([
      "aki_style_v2",
    ]);
    expect(await found("style", "&order_by=task_name")).toEqual(["aki_style_v2", "third"]);
    expect(await found("style", "&status=running")).toEqual([]);
    const first = await ledger.call("/api/tasks?q=style&limit=1", { key });
    const second = await ledger.call(`/api/tasks?q=style&limit=1&cursor=${first.next_cursor}`, {
      key,
    });
    expect([first, second].map((page) => page.items[0].task_name)).toEqual([
      "third",
      "aki_style_v2",
    ]);
    await ledger.call(`/api/tasks?q=night&limit=1&cursor=${first.next_cursor}`, { key }, 422);
  });

  it("follows changes, the trash and purging", async () => {
    await make("changing", { notes: "apple", tags: { a: "pear" } });
    const path = `/api/tasks/${ids.changing}`;
    const patch = (json: unknown) => ledger.call(path, { key, method: "PATCH", json });
    await patch({ notes: "熟した plum", tags: { a: "fig" } });
    expect(await found("apple")).toEqual([]);
    expect(await found("pear")).toEqual([]);
    expect(await found("plum 熟 fig changing")).toEqual(["changing"]);
    await patch({ task_name: "changed", notes: null });
    expect(await found("plum")).toEqual([]);
    expect(await found("fig")).toEqual(["changed"]);
    await ledger.call(path, { key, method: "PATCH", json: { lora_rank: 4 } });
    await ledger.call(
      path,
      { key, method: "PATCH", json: { notes: "late" }, headers: { "If-Match": '"1"' } },
      412,
    );
    expect(await found("late")).toEqual([]);
    await ledger.request(path, { key, method: "DELETE" });
    expect(await found("fig")).toEqual([]);
    expect(await found("fig", "&deleted=true")).toEqual(["changed"]);
    await ledger.request(`${path}/restore`, { key, method: "POST" });
    expect(await found("fig")).toEqual(["changed"]);
    await ledger.db.run(`delete from training_task where id = ${ids.changing}`);
    const left = await ledger.db.all("select rowid from task_text where task_text match 'fig'");
    expect(left).toEqual([]);
  });

  it("follows changes of many", async () => {
    const many: unknown[] = [];
    for (const n of [1, 2]) {
      await make(`many ${n}`, { tags: { kind: "melon", 色: "赤" } });
      many.push(ids[`many ${n}`]);
    }
    const bulk = (json: object) =>
      ledger.call("/api/tasks/bulk", { key, json: { ids: many, ...json } });
    await bulk({ action: "tag", tags: { kind: "grape", more: "草原" } });
    expect(await found("melon")).toEqual([]);
    expect(await found("grape 草原 赤")).toEqual(["many 2", "many 1"]);
    await bulk({ action: "untag", tags: ["more", "色"] });
    expect(await found("草")).toEqual([]);
    expect(await found("赤")).toEqual([]);
    expect(await found("grape")).toHaveLength(2);
    await bulk({ action: "group", group: "果物" });
    expect(await found("果物")).toHaveLength(2);
    await bulk({ action: "group", group: null });
    expect(await found("果物")).toEqual([]);
  });

  it("indexes a repeated registration once, and keeps what was changed since", async () => {
    const json = { task_name: "once", notes: "before" };
    const again = { key, json, headers: { "Idempotency-Key": "words" } };
    const { task_id } = await ledger.call("/api/tasks", again);
    await ledger.call(`/api/tasks/${task_id}`, { key, method: "PATCH", json: { notes: "after" } });
    expect((await ledger.call("/api/tasks", again)).task_id).toBe(task_id);
    expect(await found("before")).toEqual([]);
    expect(await found("after")).toEqual(["once"]);
  });

  it("takes any text without tripping over it", async () => {
    await ledger.call(`/api/tasks?q=${encodeURIComponent('"!?* -')}`, { key }, 422);
    await ledger.call(`/api/tasks?q=${"x".repeat(501)}`, { key }, 422);
    expect(toMatchQuery('a" OR b NEAR(c) col:d ^e -f {g}*')).toBe(
      '"a" AND "OR" * AND "b" AND "NEAR c" AND "col d" AND "e" AND "f" AND "g"',
    );
    const pieces = fc.constantFrom(
      '"',
      "*",
      "'",
      "(",
      ")",
      "^",
      "-",
      ":",
      "AND",
      "NOT",
      " ",
      "夜",
      "a",
      "ß",
      "{",
      "\\",
      "́",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: pieces, maxLength: 12 }),
          fc.string({ unit: "grapheme", maxLength: 20 }),
        ),
        async (q) => {
          const { status } = await ledger.request(`/api/tasks?q=${encodeURIComponent(q)}`, { key });
          expect([q, status]).toEqual([
            q,
            q.trim() === "" || /[\p{L}\p{N}\p{Co}]/u.test(q.normalize("NFKC")) ? 200 : 422,
          ]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("costs one round trip and as many rows as it finds", async () => {
    const response = await ledger.request("/api/tasks?q=style&limit=1", { key });
    expect(costOf(response).trips).toBe(1);
    expect(costOf(response).read).toBeLessThanOrEqual(10);
  });
});
