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

  it("knows the newer types, and the model by its switch, its type or the plain script", () => {
    const type = (LoRA_type: string, more = {}) => {
      const { network_algo, base_arch } = read({ LoRA_type, sdxl: undefined, ...more }).fields;
      return [network_algo, base_arch];
    };
    expect(type("Anima", { anima_checkbox: true })).toEqual(["lora", "anima"]);
    expect(type("Lumina", { lumina_checkbox: true })).toEqual(["lora", "lumina2"]);
    expect(type("HunyuanImage-2.1", { hunyuan_image_checkbox: true })).toEqual([
      "lora",
      "hunyuan-image",
    ]);
    expect(type("HunyuanImage-2.1")).toEqual(["lora", "hunyuan-image"]);
    expect(type("Kohya LoHa", { sdxl: true })).toEqual(["loha", "sdxl"]);
    expect(type("Kohya LoKr", { sd3_checkbox: true })).toEqual(["lokr", "sd3"]);
    expect(type("Flux1 OFT", { flux1_checkbox: true })).toEqual(["oft", "flux"]);
    expect(type("Flux1", { flux1_checkbox: true, model_type: "chroma" })).toEqual([
      "lora",
      "chroma",
    ]);
    expect(type("LyCORIS/LoKr", { sdxl: false, pretrained_model_name_or_path: "" })).toEqual([
      "lokr",
      "sd15",
    ]);
    expect(type("Kohya DyLoRA")).toEqual(["dylora", undefined]);
  });

  it("finds out how long it trains, 0 or an empty text being unset in the whole form", () => {
    const length = (changes: Record<string, unknown>) => {
      const { fields, defaults } = read({ epoch: 10, ...changes });
      const { epochs, max_steps } = fields;
      return { epochs, max_steps, isDefault: defaults.includes("max_steps") };
    };
    const isDefault = false;
    for (const unset of [0, "0", "", null])
      expect(length({ max_train_epochs: unset, max_train_steps: 1600 })).toEqual({
        ...{ epochs: undefined, max_steps: 1600, isDefault },
      });
    expect(length({ max_train_epochs: 0, max_train_steps: 0 })).toEqual({
      ...{ epochs: 10, max_steps: undefined, isDefault },
    });
    expect(length({ max_train_epochs: 3, max_train_steps: 900 })).toEqual({
      ...{ epochs: 3, max_steps: undefined, isDefault },
    });
    // The GUI counts no steps then, and sd-scripts' own number holds.
    expect(length({ dataset_config: "/d.toml", max_train_epochs: 0, max_train_steps: 0 })).toEqual({
      ...{ epochs: undefined, max_steps: 1600, isDefault: true },
    });
  });

  it("reads the other tabs' files as what they train", () => {
    const { LoRA_type, network_dim, network_alpha, ...rest } = form;
    const dreambooth = recognise({ text: JSON.stringify(rest), path: "dreambooth.json" });
    expect(dreambooth).toMatchObject({
      trainer: "kohya-gui",
      kind: "full-fine-tune",
      fields: { optimizer: "Prodigy", epochs: 8, batch_size: 2, scheduler: "cosine" },
    });
    const word = { ...rest, token_string: "mika", init_word: "girl", num_vectors_per_token: 8 };
    const embedding = recognise({ text: JSON.stringify(word) });
    expect(embedding).toMatchObject({ kind: "embedding", fields: { epochs: 8 } });
    expect(embedding.warnings[0]?.message).toContain("an embedding");
    expect(embedding.fields).not.toHaveProperty("lora_rank");
    // The TOML that it hands to sd-scripts has the trainer's own names.
    const toml =
      'pretrained_model_name_or_path = "m"\nepoch = 10\noptimizer_type = "AdamW"\nnetwork_dim = 4\nmax_train_steps = 9\n';
    expect(recognise({ text: toml }).trainer).toBe("kohya");
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
