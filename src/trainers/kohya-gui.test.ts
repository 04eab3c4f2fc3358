import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const form = {
  LoRA_type: "LyCORIS/LoHa",
  pretrained_model_name_or_path: "/m/base.safetensors",
  train_data_dir: "/data",
  output_dir: "/out",
  output_name: "mika",
  logging_dir: "/logs",
  train_batch_size: "2",
  epoch: 8,
  max_train_steps: "",
  max_train_epochs: "",
  learning_rate: "0.0002",
  optimizer: "Prodigy",
  lr_scheduler: "cosine",
  max_resolution: "768,768",
  network_dim: 32,
  network_alpha: "16",
  network_dropout: 0,
  conv_dim: 8,
  conv_alpha: 4,
  gradient_accumulation_steps: 2,
  mixed_precision: "bf16",
  seed: "",
  sample_prompts: "a girl --n bad",
  save_every_n_epochs: 1,
  sdxl: true,
};
const read = (changes: Record<string, unknown>) =>
  recognise({ text: JSON.stringify({ ...form, ...changes }), path: "preset.json" });

describe("kohya_ss GUI", () => {
  it("reads every column, empty texts as unset and numbers in texts", () => {
    const { trainer, kind, fields, defaults, warnings } = read({});
    expect({ trainer, kind, warnings }).toEqual({
      trainer: "kohya-gui",
      kind: "run",
      warnings: [],
    });
    expect(fields).toEqual({
      task_name: "mika",
      model_type: "stable-diffusion",
      base_model_path: "/m/base.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0,
      conv_lora_rank: 8,
      conv_alpha: 4,
      batch_size: 2,
      gradient_accumulation_steps: 2,
      epochs: 8,
      learning_rate: 0.0002,
      optimizer: "Prodigy",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data",
      output_dir: "/out",
      log_dir: "/logs",
      sample_prompts: "a girl --n bad",
      save_every_n_epochs: 1,
      caption_tag_delim: ",",
      base_arch: "sdxl",
      network_algo: "loha",
      resolution: "768,768",
    });
    expect(defaults.sort()).toEqual(["caption_tag_delim", "model_type"]);
  });

  it("knows what its types train", () => {
    const algo = (LoRA_type: string, more = {}) => read({ LoRA_type, ...more }).fields.network_algo;
    expect(algo("Standard")).toBe("lora");
    expect(algo("Kohya LoCon")).toBe("locon");
    expect(algo("LyCORIS/LoKr")).toBe("lokr");
    expect(algo("LyCORIS/Diag-OFT")).toBe("oft");
    expect(algo("LyCORIS/LoCon", { dora_wd: true })).toBe("dora");
    expect(algo("Flux1")).toBe("lora");
    expect(read({ LoRA_type: "Standard" }).fields).not.toHaveProperty("conv_lora_rank");
  });

  it("takes sentinels for what they mean", () => {
    const full = read({ LoRA_type: "LyCORIS/LoKr", network_dim: 100000, conv_dim: 100000 });
    expect(full.fields).not.toHaveProperty("lora_rank");
    expect(full.fields).not.toHaveProperty("conv_lora_rank");
    expect(full.warnings.map(({ code }) => code)).toContain("full-rank");
    expect(read({ seed: 0 }).fields).not.toHaveProperty("seed");
    expect(read({ learning_rate: 0, unet_lr: 5e-5 }).fields.learning_rate).toBe(5e-5);
    expect(read({ max_train_epochs: "3", max_train_steps: 900 }).fields).toMatchObject({
      epochs: 3,
    });
    expect(read({ sdxl: false, v2: true }).fields.base_arch).toBe("sd2");
    expect(read({ sdxl: false, flux1_checkbox: true }).fields.base_arch).toBe("flux");
  });
});
