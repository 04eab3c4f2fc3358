import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { recognise } from "../recognise.ts";

const folder = join(import.meta.dirname, "../../../../shared/trainer-inputs");

/** Files as people write them, what each is, and values that are easy to get wrong. */
const files: [path: string, trainer: string, kind: string, fields?: Record<string, unknown>][] = [
  ["unknown/accelerate-default.yaml", "unknown", "unknown"],
  ["unknown/finetrainers.sh", "finetrainers", "run", { lora_rank: 32, base_arch: "wan" }],
  ["unknown/flymyai-qwen.yaml", "flymyai", "run", { lora_rank: 16, resolution: "1024" }],
  [
    "unknown/invokeai-training.yaml",
    "invoke-training",
    "run",
    { lora_rank: 64, base_arch: "sdxl" },
  ],
  ["unknown/lora-easy-training-scripts.toml", "lora-easy-training-scripts", "run", { epochs: 5 }],
  ["unknown/mlx-lora.yaml", "mlx-lm", "run", { max_steps: 600 }],
  ["unknown/ms-swift.yaml", "ms-swift", "run", { mixed_precision: "bf16", lora_alpha: 32 }],
  ["unknown/nemo-automodel.yaml", "nemo-automodel", "run", { lora_rank: 8 }],
  ["unknown/simpletuner-config.json", "simpletuner", "run", { lora_rank: 16, max_steps: 10000 }],
  ["unknown/torchtune.yaml", "torchtune", "run", { lora_rank: 8 }],
  ["unknown/trl-sft.yaml", "trl", "run", { network_algo: "qlora" }],
  ["configs/llamaboard.yaml", "llama-factory", "run", { lora_rank: 8, epochs: 3 }],
  ["real/34-easy.toml", "lora-easy-training-scripts", "run", { lora_alpha: 16 }],
  ["real/28-gemma.yaml", "llama-factory", "run"],
  ["real/36-llama2.yml", "axolotl", "run"],
  ["logs/swift-yaml/c.yaml", "ms-swift", "run"],
  ["logs/mlx-lm/c.yaml", "mlx-lm", "run"],
  ["logs/torchtune/c.yaml", "torchtune", "run"],
  ["logs/lf-runtime-stopped-midway/c.yaml", "llama-factory", "run"],
];

/** The same for commands of `unknown/commands.json` and of files with one command. */
const commands: [name: string, trainer: string, fields?: Record<string, unknown>][] = [
  ["swift", "ms-swift", { lora_alpha: 32 }],
  ["swift-py", "ms-swift", { lora_rank: 8 }],
  ["unsloth-cli", "unsloth", { lora_rank: 64, max_steps: 400 }],
  ["trl", "trl", { lora_rank: 16, learning_rate: 2e-4 }],
  ["trl-script", "trl", { lora_rank: 16 }],
  ["mlx", "mlx-lm", { max_steps: 600 }],
  ["finetrainers", "finetrainers", { lora_rank: 32 }],
  ["simpletuner-old", "simpletuner", { lora_rank: 32, base_arch: "flux" }],
  ["diffsynth-old", "diffsynth-studio", { lora_rank: 4, lora_alpha: 8 }],
  ["torchtune", "torchtune", { lora_rank: 64 }],
  ["sd-scripts-maxepoch", "kohya"],
  ["fsdp_qlora", "unknown"],
  ["kohya-cut", "kohya"],
  ["llama-recipes", "unknown"],
  ["lit-gpt", "unknown"],
  ["real/30.cmd.txt", "ms-swift", { lora_rank: 8 }],
  ["real/33.cmd.txt", "simpletuner", { lora_rank: 32, learning_rate: 1, max_steps: 1500 }],
  ["real/01.cmd.txt", "kohya"],
  ["real/16.cmd.txt", "musubi-tuner"],
  ["real/29.cmd.txt", "llama-factory"],
  ["logs/finetrainers/command.txt", "unknown"],
  ["logs/swift-sft/command.txt", "ms-swift", { learning_rate: 1e-4 }],
  ["logs/swift-nested-output/command.txt", "ms-swift"],
  ["logs/megatron-swift/command.txt", "ms-swift"],
];

describe.skipIf(!existsSync(folder))("real inputs (skipped where their folder is absent)", () => {
  const text = (path: string) => readFileSync(join(folder, path), "utf8");

  it.each(files)("%s is of %s", (path, trainer, kind, fields = {}) => {
    for (const name of [path.replace(/.*\//, ""), undefined])
      expect(recognise({ text: text(path), ...(name && { path: name }) })).toMatchObject({
        ...{ trainer, kind, fields },
      });
  });

  it.each(commands)("%s is a command of %s", (name, trainer, fields = {}) => {
    const listed: Record<string, string> = JSON.parse(text("unknown/commands.json"));
    const command = (listed[name] ?? text(name)).trim().split(/\s+/);
    expect(recognise({ text: "", command })).toMatchObject({ trainer, fields });
  });
});
