import { type Dialect, isOn, toNumber, toText } from "./dialect.ts";
import { isObject } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** axolotl's YAML. A key with nothing behind it is unset. */
export const axolotl: Dialect = {
  trainer: "axolotl",
  recognise: ({ top, command }) => {
    const named = command?.script === "axolotl" && top.base_model !== undefined;
    const marks = toText(top.adapter) !== undefined || top.micro_batch_size !== undefined;
    if (!named && !(top.base_model !== undefined && marks)) return null;
    return toText(top.adapter) === undefined ? "full-fine-tune" : "run";
  },
  source: ({ top }) => top,
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
    max_steps: { keys: [] },
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
  refine: (draft, { top }) => {
    const out = draft.fields.output_dir;
    if (!draft.has("task_name")) draft.set("task_name", out && basename(out));
    if (isOn(top.peft_use_dora)) draft.set("network_algo", "dora");
    // -1 means as many steps as the epochs have.
    if (toNumber(top.max_steps) !== -1) draft.read("max_steps", top.max_steps, "max_steps");
    if (isOn(top.bf16) || top.bf16 === "full") draft.set("mixed_precision", "bf16");
    else if (isOn(top.fp16)) draft.set("mixed_precision", "fp16");
    else if (top.bf16 === false && !isOn(top.fp16)) draft.set("mixed_precision", "no");
    else
      draft.warn(
        "mixed-precision",
        "bf16: auto takes what the GPU can do; mixed_precision is left empty.",
        "bf16",
      );
    const sets = (Array.isArray(top.datasets) ? top.datasets : []).filter(isObject);
    draft.read("data_dir", sets.map((set) => set.path ?? "").filter(Boolean), "datasets");
    if (isOn(top.use_tensorboard)) draft.set("log_dir", `${out ?? "./model-out"}/runs`);
    // The trainer saves a checkpoint at the end of each epoch unless a setting says otherwise.
    if (toNumber(top.saves_per_epoch) === 1 || top.save_strategy === "epoch")
      draft.set("save_every_n_epochs", 1);
    else if (
      top.saves_per_epoch === undefined &&
      top.save_steps === undefined &&
      top.save_strategy === undefined
    )
      draft.otherwise("save_every_n_epochs", 1);
  },
};
