import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { redactConfig } from "../platform/secrets/redact.ts";
import { decodeConfig } from "./decode.ts";
import { recognise } from "./recognise.ts";

const folder = join(import.meta.dirname, "../../../shared/trainer-configs");

/** What each real file is: trainer and kind, and values that are easy to get wrong. */
const expected: Record<string, [trainer: string, kind: string, fields?: Record<string, unknown>]> =
  {
    "ai-toolkit/train_lora_flux_24gb.yaml": [
      ...(["ai-toolkit", "run"] as const),
      { base_arch: "flux", lora_rank: 16, learning_rate: 1e-4, resolution: "512,768,1024" },
    ],
    "ai-toolkit/train_lora_wan21_14b_24gb.yaml": ["ai-toolkit", "run", { base_arch: "wan" }],
    "axolotl/lora-8b.yml": ["axolotl", "run", { network_algo: "lora", lora_rank: 32, epochs: 4 }],
    "axolotl/qlora.yml": [
      "axolotl",
      "run",
      { network_algo: "qlora", optimizer: "paged_adamw_32bit" },
    ],
    "diffusion-pipe/dataset.toml": ["diffusion-pipe", "dataset"],
    "diffusion-pipe/main_example.toml": [
      ...(["diffusion-pipe", "run"] as const),
      { lora_rank: 32, lora_alpha: 32, base_arch: "hunyuan-video", learning_rate: 2e-5 },
    ],
    "diffusion-pipe/wan_14b_min_vram.toml": ["diffusion-pipe", "run", { base_arch: "wan" }],
    "kohya_ss-gui/dataset.toml": ["kohya", "dataset", { batch_size: 4 }],
    "kohya_ss-gui/lokr-sd15.json": [
      ...(["kohya-gui", "run"] as const),
      { network_algo: "lokr", lora_rank: 64, conv_lora_rank: 64, optimizer: "Prodigy" },
    ],
    "kohya_ss-gui/meta-1_lat.json": ["kohya", "dataset"],
    "llama-factory/qwen3_lora_sft.yaml": ["llama-factory", "run", { lora_rank: 8, lora_alpha: 16 }],
    "llama-factory/v1_train_lora_sft.yaml": ["llama-factory", "run", { lora_rank: 16 }],
    "lora-scripts/SYNTHETIC-ui-export.toml": [
      ...(["lora-scripts", "run"] as const),
      { network_algo: "lokr", conv_lora_rank: 4, base_arch: "sdxl" },
    ],
    "lora-scripts/chroma.toml": ["lora-scripts", "preset"],
    "lora-scripts/default.toml": ["kohya", "run", { learning_rate: 1e-4, lora_rank: 32 }],
    "lora-scripts/lora.toml": ["kohya", "run", { epochs: 10, seed: 1337 }],
    "lora-scripts/sample_prompts.txt": ["unknown", "unknown"],
    "musubi-tuner/dataset_config.excerpt-L142-168.toml": ["musubi-tuner", "dataset"],
    "musubi-tuner/dataset_config.excerpt-L27-44.toml": ["musubi-tuner", "dataset"],
    "onetrainer/#flux LoRA.json": ["onetrainer", "run", { base_arch: "flux", lora_rank: 16 }],
    "onetrainer/#sdxl 1.0 LoRA.json": ["onetrainer", "run", { mixed_precision: "fp16" }],
    "peft/flux2-klein-rank64.adapter_config.json": [
      ...(["peft", "run"] as const),
      { base_arch: "flux2", model_type: "stable-diffusion", lora_rank: 64 },
    ],
    "peft/llama-3.2-3B-rank32.adapter_config.json": ["peft", "run", { model_type: "llm" }],
    "sd-scripts/config_README-en.excerpt-L26-61.toml": ["kohya", "dataset"],
    "sd-scripts/dataset_config.toml": ["kohya", "dataset"],
    "sd-scripts/lora_config.toml": [
      ...(["kohya", "run"] as const),
      { epochs: 2, learning_rate: 2e-4, network_algo: "lora", seed: 23 },
    ],
  };

const files = existsSync(folder)
  ? readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.includes("/") && /\.(?:toml|ya?ml|json|txt)$/.test(path))
      .filter((path) => !path.endsWith("SOURCES.txt"))
  : [];

describe.skipIf(files.length === 0)("real configs (skipped where their folder is absent)", () => {
  it.each(files)("%s is recognised, and no byte of it changed", (path) => {
    const bytes = new Uint8Array(readFileSync(join(folder, path)));
    const redacted = redactConfig(bytes);
    expect(redacted.redactions).toEqual([]);
    expect(redacted.bytes).toBe(bytes);

    const text = decodeConfig(bytes)?.text ?? "";
    const [trainer, kind, fields = {}] = expected[path] ?? [];
    // With its name and without: the format must not hang on the extension.
    for (const name of [path.replace(/.*\//, ""), undefined]) {
      const read = recognise({ text, ...(name && { path: name }) });
      if (trainer) expect(read).toMatchObject({ trainer, kind, fields });
      else expect(read.trainer).not.toBe("unknown");
    }
  });
});
