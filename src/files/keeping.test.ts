// Random sequences of uploading, linking, deciding, deleting, restoring and purging, against a plain
// model of what must be there: whatever is not purged comes back with its bytes, whatever a version
// stands on is never purged, and no bytes stay that nothing refers to.
import { env } from "cloudflare:workers";
import { sql } from "drizzle-orm";
import fc from "fast-check";
import { expect, it } from "vitest";
import { openRegistry } from "../../test/registry.ts";
import { lora, upload } from "../../test/uploads.ts";
import { emptyTrash } from "../runs/purge.ts";
import { collectUploads } from "./collect.ts";

type Task = { id: number; deleted: boolean; purged: boolean };
type Weight = { id: number; task: Task; content: number; deleted: boolean; purged: boolean };
type Version = { number: number; weight: Weight; state: string };

const contents = [lora("one"), lora("two"), lora("three")];

const index = fc.nat({ max: 30 });
const step = fc.oneof(
  { weight: 1, arbitrary: fc.tuple(fc.constant("task")) },
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constant("upload"), index, fc.nat({ max: contents.length - 1 })),
  },
  { weight: 3, arbitrary: fc.tuple(fc.constant("link"), index) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom("submit", "approve", "reject", "discard", "retire"), index),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(
      fc.constantFrom("delete weight", "restore weight", "delete task", "restore task"),
      index,
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant("purge")) },
);

const hexOf = async (bytes: BufferSource) =>
  Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

async function world() {
  const registry = await openRegistry();
  const { ledger, anna, bert, carla, newModel, newRun } = registry;
  const name = await newModel();
  const tasks: Task[] = [];
  const weights: Weight[] = [];
  const versions: Version[] = [];
  const keys = new Set<string>();
  const hashes = await Promise.all(contents.map(hexOf));
  const pick = <T>(list: T[], at: number): T | undefined => list[at % Math.max(1, list.length)];

  /** Sends a request; says whether it was done, and fails on anything but a plain refusal. */
  async function done(path: string, method = "POST", key = anna, json?: object) {
    const response = await ledger.request(path, { method, key, ...(json && { json }) });
    const text = await response.text();
    if (![200, 204, 403, 404, 409].includes(response.status))
      throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return { ok: response.status < 300, text };
  }

  const bytesAre = async (path: string, content: number) => {
    const { url } = await ledger.call(`${path}/download?redirect=false`, { key: anna });
    const got = await ledger.request(url);
    expect([got.status, await hexOf(await got.arrayBuffer())], path).toEqual([
      200,
      hashes[content],
    ]);
  };

  const held = (w: Weight) =>
    versions.some((v) => v.weight === w && !["rejected", "given up"].includes(v.state));
  const alike = (w: Weight) =>
    weights.some(
      (o) => o !== w && o.task === w.task && o.content === w.content && !o.deleted && !o.purged,
    );

  const act = {
    async task() {
      tasks.push({ id: await newRun(), deleted: false, purged: false });
    },
    async upload(at: number, content: number) {
      const task = pick(tasks, at);
      if (!task || task.deleted) return;
      const file = contents[content] ?? lora();
      const { id } = await upload(ledger, anna, task.id, file, {
        filename: `${content}.safetensors`,
      });
      if (!weights.some((w) => w.id === id))
        weights.push({ id, task, content, deleted: false, purged: false });
      for (const row of await ledger.db.all<{ k: string }>(
        sql`select object_key as k from stored_object`,
      ))
        keys.add(row.k);
    },
    async link(at: number) {
      const weight = pick(weights, at);
      if (!weight) return;
      const made = await done(`/api/models/${name}/versions`, "POST", anna, {
        weight_id: weight.id,
      });
      const stands = versions.some(
        (v) => v.weight === weight && !["rejected", "given up", "retired"].includes(v.state),
      );
      const free = !weight.deleted && !weight.purged && !weight.task.deleted && !stands;
      expect(made.ok, `link ${made.text}`).toBe(free);
      if (made.ok) versions.push({ number: JSON.parse(made.text).version, weight, state: "draft" });
    },
    async decide(how: string, at: number) {
      const version = pick(versions, at);
      if (!version) return;
      const path = `/api/models/${name}/versions/${version.number}`;
      const [key, to, json] = {
        submit: [anna, "in_review", {}] as const,
        approve: [bert, "approved", {}] as const,
        reject: [bert, "rejected", { reason: "no" }] as const,
        retire: [carla, "retired", {}] as const,
        discard: [anna, "given up", undefined] as const,
      }[how] ?? [anna, "", {}];
      const made =
        how === "discard"
          ? await done(path, "DELETE")
          : await done(`${path}/${how}`, "POST", key, json);
      if (made.ok) version.state = to;
    },
    async "delete weight"(at: number) {
      const weight = pick(weights, at);
      if (!weight) return;
      const { ok } = await done(`/api/weights/${weight.id}`, "DELETE");
      expect(ok).toBe(!weight.deleted && !weight.purged && !weight.task.deleted);
      if (ok) weight.deleted = true;
    },
    async "restore weight"(at: number) {
      const weight = pick(weights, at);
      if (!weight) return;
      const { ok, text } = await done(`/api/weights/${weight.id}/restore`);
      expect(ok, text).toBe(
        weight.deleted && !weight.purged && !weight.task.deleted && !alike(weight),
      );
      if (ok) weight.deleted = false;
    },
    async "delete task"(at: number) {
      const task = pick(tasks, at);
      if (!task) return;
      const { ok } = await done(`/api/tasks/${task.id}`, "DELETE");
      expect(ok).toBe(!task.deleted);
      task.deleted = true;
    },
    async "restore task"(at: number) {
      const task = pick(tasks, at);
      if (!task) return;
      const { ok } = await done(`/api/tasks/${task.id}/restore`);
      expect(ok).toBe(task.deleted && !task.purged);
      if (ok) task.deleted = false;
    },
    async purge() {
      const old = "2020-01-01T00:00:00.000Z";
      await ledger.db.run(
        sql`update training_task set deleted_at = ${old}, trash_since = null where deleted_at is not null`,
      );
      await ledger.db.run(sql`update weight set deleted_at = ${old} where deleted_at is not null`);
      for (let i = 0; i < 12; i++) await emptyTrash(ledger.db, ledger.bindings, ledger.config);
      await ledger.db.run(sql`update stored_object set sweep_at = ${old} where state = 'aborted'`);
      for (let i = 0; i < 6; i++) await collectUploads(ledger.db, ledger.bindings, ledger.config);
      for (const task of tasks)
        if (task.deleted && !weights.some((w) => w.task === task && held(w))) task.purged = true;
      for (const weight of weights)
        if (weight.task.purged || (weight.deleted && !held(weight))) weight.purged = true;
    },
  };

  /** What must be there is there, byte for byte; what must be gone is gone. */
  async function check() {
    for (const w of weights)
      if (!w.purged && !w.deleted && !w.task.deleted)
        await bytesAre(`/api/weights/${w.id}`, w.content);
    for (const v of versions)
      if (!["rejected", "given up"].includes(v.state))
        await bytesAre(`/api/models/${name}/${v.number}`, v.weight.content);
  }

  async function end() {
    await act.purge();
    await check();
    for (const t of tasks)
      if (t.deleted) {
        const { ok } = await done(`/api/tasks/${t.id}/restore`);
        expect(ok, `task ${t.id}`).toBe(!t.purged);
        if (ok) t.deleted = false;
      }
    for (const [at, w] of weights.entries()) {
      if (w.deleted) await act["restore weight"](at);
      if (w.purged)
        expect((await ledger.request(`/api/weights/${w.id}`, { key: anna })).status).toBe(404);
    }
    await check();
    const rows = await ledger.db.all<{ k: string }>(
      sql`select object_key as k from stored_object where state = 'complete'`,
    );
    const there: string[] = [];
    for (const key of keys) if (await env.BUCKET.head(key)) there.push(key);
    expect(there.sort()).toEqual(rows.map((row) => row.k).sort());
    const needed = new Set(weights.filter((w) => !w.purged).map((w) => w.content));
    expect(there.length).toBeGreaterThanOrEqual(needed.size);
  }

  return { act, check, end };
}

it("loses nothing that may come back, and keeps nothing that may not", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 40 }), async (steps) => {
      const { act, check, end } = await world();
      await act.task();
      await act.task();
      for (const [what, at = 0, content = 0] of steps) {
        if (what === "upload") await act.upload(at, content);
        else if (what === "link") await act.link(at);
        else if (["submit", "approve", "reject", "discard", "retire"].includes(what))
          await act.decide(what, at);
        else if (what === "purge") {
          await act.purge();
          await check();
        } else if (what in act) await act[what as "task" | "delete weight"](at);
      }
      await end();
    }),
    { numRuns: 12 },
  );
}, 180_000);
