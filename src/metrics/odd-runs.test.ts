// Figures and curves of runs that are seldom: without steps, with odd names, resumed, ended in the middle of a report.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { lora, upload } from "../../test/uploads.ts";
import { settleLogs } from "../runs/settle-logs.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

type Metrics = Record<string, number | string>;
const register = async (json: object = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "odd", ...json } })).task_id;
const steps = (from: number, to: number, of: (step: number) => Metrics) =>
  Array.from({ length: to - from + 1 }, (_, n) => ({ step: from + n, metrics: of(from + n) }));
const beat = (id: number, seq: number, logs: unknown[], more: object = {}) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { attempt: 1, seq, logs, ...more } });
const finish = (id: number, more: object = {}) =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: { status: "success", ...more } });
const get = (path: string) => ledger.call(path, { key });

describe("a run", () => {
  it("without steps has a best value, but no best step and no file near to one", async () => {
    const id = await register();
    const loss = (step: number) => ({ loss: 1 + Math.abs(step - 30) / 10 });
    await beat(id, 1, steps(1, 60, loss), { progress: { unstepped: true } });
    await upload(ledger, key, id, lora(), {
      kind: "checkpoint",
      filename: "a.safetensors",
      step: 500,
    });
    const wanted = { metric: "loss", step: null, checkpoint: null, reason: "no-steps" };
    expect(await get(`/api/tasks/${id}/best`)).toMatchObject(wanted);
    await finish(id);
    const best = await get(`/api/tasks/${id}/best`);
    expect(best).toMatchObject(wanted);
    expect(best.value).toBeLessThan(1.5);
    const filter = new URLSearchParams({ filter: `id = ${id} and metrics.loss.best_step > 0` });
    expect((await get(`/api/tasks?${filter}`)).items).toEqual([]);
  });

  it.each(["constructor", "toString", "hasOwnProperty", "__proto__"])(
    "with a metric named %s ends as others do",
    async (name) => {
      const id = await register();
      await beat(id, 1, [{ step: 1, metrics: JSON.parse(`{"loss": 1, "${name}": 2}`) }]);
      await ledger.call(`/api/tasks/${id}/attempts`, { key, json: {} });
      const { task } = await finish(id, { attempt: 2 });
      expect([task.status, task.final_loss]).toEqual(["success", 1]);
    },
  );

  it("is followed by since over an attempt that has no points yet", async () => {
    const id = await register();
    const loss = () => ({ loss: 1 });
    await beat(id, 1, steps(1, 10, loss));
    const first = await get(`/api/tasks/${id}/logs`);
    await ledger.call(`/api/tasks/${id}/attempts`, { key, json: { from_step: 5 } });
    const second = await get(`/api/tasks/${id}/logs?since=${first.next_since}`);
    await beat(id, 1, steps(6, 8, loss), { attempt: 2 });
    const third = await get(`/api/tasks/${id}/logs?since=${second.next_since}`);
    expect(third.points.map(([step]: [number]) => step)).toEqual([6, 7, 8]);
    expect(third.replaces_from).toBe(6);
    expect((await get(`/api/tasks/${id}/logs?since=${third.next_since}`)).points).toEqual([]);
  });

  it("has figures of all of its points, also where a report comes while it ends", async () => {
    let met = 0;
    for (let n = 0; n < 20; n++) {
      const id = await register();
      await beat(id, 1, [{ step: 1, metrics: { loss: 1 } }]);
      await Promise.all([
        finish(id, { attempt: 1 }),
        beat(id, 2, [{ step: 2, metrics: { loss: 9 } }]),
      ]);
      await settleLogs(ledger.db);
      const [row] = await ledger.db.all<{ points: number; count: number }>(sql`
        select a.points, s.count from task_attempt a
        join metric_summary s on s.task_id = a.task_id and s.metric = 'loss' where a.task_id = ${id}`);
      expect(row?.count).toBe(row?.points);
      met += row?.points === 2 ? 1 : 0;
    }
    expect(met).toBeGreaterThan(0);
  });

  it("of many points has one loss, where its last report names another", async () => {
    const id = await register();
    for (let seq = 1; seq <= 6; seq++)
      await beat(
        id,
        seq,
        steps(seq * 1000 - 999, seq * 1000, () => ({ loss: 0.1 })),
      );
    await beat(id, 7, [{ step: 6001, metrics: { train_loss: 5 } }]);
    for (const when of ["running", "ended"]) {
      const curve = await get(`/api/tasks/${id}/logs`);
      expect([when, curve.metric, curve.total]).toEqual([when, "loss", 6000]);
      const { curves } = await get(`/api/tasks/${id}/curves?metric=loss&metric=train_loss`);
      expect(curves.map(({ total }: { total: number }) => total)).toEqual([6000, 1]);
      const [one] = (await get(`/api/curves?ids=${id}`)).items;
      expect([one.metric, one.total]).toEqual(["loss", 6000]);
      if (when === "running") await finish(id);
    }
    await settleLogs(ledger.db);
    const task = await get(`/api/tasks/${id}`);
    expect(task.final_loss).toBeCloseTo(0.1, 9);
    expect(task.convergence_step).toBeLessThan(1000);
  });

  it("of thousands of chunks has a curve to its end, one by one and among others", async () => {
    const id = await register();
    await beat(id, 1, [{ step: 1, metrics: { loss: 1 } }]);
    // As a run of 500 metrics stores them: 17 steps a chunk.
    await ledger.db.run(sql`
      insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, form, summary, blocks, points)
      select task_id, attempt, 1 + n, 1 + n, n * 17 + 1, n * 17 + 17, 17, 131000, 2,
        json_object('loss', json_array(n * 17 + 1, n * 17 + 17, null, null, 1.0, 17, 17.0, n * 17 + 1, 1.0, n * 17 + 1, 1.0)),
        json_object('loss', json_array(json_array(n * 17 + 1, n * 17 + 17, null, null, 1.0, 17, 17.0, n * 17 + 1, 1.0, n * 17 + 1, 1.0))), '[]'
      from log_chunk, (with recursive k(n) as (select 1 union all select n + 1 from k where n < 5900) select n from k)
      where task_id = ${id}`);
    await ledger.db.run(sql`
      update task_attempt set received = 5901, points = 100301, bytes = 770000000, last_step = 100317, open_chunk = 0
      where task_id = ${id}`);
    const { points, total } = await get(`/api/tasks/${id}/logs`);
    expect([points.at(-1)[0], total]).toEqual([100_317, 100_301]);
    const { curves } = await get(`/api/tasks/${id}/curves?metric=loss&metric=other`);
    expect(curves[0].points.at(-1)[0]).toBe(100_317);
    const [sampled] = (await get(`/api/curves?ids=${id}`)).items;
    expect([sampled.first_step[0], sampled.points.at(-1)[0]]).toEqual([1, 100_317]);
  });

  it("that is under way has a small curve to its last chunk", async () => {
    const id = await register();
    const of = (step: number) => ({
      loss: step,
      a: 1 / step,
      b: 2 / step,
      c: 3 / step,
      d: 4 / step,
    });
    for (let seq = 1; seq <= 45; seq++) await beat(id, seq, steps(seq * 10 - 9, seq * 10, of));
    const last = async () =>
      (await get(`/api/table/sparklines?ids=${id}`)).items[0].points.at(-1)[0] as number;
    expect(await last()).toBeGreaterThan(430);
    await finish(id);
    expect(await last()).toBe(450);
  });
});

it("settings of many digits are different groups", async () => {
  const ids: number[] = [];
  for (const seed of [1234567890123, 1234567890124]) {
    const text = `pretrained_model_name_or_path = "x"\nseed = ${seed}\n`;
    const id = await register({ config: { text, format: "toml" } });
    await beat(id, 1, [{ step: 1, metrics: { loss: 1 } }]);
    ids.push(id);
  }
  const { groups } = await get(`/api/curves/groups?ids=${ids}&group_by=config.seed`);
  expect(groups.map((one: { ids: number[] }) => one.ids)).toEqual(ids.map((id) => [id]));
});
