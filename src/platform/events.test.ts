import { sql } from "drizzle-orm";
import { beforeAll, expect, it } from "vitest";
import { freshLedger, type Ledger, unique } from "../../test/harness.ts";
import { tellIdleBoxes } from "../alerts/boxes.ts";
import { box, trainingTask } from "./db/schema.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const register = async (fields: Record<string, unknown> = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "a run", ...fields } })).task_id;

const finish = (id: number, body: Record<string, unknown>) =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: body });

const eventsOf = async (id: number) =>
  (
    await ledger.db.all<{ kind: string; attempt: number; detail: string | null }>(
      sql`select kind, attempt, detail from event where subject = 'task' and subject_id = ${id} order by id`,
    )
  ).map(({ detail, ...event }) => ({ ...event, detail: JSON.parse(detail ?? "null") }));

it("records how a run ended, once an attempt", async () => {
  const id = await register();
  const failure = { status: "failed", error_message: "CUDA out of memory", failure_reason: "oom" };
  await finish(id, failure);
  await finish(id, failure);
  expect(await eventsOf(id)).toMatchObject([
    {
      kind: "failed",
      attempt: 1,
      detail: { failure_reason: "oom", error_message: "CUDA out of memory" },
    },
  ]);
  await ledger.call(`/api/tasks/${id}/attempts`, { key, json: {} });
  await finish(id, { status: "success" });
  expect((await eventsOf(id)).map(({ kind, attempt }) => [kind, attempt])).toEqual([
    ["failed", 1],
    ["finished", 2],
  ]);
  const cancelled = await register();
  await finish(cancelled, { status: "cancelled" });
  expect(await eventsOf(cancelled)).toEqual([]);
});

it("tells a group's new best, and neither its first run nor a worse one", async () => {
  const experiment_group = unique("group-");
  const kinds: string[][] = [];
  for (const final_loss of [0.5, 0.4, 0.45, 0.4, 0.1]) {
    const id = await register({ experiment_group });
    await finish(id, { status: "success", final_loss });
    kinds.push((await eventsOf(id)).map(({ kind }) => kind));
  }
  expect(kinds).toEqual([
    ["finished"],
    ["finished", "new_best"],
    ["finished"],
    ["finished"],
    ["finished", "new_best"],
  ]);
  const alone = await register();
  await finish(alone, { status: "success", final_loss: 0 });
  expect(await eventsOf(alone)).toHaveLength(1);
});

const beat = (id: number, seq: number, losses: (number | string)[], from = seq * 100) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, {
    key,
    json: {
      seq,
      logs: losses.map((loss, i) => ({ step: from + i, metrics: { loss, lr: 1e-4 } })),
    },
  });

it("tells a loss that is no number, once", async () => {
  const id = await register();
  await beat(id, 1, [0.5, 0.4]);
  await beat(id, 2, [0.4, "NaN", "Infinity"]);
  await beat(id, 3, ["NaN"]);
  expect(await eventsOf(id)).toEqual([
    { kind: "loss_diverged", attempt: 1, detail: { metric: "loss", step: 201, value: "NaN" } },
  ]);
});

it("tells a loss that jumps over five times its level, and no less", async () => {
  const id = await register();
  const steady = (count: number) => Array.from({ length: count }, () => 0.1);
  await beat(id, 1, steady(19));
  // Too early to tell a jump from a beginning.
  await beat(id, 2, [0.7]);
  await beat(id, 3, steady(99));
  expect(await eventsOf(id)).toEqual([]);
  await beat(id, 4, [0.42, 0.48]);
  expect(await eventsOf(id)).toEqual([]);
  await beat(id, 5, [0.9, 1.1]);
  const [event, ...more] = await eventsOf(id);
  expect(more).toEqual([]);
  expect(event).toMatchObject({ kind: "loss_diverged", detail: { step: 501, value: 1 } });
  expect(event?.detail.level_before).toBeGreaterThan(0.1);
  expect(event?.detail.level_before).toBeLessThan(0.15);
  await beat(id, 6, [5]);
  expect(await eventsOf(id)).toHaveLength(1);
  // The next attempt is measured by itself.
  await ledger.call(`/api/tasks/${id}/attempts`, { key, json: {} });
  await beat(id, 1, [50]);
  expect(await eventsOf(id)).toHaveLength(1);
});

it("tells of a disk that fills up, once an attempt, and of none that has room", async () => {
  const id = await register();
  const send = (seq: number, disk?: unknown) =>
    ledger.call(`/api/tasks/${id}/heartbeat`, {
      key,
      json: { seq, progress: { step: seq, ...(disk !== undefined && { disk }) } },
    });
  const low = { free_bytes: 900_000_000, needed_bytes: 1_200_000_000 };
  // Heartbeats of older clients, and of a disk with room.
  await send(1);
  await send(2, null);
  await send(3, { free_bytes: 2e9, needed_bytes: 1.2e9 });
  expect(await eventsOf(id)).toEqual([]);
  await send(5, low);
  await send(6, { ...low, free_bytes: 1 });
  const told = { kind: "disk_full", attempt: 1, detail: low };
  expect(await eventsOf(id)).toEqual([told]);
  // One that comes late says nothing of the disk as it is now.
  const other = await register();
  await beat(other, 1, [0.5]);
  await beat(other, 3, [0.5]);
  await ledger.call(`/api/tasks/${other}/heartbeat`, {
    key,
    json: { seq: 2, progress: { disk: low } },
  });
  expect(await eventsOf(other)).toEqual([]);
  await ledger.call(`/api/tasks/${id}/attempts`, { key, json: {} });
  await send(1);
  await send(2, low);
  expect(await eventsOf(id)).toEqual([told, { ...told, attempt: 2 }]);
});

it("refuses what is no fact of a disk, and lets nobody raise the event of another's run", async () => {
  const id = await register();
  await beat(id, 1, [0.5]);
  for (const disk of [7, {}, { free_bytes: -1, needed_bytes: 1 }, { free_bytes: 1 }]) {
    const response = await ledger.request(`/api/tasks/${id}/heartbeat`, {
      key,
      json: { seq: 2, progress: { disk } },
    });
    expect(response.status).toBe(422);
  }
  const stranger = await ledger.key();
  const response = await ledger.request(`/api/tasks/${id}/heartbeat`, {
    key: stranger.key,
    json: { seq: 2, progress: { disk: { free_bytes: 1, needed_bytes: 2 } } },
  });
  expect(response.status).toBe(404);
  expect(await eventsOf(id)).toEqual([]);
});

it("tells at its end of a run whose only heartbeat had no number for a loss", async () => {
  const id = await register();
  await beat(id, 1, [0.5, "NaN"]);
  expect(await eventsOf(id)).toEqual([]);
  await finish(id, { status: "success" });
  expect((await eventsOf(id)).map(({ kind }) => kind)).toEqual(["loss_diverged", "finished"]);
});

it("tells of the cancelled runs those alone that a guard ended", async () => {
  const guarded = await register({ guard: { nan: "stop", over: 2 } });
  await beat(guarded, 1, [0.5, "NaN", "NaN"]);
  expect(await eventsOf(guarded)).toEqual([]);
  await finish(guarded, { status: "cancelled", error_message: "its guard ended the run" });
  expect((await eventsOf(guarded)).map(({ kind }) => kind)).toEqual(["loss_diverged"]);
  const sound = await register({ guard: { nan: "stop" } });
  await beat(sound, 1, [0.5, 0.4]);
  await finish(sound, { status: "cancelled" });
  expect(await eventsOf(sound)).toEqual([]);
  const free = await register();
  await beat(free, 1, [0.5, "NaN"]);
  await finish(free, { status: "cancelled" });
  expect(await eventsOf(free)).toEqual([]);
});

it("tells a run that lives and makes no steps", async () => {
  const quick = await freshLedger({ STALLED_AFTER_MIN: "0.01" });
  const { key } = await quick.key();
  const stranger = await quick.key();
  const register = async () =>
    (await quick.call("/api/tasks", { key, json: { task_name: "slow" } })).task_id;
  const beat = (id: number, json: object, as = key, status = 200) =>
    quick.call(`/api/tasks/${id}/heartbeat`, { key: as, json }, status);
  const kinds = async (id: number) =>
    (
      await quick.db.all<{ kind: string }>(sql`select kind from event where subject_id = ${id}`)
    ).map(({ kind }) => kind);
  const [stuck, moving, silent] = [await register(), await register(), await register()];
  for (let seq = 1; seq <= 4; seq++) {
    await beat(stuck, { seq, progress: { step: 7 } });
    await beat(moving, { seq, progress: { step: seq } });
    await beat(silent, { seq });
    if (seq === 3) {
      await beat(stuck, { seq: 9 }, stranger.key, 404);
      expect(await kinds(stuck)).toEqual([]);
      await new Promise((done) => setTimeout(done, 700));
    }
  }
  expect(await kinds(stuck)).toEqual(["stalled"]);
  expect(await kinds(moving)).toEqual([]);
  expect(await kinds(silent)).toEqual(["stalled"]);
});

it("tells of a paid box that neither pulls nor makes steps, once each time it falls idle", async () => {
  const own = await freshLedger({ BOX_IDLE_AFTER_MIN: "10" });
  const { userId, keyId } = await own.key();
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  const boxes: Record<string, Partial<typeof box.$inferInsert>> = {
    idle: {},
    "never paid for": { hourlyPrice: null },
    free: { hourlyPrice: 0 },
    gone: { revokedAt: ago(1) },
    new: { enrolledAt: ago(9) },
    pulled: { claimedAt: ago(9) },
  };
  let key = keyId;
  for (const [name, more] of Object.entries(boxes))
    await own.db.insert(box).values({
      userId,
      keyId: key++,
      name,
      shared: false,
      hourlyPrice: 0.4,
      enrolledAt: ago(60),
      ...more,
    });
  const task = async (name: string, fields: Partial<typeof trainingTask.$inferInsert>) => {
    const keyId = key++;
    const [made] = await own.db
      .insert(trainingTask)
      .values({
        userId,
        keyId,
        taskName: "t",
        agent: "slot",
        attempt: 1,
        registrationKey: unique("k"),
        registrationHash: "h",
        ...fields,
      })
      .returning({ id: trainingTask.id });
    const row = { userId, keyId, name, shared: false, hourlyPrice: 0.4, enrolledAt: ago(60) };
    await own.db.insert(box).values({ ...row, claimedAt: ago(50), claimedTask: made?.id });
    return made?.id;
  };
  const watch = (minutes: number) => JSON.stringify({ attempt: 1, step: 5, at: ago(minutes) });
  await task("training", { status: "running", watch: watch(2) });
  const stuck = await task("stuck", { status: "running", watch: watch(30) });
  await task("just done", { status: "success", finishedAt: ago(3) });
  await task("done", { status: "failed", finishedAt: ago(20) });
  const told = async () => {
    await tellIdleBoxes(own.db, own.config);
    const rows = await own.db.all<{ name: string }>(
      sql`select name from event where kind = 'box_idle' and subject = 'box' order by name`,
    );
    return rows.map(({ name }) => name);
  };
  expect(await told()).toEqual(["done", "idle", "stuck"]);
  expect(await told()).toEqual(["done", "idle", "stuck"]);
  await own.db
    .update(trainingTask)
    .set({ watch: watch(12) })
    .where(sql`id = ${stuck}`);
  expect(await told()).toEqual(["done", "idle", "stuck", "stuck"]);
});
