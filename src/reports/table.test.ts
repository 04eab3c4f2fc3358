import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { outline } from "./sparklines.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const register = async (json: Record<string, unknown>) =>
  (await ledger.call("/api/tasks", { key, json })).task_id as number;

/** `count` steps from `from`, 100 a heartbeat, their loss by `loss`. */
async function train(id: number, count: number, loss: (step: number) => number | string) {
  for (let seq = 1; (seq - 1) * 100 < count; seq++) {
    const from = (seq - 1) * 100 + 1;
    const logs = Array.from({ length: Math.min(100, count - from + 1) }, (_, n) => ({
      step: from + n,
      metrics: { loss: loss(from + n) },
    }));
    const json = { attempt: 1, seq, progress: { step: from, total_steps: count }, logs };
    await ledger.call(`/api/tasks/${id}/heartbeat`, { key, json });
  }
}

describe("rows of a table", () => {
  it("hold what was asked for, filtered and ordered as the list of tasks", async () => {
    const config = {
      text: "network_dim = 8\nnetwork_module = 'networks.lora'\n[x]\nlist = [1, 2]\n",
    };
    const long = await register({ task_name: "long", notes: "n".repeat(5000), lora_rank: 4 });
    const other = await register({ task_name: "other", config, tags: { kind: "style" } });
    const ask = (query: string) => ledger.call(`/api/table?${query}`, { key });
    const fields = encodeURIComponent(
      "lora_rank,user,tags.kind,config.network_dim,notes,config.x.list",
    );
    const { items } = await ask(`fields=${fields}`);
    expect(items.map((row: { id: number }) => row.id)).toEqual([other, long]);
    expect(items[0].values).toEqual([null, expect.any(String), "style", 8, null, "[1,2]"]);
    expect(items[1].values[4]).toHaveLength(300);
    expect(items[1]).not.toHaveProperty("notes");
    const chosen = await ask(`filter=${encodeURIComponent("lora_rank = 4")}&order_by=task_name`);
    expect(chosen.items).toMatchObject([{ id: long, status: "pending", values: [] }]);
    for (const [query, word] of [
      ["fields=nothing", "no field nothing"],
      ["fields=lora_rank,,user", "field"],
      [`fields=${Array(41).fill("id").join(",")}`, "more than 40"],
      ["filter=lora_rank", "operator"],
    ])
      expect((await ledger.call(`/api/table?${query}`, { key }, 422)).detail).toContain(word);
    expect(await ledger.call(`/api/table?filter=lora_rank+%3D`, { key }, 422)).toMatchObject({
      position: 12,
    });
  });

  it("go on by their cursor, and answer 304 while nothing has changed", async () => {
    const first = await ledger.request("/api/table?limit=1&fields=task_name", { key });
    const { next_cursor } = (await first.json()) as { next_cursor: string };
    const second = await ledger.call(`/api/table?limit=1&fields=id&cursor=${next_cursor}`, { key });
    expect(second.items).toHaveLength(1);
    const headers = { "If-None-Match": first.headers.get("ETag") ?? "" };
    const again = await ledger.request("/api/table?limit=1&fields=task_name", { key, headers });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    await register({ task_name: "newer" });
    const third = await ledger.request("/api/table?limit=1&fields=task_name", { key, headers });
    expect(third.status).toBe(200);
    await third.body?.cancel();
  });

  it("are closed to box keys", async () => {
    const box = await ledger.key({ scopes: ["box"] });
    for (const path of ["", "/sparklines?ids=1", "/changes"])
      await ledger.call(`/api/table${path}`, { key: box.key }, 403);
  });
});

describe("small curves", () => {
  it("follow the whole run, whether it is short or long, in one round trip", async () => {
    const short = await register({ task_name: "short" });
    const long = await register({ task_name: "long" });
    const none = await register({ task_name: "none" });
    await train(short, 30, (step) => (step === 7 ? "NaN" : 1 / step));
    await train(long, 6000, (step) => 10 - step / 1000);
    const response = await ledger.request(`/api/table/sparklines?ids=${short},${long},${none}`, {
      key,
    });
    expect(costOf(response).trips).toBe(1);
    expect(costOf(response).read).toBeLessThan(200);
    const { items } = (await response.json()) as {
      items: { id: number; last: number; points: [number, number][] }[];
    };
    expect(items.map((item) => item.id)).toEqual([short, long]);
    expect(items[0]?.points).toHaveLength(29);
    expect(items[0]?.last).toBeCloseTo(1 / 30);
    const curve = items[1]?.points ?? [];
    expect(curve).toHaveLength(40);
    expect(items[1]?.last).toBeCloseTo(4);
    for (const [step, value] of curve)
      expect(Math.abs(value - (10 - step / 1000))).toBeLessThan(0.3);
    expect(curve[0]?.[0]).toBeLessThan(400);
    expect(curve.at(-1)?.[0]).toBeGreaterThan(5800);
    for (const ids of ["", "x", "1,2,", Array.from({ length: 61 }, (_, n) => n + 1).join(",")])
      await ledger.call(`/api/table/sparklines?ids=${ids}`, { key }, 422);
  });

  it("are means of equal stretches", () => {
    expect(outline([[1, 2]])).toEqual([[1, 2]]);
    const line = Array.from({ length: 1000 }, (_, n): [number, number] => [n, n % 2]);
    expect(outline(line)).toHaveLength(40);
    for (const [, value] of outline(line)) expect(value).toBeCloseTo(0.5, 1);
  });
});

describe("changes", () => {
  it("are told by one cheap request that is 304 until something happens", async () => {
    const id = await register({ task_name: "watched" });
    const ask = (etag = "", query = `?ids=${id}`) =>
      ledger.request(`/api/table/changes${query}`, { key, headers: { "If-None-Match": etag } });
    const read = async (response: Response) => {
      expect(response.status).toBe(200);
      return (await response.json()) as Record<"running" | "tasks", Record<string, unknown>[]>;
    };
    const first = await ask();
    let etag = first.headers.get("ETag") ?? "";
    expect(costOf(first)).toMatchObject({ trips: 1 });
    expect((await read(first)).tasks).toMatchObject([{ id, status: "pending", version: 1 }]);
    expect((await ask(etag)).status).toBe(304);

    await train(id, 10, () => 1);
    const running = await ask(etag);
    etag = running.headers.get("ETag") ?? "";
    const body = await read(running);
    expect(body.running).toContainEqual(
      expect.objectContaining({ id, status: "running", progress: { step: 1, total_steps: 10 } }),
    );
    expect((await ask(etag)).status).toBe(304);
    const json = { notes: "x" };
    await ledger.call(`/api/tasks/${id}`, { key, method: "PATCH", json });
    expect((await read(await ask(etag))).tasks).toMatchObject([{ id, version: 2 }]);
    await ledger.call("/api/table/changes?ids=0x1", { key }, 422);
  });
});
