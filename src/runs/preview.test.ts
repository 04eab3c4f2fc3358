import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../test/harness.ts";
import { expectedOf } from "./expected.ts";

let ledger: Ledger;
let anna: string;

beforeAll(async () => {
  ledger = await freshLedger();
  anna = (await ledger.key({ user: "anna" })).key;
});

const preview = (json: object, status = 200) =>
  ledger.call("/api/tasks/preview", { key: anna, json }, status);
const kohya = `pretrained_model_name_or_path = "./sd_xl_base_1.0.safetensors"
network_module = "networks.lora"
network_dim = 32
network_alpha = 16
train_batch_size = 4
max_train_steps = 1000
learning_rate = 1e-4
`;
const command = ["accelerate", "launch", "sdxl_train_network.py", "--config_file", "a.toml"];
const config = (text: string) => ({ config: { text, path: "a.toml" } });

describe("templates", () => {
  type Item = { trainer: string; arch: string };
  const listed = async (query = "") =>
    ledger.call(`/api/tasks/templates${query}`, { key: anna }) as Promise<{
      items: Item[];
      settings: string[];
      // biome-ignore lint/suspicious/noExplicitAny: its parts are looked at one by one.
      template: any;
    }>;

  it("are each recognised by the reader as the trainer's and the architecture's run", async () => {
    const { items, template } = await listed();
    expect(template).toBeNull();
    expect(new Set(items.map(({ trainer }) => trainer)).size).toBeGreaterThanOrEqual(21);
    for (const { trainer, arch } of items) {
      const query = `?trainer=${trainer}&arch=${encodeURIComponent(arch)}`;
      const { template: one } = await listed(query);
      const { format, path, text, dataset_file, command } = one;
      const read = await preview({ config: { text, format, path }, dataset_file, command });
      const seen = `${trainer} ${arch}`;
      expect(read.trainer, seen).toBe(trainer);
      expect(read.kind, seen).toBe("run");
      expect(read.fields.lora_rank, seen).toBe(16);
      // LoRA_Easy_Training_Scripts has no word for Stable Diffusion 1.5: its switches are for the others.
      if (seen !== "lora-easy-training-scripts sd15")
        expect(read.fields.base_arch, seen).toBe(arch.split("/")[0]);
      expect(text, seen).toContain("FILL IN: ");
    }
  });

  it("come with the settings that are read of the trainer's files", async () => {
    expect((await listed("?trainer=kohya")).settings).toEqual(
      expect.arrayContaining(["network_dim", "learning_rate", "max_train_steps"]),
    );
    expect((await listed("?trainer=ltx-trainer")).settings).toContain("optimization.learning_rate");
    expect(await listed("?trainer=nobody")).toEqual({ items: [], settings: [], template: null });
    await ledger.call("/api/tasks/templates?trainer=kohya&arch=x", { key: anna }, 404);
    await ledger.call("/api/tasks/templates?arch=sdxl", { key: anna }, 404);
    await ledger.call("/api/tasks/templates?more=1", { key: anna }, 422);
  });
});

describe("a preview", () => {
  it("reads as registering reads, and stores nothing", async () => {
    const sent = { ...config(kohya), command };
    const read = await preview(sent);
    const { task, field_sources, warnings } = await ledger.call("/api/tasks", {
      key: anna,
      json: sent,
    });
    expect(read).toMatchObject({ trainer: "kohya", kind: "run", format: "toml", task_name: "a" });
    for (const [column, value] of Object.entries(read.fields))
      if (column !== "defaulted_fields") expect(task[column], column).toEqual(value);
    expect(read.field_sources).toEqual(field_sources);
    expect(read.warnings).toEqual(warnings);
    expect(read.expected).toEqual({ steps: 1000, images: 4000 });
    const before = await ledger.db.get(sql`select count(*) as n from training_task`);
    await preview(sent);
    expect(await ledger.db.get(sql`select count(*) as n from training_task`)).toEqual(before);
  });

  it("takes at most two round trips, also where stored dialects are asked", async () => {
    const text =
      'name = "own"\n[recognise]\nkeys = ["net.size"]\n[columns]\nlora_rank = { keys = ["net.size"] }\n';
    await ledger.call("/api/dialects", { key: anna, method: "PUT", json: { text } });
    const json = { config: { text: "net: {size: 24}", path: "a.yaml" } };
    // The first request checks the key as well.
    await preview(json);
    const response = await ledger.request("/api/tasks/preview", { key: anna, json });
    expect(await response.json()).toMatchObject({ trainer: "own", fields: { lora_rank: 24 } });
    expect(costOf(response).trips).toBeLessThanOrEqual(2);
  });

  it("names the place of a fault, and what is no training", async () => {
    const broken = await preview(config(`${kohya}network_dim = \n`), 422);
    expect(broken.errors[0].path).toMatch(/^config \(line 8, column \d+\)$/);
    const unknown = await preview({ config: { text: "some words\n" } });
    expect(unknown).toMatchObject({ trainer: "unknown", kind: "unknown", format: "text" });
    expect(unknown.warnings[0].code).toBe("not-recognised");
    expect(await preview({})).toMatchObject({ trainer: "unknown", expected: { steps: null } });
    await preview({ config: { text: "a", base64: "YQ==" } }, 422);
    await preview({ task_name: "x" }, 422);
    await preview({ images_per_epoch: 0 }, 422);
  });

  it("names secrets, of the files and of the command, and holds none of them", async () => {
    const secret = "0123456789abcdef0123456789abcdef01234567";
    const text = `${kohya}wandb_api_key = "${secret}"\n`;
    const json = { ...config(text), command: [...command, "--huggingface_token", secret] };
    const response = await ledger.request("/api/tasks/preview", { key: anna, json });
    const answer = await response.text();
    expect(answer).not.toContain(secret);
    expect(JSON.parse(answer).secrets).toMatchObject({
      config: [{ name: "wandb_api_key" }],
      command: [{ at: 6, name: "huggingface_token" }],
    });
  });

  it("takes 4 MB and no more, says that long files are not parsed, and shows markup as it is", async () => {
    const long = await preview(config(`# ${"x".repeat(3_900_000)}\n${kohya}`));
    expect(long).toMatchObject({ trainer: "unknown" });
    expect(long.warnings[0].message).toContain("larger than 500000 characters");
    await preview(config("x".repeat(4_300_000)), 413);
    const evil = `<img src=x onerror=alert(1)>`;
    const { fields } = await preview(config(`${kohya}output_name = "${evil}"\n`));
    expect(fields.task_name ?? evil).toBe(evil);
  });
});

describe("how long a run will be", () => {
  it("is its steps, or its epochs of so many images", () => {
    const base = { trainer: "kohya", model_type: "stable-diffusion", batch_size: 4 };
    const of = (fields: object, images: number | null = null, defaulted: string[] = []) =>
      expectedOf({ ...base, ...fields }, defaulted, images);
    expect(of({ max_steps: 100 })).toEqual({ steps: 100, images: 400 });
    expect(of({ max_steps: 100, gradient_accumulation_steps: 2 }).images).toBe(800);
    expect(of({ epochs: 10 })).toEqual({ steps: null, images: null });
    expect(of({ epochs: 10 }, 30)).toEqual({ steps: 80, images: 320 });
    // sd-scripts counts epochs where both are given; transformers' trainers count steps.
    expect(of({ epochs: 10, max_steps: 1600 }, 30).steps).toBe(80);
    expect(of({ epochs: 10, max_steps: 50, trainer: "axolotl" }, 30).steps).toBe(50);
    expect(of({ epochs: 10, max_steps: 1600 }, 30, ["epochs"]).steps).toBe(1600);
    expect(
      of({ trainer: "onetrainer", max_steps: 10, gradient_accumulation_steps: 8 }).images,
    ).toBe(40);
    expect(
      of({ trainer: "ai-toolkit", max_steps: 10, gradient_accumulation_steps: 8 }).images,
    ).toBeNull();
    expect(of({ max_steps: 10, model_type: "llm" })).toEqual({ steps: 10, images: null });
    expect(of({ max_steps: -1 }).steps).toBeNull();
  });
});

describe("speeds", () => {
  it("are medians by GPU of successful runs of one trainer and architecture", async () => {
    const ended = async (seconds: number, more: object = {}, status = "success") => {
      const { task_id: id } = await ledger.call("/api/tasks", {
        key: anna,
        json: {
          task_name: "r",
          trainer: "kohya",
          base_arch: "flux",
          gpu_info: "RTX 4090",
          hourly_price: 0.5,
          ...more,
        },
      });
      await ledger.call(`/api/tasks/${id}/heartbeat`, {
        key: anna,
        json: { seq: 1, logs: [{ step: 100, metrics: { loss: 1 } }] },
      });
      await ledger.call(`/api/tasks/${id}/finish`, { key: anna, json: { status } });
      await ledger.db.run(
        sql`update training_task set total_duration_sec = ${seconds} where id = ${id}`,
      );
    };
    for (const seconds of [100, 120, 900]) await ended(seconds);
    await ended(50, { gpu_info: "H100", hourly_price: null });
    await ended(5000, {}, "failed");
    await ended(5000, { base_arch: "sdxl" });
    const speeds = (query: string, status = 200) =>
      ledger.call(`/api/tasks/speeds?${query}`, { key: anna }, status);
    expect(await speeds("trainer=kohya&base_arch=flux")).toEqual({
      items: [
        { gpu_info: "RTX 4090", runs: 3, seconds_per_step: 1.2, hourly_price: 0.5 },
        { gpu_info: "H100", runs: 1, seconds_per_step: 0.5, hourly_price: null },
      ],
    });
    expect(await speeds("trainer=kohya")).toEqual({ items: [] });
    await speeds("base_arch=flux", 422);
  });
});
