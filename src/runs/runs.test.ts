import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger, unique } from "../../test/harness.ts";

let ledger: Ledger;
let member: Awaited<ReturnType<Ledger["key"]>>;

beforeAll(async () => {
  ledger = await freshLedger();
  member = await ledger.key();
});

const call = (path: string, sent: Parameters<Ledger["call"]>[1] = {}, status = 200) =>
  ledger.call(path, { key: member.key, ...sent }, status);

const count = async (table: string) => {
  const [row] = await ledger.db.all<{ n: number }>(sql.raw(`select count(*) as n from ${table}`));
  return row?.n ?? 0;
};

const toml = `# my LoRA\r
[model_arguments]\r
pretrained_model_name_or_path = "./sd-models/sd_xl_base_1.0.safetensors"\r
[additional_network_arguments]\r
network_module = "lycoris.kohya"\r
network_dim = 32\r
network_alpha = 16\r
network_args = [ "conv_dim=8", "conv_alpha=4", "algo=locon", "dropout=0.1",]\r
[training]\r
output_name = "aki"\r
output_dir = "./output"\r
train_data_dir = "./train/aki"\r
train_batch_size = 2\r
max_train_epochs = 10\r
learning_rate = "1e-4"\r
optimizer_type = "AdamW8bit"\r
mixed_precision = "bf16"\r
wandb_api_key = "0123456789abcdef0123456789abcdef01234567"\r
`;

describe("registering", () => {
  it("takes the founding document's flat payload, nulls and all", async () => {
    const answer = await call("/api/tasks", {
      json: {
        task_name: "first",
        model_type: "stable-diffusion",
        base_model_path: "/models/sd15.safetensors",
        lora_rank: 64,
        lora_alpha: 32,
        dropout: null,
        batch_size: 2,
        epochs: 10,
        learning_rate: 0.0001,
        data_dir: "/data",
        output_dir: "/out",
        mixed_precision: "fp16",
        experiment_group: null,
      },
    });
    expect(answer.task_id).toBeGreaterThan(0);
    expect(answer.task).toMatchObject({
      id: answer.task_id,
      lora_rank: 64,
      status: "pending",
      user_id: member.userId,
      attempt: 0,
    });
    expect(answer.task.created_at).toMatch(/Z$/);
  });

  it("reads the trainer's file out of JSON, explicit fields winning", async () => {
    const answer = await call("/api/tasks", {
      json: {
        config: { text: toml, path: "cfg/aki.toml" },
        command: [
          "accelerate",
          "launch",
          "sdxl_train_network.py",
          "--wandb_api_key",
          "0123456789abcdef0123456789abcdef01234567",
        ],
        batch_size: 4,
        favourite_colour: "red",
      },
    });
    expect(answer.task).toMatchObject({
      task_name: "aki",
      trainer: "kohya",
      lora_rank: 32,
      lora_alpha: 16,
      conv_lora_rank: 8,
      conv_alpha: 4,
      dropout: 0.1,
      network_algo: "locon",
      batch_size: 4,
      epochs: 10,
      learning_rate: 1e-4,
      base_arch: "sdxl",
      model_type: "stable-diffusion",
      additional_args: { favourite_colour: "red" },
    });
    expect(JSON.stringify(answer)).not.toContain("0123456789abcdef");
    expect(answer.warnings.map((w: { code: string }) => w.code)).toContain("secret-redacted");
    const one = await call(`/api/tasks/${answer.task_id}`);
    expect(one.config_snapshot.training.output_name ?? one.config_snapshot.output_name).toBe("aki");
  });

  it("reads a run that has no file from its command, without its secrets", async () => {
    const token = "0123456789abcdef0123456789abcdef01234567";
    const { task_id, task, warnings } = await call("/api/tasks", {
      json: {
        command: [
          ...["accelerate", "launch", "train_text_to_image_lora.py", "--rank", "16"],
          ...["--learning_rate=2e-4", "--output_dir", "/out/dog", "--hub_token", token],
        ],
      },
    });
    expect(task).toMatchObject({
      task_name: "dog",
      trainer: "diffusers",
      lora_rank: 16,
      learning_rate: 2e-4,
      base_arch: "sd15",
    });
    expect(task.defaulted_fields).toContain("batch_size");
    expect(warnings.map((w: { code: string }) => w.code)).toEqual(["secret-redacted"]);
    const one = await call(`/api/tasks/${task_id}`);
    expect(one.config_snapshot).toMatchObject({ rank: 16, hub_token: "[redacted]" });
    const { items } = await call(
      `/api/tasks?filter=${encodeURIComponent(`config.rank = 16 and id = ${task_id}`)}`,
    );
    expect(items).toHaveLength(1);
    const none = await ledger.request(`/api/tasks/${task_id}/config`, { key: member.key });
    expect(none.status).toBe(404);
  });

  it("takes a shell script as the config, and words of any length within a bound", async () => {
    const token = "0123456789abcdef0123456789abcdef01234567";
    const text = `#!/bin/bash\nexport HF_TOKEN=hf_${"a1B2".repeat(9)}\nRANK=16\naccelerate launch flux_train_network.py --network_dim $RANK --network_module networks.lora_flux \\\n  --huggingface_token ${token} --output_name aki\n`;
    const { task_id, task } = await call("/api/tasks", {
      json: { config: { text, format: "text", path: "train.sh" } },
    });
    expect(task).toMatchObject({ task_name: "aki", base_arch: "flux", lora_rank: 16 });
    const one = await call(`/api/tasks/${task_id}`);
    expect(one.config_snapshot).toMatchObject({ network_dim: 16, output_name: "aki" });
    const file = await ledger.request(`/api/tasks/${task_id}/config`, { key: member.key });
    const kept = await file.text();
    expect(kept).toContain("--network_dim $RANK");
    for (const secret of [token, "a1B2a1B2"])
      expect(`${kept}${JSON.stringify(one)}`).not.toContain(secret);

    const register = (length: number) =>
      ledger.request("/api/tasks", {
        key: member.key,
        json: { command: ["python", "train.py", "--prompts", "x".repeat(length)] },
      });
    expect((await register(60_000)).status).toBe(200);
    expect((await register(200_000)).status).toBe(422);
  });

  it("says where each column was read from, until a person states it", async () => {
    const { task_id, field_sources } = await call("/api/tasks", {
      json: {
        config: {
          text: 'dit = "m"\nnetwork_module = "networks.lora_wan"\nnetwork_dim = 8\noutput_name = "aki"\n',
          path: "a.toml",
        },
        dataset_file: { text: '[[datasets]]\nimage_directory = "/d"\nbatch_size = 2\n' },
        command: [
          ...["accelerate", "launch", "--mixed_precision", "bf16", "wan_train_network.py"],
          ...["--config_file", "a.toml", "--learning_rate=1e-4"],
        ],
        // As the file has it, and otherwise.
        task_name: "aki",
        seed: 5,
      },
    });
    expect(field_sources).toMatchObject({
      task_name: { from: "file", key: "output_name" },
      lora_rank: { from: "file", key: "network_dim" },
      learning_rate: { from: "argument", name: "learning_rate" },
      mixed_precision: { from: "launcher", name: "--mixed_precision" },
      batch_size: { from: "file", key: "dataset_file.batch_size" },
      lora_alpha: { from: "default" },
    });
    expect(field_sources).not.toHaveProperty("seed");
    const path = `/api/tasks/${task_id}`;
    expect((await call(path)).field_sources).toEqual(field_sources);

    await call(path, { method: "PATCH", json: { lora_rank: 16, lora_alpha: 4, notes: "mine" } });
    const { lora_rank, lora_alpha, ...kept } = field_sources;
    const changed = await call(path);
    expect(changed.field_sources).toEqual(kept);
    expect(changed.defaulted_fields).not.toContain("lora_alpha");
    expect(changed.defaulted_fields).toContain("optimizer");
    // A change that is refused forgets nothing.
    const refused = await ledger.request(path, {
      ...{ method: "PATCH", key: member.key, json: { learning_rate: 1 } },
      headers: { "If-Match": '"999"' },
    });
    expect(refused.status).toBe(412);
    // The refusal names who was first.
    expect(await refused.json()).toMatchObject({
      code: "changed-meanwhile",
      by: expect.stringMatching(/^user-/),
    });
    expect((await call(path)).field_sources).toEqual(kept);
    const own = await call("/api/tasks", { json: { task_name: "own", lora_rank: 4 } });
    expect(own.field_sources).toEqual({});
    const named = await ledger.request("/api/tasks", {
      ...{ key: member.key, json: { task_name: "x", field_sources: {} } },
    });
    expect(named.status).toBe(422);
  });

  it("keeps the separate dataset file beside the trainer's, and reads both", async () => {
    const data =
      '# mine\r\n[[datasets]]\r\nbatch_size = 4\r\n[[datasets.subsets]]\r\nimage_dir = "/data/aki"\r\n';
    const { task_id, task } = await call("/api/tasks", {
      json: {
        config: { text: toml },
        dataset_file: { text: `${data}hf_token = "hf_${"a1B2".repeat(9)}"\r\n`, path: "d.toml" },
      },
    });
    expect(task).toMatchObject({ lora_rank: 32, batch_size: 4, data_dir: "/data/aki" });
    const again = await call(`/api/tasks/${task_id}/reproduce`);
    expect(atob(again.dataset_file.base64)).toBe(`${data}hf_token = "[redacted]"\r\n`);
    expect(again).toMatchObject({ dataset_file: { path: "d.toml" } });
    expect(again.redacted).toContain("dataset_file");
    const filter = `config.dataset_file.datasets[0].subsets[0].image_dir = '/data/aki' and id = ${task_id}`;
    const { items } = await call(`/api/tasks?filter=${encodeURIComponent(filter)}`);
    expect(items).toHaveLength(1);

    const unread = await call("/api/tasks", {
      json: { config: { text: '[broken\nnetwork_dim = "1', format: "text", path: "my.toml" } },
    });
    expect(unread.task).toMatchObject({ task_name: "my", trainer: "unknown", lora_rank: null });

    const alone = await call("/api/tasks", {
      json: { task_name: "alone", dataset_file: { base64: btoa(data) } },
    });
    expect(alone.task.trainer).toBe("unknown");
    const kept = await call(`/api/tasks/${alone.task_id}/reproduce`);
    expect(kept).toMatchObject({ config: null, dataset_file: { base64: btoa(data), path: null } });
  });

  it("takes the raw file with whatever content type, and gives it back byte for byte", async () => {
    const plain = `\ufeff${toml.replace(/wandb.*\r\n/, "")}`;
    const bytes = new TextEncoder().encode(plain);
    for (const type of [
      "application/toml",
      "text/plain",
      "application/octet-stream",
      "application/x-www-form-urlencoded",
      "",
    ]) {
      const headers: Record<string, string> = type ? { "Content-Type": type } : {};
      const { task_id, task } = await call("/api/tasks?filename=aki.toml&experiment_group=g1", {
        method: "POST",
        body: bytes,
        headers,
      });
      expect(task).toMatchObject({ lora_rank: 32, experiment_group: "g1" });
      const back = await ledger.request(`/api/tasks/${task_id}/config`, { key: member.key });
      expect(new Uint8Array(await back.arrayBuffer())).toEqual(bytes);
    }
  });

  it("keeps a file in GB18030 as it is and says so", async () => {
    // "训练" in GB18030 within a comment.
    const bytes = new Uint8Array([
      ...new TextEncoder().encode('network_dim = 8\npretrained_model_name_or_path = "m"\n# '),
      0xd1,
      0xb5,
      0xc1,
      0xb7,
      0x0a,
    ]);
    const { task_id, task, warnings } = await call("/api/tasks", {
      method: "POST",
      body: bytes,
      headers: { "Content-Type": "application/toml" },
    });
    expect(task.lora_rank).toBe(8);
    expect(warnings.some((w: { message: string }) => /GB18030/i.test(w.message))).toBe(true);
    const back = await ledger.request(`/api/tasks/${task_id}/config`, { key: member.key });
    expect(new Uint8Array(await back.arrayBuffer())).toEqual(bytes);
  });

  it("says when a file is not recognised, and keeps it", async () => {
    const { task, warnings } = await call("/api/tasks?filename=notes.txt", {
      method: "POST",
      body: "just some words\n",
      headers: { "Content-Type": "text/plain" },
    });
    expect(task.trainer).toBe("unknown");
    expect(task.task_name).toBe("notes");
    expect(warnings.map((w: { message: string }) => w.message).join()).toMatch(
      /not recognised, kept as it is/i,
    );
  });

  it("finds the first task again under one Idempotency-Key, and refuses another body", async () => {
    const headers = { "Idempotency-Key": unique("key-") };
    const before = await count("training_task");
    const answers = await Promise.all(
      Array.from({ length: 6 }, () =>
        call("/api/tasks", {
          json: { task_name: "once", datasets: [{ name: "d", image_count: 3 }] },
          headers,
        }),
      ),
    );
    expect(new Set(answers.map((a) => a.task_id)).size).toBe(1);
    expect(await count("training_task")).toBe(before + 1);
    const refused = await call("/api/tasks", { json: { task_name: "other" }, headers }, 422);
    expect(refused.type).toBe("urn:lora-ledger:idempotency-key-reused");
    const other = await ledger.key();
    const elsewhere = await call("/api/tasks", {
      json: { task_name: "other" },
      headers,
      key: other.key,
    });
    expect(elsewhere.task_id).not.toBe(answers[0].task_id);
    await ledger.db.run(
      sql`update training_task set created_at = '2020-01-01T00:00:00.000Z' where id = ${answers[0].task_id}`,
    );
    const later = await call("/api/tasks", { json: { task_name: "other" }, headers });
    expect(later.task_id).not.toBe(answers[0].task_id);
  });

  it("costs one round trip, at most 10 rows read and 12 written (the audit's 3 apart), 3 more a dataset", async () => {
    await call("/api/me");
    const plain = costOf(
      await ledger.request("/api/tasks", { key: member.key, json: { config: { text: toml } } }),
    );
    expect(plain.trips).toBe(1);
    expect(plain.read).toBeLessThanOrEqual(10);
    expect(plain.written).toBeLessThanOrEqual(12 + 3);
    const datasets = [1, 2, 3].map((n) => ({
      name: unique("set"),
      image_count: n,
      tag_distribution: { a: n },
    }));
    const withData = costOf(
      await ledger.request("/api/tasks", {
        key: member.key,
        json: { config: { text: toml }, datasets },
      }),
    );
    expect(withData.trips).toBe(1);
    expect(withData.written - plain.written).toBeLessThanOrEqual(9);
  });

  it("refuses what is wrong by name, and stores nothing", async () => {
    const before = await count("training_task");
    const faults = async (json: unknown, status = 422) => {
      const problem = await call("/api/tasks", { json }, status);
      expect(problem).toMatchObject({
        status,
        title: expect.any(String),
        detail: expect.any(String),
      });
      return (problem.errors ?? []).map((e: { path: string }) => e.path);
    };
    expect(await faults({ task_name: 7 })).toEqual(["task_name"]);
    expect(await faults({ lora_rank: "64" })).toEqual(["lora_rank"]);
    expect(await faults({ lora_rank: 1.5, dropout: 2, mixed_precision: "fp8" })).toEqual([
      "lora_rank",
      "dropout",
      "mixed_precision",
    ]);
    for (const field of [
      "id",
      "user_id",
      "created_at",
      "updated_at",
      "deleted_at",
      "attempt",
      "heartbeat_at",
      "cost",
      "status",
    ])
      expect(await faults({ task_name: "x", [field]: 1 })).toEqual([field]);
    expect(await faults({ import: { source: "x", colour: 1 } })).toEqual(["import.colour"]);
    expect(await faults([1])).toBeDefined();
    await call(
      "/api/tasks",
      { method: "POST", body: "{", headers: { "Content-Type": "application/json" } },
      400,
    );
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    await call(
      "/api/tasks",
      {
        method: "POST",
        body: `{"additional":${deep}}`,
        headers: { "Content-Type": "application/json" },
      },
      422,
    );
    await call(
      "/api/tasks",
      { method: "POST", body: "x".repeat(10_000_000), headers: { "Content-Type": "text/plain" } },
      413,
    );
    await call(
      "/api/tasks",
      {
        method: "POST",
        body: new Uint8Array([1, 0, 2, 0]),
        headers: { "Content-Type": "application/toml" },
      },
      422,
    );
    await call(
      "/api/tasks",
      { method: "POST", body: "", headers: { "Content-Type": "application/toml" } },
      422,
    );
    const broken = await call(
      "/api/tasks?filename=a.toml",
      {
        method: "POST",
        body: 'a = 1\nb = "open\nc = 3\n',
        headers: { "Content-Type": "text/plain" },
      },
      422,
    );
    expect(broken.errors[0].path).toMatch(/line 2, column \d+/);
    const bomb = [
      "a: &a [x,x,x,x,x,x,x,x,x]",
      ..."bcdefghij"
        .split("")
        .map((c, i) => `${c}: &${c} [${Array(9).fill(`*${"abcdefghij"[i]}`).join(",")}]`),
    ].join("\n");
    const bombed = await ledger.request("/api/tasks?filename=b.yaml", {
      key: member.key,
      method: "POST",
      body: bomb,
      headers: { "Content-Type": "application/yaml" },
    });
    expect(bombed.status).toBe(422);
    await bombed.body?.cancel();
    expect(await count("training_task")).toBe(before);
  });

  it("takes an import's status, times and loss", async () => {
    const { task } = await call("/api/tasks", {
      json: {
        task_name: "old",
        import: {
          source: "aki.safetensors",
          status: "success",
          started_at: "2024-01-01T00:00:00Z",
          finished_at: "2024-01-01T01:00:00Z",
          final_loss: 0.08,
        },
      },
    });
    expect(task).toMatchObject({
      status: "success",
      final_loss: 0.08,
      import_source: "aki.safetensors",
      total_duration_sec: 3600,
    });
  });
});

describe("listing", () => {
  it("pages by cursor, newest first, stable while tasks are added", async () => {
    const own = await freshLedger();
    const { key } = await own.key();
    const register = async (n: number) =>
      (await own.call("/api/tasks", { key, json: { task_name: `t${n}` } })).task_id;
    for (let n = 0; n < 7; n++) await register(n);
    const first = await own.call("/api/tasks?limit=3", { key });
    await register(8);
    const second = await own.call(`/api/tasks?limit=3&cursor=${first.next_cursor}`, { key });
    const third = await own.call(`/api/tasks?limit=3&cursor=${second.next_cursor}`, { key });
    expect([...first.items, ...second.items, ...third.items].map((t) => t.task_name)).toEqual([
      "t6",
      "t5",
      "t4",
      "t3",
      "t2",
      "t1",
      "t0",
    ]);
    expect(third.next_cursor).toBeNull();
    await own.call(`/api/tasks?status=success&cursor=${first.next_cursor}`, { key }, 422);
    await own.call("/api/tasks?cursor=forged", { key }, 422);
    await own.call("/api/tasks?limit=0", { key }, 422);
    await own.call("/api/tasks?colour=red", { key }, 422);
  });

  it("filters by status and by user", async () => {
    const own = await freshLedger();
    const a = await own.key({ user: "anna" });
    const b = await own.key({ user: "bert" });
    const { task_id } = await own.call("/api/tasks", { key: a.key, json: { task_name: "a1" } });
    await own.call("/api/tasks", { key: b.key, json: { task_name: "b1" } });
    await own.call(`/api/tasks/${task_id}/finish`, { key: a.key, json: { status: "success" } });
    const names = async (query: string) =>
      (await own.call(`/api/tasks?${query}`, { key: b.key })).items.map(
        (t: { task_name: string }) => t.task_name,
      );
    expect(await names("status=success")).toEqual(["a1"]);
    expect(await names("user=me")).toEqual(["b1"]);
    expect(await names("user=anna")).toEqual(["a1"]);
    expect(await names("user=nobody")).toEqual([]);
  });
});

describe("changing", () => {
  it("patches fields, empties them with null, and heeds If-Match", async () => {
    const { task_id } = await call("/api/tasks", { json: { task_name: "p", notes: "n" } });
    const got = await ledger.request(`/api/tasks/${task_id}`, { key: member.key });
    const etag = got.headers.get("ETag") ?? "";
    await got.body?.cancel();
    const patched = await call(`/api/tasks/${task_id}`, {
      method: "PATCH",
      json: { notes: null, tags: { kind: "style" } },
      headers: { "If-Match": etag },
    });
    expect(patched).toMatchObject({ notes: null, tags: { kind: "style" }, version: 2 });
    const late = await call(
      `/api/tasks/${task_id}`,
      { method: "PATCH", json: { notes: "x" }, headers: { "If-Match": etag } },
      412,
    );
    expect(late.version).toBe(2);
    for (const json of [
      { status: "success" },
      { colour: 1 },
      { lora_rank: 0 },
      { task_name: null },
    ])
      await call(`/api/tasks/${task_id}`, { method: "PATCH", json }, 422);
    const other = await ledger.key();
    await call(
      `/api/tasks/${task_id}`,
      { method: "PATCH", json: { notes: "theirs" }, key: other.key },
      404,
    );
  });

  it("soft-deletes, hides and restores", async () => {
    const { task_id } = await call("/api/tasks", {
      json: { task_name: "gone", config: { text: toml } },
    });
    await call(`/api/tasks/${task_id}`, { method: "DELETE" }, 204);
    for (const path of ["", "/config", "/logs", "/reproduce", "/datasets"])
      await call(`/api/tasks/${task_id}${path}`, {}, 404);
    await call(`/api/tasks/${task_id}/heartbeat`, { json: { seq: 1 } }, 404);
    await call(`/api/tasks/${task_id}`, { method: "DELETE" }, 404);
    const trash = await call("/api/tasks?deleted=true");
    expect(trash.items.map((t: { id: number }) => t.id)).toContain(task_id);
    const live = await call("/api/tasks?limit=200");
    expect(live.items.map((t: { id: number }) => t.id)).not.toContain(task_id);
    const back = await call(`/api/tasks/${task_id}/restore`, { method: "POST" });
    expect(back).toMatchObject({ id: task_id, deleted_at: null });
    await call(`/api/tasks/${task_id}`);
    await call(`/api/tasks/${task_id}/heartbeat`, { json: { seq: 1 } });
    await call(`/api/tasks/${task_id}`, { method: "DELETE" }, 409);
  });

  it("adds data facts later, each recorded once by hash", async () => {
    const { task_id } = await call("/api/tasks", { json: { task_name: "d1" } });
    const facts = {
      name: "10_aki",
      source_path: "/a",
      image_count: 24,
      repeats: 10,
      tag_distribution: { "1girl": 24 },
      content_hash: unique("h"),
    };
    await call(`/api/tasks/${task_id}/datasets`, { method: "PUT", json: { datasets: [facts] } });
    const before = await count("dataset");
    const { task_id: second } = await call("/api/tasks", {
      json: { task_name: "d2", datasets: [{ ...facts, source_path: "/b" }] },
    });
    await call(`/api/tasks/${task_id}/datasets`, { method: "PUT", json: { datasets: [facts] } });
    expect(await count("dataset")).toBe(before);
    const { datasets } = await call(`/api/tasks/${second}/datasets`);
    expect(datasets).toEqual([expect.objectContaining({ ...facts, source_path: "/b" })]);
    const { datasets: again } = await call(`/api/tasks/${task_id}/reproduce`);
    expect(again).toEqual([expect.objectContaining(facts)]);
    const other = await ledger.key();
    await call(
      `/api/tasks/${task_id}/datasets`,
      { method: "PUT", json: { datasets: [{ name: "x" }] }, key: other.key },
      404,
    );
    expect(await count("dataset")).toBe(before);
    await call(
      `/api/tasks/${task_id}/datasets`,
      { method: "PUT", json: { datasets: [{ name: "x", image_count: -1 }] } },
      422,
    );
  });
});
