// Runs that a tracker's client alone records send no heartbeats: their silence is judged by other times.
import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { openDb } from "../platform/db/client.ts";
import { noCost } from "../platform/db/cost.ts";
import { takeOutage } from "../platform/db/outage.ts";
import { settleLogs } from "../runs/settle-logs.ts";
import { sweepLost } from "./lost.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;

beforeEach(async () => {
  ledger = await freshLedger();
  takeOutage();
  anna = await ledger.key();
});

const log = (run_id: string, step: number, loss: number, token = anna.key) =>
  ledger.call("/api/bulk_log", {
    headers: { "X-Trackio-Write-Token": token },
    json: {
      args: [],
      kwargs: { logs: [{ project: "p", run: "r", run_id, step, metrics: { loss }, config: null }] },
    },
  });
const task = (id: number) => ledger.call(`/api/tasks/${id}`, { key: anna.key });
const newest = async () =>
  (await ledger.call("/api/tasks?limit=1", { key: anna.key })).items[0].id as number;
const sweep = () => sweepLost(ledger.db, ledger.config);

/** As if all that happened to the runs had happened so many minutes earlier. */
async function earlier(minutes: number) {
  const shift = (column: string) =>
    sql`${sql.identifier(column)} = strftime('%Y-%m-%dT%H:%M:%fZ', ${sql.identifier(column)}, ${`-${minutes} minutes`})`;
  await ledger.db.run(
    sql`update training_task set ${shift("heartbeat_at")}, ${shift("started_at")}, ${shift("created_at")}`,
  );
  await ledger.db.run(
    sql`update task_attempt set ${shift("heartbeat_at")}, ${shift("started_at")}`,
  );
}

describe("a run that Trackio's client alone records", () => {
  it("has ended as success after TRACKER_SILENCE_MIN, at its last entry and with the reason", async () => {
    await log("a", 1, 0.5);
    await earlier(3);
    await log("a", 2, 0.25);
    const id = await newest();
    await earlier(9);
    expect(await sweep()).toBe(0);
    expect((await task(id)).status).toBe("running");
    await earlier(2);
    expect(await sweep()).toBe(1);
    expect(await sweep()).toBe(0);
    const ended = await task(id);
    expect(ended).toMatchObject({
      status: "success",
      failure_reason: null,
      error_message: expect.stringMatching(/^Went silent/),
      attempts: [{ status: "success", error_message: expect.stringMatching(/^Went silent/) }],
    });
    expect(ended.total_duration_sec).toBeGreaterThan(175);
    expect(ended.total_duration_sec).toBeLessThan(190);
    expect(ended.finished_at).toBe(ended.heartbeat_at);
    const events = await ledger.db.all<{ kind: string }>(sql`select kind from event`);
    expect(events.map(({ kind }) => kind)).toEqual(["finished"]);
    await settleLogs(ledger.db);
    expect((await task(id)).final_loss).toBe(0.25);
  });

  it("stays ended when it logs again, and keeps those points", async () => {
    await log("a", 1, 0.5);
    const id = await newest();
    await earlier(11);
    await sweep();
    await log("a", 2, 0.25);
    expect((await task(id)).status).toBe("success");
    const curve = await ledger.call(`/api/tasks/${id}/logs`, { key: anna.key });
    expect(curve.total).toBe(2);
    expect(await newest()).toBe(id);
  });

  it("is cancelled where that was asked", async () => {
    await log("a", 1, 0.5);
    const id = await newest();
    await ledger.call(`/api/tasks/${id}/cancel`, { key: anna.key, json: {} });
    await earlier(11);
    await sweep();
    expect(await task(id)).toMatchObject({ status: "cancelled", error_message: null });
  });
});

it("a run of another tracker is lost after TRACKER_LOST_MIN, and revived by its next report", async () => {
  await log("a", 1, 0.5);
  const id = await newest();
  await ledger.db.run(sql`update tracker_run set tracker = 'swanlab' where task_id = ${id}`);
  await earlier(59);
  expect(await sweep()).toBe(0);
  await earlier(2);
  expect(await sweep()).toBe(1);
  expect(await task(id)).toMatchObject({ status: "failed", failure_reason: "lost" });
  await ledger.call(`/api/tasks/${id}/heartbeat`, { key: anna.key, json: { seq: 1 } });
  expect((await task(id)).status).toBe("running");
});

it("a run that the ledger's client records too is lost as soon as any other", async () => {
  const { task_id } = await ledger.call("/api/tasks", { key: anna.key, json: {} });
  await log("a", 1, 0.5, `${anna.key}.run${task_id}`);
  await earlier(2);
  expect(await sweep()).toBe(1);
  expect(await task(task_id)).toMatchObject({ status: "failed", failure_reason: "lost" });
});

it("looks up the trackers of stale runs alone", async () => {
  for (let n = 0; n < 20; n++) await log(`r${n}`, 1, 0.5);
  const read = async () => {
    const cost = noCost();
    expect(await sweepLost(openDb(ledger.config, cost), ledger.config)).toBe(0);
    return cost.read;
  };
  await read();
  const fresh = await read();
  await earlier(5);
  expect((await read()) - fresh).toBeLessThanOrEqual(40);
});
