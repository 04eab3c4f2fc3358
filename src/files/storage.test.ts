import { env } from "cloudflare:workers";
import { sql } from "drizzle-orm";
import { describe, expect, it } from "vitest";
import { costOf, unique } from "../../test/harness.ts";
import { openRegistry } from "../../test/registry.ts";
import { lora, png, upload } from "../../test/uploads.ts";
import { emptyTrash } from "../runs/purge.ts";
import { runSchedule } from "../schedule.ts";

const { ledger, anna, newModel, newRun, newWeight, approved } = await openRegistry();
const admin = (await ledger.key({ role: "admin" })).key;

type Takes = { files: number; bytes: number; trash_files: number; trash_bytes: number };

describe("the trash", () => {
  it("says what goes on which day, of runs and of files deleted by themselves", async () => {
    const before = await ledger.call("/api/storage/trash", { key: anna });
    const on = (answer: { days: Record<string, unknown>[] }, day: string) =>
      answer.days.find(({ goes_on }) => goes_on === day) ?? { runs: 0, files: 0, bytes: 0 };
    const [whole, kept] = [await newRun(), await newRun()];
    const [a, b] = [lora(), png()];
    await upload(ledger, anna, whole, a);
    const single = await upload(ledger, anna, kept, b, { filename: "s.png", kind: "sample" });
    await ledger.call(`/api/tasks/${whole}`, { key: anna, method: "DELETE" }, 204);
    await ledger.call(`/api/weights/${single.id}`, { key: anna, method: "DELETE" }, 204);
    await ledger.db.run(
      sql`update weight set deleted_at = '2031-05-01T10:00:00.000Z' where id = ${single.id}`,
    );
    await ledger.db.run(
      sql`update training_task set deleted_at = '2031-05-03T10:00:00.000Z' where id = ${whole}`,
    );
    const after = await ledger.call("/api/storage/trash", { key: anna });
    expect(before).toMatchObject({ trash_days: 30, complete: true });
    expect(on(before, "2031-05-31")).toMatchObject({ files: 0 });
    expect(on(after, "2031-05-31")).toEqual({
      goes_on: "2031-05-31",
      runs: 0,
      files: 1,
      bytes: b.length,
    });
    expect(on(after, "2031-06-02")).toEqual({
      goes_on: "2031-06-02",
      runs: 1,
      files: 1,
      bytes: a.length,
    });
    await ledger.call(`/api/tasks/${whole}/restore`, { key: anna, method: "POST" });
  });
});

describe("storage use", () => {
  /** What the triggers keep, beside what counting all weights gives. */
  async function bothWays(by: string) {
    const { items } = await ledger.call(`/api/storage?by=${by}`, { key: anna });
    const kept = Object.fromEntries(
      items.map(({ user, group, kind, ...takes }: Takes & Record<string, string>) => [
        [user, group, kind].filter((x) => x !== undefined).join(" "),
        takes,
      ]),
    );
    const field = { user: "u.name", group: "coalesce(t.experiment_group, '')", kind: "w.kind" }[by];
    const rows = await ledger.db.all<Takes & { name: string }>(
      sql.raw(`select ${field} as name,
        sum(w.deleted_at is null and t.deleted_at is null) as files, sum(iif(w.deleted_at is null and t.deleted_at is null, w.size, 0)) as bytes,
        sum(w.deleted_at is not null or t.deleted_at is not null) as trash_files, sum(iif(w.deleted_at is not null or t.deleted_at is not null, w.size, 0)) as trash_bytes
        from weight w join training_task t on t.id = w.task_id join user u on u.id = t.user_id where w.state = 'complete' group by 1`),
    );
    const counted = Object.fromEntries(rows.map(({ name, ...takes }) => [name, takes]));
    return [kept, counted];
  }

  it("is kept right whatever happens to files and runs, and costs nothing to look at", async () => {
    const same = async () => {
      for (const by of ["user", "group", "kind"]) {
        const [kept, counted] = await bothWays(by);
        expect(kept, by).toEqual(counted);
      }
      const { stored } = await ledger.call("/api/storage", { key: anna });
      const [row] = await ledger.db.all<{ objects: number; bytes: number }>(
        sql`select count(*) as objects, coalesce(sum(size), 0) as bytes from stored_object where state = 'complete'`,
      );
      expect(stored).toEqual(row);
    };
    const [one, two] = [
      await newRun({ experiment_group: "g1" }),
      await newRun({ experiment_group: "g2" }),
    ];
    const shared = lora();
    const first = await upload(ledger, anna, one, shared);
    await upload(ledger, anna, two, shared);
    await upload(ledger, anna, two, png(), { filename: "s.png", kind: "sample" });
    await same();
    await ledger.call(`/api/weights/${first.id}`, { key: anna, method: "DELETE" }, 204);
    await same();
    await ledger.call(`/api/weights/${first.id}/restore`, { key: anna, method: "POST" });
    await ledger.call(`/api/tasks/${two}`, {
      key: anna,
      method: "PATCH",
      json: { experiment_group: "g1" },
    });
    await same();
    await ledger.call(`/api/tasks/${two}`, { key: anna, method: "DELETE" }, 204);
    await same();
    await ledger.call(`/api/tasks/${two}/restore`, { key: anna, method: "POST" });
    await ledger.call(`/api/tasks/${two}`, { key: anna, method: "DELETE" }, 204);
    await ledger.db.run(sql`update training_task set deleted_at = '2020-01-01' where id = ${two}`);
    for (let i = 0; i < 3; i++) await emptyTrash(ledger.db, ledger.bindings, ledger.config);
    await same();
    const response = await ledger.request("/api/storage?by=user,kind", { key: anna });
    expect(costOf(response)).toMatchObject({ trips: 1, written: 0 });
    expect(costOf(response).read).toBeLessThan(60);
    await ledger.call("/api/storage?by=size", { key: anna }, 422);
  });
});

describe("rules of what to keep", () => {
  const rule = async (rule: object, status = 200) =>
    ledger.call("/api/storage/rules", { key: anna, json: { name: "r", rule } }, status);
  const preview = async (id: number) => {
    const found = await ledger.call(`/api/storage/rules/${id}/preview`, { key: anna });
    return { ...found, names: found.items.map((w: { filename: string }) => w.filename) };
  };

  /** Runs of a group of their own with these losses, each with so many checkpoints. */
  async function runs(losses: (number | null)[], checkpoints: number) {
    const group = unique("g");
    for (const [n, final_loss] of losses.entries()) {
      const end = final_loss === null ? { status: "failed" } : { status: "success", final_loss };
      const task = await newRun({ experiment_group: group }, end);
      for (let step = 1; step <= checkpoints; step++)
        await newWeight({ kind: "checkpoint", filename: `${n}-${step}.safetensors`, step }, task);
      await newWeight({ filename: `${n}.safetensors` }, task);
    }
    return group;
  }

  it("keep the best runs' and each run's last, say so before, and do it", async () => {
    const group = await runs([0.3, 0.1, null, 0.2], 3);
    const { id } = await rule({
      filter: `experiment_group = '${group}'`,
      best: { count: 2 },
      last: 1,
    });
    const before = await preview(id);
    expect(before.names).toEqual([
      "0-1.safetensors",
      "0-2.safetensors",
      "2-1.safetensors",
      "2-2.safetensors",
    ]);
    expect(before).toMatchObject({ files: 4, bytes: before.frees });
    expect(before.frees).toBe(
      before.items.reduce((sum: number, w: { size: number }) => sum + w.size, 0),
    );
    const done = await ledger.call(`/api/storage/rules/${id}/apply`, { key: anna, json: {} });
    expect(done).toEqual({ deleted: 4, bytes: before.bytes, more: false });
    expect((await preview(id)).files).toBe(0);
    const { items } = await ledger.call("/api/weights?deleted=true&limit=4", { key: anna });
    expect(items.map((w: { filename: string }) => w.filename).toReversed()).toEqual(before.names);
  });

  it("never take what a version stands on, and count shared bytes as they are", async () => {
    const group = unique("g");
    const task = await newRun({ experiment_group: group });
    const shared = lora();
    const files = [];
    for (const step of [1, 2, 3])
      files.push(
        await upload(ledger, anna, task, step === 1 ? shared : lora(), {
          kind: "checkpoint",
          filename: `${step}.safetensors`,
          step,
        }),
      );
    await upload(ledger, anna, await newRun(), shared);
    await approved(await newModel(), files[1]?.id);
    const { id } = await rule({ filter: `experiment_group = '${group}'`, days: 0 });
    const found = await preview(id);
    expect(found.names).toEqual(["1.safetensors", "3.safetensors"]);
    expect([found.bytes, found.frees]).toEqual([
      (files[0]?.size ?? 0) + (files[2]?.size ?? 0),
      files[2]?.size,
    ]);
    const young = await rule({ filter: `experiment_group = '${group}'`, days: 30 });
    expect((await preview(young.id)).files).toBe(0);
  });

  it("are about one's own runs, and are refused where they mean nothing", async () => {
    const group = await runs([0.1], 2);
    const stranger = (await ledger.key()).key;
    const json = { name: "r", rule: { filter: `experiment_group = '${group}'`, days: 0 } };
    const { id } = await ledger.call("/api/storage/rules", { key: stranger, json });
    expect((await ledger.call(`/api/storage/rules/${id}/preview`, { key: stranger })).files).toBe(
      0,
    );
    // Also when an admin applies it: it stays its maker's.
    expect(
      (await ledger.call(`/api/storage/rules/${id}/apply`, { key: admin, json: {} })).deleted,
    ).toBe(0);
    for (const wrong of [
      {},
      { kinds: ["final"], last: 1 },
      { best: { count: 0 } },
      { last: 1, more: 1 },
    ])
      await rule(wrong, 422);
    expect((await rule({ last: 1, filter: "nonsense = 1" }, 422)).position).toBe(1);
    expect((await rule({ best: { count: 1, by: "nonsense" } }, 422)).errors).toMatchObject([
      { path: "rule.best.by" },
    ]);
  });

  it("are applied by the scheduled job once a day when they are active", async () => {
    const group = await runs([0.1], 3);
    const json = {
      name: "daily",
      active: true,
      rule: { filter: `experiment_group = '${group}'`, last: 1 },
    };
    const { id } = await ledger.call("/api/storage/rules", { key: anna, json });
    await runSchedule(ledger.bindings);
    expect((await preview(id)).files).toBe(0);
    const [entry] = await ledger.db.all<{ address: string; n: number }>(sql`
      select address, count(*) as n from audit_entry where action = 'weight.tidy' and detail ->> 'keep_rule' = ${id}`);
    expect(entry).toEqual({ address: "scheduled job", n: 2 });
  });
});

describe("checking the storage", () => {
  const check = async () => {
    const faults: { object_key: string; fault: string; weights: number[] }[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page: { items: typeof faults; next_cursor: string | null } = await ledger.call(
        `/api/storage/check${cursor && `?cursor=${cursor}`}`,
        { key: admin },
      );
      faults.push(...page.items);
      cursor = page.next_cursor;
    }
    return faults;
  };

  it("finds rows without objects, objects without rows and sizes that differ, and nothing else", async () => {
    const task = await newRun();
    const [gone, cut, whole] = [
      await newWeight({}, task),
      await newWeight({}, task),
      await newWeight({}, task),
    ];
    const keyOf = async (id: number) =>
      (
        await ledger.db.all<{ k: string }>(
          sql`select object_key as k from stored_object where id = (select object_id from weight where id = ${id})`,
        )
      )[0]?.k ?? "";
    const ours = new RegExp(`^w/(${task}|0)/`);
    const mine = async () => (await check()).filter((f) => ours.test(f.object_key));
    // An upload under way is no fault.
    await ledger.call(`/api/tasks/${task}/weights`, {
      key: anna,
      json: { filename: "x.bin", kind: "final", size: 5, sha256: "0".repeat(64) },
    });
    const before = await mine();
    await env.BUCKET.delete(await keyOf(gone.id));
    await env.BUCKET.put(await keyOf(cut.id), "short");
    await env.BUCKET.put("w/0/stray", "nobody's");
    const added = (await mine()).filter((f) => !before.some((b) => b.object_key === f.object_key));
    expect(added.map(({ fault, weights }) => [fault, weights]).sort()).toEqual([
      ["no_object", [gone.id]],
      ["no_row", []],
      ["size_differs", [cut.id]],
    ]);
    expect(added.map((f) => f.object_key)).not.toContain(await keyOf(whole.id));
    await env.BUCKET.delete("w/0/stray");
  });

  it("goes on page by page over more objects than one holds", async () => {
    const prefix = `w/0/${unique("many")}`;
    await Promise.all(Array.from({ length: 620 }, (_, i) => env.BUCKET.put(`${prefix}-${i}`, "x")));
    const strays = (await check()).filter((f) => f.object_key.startsWith(prefix));
    expect(new Set(strays.map((f) => f.object_key)).size).toBe(620);
    expect(strays).toHaveLength(620);
    await Promise.all(Array.from({ length: 620 }, (_, i) => env.BUCKET.delete(`${prefix}-${i}`)));
  });
});
