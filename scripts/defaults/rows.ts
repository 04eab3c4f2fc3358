/** Where each trainer's own defaults stand in its package, and which of our columns they are. A row a kind of run. */
import type { JsonValue } from "../../src/shared/json.ts";
import type { Column } from "../../src/trainers/dialect.ts";

/** A place as scripts/trainer-defaults.py reads it. */
export type Place = { package: string; file: string; prefix?: string } & (
  | { class: string }
  | { function: string }
  | { options: true }
  | { call: string; name: string; default: string }
  | { pattern: string; as: string }
);

export type Values = { [name: string]: JsonValue | undefined };

export type Row = {
  name: string;
  /** As the service calls the trainer; a row of one that it does not know yet waits. */
  trainer: string;
  /** The smallest file or command that starts such a run. */
  ask: { text?: string; path?: string; command?: string[] };
  places: Place[];
  /** The name of a column's default in these places, or what the trainer makes of several. */
  columns: { [C in Column]?: string | ((values: Values) => JsonValue | undefined) };
  /** Why a column differs on purpose. */
  meant?: { [C in Column]?: string };
};

/** The versions that the dialects were written after; `--newest` takes the newest ones. */
export const packages: Record<string, string> = {
  transformers: "5.24.0",
  peft: "0.21.2",
  accelerate: "1.15.0",
  trl: "1.16.0",
  llamafactory: "0.9.5",
  axolotl: "0.21.0",
  "ms-swift": "4.6.0",
  simpletuner: "4.10.1",
  unsloth: "2026.10.9",
};

const words = (text: string) => text.split(" ");

/** transformers takes AdamW's fused form where torch is 2.8 or newer, which no file tells. */
const fused = {
  optimizer: "adamw_torch_fused is the same rule, and which of the two it is depends on torch",
};

const hf = (prefix = ""): Place => ({
  package: "transformers",
  file: "transformers/training_args.py",
  class: "TrainingArguments",
  prefix,
});

/** transformers' own names of the columns. */
const hfColumns = {
  batch_size: "per_device_train_batch_size",
  gradient_accumulation_steps: "gradient_accumulation_steps",
  epochs: "num_train_epochs",
  // -1 means as many steps as the epochs have.
  max_steps: ({ max_steps }) => (max_steps === -1 ? null : max_steps),
  learning_rate: "learning_rate",
  optimizer: "optim",
  scheduler: "lr_scheduler_type",
  mixed_precision: ({ bf16, fp16 }) => (bf16 ? "bf16" : fp16 ? "fp16" : "no"),
  seed: "seed",
} satisfies Row["columns"];

/** PEFT's methods: class, folder, and the names of rank, alpha and dropout. */
const methods: [type: string, name: string, columns: Row["columns"]][] = [
  ["LORA", "Lora", { lora_rank: "r", lora_alpha: "lora_alpha", dropout: "lora_dropout" }],
  [
    "ADALORA",
    "AdaLora",
    { lora_rank: "init_r", lora_alpha: "lora_alpha", dropout: "lora_dropout" },
  ],
  ["LOHA", "LoHa", { lora_rank: "r", lora_alpha: "alpha", dropout: "module_dropout" }],
  ["LOKR", "LoKr", { lora_rank: "r", lora_alpha: "alpha", dropout: "module_dropout" }],
  ["GRALORA", "Gralora", { lora_rank: "r", lora_alpha: "alpha", dropout: "gralora_dropout" }],
  [
    "RANDLORA",
    "RandLora",
    { lora_rank: "r", lora_alpha: "randlora_alpha", dropout: "randlora_dropout" },
  ],
  ["PSOFT", "Psoft", { lora_rank: "r", lora_alpha: "psoft_alpha", dropout: "psoft_dropout" }],
  ["VERA", "Vera", { lora_rank: "r", dropout: "vera_dropout" }],
  ["PVERA", "Pvera", { lora_rank: "r", dropout: "pvera_dropout" }],
  ["VBLORA", "VBLoRA", { lora_rank: "r", dropout: "vblora_dropout" }],
  ["MISS", "Miss", { lora_rank: "r", dropout: "miss_dropout" }],
  ["DELORA", "Delora", { lora_rank: "r", dropout: "module_dropout" }],
  ["HRA", "HRA", { lora_rank: "r" }],
  ["GLORA", "Glora", { lora_rank: "r" }],
  ["LILY", "Lily", { lora_rank: "r" }],
  ["PEANUT", "Peanut", { lora_rank: "r" }],
];
const none = () => null;
const peftClass = (type: string, name: string): Place => ({
  package: "peft",
  file: `peft/tuners/${type.toLowerCase()}/config.py`,
  class: `${name}Config`,
});

const diffusersScripts = [
  "text_to_image/train_text_to_image_lora.py",
  "text_to_image/train_text_to_image_lora_sdxl.py",
  "dreambooth/train_dreambooth_lora.py",
  "dreambooth/train_dreambooth_lora_sdxl.py",
  "dreambooth/train_dreambooth_lora_sd3.py",
  "dreambooth/train_dreambooth_lora_flux.py",
];

export const rows: Row[] = [
  ...methods.map(
    ([type, name, columns]): Row => ({
      name: `peft ${type}`,
      trainer: "peft",
      ask: { text: JSON.stringify({ peft_type: type, target_modules: ["q_proj"] }) },
      places: [
        // What AdaLoRA's class inherits.
        ...(type === "ADALORA" ? [peftClass("LORA", "Lora")] : []),
        peftClass(type, name),
      ],
      // A method that lists none has no alpha and no dropout.
      columns: { lora_alpha: none, dropout: none, ...columns },
    }),
  ),
  {
    name: "LLaMA-Factory",
    meant: fused,
    trainer: "llama-factory",
    ask: {
      text: "model_name_or_path: org/m\nstage: sft\ndo_train: true\nfinetuning_type: lora\ndataset: d\n",
      path: "a.yaml",
    },
    places: [
      hf(),
      {
        package: "llamafactory",
        file: "llamafactory/hparams/finetuning_args.py",
        class: "LoraArguments",
      },
      {
        package: "llamafactory",
        file: "llamafactory/hparams/data_args.py",
        class: "DataArguments",
      },
      {
        package: "llamafactory",
        file: "llamafactory/hparams/finetuning_args.py",
        pattern: String.raw`self\.lora_alpha or self\.lora_rank \* (\d+)`,
        as: "alpha_factor",
      },
    ],
    columns: {
      ...hfColumns,
      lora_rank: "lora_rank",
      lora_alpha: (values) => Number(values.lora_rank) * Number(values.alpha_factor),
      dropout: "lora_dropout",
      metadata_path: ({ dataset_dir }) => `${dataset_dir}/dataset_info.json`,
    },
  },
  {
    name: "axolotl",
    trainer: "axolotl",
    ask: { text: "base_model: org/m\nadapter: lora\ndatasets:\n  - path: d\n", path: "a.yml" },
    places: [
      hf("hf."),
      {
        package: "axolotl",
        file: "axolotl/utils/schemas/training.py",
        class: "HyperparametersConfig",
      },
      { package: "axolotl", file: "axolotl/utils/schemas/peft.py", class: "LoraConfig" },
      { package: "axolotl", file: "axolotl/utils/schemas/model.py", class: "ModelOutputConfig" },
      { package: "axolotl", file: "axolotl/utils/schemas/config.py", class: "AxolotlInputConfig" },
    ],
    columns: {
      lora_rank: "lora_r",
      lora_alpha: "lora_alpha",
      dropout: "lora_dropout",
      batch_size: "micro_batch_size",
      gradient_accumulation_steps: "gradient_accumulation_steps",
      epochs: "num_epochs",
      max_steps: "max_steps",
      learning_rate: "learning_rate",
      optimizer: "optimizer",
      scheduler: "lr_scheduler",
      output_dir: "output_dir",
      // It hands its own on to transformers only where one is set.
      seed: (values) => values.seed ?? values["hf.seed"],
    },
  },
  ...diffusersScripts.map(
    (path): Row => ({
      name: `diffusers ${path.replace(/^.*\//, "")}`,
      trainer: "diffusers",
      ask: {
        command: words(`accelerate launch examples/${path} --pretrained_model_name_or_path org/m`),
      },
      places: [
        { package: "diffusers", file: `examples/${path}`, options: true },
        {
          package: "accelerate",
          file: "accelerate/commands/launch.py",
          options: true,
          prefix: "launch.",
        },
      ],
      columns: {
        lora_rank: "rank",
        // Scripts without the option take the rank.
        lora_alpha: (values) => ("lora_alpha" in values ? values.lora_alpha : values.rank),
        dropout: (values) => values.lora_dropout ?? 0,
        batch_size: "train_batch_size",
        gradient_accumulation_steps: "gradient_accumulation_steps",
        epochs: "num_train_epochs",
        max_steps: "max_train_steps",
        learning_rate: "learning_rate",
        optimizer: (values) => values.optimizer ?? "AdamW",
        scheduler: "lr_scheduler",
        mixed_precision: (values) => values.mixed_precision ?? values["launch.mixed_precision"],
        seed: "seed",
        resolution: ({ resolution }) => (resolution == null ? null : String(resolution)),
      },
    }),
  ),
  {
    name: "accelerate launch",
    trainer: "diffusers",
    ask: { command: words("accelerate launch train_text_to_image_lora.py") },
    places: [{ package: "accelerate", file: "accelerate/commands/launch.py", options: true }],
    columns: { mixed_precision: "mixed_precision" },
  },
  {
    name: "ms-swift",
    meant: fused,
    trainer: "ms-swift",
    ask: { command: words("swift sft --model org/m --dataset d") },
    places: [
      hf(),
      { package: "ms-swift", file: "swift/trainers/arguments.py", class: "TrainArgumentsMixin" },
      {
        package: "ms-swift",
        file: "swift/arguments/base_args/base_args.py",
        class: "BaseArguments",
      },
      {
        package: "ms-swift",
        file: "swift/arguments/base_args/model_args.py",
        class: "ModelArguments",
      },
      { package: "ms-swift", file: "swift/arguments/tuner_args.py", class: "TunerArguments" },
      { package: "ms-swift", file: "swift/arguments/sft_args.py", class: "SftArguments" },
      {
        package: "ms-swift",
        file: "swift/arguments/sft_args.py",
        pattern: String.raw`else:\n\s+self\.learning_rate = ([\d.e-]+)`,
        as: "learning_rate",
      },
    ],
    columns: {
      ...hfColumns,
      // It takes the model's own, or what the GPU can do.
      mixed_precision: "torch_dtype",
      lora_rank: "lora_rank",
      lora_alpha: "lora_alpha",
      dropout: "lora_dropout",
    },
  },
  {
    name: "TRL sft",
    meant: fused,
    trainer: "trl",
    ask: { command: words("trl sft --model_name_or_path org/m --dataset_name d --use_peft") },
    places: [
      hf(),
      { package: "trl", file: "trl/trainer/base_config.py", class: "_BaseConfig" },
      { package: "trl", file: "trl/trainer/sft_config.py", class: "SFTConfig" },
      { package: "trl", file: "trl/trainer/model_config.py", class: "ModelConfig" },
    ],
    columns: {
      ...hfColumns,
      // bf16 is on unless fp16 is.
      mixed_precision: ({ bf16, fp16 }) => ((bf16 ?? !fp16) ? "bf16" : "fp16"),
      lora_rank: "lora_r",
      lora_alpha: "lora_alpha",
      dropout: "lora_dropout",
    },
  },
  {
    name: "SimpleTuner",
    trainer: "simpletuner",
    ask: {
      text: JSON.stringify({
        "--model_type": "lora",
        "--model_family": "sdxl",
        "--pretrained_model_name_or_path": "org/m",
        "--data_backend_config": "config/multidatabackend.json",
      }),
      path: "config/config.json",
    },
    places: ["lora", "memory", "model", "optimizer", "training", "advanced"].map((section) => ({
      package: "simpletuner",
      file: `simpletuner/simpletuner_sdk/server/services/field_registry/sections/${section}.py`,
      ...{ call: "ConfigField", name: "arg_name", default: "default_value" },
    })),
    columns: {
      lora_rank: "lora_rank",
      lora_alpha: (values) => values.lora_alpha ?? values.lora_rank,
      dropout: "lora_dropout",
      batch_size: "train_batch_size",
      gradient_accumulation_steps: "gradient_accumulation_steps",
      epochs: "num_train_epochs",
      max_steps: "max_train_steps",
      learning_rate: "learning_rate",
      optimizer: "optimizer",
      scheduler: "lr_scheduler",
      mixed_precision: "mixed_precision",
      seed: "seed",
      resolution: ({ resolution }) => (resolution == null ? null : String(resolution)),
      output_dir: "output_dir",
    },
  },
  {
    name: "Unsloth",
    trainer: "unsloth",
    ask: {
      text: "model: org/m\ndata:\n  dataset: d\ntraining:\n  training_type: lora\nlora:\n  use_rslora: false\n",
      path: "a.yaml",
    },
    places: [
      { package: "unsloth", file: "unsloth_cli/config.py", class: "TrainingConfig" },
      { package: "unsloth", file: "unsloth_cli/config.py", class: "LoraConfig" },
    ],
    columns: {
      lora_rank: "lora_r",
      lora_alpha: "lora_alpha",
      dropout: "lora_dropout",
      batch_size: "batch_size",
      gradient_accumulation_steps: "gradient_accumulation_steps",
      epochs: "num_epochs",
      learning_rate: "learning_rate",
      output_dir: "output_dir",
      seed: "random_seed",
    },
  },
];
