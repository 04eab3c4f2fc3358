import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSafetensors } from "./safetensors.ts";

const folder = join(import.meta.dirname, "../../../shared/trainer-inputs/weights");

/** What files with the names and shapes of each trainer's tell: rank, convolutions' rank, alpha, algorithm, architecture. */
const expected: Record<
  string,
  [number | null, number | null, number | null, string | null, string | null]
> = {
  "aitk-flux2-klein": [32, null, 32, "lora", "flux2"],
  "aitk-qwen": [32, null, 32, "lora", "qwen-image"],
  "aitk-wan22": [32, null, 32, "lora", "wan"],
  "diffusers-flux": [8, null, 16, "lora", null],
  "flux-bfl-peft": [16, null, 16, "lora", null],
  "llm-peft": [16, null, null, "lora", "llm"],
  "lycoris-boft": [null, null, null, "boft", "sdxl"],
  "lycoris-full": [null, null, null, "full", "sd15"],
  "lycoris-locon-tucker": [32, 8, 16, "locon", "sdxl"],
  "merged-checkpoint": [null, null, null, null, null],
  "musubi-flux2": [32, null, 16, "lora", "flux2"],
  "musubi-wan": [32, null, 16, "lora", "wan"],
  "onetrainer-bundle-emb": [16, null, 1, "lora", "flux"],
  "onetrainer-lokr": [32, null, 16, "lokr", "sdxl"],
};

describe.skipIf(!existsSync(folder))("weight files (skipped where their folder is absent)", () => {
  it.each(Object.entries(expected))("%s", async (name, facts) => {
    const file = new Uint8Array(readFileSync(join(folder, `${name}.safetensors`)));
    const read = async (from: number, length: number) => file.slice(from, from + length);
    const { rank, convRank, alpha, algorithm, baseArch } = await readSafetensors(read, file.length);
    expect([rank, convRank, alpha, algorithm, baseArch]).toEqual(facts);
  });
});
