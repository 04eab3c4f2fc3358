import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

describe("axolotl", () => {
  it("reads every column", () => {
    const read = recognise({
      text: `
base_model: org/Llama-8B
model_type: LlamaForCausalLM
adapter: lora
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
datasets:
  - path: org/set_a
    type: alpaca
  - path: /data/b.jsonl
output_dir: ./outputs/chat
wandb_name: chat-1
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 3
max_steps: 500
optimizer: adamw_bnb_8bit
lr_scheduler: linear
learning_rate: 0.0002
bf16: true
seed: 5
saves_per_epoch: 1
use_tensorboard: true
`,
    });
    expect(read).toMatchObject({ trainer: "axolotl", kind: "run", format: "yaml" });
    expect(read.warnings.map(({ code }) => code)).toEqual(["several-data-dirs"]);
    expect(read.fields).toEqual({
      task_name: "chat-1",
      model_type: "llm",
      base_model_path: "org/Llama-8B",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0.05,
      batch_size: 2,
      gradient_accumulation_steps: 4,
      epochs: 3,
      max_steps: 500,
      learning_rate: 0.0002,
      optimizer: "adamw_bnb_8bit",
      scheduler: "linear",
      mixed_precision: "bf16",
      data_dir: "org/set_a, /data/b.jsonl",
      output_dir: "./outputs/chat",
      log_dir: "./outputs/chat/runs",
      save_every_n_epochs: 1,
      base_arch: "llm",
      network_algo: "lora",
      seed: 5,
    });
    expect(read.defaults.sort()).toEqual(["base_arch", "model_type"]);
  });

  it("takes bare keys for unset, and gives its defaults", () => {
    const read = recognise({
      text: "base_model: m\nadapter: qlora\nlora_r: 8\nlora_alpha: 16\nlora_dropout:\noutput_dir:\nlearning_rate: 1e-4\nmax_steps: -1\nbf16: auto\n",
    });
    expect(read.fields).toEqual({
      model_type: "llm",
      base_model_path: "m",
      seed: 42,
      lora_rank: 8,
      lora_alpha: 16,
      dropout: 0,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      epochs: 1,
      learning_rate: 1e-4,
      optimizer: "adamw_torch_fused",
      scheduler: "cosine",
      output_dir: "./model-out",
      save_every_n_epochs: 1,
      base_arch: "llm",
      network_algo: "qlora",
    });
    expect(read.warnings.map(({ code }) => code)).toEqual(["mixed-precision"]);
  });

  it("works out how often it accumulates from the whole batch", () => {
    const read = (more: string) =>
      recognise({ text: `base_model: m\nadapter: lora\nmicro_batch_size: 2\n${more}` });
    expect(read("batch_size: 16\n").fields).toMatchObject({
      batch_size: 2,
      gradient_accumulation_steps: 8,
    });
    expect(read("batch_size: 16\n").sources.gradient_accumulation_steps).toEqual({
      from: "file",
      key: "batch_size",
    });
    expect(read("batch_size: 16\ngradient_accumulation_steps: 4\n").fields).toMatchObject({
      gradient_accumulation_steps: 4,
    });
    expect(read("").defaults).toContain("gradient_accumulation_steps");
  });

  it("leaves files and commands of other LoRA scripts alone", () => {
    const file =
      "base_model: org/m\ndataset_path: d.jsonl\nlora_r: 8\nlora_alpha: 16\nmicro_batch_size: 1\n";
    expect(recognise({ text: file }).trainer).not.toBe("axolotl");
    const command = "python finetune.py --base_model m --micro_batch_size 4 --lora_r 8".split(" ");
    expect(recognise({ text: "", command }).trainer).not.toBe("axolotl");
    // With its own list of data sets it is axolotl's, which trains no LoRA without `adapter`.
    expect(recognise({ text: `${file}datasets: [{path: org/set, type: alpaca}]\n` })).toMatchObject(
      {
        trainer: "axolotl",
        kind: "full-fine-tune",
      },
    );
  });

  it("lets arguments override the file and tells full fine-tunes apart", () => {
    const text = "base_model: m\nadapter: lora\nlora_r: 8\npeft_use_dora: true\nfp16: true\n";
    const { fields } = recognise({
      text,
      command: ["axolotl", "train", "a.yml", "--learning-rate=3e-4", "--lora_r", "4"],
    });
    expect(fields).toMatchObject({
      learning_rate: 3e-4,
      lora_rank: 4,
      network_algo: "dora",
      mixed_precision: "fp16",
    });
    const full = recognise({ text: "base_model: m\nmicro_batch_size: 2\nadapter:\n" });
    expect(full).toMatchObject({ trainer: "axolotl", kind: "full-fine-tune" });
  });
});
