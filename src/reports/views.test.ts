import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";

let ledger: Ledger;
let anna: string;
let bert: string;
let viewer: string;
let admin: string;

beforeAll(async () => {
  ledger = await freshLedger();
  anna = (await ledger.key({ user: "anna" })).key;
  bert = (await ledger.key({ user: "bert" })).key;
  viewer = (await ledger.key({ role: "viewer" })).key;
  admin = (await ledger.key({ role: "admin" })).key;
});

const save = (key: string, json: object, status = 200) =>
  ledger.call("/api/views", { key, json: { query: "status=failed", ...json } }, status);
const names = async (key: string): Promise<string[]> =>
  (await ledger.call("/api/views?limit=200", { key })).items.map((v: { name: string }) => v.name);

describe("saved views", () => {
  it("are kept as one text, whatever the order of the address, without what is no view's", async () => {
    const query =
      "cols=status,final_loss:120,config.a.b&order=-final_loss&filter=lora_rank%20=%2064&group=experiment_group&q=&deleted=true";
    const view = await save(anna, { name: " rank 64 ", query });
    expect(view).toMatchObject({
      name: "rank 64",
      query:
        "filter=lora_rank+%3D+64&order=-final_loss&group=experiment_group&cols=status,final_loss:120,config.a.b&deleted=true",
      shared: false,
      user: "anna",
      version: 1,
    });
    expect(await ledger.call(`/api/views/${view.id}`, { key: anna })).toEqual(view);
    expect((await save(anna, { name: "all", query: "" })).query).toBe("");
    // Of a parameter that stands there twice, the one that was looked at is kept.
    const twice = await save(anna, { name: "twice", query: "order=nothing&order=-final_loss" });
    expect(twice.query).toBe("order=-final_loss");
  });

  it("refuse what would not open, and say where", async () => {
    for (const [query, where] of [
      ["filter=lora_rank+%3D", "filter"],
      ["filter=nothing+%3D+1", "filter"],
      ["order=nothing", "order_by"],
      ["cols=status,no_such_field", "query"],
      ["group=no_such_field", "query"],
      ["status=odd", "query.status"],
      ["sel=1,2", "query.sel"],
      ["script=1", "query.script"],
      ["filter=lora_rank+%3D+1&filter=nothing+%3D+1", "filter"],
      ["deleted=yes", "query.deleted"],
    ] as const) {
      const refused = await save(anna, { name: "odd", query }, 422);
      expect([query, refused.errors[0].path]).toEqual([query, where]);
    }
    await save(anna, { name: " " }, 422);
    await save(anna, { name: "long", query: `q=${"x".repeat(8000)}` }, 422);
    expect(await names(anna)).not.toContain("odd");
  });

  it("are one's own until they are shared; viewers open what is shared", async () => {
    const own = await save(anna, { name: "mine" });
    const shared = await save(anna, { name: "for all", shared: true });
    for (const key of [bert, viewer]) {
      expect(await names(key)).toContain("for all");
      expect(await names(key)).not.toContain("mine");
      await ledger.call(`/api/views/${shared.id}`, { key });
      await ledger.call(`/api/views/${own.id}`, { key }, 404);
    }
    await save(viewer, { name: "a viewer's" }, 403);
    const patch = (key: string, id: number, json: object, status = 200) =>
      ledger.call(`/api/views/${id}`, { key, method: "PATCH", json }, status);
    await patch(bert, shared.id, { name: "taken over" }, 404);
    await ledger.call(`/api/views/${shared.id}`, { key: bert, method: "DELETE" }, 404);
    await patch(admin, shared.id, { shared: false });
    expect(await names(bert)).not.toContain("for all");
  });

  it("have a name each owner gives once, and tell of another's change", async () => {
    const first = await save(anna, { name: "one" });
    const taken = await save(anna, { name: "one" }, 409);
    expect(taken.type).toContain("name-taken");
    await save(bert, { name: "one" });
    const second = await save(anna, { name: "two" });
    const patch = (json: object, status: number, version?: number) =>
      ledger.call(
        `/api/views/${second.id}`,
        {
          key: anna,
          method: "PATCH",
          json,
          headers: version ? { "If-Match": `"${version}"` } : {},
        },
        status,
      );
    expect((await patch({ name: "one" }, 409)).type).toContain("name-taken");
    const changed = await patch({ query: "q=hands" }, 200, 1);
    expect(changed).toMatchObject({ name: "two", query: "q=hands", version: 2 });
    expect((await patch({ query: "q=feet" }, 412, 1)).version).toBe(2);
    expect((await patch({ name: "one" }, 412, 1)).version).toBe(2);
    await ledger.call(`/api/views/${first.id}`, { key: anna, method: "DELETE" }, 204);
    await ledger.call(`/api/views/${first.id}`, { key: anna }, 404);
    await ledger.call(`/api/views/${first.id}`, { key: anna, method: "DELETE" }, 404);
    expect((await patch({ name: "one" }, 200)).name).toBe("one");
  });

  it("are listed page by page, at a cost that others' private views do not change", async () => {
    const { key, userId } = await ledger.key();
    const stranger = await ledger.key();
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
      insert into saved_view (user_id, name, query) select ${stranger.userId}, 'private ' || i, '' from n`);
    for (let n = 0; n < 3; n++) await save(key, { name: `own ${n}` });
    const seen: string[] = [];
    let cursor = "";
    do {
      const response = await ledger.request(`/api/views?limit=2${cursor}`, { key });
      const cost = costOf(response);
      expect(cost.trips).toBe(1);
      expect(cost.read).toBeLessThan(60);
      const body: { items: { name: string }[]; next_cursor: string | null } = await response.json();
      seen.push(...body.items.map(({ name }) => name));
      cursor = body.next_cursor ? `&cursor=${body.next_cursor}` : "";
    } while (cursor);
    expect(seen.slice(0, 3)).toEqual(["own 2", "own 1", "own 0"]);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.some((name) => name.startsWith("private"))).toBe(false);

    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 97)
      insert into saved_view (user_id, name, query) select ${userId}, 'more ' || i, '' from n`);
    expect((await save(key, { name: "one too many" }, 403)).bound).toBe("views");
  });
});
