// A run's guard on its way: stated, changed, claimed, swept over, and kept. The client obeys it.
import { strFromU8, unzipSync } from "fflate";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";

let ledger: Ledger;
let key: string;
let box: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
  box = (await ledger.box(key)).key;
});

const guard = { nan: "stop", over: 5 };
const register = (json: object, status = 200) =>
  ledger.call("/api/tasks", { key, json: { task_name: "guarded", ...json } }, status);
const read = (id: number) => ledger.call(`/api/tasks/${id}`, { key });
const patch = (id: number, json: object, status = 200) =>
  ledger.call(`/api/tasks/${id}`, { key, json, method: "PATCH" }, status);

describe("a guard", () => {
  it("is kept, and counts one loss where it names no number", async () => {
    const { task } = await register({ guard });
    expect(task.guard).toEqual(guard);
    expect((await register({ guard: { nan: "stop" } })).task.guard).toEqual({
      nan: "stop",
      over: 1,
    });
    expect((await register({})).task.guard).toBeNull();
    const found = await ledger.call(`/api/tasks?filter=${encodeURIComponent("guard.over >= 5")}`, {
      key,
    });
    expect(found.items.map(({ id }: { id: number }) => id)).toEqual([task.id]);
  });

  it.each([
    { nan: "stop", over: 0 },
    { nan: "stop", over: 1.5 },
    { nan: "stop", over: "x" },
    { nan: "stop", over: 1_000_001 },
    { nan: "go" },
    { over: 5 },
    { nan: "stop", loss: 2 },
    "stop",
    [],
  ])("is refused as %j", async (wrong) => {
    const { errors } = await register({ guard: wrong }, 422);
    expect(errors[0].path).toMatch(/^guard/);
    const { task_id } = await register({});
    await patch(task_id, { guard: wrong }, 422);
  });

  it("changes while the run waits, and reaches the box that claims it", async () => {
    const { task_id } = await register({ queue: {}, guard });
    await patch(task_id, { guard: null });
    expect((await read(task_id)).guard).toBeNull();
    await patch(task_id, { guard: { nan: "stop", over: 7 } });
    const claim = await ledger.call("/api/queue/claim", { key: box, json: { agent: "a" } });
    expect(claim.task).toMatchObject({ id: task_id, guard: { nan: "stop", over: 7 } });
  });

  it("is answered to who resumes the run", async () => {
    const { task_id } = await register({ guard });
    const open = () => ledger.call(`/api/tasks/${task_id}/attempts`, { key, json: {} });
    expect((await open()).guard).toEqual(guard);
    await patch(task_id, { guard: null });
    expect((await open()).guard).toBeNull();
  });

  it("is a sweep's own, else its base's", async () => {
    const config = { text: "network_dim = 8\n", format: "toml" };
    const base = await register({ guard, config });
    const sweep = async (json: object) => {
      const made = await ledger.call("/api/sweeps", {
        key,
        json: { space: { network_dim: [4] }, experiment_group: "g", ...json },
      });
      return (await read(made.tasks[0].task_id)).guard;
    };
    expect(await sweep({ base_task_id: base.task_id })).toEqual(guard);
    expect(await sweep({ base_task_id: base.task_id, guard: null })).toBeNull();
    expect(await sweep({ config, guard: { nan: "stop" } })).toEqual({ nan: "stop", over: 1 });
    expect(await sweep({ config })).toBeNull();
    await ledger.call(
      "/api/sweeps",
      {
        key,
        json: {
          ...{ config, space: { network_dim: [4] }, experiment_group: "g" },
          guard: { over: 1 },
        },
      },
      422,
    );
  });

  it("is in archives and exports", async () => {
    const { task_id } = await register({ guard });
    const zip = await ledger.request(`/api/tasks/${task_id}/archive`, { key });
    const files = unzipSync(new Uint8Array(await zip.arrayBuffer()));
    const about = JSON.parse(strFromU8(files["ledger.json"] ?? new Uint8Array()));
    expect(about.task.guard).toEqual(guard);
    const filter = encodeURIComponent(`id = ${task_id}`);
    const lines = await ledger.request(
      `/api/tasks/export?format=jsonl&columns=id,guard,guard.over&filter=${filter}`,
      { key },
    );
    expect(JSON.parse(await lines.text())).toEqual({ id: task_id, guard, "guard.over": 5 });
    const imported = await register({ guard, import: { source: "elsewhere" } });
    expect(imported.task.guard).toEqual(guard);
  });
});
