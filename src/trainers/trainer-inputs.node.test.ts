import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodeConfig } from "./decode.ts";
import { recognise } from "./recognise.ts";

const folder = join(import.meta.dirname, "../../../shared/trainer-inputs");

type Expected = { trainer?: string; kind?: string; warns?: string; [column: string]: unknown };

/** What each of the files that were once read wrongly says; null is a column that has to stay empty. */
const configs: Record<string, Expected> = {
  "aitk-klein.yaml": { base_arch: "flux2" },
  "aitk-legacy-accumulation.yaml": { gradient_accumulation_steps: 4 },
  "aitk-lokr-silent-full.yaml": { lora_rank: null, lora_alpha: null, warns: "full-rank" },
  "aitk-pixart-sigma.yaml": { base_arch: "pixart" },
  "aitk-two-resolutions.yaml": { resolution: "512,768,1024", warns: "several-resolutions" },
  "aitk-ui-default-lora.yaml": { lora_rank: 32, lora_alpha: 32, base_arch: "flux" },
  "axolotl-batch-size.yml": { batch_size: 2, gradient_accumulation_steps: 8, seed: 42 },
  "diffusionpipe-model-key.toml": { base_model_path: "/m/krea2.safetensors", base_arch: "krea2" },
  "kohya-lokr-full-matrix.toml": { lora_rank: null, network_algo: "lokr", warns: "full-rank" },
  "kohyagui-anima.json": { network_algo: "lora", base_arch: "anima" },
  "kohyagui-chroma.json": { network_algo: "lora", base_arch: "chroma" },
  "kohyagui-dataset-config.json": { epochs: null, max_steps: 1600 },
  "kohyagui-dreambooth.json": {
    ...{ trainer: "kohya-gui", kind: "full-fine-tune" },
    ...{ optimizer: "AdamW8bit", epochs: 5, max_steps: null, lora_rank: null },
  },
  "kohyagui-hunyuanimage-2-1.json": { network_algo: "lora", base_arch: "hunyuan-image" },
  "kohyagui-kohya-loha.json": { network_algo: "loha", base_arch: "sdxl", conv_lora_rank: 8 },
  "kohyagui-kohya-lokr.json": { network_algo: "lokr", lora_rank: 16 },
  "kohyagui-lumina.json": { network_algo: "lora", base_arch: "lumina2" },
  "kohyagui-steps-lost.json": { epochs: null, max_steps: 1000, base_arch: "flux" },
  "kohyagui-textual-inversion.json": {
    ...{ trainer: "kohya-gui", kind: "embedding", epochs: 8, optimizer: "AdamW8bit" },
  },
  "llamaboard.yaml": { trainer: "llama-factory", lora_rank: 8, lora_alpha: 16, epochs: 3 },
  "llamafactory-oft.yaml": { network_algo: "oft", lora_rank: null, lora_alpha: null },
  "musubi-precision-from-accelerate.toml": { mixed_precision: null, base_arch: "wan" },
  "onetrainer-lokr-full.json": { lora_rank: null, warns: "full-rank" },
  "onetrainer-lokr.json": { lora_rank: 64, lora_alpha: 32 },
  "onetrainer-v0-optimizer.json": { optimizer: "PRODIGY" },
  "peft-adalora.json": { lora_rank: 64, lora_alpha: 64 },
  "peft-fourierft.json": { lora_rank: null, lora_alpha: null },
  "peft-gralora.json": { lora_rank: 32, lora_alpha: 64 },
};

/** The same of what people posted. */
const posted: Record<string, Expected> = {
  "01": { lora_rank: 64, mixed_precision: "fp16", epochs: 16, base_arch: "flux" },
  "03": { base_arch: "chroma", lora_alpha: 64, epochs: 100 },
  "04": { base_arch: "flux", lora_rank: 128 },
  "05": { base_arch: "lumina2", lora_rank: 8, mixed_precision: "bf16", epochs: 11 },
  "06": { base_arch: "anima", lora_rank: 32, learning_rate: 7e-5 },
  "08": { max_steps: null, epochs: 0, optimizer: "Adafactor" },
  "09": { max_steps: 1960, epochs: null, network_algo: "locon", conv_lora_rank: 8 },
  "10": { trainer: "kohya-gui", max_steps: 1600, epochs: null, base_arch: "sdxl" },
  "12": { trainer: "kohya-gui", epochs: 10, max_steps: null, base_arch: "flux" },
  "14": { trainer: "lora-scripts", base_arch: "chroma", learning_rate: 1e-4 },
  "15": { trainer: "kohya" },
  "16": { base_arch: "hunyuan-video", dropout: 0.1, mixed_precision: "bf16" },
  "17": { base_arch: "wan", mixed_precision: "fp16", seed: 666 },
  "18": { lora_rank: null, network_algo: "lokr", warns: "full-rank" },
  "19": { mixed_precision: "bf16", base_arch: "qwen-image", max_steps: 2000 },
  "20": { base_arch: "framepack", lora_rank: 32 },
  "21": { trainer: "ai-toolkit", lora_rank: 32, base_arch: "qwen-image", network_algo: "lora" },
  "22": { lora_rank: 32, network_algo: "lokr", base_arch: "z-image" },
  "24": { base_arch: "flux2", lora_rank: 32, resolution: "512,1024" },
  "26": { base_arch: "hidream", lora_rank: 64, gradient_accumulation_steps: 4 },
  "28": { trainer: "llama-factory", mixed_precision: "fp16", lora_rank: 8 },
  "29": { trainer: "llama-factory", lora_rank: 8, dropout: 0.1, mixed_precision: "bf16" },
  "36": { trainer: "axolotl", network_algo: "qlora", lora_rank: 16, seed: 42 },
};

function check(read: ReturnType<typeof recognise>, { trainer, kind, warns, ...columns }: Expected) {
  if (trainer) expect(read.trainer).toBe(trainer);
  if (kind) expect(read.kind).toBe(kind);
  if (warns) expect(read.warnings.map(({ code }) => code)).toContain(warns);
  const fields: Record<string, unknown> = { ...read.fields };
  for (const [column, value] of Object.entries(columns))
    expect([column, fields[column] ?? null]).toEqual([column, value]);
  expect(Object.keys(read.sources).sort()).toEqual(Object.keys(read.fields).sort());
}

/** Words of a shell's line as these files have them: quoted or not, with doubled backslashes. */
const words = (line: string) =>
  [...line.trim().matchAll(/(?:[^\s"]|"[^"]*")+/g)].map(([word]) =>
    word.replaceAll('"', "").replaceAll("\\\\", "\\"),
  );

const textOf = (path: string) => decodeConfig(new Uint8Array(readFileSync(path)))?.text ?? "";

const listed = (name: string) =>
  existsSync(join(folder, name)) ? readdirSync(join(folder, name)) : [];

describe.skipIf(listed("configs").length === 0)("files that were read wrongly once", () => {
  it.each(listed("configs"))("%s", (name) => {
    const read = recognise({ text: textOf(join(folder, "configs", name)), path: name });
    check(read, configs[name] ?? expect.fail(`nothing is expected of ${name}`));
  });
});

describe.skipIf(listed("real").length === 0)("files and commands that people posted", () => {
  it.each(listed("real"))("%s", (name) => {
    const expected = posted[name.slice(0, 2)];
    const text = textOf(join(folder, "real", name));
    const read = name.endsWith(".cmd.txt")
      ? recognise({ text: "", command: words(text) })
      : recognise({ text, path: name.startsWith("14") ? `config/autosave/${name}` : name });
    // Of trainers that have no dialect here nothing is known but their names.
    if (expected) check(read, expected);
  });
});
