import type { Case } from "./case.ts";

const image = { model_type: "stable-diffusion" } as const;
const llm = { model_type: "llm", base_arch: "llm" } as const;

const loraEasy: Case[] = [
  {
    trainer: "lora-easy-training-scripts",
    about: "a LoRA for FLUX, as people post it",
    input: {
      path: "easy.toml",
      text: `
[[subsets]]
caption_extension = ".txt"
image_dir = "D:/data/x"
name = "subset 1"
num_repeats = 2

[[subsets]]
image_dir = "D:/data/y"

[train_mode]
train_mode = "lora"

[general_args.args]
pretrained_model_name_or_path = "D:/m/flux1-dev.safetensors"
mixed_precision = "fp16"
seed = 144
max_train_epochs = 5

[general_args.dataset_args]
resolution = [ 512, 768,]
batch_size = 2

[network_args.args]
network_dim = 32
network_alpha = 16.0
network_dropout = 0

[optimizer_args.args]
optimizer_type = "AdamW"
lr_scheduler = "cosine"
learning_rate = 0.0001

[saving_args.args]
output_dir = "D:/out"
output_name = "x"
save_every_n_epochs = 1
`,
    },
    read: {
      task_name: "x",
      base_arch: "flux",
      base_model_path: "D:/m/flux1-dev.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      batch_size: 2,
      epochs: 5,
      learning_rate: 1e-4,
      optimizer: "AdamW",
      scheduler: "cosine",
      mixed_precision: "fp16",
      data_dir: "D:/data/x, D:/data/y",
      output_dir: "D:/out",
      save_every_n_epochs: 1,
      network_algo: "lora",
      seed: 144,
      resolution: "512,768",
    },
    defaults: { ...image, dropout: 0, gradient_accumulation_steps: 1, caption_tag_delim: "," },
  },
  {
    trainer: "lora-easy-training-scripts",
    about: "a LoKr for SDXL with its own arguments of network and scheduler",
    input: {
      text: `
[[subsets]]
image_dir = "/d/1"

[general_args.args]
pretrained_model_name_or_path = "/m/checkpoint.safetensors"
sdxl = true
max_train_steps = 2000
gradient_accumulation_steps = 4

[general_args.dataset_args]
resolution = 1024
batch_size = 1

[network_args.args]
network_dim = 16
network_alpha = 8

[network_args.args.network_args]
algo = "lokr"
conv_dim = 4
conv_alpha = 1
dropout = 0.1
factor = 8

[optimizer_args.args]
optimizer_type = "Prodigy"
lr_scheduler_type = "LoraEasyCustomOptimizer.CosineAnnealingWarmRestarts.CosineAnnealingWarmRestarts"
learning_rate = 1

[optimizer_args.args.optimizer_args]
weight_decay = "0.01"

[saving_args.args]
output_dir = "/o"

[logging_args.args]
logging_dir = "/tb"
`,
    },
    read: {
      base_arch: "sdxl",
      base_model_path: "/m/checkpoint.safetensors",
      lora_rank: 16,
      lora_alpha: 8,
      dropout: 0.1,
      conv_lora_rank: 4,
      conv_alpha: 1,
      batch_size: 1,
      gradient_accumulation_steps: 4,
      max_steps: 2000,
      learning_rate: 1,
      optimizer: "Prodigy",
      scheduler: "LoraEasyCustomOptimizer.CosineAnnealingWarmRestarts.CosineAnnealingWarmRestarts",
      data_dir: "/d/1",
      output_dir: "/o",
      log_dir: "/tb",
      network_algo: "lokr",
      resolution: "1024",
    },
    defaults: { ...image, mixed_precision: "no", caption_tag_delim: "," },
  },
  {
    trainer: "lora-easy-training-scripts",
    about: "a textual inversion, which trains no LoRA",
    kind: "unknown",
    input: {
      text: `
[train_mode]
train_mode = "textual_inversion"
[general_args.args]
pretrained_model_name_or_path = "/m/sdxl.safetensors"
max_train_epochs = 3
[general_args.dataset_args]
batch_size = 4
[optimizer_args.args]
learning_rate = 5e-4
[saving_args.args]
output_dir = "/o"
`,
    },
    read: {
      base_arch: "sdxl",
      base_model_path: "/m/sdxl.safetensors",
      batch_size: 4,
      epochs: 3,
      learning_rate: 5e-4,
      output_dir: "/o",
    },
    defaults: {
      ...image,
      gradient_accumulation_steps: 1,
      optimizer: "AdamW",
      scheduler: "constant",
      mixed_precision: "no",
      caption_tag_delim: ",",
    },
  },
];

const llamaBoard: Case[] = [
  {
    trainer: "llama-factory",
    about: "what LLaMA Board saves of its form",
    input: {
      path: "llamaboard.yaml",
      text: `
top.booster: auto
top.checkpoint_path: []
top.finetuning_type: lora
top.model_name: Qwen3-4B-Instruct
top.quantization_bit: none
top.template: qwen3_nothink
train.batch_size: 2
train.compute_type: bf16
train.cutoff_len: 2048
train.dataset: [alpaca_zh_demo, identity]
train.dataset_dir: data
train.extra_args: '{"optim": "adamw_torch"}'
train.gradient_accumulation_steps: 8
train.learning_rate: 5e-5
train.lora_alpha: 16
train.lora_dropout: 0
train.lora_rank: 8
train.lr_scheduler_type: cosine
train.num_train_epochs: '3.0'
train.training_stage: Supervised Fine-Tuning
train.use_dora: false
`,
    },
    read: {
      base_model_path: "Qwen3-4B-Instruct",
      lora_rank: 8,
      lora_alpha: 16,
      dropout: 0,
      batch_size: 2,
      gradient_accumulation_steps: 8,
      epochs: 3,
      learning_rate: 5e-5,
      optimizer: "adamw_torch",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "data/alpaca_zh_demo, data/identity",
      metadata_path: "data/dataset_info.json",
      network_algo: "lora",
    },
    defaults: { ...llm, seed: 42 },
    warnings: ["several-data-dirs"],
  },
  {
    trainer: "llama-factory",
    about: "LLaMA Board with 4 bits and further arguments, which go over the form's",
    input: {
      text: `
top.finetuning_type: lora
top.model_name: Custom
top.quantization_bit: '4'
train.learning_rate: 1e-4
train.compute_type: pure_bf16
train.extra_args: '{"optim": "paged_adamw_8bit", "seed": 7, "max_steps": 300}'
train.lora_rank: 64
train.dataset: []
`,
    },
    read: {
      base_model_path: "Custom",
      lora_rank: 64,
      max_steps: 300,
      learning_rate: 1e-4,
      optimizer: "paged_adamw_8bit",
      mixed_precision: "bf16",
      network_algo: "qlora",
      seed: 7,
    },
    defaults: llm,
  },
  {
    trainer: "llama-factory",
    about: "LLaMA Board for a whole model",
    kind: "full-fine-tune",
    input: {
      text: "top.finetuning_type: full\ntop.model_name: Qwen3-4B\ntrain.learning_rate: 1e-5\ntrain.compute_type: fp32\ntrain.extra_args: '{'\ntrain.lora_rank: 8\n",
    },
    read: { base_model_path: "Qwen3-4B", learning_rate: 1e-5, mixed_precision: "no" },
    defaults: { ...llm, optimizer: "adamw_torch", seed: 42 },
  },
];

const fluxgymRead = {
  task_name: "my-lora",
  base_arch: "flux",
  base_model_path: "models/unet/flux1-dev.sft",
  lora_rank: 4,
  epochs: 16,
  learning_rate: 8e-4,
  optimizer: "adafactor",
  scheduler: "constant_with_warmup",
  mixed_precision: "bf16",
  data_dir: "outputs/my-lora/dataset.toml",
  output_dir: "outputs/my-lora",
  sample_prompts: "outputs/my-lora/sample_prompts.txt",
  save_every_n_epochs: 4,
  network_algo: "lora",
  seed: 42,
} as const;
const fluxgymDefaults = {
  ...image,
  lora_alpha: 1,
  dropout: 0,
  batch_size: 1,
  gradient_accumulation_steps: 1,
  caption_tag_delim: ",",
} as const;
const fluxgym = (broken: string) => `accelerate launch ${broken}
  --mixed_precision bf16 ${broken}
  --num_cpu_threads_per_process 1 ${broken}
  sd-scripts/flux_train_network.py ${broken}
  --pretrained_model_name_or_path "models/unet/flux1-dev.sft" ${broken}
  --clip_l "models/clip/clip_l.safetensors" ${broken}
  --t5xxl "models/clip/t5xxl_fp16.safetensors" ${broken}
  --ae "models/vae/ae.sft" ${broken}
  --save_model_as safetensors ${broken}
  --sdpa --persistent_data_loader_workers ${broken}
  --seed 42 ${broken}
  --mixed_precision bf16 ${broken}
  --network_module networks.lora_flux ${broken}
  --network_dim 4 ${broken}
  --optimizer_type adafactor ${broken}
  --optimizer_args "relative_step=False" "scale_parameter=False" ${broken}
  --split_mode ${broken}
  --network_args "train_blocks=single" ${broken}
  --lr_scheduler constant_with_warmup ${broken}
  --sample_prompts="outputs/my-lora/sample_prompts.txt" --sample_every_n_steps="200" ${broken}
  --learning_rate 8e-4 ${broken}
  --max_train_epochs 16 ${broken}
  --save_every_n_epochs 4 ${broken}
  --dataset_config "outputs/my-lora/dataset.toml" ${broken}
  --output_dir "outputs/my-lora" ${broken}
  --output_name my-lora ${broken}
  --loss_type l2
`;

const wrappers: Case[] = [
  {
    trainer: "kohya",
    about: "the train.sh that fluxgym writes",
    input: { path: "train.sh", text: fluxgym("\\") },
    read: fluxgymRead,
    defaults: fluxgymDefaults,
    warnings: ["dataset-file"],
  },
  {
    trainer: "kohya",
    about: "its train.bat, without a name",
    input: { text: fluxgym("^") },
    read: fluxgymRead,
    defaults: fluxgymDefaults,
    warnings: ["dataset-file"],
  },
  {
    trainer: "kohya",
    about: "its dataset.toml",
    kind: "dataset",
    input: {
      path: "dataset.toml",
      text: `[general]
shuffle_caption = false
caption_extension = '.txt'
keep_tokens = 1

[[datasets]]
resolution = 512
batch_size = 1
keep_tokens = 1

  [[datasets.subsets]]
  image_dir = 'datasets/my-lora'
  class_tokens = 'p3rs0n'
  num_repeats = 10
`,
    },
    read: { batch_size: 1, data_dir: "datasets/my-lora", resolution: "512" },
    defaults: { ...image },
  },
];

const mlx: Case[] = [
  {
    trainer: "mlx-lm",
    about: "its YAML",
    input: {
      text: "model: mlx-community/x\ntrain: true\ndata: d\niters: 600\nbatch_size: 2\nlearning_rate: 1e-5\nnum_layers: 16\nadapter_path: /o/a\nlora_parameters: {rank: 16, dropout: 0.1, scale: 20.0}\nlr_schedule: {name: cosine_decay, arguments: [1e-5, 600]}\n",
    },
    read: {
      base_model_path: "mlx-community/x",
      lora_rank: 16,
      dropout: 0.1,
      batch_size: 2,
      max_steps: 600,
      learning_rate: 1e-5,
      scheduler: "cosine_decay",
      data_dir: "d",
      output_dir: "/o/a",
    },
    defaults: {
      ...llm,
      gradient_accumulation_steps: 1,
      optimizer: "adam",
      network_algo: "lora",
      seed: 0,
    },
  },
  {
    trainer: "mlx-lm",
    about: "a command with options alone",
    input: {
      text: "",
      command:
        "python -m mlx_lm.lora --model m --train --data d --fine-tune-type dora --batch-size 1 --num-layers 4 --seed 3",
    },
    read: { base_model_path: "m", batch_size: 1, data_dir: "d", network_algo: "dora", seed: 3 },
    defaults: {
      ...llm,
      lora_rank: 8,
      dropout: 0,
      gradient_accumulation_steps: 1,
      max_steps: 1000,
      learning_rate: 1e-5,
      optimizer: "adam",
      output_dir: "adapters",
    },
  },
  {
    trainer: "mlx-lm",
    about: "a whole model",
    kind: "full-fine-tune",
    input: { text: "model: m\ntrain: true\nfine_tune_type: full\niters: 10\nadapter_path: o\n" },
    read: { base_model_path: "m", max_steps: 10, output_dir: "o" },
    defaults: {
      ...llm,
      batch_size: 4,
      gradient_accumulation_steps: 1,
      learning_rate: 1e-5,
      optimizer: "adam",
      data_dir: "data/",
      seed: 0,
    },
  },
];

const torchtune: Case[] = [
  {
    trainer: "torchtune",
    about: "a config of its recipes",
    input: {
      text: `
output_dir: /tmp/torchtune/llama3_1_8B/lora
model:
  _component_: torchtune.models.llama3_1.lora_llama3_1_8b
  lora_rank: 8
  lora_alpha: 16
  lora_dropout: 0.0
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: /tmp/Meta-Llama-3.1-8B-Instruct/
dataset:
  _component_: torchtune.datasets.alpaca_cleaned_dataset
seed: null
batch_size: 2
optimizer:
  _component_: torch.optim.AdamW
  lr: 3e-4
lr_scheduler:
  _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
epochs: 1
gradient_accumulation_steps: 8
metric_logger: {log_dir: "/tmp/logs"}
dtype: bf16
`,
    },
    read: {
      base_model_path: "/tmp/Meta-Llama-3.1-8B-Instruct/",
      lora_rank: 8,
      lora_alpha: 16,
      dropout: 0,
      batch_size: 2,
      gradient_accumulation_steps: 8,
      epochs: 1,
      learning_rate: 3e-4,
      optimizer: "AdamW",
      scheduler: "get_cosine_schedule_with_warmup",
      mixed_precision: "bf16",
      data_dir: "torchtune.datasets.alpaca_cleaned_dataset",
      output_dir: "/tmp/torchtune/llama3_1_8B/lora",
      log_dir: "/tmp/logs",
    },
    defaults: { ...llm, network_algo: "lora" },
  },
  {
    trainer: "torchtune",
    about: "a command whose words go over its recipe's config",
    input: {
      text: "",
      command:
        "tune run lora_finetune_single_device --config llama3_1/8B_lora_single_device model.lora_rank=64 batch_size=4 model.use_dora=True",
    },
    read: { lora_rank: 64, batch_size: 4, network_algo: "dora" },
    defaults: llm,
  },
  {
    trainer: "torchtune",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: "model: {_component_: torchtune.models.llama3.llama3_8b}\ndataset: {_component_: torchtune.datasets.chat_dataset, source: org/chat}\nepochs: 3\noptimizer: {_component_: bitsandbytes.optim.PagedAdamW8bit, lr: 2e-5}\noutput_dir: /o\nseed: 1\ndtype: fp32\n",
    },
    read: {
      epochs: 3,
      learning_rate: 2e-5,
      optimizer: "PagedAdamW8bit",
      mixed_precision: "no",
      data_dir: "org/chat",
      output_dir: "/o",
      seed: 1,
    },
    defaults: llm,
  },
];

const nemo: Case[] = [
  {
    trainer: "nemo-automodel",
    about: "a recipe with an adapter",
    input: {
      text: `
step_scheduler:
  global_batch_size: 64
  local_batch_size: 8
  max_steps: 100
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: meta-llama/Llama-3.2-1B
peft:
  _target_: nemo_automodel.components._peft.lora.PeftConfig
  dim: 8
  alpha: 32
checkpoint:
  checkpoint_dir: checkpoints/
optimizer:
  _target_: torch.optim.Adam
  lr: 1.0e-5
rng: {seed: 1111}
`,
    },
    read: {
      base_model_path: "meta-llama/Llama-3.2-1B",
      lora_rank: 8,
      lora_alpha: 32,
      batch_size: 8,
      max_steps: 100,
      learning_rate: 1e-5,
      optimizer: "Adam",
      output_dir: "checkpoints/",
      seed: 1111,
    },
    defaults: { ...llm, network_algo: "lora" },
  },
  {
    trainer: "nemo-automodel",
    about: "DoRA, a schedule and data",
    input: {
      text: "step_scheduler: {global_batch_size: 32, local_batch_size: 2, num_epochs: 3}\nmodel: {_target_: x, pretrained_model_name_or_path: m}\npeft: {_target_: y, dim: 16, alpha: 16, dropout: 0.1, use_dora: true}\ndataset: {_target_: z, path_or_dataset: org/squad}\nlr_scheduler: {lr_decay_style: cosine}\noptimizer: {lr: 2e-4}\n",
    },
    read: {
      base_model_path: "m",
      lora_rank: 16,
      lora_alpha: 16,
      dropout: 0.1,
      batch_size: 2,
      epochs: 3,
      learning_rate: 2e-4,
      scheduler: "cosine",
      data_dir: "org/squad",
      network_algo: "dora",
    },
    defaults: llm,
  },
  {
    trainer: "nemo-automodel",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: "step_scheduler: {global_batch_size: 32, local_batch_size: 2, max_steps: 5}\nmodel: {_target_: x, pretrained_model_name_or_path: m}\noptimizer: {_target_: torch.optim.AdamW, lr: 1e-5}\n",
    },
    read: {
      base_model_path: "m",
      batch_size: 2,
      max_steps: 5,
      learning_rate: 1e-5,
      optimizer: "AdamW",
    },
    defaults: llm,
  },
];

export const wrapperCases: Case[] = [
  ...loraEasy,
  ...llamaBoard,
  ...wrappers,
  ...mlx,
  ...torchtune,
  ...nemo,
];
