import type { Declaration } from "./form.ts";
import { llm } from "./transformers.ts";

/** Spellings of torch's types; "auto" is none of them. */
const dtypes = { float32: "no", fp32: "no", bfloat16: "bf16", float16: "fp16" };

/**
 * mlx-lm's `mlx_lm.lora`: YAML or arguments (mlx_lm/lora.py, CONFIG_DEFAULTS). It scales by `scale`
 * and has no alpha.
 */
const mlxLm: Declaration = {
  name: "mlx-lm",
  recognise: {
    commands: ["mlx_lm.lora", "mlx_lm lora", "mlx_lm.lora.py"],
    keys: ["model"],
    any: ["lora_parameters", "adapter_path", "num_layers"],
    where: [{ key: "train", given: true }],
  },
  kinds: [
    { kind: "unknown", where: [{ key: "train", is: [false] }] },
    { kind: "full-fine-tune", where: [{ key: "fine_tune_type", is: ["full"] }] },
  ],
  columns: {
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model"] },
    lora_rank: { keys: ["lora_parameters.rank"], default: 8 },
    dropout: { keys: ["lora_parameters.dropout"], default: 0 },
    batch_size: { keys: ["batch_size"], default: 4 },
    gradient_accumulation_steps: { keys: ["grad_accumulation_steps"], default: 1 },
    max_steps: { keys: ["iters"], default: 1000 },
    learning_rate: { keys: ["learning_rate"], default: 1e-5 },
    optimizer: { keys: ["optimizer"], default: "adam" },
    scheduler: { keys: ["lr_schedule.name"] },
    data_dir: { keys: ["data"], default: "data/" },
    output_dir: { keys: ["adapter_path"], default: "adapters" },
    network_algo: { keys: ["fine_tune_type"], default: "lora" },
    seed: { keys: ["seed"], default: 0 },
  },
  console: {
    // From 0.32 on it prints a table, whose arrow says where the loss goes.
    lines: [
      "Iter {step}: Train loss {loss}, Learning Rate {learning_rate},",
      "{step} {loss} ▼",
      "{step} {loss} ▲",
    ],
  },
  files: {
    output: ["adapter_path"],
    default_output: "adapters",
    final: ["adapters.safetensors"],
    checkpoints: ["{step}_adapters.safetensors"],
    data: ["data"],
    steps: ["iters"],
  },
};

/**
 * torchtune's recipes: YAML with `_component_`s, `key=value` over it (recipes/lora_finetune_*.py and
 * their configs). It has no defaults of its own: every config says all.
 */
const torchtune: Declaration = {
  name: "torchtune",
  recognise: {
    commands: ["tune run"],
    where: [{ key: "model._component_", has: "torchtune." }],
  },
  kinds: [
    {
      kind: "unknown",
      where: [
        { key: "model", given: true },
        { key: "dataset", given: false },
        { key: "epochs", given: false },
      ],
    },
    {
      kind: "full-fine-tune",
      where: [
        { key: "model._component_", not: [""] },
        { key: "model.lora_rank", given: false },
      ],
    },
  ],
  columns: {
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["checkpointer.checkpoint_dir"] },
    lora_rank: { keys: ["model.lora_rank"] },
    lora_alpha: { keys: ["model.lora_alpha"] },
    dropout: { keys: ["model.lora_dropout"] },
    batch_size: { keys: ["batch_size"] },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"] },
    epochs: { keys: ["epochs"] },
    learning_rate: { keys: ["optimizer.lr"] },
    optimizer: { keys: ["optimizer._component_"], after: "." },
    scheduler: { keys: ["lr_scheduler._component_"], after: "." },
    mixed_precision: { keys: ["dtype"], words: dtypes },
    data_dir: { keys: ["dataset.data_files", "dataset.source", "dataset._component_"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["metric_logger.log_dir"] },
    network_algo: { flags: { "model.use_dora": "dora" }, default: "lora" },
    seed: { keys: ["seed"] },
  },
  console: {
    lines: ["Step {step} | loss:{loss} lr:{lr}"],
  },
  files: {
    output: ["output_dir"],
    final: ["epoch_{epoch}/adapter_model.safetensors", "epoch_{epoch}/adapter_model.pt"],
    last_is_final: true,
    logs: ["metric_logger.log_dir"],
  },
};

/**
 * NeMo Automodel's recipes (examples/llm_finetune/*.yaml), whose files say all: sections with `_target_`s. How
 * many batches are accumulated comes from the number of GPUs.
 */
const nemoAutomodel: Declaration = {
  name: "nemo-automodel",
  recognise: {
    keys: ["step_scheduler", "model"],
    any: ["model.pretrained_model_name_or_path", "model._target_"],
    where: [{ key: "step_scheduler.local_batch_size", given: true }],
  },
  kinds: [
    { kind: "full-fine-tune", where: [{ key: ["peft.dim", "peft._target_"], given: false }] },
  ],
  columns: {
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model.pretrained_model_name_or_path"] },
    lora_rank: { keys: ["peft.dim"] },
    lora_alpha: { keys: ["peft.alpha"] },
    dropout: { keys: ["peft.dropout"] },
    batch_size: { keys: ["step_scheduler.local_batch_size"] },
    epochs: { keys: ["step_scheduler.num_epochs"] },
    max_steps: { keys: ["step_scheduler.max_steps"] },
    learning_rate: { keys: ["optimizer.lr"] },
    optimizer: { keys: ["optimizer._target_"], after: "." },
    scheduler: { keys: ["lr_scheduler.lr_decay_style"] },
    data_dir: { keys: ["dataset.path_or_dataset", "dataset.path_or_dataset_id"] },
    output_dir: { keys: ["checkpoint.checkpoint_dir"] },
    network_algo: { flags: { "peft.use_dora": "dora" }, default: "lora" },
    seed: { keys: ["rng.seed"] },
  },
  files: {
    output: ["checkpoint.checkpoint_dir"],
    checkpoints: ["epoch_{epoch}_step_{step}/model/adapter_model.safetensors"],
    last_is_final: true,
    steps: ["step_scheduler.max_steps"],
  },
};

export const languageModels: Declaration[] = [mlxLm, torchtune, nemoAutomodel];
