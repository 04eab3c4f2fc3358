import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const yaml = `
model_name_or_path: org/Qwen-4B
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_alpha: 64
lora_dropout: 0.05
dataset: set_a, set_b
dataset_dir: /data
output_dir: saves/chat
logging_dir: saves/tb
run_name: chat-1
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 2.5
max_steps: 900
lr_scheduler_type: cosine
optim: adamw_8bit
bf16: true
seed: 7
save_strategy: epoch
`;

describe("LLaMA-Factory", () => {
  it("reads every column", () => {
    const read = recognise({ text: yaml });
    expect(read).toMatchObject({ trainer: "llama-factory", kind: "run" });
    expect(read.warnings.map(({ code }) => code)).toEqual(["several-data-dirs"]);
    expect(read.fields).toEqual({
      task_name: "chat-1",
      model_type: "llm",
      base_model_path: "org/Qwen-4B",
      lora_rank: 16,
      lora_alpha: 64,
      dropout: 0.05,
      batch_size: 2,
      gradient_accumulation_steps: 8,
      epochs: 2.5,
      max_steps: 900,
      learning_rate: 1e-4,
      optimizer: "adamw_8bit",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data/set_a, /data/set_b",
      metadata_path: "/data/dataset_info.json",
      output_dir: "saves/chat",
      log_dir: "saves/tb",
      save_every_n_epochs: 1,
      base_arch: "llm",
      network_algo: "lora",
      seed: 7,
    });
    expect(read.defaults.sort()).toEqual(["base_arch", "model_type"]);
  });

  it("gives its defaults where the file is silent", () => {
    const { fields, defaults } = recognise({
      text: "model_name_or_path: m\nstage: sft\ndataset: a\noutput_dir: saves/x\n",
    });
    expect(fields).toEqual({
      task_name: "x",
      model_type: "llm",
      base_model_path: "m",
      lora_rank: 8,
      lora_alpha: 16,
      dropout: 0,
      batch_size: 8,
      gradient_accumulation_steps: 1,
      epochs: 3,
      learning_rate: 5e-5,
      optimizer: "adamw_torch",
      scheduler: "linear",
      mixed_precision: "no",
      data_dir: "data/a",
      metadata_path: "data/dataset_info.json",
      output_dir: "saves/x",
      base_arch: "llm",
      network_algo: "lora",
      seed: 42,
    });
    expect(defaults).toContain("lora_alpha");
    expect(defaults).toContain("network_algo");
  });

  it("lets trailing key=value arguments override the file", () => {
    const { fields } = recognise({
      text: yaml,
      command: ["llamafactory-cli", "train", "a.yaml", "lora_rank=4", "learning_rate=2e-5"],
    });
    expect(fields).toMatchObject({ lora_rank: 4, learning_rate: 2e-5, epochs: 2.5 });
  });

  it("reads a run from arguments alone, and what it trains", () => {
    const run = (more: string) =>
      recognise({
        text: "",
        command:
          `llamafactory-cli train --stage sft --model_name_or_path m --dataset a --do_train True ${more}`.split(
            " ",
          ),
      });
    expect(run("--finetuning_type lora --quantization_bit 4").fields.network_algo).toBe("qlora");
    expect(run("--use_dora true --max_steps -1").fields.network_algo).toBe("dora");
    expect(run("--max_steps -1").fields).not.toHaveProperty("max_steps");
    expect(run("--finetuning_type full")).toMatchObject({ kind: "full-fine-tune" });
  });

  it("says what is no training", () => {
    const merge = recognise({
      text: "model_name_or_path: m\nadapter_name_or_path: a\nfinetuning_type: lora\nexport_dir: out\n",
    });
    expect(merge).toMatchObject({ trainer: "llama-factory", kind: "unknown" });
    expect(recognise({ text: '{"mine": {"file_name": "a.json"}}' })).toMatchObject({
      trainer: "llama-factory",
      kind: "dataset",
    });
  });
});

describe("LLaMA-Factory v1", () => {
  it("reads every column", () => {
    const read = recognise({
      text: `
model: org/Qwen-4B
model_class: llm
peft_config:
  name: lora
  r: 32
  lora_alpha: 64
  lora_dropout: 0.1
train_dataset: data/a.yaml
output_dir: ./outputs/chat
micro_batch_size: 2
learning_rate: 1.0e-4
num_train_epochs: 3
max_steps: 10
bf16: true
seed: 3
`,
    });
    expect(read).toMatchObject({ trainer: "llama-factory", kind: "run", warnings: [] });
    expect(read.fields).toEqual({
      task_name: "chat",
      model_type: "llm",
      base_model_path: "org/Qwen-4B",
      lora_rank: 32,
      lora_alpha: 64,
      dropout: 0.1,
      batch_size: 2,
      epochs: 3,
      max_steps: 10,
      learning_rate: 1e-4,
      mixed_precision: "bf16",
      data_dir: "data/a.yaml",
      output_dir: "./outputs/chat",
      base_arch: "llm",
      network_algo: "lora",
      seed: 3,
    });
  });

  it("gives its defaults where the file is silent", () => {
    const text = "model: org/m\npeft_config: {name: lora}\ntrain_dataset: d.yaml\n";
    const read = recognise({ text });
    expect(read.fields).toMatchObject({ mixed_precision: "bf16", seed: 42, epochs: 3 });
    expect(read.defaults).toEqual(expect.arrayContaining(["mixed_precision", "seed", "epochs"]));
    expect(recognise({ text: `${text}bf16: false\n` }).fields.mixed_precision).toBe("no");
    // Steps end the run before the default's epochs do.
    expect(recognise({ text: `${text}max_steps: 9\n` }).fields).not.toHaveProperty("epochs");
  });
});

describe("LLaMA-Factory's other methods, its form and launchers", () => {
  const oft =
    "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: oft\noft_block_size: 32\ndataset: a\n";

  it("gives OFT neither rank nor alpha", () => {
    const { fields } = recognise({ text: oft });
    expect(fields).toMatchObject({ network_algo: "oft", data_dir: "data/a" });
    expect(fields).not.toHaveProperty("lora_rank");
    expect(fields).not.toHaveProperty("lora_alpha");
  });

  it("takes the launcher's precision where no flag is set", () => {
    const text = oft.replace("oft\noft_block_size: 32", "lora");
    const start = (more: string) =>
      recognise({
        text,
        command: `accelerate launch --mixed_precision bf16 src/train.py a.yaml ${more}`
          .trim()
          .split(" "),
      });
    expect(start("").fields.mixed_precision).toBe("bf16");
    expect(start("").sources.mixed_precision).toMatchObject({ from: "launcher" });
    const flag = start("fp16=true");
    expect(flag.fields.mixed_precision).toBe("fp16");
    expect(flag.sources.mixed_precision).toEqual({ from: "argument", name: "fp16" });
    expect(recognise({ text }).sources.mixed_precision).toEqual({ from: "default" });
  });

  it("reads LLaMA Board's saved form, and nothing that it does not hold", () => {
    const form = (more = "") =>
      recognise({
        text: `top.finetuning_type: lora\ntop.model_name: Qwen3-4B\ntop.quantization_bit: none\ntrain.training_stage: Supervised Fine-Tuning\ntrain.batch_size: 2\ntrain.compute_type: bf16\ntrain.dataset: [a, b]\ntrain.dataset_dir: sets\ntrain.learning_rate: 5e-5\ntrain.lora_rank: 8\ntrain.lora_alpha: 16\ntrain.num_train_epochs: '3.0'\n${more}`,
      });
    const read = form();
    expect(read).toMatchObject({ trainer: "llama-factory", kind: "run" });
    expect(read.fields).toEqual({
      model_type: "llm",
      base_model_path: "Qwen3-4B",
      lora_rank: 8,
      lora_alpha: 16,
      batch_size: 2,
      epochs: 3,
      learning_rate: 5e-5,
      mixed_precision: "bf16",
      data_dir: "sets/a, sets/b",
      metadata_path: "sets/dataset_info.json",
      base_arch: "llm",
      network_algo: "lora",
      optimizer: "adamw_torch",
      seed: 42,
    });
    expect(read.defaults.sort()).toEqual(["base_arch", "model_type", "optimizer", "seed"]);
    expect(read.sources.lora_rank).toEqual({ from: "file", key: "train.lora_rank" });
    expect(form("train.use_dora: true\n").fields.network_algo).toBe("dora");
    const full = recognise({
      text: "top.finetuning_type: full\ntrain.training_stage: Pre-Training\ntrain.lora_rank: 8\n",
    });
    expect(full).toMatchObject({ trainer: "llama-factory", kind: "full-fine-tune" });
    expect(full.fields).not.toHaveProperty("lora_rank");
  });
});
