// The best value of each metric, where it is found again, and the checkpoint that is nearest to it.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { lora, upload } from "../../test/uploads.ts";
import { settleLogs } from "./settle-logs.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

type Metrics = Record<string, number | string>;
const register = async (json: object = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "best", ...json } })).task_id;
const beat = (id: number, seq: number, logs: { step: number; metrics: Metrics }[], attempt = 1) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt, seq, logs } });
const finish = (id: number, status = "success") =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: { status } });
const bestOf = (id: number, metric?: string, status = 200) =>
  ledger.call(
    `/api/tasks/${id}/best${metric === undefined ? "" : `?metric=${encodeURIComponent(metric)}`}`,
    { key },
    status,
  );
const summaryOf = async (id: number) =>
  Object.fromEntries(
    (
      await ledger.db.all<{ metric: string; best: number | null; step: number | null }>(
        sql`select metric, best, best_step as step from metric_summary where task_id = ${id}`,
      )
    ).map(({ metric, best, step }) => [metric, [best, step]]),
  );
const list = async (query: Record<string, string>) =>
  (await ledger.call(`/api/tasks?${new URLSearchParams(query)}`, { key })).items.map(
    ({ id }: { id: number }) => id,
  );

/** Loss falls to 0.5 at step 120, and rises again; one spike below it means nothing. Validation is sparse. */
const lossAt = (step: number) => (step === 20 ? 0.1 : 0.5 + Math.abs(step - 120) / 200);
const valAt = (step: number) => 0.7 + Math.abs(step - 160) / 100;
const course = (offset = 0) =>
  Array.from({ length: 200 }, (_, n) => n + 1).map((step) => ({
    step,
    metrics: {
      ...{ loss: lossAt(step), lr: 1e-4 },
      ...(step % 20 === 0 && { "val/loss": valAt(step) + offset }),
    } as Metrics,
  }));

async function trained(offset = 0): Promise<number> {
  const id = await register();
  await beat(id, 1, course(offset));
  await finish(id);
  return id;
}

describe("the best of a metric", () => {
  it("is the lowest smoothed value, and of a sparse series its lowest value", async () => {
    const id = await trained();
    const { loss, lr, "val/loss": val } = await summaryOf(id);
    expect(val).toEqual([0.7, 160]);
    // The window of ten steps around the turn, and not the spike.
    expect(loss?.[0]).toBeGreaterThan(0.5);
    expect(loss?.[0]).toBeLessThan(0.53);
    expect(Math.abs(Number(loss?.[1]) - 125)).toBeLessThan(3);
    expect(lr?.[0]).toBeCloseTo(1e-4, 12);
    const task = await ledger.call(`/api/tasks/${id}`, { key });
    expect([task.best_loss, task.best_step]).toEqual(loss);
    await expect(bestOf(id, "loss")).resolves.toMatchObject({ value: loss?.[0], step: loss?.[1] });
  });

  it("is the highest value where the name of the metric says so", async () => {
    const rise = async (top: number) => {
      const id = await register();
      const logs = Array.from({ length: 8 }, (_, n) => ({
        step: n * 10 + 10,
        metrics: { eval_accuracy: top - Math.abs(n - 5) / 10, eval_loss: 1 + n },
      }));
      await beat(id, 1, logs);
      expect(await bestOf(id, "eval_accuracy")).toMatchObject({ value: top, step: 60 });
      await finish(id);
      expect(await summaryOf(id)).toMatchObject({ eval_accuracy: [top, 60], eval_loss: [1, 10] });
      expect(await bestOf(id, "eval_accuracy")).toMatchObject({ value: top, step: 60 });
      return id;
    };
    const [worse, better] = [await rise(0.7), await rise(0.9)];
    const ranked = async (metric: string, direction?: string) => {
      const filter = `id in (${worse}, ${better})`;
      const query = new URLSearchParams({ filter, metric, ...(direction && { direction }) });
      const { items } = await ledger.call(`/api/leaderboard?${query}`, { key });
      return items.map(({ task }: { task: { id: number } }) => task.id);
    };
    expect(await ranked("metrics.eval_accuracy.best")).toEqual([better, worse]);
    expect(await ranked("metrics.eval_accuracy.best", "min")).toEqual([worse, better]);
  });

  it("filters, orders, and ranks runs", async () => {
    const [worse, better] = [await trained(0.5), await trained(-0.3)];
    const ids = `id in (${worse}, ${better})`;
    const field = 'metrics."val/loss".best';
    expect(await list({ filter: `${ids} and ${field} < 0.5` })).toEqual([better]);
    expect(await list({ filter: `${ids} and metrics."val/loss".best_step = 160` })).toHaveLength(2);
    expect(await list({ filter: ids, order_by: field })).toEqual([better, worse]);
    expect(await list({ filter: ids, order_by: `-${field}` })).toEqual([worse, better]);
    const { items } = await ledger.call(
      `/api/leaderboard?${new URLSearchParams({ filter: ids, metric: field })}`,
      { key },
    );
    expect(
      items.map(({ task, value }: { task: { id: number }; value: number }) => [task.id, value]),
    ).toEqual([
      [better, expect.closeTo(0.4, 9)],
      [worse, expect.closeTo(1.2, 9)],
    ]);
    const stats = await ledger.call(
      `/api/stats/tasks?${new URLSearchParams({ group_by: "status", select: `min(${field})`, filter: ids })}`,
      { key },
    );
    expect(JSON.stringify(stats)).toContain("0.39999999999999997");
    const exported = await ledger.request(
      `/api/tasks/export?${new URLSearchParams({ format: "jsonl", columns: `${field},metrics`, filter: `id = ${better}` })}`,
      { key },
    );
    const row = JSON.parse(await exported.text());
    expect(row[field]).toBeCloseTo(0.4, 9);
    expect(row.metrics["val/loss"].best_step).toBe(160);
    const table = await ledger.call(
      `/api/table?${new URLSearchParams({ fields: field, filter: `id = ${better}` })}`,
      { key },
    );
    expect(JSON.stringify(table)).toContain("0.39999999999999997");
  });

  it("is null while a run lasts", async () => {
    const id = await register();
    await beat(id, 1, course());
    expect(await list({ filter: `id = ${id} and metrics.loss.best is null` })).toEqual([id]);
    expect(await bestOf(id)).toMatchObject({ metric: "val/loss", value: 0.7, step: 160 });
  });

  it("of a long run is the job's to find, of validation and losses before others", async () => {
    const id = await register();
    const names = Array.from({ length: 20 }, (_, n) => `other.${String(n).padStart(2, "0")}`);
    const others: Metrics = Object.fromEntries(names.map((name) => [name, 2]));
    for (let seq = 1; seq <= 12; seq++)
      await beat(
        id,
        seq,
        Array.from({ length: 500 }, (_, n) => (seq - 1) * 500 + n + 1).map((step) => ({
          step,
          metrics: {
            ...{ loss: 1 + Math.abs(step - 3000) / 1000, "gpu.0.util": 50 },
            ...(step % 500 === 0 && { "val/loss": 1 + Math.abs(step - 4000) / 1000, ...others }),
          },
        })),
      );
    await finish(id);
    expect((await summaryOf(id))["val/loss"]?.[0] ?? null).toBeNull();
    expect(await settleLogs(ledger.db)).toBeGreaterThan(0);
    const found = await summaryOf(id);
    expect(found["val/loss"]).toEqual([1, 4000]);
    expect(found.loss?.[0]).toBeLessThan(1.2);
    // Of 21 further metrics 16 are read: the validation's and 15 of the others, and no load of a GPU.
    expect(names.filter((name) => found[name]?.[0] === 2)).toHaveLength(15);
    expect(found["gpu.0.util"]).toEqual([null, null]);
    expect(await settleLogs(ledger.db)).toBe(0);
    // What is not stored is looked for in the curve.
    expect(await bestOf(id, "gpu.0.util")).toMatchObject({ value: 50 });
    expect(await bestOf(id)).toMatchObject({ metric: "val/loss", value: 1, step: 4000 });
  });
});

describe("the best checkpoint", () => {
  const put = (id: number, fields: object) => upload(ledger, key, id, lora(), { ...fields });

  it("is the stored file nearest to the best step", async () => {
    const id = await register();
    await beat(id, 1, course());
    const near = await put(id, { kind: "checkpoint", filename: "near.safetensors", step: 150 });
    await put(id, { kind: "checkpoint", filename: "far.safetensors", step: 60 });
    // A training state is no checkpoint to use, and one without a step is nowhere.
    await put(id, { kind: "state", filename: "state.bin", step: 160 });
    await put(id, { kind: "checkpoint", filename: "unknown.safetensors" });
    const final = await put(id, { kind: "final", filename: "final.safetensors" });
    await finish(id);
    const response = await ledger.request(`/api/tasks/${id}/best`, { key });
    expect(costOf(response).trips).toBe(2);
    expect(await response.json()).toEqual({
      ...{ metric: "val/loss", value: 0.7, step: 160, reason: null },
      checkpoint: { weight_id: near.id, filename: "near.safetensors", step: 150, distance: 10 },
    });
    // Of two as near the later step.
    const later = await put(id, { kind: "checkpoint", filename: "later.safetensors", step: 170 });
    expect((await bestOf(id)).checkpoint).toMatchObject({ weight_id: later.id, distance: 10 });
    // What lies in the trash is not offered.
    await ledger.call(`/api/weights/${later.id}`, { key, method: "DELETE" }, 204);
    await ledger.call(`/api/weights/${near.id}`, { key, method: "DELETE" }, 204);
    // The final file is that of the last step.
    expect((await bestOf(id)).checkpoint).toMatchObject({
      ...{ weight_id: final.id, step: 200, distance: 40 },
    });
  });

  it("is none that a resumed run has left behind", async () => {
    const id = await register();
    await beat(id, 1, course());
    const kept = await put(id, { kind: "checkpoint", filename: "kept.safetensors", step: 100 });
    await put(id, { kind: "checkpoint", filename: "left.safetensors", step: 160 });
    await ledger.call(`/api/tasks/${id}/attempts`, { key, json: { from_step: 100 } });
    const again = course(0.2).slice(100);
    await beat(id, 1, again, 2);
    await finish(id);
    expect((await bestOf(id)).checkpoint).toMatchObject({ weight_id: kept.id, distance: 60 });
  });

  it("goes by the loss where there is no validation, and says why there is none", async () => {
    const id = await register();
    await beat(id, 1, [
      { step: 1, metrics: { "train/loss": 2 } },
      { step: 2, metrics: { "train/loss": 1 } },
    ]);
    expect(await bestOf(id)).toEqual({
      ...{ metric: "train/loss", value: 1, step: 2, checkpoint: null, reason: "no-checkpoint" },
    });
    await finish(id);
    expect(await bestOf(id)).toMatchObject({ metric: "train/loss", reason: "no-checkpoint" });
  });

  it("is null of a run without a finite value, or any", async () => {
    const id = await register();
    const nothing = { value: null, step: null, checkpoint: null, reason: "no-values" };
    expect(await bestOf(id)).toEqual({ metric: null, ...nothing });
    await beat(id, 1, [{ step: 1, metrics: { loss: "NaN" } }]);
    await finish(id, "failed");
    expect(await bestOf(id)).toEqual({ metric: "loss", ...nothing });
  });

  it("tells a metric or a run that is not there", async () => {
    const id = await register();
    await beat(id, 1, course());
    const problem = await bestOf(id, "val/accuracy", 404);
    expect(problem.params).toMatchObject({ task: id, metric: "val/accuracy" });
    await bestOf(999_999, undefined, 404);
    await bestOf(id, "", 422);
    await ledger.call(`/api/tasks/${id}/best?order=min`, { key }, 422);
    // A box reads the runs alone that it holds.
    const box = await ledger.box(key);
    await ledger.call(`/api/tasks/${id}/best`, { key: box.key }, 404);
    const other = await ledger.key();
    expect(await ledger.call(`/api/tasks/${id}/best`, { key: other.key })).toMatchObject({
      metric: "val/loss",
    });
  });
});
