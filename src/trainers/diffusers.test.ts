import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const run = (line: string) => recognise({ text: "", command: line.split(" ") });

describe("diffusers", () => {
  it("reads every column from the arguments", () => {
    const read = run(
      "accelerate launch examples/train_dreambooth_lora_flux.py --pretrained_model_name_or_path black-forest-labs/FLUX.1-dev " +
        "--instance_data_dir=/data/dog --output_dir /out/dog-lora --rank 16 --lora_alpha 8 --lora_dropout 0.1 --train_batch_size 2 " +
        "--gradient_accumulation_steps 4 --max_train_steps 500 --learning_rate 2e-4 --optimizer prodigy --lr_scheduler cosine " +
        "--mixed_precision bf16 --resolution 768 --seed 3 --validation_prompt dog --logging_dir tb",
    );
    expect(read).toMatchObject({ trainer: "diffusers", kind: "run", format: "text", warnings: [] });
    expect(read.fields).toEqual({
      task_name: "dog-lora",
      model_type: "stable-diffusion",
      base_model_path: "black-forest-labs/FLUX.1-dev",
      lora_rank: 16,
      lora_alpha: 8,
      dropout: 0.1,
      batch_size: 2,
      gradient_accumulation_steps: 4,
      max_steps: 500,
      learning_rate: 2e-4,
      optimizer: "prodigy",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data/dog",
      output_dir: "/out/dog-lora",
      log_dir: "/out/dog-lora/tb",
      sample_prompts: "dog",
      base_arch: "flux",
      network_algo: "lora",
      seed: 3,
      resolution: "768",
    });
    expect(read.defaults.sort()).toEqual(["model_type", "network_algo"]);
  });

  it("gives each script its own defaults", () => {
    const text2image = run(
      "accelerate launch --mixed_precision=fp16 train_text_to_image_lora.py --dataset_name d --use_8bit_adam",
    );
    expect(text2image.fields).toMatchObject({
      base_arch: "sd15",
      batch_size: 16,
      epochs: 100,
      learning_rate: 1e-4,
      lora_rank: 4,
      lora_alpha: 4,
      resolution: "512",
      optimizer: "AdamW8bit",
      mixed_precision: "fp16",
      data_dir: "d",
    });
    expect(run("python train_dreambooth_lora.py").fields).toMatchObject({
      base_arch: "sd15",
      batch_size: 4,
      epochs: 1,
      learning_rate: 5e-4,
    });
    expect(run("python train_dreambooth_lora_sdxl.py --rank 8 --use_dora").fields).toMatchObject({
      base_arch: "sdxl",
      resolution: "1024",
      lora_alpha: 8,
      network_algo: "dora",
    });
    const archs = ["sd3", "lumina2", "qwen_image", "z_image", "flux2", "hidream"];
    expect(
      archs.map((name) => run(`python train_dreambooth_lora_${name}.py`).fields.base_arch),
    ).toEqual(["sd3", "lumina2", "qwen-image", "z-image", "flux2", "hidream"]);
  });

  it("knows each script's own defaults", () => {
    const read = (script: string, more = "") =>
      run(`python train_dreambooth_lora_${script}.py ${more}`).fields;
    // Without --lora_alpha alpha is the rank.
    for (const script of ["sd3", "lumina2", "hidream", "sdxl"])
      expect(read(script, "--rank 32").lora_alpha).toBe(32);
    for (const script of [
      "flux",
      "flux2",
      "flux_kontext",
      "sana",
      "qwen_image",
      "z_image",
      "ideogram4",
    ])
      expect(read(script, "--rank 32").lora_alpha).toBe(4);
    expect(read("krea2")).toMatchObject({ lora_rank: 32, lora_alpha: 32, learning_rate: 3e-4 });
  });

  it("says that its other scripts train whole models", () => {
    for (const name of ["train_dreambooth", "train_text_to_image_sdxl", "train_dreambooth_flux"]) {
      const read = run(
        `accelerate launch ${name}.py --pretrained_model_name_or_path m --output_dir o`,
      );
      expect(read).toMatchObject({ trainer: "diffusers", kind: "full-fine-tune" });
      expect(read.warnings[0]?.message).toMatch(/^This diffusers command trains the whole model/);
      for (const column of ["lora_rank", "network_algo", "learning_rate"])
        expect(read.fields).not.toHaveProperty(column);
    }
    expect(run("python train_something_else.py --rank 4").trainer).toBe("unknown");
  });
});
