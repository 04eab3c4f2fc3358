import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const codes = (warnings: { code: string }[]) => warnings.map(({ code }) => code);

const toml = `
[model]
pretrained_model_name_or_path = "/models/sd_xl_base.safetensors"
v2 = false

[data]
train_data_dir = "/data/mika"
in_json = "/data/mika/meta.json"
resolution = "1024,768"
caption_separator = ";"
some_new_flag = [1, 2]

[network]
network_module = "networks.lora"
network_dim = 32
network_alpha = 16
network_dropout = 0.1
network_args = ["conv_dim=8", "conv_alpha=4", "note=a=b"]

[train]
train_batch_size = 3
gradient_accumulation_steps = 2
max_train_epochs = 12
learning_rate = "1e-4"
optimizer_type = "Lion"
lr_scheduler = "cosine"
mixed_precision = "bf16"
seed = 42

[out]
output_name = "mika"
output_dir = "/out"
logging_dir = "/logs"
sample_prompts = "/data/prompts.txt"
save_every_n_epochs = 2
`;

describe("kohya", () => {
  it("reads every column", () => {
    const read = recognise({
      text: toml,
      path: "mika.toml",
      command: ["accelerate", "launch", "sdxl_train_network.py", "--config_file", "mika.toml"],
    });
    expect(read.trainer).toBe("kohya");
    expect(read.kind).toBe("run");
    expect(read.format).toBe("toml");
    expect(read.warnings).toEqual([]);
    expect(read.fields).toEqual({
      task_name: "mika",
      model_type: "stable-diffusion",
      base_model_path: "/models/sd_xl_base.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      dropout: 0.1,
      conv_lora_rank: 8,
      conv_alpha: 4,
      batch_size: 3,
      gradient_accumulation_steps: 2,
      epochs: 12,
      learning_rate: 0.0001,
      optimizer: "Lion",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/data/mika",
      metadata_path: "/data/mika/meta.json",
      output_dir: "/out",
      log_dir: "/logs",
      sample_prompts: "/data/prompts.txt",
      save_every_n_epochs: 2,
      caption_tag_delim: ";",
      base_arch: "sdxl",
      network_algo: "locon",
      seed: 42,
      resolution: "1024,768",
    });
    expect(read.defaults).toEqual(["model_type"]);
    expect(read.config).toMatchObject({ data: { some_new_flag: [1, 2] }, train: { seed: 42 } });
  });

  it("gives sd-scripts' own defaults where the file is silent, and says which they are", () => {
    const { fields, defaults } = recognise({
      text: 'pretrained_model_name_or_path = "m.safetensors"\nnetwork_module = "networks.lora"\n',
      command: ["python", "train_network.py"],
    });
    expect(fields).toEqual({
      model_type: "stable-diffusion",
      base_model_path: "m.safetensors",
      lora_rank: 4,
      lora_alpha: 1,
      dropout: 0,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      max_steps: 1600,
      learning_rate: 2e-6,
      optimizer: "AdamW",
      scheduler: "constant",
      mixed_precision: "no",
      caption_tag_delim: ",",
      base_arch: "sd15",
      network_algo: "lora",
    });
    const own = ["base_model_path", "base_arch", "network_algo"];
    expect([...defaults].sort()).toEqual(
      Object.keys(fields)
        .filter((column) => !own.includes(column))
        .sort(),
    );
  });

  const fieldsOf = (lines: string, command?: string[]) =>
    recognise({
      text: `pretrained_model_name_or_path = "m"\nnetwork_dim = 16\n${lines}`,
      ...(command && { command }),
    }).fields;

  it("lets epochs win over steps", () => {
    const read = recognise({
      text: 'pretrained_model_name_or_path = "m"\nnetwork_dim = 4\nmax_train_epochs = 2\nmax_train_steps = 900\n',
    });
    expect(read.fields.epochs).toBe(2);
    expect(read.fields.max_steps).toBeUndefined();
    expect(codes(read.warnings)).toEqual(["steps-overridden"]);
    expect(fieldsOf("max_train_steps = 900\n").max_steps).toBe(900);
  });

  it("takes the U-Net's learning rate where there is no other", () => {
    expect(fieldsOf("unet_lr = 2e-4\n").learning_rate).toBe(2e-4);
    expect(fieldsOf("unet_lr = 2e-4\nlearning_rate = 1e-4\n").learning_rate).toBe(1e-4);
  });

  it("reads LyCORIS from network_args", () => {
    const lycoris = (args: string, dim = "16") =>
      recognise({
        text: `pretrained_model_name_or_path = "m"\nnetwork_dim = ${dim}\nnetwork_alpha = 8\nnetwork_module = "lycoris.kohya"\nnetwork_args = [${args}]\n`,
      });
    expect(
      lycoris('"algo=loha", "conv_dim=4", "conv_alpha=1", "dropout=0.2"').fields,
    ).toMatchObject({
      network_algo: "loha",
      conv_lora_rank: 4,
      conv_alpha: 1,
      dropout: 0.2,
      lora_rank: 16,
    });
    expect(lycoris('"algo=locon", "dora_wd=True"').fields.network_algo).toBe("dora");
    expect(lycoris('"algo=lokr", "dora_wd=True"').fields.network_algo).toBe("lokr");
    const silent = lycoris('"algo=lora"');
    expect(silent.fields).toMatchObject({ conv_lora_rank: 16, conv_alpha: 8 });
    expect(silent.defaults).toEqual(expect.arrayContaining(["conv_lora_rank", "conv_alpha"]));

    expect(lycoris('"algo=full"').fields).not.toHaveProperty("lora_rank");
    expect(codes(lycoris('"algo=diag-oft"').warnings)).toEqual(["no-rank"]);
    expect(lycoris('"algo=diag-oft"').fields.network_algo).toBe("oft");

    const full = lycoris('"algo=lokr", "factor=8",', "100000");
    expect(full.fields.lora_rank).toBeUndefined();
    expect(full.fields.conv_lora_rank).toBeUndefined();
    expect(codes(full.warnings)).toEqual(["full-rank"]);
    const whole = lycoris('"algo=lokr", "factor=8", "full_matrix=True"');
    expect(whole.fields).not.toHaveProperty("lora_rank");
    expect(whole.fields).toMatchObject({ network_algo: "lokr", lora_alpha: 8 });
    expect(codes(whole.warnings)).toEqual(["full-rank"]);
    expect(lycoris('"algo=lokr", "full_matrix=False"').fields.lora_rank).toBe(16);
    expect(lycoris('"algo=loha", "full_matrix=True"').fields.lora_rank).toBe(16);
  });

  it("takes the U-Net's rate where the common one is 0", () => {
    const read = recognise({
      text: 'pretrained_model_name_or_path = "m"\nnetwork_dim = 4\nlearning_rate = 0\nunet_lr = 1e-4\n',
    });
    expect(read.fields.learning_rate).toBe(1e-4);
    expect(read.sources.learning_rate).toEqual({ from: "file", key: "unet_lr" });
  });

  it("says where each value was read from", () => {
    const read = recognise({
      text: 'pretrained_model_name_or_path = "m"\nnetwork_dim = 4\nlearning_rate = 1e-4\nnetwork_module = "lycoris.kohya"\nnetwork_args = ["algo=loha", "conv_dim=2"]\n',
      path: "a.toml",
      command: ["accelerate", "launch", "sdxl_train_network.py", "--network_dim", "8", "--seed=1"],
      dataset: {
        text: '[[datasets]]\nbatch_size = 3\nresolution = 768\n[[datasets.subsets]]\nimage_dir = "a"\n',
        path: "set.toml",
      },
    });
    expect(read.sources).toMatchObject({
      base_model_path: { from: "file", key: "pretrained_model_name_or_path" },
      learning_rate: { from: "file", key: "learning_rate" },
      lora_rank: { from: "argument", name: "network_dim" },
      seed: { from: "argument", name: "seed" },
      network_algo: { from: "file", key: "network_args algo" },
      conv_lora_rank: { from: "file", key: "network_args conv_dim" },
      base_arch: { from: "argument", name: "sdxl_train_network" },
      batch_size: { from: "file", key: "dataset_file.batch_size" },
      data_dir: { from: "file", key: "dataset_file.datasets" },
      lora_alpha: { from: "default" },
    });
    expect(Object.keys(read.sources).sort()).toEqual(Object.keys(read.fields).sort());
  });

  it("finds the base architecture by script, network module and files", () => {
    const script = (name: string, lines = "") =>
      fieldsOf(lines, ["python", `/x/${name}.py`]).base_arch;
    expect(script("train_network")).toBe("sd15");
    expect(script("train_network", "v2 = true\n")).toBe("sd2");
    expect(script("sdxl_train_network")).toBe("sdxl");
    expect(script("sd3_train_network")).toBe("sd3");
    expect(script("flux_train_network")).toBe("flux");
    expect(script("flux_train_network", 'model_type = "chroma"\n')).toBe("chroma");
    expect(script("lumina_train_network")).toBe("lumina2");
    expect(script("anima_train_network")).toBe("anima");
    expect(script("hunyuan_image_train_network")).toBe("hunyuan-image");
    expect(fieldsOf('network_module = "networks.lora_flux"\n').base_arch).toBe("flux");
    expect(fieldsOf('network_module = "networks.lora_sd3"\n').base_arch).toBe("sd3");
    expect(fieldsOf('ae = "ae.sft"\nt5xxl = "t5.sft"\n').base_arch).toBe("flux");
    expect(fieldsOf("v2 = true\n").base_arch).toBe("sd2");
    expect(fieldsOf("").base_arch).toBeUndefined();
  });

  it("knows old flags, other precisions, zero alpha and the dataset file", () => {
    expect(fieldsOf("use_8bit_adam = true\n").optimizer).toBe("AdamW8bit");
    expect(fieldsOf('optimizer_type = ""\n').optimizer).toBe("AdamW");
    expect(fieldsOf('lr_scheduler_type = ""\nlr_scheduler = "cosine"\n').scheduler).toBe("cosine");
    expect(fieldsOf("network_alpha = 0\n").lora_alpha).toBe(16);
    expect(fieldsOf("resolution = [960, 544]\n").resolution).toBe("960,544");
    expect(fieldsOf("resolution = 512\n").resolution).toBe("512");

    const fp8 = recognise({
      text: 'pretrained_model_name_or_path = "m"\nnetwork_dim = 4\nmixed_precision = "fp8"\n',
    });
    expect(fp8.fields.mixed_precision).toBeUndefined();
    expect(codes(fp8.warnings)).toEqual(["mixed-precision"]);

    expect(
      fieldsOf('dataset_config = "d.toml"\ntrain_data_dir = "x"\nin_json = "y"\n'),
    ).toMatchObject({ data_dir: "d.toml" });
  });

  it("keeps what does not fit a column in the config, with a warning", () => {
    const read = recognise({
      text: 'pretrained_model_name_or_path = "m"\nnetwork_dim = -3\ntrain_batch_size = 1.5\nlearning_rate = "fast"\nnetwork_dropout = 7\n',
    });
    expect(codes(read.warnings).sort()).toEqual([
      ...["not-a-number", "out-of-range", "out-of-range", "out-of-range"],
    ]);
    expect(read.fields).not.toHaveProperty("lora_rank");
    expect(read.fields).not.toHaveProperty("batch_size");
    expect(read.fields).not.toHaveProperty("learning_rate");
  });

  it("tells full fine-tunes, dataset files and metadata apart", () => {
    const full = recognise({
      text: 'pretrained_model_name_or_path = "m"\ntrain_data_dir = "d"\nmax_train_steps = 10\noptimizer_type = "Adafactor"\n',
    });
    expect(full).toMatchObject({ trainer: "kohya", kind: "full-fine-tune" });
    expect(full.fields).not.toHaveProperty("lora_rank");

    const dataset = recognise({
      text: '[general]\nresolution = 512\n[[datasets]]\nbatch_size = 4\n[[datasets.subsets]]\nimage_dir = "a"\n[[datasets.subsets]]\nimage_dir = "b"\nmetadata_file = "m.json"\n',
    });
    expect(dataset).toMatchObject({ trainer: "kohya", kind: "dataset" });
    expect(dataset.fields).toEqual({
      model_type: "stable-diffusion",
      data_dir: "a, b",
      metadata_path: "m.json",
      batch_size: 4,
      resolution: "512",
    });
    expect(dataset.warnings[0]?.message).toContain("dataset file");
    expect(codes(dataset.warnings)).toEqual(["dataset", "several-data-dirs"]);

    const sets = (...texts: string[]) =>
      recognise({
        text: `[general]\nbatch_size = 2\n${texts.map((one) => `[[datasets]]\n${one}\n[[datasets.subsets]]\nimage_dir = "a"\n`).join("")}`,
      });
    const two = sets("resolution = [768, 512]", "resolution = 1024\nbatch_size = 4");
    expect(two.fields).toMatchObject({ data_dir: "a", resolution: "768,512; 1024" });
    expect(two.fields).not.toHaveProperty("batch_size");
    expect(two.warnings.find(({ code }) => code === "several-batch-sizes")?.message).toContain(
      "2; 4",
    );
    expect(codes(two.warnings)).toEqual(["dataset", "several-batch-sizes", "several-resolutions"]);
    const agreed = sets("resolution = 512", "resolution = 512\nbatch_size = 2");
    expect(agreed.fields).toMatchObject({ batch_size: 2, resolution: "512" });

    const metadata = recognise({
      text: '{"a/1.png": {"caption": "a girl", "train_resolution": [512, 512]}}',
    });
    expect(metadata).toMatchObject({ trainer: "kohya", kind: "dataset", format: "json" });
  });
});

describe("kohya from a command line", () => {
  it("lets arguments override the file", () => {
    const { fields } = recognise({
      text: toml,
      command: [
        ...["accelerate", "launch", "--num_processes", "2", "/x/train_network.py"],
        ...["--config_file=mika.toml", "--network_dim", "8", "--learning_rate=5e-5"],
        ...["--network_args", "algo=lokr", "conv_dim=2", "--output_name", "other"],
        "--max_train_epoch=9",
      ],
    });
    expect(fields).toMatchObject({
      task_name: "other",
      lora_rank: 8,
      learning_rate: 5e-5,
      conv_lora_rank: 2,
      base_arch: "sd15",
      epochs: 12,
    });
  });

  it("reads a run from arguments alone", () => {
    const read = recognise({
      text: "",
      command: [
        ...["python", "-m", "accelerate.commands.launch", "sd-scripts/flux_train_network.py"],
        ...[
          "--pretrained_model_name_or_path",
          "flux.sft",
          "--network_module",
          "networks.lora_flux",
        ],
        ...["--network_dim", "16", "--max_train_steps", "500", "--cache_latents"],
      ],
    });
    expect(read).toMatchObject({ trainer: "kohya", kind: "run", format: "text" });
    expect(read.fields).toMatchObject({ base_arch: "flux", lora_rank: 16, max_steps: 500 });
    expect(read.config).toEqual({
      pretrained_model_name_or_path: "flux.sft",
      network_module: "networks.lora_flux",
      network_dim: 16,
      max_train_steps: 500,
      cache_latents: true,
    });
  });

  it("knows the scripts that train whole models", () => {
    expect(recognise({ text: "", command: ["python", "sdxl_train.py", "--seed=1"] })).toMatchObject(
      {
        trainer: "kohya",
        kind: "full-fine-tune",
      },
    );
  });
});
