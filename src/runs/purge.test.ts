import { eq, getTableName, sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { type Owner, type Rows, rowsOf } from "../../test/route-table.ts";
import { openDb } from "../platform/db/client.ts";
import { noCost } from "../platform/db/cost.ts";
import { purgedTask, trainingTask } from "../platform/db/schema.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { runSchedule } from "../schedule.ts";
import { belongings, emptyTrash } from "./purge.ts";

let ledger: Ledger;
let anna: Owner & { key: string };
let rows: Rows;

beforeEach(async () => {
  ledger = await freshLedger();
  anna = await ledger.key();
  rows = rowsOf(ledger, anna);
});

/** Lets so many days pass over what is in the trash. */
const age = (days: number, id?: number) =>
  ledger.db
    .update(trainingTask)
    .set({
      deletedAt: sql`strftime('%Y-%m-%dT%H:%M:%fZ', julianday(deleted_at) - ${days})`,
      trashSince: sql`strftime('%Y-%m-%dT%H:%M:%fZ', julianday(trash_since) - ${days})`,
    })
    .where(id === undefined ? sql`deleted_at is not null` : eq(trainingTask.id, id));
const trash = (id: number) =>
  ledger.call(`/api/tasks/${id}`, { key: anna.key, method: "DELETE" }, 204);
const there = async (id: number) =>
  (await ledger.db.select().from(trainingTask).where(eq(trainingTask.id, id))).length === 1;
const count = async (table: string, where = "true") =>
  (
    await ledger.db.all<{ n: number }>(sql.raw(`select count(*) as n from ${table} where ${where}`))
  )[0]?.n;

/** What the scheduled job costs the database. */
async function emptied() {
  const cost = noCost();
  await emptyTrash(openDb(ledger.config, cost), ledger.bindings, ledger.config);
  return cost;
}

async function upload(taskId: number, text: string, filename = "a.bin") {
  const sent = { filename, size: text.length, sha256: await sha256Hex(text), kind: "sample" };
  const { weight_id, upload: to } = await ledger.call(`/api/tasks/${taskId}/weights`, {
    key: anna.key,
    json: sent,
  });
  if (to) {
    const put = {
      method: "PUT",
      body: text,
      headers: { ...to.headers, "Content-Length": `${text.length}` },
    };
    await ledger.call(to.url, put);
    await ledger.call(`/api/weights/${weight_id}/complete`, { key: anna.key, json: {} });
  }
  return weight_id;
}

/** The bytes as a person gets them. */
async function download(weightId: number) {
  const { url } = await ledger.call(`/api/weights/${weightId}/download?redirect=false`, {
    key: anna.key,
  });
  const response = await ledger.request(url);
  return new TextDecoder().decode(await response.arrayBuffer());
}

/** Objects of weights in the bucket, which other test files share: a list has 1,000 a page. */
async function stored(): Promise<number> {
  let found = 0;
  for (let cursor: string | undefined, more = true; more; ) {
    const page = await ledger.bindings.BUCKET.list({ prefix: "w/", cursor });
    found += page.objects.length;
    more = page.truncated;
    cursor = page.truncated ? page.cursor : undefined;
  }
  return found;
}

describe("the trash", () => {
  it("is purged after its days, with all that belongs to a task, noted as the scheduled job's doing", async () => {
    const { task_id: id } = await ledger.call("/api/tasks", {
      key: anna.key,
      json: {
        task_name: "aki",
        config: { text: "network_dim = 4\n" },
        datasets: [{ name: "set", image_count: 3 }],
      },
    });
    await ledger.call(`/api/tasks/${id}/heartbeat`, {
      key: anna.key,
      json: { seq: 1, logs: [{ step: 1, metrics: { loss: 0.5 } }] },
    });
    await ledger.call(`/api/tasks/${id}/finish`, { key: anna.key, json: { status: "success" } });
    const before = await stored();
    await upload(id, `bytes of ${crypto.randomUUID()}`);
    expect(await stored()).toBe(before + 1);
    await trash(id);

    await age(29);
    await runSchedule(ledger.bindings);
    expect(await there(id)).toBe(true);
    await ledger.call(`/api/tasks/${id}/restore`, { key: anna.key, method: "POST" });
    await trash(id);
    await age(31);
    await runSchedule(ledger.bindings);
    await runSchedule(ledger.bindings);

    await ledger.call(`/api/tasks/${id}/restore`, { key: anna.key, method: "POST" }, 404);
    const left = ["training_task", "task_config", "weight", "stored_object", "purged_task"];
    for (const table of [...left, "task_attempt", "log_chunk", "metric_summary", "task_dataset"])
      expect([table, await count(table)]).toEqual([table, 0]);
    expect(await stored()).toBe(before);
    const admin = await ledger.key({ role: "admin" });
    const { items } = await ledger.call("/api/audit?action=task.purge", { key: admin.key });
    expect(items).toMatchObject([
      {
        subject_id: id,
        user_id: null,
        key_id: null,
        address: "scheduled job",
        detail: { task_name: "aki", user_id: anna.userId },
      },
    ]);
    const { task_id: next } = await ledger.call("/api/tasks", { key: anna.key, json: {} });
    expect(next).toBeGreaterThan(id);
  });

  it("can be kept for another time", async () => {
    ledger = await freshLedger({ TRASH_DAYS: "2" });
    anna = await ledger.key();
    const id = await rowsOf(ledger, anna).task({ deletedAt: "2026-01-01T00:00:00.000Z" });
    const young = await rowsOf(ledger, anna).task({
      deletedAt: new Date(Date.now() - 86_400_000).toISOString(),
    });
    await runSchedule(ledger.bindings);
    expect([await there(id), await there(young)]).toEqual([false, true]);
  });

  it("keeps what a child refers to, and lets it go a day after the child", async () => {
    const parent = await rows.task();
    const child = await rows.task({ parentTaskId: parent });
    await trash(parent);
    await age(40);
    await emptied();
    expect(await there(parent)).toBe(true);
    await trash(child);
    await age(31, child);
    await emptied();
    expect([await there(parent), await there(child)]).toEqual([true, false]);
    await emptied();
    expect(await there(parent)).toBe(true);
    await age(1, parent);
    await emptied();
    expect(await there(parent)).toBe(false);
  });

  it("keeps what another task was queued behind, until that one is purged", async () => {
    const [first, then] = [await rows.task(), await rows.task()];
    await ledger.db.run(
      sql`insert into task_dependency (depends_on, task_id, met) values (${first}, ${then}, 1)`,
    );
    await trash(first);
    await age(40);
    await emptied();
    expect(await there(first)).toBe(true);
    await trash(then);
    await age(40);
    await emptied();
    expect([await there(then), await count("task_dependency")]).toEqual([false, 0]);
    await age(1, first);
    await emptied();
    expect(await there(first)).toBe(false);
  });

  it("keeps what a model's version stands on, until that version is given up", async () => {
    const [run, twin] = [await rows.task(), await rows.task()];
    const text = `released ${crypto.randomUUID()}`;
    await upload(twin, text);
    const weightId = await upload(run, text);
    await ledger.db.batch([
      ledger.db.run(sql`insert into model (name, name_key, checks, protected_aliases, user_id)
        values ('m', 'm', '{}', '[]', ${anna.userId})`),
      ledger.db.run(sql`insert into model_version (model_id, number, weight_id, task_id, object_id, filename, size, sha256, user_id)
        select 1, 1, id, task_id, object_id, filename, size, sha256, ${anna.userId} from weight where id = ${weightId}`),
    ]);
    await trash(run);
    await trash(twin);
    await age(40);
    await emptied();
    await emptied();
    expect([await there(run), await there(twin)]).toEqual([true, false]);
    expect(await count("stored_object", "state = 'complete'")).toBe(1);
    await ledger.call(`/api/tasks/${run}/restore`, { key: anna.key, method: "POST" });
    expect(await download(weightId)).toBe(text);
    await trash(run);
    await ledger.db.run(sql`update model_version set state = 'retired'`);
    await age(40);
    for (let minute = 0; minute < 3; minute++) await runSchedule(ledger.bindings);
    expect([await there(run), await count("stored_object")]).toEqual([false, 0]);
  });

  it("is not held up by tasks that something refers to", async () => {
    for (let n = 0; n < 30; n++) {
      const parent = await rows.task({ deletedAt: "2026-01-01T00:00:00.000Z" });
      await rows.task({ parentTaskId: parent });
    }
    const free = await rows.task({ deletedAt: "2026-02-01T00:00:00.000Z" });
    await emptied();
    expect(await there(free)).toBe(true);
    await emptied();
    expect(await there(free)).toBe(false);
    expect(await count("training_task")).toBe(60);
  });

  it("takes no bytes that another run's file shares, in either order", async () => {
    const [one, two] = [await rows.task(), await rows.task()];
    const text = `shared by two ${crypto.randomUUID()}`;
    const before = await stored();
    await upload(one, text);
    const second = await upload(two, text);
    expect(await stored()).toBe(before + 1);
    await trash(one);
    await age(31);
    for (let minute = 0; minute < 3; minute++) await runSchedule(ledger.bindings);
    expect(await count("weight", `task_id = ${one}`)).toBe(0);
    expect(await download(second)).toBe(text);
    // A third run finds it where it lies.
    const third = await rows.task();
    await upload(third, text);
    expect(await stored()).toBe(before + 1);
    for (const id of [two, third]) await trash(id);
    await age(31);
    for (let minute = 0; minute < 3; minute++) await runSchedule(ledger.bindings);
    expect([await stored(), await count("stored_object")]).toEqual([before, 0]);
  });

  it("goes on by bounded steps with a very large run, which nobody can restore from the first on", async () => {
    const id = await rows.task({ deletedAt: "2026-01-01T00:00:00.000Z" });
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
      insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points)
      select ${id}, 1, i, i, i, i, 1, 1, '{}', '{}', '[]' from n`);
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 120)
      insert into weight (task_id, attempt, object_id, kind, filename, size, sha256, state)
      select ${id}, 1, o.id, 'sample', 'f' || i, 1, 'x' || i, 'complete' from n,
        (select id from stored_object where id = ${await makeObject(id)}) o`);
    const steps = [];
    do {
      const { trips, read, written } = await emptied();
      // It is found, purged, found among the purged and begun; from then on found and gone on with.
      expect(trips).toBe(steps.length === 0 ? 4 : 2);
      expect(read).toBeLessThan(3000);
      expect(written).toBeLessThan(2000);
      await ledger.call(`/api/tasks/${id}/restore`, { key: anna.key, method: "POST" }, 404);
      steps.push(await count("log_chunk"));
    } while ((await ledger.db.select().from(purgedTask)).length);
    expect(steps).toEqual([800, 600, 400, 200, 0]);
    expect(await count("weight")).toBe(0);
  });

  it("takes twenty tasks a call, and costs next to nothing while none is due", async () => {
    await ledger.db.run(sql`
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
      insert into training_task (user_id, task_name, registration_key, registration_hash, deleted_at)
      select ${anna.userId}, 't', 'seed:' || i, 'h', iif(i <= 45, '2026-01-01T00:00:00.000Z',
        iif(i % 2, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day'), null)) from n`);
    const left = [];
    for (let minute = 0; minute < 3; minute++) {
      const { read } = await emptied();
      expect(read).toBeLessThan(1500);
      left.push(await count("training_task"));
    }
    expect(left).toEqual([4980, 4960, 4955]);
    for (let minute = 0; minute < 50; minute++) await emptied();
    expect(await count("purged_task")).toBe(0);
    expect(await emptied()).toMatchObject({ trips: 1, written: 0 });
    expect((await emptied()).read).toBeLessThan(40);
  });

  it("knows every table that holds rows of a task", async () => {
    const holding = await ledger.db.all<{ name: string; column: string }>(sql`
      select m.name, c.name as column from sqlite_master m, pragma_table_info(m.name) c
      where m.type = 'table' and c.name like '%task_id' and m.sql not like 'create virtual%'
      order by m.name, c.name`);
    const known = [
      ...belongings.map(({ table }) => `${getTableName(table)}.task_id`),
      // Gone with the task itself, or as emptyTrash() says; an object knows its task for its key's sake.
      ...["task_config.task_id", "weight.task_id", "purged_task.task_id", "stored_object.task_id"],
      // Goes as soon as what waits for the task is released.
      "queue_release.task_id",
      // Something that refers to a task and keeps it.
      ...["training_task.parent_task_id", "model_version.task_id"],
    ];
    expect(
      holding.map(({ name, column }) => `${name}.${column}`),
      "Say in src/runs/purge.ts whether these rows go with their task (belongings) or keep it (references)",
    ).toEqual(known.toSorted());
  });

  it("has no task for a parent", async () => {
    const gone = await rows.task({ deletedAt: "2026-01-01T00:00:00.000Z" });
    const made = await ledger.call("/api/tasks", { key: anna.key, json: { parent_task_id: gone } });
    expect(made.task.parent_task_id).toBeNull();
    expect(made.warnings).toMatchObject([{ code: "parent-unknown" }]);
    const patch = (parent_task_id: number | null, status = 200) =>
      ledger.call(
        `/api/tasks/${made.task_id}`,
        { key: anna.key, method: "PATCH", json: { parent_task_id } },
        status,
      );
    for (const bad of [gone, made.task_id, 999_999])
      expect((await patch(bad, 422)).errors[0].path).toBe("parent_task_id");
    const live = await rows.task();
    expect((await patch(live)).parent_task_id).toBe(live);
    expect((await patch(null)).parent_task_id).toBeNull();
  });
});

async function makeObject(taskId: number): Promise<number> {
  const [row] = await ledger.db.all<{ id: number }>(sql`
    insert into stored_object (object_key, task_id, size, sha256, state)
    values (${`w/${crypto.randomUUID()}`}, ${taskId}, 1, 'x', 'complete') returning id`);
  return row?.id ?? 0;
}
