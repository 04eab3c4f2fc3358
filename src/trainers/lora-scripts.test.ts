import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const codes = (warnings: { code: string }[]) => warnings.map(({ code }) => code);

describe("lora-scripts", () => {
  const gui = `
model_train_type = "sdxl-lora"
pretrained_model_name_or_path = "./sd-models/base.safetensors"
train_data_dir = "./train/mika"
resolution = "1024,1024"
output_name = "mika"
output_dir = "./output"
save_every_n_epochs = 2
max_train_epochs = 10
train_batch_size = 1
unet_lr = 1e-4
lr_scheduler = "cosine_with_restarts"
optimizer_type = "AdamW8bit"
network_module = "lycoris.kohya"
network_dim = 32
network_alpha = 16
positive_prompts = "1girl, solo"
logging_dir = "./logs"
seed = 1337
mixed_precision = "bf16"
network_args = [ "conv_dim=4", "conv_alpha=1", "dropout=0", "algo=lokr", "factor=8",]
`;

  it("reads every column of a GUI export", () => {
    const read = recognise({ text: gui });
    expect(read).toMatchObject({
      trainer: "lora-scripts",
      kind: "run",
      format: "toml",
      warnings: [],
    });
    expect(read.fields).toEqual({
      task_name: "mika",
      model_type: "stable-diffusion",
      base_model_path: "./sd-models/base.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0,
      conv_lora_rank: 4,
      conv_alpha: 1,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      epochs: 10,
      learning_rate: 1e-4,
      optimizer: "AdamW8bit",
      scheduler: "cosine_with_restarts",
      mixed_precision: "bf16",
      data_dir: "./train/mika",
      output_dir: "./output",
      log_dir: "./logs",
      sample_prompts: "1girl, solo",
      save_every_n_epochs: 2,
      caption_tag_delim: ",",
      base_arch: "sdxl",
      network_algo: "lokr",
      seed: 1337,
      resolution: "1024,1024",
    });
    expect(read.defaults.sort()).toEqual([
      ...["caption_tag_delim", "gradient_accumulation_steps", "model_type"],
    ]);
  });

  it("knows an autosave by where it lies, and full trainings by their type", () => {
    const text = 'pretrained_model_name_or_path = "m"\nnetwork_dim = 8\n';
    expect(recognise({ text, path: "config/autosave/20240101-120000.toml" }).trainer).toBe(
      "lora-scripts",
    );
    expect(recognise({ text, path: "x.toml" }).trainer).toBe("kohya");
    expect(recognise({ text: `model_train_type = "sd-dreambooth"\n${text}` })).toMatchObject({
      trainer: "lora-scripts",
      kind: "full-fine-tune",
    });
  });

  it("reads the types of its successors, and says which of them train no LoRA", () => {
    const read = (type: string) =>
      recognise({
        text: `model_train_type = "${type}"\npretrained_model_name_or_path = "m"\nnetwork_module = "networks.lora"\n`,
      });
    expect(read("anima-lora")).toMatchObject({
      ...{ trainer: "lora-scripts", kind: "run", fields: { base_arch: "anima" } },
    });
    expect(read("qwen-image-lora")).toMatchObject({ trainer: "lora-scripts", kind: "run" });
    expect(read("sdxl-finetune")).toMatchObject({ kind: "full-fine-tune" });
    for (const type of ["sdxl-textual-inversion", "sdxl-controlnet"])
      expect(read(type)).toMatchObject({ trainer: "lora-scripts", kind: "unknown" });
  });

  it("says that a preset is no run", () => {
    const read = recognise({
      text: '[metadata]\nname = "Mine"\ntrain_type = "flux-lora"\n[data]\nmodel_type = "chroma"\nnetwork_dim = 8\n',
    });
    expect(read).toMatchObject({ trainer: "lora-scripts", kind: "preset" });
    expect(read.fields).toEqual({ task_name: "Mine", base_arch: "chroma", lora_rank: 8 });
    expect(codes(read.warnings)).toEqual(["preset"]);
  });
});
