import type { Condition, Declaration } from "./form.ts";
import { archOf, diffusion } from "./image-models.ts";
import { nameOr } from "./transformers.ts";

/**
 * Lightricks' ltx-trainer (LTX-2 at 253d4509: packages/ltx-trainer/src/ltx_trainer/config.py,
 * `LtxTrainerConfig`, and trainer.py). Its predecessor for LTX-Video names the model otherwise.
 */
const ltxTrainer: Declaration = {
  name: "ltx-trainer",
  recognise: {
    keys: ["model", "optimization", "data.preprocessed_data_root"],
    any: ["model.training_mode", "model.model_path", "model.model_source", "lora"],
  },
  kinds: [{ kind: "full-fine-tune", where: [{ key: "model.training_mode", is: ["full"] }] }],
  columns: {
    task_name: nameOr(["output_dir"]),
    model_type: diffusion,
    base_arch: {
      cases: [{ where: [{ key: "model.model_source", given: true }], value: "ltx-video" }],
      default: "ltx-2",
    },
    base_model_path: { keys: ["model.model_path", "model.model_source"] },
    lora_rank: { keys: ["lora.rank"], default: 64 },
    lora_alpha: { keys: ["lora.alpha"], default: 64 },
    dropout: { keys: ["lora.dropout"], default: 0 },
    batch_size: { keys: ["optimization.batch_size"], default: 2 },
    gradient_accumulation_steps: {
      keys: ["optimization.gradient_accumulation_steps"],
      default: 1,
    },
    max_steps: { keys: ["optimization.steps"], default: 3000 },
    learning_rate: { keys: ["optimization.learning_rate"], default: 5e-4 },
    optimizer: { keys: ["optimization.optimizer_type"], default: "adamw" },
    scheduler: { keys: ["optimization.scheduler_type"], default: "linear" },
    mixed_precision: { keys: ["acceleration.mixed_precision_mode"], default: "bf16" },
    data_dir: { keys: ["data.preprocessed_data_root"] },
    output_dir: { keys: ["output_dir"], default: "outputs" },
    sample_prompts: { keys: ["validation.prompts"] },
    network_algo: { default: "lora" },
    seed: { keys: ["seed"], default: 42 },
  },
  console: {
    lines: ["Step {step}/{total} - Loss: {loss}, LR: {lr}, Time/Step: {}s"],
  },
  files: {
    output: ["output_dir"],
    default_output: "outputs",
    checkpoints: [
      "checkpoints/lora_weights_step_{step}.safetensors",
      "checkpoints/model_weights_step_{step}.safetensors",
    ],
    last_is_final: true,
    samples: ["samples/step_{step}_{}.mp4", "samples/step_{step}_{}.png"],
    data: ["data.preprocessed_data_root"],
    steps: ["optimization.steps"],
  },
};

const isLora: Condition[] = [{ key: "training_type", has: "lora" }];

/**
 * finetrainers (0.2.0: finetrainers/args.py, its argument parser, whose defaults go before those of its class,
 * and trainer/sft_trainer/). Its data is listed in the file of `dataset_config`.
 */
const finetrainers: Declaration = {
  name: "finetrainers",
  recognise: {
    keys: ["training_type", "pretrained_model_name_or_path"],
    any: ["dataset_config", "train_steps", "parallel_backend", "data_root"],
    where: [{ key: "model_name", given: true }],
  },
  kinds: [{ kind: "full-fine-tune", where: [{ key: "training_type", has: "full-finetune" }] }],
  columns: {
    task_name: nameOr(["output_dir"]),
    model_type: diffusion,
    base_arch: {
      keys: ["model_name"],
      words: { hunyuan_video: "hunyuan-video", ltx_video: "ltx-video", wan: "wan", flux: "flux" },
    },
    base_model_path: { keys: ["pretrained_model_name_or_path"] },
    lora_rank: { keys: ["rank"], default: 64 },
    lora_alpha: { keys: ["lora_alpha"], default: 64 },
    batch_size: { keys: ["batch_size"], default: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], default: 1 },
    max_steps: { keys: ["train_steps"], default: 1000 },
    learning_rate: { keys: ["lr"], default: 1e-4 },
    optimizer: { keys: ["optimizer"], default: "adam" },
    scheduler: { keys: ["lr_scheduler"], default: "constant" },
    data_dir: { keys: ["dataset_config", "data_root"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["logging_dir"], default: "logs", below: "output_dir" },
    network_algo: { cases: [{ where: isLora, value: "lora" }] },
    seed: { keys: ["seed"] },
  },
  console: { bar: "Training steps", bar_loss: ["global_avg_loss", "loss"] },
  files: {
    output: ["output_dir"],
    checkpoints: ["lora_weights/{step}/pytorch_lora_weights.safetensors"],
    last_is_final: true,
    logs: ["logging_dir"],
    dataset_file: ["dataset_config"],
    configs: ["validation_dataset_file"],
    steps: ["train_steps"],
  },
};

/** The file of finetrainers' `dataset_config`: `datasets`, each with its root and buckets. */
const finetrainersData: Declaration = {
  name: "finetrainers",
  recognise: {
    keys: ["datasets"],
    where: [
      { key: "datasets[].data_root", given: true },
      { key: "datasets[].dataset_type", given: true },
    ],
    none: ["base_model", "model_name_or_path", "model"],
  },
  kinds: [{ kind: "dataset", where: [] }],
  columns: {
    model_type: diffusion,
    data_dir: { keys: ["datasets[].data_root"] },
  },
};

const fastVideoModel = [
  ...["pretrained_model_name_or_path", "model_path", "models.student.init_from"],
  "training.model_path",
];
const fastVideoRank = [
  ...["lora_rank", "models.student.lora.rank", "training.lora.rank", "lora.rank"],
];

/**
 * FastVideo: the arguments of its training pipelines and the YAML of `fastvideo.train` (0.2.1:
 * fastvideo/fastvideo_args.py, `TrainingArgs.add_cli_args`; train/utils/training_config.py and lora.py;
 * pipelines/lora_pipeline.py has the alpha).
 */
const fastVideo: Declaration = {
  name: "fastvideo",
  recognise: {
    commands: [
      ...["fastvideo/train.py", "fastvideo/training/wan_training_pipeline.py"],
      ...["fastvideo/training/wan_i2v_training_pipeline.py"],
      ...["fastvideo/training/ltx2_training_pipeline.py"],
      ...["fastvideo/training/cosmos2_5_training_pipeline.py"],
      ...["fastvideo/training/matrixgame2_training_pipeline.py"],
      ...["fastvideo/training/wan_distillation_pipeline.py"],
      ...["fastvideo/training/wan_i2v_distillation_pipeline.py"],
      ...["fastvideo/train/entrypoint/train.py", "fastvideo.train.entrypoint.train"],
    ],
    any: ["training.data.num_latent_t", "training.loop.max_train_steps"],
    where: [{ key: "training.data.train_batch_size", given: true }],
  },
  kinds: [
    {
      kind: "full-fine-tune",
      where: [
        {
          key: [
            ...["lora_training", "use_lora", "models.student.lora.enable"],
            ...["training.lora.enabled", "lora.enable"],
          ],
          not: [true],
        },
      ],
    },
  ],
  columns: {
    task_name: nameOr(
      ["output_dir", "training.checkpoint.output_dir"],
      "wandb_run_name",
      "training.tracker.run_name",
    ),
    model_type: diffusion,
    base_arch: archOf(...fastVideoModel),
    base_model_path: { keys: fastVideoModel },
    lora_rank: { keys: fastVideoRank },
    lora_alpha: {
      keys: ["lora_alpha", "models.student.lora.alpha", "training.lora.alpha"],
      default_of: "lora_rank",
    },
    batch_size: { keys: ["train_batch_size", "training.data.train_batch_size"] },
    gradient_accumulation_steps: {
      keys: ["gradient_accumulation_steps", "training.loop.gradient_accumulation_steps"],
      default: 1,
    },
    epochs: { keys: ["num_train_epochs"], unless: [{ key: "max_train_steps", given: true }] },
    max_steps: { keys: ["max_train_steps", "training.loop.max_train_steps"] },
    learning_rate: { keys: ["learning_rate", "training.optimizer.learning_rate"] },
    optimizer: { default: "AdamW" },
    scheduler: {
      keys: ["lr_scheduler", "training.optimizer.lr_scheduler"],
      default: "constant",
    },
    mixed_precision: { keys: ["mixed_precision"] },
    data_dir: { keys: ["data_path", "data_json_path", "training.data.data_path"] },
    output_dir: { keys: ["output_dir", "training.checkpoint.output_dir"] },
    log_dir: { keys: ["logging_dir"] },
    network_algo: { default: "lora" },
    seed: {
      keys: ["seed", "training.data.seed"],
      default: 42,
      defaults: [{ where: [{ key: "training", given: true }], value: 0 }],
    },
    resolution: {
      joined: ["num_width", "num_height"],
      or: { joined: ["training.data.num_width", "training.data.num_height"] },
    },
  },
  console: { bar: "Steps", bar_loss: ["loss", "total_loss"] },
  files: {
    output: ["output_dir", "training.checkpoint.output_dir"],
    checkpoints: [
      "checkpoint-{step}/transformer/diffusion_pytorch_model.safetensors",
      "lora-checkpoint-{step}/pytorch_lora_weights.safetensors",
    ],
    last_is_final: true,
    logs: ["logging_dir"],
    data: ["data_path", "training.data.data_path"],
    configs: ["validation_dataset_file"],
    name: ["wandb_run_name", "training.tracker.run_name"],
    steps: ["max_train_steps", "training.loop.max_train_steps"],
  },
};

/**
 * ACE-Step 1's `trainer.py` (argument parser at 78acbe58): rank and alpha stand in the file of
 * `lora_config_path`, and its data set is one sample a batch.
 */
const aceStep: Declaration = {
  name: "ace-step",
  recognise: {
    keys: ["dataset_path", "exp_name"],
    any: ["lora_config_path", "every_n_train_steps", "every_plot_step"],
  },
  columns: {
    task_name: { keys: ["exp_name"] },
    model_type: diffusion,
    base_arch: { default: "ace-step" },
    base_model_path: { keys: ["checkpoint_dir"] },
    batch_size: { default: 1 },
    gradient_accumulation_steps: { keys: ["accumulate_grad_batches"], default: 1 },
    epochs: { keys: ["epochs"], unset: [-1] },
    max_steps: { keys: ["max_steps"], default: 2_000_000 },
    learning_rate: { keys: ["learning_rate"], default: 1e-4 },
    optimizer: { default: "AdamW" },
    mixed_precision: {
      keys: ["precision"],
      words: { "32": "no", "16": "fp16", "16-mixed": "fp16", "bf16-mixed": "bf16" },
      default: "no",
    },
    data_dir: { keys: ["dataset_path"] },
    output_dir: { keys: ["logger_dir"], default: "./exps/logs/" },
    log_dir: { keys: ["logger_dir"], default: "./exps/logs/" },
    network_algo: { default: "lora" },
  },
  files: {
    output: ["logger_dir"],
    default_output: "./exps/logs/",
    checkpoints: [
      "lightning_logs/{}/checkpoints/epoch={epoch}-step={step}_lora/pytorch_lora_weights.safetensors",
    ],
    last_is_final: true,
    samples: ["lightning_logs/{}/eval_results/step_{step}/pred_wav_{}.wav"],
    logs: ["logger_dir"],
    data: ["dataset_path"],
    configs: ["lora_config_path"],
    name: ["exp_name"],
    steps: ["max_steps"],
  },
};

const isLokr: Condition[] = [{ key: "adapter_type", is: ["lokr"] }];

/**
 * Side-Step, and the same `train.py fixed` within ACE-Step 1.5 (acestep/training_v2/cli/args.py at 46eee212).
 * It picks the precision by the GPU.
 */
const sideStep: Declaration = {
  name: "side-step",
  recognise: {
    commands: ["train.py fixed", "acestep.training_v2.cli.train_fixed"],
    keys: ["checkpoint_dir", "dataset_dir", "output_dir"],
    none: ["pretrained_model_name_or_path", "model_name_or_path", "network_module", "stage"],
  },
  kinds: [{ kind: "unknown", where: [{ key: "preprocess", is: [true] }] }],
  columns: {
    task_name: nameOr(["output_dir"]),
    model_type: diffusion,
    base_arch: { default: "ace-step" },
    base_model_path: { keys: ["model_variant"], default: "turbo" },
    lora_rank: {
      keys: ["rank", "r"],
      default: 64,
      unless: isLokr,
    },
    lora_alpha: { keys: ["alpha"], default: 128, unless: isLokr },
    dropout: { keys: ["dropout"], default: 0.1, unless: isLokr },
    batch_size: { keys: ["batch_size"], default: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation"], default: 4 },
    epochs: { keys: ["epochs"], default: 100 },
    learning_rate: { keys: ["learning_rate", "lr"], default: 1e-4 },
    optimizer: { keys: ["optimizer_type"], default: "adamw" },
    scheduler: { keys: ["scheduler_type"], default: "cosine" },
    mixed_precision: { keys: ["precision"], words: { fp32: "no" }, unset: ["auto"] },
    data_dir: { keys: ["dataset_dir"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["log_dir"] },
    save_every_n_epochs: { keys: ["save_every"], default: 10 },
    network_algo: { keys: ["adapter_type"], default: "lora" },
    seed: { keys: ["seed"], default: 42 },
  },
  console: { lines: ["Epoch {epoch}, Step {step}, Loss: {loss}"], done: ["Training complete!"] },
  files: {
    output: ["output_dir"],
    final: ["final/adapter_model.safetensors", "final/lokr_weights.safetensors"],
    checkpoints: ["checkpoints/epoch_{epoch}/adapter_model.safetensors"],
    logs: ["log_dir"],
    data: ["dataset_dir"],
  },
};

export const videoAndAudio: Declaration[] = [
  ltxTrainer,
  finetrainers,
  finetrainersData,
  fastVideo,
  aceStep,
  sideStep,
];
