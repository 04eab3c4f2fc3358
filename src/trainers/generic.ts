import { archOf, archOfName } from "../shared/architectures.ts";
import type { Dialect } from "./dialect.ts";
import { toText } from "./dialect.ts";

/** The plain file of the founding document, in the spellings people use for it. No defaults. */
export const generic: Dialect = {
  trainer: "generic",
  recognise: ({ flat }) => {
    const has = (...keys: string[]) => keys.some((key) => flat[key] !== undefined);
    const rank = has("network_dim", "lora_rank", "rank");
    if (has("base_model", "base_model_path") && rank) return "run";
    return has("task_name") && (rank || has("learning_rate", "train_data_dir", "data_dir"))
      ? "run"
      : null;
  },
  table: {
    task_name: { keys: ["task_name", "name", "output_name"] },
    model_type: { keys: ["model_type"] },
    base_model_path: {
      keys: [
        "base_model_path",
        "base_model",
        "pretrained_model_name_or_path",
        "model_name_or_path",
      ],
    },
    lora_rank: { keys: ["lora_rank", "network_dim", "rank"] },
    lora_alpha: { keys: ["lora_alpha", "network_alpha", "alpha"] },
    dropout: { keys: ["dropout", "lora_dropout", "network_dropout"] },
    conv_lora_rank: { keys: ["conv_lora_rank", "conv_dim"] },
    conv_alpha: { keys: ["conv_alpha"] },
    batch_size: { keys: ["batch_size", "train_batch_size"] },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"] },
    epochs: { keys: ["epochs", "max_train_epochs", "num_train_epochs", "num_epochs"] },
    max_steps: { keys: ["max_steps", "max_train_steps"] },
    learning_rate: { keys: ["learning_rate", "lr"] },
    optimizer: { keys: ["optimizer", "optimizer_type"] },
    scheduler: { keys: ["scheduler", "lr_scheduler", "lr_scheduler_type"] },
    mixed_precision: { keys: ["mixed_precision"] },
    data_dir: { keys: ["data_dir", "train_data_dir"] },
    metadata_path: { keys: ["metadata_path", "in_json"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["log_dir", "logging_dir"] },
    sample_prompts: { keys: ["sample_prompts"] },
    save_every_n_epochs: { keys: ["save_every_n_epochs"] },
    caption_tag_delim: { keys: ["caption_tag_delim", "caption_separator"] },
    base_arch: { keys: ["base_arch"] },
    network_algo: { keys: ["network_algo", "algo"] },
    seed: { keys: ["seed"] },
    resolution: { keys: ["resolution"] },
    experiment_group: { keys: ["experiment_group"] },
  },
  refine: (draft, { flat }) => {
    const type = draft.fields.model_type;
    const named = draft.fields.base_arch;
    if (named !== undefined) {
      draft.set("base_arch", archOf(named) ?? named);
      return;
    }
    draft.set(
      "base_arch",
      type === "llm"
        ? "llm"
        : (archOf(toText(flat.model_type)) ?? archOfName(draft.fields.base_model_path)),
    );
  },
};
