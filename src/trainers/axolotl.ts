import { type Dialect, isOn, readLaunchedPrecision, toNumber, toText } from "./dialect.ts";
import { isObject } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** axolotl's YAML. A key with nothing behind it is unset. */
export const axolotl: Dialect = {
  trainer: "axolotl",
  recognise: ({ top, command }) => {
    const named = command?.script === "axolotl" && top.base_model !== undefined;
    // Other scripts of LoRAs have the two names as well; the list of data sets and the length are its own.
    const marks =
      toText(top.adapter) !== undefined ||
      (top.micro_batch_size !== undefined &&
        (toNumber(top.lora_r) === undefined ||
          Array.isArray(top.datasets) ||
          top.pretraining_dataset !== undefined ||
          top.sequence_len !== undefined));
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
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"] },
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
    // transformers' own default, which nothing here replaces.
    seed: { keys: ["seed"], otherwise: 42 },
  },
  refine: (draft, { top, command }) => {
    const out = draft.fields.output_dir;
    if (!draft.has("task_name")) draft.set("task_name", out && basename(out), "output_dir");
    if (isOn(top.peft_use_dora)) draft.set("network_algo", "dora", "peft_use_dora");
    // The whole of a step, from which the trainer works out how often it accumulates.
    const whole = toNumber(top.batch_size);
    const steps = whole && Math.floor(whole / (draft.fields.batch_size ?? 1));
    if (!draft.has("gradient_accumulation_steps") && steps)
      draft.read("gradient_accumulation_steps", steps, "batch_size");
    draft.otherwise("gradient_accumulation_steps", 1);
    // -1 means as many steps as the epochs have.
    if (toNumber(top.max_steps) !== -1) draft.read("max_steps", top.max_steps, "max_steps");
    if (isOn(top.bf16) || top.bf16 === "full") draft.set("mixed_precision", "bf16", "bf16");
    else if (isOn(top.fp16)) draft.set("mixed_precision", "fp16", "fp16");
    else if (top.bf16 === false && command?.launcher.mixed_precision !== undefined)
      readLaunchedPrecision(draft, command);
    else if (top.bf16 === false) draft.set("mixed_precision", "no", "bf16");
    else
      draft.warn(
        "mixed-precision",
        "bf16: auto takes what the GPU can do; mixed_precision is left empty.",
        "bf16",
      );
    const sets = (Array.isArray(top.datasets) ? top.datasets : []).filter(isObject);
    draft.readSeveral(
      "data_dir",
      sets.map((set) => set.path),
      "datasets",
      ", ",
    );
    if (isOn(top.use_tensorboard))
      draft.set("log_dir", `${out ?? "./model-out"}/runs`, out ? "output_dir" : "use_tensorboard");
    // The trainer saves a checkpoint at the end of each epoch unless a setting says otherwise.
    if (toNumber(top.saves_per_epoch) === 1) draft.set("save_every_n_epochs", 1, "saves_per_epoch");
    else if (top.save_strategy === "epoch") draft.set("save_every_n_epochs", 1, "save_strategy");
    else if (
      top.saves_per_epoch === undefined &&
      top.save_steps === undefined &&
      top.save_strategy === undefined
    )
      draft.otherwise("save_every_n_epochs", 1);
  },
};
