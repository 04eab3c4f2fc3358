import { describe, expect, it } from "vitest";
import shared from "../../test/shared/notebook.json" with { type: "json" };
import { recognise } from "./recognise.ts";

const read = (found: Record<string, unknown>, command?: string[]) =>
  recognise({
    text: JSON.stringify({ form: "notebook", ...found }),
    path: "notebook.json",
    command,
  });

const sft = {
  library: "trl",
  training_arguments: {
    ...{ output_dir: "./aki-sft", run_name: null, per_device_train_batch_size: 2 },
    ...{ gradient_accumulation_steps: 4, num_train_epochs: 3, max_steps: 60, learning_rate: 2e-4 },
    ...{ optim: "adamw_8bit", lr_scheduler_type: "cosine", bf16: true, fp16: false, seed: 3407 },
  },
  peft_config: {
    ...{ peft_type: "LORA", task_type: "CAUSAL_LM", r: 16, lora_alpha: 32, lora_dropout: 0.05 },
    ...{ base_model_name_or_path: "org/Llama-3B", target_modules: ["q_proj"], use_dora: false },
  },
  model: { class: "PeftModelForCausalLM", name_or_path: "org/Llama-3B" },
};

describe("settings that the client found in a program's objects", () => {
  it.each(shared.cases.map((one) => [one.name, one] as const))("fill columns: %s", (_, one) => {
    const { trainer, kind, fields, defaults, warnings } = read(one.found);
    expect({ trainer, kind, defaults, warnings }).toEqual({
      ...{ trainer: one.trainer, kind: "run", defaults: [], warnings: [] },
    });
    expect(fields).toEqual(one.fields);
  });

  it("count steps where they were asked for, else epochs", () => {
    const of = (max_steps: number) =>
      read({ ...sft, training_arguments: { ...sft.training_arguments, max_steps } }).fields;
    expect(of(60)).toMatchObject({ max_steps: 60 });
    expect(of(60).epochs).toBeUndefined();
    expect(of(-1)).toMatchObject({ epochs: 3 });
    expect(of(-1).max_steps).toBeUndefined();
  });

  it("win over variables, which fill what they leave open", () => {
    const variables = { LEARNING_RATE: 1, r: 4, config: { seed: 5, resolution: 1024 }, SEED: 6 };
    expect(read({ ...sft, variables }).fields).toMatchObject({
      learning_rate: 2e-4,
      lora_rank: 16,
      seed: 3407,
      resolution: "1024",
    });
    expect(read({ variables }).fields).toMatchObject({ learning_rate: 1, lora_rank: 4, seed: 6 });
  });

  it("tell the algorithm and the kind of model only where they say so", () => {
    const algo = (peft: Record<string, unknown>, variables = {}) =>
      read({ ...sft, peft_config: { ...sft.peft_config, ...peft }, variables }).fields.network_algo;
    expect(algo({ use_dora: true })).toBe("dora");
    expect(algo({ peft_type: "LOHA" })).toBe("loha");
    expect(algo({}, { load_in_4bit: true })).toBe("qlora");
    const { fields } = read({
      library: "transformers",
      training_arguments: sft.training_arguments,
      model: { class: "ViTForImageClassification", name_or_path: "org/vit" },
    });
    expect([fields.model_type, fields.base_arch, fields.network_algo]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(read({ variables: { MODEL_ID: "black-forest-labs/FLUX.1-dev" } }).fields).toMatchObject({
      ...{ model_type: "stable-diffusion", base_arch: "flux", task_name: "FLUX.1-dev" },
    });
  });

  it("name the run by its run name, its folder, or its model", () => {
    const name = (changes: Record<string, unknown>) =>
      read({ ...sft, training_arguments: { ...sft.training_arguments, ...changes } }).fields
        .task_name;
    expect(name({ run_name: "third try" })).toBe("third try");
    expect(name({ run_name: "outputs", output_dir: "outputs" })).toBe("Llama-3B");
    expect(name({ output_dir: "/content/outputs/" })).toBe("Llama-3B");
    expect(name({ output_dir: "runs/aki" })).toBe("aki");
  });

  it("are not guessed at where several objects could be meant", () => {
    const { fields, warnings } = read({
      several: { peft_config: { a: { peft_type: "LORA", r: 8 }, b: { peft_type: "LORA", r: 16 } } },
    });
    expect(fields.lora_rank).toBeUndefined();
    expect(warnings).toEqual([
      {
        code: "several-objects",
        message:
          "Several objects could be the run's peft_config (a, b); no column is read from them.",
        path: "several.peft_config",
      },
    ]);
  });

  it("are named in warnings by where they stand", () => {
    expect(read({ variables: { config: { RANK: 1e9 } } }).warnings).toMatchObject([
      { code: "out-of-range", path: "variables.config.RANK" },
    ]);
  });

  it("may be of any kind without harm", () => {
    for (const value of [null, 1, "text", [], [[]], { a: { b: {} } }])
      for (const key of ["training_arguments", "peft_config", "model", "variables", "several"])
        expect(read({ [key]: value }).trainer).toBe("python");
  });
});
