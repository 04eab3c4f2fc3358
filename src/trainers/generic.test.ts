import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

describe("the founding document's YAML", () => {
  it("reads every column", () => {
    const read = recognise({
      text: `
task_name: style_a
model_type: stable-diffusion
base_model: /models/v1-5-pruned.safetensors
network_dim: 64
network_alpha: "32"
network_dropout: 0.05
conv_dim: 8
conv_alpha: 4
train_batch_size: 2
gradient_accumulation_steps: 4
max_train_epochs: 10
max_train_steps: 5000
learning_rate: 1e-4
optimizer: adamw
lr_scheduler: cosine
mixed_precision: fp16
train_data_dir: /data/a
metadata_path: /data/a/meta.json
output_dir: /out/a
logging_dir: /logs
sample_prompts: [a girl, a boy]
save_every_n_epochs: 1
caption_tag_delim: ","
network_algo: lora
seed: 7
resolution: 512
experiment_group: ablation
save_steps: 100
`,
    });
    expect(read).toMatchObject({ trainer: "generic", kind: "run", format: "yaml", warnings: [] });
    expect(read.fields).toEqual({
      task_name: "style_a",
      model_type: "stable-diffusion",
      base_model_path: "/models/v1-5-pruned.safetensors",
      lora_rank: 64,
      lora_alpha: 32,
      dropout: 0.05,
      conv_lora_rank: 8,
      conv_alpha: 4,
      batch_size: 2,
      gradient_accumulation_steps: 4,
      epochs: 10,
      max_steps: 5000,
      learning_rate: 1e-4,
      optimizer: "adamw",
      scheduler: "cosine",
      mixed_precision: "fp16",
      data_dir: "/data/a",
      metadata_path: "/data/a/meta.json",
      output_dir: "/out/a",
      log_dir: "/logs",
      sample_prompts: "a girl\na boy",
      save_every_n_epochs: 1,
      caption_tag_delim: ",",
      base_arch: "sd15",
      network_algo: "lora",
      seed: 7,
      resolution: "512",
      experiment_group: "ablation",
    });
    expect(read.defaults).toEqual([]);
    expect(read.config).toMatchObject({ save_steps: 100 });
  });

  it("knows its other spellings and takes nulls for unset", () => {
    const { trainer, fields } = recognise({
      text: "task_name: chat\nmodel_type: llm\nbase_model_path: Qwen/Qwen3-4B\nlora_rank: 16\nlora_alpha: 32\ndropout:\nbatch_size: 4\nepochs: 2.5\nlearning_rate: '2e-5'\nmixed_precision: no\ndata_dir: ''\n",
    });
    expect(trainer).toBe("generic");
    expect(fields).toEqual({
      task_name: "chat",
      model_type: "llm",
      base_model_path: "Qwen/Qwen3-4B",
      lora_rank: 16,
      lora_alpha: 32,
      batch_size: 4,
      epochs: 2.5,
      learning_rate: 2e-5,
      mixed_precision: "no",
      base_arch: "llm",
    });
  });

  it("reads no rank of a LoKr whose number stands for the whole matrix, in any dialect", () => {
    const read = recognise({
      text: "base_model: m\nnetwork_algo: lokr\nlora_rank: 20000\nbase_arch: SDXL 1.0\n",
    });
    expect(read.fields).toEqual({ base_model_path: "m", network_algo: "lokr", base_arch: "sdxl" });
    expect(read.warnings.map(({ code }) => code)).toEqual(["full-rank"]);
    const mine = "base_model: m\nlora_rank: 4\nbase_arch: My_Own\n";
    expect(recognise({ text: mine }).fields.base_arch).toBe("My_Own");
  });

  it("takes it as TOML and JSON too", () => {
    expect(recognise({ text: 'base_model = "m"\nlora_rank = 4\n' }).trainer).toBe("generic");
    expect(recognise({ text: '{"base_model": "m", "lora_rank": 4}' }).trainer).toBe("generic");
  });
});

describe("what is not recognised", () => {
  it("is kept as it is", () => {
    for (const text of ["", "hello\nworld", "a = 1\n", '{"constructor": {"x": 1}}', "[1, 2]"]) {
      const read = recognise({ text });
      expect(read).toMatchObject({ trainer: "unknown", kind: "unknown", fields: {}, defaults: [] });
      expect(read.warnings).toEqual([
        {
          code: "not-recognised",
          message: expect.stringContaining("Not recognised, kept as it is"),
        },
      ]);
    }
    expect(recognise({ text: "hello" })).toMatchObject({ format: "text", config: null });
    expect(recognise({ text: "a = 1\n" })).toMatchObject({ format: "toml", config: { a: 1 } });
  });

  it("is no trap for names of JavaScript's own", () => {
    for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
      const files = [
        `job: x\nconfig:\n  process:\n    - train: {}\n      network: {type: ${name}}\n      model: {arch: ${name}}\n`,
        `{"LoRA_type": "${name}"}`,
        `{"training_method": "${name}", "base_model_name": "m", "model_type": "${name}"}`,
        `dataset = "d"\n[model]\ntype = "${name}"\n[adapter]\nrank = 4\n`,
        `model_train_type = "${name}-lora"\nnetwork_module = "networks.lora_${name}"\n`,
        `dit = "m"\nnetwork_module = "networks.lora_${name}"\nmixed_precision = "${name}"\n`,
      ];
      for (const text of files)
        expect(
          Object.values(recognise({ text, command: ["python", `${name}.py`] }).fields).every(
            (value) => typeof value !== "function" && typeof value !== "object",
          ),
        ).toBe(true);
    }
  });
});
