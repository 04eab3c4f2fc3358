import { env } from "cloudflare:workers";
import { eq, sql } from "drizzle-orm";
import { describe, expect, it } from "vitest";
import { costOf, freshLedger } from "../../test/harness.ts";
import { openRegistry } from "../../test/registry.ts";
import { lora, png, upload } from "../../test/uploads.ts";
import { storedObject } from "../platform/db/schema.ts";

const {
  ledger,
  anna,
  bert,
  carla,
  newModel,
  newRun,
  newWeight,
  addVersion,
  act,
  approved,
  setAlias,
} = await openRegistry();

const stateOf = async (name: string, version: number) =>
  (await ledger.call(`/api/models/${name}/versions/${version}`, { key: anna })).state;

describe("names", () => {
  it.each([
    ["", "1 to 100"],
    ["a/b", "not / (U+002F)"],
    ["аnime", "not а (U+0430)"],
    ["ａnime", "not ａ (U+FF41)"],
    ["an\u200bime", "not U+200B"],
    ["x".repeat(300), "1 to 100"],
    ["-x", "begin and end"],
    ["12", "no number"],
    ["1.2", "no number"],
    ["Versions", "word of the API"],
  ])("refuses %j", async (name, why) => {
    const { errors } = await ledger.call("/api/models", { key: anna, json: { name } }, 422);
    expect(errors).toEqual([{ path: "name", message: expect.stringContaining(why) }]);
  });

  it("are unique however they are written, and found however they are written", async () => {
    const name = await newModel();
    const alike = name.toUpperCase().replace("-", "_");
    const { detail } = await ledger.call("/api/models", { key: bert, json: { name: alike } }, 403);
    expect(detail).toContain("models:write");
    const taken = await ledger.call("/api/models", { key: anna, json: { name: alike } }, 409);
    expect(taken.detail).toContain(`named ${name} already`);
    expect(await ledger.call(`/api/models/${alike}`, { key: anna })).toMatchObject({ name });
    for (const path of ["a%2Fb", "x".repeat(300), "%D0%B0nime"])
      expect((await ledger.request(`/api/models/${path}`, { key: anna })).status, path).toBe(422);
    expect((await ledger.request("/api/models/unheard-of", { key: anna })).status).toBe(404);
  });

  it("of aliases are no numbers and no words of routes", async () => {
    const name = await newModel();
    const version = await addVersion(name);
    for (const alias of ["7", "versions", "aliases", "download", "ñ", "a%2Fb", "x".repeat(300)])
      await setAlias(name, alias, version, anna, 422);
    expect(await setAlias(name, "Staging", version, anna)).toMatchObject({
      alias: "staging",
      version,
    });
  });
});

describe("versions", () => {
  it("are numbered 1, 2, 3 without gaps when many are made at once", async () => {
    const name = await newModel();
    const task = await newRun();
    const weights = [];
    for (let i = 0; i < 24; i++)
      weights.push(
        await newWeight({ filename: `aki-${i}.safetensors`, kind: "checkpoint", step: i }, task),
      );
    const answers = await Promise.all(
      // Each twice, so that half of them must be refused.
      [...weights, ...weights].map(async (weight) => {
        const response = await ledger.request(`/api/models/${name}/versions`, {
          key: anna,
          json: { weight_id: weight.id },
        });
        return [response.status, (await response.json<{ version: number }>()).version];
      }),
    );
    const made = answers.filter(([status]) => status === 200).map(([, version]) => version);
    expect(made.toSorted((a = 0, b = 0) => a - b)).toEqual(weights.map((_, i) => i + 1));
    expect(answers.filter(([status]) => status === 409)).toHaveLength(24);
    const { items } = await ledger.call(`/api/models/${name}/versions?limit=5`, { key: anna });
    expect(items.map((v: { version: number }) => v.version)).toEqual([24, 23, 22, 21, 20]);
  });

  it("cost one round trip", async () => {
    const name = await newModel();
    const { id } = await newWeight();
    const made = await ledger.request(`/api/models/${name}/versions`, {
      key: anna,
      json: { weight_id: id },
    });
    expect(costOf(made).trips).toBe(1);
    const read = await ledger.request(`/api/models/${name}/versions/1`, { key: anna });
    expect(costOf(read)).toMatchObject({ trips: 1, written: 0 });
    expect(costOf(read).read).toBeLessThan(60);
  });

  it("take complete model files only, and no strangers'", async () => {
    const name = await newModel();
    const task = await newRun();
    const make = (weight_id: number, status: number) =>
      ledger.call(`/api/models/${name}/versions`, { key: anna, json: { weight_id } }, status);
    const sample = await upload(ledger, anna, task, png(), { filename: "s.png", kind: "sample" });
    expect((await make(sample.id, 409)).detail).toContain("is a sample file");
    const pending = await ledger.call(`/api/tasks/${task}/weights`, {
      key: anna,
      json: { filename: "x.safetensors", kind: "final", size: 5, sha256: "0".repeat(64) },
    });
    expect((await make(pending.weight_id, 409)).detail).toContain("not complete");
    await make(999_999, 404);
    const gone = await newWeight();
    await ledger.call(`/api/weights/${gone.id}`, { method: "DELETE", key: anna }, 204);
    await make(gone.id, 404);
    await ledger.call(
      "/api/models/unheard-of/versions",
      { key: anna, json: { weight_id: 1 } },
      404,
    );
  });

  it("tell where they come from", async () => {
    const parent = await newRun({ hourly_price: 2 });
    const text = 'network_module = "networks.lora"\nnetwork_dim = 4\n';
    const task = await newRun({ config: { text }, parent_task_id: parent, git_commit: "abc123" });
    await ledger.call(`/api/tasks/${task}/datasets`, {
      method: "PUT",
      key: anna,
      json: {
        datasets: [{ name: "10_aki", image_count: 6, tag_distribution: { aki: 6, hat: 2 } }],
      },
    });
    await upload(ledger, anna, task, png(), {
      filename: "s.png",
      kind: "sample",
      prompt: "aki",
      step: 3,
    });
    const weight = await newWeight({}, task);
    const name = await newModel({ license: "mit" });
    const version = await addVersion(name, weight.id);
    const found = await ledger.call(`/api/models/${name}/versions/${version}`, { key: anna });
    expect(found).toMatchObject({
      model: name,
      state: "draft",
      sha256: weight.sha256,
      verified: "sha256",
      rank: 4,
      alpha: 2,
      base_arch: "sdxl",
      license: "mit",
      created_by: "anna",
      weight: { kind: "final", attempt: 1, tensor_count: 2 },
      task: { id: task, git_commit: "abc123", status: "success", config: { format: "toml" } },
      datasets: [{ name: "10_aki", image_count: 6 }],
      samples: [{ filename: "s.png", prompt: "aki", step: 3 }],
      review: null,
    });
    expect(found.task.config_snapshot).toMatchObject({ network_dim: 4 });
    expect(found.task.curve).toBe(`/api/tasks/${task}/logs`);
  });
});

describe("going live", () => {
  it("goes from draft to released by three people, with every step in the audit", async () => {
    const name = await newModel();
    const version = await addVersion(name);
    await act(name, version, "approve", bert, {}, 409);
    expect((await act(name, version, "submit", carla, {}, 404)).detail).toContain("of yours");
    expect(await act(name, version, "submit", anna)).toMatchObject({
      state: "in_review",
      submitted_by: "anna",
    });
    expect((await act(name, version, "approve", anna, {}, 403)).detail).toContain("models:approve");
    expect((await act(name, version, "release", carla, {}, 409)).detail).toContain(
      "only an approved version carries",
    );
    await act(name, version, "approve", bert, { reason: "fine" });
    expect((await act(name, version, "release", bert, {}, 403)).detail).toContain("models:release");
    expect(await act(name, version, "release", carla)).toMatchObject({
      state: "released",
      aliases: ["production"],
    });
    await act(name, version, "release", carla, {}, 409);
    expect(await act(name, version, "retire", carla)).toMatchObject({
      state: "retired",
      aliases: [],
    });
    const events = await ledger.db.all<{ kind: string; detail: string }>(
      sql`select kind, detail from event where subject = 'model' and name = ${name} order by id`,
    );
    expect(events.map(({ kind, detail }) => ({ kind, ...JSON.parse(detail) }))).toEqual([
      { kind: "approval_requested", version, submitted_by: "anna" },
      { kind: "released", version, released_by: "carla", reason: null, rollback: false },
    ]);
    const entries = await ledger.db.all<{ action: string; user: string }>(sql`
      select a.action, u.name as user from audit_entry a join user u on u.id = a.user_id
      where a.subject = 'model' and a.subject_id = (select id from model where name = ${name}) order by a.id`);
    expect(entries.map((e) => [e.action.replace("model.", ""), e.user])).toEqual([
      ["create", "anna"],
      ["add_version", "anna"],
      ["submit", "anna"],
      ["approve", "bert"],
      ["release", "carla"],
      ["retire", "carla"],
    ]);
  });

  it("lets nobody approve their own submission, unless the setting says so", async () => {
    const all = "models:read models:write models:approve weights:read tasks:read".split(" ");
    for (const [allowed, status] of [
      ["false", 403],
      ["true", 200],
    ] as const) {
      const other = await freshLedger({ ALLOW_SELF_APPROVAL: allowed });
      const admin = (await other.key({ role: "admin" })).key;
      const { key } = await other.key({ user: "solo", scopes: all });
      const { task_id } = await other.call("/api/tasks", { key: admin, json: { task_name: "t" } });
      await other.call(`/api/tasks/${task_id}/finish`, { key: admin, json: { status: "success" } });
      const weight = await upload(other, admin, task_id, lora());
      await other.call("/api/models", { key, json: { name: "solo" } });
      await other.call("/api/models/solo/versions", { key, json: { weight_id: weight.id } });
      await other.call("/api/models/solo/versions/1/submit", { key, json: {} });
      await other.call("/api/models/solo/versions/1/approve", { key, json: {} }, status);
    }
  });

  it("names each check that does not hold", async () => {
    const name = await newModel({
      checks: {
        verified: "sha256",
        min_samples: 1,
        metrics: [
          { metric: "final_loss", max: 0.2 },
          { metric: "val/loss", statistic: "min", max: 1 },
        ],
      },
    });
    const task = await newRun({}, { status: "failed", final_loss: 0.5 });
    const weight = await newWeight({}, task);
    const version = await addVersion(name, weight.id);
    const { errors } = await act(name, version, "submit", anna, {}, 409);
    expect(errors).toEqual([
      { path: "task_success", message: "requires success, but found failed" },
      { path: "samples", message: "requires at least 1, but found 0" },
      { path: "metric final_loss", message: "requires at most 0.2, but found 0.5" },
      { path: "metric val/loss", message: "requires at most 1, but found nothing" },
    ]);
    await ledger.call(`/api/models/${name}`, {
      method: "PATCH",
      key: anna,
      json: { checks: { task_success: false } },
    });
    await act(name, version, "submit", anna);
    // What held at the submission must hold at the approval.
    await ledger.call(`/api/models/${name}`, {
      method: "PATCH",
      key: anna,
      json: { checks: { min_samples: 1 } },
    });
    await act(name, version, "approve", bert, {}, 409);
    expect(await act(name, version, "reject", bert, {}, 422)).toMatchObject({
      errors: [{ path: "reason" }],
    });
    expect(await act(name, version, "reject", bert, { reason: "no samples" })).toMatchObject({
      state: "rejected",
    });
    await act(name, version, "submit", anna, {}, 409);
    expect(await addVersion(name, weight.id)).toBe(version + 1);
  });

  it("withdraws and gives up what was not approved", async () => {
    const name = await newModel();
    const version = await addVersion(name);
    await setAlias(name, "trial", version, anna);
    await act(name, version, "withdraw", anna, {}, 409);
    await act(name, version, "submit", anna);
    expect((await ledger.call("/api/reviews", { key: bert })).items[0]).toMatchObject({
      model: name,
      version,
    });
    await act(name, version, "withdraw", anna);
    await ledger.call(
      `/api/models/${name}/versions/${version}`,
      { method: "DELETE", key: carla },
      404,
    );
    await ledger.call(
      `/api/models/${name}/versions/${version}`,
      { method: "DELETE", key: anna },
      204,
    );
    expect(await stateOf(name, version)).toBe("retired");
    expect((await ledger.call(`/api/models/${name}/aliases`, { key: anna })).aliases).toEqual([]);
  });

  it("keeps the evidence of an approval, whatever changes afterwards", async () => {
    const task = await newRun({ notes: "first" });
    const sample = await upload(ledger, anna, task, png(), {
      filename: "s.png",
      kind: "sample",
      prompt: "aki",
    });
    await ledger.call(`/api/tasks/${task}/datasets`, {
      method: "PUT",
      key: anna,
      json: { datasets: [{ name: "d", image_count: 6, content_hash: "c1" }] },
    });
    const weight = await newWeight({}, task);
    const name = await newModel({ license: "mit" });
    const version = await addVersion(name, weight.id);
    await act(name, version, "submit", anna);
    await act(name, version, "approve", bert, { reason: "good hands" });
    await ledger.call(`/api/models/${name}`, {
      method: "PATCH",
      key: anna,
      json: { license: "other" },
    });
    await ledger.call(`/api/tasks/${task}`, {
      method: "PATCH",
      key: anna,
      json: { task_name: "renamed" },
    });
    await ledger.call(`/api/weights/${sample.id}`, { method: "DELETE", key: anna }, 204);
    const { review, samples } = await ledger.call(`/api/models/${name}/versions/${version}`, {
      key: anna,
    });
    expect(review).toMatchObject({
      decision: "approved",
      reviewer: "bert",
      reason: "good hands",
      evidence: {
        license: "mit",
        submitted_by: "anna",
        weight: { sha256: weight.sha256, verified: "sha256", rank: 4 },
        task: { name: "a run", status: "success", final_loss: 0.1 },
        datasets: [{ name: "d", content_hash: "c1", image_count: 6 }],
        samples: [{ weight_id: sample.id, sha256: sample.sha256, prompt: "aki" }],
        checks: { verified: "parts" },
      },
    });
    expect(samples).toHaveLength(1);
    for (const statement of [
      sql`update model_review set reason = 'x'`,
      sql`delete from model_review`,
      sql`update model_version set sha256 = 'x' where approved_at is not null`,
      sql`delete from model_version`,
      sql`delete from model_alias_move`,
      sql`delete from weight where id = ${weight.id}`,
      sql`delete from weight where id = ${sample.id}`,
      sql`delete from training_task where id = ${task}`,
      sql`update model_version set state = 'released' where state = 'approved'`,
      sql`update model_version set state = 'draft' where state = 'approved'`,
      sql`update stored_object set state = 'aborted' where sha256 = ${weight.sha256}`,
    ])
      await expect(ledger.db.run(statement)).rejects.toThrow();
  });

  it("refuses a weight whose bytes are gone", async () => {
    const name = await newModel();
    const weight = await newWeight();
    const version = await addVersion(name, weight.id);
    const [object] = await ledger.db
      .select()
      .from(storedObject)
      .where(eq(storedObject.sha256, weight.sha256));
    await env.BUCKET.delete(object?.objectKey ?? "");
    expect((await act(name, version, "submit", anna, {}, 409)).detail).toContain(
      "no longer in the storage",
    );
    await setAlias(name, "staging", version, anna, 409);
  });
});

describe("aliases", () => {
  it("move with their history, and go back step by step", async () => {
    const name = await newModel();
    const [one, two, three] = [await approved(name), await approved(name), await approved(name)];
    const history = async (alias = "production") =>
      (await ledger.call(`/api/models/${name}/aliases/${alias}/history`, { key: anna })).items.map(
        (m: { from_version: number | null; version: number | null; rollback: boolean }) => [
          m.from_version,
          m.version,
          m.rollback,
        ],
      );
    for (const version of [one, two, three]) await setAlias(name, "production", version, carla);
    expect([
      await stateOf(name, one),
      await stateOf(name, two),
      await stateOf(name, three),
    ]).toEqual(["approved", "approved", "released"]);
    const rollback = (status = 200) =>
      ledger.call(
        `/api/models/${name}/aliases/production/rollback`,
        { key: carla, json: { reason: "bad hands" } },
        status,
      );
    expect(await rollback()).toMatchObject({ version: two, moved_by: "carla" });
    expect(await rollback()).toMatchObject({ version: one });
    expect((await rollback(409)).detail).toContain("nothing to roll back to");
    expect(await ledger.call(`/api/models/${name}`, { key: anna })).toMatchObject({
      created_by: "anna",
      latest_version: three,
      aliases: { production: one },
    });
    expect(await history()).toEqual([
      [two, one, true],
      [three, two, true],
      [two, three, false],
      [one, two, false],
      [null, one, false],
    ]);
    expect(await stateOf(name, one)).toBe("released");
    await ledger.call(
      `/api/models/${name}/aliases/production`,
      { method: "DELETE", key: carla },
      204,
    );
    await ledger.call(
      `/api/models/${name}/aliases/production`,
      { method: "DELETE", key: carla },
      404,
    );
    expect(await stateOf(name, one)).toBe("approved");
    expect(await rollback()).toMatchObject({ version: one });
    // The model's own history has the moves of all aliases, page by page, and what moved each last.
    await setAlias(name, "trial", two, anna);
    await ledger.call(`/api/models/${name}/aliases/trial`, { method: "DELETE", key: anna }, 204);
    const all: object[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const path = `/api/models/${name}/aliases/history?limit=4${cursor && `&cursor=${cursor}`}`;
      const { items, next_cursor } = await ledger.call(path, { key: bert });
      all.push(...items);
      cursor = next_cursor;
    }
    expect(all).toHaveLength(9);
    expect(all[0]).toMatchObject({ alias: "trial", from_version: two, version: null });
    expect(all[1]).toMatchObject({ alias: "trial", version: two, moved_by: "anna" });
    expect(all[2]).toMatchObject({ alias: "production", version: one, moved_by: "carla" });
    const [live] = (await ledger.call(`/api/models/${name}/aliases`, { key: bert })).aliases;
    expect(all[2]).toMatchObject({ id: live.move_id });
    await ledger.call("/api/models/nobody/aliases/history", { key: bert }, 404);
    // A version that was retired is no place to go back to.
    await setAlias(name, "production", three, carla);
    await act(name, one, "retire", carla);
    expect((await rollback(409)).detail).toContain("retired");
  });

  it("that are protected stand on approved versions only and take the right to release", async () => {
    const name = await newModel({ protected_aliases: ["beta"] });
    const draft = await addVersion(name);
    await setAlias(name, "beta", draft, anna, 403);
    expect((await setAlias(name, "beta", draft, carla, 409)).current_state).toBe("draft");
    await setAlias(name, "production", draft, carla, 409);
    expect((await setAlias(name, "staging", draft, bert, 403)).detail).toContain("models:write");
    await setAlias(name, "staging", draft, anna);
    const stranger = (await ledger.key()).key;
    expect((await setAlias(name, "staging", draft, stranger, 404)).detail).toContain(
      "you may move",
    );
    const { detail } = await ledger.call(
      `/api/models/${name}`,
      { method: "PATCH", key: anna, json: { protected_aliases: ["staging"] } },
      409,
    );
    expect(detail).toContain("carries staging");
  });

  it("are moved by one of two who saw the same, and by both in turn who did not look", async () => {
    const name = await newModel();
    const [one, two, three] = [await approved(name), await approved(name), await approved(name)];
    const first = await ledger.request(`/api/models/${name}/aliases/production`, {
      method: "PUT",
      key: carla,
      json: { version: one },
    });
    const etag = first.headers.get("ETag") ?? "";
    const race = (version: number, headers: HeadersInit) =>
      ledger.request(`/api/models/${name}/versions/${version}/release`, {
        key: carla,
        json: {},
        headers,
      });
    const seen = await Promise.all([two, three].map((v) => race(v, { "If-Match": etag })));
    expect(seen.map((r) => r.status).sort()).toEqual([200, 412]);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        setAlias(name, "production", [one, two, three][i % 3] ?? 0, carla),
      ),
    );
    const states = await Promise.all([one, two, three].map((v) => stateOf(name, v)));
    expect(states.sort()).toEqual(["approved", "approved", "released"]);
    // Every move begins where the one before ended.
    const { items } = await ledger.call(
      `/api/models/${name}/aliases/production/history?limit=200`,
      { key: anna },
    );
    const moves: { from_version: number; version: number }[] = items.reverse();
    for (const [i, m] of moves.entries())
      expect(m.from_version).toBe(moves[i - 1]?.version ?? null);
  });
});

describe("looking", () => {
  it("filters, orders and pages models", async () => {
    const other = await freshLedger();
    const { key } = await other.key({ user: "dora" });
    const admin = (await other.key({ role: "admin" })).key;
    for (const [i, name] of ["alpha", "beta", "gamma", "delta"].entries()) {
      await other.call("/api/models", {
        key,
        json: { name, tags: { kind: i % 2 ? "style" : "person" }, task_type: "text-to-image" },
      });
      if (i === 3) continue;
      const { task_id } = await other.call("/api/tasks", { key, json: { task_name: "t" } });
      await other.call(`/api/tasks/${task_id}/finish`, {
        key,
        json: { status: "success", final_loss: i / 10 },
      });
      const weight = await upload(other, key, task_id, lora());
      await other.call(`/api/models/${name}/versions`, { key, json: { weight_id: weight.id } });
    }
    await other.call("/api/models/beta/versions/1/submit", { key, json: {} });
    await other.call("/api/models/beta/versions/1/approve", { key: admin, json: {} });
    await other.call("/api/models/beta/versions/1/release", { key: admin, json: {} });
    const find = async (filter: string, order = "") =>
      (
        await other.call(`/api/models?filter=${encodeURIComponent(filter)}&order_by=${order}`, {
          key,
        })
      ).items.map((m: { name: string }) => m.name);
    expect(await find("tags.kind = 'style'")).toEqual(["delta", "beta"]);
    expect(await find("aliases.production = 1")).toEqual(["beta"]);
    expect(await find("state = 'released' and base_arch = 'sdxl' and rank = 4")).toEqual(["beta"]);
    expect(await find("user = 'dora' and versions = 0")).toEqual(["delta"]);
    expect(await find("final_loss < 0.15", "-final_loss")).toEqual(["beta", "alpha"]);
    const { position } = await other.call("/api/models?filter=lora_rank%20%3D%204", { key }, 422);
    expect(position).toBe(1);
    const names: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: { items: { name: string }[]; next_cursor: string | null } = await other.call(
        `/api/models?limit=1&order_by=name${cursor && `&cursor=${cursor}`}`,
        { key },
      );
      names.push(...page.items.map((m) => m.name));
      cursor = page.next_cursor;
    }
    expect(names).toEqual(["alpha", "beta", "delta", "gamma"]);
  });
});
