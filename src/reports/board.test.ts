import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { usageDay } from "../platform/db/schema.ts";
import { ONE_OF } from "../platform/db/usage.ts";

let ledger: Ledger;
let key: string;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

async function run(name: string, end?: Record<string, unknown>) {
  const node_info = { hostname: "box-1" };
  const json = { task_name: name, gpu_info: "RTX 4090", node_info };
  const { task_id: id } = await ledger.call("/api/tasks", { key, json });
  const beat = { attempt: 1, seq: 1, progress: { step: 5 }, tail: "first line\nlast line" };
  await ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: beat });
  if (end) await ledger.call(`/api/tasks/${id}/finish`, { key, json: { attempt: 1, ...end } });
  return id as number;
}

describe("the board", () => {
  it("shows what runs, waits and failed, with the reason and the last lines, in one trip", async () => {
    const waiting = await ledger.call("/api/tasks", { key, json: { task_name: "waits" } });
    const running = await run("runs");
    const failed = await run("fails", {
      status: "failed",
      failure_reason: "oom",
      error_message: "CUDA out of memory",
    });
    const old = await run("failed long ago", { status: "failed" });
    await ledger.db.run(
      sql`update training_task set finished_at = '2026-01-01T00:00:00.000Z' where id = ${old}`,
    );
    await run("ends well", { status: "success" });
    await run("is stopped", { status: "cancelled" });
    const response = await ledger.request("/api/board", { key });
    expect(costOf(response).trips).toBe(1);
    expect(await response.json()).toMatchObject({
      running: [{ id: running, hostname: "box-1", gpu_info: "RTX 4090", progress: { step: 5 } }],
      waiting: [{ id: waiting.task_id, task_name: "waits" }],
      failed: [
        {
          id: failed,
          failure_reason: "oom",
          error_message: "CUDA out of memory",
          tail: "first line\nlast line",
        },
      ],
      succeeded: 1,
      cancelled: 1,
    });
    const headers = { "If-None-Match": response.headers.get("ETag") ?? "" };
    expect((await ledger.request("/api/board", { key, headers })).status).toBe(304);
  });

  it("tells what is used: requests counted as they come, and what is stored", async () => {
    await ledger.db.delete(usageDay);
    const before = await ledger.call("/api/board/usage", { key });
    expect(before).toMatchObject({ rows_estimated: false, bucket_bytes: 0, bucket_objects: 0 });
    expect(before.database_bytes).toBeGreaterThan(0);
    const { countUsage } = await import("../platform/db/usage.ts");
    const works: Promise<unknown>[] = [];
    const count = () =>
      countUsage(ledger.db, { trips: 1, read: 10, written: 2, ms: 0 }, 1, (work) =>
        works.push(work),
      );
    const now = Date.now;
    try {
      // An isolate writes at most once a minute, all that it has counted till then; a clock that is
      // set back does not keep it from that.
      for (const minute of [9_000, 1, 2, 3]) {
        Date.now = () => now() + minute * 61_000;
        for (let n = 0; n < 5; n++) count();
      }
    } finally {
      Date.now = now;
    }
    expect(works).toHaveLength(4);
    await Promise.all(works);
    const [day] = await ledger.db.select().from(usageDay);
    expect(day?.requests).toBeGreaterThanOrEqual(16);
    expect(day?.rowsWritten).toBeGreaterThanOrEqual(32);
    const usage = await ledger.call("/api/board/usage", { key });
    expect(usage.days[0]).toMatchObject({ requests: day?.requests });
  });

  it("draws rows from a share of the requests where cost reporting is off", async () => {
    const quiet = await freshLedger({ COST_REPORTING: "false" });
    const { key: own } = await quiet.key();
    const day = async () => (await quiet.db.select().from(usageDay))[0];
    const real = Date.now;
    const now = () => real() + 3_600_000;
    try {
      // Each is written down at once, as if a minute had passed; the first takes along what others left.
      Date.now = () => now() + 61_000;
      await quiet.request("/api/board", { key: own });
      await quiet.db.delete(usageDay);
      for (let n = 2; n <= 600 && !(await day())?.rowsRead; n++) {
        Date.now = () => now() + n * 61_000;
        expect((await quiet.request("/api/board", { key: own })).headers.get("Server-Timing")).toBe(
          null,
        );
      }
    } finally {
      Date.now = real;
    }
    const found = await day();
    expect(found?.rowsRead).toBeGreaterThan(0);
    expect((found?.rowsRead ?? 1) % ONE_OF).toBe(0);
    const usage = await quiet.call("/api/board/usage", { key: own });
    expect(usage).toMatchObject({ rows_estimated: true });
  }, 60_000);

  it("is closed to box keys", async () => {
    const box = await ledger.key({ scopes: ["box"] });
    await ledger.call("/api/board", { key: box.key }, 403);
    await ledger.call("/api/board/usage", { key: box.key }, 403);
  });
});
