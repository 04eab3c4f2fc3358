// What scopes on models give of runs and files, who decides on a version, and what a hash proves.
import { env } from "cloudflare:workers";
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { forgetKeys } from "../../src/platform/auth/keys.ts";
import { emptyTrash } from "../../src/runs/purge.ts";
import { freshLedger, type Ledger } from "../harness.ts";
import { openRegistry } from "../registry.ts";
import { lora, png, upload } from "../uploads.ts";

const registry = await openRegistry();
const { ledger, anna, bert, carla, newModel, newRun, newWeight, addVersion, act, approved } =
  registry;

const keyOf = async (...scopes: string[]) => (await ledger.key({ scopes })).key;
const statusOf = async (path: string, key: string, json?: object) => {
  const response = await ledger.request(path, { key, json });
  await response.body?.cancel();
  return response.status;
};

describe("models:read and models:write", () => {
  it("make no version without the right to read its file and its run", async () => {
    const { id } = await newWeight();
    const tries = [
      ["models:read", "models:write"],
      ["models:read", "models:write", "weights:read"],
      ["models:read", "models:write", "tasks:read"],
    ];
    for (const scopes of tries) {
      const key = await keyOf(...scopes);
      const { name } = await ledger.call("/api/models", { key, json: { name: `x-${id}-m` } });
      const path = `/api/models/${name}/versions`;
      const { detail } = await ledger.call(path, { key, json: { weight_id: id } }, 403);
      expect(detail).toMatch(/weights:read|tasks:read/);
      await ledger.db.run(sql`delete from model where name = ${name}`);
    }
    const name = await newModel();
    const both = await keyOf("models:write", "weights:read", "tasks:read");
    const made = { key: both, json: { weight_id: id } };
    expect(await ledger.call(`/api/models/${name}/versions`, made)).toMatchObject({ version: 1 });
  });

  it("give run, samples and file of what was approved alone, and the reviewer what is in review", async () => {
    const task = await newRun();
    await upload(ledger, anna, task, png(), { filename: "s.png", kind: "sample", prompt: "aki" });
    const name = await newModel();
    const version = await addVersion(name, (await newWeight({}, task)).id);
    await approved(name);
    const whole = [
      `/api/models/${name}/versions/${version}`,
      `/api/models/${name}/versions/${version}/card?format=json`,
      `/api/models/${name}/compare?versions=${version},2`,
      `/api/models/${name}/${version}/download?redirect=false`,
    ];
    const entries = [
      `/api/models/${name}`,
      `/api/models/${name}/versions`,
      `/api/models/${name}/${version}`,
      "/api/reviews",
    ];
    const reader = await keyOf("models:read");
    const statuses = (key: string, paths = whole) =>
      Promise.all(paths.map((path) => statusOf(path, key)));
    expect(await statuses(reader, entries)).toEqual([200, 200, 200, 200]);
    expect(await statuses(reader)).toEqual([403, 403, 403, 403]);
    expect(await statuses(bert)).toEqual([403, 403, 403, 403]);
    expect(await statuses(anna)).toEqual([200, 200, 200, 200]);
    expect(await statuses(await keyOf("models:read", "tasks:read"))).toEqual([200, 403, 403, 403]);
    expect(await statuses(await keyOf("models:read", "weights:read"))).toEqual([
      403, 403, 403, 200,
    ]);
    await act(name, version, "submit", anna);
    expect(await statuses(reader)).toEqual([403, 403, 403, 403]);
    expect(await statuses(bert)).toEqual([200, 200, 200, 200]);
    await act(name, version, "approve", bert);
    expect(await statuses(reader)).toEqual([200, 200, 200, 200]);
    // Release bots go on with what was live, also when it is retired.
    await act(name, version, "retire", carla);
    expect(await statuses(reader)).toEqual([200, 200, 200, 200]);
  });

  it("tell of no run, neither by its family nor by a filter", async () => {
    const task = await newRun({}, { status: "success", final_loss: 0.123 });
    const name = await newModel();
    const version = await addVersion(name, (await newWeight({}, task)).id);
    await ledger.db.run(
      sql`insert into dataset (hash) values ('of a version') on conflict do nothing`,
    );
    const [dataset] = await ledger.db.all<{ id: number }>(
      sql`select id from dataset where hash = 'of a version'`,
    );
    const reader = await keyOf("models:read");
    for (const path of [`/api/tasks/${task}/lineage`, `/api/datasets/${dataset?.id}/versions`]) {
      expect(await statusOf(path, reader)).toBe(403);
      expect(await statusOf(path, anna)).toBe(200);
    }
    const find = async (key: string) => {
      const filter = encodeURIComponent(`name = '${name}' and final_loss = 0.123`);
      return (await ledger.call(`/api/models?filter=${filter}`, { key })).items.length;
    };
    expect([await find(reader), await find(anna)]).toEqual([0, 1]);
    await act(name, version, "submit", anna);
    await act(name, version, "approve", bert);
    expect(await find(reader)).toBe(1);
  });
});

describe("four eyes", () => {
  const approver = "models:read models:approve models:write weights:read tasks:read".split(" ");
  let other: Ledger;
  let admin: Awaited<ReturnType<Ledger["key"]>>;
  let trainer: Awaited<ReturnType<Ledger["key"]>>;
  let colleague: Awaited<ReturnType<Ledger["key"]>>;
  beforeAll(async () => {
    other = await freshLedger();
    admin = await other.key({ role: "admin" });
    trainer = await other.key({ user: "trainer" });
    colleague = await other.key({ user: "colleague" });
  });
  let models = 0;
  /** A colleague's version of a file, in review. */
  async function submitted(weightId: number) {
    const name = `eyes-${++models}`;
    const { key } = colleague;
    await other.call("/api/models", { key, json: { name } });
    await other.call(`/api/models/${name}/versions`, { key, json: { weight_id: weightId } });
    const path = `/api/models/${name}/versions/1`;
    await other.call(`${path}/submit`, { key, json: {} });
    return path;
  }
  const decide = async (path: string, user: string) => {
    const { key } = await other.key({ user, scopes: approver });
    const { type } = await other.call(`${path}/reject`, { key, json: { reason: "r" } }, 403);
    expect(type).toContain("own-version");
    await other.call(`${path}/approve`, { key, json: {} }, 403);
  };
  /** A run of that key's that ended well, with its final file. */
  async function trained(key: string, uploader = key) {
    const { task_id } = await other.call("/api/tasks", { key, json: { task_name: "r" } });
    await other.call(`/api/tasks/${task_id}/attempts`, { key, json: {} });
    const weight = await upload(other, uploader, task_id, lora());
    await other.call(`/api/tasks/${task_id}/finish`, { key, json: { status: "success" } });
    return { task: task_id, weight: weight.id };
  }

  it("count who trained the run, made the version and submitted it", async () => {
    const { weight } = await trained(trainer.key);
    const path = await submitted(weight);
    await decide(path, "trainer");
    await decide(path, "colleague");
    const { parties } = await other.call(path, { key: colleague.key });
    expect(parties).toEqual(["colleague", "trainer"]);
    await other.call(`${path}/approve`, { key: admin.key, json: {} });
    const { review } = await other.call(path, { key: colleague.key });
    expect(review.evidence.parties).toEqual(["colleague", "trainer"]);
  });

  it("count who ran an attempt or uploaded the file, but not who lends a shared box", async () => {
    const uploaded = await trained(trainer.key, admin.key);
    await decide(await submitted(uploaded.weight), admin.userName);
    const ran = await trained(trainer.key);
    await other.db.run(
      sql`update task_attempt set key_id = ${admin.keyId} where task_id = ${ran.task}`,
    );
    await decide(await submitted(ran.weight), admin.userName);

    const { token } = await other.call("/api/boxes/enrol", {
      key: admin.key,
      json: { shared: true },
    });
    const box = await other.call("/api/boxes/exchange", { json: { token } });
    const { task_id: id } = await other.call("/api/tasks", {
      key: trainer.key,
      json: { task_name: "queued", queue: {} },
    });
    const claimed = await other.call("/api/queue/claim", { key: box.key, json: { agent: "a" } });
    expect(claimed.task.id).toBe(id);
    const weight = await upload(other, box.key, id, lora(), { attempt: 1 });
    await other.call(`/api/tasks/${id}/finish`, {
      key: box.key,
      json: { attempt: 1, status: "success" },
    });
    const path = await submitted(weight.id);
    await decide(path, "trainer");
    await other.call(`${path}/approve`, { key: admin.key, json: {} });
  });

  it("see in the review that checks were loosened, and a submission is judged by its own", async () => {
    const strict = { verified: "sha256", min_samples: 1, metrics: [{ metric: "loss", max: 0.2 }] };
    const name = await newModel({ checks: strict });
    const path = `/api/models/${name}`;
    const loosen = (checks: object) =>
      ledger.call(path, { method: "PATCH", key: anna, json: { checks } });
    await loosen({ ...strict, metrics: [{ metric: "loss", max: 0.3 }] });
    await loosen({ verified: "size", task_success: false });
    await loosen({ verified: "size", task_success: false });
    const version = await addVersion(name);
    await act(name, version, "submit", anna);
    const { checks_changes } = await ledger.call(`${path}/versions/${version}`, { key: bert });
    expect(checks_changes).toMatchObject([
      { by: "anna", loosened: ["verified", "task_success", "samples", "metric loss"] },
      { by: "anna", loosened: ["metric loss"] },
    ]);
    expect(Date.parse(checks_changes[0].at)).toBeGreaterThan(Date.now() - 60_000);
    await act(name, version, "approve", bert);
    const { review } = await ledger.call(`${path}/versions/${version}`, { key: bert });
    expect(review.evidence).toMatchObject({
      checks: { verified: "size" },
      submitted_checks: { verified: "size" },
      checks_changes: [{ by: "anna", before: { min_samples: 1 } }, { by: "anna" }],
    });

    // What changed before an approval is not told again at the next.
    const run = await newRun();
    const shown = { filename: "s.png", kind: "sample" };
    const sample = await upload(ledger, anna, run, png(), shown);
    const second = await addVersion(name, (await newWeight({}, run)).id);
    const read = () => ledger.call(`${path}/versions/${second}`, { key: anna });
    expect((await read()).checks_changes).toEqual([]);
    await loosen({ verified: "sha256", min_samples: 1 });
    expect((await read()).checks_changes).toMatchObject([{ loosened: [] }]);
    await act(name, second, "submit", anna);
    await ledger.call(`/api/weights/${sample.id}`, { method: "DELETE", key: anna }, 204);
    await loosen({ verified: "size" });
    const { errors } = await act(name, second, "approve", bert, {}, 409);
    expect(errors).toEqual([{ path: "samples", message: "requires at least 1, but found 0" }]);
    // Withdrawn and submitted again, it is judged by the checks of then; the reviewer sees the change.
    await act(name, second, "withdraw", anna);
    await act(name, second, "submit", anna);
    expect((await read()).checks_changes).toMatchObject([
      { loosened: ["verified", "samples"] },
      { loosened: [] },
    ]);
    await act(name, second, "approve", bert);
    for (const statement of [
      sql`update model_checks_change set by = 'x'`,
      sql`delete from model_checks_change`,
    ])
      await expect(ledger.db.run(statement)).rejects.toThrow();
  });
});

describe("a stranger's version", () => {
  it("keeps another's file from going only once it is up for review", async () => {
    const bindings = ledger.bindings as unknown as Parameters<typeof emptyTrash>[1];
    const stranger = await keyOf(..."models:read models:write weights:read tasks:read".split(" "));
    const models: string[] = [];
    const weights: number[] = [];
    for (const submit of [false, true]) {
      const task = await newRun();
      const weight = await newWeight({}, task);
      const { name } = await ledger.call("/api/models", {
        key: stranger,
        json: { name: `stranger-${submit}` },
      });
      await ledger.call(`/api/models/${name}/versions`, {
        key: stranger,
        json: { weight_id: weight.id },
      });
      if (submit) await act(name, 1, "submit", stranger);
      await ledger.call(`/api/weights/${weight.id}`, { method: "DELETE", key: anna }, 204);
      models.push(name);
      weights.push(weight.id);
    }
    const own = await newWeight();
    await addVersion(await newModel(), own.id);
    await ledger.call(`/api/weights/${own.id}`, { method: "DELETE", key: anna }, 204);
    await ledger.db.run(
      sql`update weight set deleted_at = '2020-01-01T00:00:00.000Z' where deleted_at is not null`,
    );
    await emptyTrash(ledger.db, bindings, ledger.config);
    const left = await ledger.db.all<{ id: number }>(
      sql`select id from weight where id in (${sql.join([...weights, own.id], sql`, `)}) order by id`,
    );
    expect(left.map(({ id }) => id)).toEqual([weights[1], own.id]);
    const gone = await act(models[0] ?? "", 1, "submit", stranger, {}, 409);
    expect(gone.type).toContain("file-gone");
  });
});

describe("a hash that nobody but the uploader computed", () => {
  /** Lets the ledger know of a file's parts alone, as of a large upload by parts. */
  const onlyParts = (weightId: number) =>
    ledger.db.run(
      sql`update stored_object set verified = 'parts' where id = (select object_id from weight where id = ${weightId})`,
    );

  it("is told as announced by version, evidence, card and links", async () => {
    const name = await newModel();
    const weight = await newWeight();
    const version = await addVersion(name, weight.id);
    const read = (path: string) => ledger.call(`/api/models/${name}${path}`, { key: anna });
    expect(await read("/1")).toMatchObject({ sha256_is: "verified" });
    await onlyParts(weight.id);
    await act(name, version, "submit", anna);
    expect(await act(name, version, "approve", bert)).toMatchObject({
      verified: "parts",
      sha256_is: "announced",
    });
    const { review } = await read("/versions/1");
    expect(review.evidence.weight).toMatchObject({ verified: "parts", sha256_is: "announced" });
    expect(await read("/1/download?redirect=false")).toMatchObject({ sha256_is: "announced" });
    expect((await read("/versions/1/card?format=json")).card).toContain("| SHA-256 (announced) |");
    const share = { key: carla, json: { target: 1 } };
    const { url } = await ledger.call(`/api/models/${name}/shares`, share);
    const link = await (await ledger.request(`${url}?redirect=false`)).json();
    expect(link).toMatchObject({ sha256_is: "announced" });
  });

  it("is computed before a review where the Worker may hash whole files", async () => {
    const hashing = await openRegistry({ VERIFY_BY_STREAMING: "true" });
    for (const honest of [true, false]) {
      const name = await hashing.newModel();
      const weight = await hashing.newWeight();
      const version = await hashing.addVersion(name, weight.id);
      const which = sql`(select object_id from weight where id = ${weight.id})`;
      await hashing.ledger.db.run(
        sql`update stored_object set verified = 'parts' where id = ${which}`,
      );
      const [object] = await hashing.ledger.db.all<{ key: string }>(
        sql`select object_key as key from stored_object where id = ${which}`,
      );
      if (!honest) await env.BUCKET.put(object?.key ?? "", lora());
      const answer = await hashing.act(
        name,
        version,
        "submit",
        hashing.anna,
        {},
        honest ? 200 : 409,
      );
      if (honest) expect(answer).toMatchObject({ verified: "sha256", sha256_is: "verified" });
      else expect(answer.errors).toMatchObject([{ path: "sha256" }]);
      forgetKeys();
    }
  });

  it("is no way to another length: parts that are too short or too long have not arrived", async () => {
    const MiB = 1024 * 1024;
    const task = await newRun();
    const announced = await ledger.call(`/api/tasks/${task}/weights`, {
      key: anna,
      json: { filename: "b.bin", kind: "final", size: 91 * MiB, sha256: "a".repeat(64) },
    });
    const id = announced.weight_id;
    // As a bucket's own URLs take them, which sign no length.
    const sizes = [16, 16, 15, 16, 17, 16].map((size) => size * MiB);
    for (const [n, size] of sizes.entries())
      await ledger.db.run(sql`insert into upload_part (object_id, number, etag, size)
        select object_id, ${n + 1}, 'x', ${size} from weight where id = ${id}`);
    const { missing } = await ledger.call(
      `/api/weights/${id}/complete`,
      { key: anna, json: {} },
      409,
    );
    expect(missing).toEqual([3, 5, 6]);
  });
});
