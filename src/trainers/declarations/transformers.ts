import type { ColumnRule, Condition, Declaration, FileRules, Scalar } from "./form.ts";

export const llm: ColumnRule = { default: "llm" };

/** `max_steps` above 0 goes before the epochs; -1 and 0 mean "as many as the epochs have". */
const stepsRule: Condition[] = [{ key: "max_steps", given: true, not: [-1, 0] }];

/**
 * Arguments of transformers' Trainer and their defaults (5.24.0, training_args.py, `TrainingArguments`).
 * Its AdamW is the fused one since 5.0 on torch 2.8 and later, which is the same rule.
 */
const trainerArguments = {
  batch_size: { keys: ["per_device_train_batch_size"], default: 8 },
  gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 1 },
  epochs: { keys: ["num_train_epochs"], default: 3, unless: stepsRule },
  max_steps: { keys: ["max_steps"], unset: [-1, 0] },
  learning_rate: { keys: ["learning_rate"], default: 5e-5 },
  optimizer: { keys: ["optim"], default: "adamw_torch" },
  scheduler: { keys: ["lr_scheduler_type"], default: "linear" },
  output_dir: { keys: ["output_dir"] },
  log_dir: { keys: ["logging_dir"] },
  save_every_n_epochs: { cases: [{ where: [{ key: "save_strategy", is: ["epoch"] }], value: 1 }] },
  seed: { keys: ["seed"], default: 42 },
} satisfies Declaration["columns"];

/** A run's own name, else the folder it writes to. */
export const nameOr = (output: string[], ...names: string[]): ColumnRule => ({
  ...(names.length > 0 && { keys: names }),
  or: { keys: output, after: "/" },
});

/** What the Trainer writes for an adapter of PEFT's. */
const adapterFiles: FileRules = {
  output: ["output_dir"],
  layout: "transformers",
  logs: ["logging_dir"],
  name: ["run_name"],
  steps: ["max_steps"],
};

/** Neither of the two flags, where one of them is said to be off. */
const plainPrecision = {
  where: [
    { key: "bf16", is: [false] },
    { key: "fp16", not: [true] },
  ],
  value: "no",
};

/** The names that ms-swift's setting had: `sft_type` until 2, `train_type` in 3, `tuner_type` since 4. */
const tuner = ["tuner_type", "train_type", "sft_type"];
const loraTuners = ["lora", "longlora", "adalora", "lora_llm"];
const tuners: Scalar[] = [
  ...loraTuners,
  ...["full", "llamapro", "adapter", "vera", "boft", "fourierft", "reft", "bone", "ia3"],
];
/** Tuners whose rank, if they have one, is another setting. */
const isOtherTuner: Condition[] = [{ key: tuner, given: true, not: loraTuners }];
const isFull: Condition[] = [{ key: tuner, is: ["full"] }];
/** Settings of version 2. */
const isOld: Condition[] = [{ key: "sft_type", given: true }];

const swiftModel = ["model", "model_id_or_path", "load", "mcore_model", "model_type"];
const swiftAlgo: ColumnRule = {
  flags: { use_dora: "dora" },
  or: {
    cases: [
      {
        where: [
          { key: ["quant_bits", "quantization_bit"], is: [4] },
          { key: tuner, not: tuners.filter((name) => name !== "lora") },
        ],
        value: "qlora",
      },
    ],
    keys: tuner,
    words: { lora_llm: "lora" },
  },
  default: "lora",
};

/**
 * ms-swift (4.6.0: swift/arguments/sft_args.py, base_args/base_args.py and tuner_args.py, and
 * trainers/arguments.py, `TrainArgumentsMixin`). Accumulation comes from the number of GPUs where the
 * file is silent, the precision from the model.
 */
const msSwift: Declaration = {
  name: "ms-swift",
  recognise: {
    commands: [
      ...["swift sft", "swift pt", "swift rlhf"],
      ...["swift.cli.sft", "swift.cli.pt", "swift.cli.rlhf"],
      ...["swift/cli/sft.py", "swift/cli/pt.py", "swift/cli/rlhf.py"],
    ],
    any: ["model", "model_id_or_path", "model_type"],
    none: ["model_name_or_path", "base_model", "pretrained_model_name_or_path"],
    where: [{ key: tuner, is: tuners }],
  },
  kinds: [{ kind: "full-fine-tune", where: isFull }],
  columns: {
    ...trainerArguments,
    task_name: nameOr(["output_dir"], "run_name"),
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: swiftModel },
    lora_rank: { keys: ["lora_rank"], default: 8, unless: isOtherTuner },
    lora_alpha: { keys: ["lora_alpha"], default: 32, unless: isOtherTuner },
    dropout: { keys: ["lora_dropout", "lora_dropout_p"], default: 0.05, unless: isOtherTuner },
    batch_size: { keys: ["per_device_train_batch_size", "batch_size"], default: 1 },
    gradient_accumulation_steps: {
      keys: ["gradient_accumulation_steps"],
      defaults: [{ where: [{ key: "rlhf_type", is: ["grpo"] }], value: 1 }],
    },
    epochs: {
      keys: ["max_epochs", "num_train_epochs"],
      default: 3,
      defaults: [{ where: isOld, value: 1 }],
      unless: stepsRule,
    },
    learning_rate: {
      keys: ["learning_rate"],
      default: 1e-4,
      defaults: [{ where: isFull, value: 1e-5 }],
    },
    optimizer: { keys: ["optimizer", "optim"], default: "adamw_torch" },
    scheduler: { keys: ["lr_scheduler_type"], default: "cosine" },
    // A model in float32 is trained with fp16 (base_args/model_args.py, `_init_mixed_precision`).
    mixed_precision: {
      flags: { bf16: "bf16", fp16: "fp16" },
      or: {
        cases: [plainPrecision],
        keys: ["torch_dtype", "dtype"],
        words: { float32: "fp16", fp32: "fp16" },
        unset: ["auto"],
      },
    },
    data_dir: { keys: ["dataset", "custom_train_dataset_path", "cached_dataset"] },
    network_algo: swiftAlgo,
  },
  console: {
    bar: "Train",
  },
  files: {
    ...adapterFiles,
    default_output: "output",
    // It makes a folder of its own below, `v0-20250101-120000`, unless `add_version` is off.
    checkpoints: ["{}/v{}/checkpoint-{step}/adapter_model.safetensors"],
    last_is_final: true,
    data: ["dataset", "custom_train_dataset_path"],
  },
};

/**
 * ms-swift over Megatron (4.6.0: swift/megatron/arguments/megatron_args.py, `MegatronArguments`). It trains the
 * whole model unless told. Accumulation comes from the global batch and the number of GPUs.
 */
const megatronSwift: Declaration = {
  name: "ms-swift",
  recognise: {
    commands: [
      ...["megatron sft", "megatron pt", "megatron rlhf", "megatron_sft.py"],
      ...["swift.cli._megatron.sft", "swift.cli._megatron.pt", "swift.cli._megatron.rlhf"],
      ...["cli/_megatron/sft.py", "cli/_megatron/pt.py", "cli/_megatron/rlhf.py"],
    ],
    any: ["micro_batch_size", "global_batch_size", "mcore_model", "tensor_model_parallel_size"],
    none: ["base_model", "model_name_or_path", "datasets"],
    where: [{ key: tuner, is: ["lora", "full", "lora_llm"] }],
  },
  kinds: [{ kind: "full-fine-tune", where: [{ key: tuner, not: ["lora", "lora_llm"] }] }],
  columns: {
    task_name: nameOr(["output_dir", "save"], "wandb_exp_name"),
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model", "mcore_model", "load"] },
    lora_rank: { keys: ["lora_rank"], default: 8 },
    lora_alpha: { keys: ["lora_alpha"], default: 32 },
    dropout: { keys: ["lora_dropout"], default: 0.05 },
    batch_size: { keys: ["micro_batch_size"], default: 1 },
    epochs: { keys: ["num_train_epochs", "max_epochs"] },
    max_steps: { keys: ["train_iters"] },
    learning_rate: {
      keys: ["lr"],
      default: 1e-5,
      defaults: [{ where: [{ key: tuner, is: ["lora", "lora_llm"] }], value: 1e-4 }],
    },
    optimizer: { keys: ["optimizer"], default: "adam" },
    scheduler: { keys: ["lr_decay_style"], default: "cosine" },
    mixed_precision: {
      flags: { bf16: "bf16", fp16: "fp16" },
      or: { cases: [plainPrecision], keys: ["torch_dtype"] },
    },
    data_dir: { keys: ["dataset", "cached_dataset"] },
    output_dir: { keys: ["output_dir", "save"] },
    log_dir: { keys: ["tensorboard_dir"] },
    save_every_n_epochs: {
      cases: [{ where: [{ key: "save_strategy", is: ["epoch"] }], value: 1 }],
    },
    network_algo: { keys: tuner, words: { lora_llm: "lora" } },
    seed: { keys: ["seed"], default: 42 },
  },
  console: {
    bar: "Train",
    lines: [
      "iteration {step}/ {total} | {} | learning rate: {learning_rate} | {} | loss: {loss} |",
      "'loss': {loss}, {} 'iteration': '{step}/{total}'",
    ],
  },
  files: {
    output: ["output_dir", "save"],
    default_output: "megatron_output",
    checkpoints: [
      "v{}/checkpoint-{step}/adapter_model.safetensors",
      "checkpoint-{step}/adapter_model.safetensors",
      "v{}/iter_{step}-hf/adapter_model.safetensors",
    ],
    last_is_final: true,
    logs: ["tensorboard_dir"],
    data: ["dataset"],
    name: ["wandb_exp_name"],
    steps: ["train_iters"],
  },
};

/** What each of TRL's trainers has for its own default (1.16.0, trl/trainer/*_config.py). */
const trlRates: { [method: string]: number } = {
  sft: 2e-5,
  dpo: 1e-6,
  grpo: 1e-6,
  kto: 1e-6,
  rloo: 1e-6,
  reward: 1e-4,
};

/** TRL's arguments (1.16.0: trl/trainer/base_config.py and model_config.py, trl/scripts/utils.py). */
const trlOf = (recognise: Declaration["recognise"], rate?: number): Declaration => ({
  name: "trl",
  recognise,
  kinds: [{ kind: "full-fine-tune", where: [{ key: "use_peft", not: [true] }] }],
  columns: {
    ...trainerArguments,
    task_name: nameOr(["output_dir"], "run_name"),
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model_name_or_path"] },
    lora_rank: { keys: ["lora_r"], default: 16 },
    lora_alpha: { keys: ["lora_alpha"], default: 32 },
    dropout: { keys: ["lora_dropout"], default: 0.05 },
    learning_rate: {
      keys: ["learning_rate"],
      ...(rate !== undefined && { default: rate }),
      defaults: [
        { where: [{ key: "reward_funcs", given: true }], value: trlRates.grpo ?? 0 },
        { where: [{ key: "dataset_text_field", given: true }], value: trlRates.sft ?? 0 },
      ],
    },
    mixed_precision: {
      cases: [plainPrecision],
      flags: { bf16: "bf16", fp16: "fp16" },
      default: "bf16",
    },
    data_dir: { keys: ["dataset_name", "datasets[].path", "dataset_id_or_path"] },
    network_algo: {
      flags: { use_dora: "dora", load_in_4bit: "qlora" },
      default: "lora",
    },
  },
  files: { ...adapterFiles, data: ["dataset_name"] },
});

/** A file of TRL's does not say its trainer; the command does. */
const trl: Declaration[] = [
  ...Object.entries(trlRates).map(([method, rate]) =>
    trlOf(
      {
        commands: [
          `trl ${method}`,
          `trl.scripts.${method}`,
          `trl/scripts/${method}.py`,
          `examples/scripts/${method}.py`,
        ],
      },
      rate,
    ),
  ),
  trlOf({
    keys: ["model_name_or_path"],
    imports: ["trl"],
    any: ["use_peft", "dataset_text_field", "reward_funcs", "assistant_only_loss"],
    none: ["finetuning_type", "stage", "bits", "double_quant", "lora_rank", "peft_config"],
  }),
];

const unslothConsole: Declaration["console"] = {
  lines: ["Num examples = {} | Num Epochs = {total_epochs} | Total steps = {total}"],
};

/**
 * `unsloth train`: YAML or JSON in sections, each of which is an argument too (unsloth 2026.10.9:
 * unsloth_cli/config.py; optimizer and scheduler: studio/backend/core/training/trainer.py). The precision
 * is the GPU's best.
 */
const unsloth: Declaration = {
  name: "unsloth",
  recognise: {
    commands: ["unsloth train"],
    imports: ["unsloth"],
    keys: ["model", "training"],
    any: ["training.training_type", "training.max_seq_length", "lora.lora_r", "data.format_type"],
    none: ["trainer", "config", "job"],
  },
  kinds: [
    {
      kind: "full-fine-tune",
      where: [{ key: ["training_type", "training.training_type"], is: ["full"] }],
    },
  ],
  columns: {
    task_name: nameOr(["output_dir", "training.output_dir"]),
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model"] },
    lora_rank: { keys: ["lora_r", "lora.lora_r"], default: 64 },
    lora_alpha: { keys: ["lora_alpha", "lora.lora_alpha"], default: 16 },
    dropout: { keys: ["lora_dropout", "lora.lora_dropout"], default: 0 },
    batch_size: { keys: ["batch_size", "training.batch_size"], default: 2 },
    gradient_accumulation_steps: {
      keys: ["gradient_accumulation_steps", "training.gradient_accumulation_steps"],
      default: 4,
    },
    epochs: {
      keys: ["num_epochs", "training.num_epochs"],
      default: 3,
      unless: [{ key: ["max_steps", "training.max_steps"], given: true, not: [0] }],
    },
    max_steps: { keys: ["max_steps", "training.max_steps"], unset: [0] },
    learning_rate: { keys: ["learning_rate", "training.learning_rate"], default: 2e-4 },
    optimizer: { default: "adamw_8bit" },
    scheduler: { default: "linear" },
    data_dir: { keys: ["dataset", "local_dataset", "data.dataset", "data.local_dataset"] },
    output_dir: { keys: ["output_dir", "training.output_dir"], default: "./outputs" },
    log_dir: { keys: ["tensorboard_dir", "logging.tensorboard_dir"] },
    network_algo: {
      flags: { use_dora: "dora", "lora.use_dora": "dora" },
      or: {
        keys: ["load_in_4bit", "training.load_in_4bit"],
        words: { true: "qlora", false: "lora" },
        known: true,
      },
      default: "qlora",
    },
    seed: { keys: ["random_seed", "training.random_seed"], default: 3407 },
  },
  console: unslothConsole,
  files: {
    ...adapterFiles,
    output: ["output_dir", "training.output_dir"],
    logs: ["tensorboard_dir", "logging.tensorboard_dir"],
    data: ["local_dataset", "data.local_dataset"],
    steps: ["max_steps", "training.max_steps"],
  },
};

/** The script of Unsloth's repository (unsloth-cli.py at 066c2278, its argument parser). */
const unslothScript: Declaration = {
  name: "unsloth",
  recognise: { commands: ["unsloth-cli.py", "unsloth_cli.py"] },
  columns: {
    ...trainerArguments,
    task_name: nameOr(["output_dir"]),
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["model_name"], default: "unsloth/llama-3-8b" },
    lora_rank: { keys: ["r"], default: 16 },
    lora_alpha: { keys: ["lora_alpha"], default: 16 },
    dropout: { keys: ["lora_dropout"], default: 0 },
    batch_size: { keys: ["per_device_train_batch_size"], default: 2 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 4 },
    epochs: {},
    max_steps: { keys: ["max_steps"], default: 400 },
    learning_rate: { keys: ["learning_rate"], default: 2e-4 },
    optimizer: { keys: ["optim"], default: "adamw_8bit" },
    data_dir: { keys: ["dataset"], default: "yahma/alpaca-cleaned" },
    output_dir: { keys: ["output_dir"], default: "outputs" },
    log_dir: {},
    save_every_n_epochs: {},
    network_algo: { flags: { load_in_4bit: "qlora" }, default: "lora" },
    seed: { keys: ["seed"], default: 3407 },
  },
  console: unslothConsole,
  files: { ...adapterFiles, default_output: "outputs", data: ["dataset"] },
};

/** The `adapter_config.json` of a script or notebook with Unsloth, which marks what it patched. */
const unslothAdapter: Declaration = {
  name: "unsloth",
  recognise: { keys: ["peft_type", "auto_mapping.unsloth_fixed"] },
  columns: {
    model_type: llm,
    base_arch: llm,
    base_model_path: { keys: ["base_model_name_or_path"] },
    lora_rank: { keys: ["r"], default: 8 },
    lora_alpha: { keys: ["lora_alpha"], default: 8 },
    dropout: { keys: ["lora_dropout"], default: 0 },
    network_algo: {
      flags: { use_dora: "dora" },
      or: { keys: ["peft_type"], words: { lora: "lora" } },
    },
  },
  console: unslothConsole,
};

export const transformersTrainers: Declaration[] = [
  megatronSwift,
  msSwift,
  ...trl,
  unsloth,
  unslothScript,
  unslothAdapter,
];
