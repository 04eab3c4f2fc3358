// A box belongs to its owner: whose runs its key gets, which files it goes on from, what it can find
// out about others, and what is left to it of a run that was taken away.
import { sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import migration from "../../migrations/0024_owners-of-boxes-and-files.sql?raw";
import { forgetKeys } from "../../src/platform/auth/keys.ts";
import { sweepLost } from "../../src/queue/lost.ts";
import { freshLedger, type Ledger } from "../harness.ts";
import { lora, upload } from "../uploads.ts";

type Person = Awaited<ReturnType<Ledger["key"]>>;

let ledger: Ledger;
let anna: Person;
let bert: Person;
let admin: Person;

beforeEach(async () => {
  ledger = await freshLedger();
  [anna, bert] = [await ledger.key(), await ledger.key()];
  admin = await ledger.key({ role: "admin" });
});

const enqueue = async (key: string, queue: Record<string, unknown> = {}): Promise<number> =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "queued", queue } })).task_id;
const claim = (key: string, agent = "gpu0") =>
  ledger.call("/api/queue/claim", { key, json: { agent } });
const claimed = async (key: string, agent = "gpu0"): Promise<number | null> =>
  (await claim(key, agent)).task?.id ?? null;
const post = (key: string, path: string, json: unknown = {}, status = 200) =>
  ledger.call(path, { key, json }, status);
const beat = (key: string, id: number, attempt = 1, seq = 1, status = 200) =>
  post(key, `/api/tasks/${id}/heartbeat`, { attempt, seq }, status);
const finish = (key: string, id: number, attempt: number, end: object, status = 200) =>
  post(key, `/api/tasks/${id}/finish`, { attempt, ...end }, status);
const preempted = { status: "failed", failure_reason: "preempted" };
const get = (key: string, path: string, status = 200) => ledger.call(path, { key }, status);
const setRole = async (person: Person, change: object) => {
  await ledger.call(`/api/users/${person.userId}`, {
    key: admin.key,
    method: "PATCH",
    json: change,
  });
  forgetKeys();
};
const superseded = "urn:lora-ledger:superseded";

/** As if nobody had heard of any run for longer than a lease. */
async function loseAll() {
  await ledger.db.run(sql`update training_task set heartbeat_at = '2026-01-01T00:00:00.000Z'`);
  await sweepLost(ledger.db, ledger.config);
}

describe("whose runs a key is given", () => {
  it("are its user's alone, for keys of every kind that no admin has shared", async () => {
    const theirs = await enqueue(anna.key);
    const keys = {
      "a box key made by hand": (await ledger.key({ scopes: ["box"], user: bert.userName })).key,
      "a member's own key": bert.key,
      "an admin's own key": admin.key,
      "an admin's box key made by hand": (
        await ledger.key({ role: "admin", scopes: ["box"], user: admin.userName })
      ).key,
      "a member's box": (await ledger.box(bert.key)).key,
      "an admin's box": (await ledger.box(admin.key)).key,
    };
    for (const [what, key] of Object.entries(keys)) {
      const answer = await claim(key);
      expect(answer.task, what).toBe(null);
      expect(answer.waiting, what).toEqual({
        ...{ ready: 0, need_memory: 0, need_labels: 0 },
        runs: "own",
      });
    }
    const session = await ledger.request("/session", { json: { key: bert.key } });
    expect(session.status).toBe(200);
    const cookie = session.headers.get("Set-Cookie")?.split(";")[0] ?? "";
    const asked = await ledger.request("/api/queue/claim", {
      json: { agent: "page" },
      headers: { Cookie: cookie, Origin: "http://ledger.test" },
    });
    expect(await asked.json()).toMatchObject({ task: null, waiting: { ready: 0 } });
    expect((await get(anna.key, `/api/tasks/${theirs}`)).status).toBe("pending");
    // A claim that waits does not end early for what it would not be given.
    const begun = Date.now();
    await ledger.call("/api/queue/claim", { key: bert.key, json: { agent: "w", wait_sec: 3 } });
    expect(Date.now() - begun).toBeGreaterThanOrEqual(2900);

    const own = await enqueue(bert.key);
    expect(await claimed(bert.key)).toBe(own);
    const shared = await ledger.box(admin.key, { shared: true });
    expect(await claimed(shared.key)).toBe(theirs);
    expect((await claim(shared.key, "gpu1")).waiting.runs).toBe("all");
  });

  it("are everyone's only by an admin's grant, with the scope of one", async () => {
    const refused = await post(bert.key, "/api/boxes/enrol", { shared: true }, 403);
    expect(refused.detail).toContain("an admin");
    expect(refused.detail).toContain("enrol --shared");
    const narrow = await ledger.key({
      ...{ role: "admin", user: admin.userName, scopes: ["tasks:write", "weights:write"] },
    });
    await post(narrow.key, "/api/boxes/enrol", { shared: true }, 403);
    for (const { key } of [bert, narrow, admin])
      expect((await post(key, "/api/boxes/enrol")).shared).toBe(false);
    expect((await post(admin.key, "/api/boxes/enrol", { shared: true })).shared).toBe(true);
    const [noted] = await ledger.db.all<{ n: number }>(
      sql`select count(*) as n from box_enrolment where shared`,
    );
    expect(noted?.n).toBe(1);
  });

  it("are the owner's again when the owner is no admin any more", async () => {
    const boss = await ledger.key({ role: "admin" });
    const { key, id } = await ledger.box(boss.key, { shared: true });
    const { token } = await post(boss.key, "/api/boxes/enrol", { shared: true });
    const first = await enqueue(anna.key);
    expect(await claimed(key)).toBe(first);
    const shown = async () =>
      (await get(anna.key, "/api/boxes")).items.find((b: { id: number }) => b.id === id).shared;
    const serving = async () => {
      const { items } = await get(anna.key, "/api/queue/lanes");
      return items.find((l: { user_id: number }) => l.user_id === anna.userId).boxes;
    };
    const second = await enqueue(anna.key);
    expect([await shown(), await serving()]).toEqual([true, [id]]);
    await setRole(boss, { role: "member" });
    expect(await claim(key, "gpu1")).toMatchObject({ task: null, waiting: { runs: "own" } });
    expect([await shown(), await serving()]).toEqual([false, []]);
    // A token that the admin made before is an ordinary one now.
    const late = await ledger.call("/api/boxes/exchange", { json: { token } });
    expect(await claimed(late.key)).toBe(null);
    // What it runs already it may end.
    await beat(key, first);
    await finish(key, first, 1, { status: "success" });
    await setRole(boss, { role: "admin" });
    expect(await claimed(key, "gpu1")).toBe(second);
    await enqueue(anna.key);
    await setRole(boss, { active: false });
    await post(key, "/api/queue/claim", { agent: "gpu2" }, 401);
    await ledger.db.run(sql`update user set active = 1 where id = ${boss.userId}`);
    forgetKeys();
    expect(await claimed(key, "gpu2")).not.toBe(null);
  });

  it("are not everyone's for a row that a member's box has from before", async () => {
    const old = await ledger.box(bert.key);
    await ledger.db.run(sql`update box set shared = 1 where id = ${old.id}`);
    await enqueue(anna.key);
    expect(await claimed(old.key)).toBe(null);
  });
});

describe("what a box goes on from", () => {
  const state = { kind: "state", filename: "aki-state/optimizer.bin", group: "aki-state" };

  /** A queued run of anna's that a shared box of that admin's has run, left a state of, and given back. */
  async function leftBy(key: string, id: number, attempt = 1) {
    await beat(key, id, attempt);
    const made = await upload(ledger, key, id, lora(), { ...state, attempt });
    await finish(key, id, attempt, preempted);
    return made;
  }
  const listed = async (key: string, id: number): Promise<number[]> =>
    (await get(key, `/api/weights?task_id=${id}&state=complete`)).items.map(
      (w: { id: number }) => w.id,
    );
  const archived = async (key: string, id: number) => {
    const response = await ledger.request(`/api/tasks/${id}/archive`, { key });
    expect(response.status).toBe(200);
    return new TextDecoder().decode(await response.arrayBuffer());
  };

  it("is left by boxes of its own owner alone, on every route", async () => {
    const other = await ledger.key({ role: "admin" });
    const theirs = await ledger.box(other.key, { shared: true });
    const id = await enqueue(anna.key);
    expect(await claimed(theirs.key)).toBe(id);
    const planted = await leftBy(theirs.key, id);

    const own = await ledger.box(anna.key);
    expect(await claim(own.key)).toMatchObject({ task: { id }, attempt: 2 });
    await beat(own.key, id, 2);
    expect(await listed(own.key, id)).toEqual([]);
    for (const path of ["", "/download?redirect=false", "/upload"])
      await get(own.key, `/api/weights/${planted.id}${path}`, 404);
    await post(own.key, `/api/weights/${planted.id}/complete`, {}, 404);
    expect(await archived(own.key, id)).not.toContain(planted.sha256);

    // What boxes of the same owner left is there for the next one, whichever key that has.
    const mine = await leftBy(own.key, id, 2);
    const second = (await ledger.key({ scopes: ["box"], user: anna.userName })).key;
    expect(await claim(second)).toMatchObject({ task: { id }, attempt: 3 });
    expect(await listed(second, id)).toEqual([mine.id]);
    expect((await get(second, `/api/weights/${mine.id}`)).uploaded_by).toBe(anna.userId);
    await get(second, `/api/weights/${mine.id}/download?redirect=false`);
    expect(await archived(second, id)).toContain(mine.sha256);

    // The run's owner sees, and gets, all of it, and who brought it.
    const { items } = await get(anna.key, `/api/weights?task_id=${id}`);
    expect(items.map((w: Record<string, unknown>) => [w.id, w.uploaded_by])).toEqual([
      [mine.id, anna.userId],
      [planted.id, other.userId],
    ]);
    await get(anna.key, `/api/weights/${planted.id}/download?redirect=false`);
  });

  it("is not what the run's own owner puts beside it while a shared box runs it", async () => {
    const shared = await ledger.box(admin.key, { shared: true });
    const id = await enqueue(anna.key);
    await claim(shared.key);
    await beat(shared.key, id);
    const planted = await upload(ledger, anna.key, id, lora(), { ...state, attempt: 1 });
    const real = await leftBy(shared.key, id);
    const next = await ledger.box(admin.key, { shared: true });
    expect(await claim(next.key)).toMatchObject({ task: { id }, attempt: 2 });
    expect(await listed(next.key, id)).toEqual([real.id]);
    await get(next.key, `/api/weights/${planted.id}/download?redirect=false`, 404);
  });

  it("is not a file that another user announced before the box, by its name or by its hash", async () => {
    const shared = await ledger.box(admin.key, { shared: true });
    const id = await enqueue(anna.key);
    await claim(shared.key);
    await beat(shared.key, id);
    const file = lora();
    const first = await upload(ledger, anna.key, id, file, { ...state, attempt: 1 });
    const facts = { kind: "state", size: file.length, sha256: first.sha256, attempt: 1 };
    const told = await post(
      shared.key,
      `/api/tasks/${id}/weights`,
      { ...facts, filename: state.filename },
      409,
    );
    expect(told.type).toBe("urn:lora-ledger:already-announced");
    // Under another name it has to come in full: a hash alone gives a box nothing.
    const renamed = { ...facts, filename: "own-state/optimizer.bin" };
    const own = await post(shared.key, `/api/tasks/${id}/weights`, renamed);
    expect(own.upload).not.toBe(null);
    expect(await listed(shared.key, id)).toEqual([]);
    // Anna, who reads both, is answered with what is there.
    expect(
      await post(anna.key, `/api/tasks/${id}/weights`, { ...facts, filename: "x" }),
    ).toMatchObject({ upload: null });
  });

  it("is nothing whose uploader is not known; the migration takes that from the audit", async () => {
    const own = await ledger.box(anna.key);
    const theirs = await ledger.box(bert.key);
    const id = await enqueue(anna.key);
    await claim(own.key);
    const { id: old } = await leftBy(own.key, id);
    await ledger.db.run(sql`update weight set key_id = null`);
    await ledger.db.run(sql`update box set shared = 1`);
    await ledger.db.run(sql`update user set role = 'admin' where id = ${anna.userId}`);
    await claim(own.key);
    expect(await listed(own.key, id)).toEqual([]);
    expect((await get(anna.key, `/api/weights/${old}`)).uploaded_by).toBe(null);

    for (const statement of migration.split("--> statement-breakpoint"))
      await ledger.db.run(sql.raw(statement));
    expect(await listed(own.key, id)).toEqual([old]);
    expect((await get(anna.key, `/api/weights/${old}`)).uploaded_by).toBe(anna.userId);
    const shared = await ledger.db.all(sql`select id, shared from box order by id`);
    expect(shared).toEqual([
      { id: own.id, shared: 1 },
      { id: theirs.id, shared: 0 },
    ]);
  });

  it("cannot be spoilt by a later box: uploads of earlier attempts are their own box's", async () => {
    const first = await ledger.box(anna.key);
    const id = await enqueue(anna.key);
    await claim(first.key);
    await beat(first.key, id);
    const file = lora();
    const announced = await post(first.key, `/api/tasks/${id}/weights`, {
      ...{ filename: "a.safetensors", kind: "final", size: file.length, sha256: "0".repeat(64) },
      attempt: 1,
    });
    await finish(first.key, id, 1, preempted);
    const other = await ledger.box(anna.key);
    expect(await claimed(other.key)).toBe(id);
    await get(other.key, `/api/weights/${announced.weight_id}/upload`, 404);
    await post(other.key, `/api/weights/${announced.weight_id}/complete`, {}, 404);
    await ledger.call(
      `/api/weights/${announced.weight_id}`,
      { key: other.key, method: "DELETE" },
      403,
    );
    const wrong = { filename: "a", kind: "final", size: 1, sha256: "0".repeat(64), attempt: 1 };
    expect((await post(other.key, `/api/tasks/${id}/weights`, wrong, 409)).type).toBe(superseded);
  });

  it("adds no points to attempts of an imported run that others made", async () => {
    const past = { started_at: "2026-01-01T00:00:00Z", finished_at: "2026-01-02T00:00:00Z" };
    const { task_id: id } = await post(anna.key, "/api/tasks", {
      task_name: "of the past",
      import: { source: "x", status: "failed", ...past },
    });
    const logs = { seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] };
    await post(anna.key, `/api/tasks/${id}/attempts/1/logs`, logs);
    await post(anna.key, `/api/tasks/${id}/requeue`);
    const own = await ledger.box(anna.key);
    expect(await claimed(own.key)).toBe(id);
    const more = { seq: 2, logs: [{ step: 2, metrics: { loss: 2 } }] };
    await post(own.key, `/api/tasks/${id}/attempts/1/logs`, more, 409);
  });
});

describe("what a registration tells a box", () => {
  const past = { status: "success", finished_at: "2026-01-02T00:00:00Z" };
  const imported = (key: string, source: string, name: string) =>
    post(key, "/api/tasks", { task_name: name, import: { source, ...past } });

  it("is nothing of runs that its owner imported, nor does it hold a source against its owner", async () => {
    const own = await ledger.box(anna.key);
    const other = await ledger.box(anna.key);
    const secret = await imported(anna.key, "wandb:anna/secret", "a secret name");
    const guess = await imported(own.key, "wandb:anna/secret", "a guess");
    expect(guess.task_id).not.toBe(secret.task_id);
    expect(guess.warnings).toEqual([]);
    expect(JSON.stringify(guess)).not.toContain("a secret name");
    await get(own.key, `/api/tasks/${secret.task_id}`, 404);

    const squat = await imported(own.key, "wandb:anna/next", "squatted");
    const real = await imported(anna.key, "wandb:anna/next", "real");
    expect(real.task_id).not.toBe(squat.task_id);
    expect(real).toMatchObject({ task: { task_name: "real" }, warnings: [] });
    // Each finds its own again.
    const again = await imported(own.key, "wandb:anna/next", "squatted");
    expect(again).toMatchObject({
      task_id: squat.task_id,
      warnings: [{ code: "already-imported" }],
    });
    expect((await imported(anna.key, "wandb:anna/next", "real")).task_id).toBe(real.task_id);
    expect((await imported(other.key, "wandb:anna/next", "third")).warnings).toEqual([]);
  });

  it("is nothing of what other keys of its owner sent with the same Idempotency-Key", async () => {
    const own = await ledger.box(anna.key);
    const send = (key: string, name: string, status = 200) =>
      ledger.call(
        "/api/tasks",
        { key, json: { task_name: name }, headers: { "Idempotency-Key": "one" } },
        status,
      );
    const theirs = await send(anna.key, "the same");
    const mine = await send(own.key, "the same");
    expect(mine.task_id).not.toBe(theirs.task_id);
    expect((await send(own.key, "the same")).task_id).toBe(mine.task_id);
    await send(own.key, "another", 422);
    expect((await send(anna.key, "the same")).task_id).toBe(theirs.task_id);
    // A box that is first blocks nobody.
    const early = (key: string, name: string) =>
      ledger.call("/api/tasks", {
        ...{ key, json: { task_name: name }, headers: { "Idempotency-Key": "two" } },
      });
    await early(own.key, "the box's");
    expect((await early(anna.key, "anna's")).task.task_name).toBe("anna's");
    // Nor does a key that is spelt like the inside of the database.
    const box = await early(own.key, "the box's");
    const [{ k = "" } = {}] = await ledger.db.all<{ k: string }>(
      sql`select registration_key as k from training_task where id = ${box.task_id}`,
    );
    for (const spelt of [k, k.slice(k.indexOf(":") + 1)]) {
      const got = await ledger.call("/api/tasks", {
        ...{ key: anna.key, json: { task_name: "the box's" } },
        headers: { "Idempotency-Key": spelt },
      });
      expect(got.task_id).not.toBe(box.task_id);
    }
  });
});

describe("a run that was taken from a box", () => {
  let box: string;
  let id: number;
  beforeEach(async () => {
    box = (await ledger.box(anna.key)).key;
    id = await enqueue(anna.key);
    expect(await claimed(box)).toBe(id);
    await beat(box, id);
  });
  const file = (attempt: number) => ({
    ...{ attempt, filename: "a.safetensors", kind: "final", size: 1, sha256: "0".repeat(64) },
  });

  /** Everything that a key could do with the run comes to nothing, and its reports are told why. */
  async function isGone(key = box, current = 2) {
    for (const path of ["", "/config", "/reproduce", "/archive", "/logs", "/datasets"])
      await get(key, `/api/tasks/${id}${path}`, 404);
    expect((await get(key, `/api/weights?task_id=${id}`)).items).toEqual([]);
    await ledger.call(`/api/tasks/${id}`, { key, method: "PATCH", json: { notes: "x" } }, 404);
    await ledger.call(
      `/api/tasks/${id}/datasets`,
      { key, method: "PUT", json: { datasets: [{ name: "d" }] } },
      404,
    );
    for (const attempt of [1, current, current + 1]) {
      const told = [
        await beat(key, id, attempt, 7, 409),
        await finish(key, id, attempt, { status: "success" }, 409),
        await finish(key, id, attempt, { status: "cancelled" }, 409),
        await post(key, `/api/tasks/${id}/weights`, file(attempt), 409),
      ];
      for (const answer of told) expect(answer.type, `attempt ${attempt}`).toBe(superseded);
    }
    expect((await post(key, `/api/tasks/${id}/attempts`, {}, 409)).type).toBe(superseded);
  }
  const task = () => get(anna.key, `/api/tasks/${id}`);

  it("by requeueing is not its any more, and it is told superseded whatever it names", async () => {
    await post(anna.key, `/api/tasks/${id}/requeue`);
    await isGone();
    expect(await task()).toMatchObject({ status: "pending", attempt: 2 });
    // It may be given the run again, in its turn.
    expect(await claim(box)).toMatchObject({ task: { id }, attempt: 2 });
    await beat(box, id, 2);
  });

  it("by requeueing after its lease had ended is not its any more either", async () => {
    await loseAll();
    expect(await task()).toMatchObject({ status: "pending", attempt: 1 });
    await post(anna.key, `/api/tasks/${id}/requeue`, { priority: 3 });
    await isGone();
    const other = await ledger.box(anna.key);
    expect(await claim(other.key)).toMatchObject({ task: { id, priority: 3 }, attempt: 2 });
    expect((await task()).max_attempts).toBe(3);
    await isGone();
  });

  it("by a retry of what it had failed is not its any more", async () => {
    await finish(box, id, 1, { status: "failed", error_message: "boom" });
    await get(box, `/api/tasks/${id}`);
    await post(anna.key, `/api/tasks/${id}/retry`);
    await isGone();
    expect(await task()).toMatchObject({ status: "pending", attempt: 2 });
  });

  it("by another box's claim is not its any more, even with a later attempt's number", async () => {
    await loseAll();
    const other = await ledger.box(anna.key);
    expect(await claim(other.key)).toMatchObject({ task: { id }, attempt: 2 });
    await isGone();
    await beat(other.key, id, 2);
    expect((await task()).status).toBe("running");
  });

  it("by a person who goes on with it is not its any more", async () => {
    expect((await post(anna.key, `/api/tasks/${id}/attempts`)).attempt).toBe(2);
    await isGone();
    await beat(anna.key, id, 2);
    expect((await task()).status).toBe("running");
  });

  it("by cancelling is ended by it, with what it still has, and never begun again", async () => {
    expect(await post(anna.key, `/api/tasks/${id}/cancel`)).toMatchObject({
      status: "running",
      cancel_requested: true,
    });
    // It cannot get around the cancellation by a new attempt.
    const evading = await post(box, `/api/tasks/${id}/attempts`, {}, 409);
    expect(evading.type).toBe("urn:lora-ledger:attempt-not-allowed");
    expect(await beat(box, id, 1, 2)).toMatchObject({ cancel_requested: true });
    const made = await upload(ledger, box, id, lora(), { kind: "checkpoint", attempt: 1 });
    const late = { filename: "late.bin", kind: "state", size: 36, sha256: "0".repeat(64) };
    const upload2 = await post(box, `/api/tasks/${id}/weights`, { ...late, attempt: 1 });
    await finish(box, id, 1, { status: "cancelled", last_seq: 3 });
    // What it had spooled, files and points, is still taken, and the end may be said twice.
    expect(await beat(box, id, 1, 3)).toMatchObject({ status: "cancelled" });
    await get(box, `/api/weights/${upload2.weight_id}/upload`);
    await finish(box, id, 1, { status: "cancelled", last_seq: 3 });
    // `safe` compares what lies on the box with what the ledger holds of it.
    expect(await get(box, `/api/tasks/${id}`)).toMatchObject({ status: "cancelled" });
    const { items } = await get(box, `/api/weights?task_id=${id}&state=complete`);
    expect(items).toMatchObject([{ id: made.id }]);

    await finish(box, id, 1, { status: "success" }, 409);
    const again = await post(box, `/api/tasks/${id}/attempts`, {}, 409);
    expect(again.type).toBe("urn:lora-ledger:attempt-not-allowed");
    await beat(box, id, 2, 1, 409);
    await ledger.call(`/api/tasks/${id}`, { key: box, method: "PATCH", json: { notes: "x" } }, 404);
    expect(await task()).toMatchObject({ status: "cancelled", attempt: 1 });
    await post(anna.key, `/api/tasks/${id}/retry`);
    await isGone();
  });

  it("by cancelling while it was away is not begun again when it comes back", async () => {
    await loseAll();
    await post(anna.key, `/api/tasks/${id}/cancel`);
    expect(await beat(box, id, 1, 2)).toMatchObject({
      status: "cancelled",
      cancel_requested: true,
    });
    await finish(box, id, 1, { status: "cancelled" });
    await post(box, `/api/tasks/${id}/attempts`, {}, 409);
    expect(await task()).toMatchObject({ status: "cancelled", attempt: 1 });
  });

  it("by cancelling many at once, or by a lease that ends after it, is not begun again", async () => {
    const second = await enqueue(anna.key);
    expect(await claimed(box, "gpu1")).toBe(second);
    await post(anna.key, "/api/tasks/bulk", { ids: [id, second], action: "cancel" });
    await loseAll();
    for (const one of [id, second]) {
      expect((await get(anna.key, `/api/tasks/${one}`)).status).toBe("cancelled");
      await post(box, `/api/tasks/${one}/attempts`, {}, 409);
      expect((await beat(box, one, 1, 2)).status).toBe("cancelled");
    }
  });

  it("since it gave it back is heard out, and not taken before its turn", async () => {
    await finish(box, id, 1, { ...preempted, last_seq: 2 });
    expect(await beat(box, id, 1, 2)).toMatchObject({ status: "pending" });
    await get(box, `/api/tasks/${id}`);
    await post(box, `/api/tasks/${id}/attempts`, {}, 409);
    expect(await task()).toMatchObject({ status: "pending", attempt: 1 });
    expect(await claim(box)).toMatchObject({ task: { id }, attempt: 2 });
  });

  it("comes back to it where it was only cut off", async () => {
    await loseAll();
    expect(await task()).toMatchObject({ status: "pending" });
    expect((await beat(box, id, 1, 2)).status).toBe("running");
    const byHand = (await post(box, "/api/tasks", { task_name: "by hand" })).task_id;
    await beat(box, byHand);
    await loseAll();
    expect(await get(box, `/api/tasks/${byHand}`)).toMatchObject({ failure_reason: "lost" });
    expect((await beat(box, byHand, 1, 2)).status).toBe("running");
    // What it has ended by itself, with Ctrl-C for one, it may try again.
    await finish(box, byHand, 1, { status: "cancelled" });
    expect((await post(box, `/api/tasks/${byHand}/attempts`)).attempt).toBe(2);
    await finish(box, byHand, 2, { status: "failed" });
    await post(anna.key, `/api/tasks/${byHand}/retry`);
    expect((await post(box, `/api/tasks/${byHand}/attempts`)).attempt).toBe(3);
  });

  it("leaves a record of its own to it when that is cancelled, and takes it by requeueing", async () => {
    const own = (await post(box, "/api/tasks", { task_name: "its own" })).task_id;
    // Before its first heartbeat it has to learn of it like any other.
    await post(anna.key, `/api/tasks/${own}/cancel`);
    expect(await beat(box, own)).toMatchObject({ status: "cancelled", cancel_requested: true });
    await get(box, `/api/tasks/${own}`);
    await post(box, `/api/tasks/${own}/attempts`, {}, 409);

    const begun = (await post(box, "/api/tasks", { task_name: "begun" })).task_id;
    await beat(box, begun);
    await post(anna.key, `/api/tasks/${begun}/cancel`);
    await finish(box, begun, 1, { status: "cancelled" });
    await get(box, `/api/tasks/${begun}`);
    await post(box, `/api/tasks/${begun}/attempts`, {}, 409);
    await post(anna.key, `/api/tasks/${begun}/requeue`);
    id = begun;
    await isGone();
  });
});

describe("a token for a box", () => {
  it("is worth nothing once its maker may enrol no boxes, and says why", async () => {
    const { token } = await post(bert.key, "/api/boxes/enrol");
    const exchange = (status: number) =>
      ledger.call("/api/boxes/exchange", { json: { token } }, status);
    await setRole(bert, { role: "viewer" });
    expect((await exchange(403)).detail).toContain("viewer");
    await setRole(bert, { role: "member", active: false });
    expect((await exchange(403)).detail).toContain("no longer active");
    const [row] = await ledger.db.all(sql`
      select (select count(*) from box) as boxes, (select count(*) from api_key where name like 'box %') as keys`);
    expect(row).toEqual({ boxes: 0, keys: 0 });
    await setRole(bert, { active: true });
    await exchange(200);
    await exchange(401);
  });
});
