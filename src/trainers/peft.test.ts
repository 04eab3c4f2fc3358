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

  it("knows which methods have a rank, under which key, and its default", () => {
    const method = (peft_type: string, more: Record<string, unknown> = {}) => {
      const text = JSON.stringify({ peft_type, target_modules: ["q_proj"], ...more });
      const { lora_rank, lora_alpha, network_algo } = recognise({ text }).fields;
      expect(network_algo).toBe(peft_type.toLowerCase());
      return [lora_rank, lora_alpha];
    };
    for (const type of [
      ...[
        "FOURIERFT",
        "C3A",
        "LN_TUNING",
        "ROAD",
        "OSF",
        "FROD",
        "WAVEFT",
        "BEFT",
        "IA3",
        "OFT",
        "BOFT",
      ],
      ...["ADAPTION_PROMPT", "SUPERTUNING"],
    ])
      expect(method(type, { r: 8 })).toEqual([undefined, undefined]);
    expect(method("GRALORA")).toEqual([32, 64]);
    expect(method("VERA")).toEqual([256, undefined]);
    expect(method("MISS")).toEqual([64, undefined]);
    expect(method("VBLORA")).toEqual([4, undefined]);
    expect(method("RANDLORA", { randlora_alpha: 320 })).toEqual([32, 320]);
    expect(method("ADALORA", { r: 8, init_r: 64, target_r: 32, lora_alpha: 64 })).toEqual([64, 64]);
    expect(method("LOHA", { r: 4, alpha: 2 })).toEqual([4, 2]);
    expect(method("LOKR", { r: 10_000 })).toEqual([undefined, 8]);
    // A method of a later PEFT: only what its file says.
    expect(method("BRAND_NEW", { r: 12 })).toEqual([12, undefined]);
    expect(method("BRAND_NEW")).toEqual([undefined, undefined]);
  });

  it("knows the methods that train prompts, which have neither rank nor modules", () => {
    for (const peft_type of ["PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT"]) {
      const text = JSON.stringify({ peft_type, task_type: "CAUSAL_LM", num_virtual_tokens: 20 });
      const read = recognise({ text });
      expect(read).toMatchObject({
        trainer: "peft",
        fields: { network_algo: peft_type.toLowerCase() },
      });
      expect(read.fields).not.toHaveProperty("lora_rank");
    }
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
