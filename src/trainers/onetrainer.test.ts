import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const read = (changes: Record<string, unknown>) =>
  recognise({
    text: JSON.stringify({
      training_method: "LORA",
      base_model_name: "stabilityai/stable-diffusion-xl-base-1.0",
      ...changes,
    }),
  });

describe("OneTrainer", () => {
  it("reads every column", () => {
    const { trainer, kind, format, fields, defaults, warnings } = read({
      model_type: "STABLE_DIFFUSION_XL_10_BASE",
      save_filename_prefix: "mika",
      output_model_destination: "models/x.safetensors",
      peft_type: "LOHA",
      lora_rank: 32,
      lora_alpha: 16.0,
      dropout_probability: 0.1,
      batch_size: 4,
      gradient_accumulation_steps: 2,
      epochs: 20,
      learning_rate: 0.0003,
      optimizer: { optimizer: "PRODIGY" },
      learning_rate_scheduler: "COSINE",
      train_dtype: "BFLOAT_16",
      concept_file_name: "concepts/mine.json",
      concepts: [{ path: "/data/a", text: { tag_delimiter: ";" } }, { path: "/data/b" }],
      samples: [{ prompt: "a girl" }, { prompt: "a boy" }],
      workspace_dir: "/ws",
      save_every: 2,
      save_every_unit: "EPOCH",
      resolution: "1024",
    });
    expect({ trainer, kind, format }).toEqual({
      trainer: "onetrainer",
      kind: "run",
      format: "json",
    });
    expect(warnings.map(({ code }) => code)).toEqual(["several-data-dirs"]);
    expect(fields).toEqual({
      task_name: "mika",
      model_type: "stable-diffusion",
      base_model_path: "stabilityai/stable-diffusion-xl-base-1.0",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0.1,
      batch_size: 4,
      gradient_accumulation_steps: 2,
      epochs: 20,
      learning_rate: 0.0003,
      optimizer: "PRODIGY",
      scheduler: "COSINE",
      mixed_precision: "bf16",
      data_dir: "/data/a, /data/b",
      metadata_path: "concepts/mine.json",
      output_dir: "/ws",
      log_dir: "/ws/tensorboard",
      sample_prompts: "a girl\na boy",
      save_every_n_epochs: 2,
      caption_tag_delim: ";",
      base_arch: "sdxl",
      network_algo: "loha",
      resolution: "1024",
    });
    expect(defaults).toEqual(["model_type"]);
  });

  it("gives its defaults where the file is silent", () => {
    const { fields, defaults } = read({ output_model_destination: "models/dog.safetensors" });
    expect(fields).toMatchObject({
      task_name: "dog",
      lora_rank: 16,
      lora_alpha: 1,
      dropout: 0,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      epochs: 100,
      learning_rate: 3e-6,
      optimizer: "ADAMW",
      scheduler: "CONSTANT",
      mixed_precision: "fp16",
      output_dir: "workspace/run",
      log_dir: "workspace/run/tensorboard",
      caption_tag_delim: ",",
      network_algo: "lora",
      resolution: "512",
    });
    expect(defaults).toEqual(expect.arrayContaining(["lora_rank", "learning_rate", "log_dir"]));
    expect(defaults).not.toContain("task_name");
  });

  it("knows architectures, DoRA and OFT", () => {
    const arch = (model_type: string) => read({ model_type }).fields.base_arch;
    expect(
      ["STABLE_DIFFUSION_15", "STABLE_DIFFUSION_21", "STABLE_DIFFUSION_35", "FLUX_DEV_1"].map(arch),
    ).toEqual(["sd15", "sd2", "sd3", "flux"]);
    expect(["FLUX_2", "QWEN", "HUNYUAN_VIDEO", "CHROMA_1", "Z_IMAGE", "ANIMA"].map(arch)).toEqual([
      ...["flux2", "qwen-image", "hunyuan-video", "chroma", "z-image", "anima"],
    ]);
    expect(read({ lora_decompose: true }).fields.network_algo).toBe("dora");
    expect(read({ peft_type: "OFT_2" }).fields.network_algo).toBe("oft");
    expect(read({ peft_type: "OFT_2" }).fields).not.toHaveProperty("lora_rank");
    expect(read({ save_every: 5, save_every_unit: "STEP" }).fields).not.toHaveProperty(
      "save_every_n_epochs",
    );
  });

  it("reads a LoKr's own rank, and none where its matrices are whole", () => {
    const lokr = { peft_type: "LOKR", lora_alpha: 32, lora_rank: 8 };
    expect(read({ ...lokr, lokr_dim: 64 }).fields).toMatchObject({ lora_rank: 64, lora_alpha: 32 });
    expect(read({ ...lokr, lora_rank: 8 }).fields.lora_rank).toBe(16);
    const full = read({ ...lokr, lokr_dim: 64, lokr_full_matrix: true });
    expect(full.fields).not.toHaveProperty("lora_rank");
    expect(full.warnings.map(({ code }) => code)).toContain("full-rank");
    // The switch stays in files of other methods, which ignore it.
    expect(read({ lora_rank: 8, lokr_full_matrix: true }).fields.lora_rank).toBe(8);
  });

  it("reads the optimizer of the oldest files, where it is a text", () => {
    const old = read({ optimizer: "PRODIGY" });
    expect(old.fields.optimizer).toBe("PRODIGY");
    expect(old.sources.optimizer).toEqual({ from: "file", key: "optimizer" });
  });

  it("tells full fine-tunes, embeddings and concept files apart", () => {
    expect(read({ training_method: "FINE_TUNE" })).toMatchObject({ kind: "full-fine-tune" });
    expect(read({ training_method: "EMBEDDING" })).toMatchObject({
      trainer: "onetrainer",
      kind: "embedding",
    });
    expect(recognise({ text: '[{"path": "/data", "image": {}, "text": {}}]' })).toMatchObject({
      trainer: "onetrainer",
      kind: "dataset",
      fields: { data_dir: "/data", model_type: "stable-diffusion" },
      defaults: ["model_type"],
    });
    expect(read({ training_method: "EMBEDDING" }).fields).not.toHaveProperty("lora_rank");
  });
});
