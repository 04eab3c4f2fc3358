import { archOrWord, type Dialect, isOn, toText } from "./dialect.ts";
import { basename } from "./path.ts";

/** `train_text_to_image_lora_sdxl`, `train_dreambooth_lora_flux`, and their like. */
const script = /^train_(?:text_to_image|dreambooth)_lora(?:_(.+))?$/;

/** The same scripts for whole models. */
const fullScript =
  /^train_(?:text_to_image|dreambooth|unconditional|controlnet|instruct_pix2pix)(?:_(?!lora).+)?$/;

/** The example scripts of huggingface/diffusers, which take arguments alone. */
export const diffusers: Dialect = {
  trainer: "diffusers",
  recognise: ({ command }) => {
    const name = command?.script ?? "";
    if (script.test(name)) return "run";
    return fullScript.test(name) ? "full-fine-tune" : null;
  },
  table: {
    task_name: { keys: [] },
    model_type: { keys: [], otherwise: "stable-diffusion" },
    base_model_path: { keys: ["pretrained_model_name_or_path"] },
    lora_rank: { keys: ["rank"], otherwise: 4 },
    lora_alpha: { keys: ["lora_alpha"] },
    dropout: { keys: ["lora_dropout"], otherwise: 0 },
    batch_size: { keys: ["train_batch_size"] },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
    epochs: { keys: ["num_train_epochs"] },
    max_steps: { keys: ["max_train_steps"] },
    learning_rate: { keys: ["learning_rate"] },
    optimizer: { keys: ["optimizer"], otherwise: "AdamW" },
    scheduler: { keys: ["lr_scheduler"], otherwise: "constant" },
    mixed_precision: { keys: ["mixed_precision"] },
    data_dir: { keys: ["instance_data_dir", "train_data_dir", "dataset_name"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: [] },
    sample_prompts: { keys: ["validation_prompt", "validation_prompts"] },
    base_arch: { keys: [] },
    network_algo: { keys: [], otherwise: "lora" },
    seed: { keys: ["seed"] },
    resolution: { keys: ["resolution"] },
  },
  refine: (draft, { flat, command }) => {
    const name = command?.script ?? "";
    const variant = script.exec(name)?.[1] ?? "";
    // The part behind `lora_`; a script without it is for Stable Diffusion 1.
    draft.set("base_arch", variant ? archOrWord(variant) : "sd15");
    // The scripts for whole models have other defaults.
    if (fullScript.test(name)) draft.noDefault("batch_size", "learning_rate", "epochs");
    const isDreambooth = name.includes("dreambooth");
    draft.otherwise("batch_size", isDreambooth ? 4 : 16);
    draft.otherwise("learning_rate", isDreambooth && variant === "" ? 5e-4 : 1e-4);
    draft.otherwise("resolution", /^sd_?xl/.test(variant) ? "1024" : "512");
    // Steps win over epochs where both are there.
    if (draft.has("max_steps")) draft.drop("epochs");
    else draft.otherwise("epochs", isDreambooth ? 1 : 100);
    // Scripts that know --lora_alpha give it 4; the others take the rank.
    const knowsAlpha =
      isDreambooth && /^(?:flux|sd3|sana|lumina2|hidream|qwen|z_image)/.test(variant);
    draft.otherwise("lora_alpha", knowsAlpha ? 4 : (draft.fields.lora_rank ?? 4));
    if (!draft.has("mixed_precision"))
      draft.read(
        "mixed_precision",
        command?.launcher.mixed_precision,
        "accelerate's mixed_precision",
      );
    if (isOn(flat.use_8bit_adam)) draft.set("optimizer", "AdamW8bit");
    if (isOn(flat.use_dora)) draft.set("network_algo", "dora");
    const out = draft.fields.output_dir;
    draft.set("task_name", out && basename(out));
    const logs = toText(flat.logging_dir) ?? "logs";
    if (toText(flat.logging_dir)) draft.set("log_dir", out ? `${out}/${logs}` : logs);
    else draft.otherwise("log_dir", out ? `${out}/${logs}` : logs);
  },
};
