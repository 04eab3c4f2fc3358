import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const main = (adapter: string, more = "") => `
output_dir = '/runs/walk'
dataset = 'data/set.toml'
epochs = 100
max_steps = 900
gradient_accumulation_steps = 4
save_every_n_epochs = 5
lr_scheduler = 'linear'
${more}
[model]
type = 'wan'
ckpt_path = '/m/Wan2.1-T2V-14B'
vae_path = '/m/vae'
dtype = 'bfloat16'
transformer_dtype = 'float8'
${adapter}
[optimizer]
type = 'adamw_optimi'
lr = 2e-5
`;

describe("diffusion-pipe", () => {
  it("reads every column, with an alpha that is the rank", () => {
    const read = recognise({
      text: main(
        "[adapter]\ntype = 'lokr'\nrank = 32\ndropout = 0.1\ndtype = 'bfloat16'",
        "micro_batch_size_per_gpu = 2",
      ),
    });
    expect(read).toMatchObject({ trainer: "diffusion-pipe", kind: "run", format: "toml" });
    expect(read.fields).toEqual({
      task_name: "walk",
      model_type: "stable-diffusion",
      base_model_path: "/m/Wan2.1-T2V-14B",
      lora_rank: 32,
      lora_alpha: 32,
      dropout: 0.1,
      batch_size: 2,
      gradient_accumulation_steps: 4,
      epochs: 100,
      max_steps: 900,
      learning_rate: 2e-5,
      optimizer: "adamw_optimi",
      scheduler: "linear",
      mixed_precision: "bf16",
      data_dir: "data/set.toml",
      output_dir: "/runs/walk",
      log_dir: "/runs/walk",
      save_every_n_epochs: 5,
      base_arch: "wan",
      network_algo: "lokr",
    });
    expect(read.defaults.sort()).toEqual(["lora_alpha", "model_type"]);
  });

  it("takes batch sizes by resolution where they agree", () => {
    const lora = "[adapter]\ntype = 'lora'\nrank = 8";
    const sizes = (list: string) =>
      recognise({ text: main(lora, `micro_batch_size_per_gpu = ${list}`) });
    expect(sizes("[[512, 4], [1024, 4]]").fields.batch_size).toBe(4);
    const differ = sizes("[[512, 4], [1024, 1]]");
    expect(differ.fields).not.toHaveProperty("batch_size");
    expect(differ.warnings.map(({ code }) => code)).toContain("several-batch-sizes");
    const silent = recognise({ text: main(lora) });
    expect(silent.fields).toMatchObject({ batch_size: 1, dropout: 0 });
    expect(silent.defaults).toEqual(expect.arrayContaining(["batch_size", "dropout"]));
  });

  it("finds the model under its newer key, and the architecture by its one name", () => {
    const model = (text: string) =>
      recognise({
        text: `output_dir = "/r"\ndataset = "/d"\n[model]\n${text}\ndtype = "bfloat16"\n[adapter]\ntype = "lora"\nrank = 8\n`,
      });
    const krea = model('type = "krea2"\ndiffusion_model = "/m/krea2.safetensors"\nvae = "/v"');
    expect(krea.fields).toMatchObject({
      base_arch: "krea2",
      base_model_path: "/m/krea2.safetensors",
    });
    expect(krea.sources.base_model_path).toEqual({ from: "file", key: "model.diffusion_model" });
    const arch = (type: string) => model(`type = "${type}"`).fields.base_arch;
    expect(arch("hunyuan_video_15")).toBe("hunyuan-video-1.5");
    expect(arch("lumina_2")).toBe("lumina2");
    expect(arch("ltx2")).toBe("ltx-2");
    expect(arch("cosmos_predict2")).toBe("cosmos-predict2");
  });

  it("lists each directory's own resolutions", () => {
    const read = recognise({
      text: "resolutions = [512]\n[[directory]]\npath = '/a'\n[[directory]]\npath = '/b'\nresolutions = [1024]\n",
    });
    expect(read.fields.resolution).toBe("512,1024");
    expect(read.warnings.map(({ code }) => code)).toContain("several-resolutions");
  });

  it("tells full fine-tunes and dataset files apart", () => {
    expect(recognise({ text: main("") })).toMatchObject({
      trainer: "diffusion-pipe",
      kind: "full-fine-tune",
    });
    const dataset = recognise({
      text: "resolutions = [512, 768]\n[[directory]]\npath = '/a'\n[[directory]]\npath = '/b'\n",
    });
    expect(dataset).toMatchObject({ trainer: "diffusion-pipe", kind: "dataset" });
    expect(dataset.fields).toEqual({
      model_type: "stable-diffusion",
      data_dir: "/a, /b",
      resolution: "512,768",
    });
  });
});
