import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger, unique } from "../../test/harness.ts";

let ledger: Ledger;
let member: Awaited<ReturnType<Ledger["key"]>>;

beforeAll(async () => {
  ledger = await freshLedger();
  member = await ledger.key();
});

const register = async (fields: Record<string, unknown> = {}, key = member.key): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "a run", ...fields } })).task_id;

const beat = (id: number, body: Record<string, unknown>, status = 200, key = member.key) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: body }, status);

const finish = (id: number, body: Record<string, unknown>, status = 200, key = member.key) =>
  ledger.call(`/api/tasks/${id}/finish`, { key, json: body }, status);

const entries = (from: number, to: number, loss = (step: number) => 1 / step) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    step: from + i,
    epoch: 1,
    time: new Date(1_760_000_000_000 + (from + i) * 1000).toISOString(),
    metrics: { loss: loss(from + i), lr: 1e-4 },
  }));

const task = (id: number) => ledger.call(`/api/tasks/${id}`, { key: member.key });
const curve = (id: number, query = "") =>
  ledger.call(`/api/tasks/${id}/logs?${query}`, { key: member.key });

describe("heartbeat", () => {
  it("opens attempt 1, fills the time stamps and keeps progress and tail", async () => {
    const id = await register();
    const answer = await beat(id, {
      seq: 1,
      progress: { step: 3, total_steps: 10 },
      logs: entries(1, 3),
      tail: "line\nlast",
    });
    expect(answer).toEqual({
      status: "running",
      attempt: 1,
      cancel_requested: false,
      heartbeat_interval_sec: 30,
    });
    const seen = await task(id);
    expect(seen).toMatchObject({
      status: "running",
      attempt: 1,
      progress: { step: 3, total_steps: 10 },
    });
    expect(seen.started_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(seen.heartbeat_at >= seen.started_at).toBe(true);
    expect(seen.attempts[0]).toMatchObject({
      attempt: 1,
      status: "running",
      points: 3,
      tail: "line\nlast",
    });
  });

  it("changes nothing when the same seq comes again, also after chunks have grown", async () => {
    const id = await register();
    for (let seq = 1; seq <= 40; seq++)
      await beat(id, { seq, logs: entries(seq * 50 - 49, seq * 50) });
    const before = await curve(id, "max_points=5000");
    for (const seq of [1, 7, 40])
      await beat(id, {
        seq,
        logs: entries(seq * 50 - 49, seq * 50, () => 999),
        progress: { step: 1 },
      });
    const after = await curve(id, "max_points=5000");
    expect(after).toEqual(before);
    expect(after.total).toBe(2000);
    const [stored] = await ledger.db.all<{ chunks: number }>(
      sql`select count(*) as chunks from log_chunk where task_id = ${id}`,
    );
    expect(stored?.chunks).toBeLessThanOrEqual(5);
  });

  it("keeps out-of-order steps; of two values for one step the higher seq's holds", async () => {
    const id = await register();
    await beat(id, { seq: 1, logs: entries(10, 12, () => 5) });
    await beat(id, { seq: 2, logs: entries(1, 10, () => 7) });
    const { points, total } = await curve(id);
    expect(total).toBe(12);
    expect(points.map((p: unknown[]) => [p[0], p[3]])).toEqual(
      [...Array(10).keys()]
        .map((i) => [i + 1, 7])
        .concat([
          [11, 5],
          [12, 5],
        ]),
    );
    const rows = await ledger.db.all(
      sql`select step, value from metric_point where task_id = ${id} and metric = 'loss' order by step`,
    );
    expect(rows).toHaveLength(12);
    expect(rows[9]).toEqual({ step: 10, value: 7 });
  });

  it("notes gaps, takes what comes late, and tells at the end what never came", async () => {
    const id = await register();
    await beat(id, { seq: 2, logs: entries(11, 20) });
    await beat(id, { seq: 6, logs: entries(51, 60) });
    await beat(id, { seq: 4, logs: entries(31, 40), progress: { step: 40 } });
    const ended = await finish(id, { status: "success", last_seq: 8 });
    expect(ended.missing).toEqual([
      { from: 1, to: 1 },
      { from: 3, to: 3 },
      { from: 5, to: 5 },
      { from: 7, to: 8 },
    ]);
    const late = await beat(id, { seq: 3, logs: entries(21, 30) });
    expect(late.status).toBe("success");
    await beat(id, { seq: 1, logs: entries(1, 10) });
    const again = await finish(id, { status: "success", last_seq: 6 });
    expect(again.missing).toEqual([{ from: 5, to: 5 }]);
    expect(again.task.finished_at).toBe(ended.task.finished_at);
    const { points } = await curve(id);
    expect(points.map((p: number[]) => p[0])).toEqual(
      [...entries(1, 40), ...entries(51, 60)].map((e) => e.step),
    );
  });

  it("keeps NaN and infinite losses without breaking the summaries", async () => {
    const id = await register();
    await beat(id, {
      seq: 1,
      logs: [
        { step: 1, metrics: { loss: 0.5 } },
        { step: 2, metrics: { loss: "NaN" } },
        { step: 3, metrics: { loss: "Infinity" } },
        { step: 4, metrics: { loss: 0.25 } },
      ],
    });
    await finish(id, { status: "success" });
    const { points } = await curve(id);
    expect(points.map((p: unknown[]) => p[3])).toEqual([0.5, "NaN", "Infinity", 0.25]);
    const [summary] = await ledger.db.all(
      sql`select count, nonfinite_count, min, max, last, sum from metric_summary where task_id = ${id} and metric = 'loss'`,
    );
    expect(summary).toEqual({
      count: 4,
      nonfinite_count: 2,
      min: 0.25,
      max: 0.5,
      last: 0.25,
      sum: 0.75,
    });
    const special = await ledger.db.all(
      sql`select step, value, special from metric_point where task_id = ${id} and special is not null order by step`,
    );
    expect(special).toEqual([
      { step: 2, value: null, special: "NaN" },
      { step: 3, value: null, special: "Infinity" },
    ]);
    expect((await task(id)).final_loss).toBe(0.25);
  });

  it("takes any number of metrics, with names of all kinds", async () => {
    const id = await register();
    const metrics = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`gpu.${i}.util %/日本`, i]),
    );
    for (let seq = 1; seq <= 3; seq++)
      await beat(id, {
        seq,
        logs: [
          { step: seq, metrics },
          { step: seq + 100, metrics: { "loss/current": seq } },
        ],
      });
    const { points } = await ledger.call(
      `/api/tasks/${id}/logs?metric=${encodeURIComponent("gpu.7.util %/日本")}`,
      { key: member.key },
    );
    expect(points.map((p: number[]) => p[0])).toEqual([1, 2, 3]);
    await beat(id, { seq: 4, logs: [{ step: 1, metrics: { 'a"b': 1 } }] }, 422);
    await beat(id, { seq: 4, logs: [{ step: 1, metrics: { loss: "nan" } }] }, 422);
    await beat(id, { seq: 4, logs: [{ step: 1.5, metrics: { loss: 1 } }] }, 422);
  });

  it("gives an imported run its curve, whose figures are then drawn from it", async () => {
    const id = await register({
      import: {
        source: unique("file"),
        started_at: "2026-05-01T10:00:00.000Z",
        finished_at: "2026-05-01T11:00:00.000Z",
      },
    });
    await beat(id, { attempt: 1, seq: 1, logs: entries(1, 20) });
    const answer = await beat(id, { attempt: 1, seq: 2, logs: entries(21, 30) });
    expect(answer).toMatchObject({ status: "success", attempt: 1 });
    expect((await curve(id)).total).toBe(30);
    const seen = await task(id);
    expect(seen).toMatchObject({ status: "success", finished_at: "2026-05-01T11:00:00.000Z" });
    expect(seen.attempts).toMatchObject([
      { attempt: 1, status: "success", points: 30, started_at: "2026-05-01T10:00:00.000Z" },
    ]);
  });

  it("tells a box whose run was cancelled while it waited", async () => {
    const id = await register();
    await ledger.call(`/api/tasks/${id}/cancel`, { key: member.key, json: {} });
    const answer = await beat(id, { attempt: 1, seq: 1, logs: entries(1, 2) });
    expect(answer).toMatchObject({ status: "cancelled", attempt: 1 });
    expect((await task(id)).attempts).toMatchObject([{ status: "cancelled" }]);
  });

  it("costs one round trip, at most 10 rows read and 5 written", async () => {
    const id = await register();
    let begun = 0;
    for (let seq = 1; seq <= 20; seq++) {
      const response = await ledger.request(`/api/tasks/${id}/heartbeat`, {
        key: member.key,
        json: {
          attempt: 1,
          seq,
          progress: { step: seq * 60 },
          logs: entries(seq * 60 - 59, seq * 60),
          tail: "x",
        },
      });
      const cost = costOf(response);
      expect(cost.trips).toBe(1);
      expect(cost.read).toBeLessThanOrEqual(10);
      expect(cost.written).toBeLessThanOrEqual(5);
      if (cost.written > 3) begun++;
    }
    // More than three rows: the first heartbeat, and those that begin a chunk.
    expect(begun).toBeLessThanOrEqual(5);
  });
});

describe("attempts", () => {
  it("supersede the one before, which can overwrite nothing from then on", async () => {
    const id = await register();
    await beat(id, { attempt: 1, seq: 1, logs: entries(1, 10) });
    const opened = await ledger.call(`/api/tasks/${id}/attempts`, {
      key: member.key,
      json: { from_step: 5 },
    });
    expect(opened).toEqual({ attempt: 2, heartbeat_interval_sec: 30, guard: null });
    const refused = await beat(id, { attempt: 1, seq: 2, logs: entries(11, 20, () => 9) }, 409);
    expect(refused).toMatchObject({ type: "urn:lora-ledger:superseded", current_attempt: 2 });
    await finish(id, { attempt: 1, status: "failed" }, 409);
    await beat(id, { attempt: 2, seq: 1, logs: entries(6, 12, () => 3) });
    expect((await task(id)).status).toBe("running");
    const { points } = await curve(id);
    expect(points.map((p: number[]) => p[3])).toEqual([
      1,
      1 / 2,
      1 / 3,
      1 / 4,
      1 / 5,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
    ]);
    const each = await curve(id, "attempt=all");
    expect(each.attempts.map((a: { total: number }) => a.total)).toEqual([10, 7]);
    const rows = await ledger.db.all(
      sql`select step, loss from training_log where task_id = ${id} order by step`,
    );
    expect(rows).toHaveLength(12);
    expect(rows[5]).toEqual({ step: 6, loss: 3 });
  });

  it("of two that race for the next number each gets its own, and only the last holds", async () => {
    const id = await register();
    await beat(id, { attempt: 1, seq: 1 });
    const opened = await Promise.all(
      Array.from({ length: 5 }, () =>
        ledger.call(`/api/tasks/${id}/attempts`, { key: member.key, json: {} }),
      ),
    );
    expect(opened.map((o) => o.attempt).sort()).toEqual([2, 3, 4, 5, 6]);
    await beat(id, { attempt: 5, seq: 1 }, 409);
    await beat(id, { attempt: 6, seq: 1 });
  });

  it("an Idempotency-Key opens one attempt however often it is sent", async () => {
    const id = await register();
    const headers = { "Idempotency-Key": unique("k") };
    const first = await ledger.call(`/api/tasks/${id}/attempts`, {
      key: member.key,
      json: {},
      headers,
    });
    const second = await ledger.call(`/api/tasks/${id}/attempts`, {
      key: member.key,
      json: {},
      headers,
    });
    expect(second).toEqual(first);
  });

  it("add up duration and cost", async () => {
    const id = await register({ hourly_price: 3600 });
    await beat(id, { attempt: 1, seq: 1 });
    await ledger.db.run(
      sql`update task_attempt set started_at = '2026-01-01T00:00:00.000Z', heartbeat_at = '2026-01-01T00:01:00.000Z' where task_id = ${id}`,
    );
    await ledger.call(`/api/tasks/${id}/attempts`, { key: member.key, json: {} });
    await ledger.db.run(
      sql`update task_attempt set started_at = strftime('%Y-%m-%dT%H:%M:%fZ','now','-30 seconds') where task_id = ${id} and attempt = 2`,
    );
    await finish(id, { attempt: 2, status: "success" });
    const seen = await task(id);
    expect(seen.total_duration_sec).toBeGreaterThan(89);
    expect(seen.total_duration_sec).toBeLessThan(95);
    expect(seen.cost).toBeCloseTo(seen.total_duration_sec, 2);
    expect(seen.attempts.map((a: { failure_reason: string | null }) => a.failure_reason)).toEqual([
      null,
      "lost",
    ]);
  });
});

describe("a run that is sent long after its end", () => {
  const DAY = 86_400;
  /** Seconds from a time of the ledger to now. */
  const since = (time: string) => (Date.now() - Date.parse(time)) / 1000;
  const lasted = async (id: number) => {
    const { started_at, finished_at, total_duration_sec, cost, attempts } = await task(id);
    const [attempt] = attempts;
    expect(attempt.duration_sec).toBe(total_duration_sec);
    // Two statements of a batch may see the clock some milliseconds apart.
    expect(Math.abs(Date.parse(attempt.finished_at) - Date.parse(finished_at))).toBeLessThan(100);
    const between = (Date.parse(finished_at) - Date.parse(started_at)) / 1000;
    expect(Math.abs(between - total_duration_sec)).toBeLessThan(0.2);
    return { ended: since(finished_at), took: total_duration_sec, cost, attempt };
  };

  it("took what its box says and ended when that was, all of it recorded without a network", async () => {
    const id = await register({ hourly_price: 3.6 });
    await beat(id, { seq: 1, logs: entries(1, 3) });
    await finish(id, { status: "success", duration_sec: 1000, ended_sec_ago: 2 * DAY });
    const { ended, took, cost } = await lasted(id);
    expect(Math.abs(ended - 2 * DAY)).toBeLessThan(5);
    expect(took).toBeCloseTo(1000, 1);
    expect(cost).toBeCloseTo(1, 3);
  });

  it("is not billed for the days until its end arrived", async () => {
    const id = await register({ hourly_price: 1 });
    await beat(id, { seq: 1, logs: entries(1, 3) });
    const began = new Date(Date.now() - 3 * DAY * 1000).toISOString();
    await ledger.db.run(sql`update task_attempt set started_at = ${began} where task_id = ${id}`);
    await ledger.db.run(sql`update training_task set started_at = ${began} where id = ${id}`);
    await finish(id, { status: "failed", duration_sec: DAY, ended_sec_ago: 2 * DAY });
    const { ended, took, cost } = await lasted(id);
    expect(Math.abs(ended - 2 * DAY)).toBeLessThan(5);
    expect(Math.abs(took - DAY)).toBeLessThan(5);
    expect(cost).toBeCloseTo(24, 1);
  });

  it("began at the latest so long before its end, whenever its first heartbeat came", async () => {
    const id = await register();
    await beat(id, { seq: 1, logs: entries(1, 3) });
    await finish(id, { status: "success", duration_sec: 600 });
    const { ended, took } = await lasted(id);
    expect(ended).toBeLessThan(5);
    expect(took).toBeCloseTo(600, 1);
  });

  it("needs no heartbeat, and never takes less than nothing", async () => {
    const id = await register({ hourly_price: 3.6 });
    await ledger.call(`/api/tasks/${id}/attempts`, { key: member.key, json: {} }, 200);
    await finish(id, { attempt: 1, status: "success", duration_sec: 100, ended_sec_ago: DAY });
    expect(await lasted(id)).toMatchObject({
      took: expect.closeTo(100, 1),
      cost: expect.closeTo(0.1, 3),
    });
    const late = await register();
    await beat(late, { seq: 1 });
    await finish(late, { status: "success", ended_sec_ago: DAY });
    const { took, ended } = await lasted(late);
    expect(took).toBe(0);
    expect(Math.abs(ended - DAY)).toBeLessThan(5);
  });

  it("began when a box pulled it, whatever that box says", async () => {
    const id = await register({ queue: {}, hourly_price: 1 });
    const claim = {
      agent: "box/gpu0",
      labels: [],
      gpu: { name: "RTX", memory_gb: 24 },
      hourly_price: 1,
    };
    const { task: pulled } = await ledger.call("/api/queue/claim", {
      key: member.key,
      json: claim,
    });
    expect(pulled.id).toBe(id);
    await finish(id, {
      attempt: 1,
      status: "success",
      duration_sec: 300 * DAY,
      ended_sec_ago: DAY,
    });
    const { ended, took, cost } = await lasted(id);
    expect([ended < 60, took < 60, (cost ?? 0) < 0.1]).toEqual([true, true, true]);
  });

  it.each([
    { duration_sec: -1 },
    { ended_sec_ago: -1 },
    { ended_sec_ago: 401 * DAY },
    { duration_sec: 401 * DAY },
    { duration_sec: "NaN" },
  ])("refuses %j", async (times) => {
    const id = await register();
    await beat(id, { seq: 1 });
    await finish(id, { status: "success", ...times }, 422);
  });
});

describe("finish", () => {
  it("sets the end, draws final loss and convergence, and repeated changes nothing", async () => {
    const id = await register();
    await beat(id, { seq: 1, logs: entries(1, 200, (step) => (step < 100 ? 2 - step / 100 : 1)) });
    const first = await finish(id, { status: "success", last_seq: 1, exit_code: 0 });
    expect(first.task).toMatchObject({ status: "success", final_loss: 1, exit_code: 0 });
    expect(first.task.convergence_step).toBeGreaterThan(80);
    expect(first.task.convergence_step).toBeLessThan(110);
    expect(first.missing).toEqual([]);
    expect((await finish(id, { status: "success", last_seq: 1 })).task).toEqual(first.task);
    const refused = await finish(id, { status: "failed" }, 409);
    expect(refused).toMatchObject({ current_status: "success", params: { case: "success" } });
    await ledger.call(`/api/tasks/${id}/attempts`, { key: member.key, json: {} }, 409);
  });

  it("draws no step from points that have their times alone", async () => {
    const id = await register();
    const logs = entries(1_795_835_731, 1_795_835_931, (step) => 1 + (step % 3));
    await beat(id, { seq: 1, progress: { epoch: 1, unstepped: true }, logs });
    await beat(id, { seq: 2 });
    const { task } = await finish(id, { status: "success", last_seq: 2, final_loss: 0.5 });
    expect(task).toMatchObject({ final_loss: 0.5, convergence_step: null });
    expect(task.progress).toEqual({ epoch: 1, unstepped: true });
  });

  it("of two racing ends one wins", async () => {
    for (let round = 0; round < 5; round++) {
      const id = await register();
      await beat(id, { seq: 1 });
      const answers = await Promise.all(
        (["success", "failed", "cancelled"] as const).map((status) =>
          ledger.request(`/api/tasks/${id}/finish`, { key: member.key, json: { status } }),
        ),
      );
      expect(answers.map((a) => a.status).sort()).toEqual([200, 409, 409]);
      for (const answer of answers) await answer.body?.cancel();
    }
  });

  it("a failed or cancelled run is not revived by a heartbeat, a lost one is", async () => {
    for (const [status, reason, after] of [
      ["failed", "oom", "failed"],
      ["failed", "lost", "running"],
      ["cancelled", undefined, "cancelled"],
    ] as const) {
      const id = await register();
      await beat(id, { seq: 1 });
      await finish(id, { status, failure_reason: reason });
      expect((await beat(id, { seq: 2, logs: entries(1, 5) })).status).toBe(after);
      const seen = await task(id);
      expect(seen.failure_reason).toBe(after === "failed" ? reason : null);
      expect(seen.finished_at === null).toBe(after === "running");
      expect((await curve(id)).total).toBe(5);
    }
  });

  it("ends a run that never reported", async () => {
    const id = await register();
    const { task: ended } = await finish(id, {
      attempt: 1,
      status: "failed",
      error_message: "no GPU; token hf_abcdefghijklmnopqrstuvwxyz123456",
    });
    expect(ended).toMatchObject({
      status: "failed",
      failure_reason: "error",
      attempt: 1,
      final_loss: null,
    });
    expect(ended.error_message).not.toContain("hf_abc");
  });

  it("costs at most 2 round trips, 200 rows read and 60 written, also for a long run", async () => {
    const id = await register();
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`m${i}`, i]));
    for (let seq = 1; seq <= 30; seq++)
      await beat(id, {
        seq,
        logs: entries(seq * 900 - 899, seq * 900)
          .map((e) => ({ ...e, metrics: { ...e.metrics, ...(seq === 1 ? many : {}) } }))
          .slice(0, 900),
      });
    const response = await ledger.request(`/api/tasks/${id}/finish`, {
      key: member.key,
      json: { status: "success", last_seq: 30 },
    });
    const cost = costOf(response);
    const { task: ended } = (await response.json()) as {
      task: { final_loss: number; convergence_step: number };
    };
    // The middle of the last tenth.
    expect(ended.final_loss).toBeCloseTo(1 / 25_650, 6);
    expect(cost.trips).toBeLessThanOrEqual(2);
    expect(cost.read).toBeLessThanOrEqual(200);
    expect(cost.written).toBeLessThanOrEqual(60);
  });

  it("illegal changes of state are refused by the database itself", async () => {
    const id = await register();
    await finish(id, { status: "success" });
    await expect(
      ledger.db.run(sql`update training_task set status = 'running' where id = ${id}`),
    ).rejects.toThrow();
    await expect(
      ledger.db.run(sql`update training_task set status = 'nonsense' where id = ${id}`),
    ).rejects.toThrow();
    await expect(
      ledger.db.run(sql`update training_task set attempt = 0 where id = ${id}`),
    ).rejects.toThrow();
  });
});

describe("cancel", () => {
  const cancel = (id: number, status = 200, key = member.key) =>
    ledger.call(`/api/tasks/${id}/cancel`, { key, method: "POST" }, status);

  it("ends a pending task, and reaches a running box at its next heartbeat", async () => {
    const waiting = await register();
    expect(await cancel(waiting)).toMatchObject({ status: "cancelled", cancel_requested: false });
    expect(await cancel(waiting)).toMatchObject({ status: "cancelled" });
    const id = await register();
    expect((await beat(id, { seq: 1 })).cancel_requested).toBe(false);
    expect(await cancel(id)).toMatchObject({ status: "running", cancel_requested: true });
    expect((await beat(id, { seq: 2 })).cancel_requested).toBe(true);
    const { task: ended } = await finish(id, { status: "cancelled" });
    expect(ended).toMatchObject({ status: "cancelled", cancel_requested: false });
    const done = await register();
    await finish(done, { status: "success" });
    await cancel(done, 409);
    await cancel(id, 404, (await ledger.key()).key);
  });
});

describe("who may report", () => {
  it("another member, a viewer and another box may not, an admin may", async () => {
    const id = await register();
    const other = await ledger.key();
    const viewer = await ledger.key({ role: "viewer" });
    const box = await ledger.key({ scopes: ["box"] });
    const admin = await ledger.key({ role: "admin" });
    await beat(id, { seq: 1 }, 404, other.key);
    await beat(id, { seq: 1 }, 403, viewer.key);
    await beat(id, { attempt: 1, seq: 1 }, 404, box.key);
    await beat(id, { seq: 1 }, 200, admin.key);
  });

  it("a box key must name its attempt, and reaches its own task", async () => {
    const box = await ledger.key({ scopes: ["box"] });
    const id = await register({}, box.key);
    await beat(id, { seq: 1 }, 422, box.key);
    await beat(id, { attempt: 1, seq: 1 }, 200, box.key);
    await finish(id, { attempt: 1, status: "success" }, 200, box.key);
    await ledger.call(`/api/tasks/${id}`, { key: box.key });
    await ledger.call("/api/tasks", { key: box.key }, 403);
    await ledger.call(`/api/tasks/${id}`, { key: box.key, method: "DELETE" }, 403);
    await ledger.call(`/api/tasks/${id}`, { key: box.key, method: "PATCH", json: { notes: "ok" } });
    await ledger.call(
      `/api/tasks/${id}`,
      { key: box.key, method: "PATCH", json: { task_name: "no" } },
      403,
    );
  });
});
