// One broken row stops no scheduled job: the others' work goes on, it is counted, and admins hear of it.
import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { runSchedule } from "../../src/schedule.ts";
import { freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let key: string;

beforeEach(async () => {
  ledger = await freshLedger({ LOST_AFTER_SEC: "60", TRASH_DAYS: "1", BOX_IDLE_AFTER_MIN: "1" });
  ({ key } = await ledger.key());
});

const register = async (name: string, more = {}) =>
  (await ledger.call("/api/tasks", { key, json: { task_name: name, ...more } })).task_id as number;
const beat = (id: number, logs: object[] = []) =>
  ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { seq: 1, logs } });
const statusOf = async (id: number) =>
  (
    await ledger.db.all<{ status: string }>(sql`select status from training_task where id = ${id}`)
  )[0]?.status;

/** Makes every change of a row fail, as a row does that a trigger or a check refuses. */
const breakRow = (table: string, id: number) =>
  ledger.db.run(
    sql.raw(`create trigger broken_${table}_${id} before update on ${table} when old.id = ${id}
      begin select raise(abort, 'this row is broken'); end`),
  );
const mendRow = (table: string, id: number) =>
  ledger.db.run(sql.raw(`drop trigger broken_${table}_${id}`));

const faults = () =>
  ledger.db.all<{ job: string; subject_id: number; failures: number }>(
    sql`select job, subject_id, failures from job_fault order by job, subject_id`,
  );
const told = () =>
  ledger.db.all<{ name: string; detail: string }>(
    sql`select name, detail from event where kind = 'job_failed' order by id`,
  );
/** As if the time to try again had come. */
const later = () => ledger.db.run(sql`update job_fault set retry_at = '2020'`);

describe("a run that cannot be changed", () => {
  it("keeps no other run from being given up", async () => {
    const ids = [];
    for (let n = 0; n < 9; n++) {
      const id = await register(`r${n}`);
      await beat(id);
      ids.push(id);
    }
    await ledger.db.run(sql`update training_task set heartbeat_at = '2020-01-01T00:00:00.000Z'`);
    await ledger.db.run(
      sql`insert into lost_sweep (id, swept_at, grace_until) values (1, strftime('%Y-%m-%dT%H:%M:%fZ','now'), '2020')`,
    );
    const [, , , broken = 0] = ids;
    await breakRow("training_task", broken);
    await runSchedule(ledger.bindings);
    for (const id of ids) expect(await statusOf(id)).toBe(id === broken ? "running" : "failed");
    expect(await faults()).toEqual([{ job: "sweepLost", subject_id: broken, failures: 1 }]);
    expect(await told()).toEqual([
      { name: "sweepLost", detail: expect.stringContaining(`"failed":1,"example":${broken}`) },
    ]);

    // It is left alone until its time, then tried again: told once an hour, however often it fails.
    await runSchedule(ledger.bindings);
    expect(await faults()).toMatchObject([{ failures: 1 }]);
    await later();
    await runSchedule(ledger.bindings);
    expect(await faults()).toMatchObject([{ failures: 2 }]);
    expect(await told()).toHaveLength(1);

    await mendRow("training_task", broken);
    await later();
    await runSchedule(ledger.bindings);
    expect([await statusOf(broken), await faults()]).toEqual(["failed", []]);
  });

  it("keeps no other run from its place in the queue", async () => {
    const ids = [];
    for (let n = 0; n < 5; n++)
      ids.push(await register(`q${n}`, { queue: { not_before: "2999-01-01T00:00:00Z" } }));
    await ledger.db.run(sql`update training_task set queue_due_at = '2020' where id > 0`);
    const [broken = 0] = ids;
    await breakRow("training_task", broken);
    await runSchedule(ledger.bindings);
    const waiting = await ledger.db.all<{ id: number; queue_waiting: number }>(
      sql`select id, queue_waiting from training_task order by id`,
    );
    expect(waiting).toEqual(ids.map((id) => ({ id, queue_waiting: id === broken ? 1 : 0 })));
    expect(await faults()).toMatchObject([{ job: "advanceQueue", subject_id: broken }]);
  });

  it("keeps no other run from being settled or purged", async () => {
    const [gone, stuck, long] = [
      await register("gone"),
      await register("stuck"),
      await register("long"),
    ];
    await beat(long, [{ step: 1, metrics: { loss: 0.5 } }]);
    await ledger.call(`/api/tasks/${long}/finish`, { key, json: { status: "success" } });
    await ledger.db.run(sql`update training_task set settle_at = '2020' where id = ${long}`);
    // Ahead of it stands a run whose log nobody can read.
    const odd = await register("odd");
    await beat(odd, [{ step: 1, metrics: { loss: 0.5 } }]);
    await ledger.call(`/api/tasks/${odd}/finish`, { key, json: { status: "success" } });
    await ledger.db.run(sql`update training_task set settle_at = '2019' where id = ${odd}`);
    await ledger.db.run(sql`update log_chunk set points = '{' where task_id = ${odd}`);
    for (const id of [gone, stuck])
      await ledger.db.run(
        sql`update training_task set deleted_at = '2020-01-01T00:00:00.000Z' where id = ${id}`,
      );
    await ledger.db.run(
      sql.raw(`create trigger kept before delete on training_task when old.id = ${stuck}
        begin select raise(abort, 'this row is broken'); end`),
    );
    await runSchedule(ledger.bindings);
    const left = await ledger.db.all<{ id: number; settle_at: string | null }>(
      sql`select id, settle_at from training_task order by id`,
    );
    expect(left).toEqual([
      { id: stuck, settle_at: null },
      { id: long, settle_at: null },
      { id: odd, settle_at: "2019" },
    ]);
    expect(await faults()).toMatchObject([
      { job: "emptyTrash", subject_id: stuck },
      { job: "settleLogs", subject_id: odd },
    ]);
  });
});

it("a box or rule that cannot be read keeps nobody from hearing of the others", async () => {
  const { userId } = await ledger.key();
  for (const name of ["odd", "even"]) {
    const { keyId } = await ledger.key();
    const id = await register(name);
    await ledger.db.run(
      sql`insert into box (user_id, key_id, name, shared, hourly_price, enrolled_at) values (${userId}, ${keyId}, ${name}, 0, 1, '2020')`,
    );
    await ledger.db.run(
      sql`update training_task set key_id = ${keyId}, agent = 'a', status = 'running', watch = ${name === "odd" ? "{" : "{}"} where id = ${id}`,
    );
    await ledger.db.run(
      sql`insert into keep_rule (user_id, name, rule, active) values (${userId}, ${name}, ${JSON.stringify(
        name === "odd"
          ? { kinds: ["checkpoint"], last: 1, filter: "no_such_field = 1" }
          : { kinds: ["checkpoint"], last: 1 },
      )}, 1)`,
    );
  }
  await runSchedule(ledger.bindings);
  await runSchedule(ledger.bindings);
  const idle = await ledger.db.all(sql`select name from event where kind = 'box_idle'`);
  expect(idle).toEqual([{ name: "even" }]);
  const ran = await ledger.db.all(sql`select name from keep_rule where last_run_at is not null`);
  expect(ran).toEqual([{ name: "even" }]);
  expect(await faults()).toMatchObject([{ job: "applyKeepRules" }, { job: "tellIdleBoxes" }]);
});

it("tells admins' webhooks, and nobody else's, what a job leaves out", async () => {
  const admin = await ledger.key({ user: "root", role: "admin" });
  const member = await ledger.key({ user: "mia" });
  for (const [n, { userId }] of [admin, member].entries())
    await ledger.db.run(
      sql`insert into webhook (user_id, name, target, url) values (${userId}, ${`w${n}`}, 'generic', 'https://hook.invalid/x')`,
    );
  const id = await register("q", { queue: { not_before: "2999-01-01T00:00:00Z" } });
  await ledger.db.run(sql`update training_task set queue_due_at = '2020' where id = ${id}`);
  await breakRow("training_task", id);
  await runSchedule(ledger.bindings);
  const sent = await ledger.db.all(
    sql`select w.user_id from delivery d join webhook w on w.id = d.webhook_id`,
  );
  expect(sent).toEqual([{ user_id: admin.userId }]);
});

describe("losses whose sum no double holds", () => {
  const huge = (from: number) =>
    Array.from({ length: 5 }, (_, n) => ({ step: from + n, metrics: { loss: 1.7e308 } }));

  it("end a run as any others, with the mean they have and no sum", async () => {
    const id = await register("huge");
    for (const seq of [1, 2])
      await ledger.call(`/api/tasks/${id}/heartbeat`, { key, json: { seq, logs: huge(seq * 10) } });
    const { task } = await ledger.call(`/api/tasks/${id}/finish`, {
      key,
      json: { status: "success" },
    });
    expect(task.final_loss / 1.7e308).toBeCloseTo(1, 6);
    await ledger.db.run(sql`update training_task set settle_at = '2020' where id = ${id}`);
    await runSchedule(ledger.bindings);
    const [row] = await ledger.db.all<{ count: number; sum: null; last: number }>(
      sql`select count, sum, last from metric_summary where task_id = ${id}`,
    );
    expect(row).toEqual({ count: 10, sum: null, last: 1.7e308 });
    expect(await faults()).toEqual([]);
    // Every way to look at it answers.
    for (const path of [
      `/api/tasks/${id}`,
      `/api/tasks/${id}/logs`,
      "/api/tasks?filter=metrics.loss.sum > 1",
      "/api/stats/tasks?select=avg(metrics.loss.sum),avg(final_loss),sum(final_loss)",
      "/api/tasks/export?format=jsonl",
      "/api/tasks/export?format=csv&columns=id,metrics.loss.sum",
      `/api/tasks/compare?ids=${id},${await register("other")}`,
      "/api/leaderboard",
      "/api/board",
    ])
      expect([path, (await ledger.request(path, { key })).status]).toEqual([path, 200]);
  });
});
