import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const job = (network: string, train: string, model: string, rest = "") => `
job: extension
config:
  name: "mika_v1"
  process:
    - type: sd_trainer
      training_folder: "output"
${rest}
      network: {${network}}
      train: {${train}}
      model: {${model}}
`;

describe("ai-toolkit", () => {
  it("reads no rank where the full matrix is trained, also from the copy beside the weights", () => {
    for (const network of [
      { type: "lokr", lokr_full_rank: true, lokr_factor: 8 },
      { type: "lokr", linear: 9_999_999_999, linear_alpha: 9_999_999_999 },
    ]) {
      const process = { type: "sd_trainer", training_folder: "out", network, train: {} };
      const { fields, warnings } = recognise({
        text: JSON.stringify({ job: "extension", config: { name: "x", process: [process] } }),
      });
      expect(fields).not.toHaveProperty("lora_rank");
      expect(fields.network_algo).toBe("lokr");
      expect(warnings.map(({ code }) => code)).toEqual(["full-rank"]);
    }
  });

  it("reads every column", () => {
    const read = recognise({
      text: job(
        "type: lora, linear: 32, linear_alpha: 16, conv: 8, conv_alpha: 4, dropout: 0.1",
        "batch_size: 2, steps: 3000, gradient_accumulation: 2, lr: 1e-4, optimizer: adamw8bit, lr_scheduler: cosine, dtype: bf16",
        "name_or_path: stabilityai/stable-diffusion-xl-base-1.0, is_xl: true",
        `      log_dir: "logs/[name]"
      training_seed: 9
      datasets:
        - {folder_path: /data/a, resolution: [512, 768]}
        - {dataset_path: /data/b.json}
      sample: {seed: 42, prompts: ["a cat", "a dog"]}`,
      ),
    });
    expect(read).toMatchObject({
      trainer: "ai-toolkit",
      kind: "run",
      format: "yaml",
      warnings: [{ code: "several-data-dirs" }, { code: "several-resolutions" }],
    });
    expect(read.fields).toEqual({
      task_name: "mika_v1",
      model_type: "stable-diffusion",
      base_model_path: "stabilityai/stable-diffusion-xl-base-1.0",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0.1,
      conv_lora_rank: 8,
      conv_alpha: 4,
      batch_size: 2,
      gradient_accumulation_steps: 2,
      max_steps: 3000,
      learning_rate: 1e-4,
      optimizer: "adamw8bit",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data/a, /data/b.json",
      metadata_path: "/data/b.json",
      output_dir: "output/mika_v1",
      log_dir: "logs/mika_v1",
      sample_prompts: "a cat\na dog",
      base_arch: "sdxl",
      network_algo: "lora",
      seed: 9,
      resolution: "512,768",
    });
    expect(read.defaults).toEqual(["model_type"]);
  });

  it("gives its defaults where the file is silent", () => {
    const { fields, defaults } = recognise({ text: job("type: lora", "", "name_or_path: m") });
    expect(fields).toEqual({
      task_name: "mika_v1",
      model_type: "stable-diffusion",
      base_model_path: "m",
      lora_rank: 4,
      lora_alpha: 1,
      dropout: 0,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      max_steps: 1000,
      learning_rate: 1e-6,
      optimizer: "adamw",
      scheduler: "constant",
      mixed_precision: "no",
      output_dir: "output/mika_v1",
      base_arch: "sd15",
      network_algo: "lora",
    });
    expect(defaults).toContain("lora_rank");
    expect(defaults).not.toContain("base_arch");
  });

  it("makes alpha the rank for every model without a U-Net", () => {
    const read = recognise({ text: job("linear: 32, linear_alpha: 16", "", "is_flux: true") });
    expect(read.fields).toMatchObject({ base_arch: "flux", lora_rank: 32, lora_alpha: 32 });
    expect(read.warnings.map(({ code }) => code)).toEqual(["alpha-is-rank"]);
  });

  it("takes names, tags and sentinels for what they mean", () => {
    const arch = (name: string) =>
      recognise({ text: job("linear: 4", "", `arch: "${name}"`) }).fields.base_arch;
    expect(
      ["flex1", "wan21:14b", "wan22_14b", "qwen_image_edit", "zimage", "sd1"].map(arch),
    ).toEqual(["flux", "wan", "wan", "qwen-image", "z-image", "sd15"]);
    const lokr = recognise({
      text: job(
        "type: lokr, lokr_full_rank: true, linear: 9999999999",
        "gradient_accumulation: -1",
        "",
      ),
    });
    expect(lokr.fields).not.toHaveProperty("lora_rank");
    expect(lokr.fields).not.toHaveProperty("gradient_accumulation_steps");
    expect(lokr.fields.network_algo).toBe("lokr");
    expect(
      recognise({
        text: job("linear: 4", "", "is_xl: true"),
        command: ["python", "run.py", "job.yaml", "--name", "other"],
      }).fields,
    ).toMatchObject({ task_name: "other", output_dir: "output/other" });
  });

  it("takes the switch for whole matrices for a LoKr's alone, where it is on by default", () => {
    const network = (text: string) => recognise({ text: job(text, "", "arch: qwen_image") });
    // What its UI writes into every job.
    const lora = network(
      "type: lora, linear: 32, linear_alpha: 32, conv: 16, lokr_full_rank: true",
    );
    expect(lora.fields).toMatchObject({ lora_rank: 32, lora_alpha: 32, conv_lora_rank: 16 });
    expect(lora.warnings).toEqual([]);
    for (const full of ["type: lokr, linear: 16, linear_alpha: 16", "type: LoKr, rank: 16"]) {
      const { fields, warnings, defaults } = network(full);
      expect(fields).toMatchObject({ network_algo: "lokr" });
      expect(fields).not.toHaveProperty("lora_rank");
      expect(fields).not.toHaveProperty("lora_alpha");
      expect([...defaults, ...warnings.map(({ code }) => code)]).toContain("full-rank");
    }
    expect(
      network("type: lokr, linear: 32, linear_alpha: 32, lokr_full_rank: false, lokr_factor: 8")
        .fields,
    ).toMatchObject({ lora_rank: 32, lora_alpha: 32 });
  });

  it("names architectures as all trainers' files do", () => {
    const arch = (model: string) =>
      recognise({ text: job("linear: 4", "", model) }).fields.base_arch;
    expect(arch("arch: flux2_klein_4b")).toBe("flux2");
    expect(arch("is_pixart_sigma: true")).toBe("pixart");
    expect(arch("is_v3: true")).toBe("sd3");
    expect(arch("arch: ltx2.3")).toBe("ltx-2");
    expect(arch("arch: ace_step_15_xl")).toBe("ace-step");
    expect(arch("arch: brand_new_model")).toBe("brand-new-model");
  });

  it("lists the resolutions of all sets, 512 where one is silent", () => {
    const sets = (text: string) =>
      recognise({ text: job("linear: 4", "", "arch: flux", `      datasets: [${text}]`) });
    const two = sets(
      "{folder_path: /a, resolution: 512}, {folder_path: /b, resolution: [768, 1024]}",
    );
    expect(two.fields).toMatchObject({ resolution: "512,768,1024", data_dir: "/a, /b" });
    expect(two.warnings.map(({ code }) => code)).toEqual([
      "several-data-dirs",
      "several-resolutions",
    ]);
    const silent = sets("{folder_path: /a}, {folder_path: /a, resolution: 1024}");
    expect(silent.fields).toMatchObject({ resolution: "512,1024", data_dir: "/a" });
    const same = sets("{folder_path: /a, resolution: 768}, {folder_path: /a, resolution: 768}");
    expect(same.fields.resolution).toBe("768");
    expect(same.warnings).toEqual([]);
  });

  it("multiplies both ways of accumulating", () => {
    const steps = (train: string) =>
      recognise({ text: job("linear: 4", train, "arch: flux") }).fields.gradient_accumulation_steps;
    expect(steps("gradient_accumulation: 1, gradient_accumulation_steps: 4")).toBe(4);
    expect(steps("gradient_accumulation: 2, gradient_accumulation_steps: 4")).toBe(8);
    expect(steps("gradient_accumulation_steps: 3")).toBe(3);
    expect(steps("gradient_accumulation: 2, gradient_accumulation_steps: -1")).toBeUndefined();
  });

  it("puts --name and -n in the place of [name]", () => {
    const text = job("linear: 4", "", "arch: flux").replace('"mika_v1"', '"[name]_v1"');
    for (const option of ["--name", "-n"]) {
      const read = recognise({ text, command: ["python", "run.py", "job.yaml", option, "cat"] });
      expect(read.fields).toMatchObject({ task_name: "cat_v1", output_dir: "output/cat_v1" });
      expect(read.sources.task_name).toEqual({ from: "argument", name: option.replace(/^-+/, "") });
    }
  });

  it("tells a full fine-tune apart", () => {
    const text = job("", "steps: 5", "is_xl: true").replace(/ {6}network: \{\}\n/, "");
    const read = recognise({ text });
    expect(read).toMatchObject({ trainer: "ai-toolkit", kind: "full-fine-tune" });
    expect(read.fields).not.toHaveProperty("lora_rank");
  });
});
