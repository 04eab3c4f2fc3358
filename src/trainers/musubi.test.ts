import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const text = `
dit = "/m/wan2.1_t2v_14B.safetensors"
vae = "/m/vae.safetensors"
task = "t2v-14B"
dataset_config = "/data/set.toml"
network_module = "networks.lora_wan"
network_dim = 32
network_alpha = 16
network_dropout = 0.1
learning_rate = 2e-4
optimizer_type = "adamw8bit"
lr_scheduler = "cosine"
gradient_accumulation_steps = 2
max_train_epochs = 16
save_every_n_epochs = 1
mixed_precision = "bf16"
seed = 42
output_dir = "/out"
output_name = "walk"
logging_dir = "/logs"
sample_prompts = "/data/prompts.txt"
`;

describe("musubi-tuner", () => {
  it("reads every column", () => {
    const read = recognise({ text });
    expect(read).toMatchObject({ trainer: "musubi-tuner", kind: "run", format: "toml" });
    expect(read.fields).toEqual({
      task_name: "walk",
      model_type: "stable-diffusion",
      base_model_path: "/m/wan2.1_t2v_14B.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0.1,
      gradient_accumulation_steps: 2,
      epochs: 16,
      learning_rate: 2e-4,
      optimizer: "adamw8bit",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data/set.toml",
      output_dir: "/out",
      log_dir: "/logs",
      sample_prompts: "/data/prompts.txt",
      save_every_n_epochs: 1,
      base_arch: "wan",
      network_algo: "lora",
      seed: 42,
    });
    expect(read.defaults).toEqual(["model_type"]);
    expect(read.warnings.map(({ code }) => code)).toEqual(["dataset-file"]);
  });

  it("gives its defaults, and arguments override the file", () => {
    const { fields, defaults } = recognise({
      text: 'dit = "m"\nnetwork_module = "networks.lora"\nnetwork_dim = 8\n',
      command: [
        "accelerate",
        "launch",
        "src/musubi_tuner/qwen_image_train_network.py",
        "--network_dim=4",
      ],
    });
    expect(fields).toMatchObject({ base_arch: "qwen-image", lora_rank: 4 });
    expect(fields).toMatchObject({ lora_alpha: 1, learning_rate: 2e-6, max_steps: 1600 });
    expect(defaults).toEqual(expect.arrayContaining(["lora_alpha", "learning_rate", "max_steps"]));
    expect(fields).not.toHaveProperty("batch_size");
  });

  it("finds the architecture by script, network module and model", () => {
    const arch = (script: string) =>
      recognise({ text: 'dit = "m"\nnetwork_module = "x"\n', command: ["python", `${script}.py`] })
        .fields.base_arch;
    expect(arch("hv_train_network")).toBe("hunyuan-video");
    expect(arch("wan_train_network")).toBe("wan");
    expect(arch("flux_kontext_train_network")).toBe("flux");
    expect(arch("zimage_train_network")).toBe("z-image");
    expect(arch("some_new_train_network")).toBe("some-new");
    expect(arch("hv_1_5_train_network")).toBe("hunyuan-video-1.5");
    expect(arch("fpack_train_network")).toBe("framepack");
    expect(arch("qwen_image_21_train_network")).toBe("qwen-image");
    expect(arch("kandinsky5_train_network")).toBe("kandinsky5");
    const module = (name: string) =>
      recognise({ text: `dit = "m"\nnetwork_module = "networks.${name}"\n` }).fields.base_arch;
    expect(module("lora_qwen_image")).toBe("qwen-image");
    expect(module("lora_flux_2")).toBe("flux2");
  });

  it("takes the precision from accelerate where it has no word of its own", () => {
    const file = 'dit = "m"\nnetwork_module = "networks.lora_wan"\nnetwork_dim = 32\n';
    const alone = recognise({ text: file });
    expect(alone.fields).not.toHaveProperty("mixed_precision");
    expect(alone.sources).not.toHaveProperty("mixed_precision");
    const start = (more: string) =>
      recognise({
        text: file,
        command: `accelerate launch --mixed_precision bf16 wan_train_network.py ${more}`.split(" "),
      });
    expect(start("--seed 1").fields.mixed_precision).toBe("bf16");
    expect(start("--seed 1").sources.mixed_precision).toEqual({
      from: "launcher",
      name: "--mixed_precision",
    });
    const own = start("--mixed_precision fp16");
    expect(own.fields.mixed_precision).toBe("fp16");
    expect(own.sources.mixed_precision).toEqual({ from: "argument", name: "mixed_precision" });
  });

  it("reads no rank of a LoKr of whole matrices through LyCORIS", () => {
    const command =
      "accelerate launch wan_train_network.py --dit w --network_module lycoris.kohya --network_dim 64 --network_alpha 32 --network_args algo=lokr factor=8 full_matrix=True";
    const read = recognise({ text: "", command: command.split(" ") });
    expect(read.fields).toMatchObject({ network_algo: "lokr", base_arch: "wan" });
    expect(read.fields).not.toHaveProperty("lora_rank");
  });

  it("tells full trainings and dataset files apart", () => {
    expect(recognise({ text: "", command: ["python", "hv_train.py", "--dit", "m"] })).toMatchObject(
      { trainer: "musubi-tuner", kind: "full-fine-tune" },
    );

    const dataset = recognise({
      text: '[general]\nresolution = [960, 544]\nbatch_size = 2\n[[datasets]]\nvideo_directory = "/v"\n[[datasets]]\nimage_jsonl_file = "/i.jsonl"\n',
    });
    expect(dataset).toMatchObject({ trainer: "musubi-tuner", kind: "dataset" });
    expect(dataset.fields).toEqual({
      model_type: "stable-diffusion",
      data_dir: "/v",
      metadata_path: "/i.jsonl",
      batch_size: 2,
      resolution: "960,544",
    });
    // The first set has the general batch, the second its own.
    const two = recognise({
      text: '[general]\nbatch_size = 2\n[[datasets]]\nimage_directory = "/a"\n[[datasets]]\nimage_directory = "/b"\nbatch_size = 4\n',
    });
    expect(two.fields).not.toHaveProperty("batch_size");
    expect(two.fields.data_dir).toBe("/a, /b");
    expect(two.warnings.map(({ code }) => code)).toContain("several-batch-sizes");
  });
});
