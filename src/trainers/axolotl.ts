import { basename, type Dialect, isOn, toNumber, toText } from "./dialect.ts";
import { isObject } from "./json.ts";

/** axolotl's YAML. A key with nothing behind it is unset. */
export const axolotl: Dialect = {
  trainer: "axolotl",
  recognise: ({ flat, command }) => {
    const named = command?.script === "axolotl" && flat.base_model !== undefined;
    const marks = toText(flat.adapter) !== undefined || flat.micro_batch_size !== undefined;
    if (!named && !(flat.base_model !== undefined && marks)) return null;
    return toText(flat.adapter) === undefined ? "full-fine-tune" : "run";
  },
  table: {
    task_name: { keys: ["wandb_name"] },
    model_type: { keys: [], otherwise: "llm" },
    base_model_path: { keys: ["base_model"] },
    lora_rank: { keys: ["lora_r"] },
    lora_alpha: { keys: ["lora_alpha"] },
    dropout: { keys: ["lora_dropout"], otherwise: 0 },
    batch_size: { keys: ["micro_batch_size"], otherwise: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
    epochs: { keys: ["num_epochs"], otherwise: 1 },
    max_steps: { keys: ["max_steps"] },
    learning_rate: { keys: ["learning_rate"] },
    optimizer: { keys: ["optimizer"], otherwise: "adamw_torch_fused" },
    scheduler: { keys: ["lr_scheduler"], otherwise: "cosine" },
    mixed_precision: { keys: [] },
    data_dir: { keys: [] },
    output_dir: { keys: ["output_dir"], otherwise: "./model-out" },
    log_dir: { keys: [] },
    save_every_n_epochs: { keys: [] },
    base_arch: { keys: [], otherwise: "llm" },
    network_algo: { keys: ["adapter"] },
    seed: { keys: ["seed"] },
  },
  refine: (draft, { flat }) => {
    const out = draft.fields.output_dir;
    if (!draft.has("task_name")) draft.set("task_name", out && basename(out));
    if (isOn(flat.peft_use_dora)) draft.set("network_algo", "dora");
    if (toNumber(flat.max_steps) === -1) draft.drop("max_steps");
    if (isOn(flat.bf16) || flat.bf16 === "full") draft.set("mixed_precision", "bf16");
    else if (isOn(flat.fp16)) draft.set("mixed_precision", "fp16");
    else if (flat.bf16 === false && !isOn(flat.fp16)) draft.set("mixed_precision", "no");
    else
      draft.warn(
        "mixed-precision",
        "bf16: auto takes what the GPU can do; mixed_precision is left empty.",
        "bf16",
      );
    const sets = (Array.isArray(flat.datasets) ? flat.datasets : []).filter(isObject);
    draft.read("data_dir", sets.map((set) => set.path ?? "").filter(Boolean), "datasets");
    if (isOn(flat.use_tensorboard)) draft.set("log_dir", `${out ?? "./model-out"}/runs`);
    // Checkpoints at each epoch's end are its habit unless told otherwise.
    if (toNumber(flat.saves_per_epoch) === 1 || flat.save_strategy === "epoch")
      draft.set("save_every_n_epochs", 1);
    else if (
      flat.saves_per_epoch === undefined &&
      flat.save_steps === undefined &&
      flat.save_strategy === undefined
    )
      draft.otherwise("save_every_n_epochs", 1);
  },
};
