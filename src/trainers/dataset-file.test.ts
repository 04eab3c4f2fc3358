import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const codes = (warnings: { code: string }[]) => warnings.map(({ code }) => code);

const main = `
pretrained_model_name_or_path = "m.safetensors"
network_module = "networks.lora"
network_dim = 16
train_data_dir = "/not/used"
in_json = "/not/used.json"
train_batch_size = 1
resolution = "512,512"
dataset_config = "data.toml"
`;

describe("the separate dataset file", () => {
  it("settles folders, batch size, resolution and separator of an sd-scripts run", () => {
    const text = `
[general]
shuffle_caption = true
batch_size = 2

[[datasets]]
resolution = [1024, 768]
batch_size = 4
  [[datasets.subsets]]
  image_dir = "/data/aki"
  caption_separator = ";"
  num_repeats = 10
  [[datasets.subsets]]
  image_dir = "/data/mika"
  metadata_file = "/data/mika.json"
`;
    const read = recognise({ text: main, dataset: { text, path: "data.toml" } });
    expect(read).toMatchObject({ trainer: "kohya", kind: "run", warnings: [] });
    expect(read.fields).toMatchObject({
      lora_rank: 16,
      data_dir: "/data/aki, /data/mika",
      metadata_path: "/data/mika.json",
      batch_size: 4,
      resolution: "1024,768",
      caption_tag_delim: ";",
    });
    expect(read.defaults).not.toContain("caption_tag_delim");
    expect(read.config).toMatchObject({
      network_dim: 16,
      dataset_config: "data.toml",
      dataset_file: { datasets: [{ subsets: [{ num_repeats: 10 }, {}] }] },
    });
  });

  it("leaves what it does not say to the run's own file, but for the folders that are not used", () => {
    const text = '{"datasets": [{"subsets": [{"image_dir": "/data/aki"}]}]}';
    const { fields } = recognise({ text: main, dataset: { text, path: "data.json" } });
    expect(fields).toMatchObject({ data_dir: "/data/aki", batch_size: 1, resolution: "512,512" });
    expect(fields).not.toHaveProperty("metadata_path");
  });

  it("brings musubi-tuner its batch size and folders, which stand nowhere else", () => {
    const read = recognise({
      text: 'dit = "wan.safetensors"\nnetwork_module = "networks.lora_wan"\ndataset_config = "d.toml"\n',
      dataset: {
        text: '[general]\nresolution = [960, 544]\nbatch_size = 3\n[[datasets]]\nvideo_directory = "/v"\n[[datasets]]\nimage_jsonl_file = "/i.jsonl"\n',
      },
    });
    expect(read).toMatchObject({ trainer: "musubi-tuner", warnings: [] });
    expect(read.fields).toMatchObject({
      data_dir: "/v",
      metadata_path: "/i.jsonl",
      batch_size: 3,
      resolution: "960,544",
    });
  });

  it("is diffusion-pipe's second TOML and OneTrainer's concepts", () => {
    const pipe = recognise({
      text: 'output_dir = "/out/w"\ndataset = "d.toml"\n[model]\ntype = "wan"\n[adapter]\ntype = "lora"\nrank = 8\n',
      dataset: { text: 'resolutions = [512, 768]\n[[directory]]\npath = "/v"\n' },
    });
    expect(pipe.fields).toMatchObject({ data_dir: "/v", resolution: "512,768", lora_alpha: 8 });
    expect(pipe.warnings).toEqual([]);

    const one = recognise({
      text: '{"training_method": "LORA", "base_model_name": "m", "concept_file_name": "c.json"}',
      dataset: {
        text: '[{"path": "/a", "text": {"tag_delimiter": ";"}}, {"path": "/b", "text": {}}]',
        path: "c.json",
      },
    });
    expect(one.fields).toMatchObject({
      data_dir: "/a, /b",
      caption_tag_delim: ";",
      metadata_path: "c.json",
    });
    expect(one.config).toMatchObject({ dataset_file: [{ path: "/a" }, { path: "/b" }] });
  });

  it("never costs a run: what is broken or no dataset file is said, and left", () => {
    for (const [text, code] of [
      ["[[datasets]\nx", "dataset-broken"],
      ["[data]\nx = 1\n", "dataset-not-recognised"],
    ] as const) {
      const read = recognise({ text: main, dataset: { text, path: "data.toml" } });
      expect(codes(read.warnings)).toEqual(["dataset-file", code]);
      expect(read.fields).toMatchObject({ data_dir: "data.toml", batch_size: 1 });
    }
  });
});

describe("the settings that filters see", () => {
  it("are the file's with the command's arguments over them, numbers as numbers", () => {
    const { config } = recognise({
      text: main,
      command: [
        "python",
        "train_network.py",
        "--network_dim",
        "8",
        "--seed=1e3",
        "--cache_latents",
      ],
    });
    expect(config).toMatchObject({ network_dim: 8, seed: 1000, cache_latents: true });
  });

  it("are the command's alone where there is no file, also of a script nobody knows", () => {
    const read = recognise({
      text: "",
      command: ["python", "my.py", "--lr", "1e-4", "--name", "x"],
    });
    expect(read).toMatchObject({ trainer: "unknown", config: { lr: 1e-4, name: "x" }, fields: {} });
    expect(read.fields).toEqual({ learning_rate: 1e-4 });
    expect(read.warnings).toMatchObject([{ code: "read-by-name" }]);
    expect(recognise({ text: "", command: ["./train"] }).config).toBeNull();
  });
});
