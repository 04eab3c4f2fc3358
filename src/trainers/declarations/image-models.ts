import type { ColumnRule, Condition, Declaration } from "./form.ts";
import { nameOr } from "./transformers.ts";

export const diffusion: ColumnRule = { default: "stable-diffusion" };

/** The architecture that the base model's name tells, where it tells one. */
export const archOf = (...keys: string[]): ColumnRule => ({ keys, arch: true, known: true });

/** Architectures of SimpleTuner's `model_family`; those not here have the catalogue's own name or none. */
const families = {
  flux: "flux",
  flux2: "flux2",
  sdxl: "sdxl",
  sd3: "sd3",
  sd1x: "sd15",
  sd2x: "sd2",
  pixart_sigma: "pixart",
  pixart: "pixart",
  hunyuanvideo: "hunyuan-video-1.5",
  z_image: "z-image",
  "z-image": "z-image",
  wan: "wan",
  qwen_image: "qwen-image",
  hidream: "hidream",
  chroma: "chroma",
  lumina2: "lumina2",
  anima: "anima",
  ltxvideo: "ltx-video",
  ltxvideo2: "ltx-2",
  ace_step: "ace-step",
};

const tunerSteps: Condition[] = [{ key: "max_train_steps", given: true, not: [0] }];
const isLycoris: Condition[] = [{ key: "lora_type", is: ["lycoris"] }];

/**
 * SimpleTuner's `config.json`, whose names may have dashes, and its arguments (4.10.1:
 * simpletuner_sdk/server/services/field_registry/sections/*.py, helpers/training/trainer.py). LyCORIS takes its
 * rank from a file of its own. Until version 1, the family is a flag, such as `--flux`.
 */
const simpleTuner: Declaration = {
  name: "simpletuner",
  recognise: {
    commands: ["simpletuner train", "SimpleTuner/train.py", "simpletuner/train.py"],
    any: ["data_backend_config", "model_family"],
    none: ["network_module", "finetuning_type"],
    where: [
      { key: "model_type", is: ["lora", "full", "deepfloyd-lora", "deepfloyd-full", "embedding"] },
    ],
  },
  kinds: [
    { kind: "full-fine-tune", where: [{ key: "model_type", not: ["lora", "deepfloyd-lora"] }] },
  ],
  columns: {
    task_name: nameOr(["output_dir"], "tracker_run_name"),
    model_type: diffusion,
    base_arch: {
      keys: ["model_family"],
      words: families,
      or: {
        flags: { flux: "flux", sd3: "sd3", pixart_sigma: "pixart", kolors: "kolors" },
        or: archOf("pretrained_model_name_or_path"),
      },
    },
    base_model_path: {
      keys: ["pretrained_transformer_model_name_or_path", "pretrained_model_name_or_path"],
    },
    lora_rank: { keys: ["lora_rank"], default: 16, unless: isLycoris },
    lora_alpha: { keys: ["lora_alpha"], default_of: "lora_rank", unless: isLycoris },
    dropout: { keys: ["lora_dropout"], default: 0.1, unless: isLycoris },
    batch_size: { keys: ["train_batch_size", "train_batch"], default: 4 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 1 },
    epochs: { keys: ["num_train_epochs"], unset: [0], default: 1, unless: tunerSteps },
    max_steps: { keys: ["max_train_steps"], unset: [0] },
    learning_rate: { keys: ["learning_rate"], default: 4e-7 },
    optimizer: { keys: ["optimizer"], default: "adamw_bf16" },
    scheduler: { keys: ["lr_scheduler"], default: "constant_with_warmup" },
    mixed_precision: { keys: ["mixed_precision"], default: "bf16" },
    data_dir: { keys: ["data_backend_config", "instance_data_dir"] },
    output_dir: { keys: ["output_dir"], default: "simpletuner-results" },
    log_dir: { keys: ["logging_dir"], default: "logs", below: "output_dir" },
    sample_prompts: { keys: ["validation_prompt"] },
    save_every_n_epochs: { keys: ["checkpoint_epoch_interval"], unset: [0] },
    network_algo: {
      flags: { use_dora: "dora" },
      or: { keys: ["lora_type"], words: { standard: "lora" } },
      default: "lora",
    },
    seed: { keys: ["seed"] },
    resolution: { keys: ["resolution"], default: "1024" },
  },
  console: {
    bar: "Epoch {epoch}/{total_epochs}, Steps",
    bar_loss: ["step_loss"],
  },
  files: {
    output: ["output_dir"],
    default_output: "simpletuner-results",
    final: ["pytorch_lora_weights.safetensors"],
    checkpoints: ["checkpoint-{step}/pytorch_lora_weights.safetensors"],
    samples: ["validation_images/step_{step}_{}.png", "validation_images/step_{step}_{}.mp4"],
    metrics: {
      file: "training_metrics.jsonl",
      step: "step",
      loss: ["metrics.train_loss", "metrics.optimization_loss"],
    },
    logs: ["logging_dir"],
    dataset_file: ["data_backend_config"],
    configs: ["lycoris_config", "user_prompt_library"],
    name: ["tracker_run_name"],
    steps: ["max_train_steps"],
  },
};

/** `multidatabackend.json`: a list of data and of caches for what is computed of them. */
const simpleTunerData: Declaration = {
  name: "simpletuner",
  recognise: {
    list: true,
    keys: ["id", "type"],
    any: [
      ...["instance_data_dir", "dataset_name", "dataset_type", "cache_dir_vae", "csv_url_column"],
      ...["metadata_backend", "caption_strategy", "aws_bucket_name"],
    ],
  },
  columns: {
    model_type: diffusion,
    data_dir: { keys: ["[].instance_data_dir", "[].dataset_name", "[].aws_data_prefix"] },
    resolution: { keys: ["[].resolution"] },
  },
};

const diffSynthFiles: Declaration["files"] = {
  output: ["output_path"],
  default_output: "./models",
  checkpoints: ["step-{step}.safetensors", "epoch-{epoch}.safetensors"],
  last_is_final: true,
  data: ["dataset_base_path"],
  dataset_file: ["dataset_metadata_path"],
};

/**
 * DiffSynth-Studio's `examples/*\/model_training/train.py`, whose arguments it saves as `training_args.json`
 * (2.1.12: diffsynth/diffusion/parsers.py, runner.py and training_module.py). A batch is one sample, the
 * scheduler is constant, and without `save_steps` it saves each epoch.
 */
const diffSynth: Declaration = {
  name: "diffsynth-studio",
  recognise: {
    commands: ["model_training/train.py"],
    keys: ["dataset_base_path"],
    any: ["model_id_with_origin_paths", "model_paths", "lora_base_model", "trainable_models"],
  },
  kinds: [
    { kind: "unknown", where: [{ key: "task", has: "data_process" }] },
    { kind: "full-fine-tune", where: [{ key: "lora_base_model", given: false }] },
  ],
  columns: {
    task_name: nameOr(["output_path"]),
    model_type: diffusion,
    base_arch: archOf("model_id_with_origin_paths", "model_paths"),
    base_model_path: { keys: ["model_id_with_origin_paths", "model_paths"] },
    lora_rank: { keys: ["lora_rank"], default: 32 },
    lora_alpha: { default_of: "lora_rank" },
    batch_size: { default: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 1 },
    epochs: { keys: ["num_epochs"], default: 1 },
    learning_rate: { keys: ["learning_rate"], default: 1e-4 },
    optimizer: { keys: ["customized_optimizer"], after: ".", default: "AdamW" },
    scheduler: { default: "constant" },
    mixed_precision: { launcher: "mixed_precision" },
    data_dir: { keys: ["dataset_base_path"] },
    metadata_path: { keys: ["dataset_metadata_path"] },
    output_dir: { keys: ["output_path"], default: "./models" },
    log_dir: { flags: { enable_tensorboard_log: "tensorboard_log" }, below: "output_dir" },
    save_every_n_epochs: {
      defaults: [{ where: [{ key: "save_steps", given: false }], value: 1 }],
    },
    network_algo: { default: "lora" },
    resolution: { joined: ["width", "height"] },
  },
  files: diffSynthFiles,
};

/** DiffSynth-Studio until 1.1.2: `train_flux_lora.py` and its like (diffsynth/trainers/text_to_image.py). */
const diffSynthOld: Declaration = {
  name: "diffsynth-studio",
  recognise: {
    keys: ["dataset_path"],
    any: [
      ...["pretrained_dit_path", "pretrained_unet_path", "pretrained_text_encoder_path"],
      ...["pretrained_text_encoder_2_path", "dit_path"],
    ],
    where: [{ key: "output_path", given: true }],
  },
  columns: {
    task_name: nameOr(["output_path"]),
    model_type: diffusion,
    base_arch: archOf("pretrained_dit_path", "pretrained_unet_path", "pretrained_path", "dit_path"),
    base_model_path: {
      keys: ["pretrained_dit_path", "pretrained_unet_path", "pretrained_path", "dit_path"],
    },
    lora_rank: { keys: ["lora_rank"], default: 4 },
    lora_alpha: { keys: ["lora_alpha"], default: 4 },
    batch_size: { keys: ["batch_size"], default: 1 },
    gradient_accumulation_steps: { keys: ["accumulate_grad_batches"], default: 1 },
    epochs: { keys: ["max_epochs"], default: 1 },
    learning_rate: { keys: ["learning_rate"], default: 1e-4 },
    optimizer: { default: "AdamW" },
    mixed_precision: {
      keys: ["precision"],
      words: { "16-mixed": "fp16", "16": "fp16", "bf16-mixed": "bf16", "32": "no" },
      default: "fp16",
    },
    data_dir: { keys: ["dataset_path"] },
    output_dir: { keys: ["output_path"] },
    network_algo: { default: "lora" },
    resolution: {
      joined: ["width", "height"],
      defaults: [
        {
          where: [
            { key: "width", given: false },
            { key: "height", given: false },
          ],
          value: "1024,1024",
        },
      ],
    },
  },
  files: {
    output: ["output_path"],
    checkpoints: ["lightning_logs/version_{}/checkpoints/epoch={epoch}-step={step}.ckpt"],
    last_is_final: true,
    data: ["dataset_path"],
  },
};

/**
 * FlyMyAI's lora trainer (train.py at 0dd553ea): YAML that has to say all, over classes of Qwen-Image's, with
 * an alpha as large as the rank.
 */
const flyMyAi: Declaration = {
  name: "flymyai",
  recognise: {
    keys: ["pretrained_model_name_or_path", "data_config"],
    any: ["data_config.img_dir", "data_config.img_size", "data_config.image_size"],
    none: ["network_dim", "network_module"],
  },
  kinds: [{ kind: "full-fine-tune", where: [{ key: "rank", given: false }] }],
  columns: {
    task_name: nameOr(["output_dir"], "wandb_run_name"),
    model_type: diffusion,
    base_arch: { ...archOf("pretrained_model_name_or_path"), default: "qwen-image" },
    base_model_path: { keys: ["pretrained_model_name_or_path"] },
    lora_rank: { keys: ["rank"] },
    lora_alpha: { default_of: "lora_rank" },
    batch_size: { keys: ["data_config.train_batch_size", "train_batch_size"] },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"] },
    max_steps: { keys: ["max_train_steps"] },
    learning_rate: { keys: ["learning_rate"] },
    optimizer: { flags: { adam8bit: "Adam8bit" }, default: "AdamW" },
    scheduler: { keys: ["lr_scheduler"] },
    mixed_precision: { keys: ["mixed_precision"] },
    data_dir: { keys: ["data_config.img_dir"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["logging_dir"], below: "output_dir" },
    network_algo: { default: "lora" },
    resolution: { keys: ["data_config.img_size", "data_config.image_size"] },
  },
  console: { bar: "Steps", bar_loss: ["step_loss"], done: ["Training completed!"] },
  files: {
    output: ["output_dir"],
    checkpoints: ["checkpoint-{step}/pytorch_lora_weights.safetensors"],
    last_is_final: true,
    data: ["data_config.img_dir"],
    name: ["wandb_run_name"],
    steps: ["max_train_steps"],
  },
};

const isProdigy: Condition[] = [{ key: "optimizer.optimizer_type", is: ["Prodigy"] }];

/**
 * InvokeAI's training (invoke-training: src/invoke_training/config/base_pipeline_config.py,
 * config/optimizer/optimizer_config.py, pipelines/*\/lora/config.py). Every pipeline gives PEFT an alpha of 1.
 */
const invoke = (
  types: string[],
  arch: string,
  own: Partial<Declaration["columns"]>,
): Declaration => ({
  name: "invoke-training",
  recognise: {
    keys: ["data_loader"],
    any: ["base_output_dir", "lora_rank_dim", "optimizer.optimizer_type"],
    where: [{ key: "type", is: types }],
  },
  kinds: [
    { kind: "full-fine-tune", where: [{ key: "type", has: "_FINETUNE" }] },
    {
      kind: "unknown",
      where: [{ key: "type", is: ["SD_TEXTUAL_INVERSION", "SDXL_TEXTUAL_INVERSION"] }],
    },
  ],
  columns: {
    task_name: nameOr(["base_output_dir"]),
    model_type: diffusion,
    base_arch: { default: arch },
    base_model_path: { keys: ["model"] },
    lora_rank: { keys: ["lora_rank_dim"], default: 4 },
    lora_alpha: { default: 1 },
    batch_size: { keys: ["train_batch_size"], default: 4 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 1 },
    epochs: { keys: ["max_train_epochs"] },
    max_steps: { keys: ["max_train_steps"] },
    learning_rate: {
      keys: ["unet_learning_rate", "optimizer.learning_rate"],
      default: 1e-4,
      defaults: [{ where: isProdigy, value: 1 }],
    },
    optimizer: { keys: ["optimizer.optimizer_type"], default: "AdamW" },
    scheduler: { keys: ["lr_scheduler"], default: "constant" },
    mixed_precision: { keys: ["mixed_precision"], default: "no" },
    data_dir: {
      keys: [
        ...["data_loader.dataset.jsonl_path", "data_loader.dataset.dataset_dir"],
        ...["data_loader.dataset.dataset_name", "data_loader.instance_dataset.dataset_dir"],
      ],
    },
    output_dir: { keys: ["base_output_dir"] },
    sample_prompts: { keys: ["validation_prompts"] },
    save_every_n_epochs: { keys: ["save_every_n_epochs"] },
    network_algo: { default: "lora" },
    seed: { keys: ["seed"] },
    resolution: { keys: ["data_loader.resolution"], default: "512" },
    ...own,
  },
  files: {
    output: ["base_output_dir"],
    checkpoints: [
      "{}/checkpoints/checkpoint_epoch_{epoch}-step_{step}.safetensors",
      "{}/checkpoints/checkpoint_step_{step}.safetensors",
    ],
    last_is_final: true,
    data: ["data_loader.dataset.jsonl_path", "data_loader.dataset.dataset_dir"],
    steps: ["max_train_steps"],
  },
});

const invokeTraining: Declaration[] = [
  invoke(["SD_LORA", "DIFFUSION_DPO_LORA_SD", "SD_TEXTUAL_INVERSION"], "sd15", {}),
  invoke(
    [
      ...["SDXL_LORA", "SDXL_FINETUNE"],
      ...["SDXL_LORA_AND_TEXTUAL_INVERSION", "SDXL_TEXTUAL_INVERSION"],
    ],
    "sdxl",
    {},
  ),
  invoke(["FLUX_LORA"], "flux", {
    base_model_path: { keys: ["model"], default: "black-forest-labs/FLUX.1-dev" },
    batch_size: { keys: ["train_batch_size"], default: 1 },
    // It has a rate of its own, which goes before the optimizer's unless it is null.
    learning_rate: { keys: ["transformer_learning_rate"], default: 1e-4 },
    scheduler: { keys: ["lr_scheduler"], default: "constant_with_warmup" },
  }),
];

export const imageModels: Declaration[] = [
  simpleTuner,
  simpleTunerData,
  diffSynth,
  diffSynthOld,
  flyMyAi,
  ...invokeTraining,
];
