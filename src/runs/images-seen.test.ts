import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";

const image = {
  task_name: "run",
  model_type: "stable-diffusion",
  batch_size: 4,
  gradient_accumulation_steps: 2,
};
const logs = (...steps: number[]) => steps.map((step) => ({ step, metrics: { loss: 1 } }));

describe("images_seen", () => {
  let ledger: Ledger;
  let key: string;
  const call = (path: string, json?: unknown, status = 200, method?: string) =>
    ledger.call(path, { key, json, ...(method && { method }) }, status);
  const register = async (json: object) => (await call("/api/tasks", json)).task_id as number;
  const seen = async (id: number) => (await call(`/api/tasks/${id}`)).images_seen;

  beforeAll(async () => {
    ledger = await freshLedger();
    ({ key } = await ledger.key({ user: "anna" }));
  });

  it("counts the steps of a run once, whatever its attempts repeat", async () => {
    const id = await register(image);
    expect(await seen(id)).toBeNull();
    await call(`/api/tasks/${id}/heartbeat`, { seq: 1, logs: logs(5, 10) });
    expect(await seen(id)).toBe(80);
    await call(`/api/tasks/${id}/heartbeat`, { seq: 2, progress: { step: 12 } });
    await call(`/api/tasks/${id}/heartbeat`, { seq: 2, progress: { step: 12 } });
    expect(await seen(id)).toBe(96);
    await call(`/api/tasks/${id}/finish`, { status: "failed" });

    await call(`/api/tasks/${id}/attempts`, { from_step: 10 });
    expect(await seen(id)).toBe(96);
    await call(`/api/tasks/${id}/heartbeat`, { attempt: 2, seq: 1, tail: "loading" });
    expect(await seen(id)).toBe(96);
    await call(`/api/tasks/${id}/heartbeat`, { attempt: 2, seq: 2, logs: logs(11, 15) });
    expect(await seen(id)).toBe(120);
    await call(`/api/tasks/${id}/finish`, { attempt: 2, status: "failed" });

    await call(`/api/tasks/${id}/attempts`, {});
    await call(`/api/tasks/${id}/heartbeat`, { attempt: 3, seq: 1, logs: logs(1, 2) });
    expect(await seen(id)).toBe(16);
    await call(`/api/tasks/${id}`, { batch_size: 8 }, 200, "PATCH");
    expect(await seen(id)).toBe(32);
  });

  it("is null where it is not known, and counts as the trainer counts", async () => {
    for (const [change, images] of [
      [{ model_type: "llm" }, null],
      [{ model_type: undefined }, null],
      [{ batch_size: undefined }, null],
      [{ gradient_accumulation_steps: undefined }, null],
      [{ trainer: "ai-toolkit" }, null],
      [{ trainer: "ai-toolkit", gradient_accumulation_steps: 1 }, 40],
      [{ trainer: "onetrainer" }, 40],
      [{ trainer: "kohya" }, 80],
    ] as const) {
      const id = await register({ ...image, ...change });
      await call(`/api/tasks/${id}/heartbeat`, { seq: 1, logs: logs(10) });
      expect([change, await seen(id)]).toEqual([change, images]);
    }
  });

  it("is null where points have their times alone", async () => {
    const id = await register(image);
    const progress = { epoch: 1, unstepped: true };
    await call(`/api/tasks/${id}/heartbeat`, { seq: 1, progress, logs: logs(1_795_835_731) });
    await call(`/api/tasks/${id}/heartbeat`, { seq: 2 });
    expect(await seen(id)).toBeNull();
  });

  it("has the step that an import states, or that its points reach", async () => {
    const attempt = { status: "failed", started_at: "2026-05-01T10:00:00Z" };
    const id = await register({
      ...image,
      import: {
        source: "table:1",
        progress: { step: 50 },
        attempts: [
          { ...attempt, attempt: 1 },
          { ...attempt, attempt: 2, status: "success" },
        ],
      },
    });
    expect(await seen(id)).toBe(400);
    await call(`/api/tasks/${id}/attempts/2/logs`, { seq: 1, logs: logs(60, 70) });
    expect(await seen(id)).toBe(560);
    await call(`/api/tasks/${id}/attempts/2/logs`, { seq: 2, logs: logs(65) });
    await call(`/api/tasks/${id}/attempts/1/logs`, { seq: 1, logs: logs(1, 90) });
    expect(await seen(id)).toBe(560);
    const odd = await register({ ...image, import: { source: "2", progress: { step: "50" } } });
    expect(await seen(odd)).toBeNull();
  });

  it("is filtered, ordered, shown and exported, and nobody's to write", async () => {
    const group = { ...image, experiment_group: "listed" };
    const ids = await Promise.all([group, group, group].map(register));
    for (const [n, id] of ids.slice(0, 2).entries())
      await call(`/api/tasks/${id}/heartbeat`, { seq: 1, logs: logs(10 * (n + 1)) });
    const among = `filter=${encodeURIComponent("experiment_group = 'listed'")}`;
    const { items } = await call(`/api/table?${among}&fields=images_seen&order_by=-images_seen`);
    expect(items.map((row: { values: unknown[] }) => row.values[0])).toEqual([160, 80, null]);
    const many = encodeURIComponent("experiment_group = 'listed' and images_seen > 100");
    const found = await call(`/api/tasks?filter=${many}`);
    expect(found.items.map((task: { id: number }) => task.id)).toEqual([ids[1]]);
    const stats = await call(
      `/api/stats/tasks?${among}&group_by=experiment_group&select=max(images_seen)`,
    );
    expect(stats.items[0].values).toEqual({ "max(images_seen)": 160 });
    const csv = await ledger.request(
      `/api/tasks/export?${among}&format=csv&columns=id,images_seen`,
      { key },
    );
    expect(await csv.text()).toContain(`${ids[1]},160`);
    const refused = await call("/api/tasks", { ...image, images_seen: 5 }, 422);
    expect(refused.errors).toEqual([
      { path: "images_seen", message: expect.stringContaining("kept by the server") },
    ]);
    await call(`/api/tasks/${ids[0]}`, { images_seen: 5 }, 422, "PATCH");
  });
});
