import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const read = (changes: Record<string, unknown>) =>
  recognise({ text: JSON.stringify({ peft_type: "LORA", r: 16, lora_alpha: 32, ...changes }) });

describe("PEFT", () => {
  it("reads every column an adapter has", () => {
    const { trainer, kind, fields, defaults, warnings } = read({
      base_model_name_or_path: "org/Llama-3B",
      lora_dropout: 0.1,
      task_type: "CAUSAL_LM",
      target_modules: ["q_proj"],
    });
    expect({ trainer, kind, warnings, defaults }).toEqual({
      trainer: "peft",
      kind: "run",
      warnings: [],
      defaults: [],
    });
    expect(fields).toEqual({
      model_type: "llm",
      base_model_path: "org/Llama-3B",
      lora_rank: 16,
      lora_alpha: 32,
      dropout: 0.1,
      base_arch: "llm",
      network_algo: "lora",
    });
  });

  it("finds out which kind of model it is for", () => {
    const type = (changes: Record<string, unknown>) => read(changes).fields.model_type;
    expect(type({ base_model_name_or_path: "black-forest-labs/FLUX.1-dev" })).toBe(
      "stable-diffusion",
    );
    expect(type({ target_modules: ["to_q", "to_k"] })).toBe("stable-diffusion");
    expect(type({ target_modules: ["q_proj", "v_proj"] })).toBe("llm");
    expect(type({ target_modules: null })).toBeUndefined();
  });

  it("knows algorithms, and PEFT's defaults", () => {
    expect(read({ use_dora: true }).fields.network_algo).toBe("dora");
    expect(read({ peft_type: "LOHA", alpha: 4, lora_alpha: null }).fields).toMatchObject({
      network_algo: "loha",
      lora_alpha: 4,
    });
    const silent = recognise({ text: '{"peft_type": "LORA", "target_modules": ["q_proj"]}' });
    expect(silent.fields).toMatchObject({ lora_rank: 8, lora_alpha: 8, dropout: 0 });
    expect(silent.defaults).toEqual(["lora_rank", "lora_alpha", "dropout"]);
  });
});
