import type { Case } from "./case.ts";

const llm = { model_type: "llm", base_arch: "llm" } as const;

const swift: Case[] = [
  {
    trainer: "ms-swift",
    about: "the command of its README",
    input: {
      text: "",
      command: `swift sft --model Qwen/Qwen2.5-7B-Instruct --train_type lora
        --dataset AI-ModelScope/alpaca-gpt4-data-zh#500 swift/self-cognition#500 --torch_dtype bfloat16
        --num_train_epochs 1 --per_device_train_batch_size 1 --per_device_eval_batch_size 1 --learning_rate 1e-4
        --lora_rank 8 --lora_alpha 32 --target_modules all-linear --gradient_accumulation_steps 16
        --eval_steps 50 --save_steps 50 --save_total_limit 2 --logging_steps 5 --max_length 2048
        --output_dir output/robot --warmup_ratio 0.05 --model_author swift --model_name swift-robot`,
    },
    read: {
      task_name: "robot",
      base_model_path: "Qwen/Qwen2.5-7B-Instruct",
      lora_rank: 8,
      lora_alpha: 32,
      batch_size: 1,
      gradient_accumulation_steps: 16,
      epochs: 1,
      learning_rate: 1e-4,
      mixed_precision: "bf16",
      data_dir: "AI-ModelScope/alpaca-gpt4-data-zh#500, swift/self-cognition#500",
      output_dir: "output/robot",
      network_algo: "lora",
    },
    defaults: { ...llm, dropout: 0.05, optimizer: "adamw_torch", scheduler: "cosine", seed: 42 },
  },
  {
    trainer: "ms-swift",
    about: "a YAML file of version 4 that says little",
    input: {
      path: "sft.yaml",
      text: `
model: Qwen/Qwen3-8B
tuner_type: lora
dataset: [data/train.jsonl]
output_dir: output
`,
    },
    read: {
      task_name: "output",
      base_model_path: "Qwen/Qwen3-8B",
      data_dir: "data/train.jsonl",
      output_dir: "output",
      network_algo: "lora",
    },
    // Accumulation comes from the number of GPUs, the precision from the model.
    defaults: {
      ...llm,
      lora_rank: 8,
      lora_alpha: 32,
      dropout: 0.05,
      batch_size: 1,
      epochs: 3,
      learning_rate: 1e-4,
      optimizer: "adamw_torch",
      scheduler: "cosine",
      seed: 42,
    },
  },
  {
    trainer: "ms-swift",
    about: "GRPO with 4 bits, steps and a model in float32",
    input: {
      text: "",
      command: `python -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-VL-7B-Instruct --tuner_type lora
        --quant_method bnb --quant_bits 4 --torch_dtype float32 --dataset my/countdown --lora_rank 16 --lora_alpha 64
        --reward_funcs format accuracy --num_generations 8 --max_steps 500 --num_train_epochs 2 --learning_rate 5e-6
        --per_device_train_batch_size 4 --seed 7 --logging_dir tb --run_name count-1 --output_dir out/grpo`,
    },
    read: {
      task_name: "count-1",
      base_model_path: "Qwen/Qwen2.5-VL-7B-Instruct",
      lora_rank: 16,
      lora_alpha: 64,
      batch_size: 4,
      max_steps: 500,
      learning_rate: 5e-6,
      mixed_precision: "fp16",
      data_dir: "my/countdown",
      output_dir: "out/grpo",
      log_dir: "tb",
      network_algo: "qlora",
      seed: 7,
    },
    defaults: {
      ...llm,
      dropout: 0.05,
      gradient_accumulation_steps: 1,
      optimizer: "adamw_torch",
      scheduler: "cosine",
    },
  },
  {
    trainer: "ms-swift",
    about: "DoRA in JSON, saved each epoch",
    input: {
      text: `{"model": "/m/Qwen2-7B", "train_type": "lora", "use_dora": true, "bf16": false, "dataset": ["a.jsonl", "b.jsonl"],
        "lora_dropout": 0.1, "optim": "adamw_8bit", "lr_scheduler_type": "linear", "save_strategy": "epoch",
        "output_dir": "/o/d", "max_steps": -1, "num_train_epochs": 4, "per_device_train_batch_size": 2}`,
    },
    read: {
      task_name: "d",
      base_model_path: "/m/Qwen2-7B",
      dropout: 0.1,
      batch_size: 2,
      epochs: 4,
      optimizer: "adamw_8bit",
      scheduler: "linear",
      mixed_precision: "no",
      data_dir: "a.jsonl, b.jsonl",
      output_dir: "/o/d",
      save_every_n_epochs: 1,
      network_algo: "dora",
    },
    defaults: { ...llm, lora_rank: 8, lora_alpha: 32, learning_rate: 1e-4, seed: 42 },
  },
  {
    trainer: "ms-swift",
    about: "a command of version 2",
    input: {
      text: "",
      command: `swift sft --model_type qwen1half-7b-chat --model_id_or_path qwen/Qwen1.5-7B-Chat --sft_type lora
        --dtype bf16 --dataset alpaca-zh --lora_rank 8 --lora_alpha 32 --lora_dropout_p 0.1 --batch_size 2
        --output_dir output`,
    },
    read: {
      task_name: "output",
      base_model_path: "qwen/Qwen1.5-7B-Chat",
      lora_rank: 8,
      lora_alpha: 32,
      dropout: 0.1,
      batch_size: 2,
      mixed_precision: "bf16",
      data_dir: "alpaca-zh",
      output_dir: "output",
      network_algo: "lora",
    },
    defaults: {
      ...llm,
      epochs: 1,
      learning_rate: 1e-4,
      optimizer: "adamw_torch",
      scheduler: "cosine",
      seed: 42,
    },
  },
  {
    trainer: "ms-swift",
    about: "a whole model",
    kind: "full-fine-tune",
    input: { text: "model: m\ntrain_type: full\ndataset: d\noutput_dir: o/full\nbf16: true\n" },
    read: {
      task_name: "full",
      base_model_path: "m",
      mixed_precision: "bf16",
      data_dir: "d",
      output_dir: "o/full",
    },
    defaults: {
      ...llm,
      batch_size: 1,
      epochs: 3,
      learning_rate: 1e-5,
      optimizer: "adamw_torch",
      scheduler: "cosine",
      seed: 42,
    },
  },
  {
    trainer: "ms-swift",
    about: "Megatron's command",
    input: {
      text: "",
      command: `megatron sft --load Qwen2.5-7B-Instruct-mcore --dataset a#500 b#500 --train_type lora --lora_rank 16
        --lora_alpha 32 --target_modules all-linear --tensor_model_parallel_size 2 --sequence_parallel true
        --micro_batch_size 4 --global_batch_size 16 --recompute_granularity full --finetune true --lr 2e-4
        --lr_warmup_fraction 0.05 --min_lr 1e-5 --max_epochs 1 --save megatron_output/Qwen2.5 --save_interval 100`,
    },
    read: {
      task_name: "Qwen2.5",
      base_model_path: "Qwen2.5-7B-Instruct-mcore",
      lora_rank: 16,
      lora_alpha: 32,
      batch_size: 4,
      epochs: 1,
      learning_rate: 2e-4,
      data_dir: "a#500, b#500",
      output_dir: "megatron_output/Qwen2.5",
      network_algo: "lora",
    },
    defaults: { ...llm, dropout: 0.05, optimizer: "adam", scheduler: "cosine", seed: 42 },
  },
  {
    trainer: "ms-swift",
    about: "Megatron's YAML, which trains whole models unless told",
    kind: "full-fine-tune",
    input: {
      command: "megatron sft --config m.yaml",
      text: "model: Qwen/Qwen3-30B-A3B\ndataset: d.jsonl\nmicro_batch_size: 1\ntrain_iters: 2000\noutput_dir: o/moe\n",
    },
    read: {
      task_name: "moe",
      base_model_path: "Qwen/Qwen3-30B-A3B",
      batch_size: 1,
      max_steps: 2000,
      data_dir: "d.jsonl",
      output_dir: "o/moe",
    },
    defaults: { ...llm, learning_rate: 1e-5, optimizer: "adam", scheduler: "cosine", seed: 42 },
  },
];

const trlDefaults = {
  ...llm,
  batch_size: 8,
  gradient_accumulation_steps: 1,
  epochs: 3,
  optimizer: "adamw_torch",
  scheduler: "linear",
  mixed_precision: "bf16",
  dropout: 0.05,
  seed: 42,
} as const;

const trl: Case[] = [
  {
    trainer: "trl",
    about: "the command for SFT, which says no rate",
    input: {
      text: "",
      command: `trl sft --model_name_or_path Qwen/Qwen2-0.5B --dataset_name trl-lib/Capybara --use_peft --lora_r 32
        --lora_alpha 16 --packing --eos_token <|im_end|> --output_dir Qwen2-0.5B-SFT --push_to_hub`,
    },
    read: {
      task_name: "Qwen2-0.5B-SFT",
      base_model_path: "Qwen/Qwen2-0.5B",
      lora_rank: 32,
      lora_alpha: 16,
      data_dir: "trl-lib/Capybara",
      output_dir: "Qwen2-0.5B-SFT",
    },
    defaults: { ...trlDefaults, learning_rate: 2e-5, network_algo: "lora" },
  },
  {
    trainer: "trl",
    about: "the example script for DPO under accelerate",
    input: {
      text: "",
      command: `accelerate launch --config_file ds.yaml trl/scripts/dpo.py --dataset_name trl-lib/ultrafeedback_binarized
        --model_name_or_path Qwen/Qwen2-0.5B-Instruct --per_device_train_batch_size 2 --max_steps 1000
        --gradient_accumulation_steps 8 --fp16 --bf16 false --optim rmsprop --use_peft --load_in_4bit
        --lora_r 16 --lora_alpha 16 --output_dir /o/dpo`,
    },
    read: {
      task_name: "dpo",
      base_model_path: "Qwen/Qwen2-0.5B-Instruct",
      lora_rank: 16,
      lora_alpha: 16,
      batch_size: 2,
      gradient_accumulation_steps: 8,
      max_steps: 1000,
      optimizer: "rmsprop",
      mixed_precision: "fp16",
      data_dir: "trl-lib/ultrafeedback_binarized",
      output_dir: "/o/dpo",
      network_algo: "qlora",
    },
    defaults: { ...llm, dropout: 0.05, learning_rate: 1e-6, scheduler: "linear", seed: 42 },
  },
  {
    trainer: "trl",
    about: "a YAML file without its command, whose rate nobody knows",
    input: {
      text: `
model_name_or_path: org/model
dataset_name: org/set
use_peft: true
lora_r: 16
lora_alpha: 32
load_in_4bit: true
num_train_epochs: 1
per_device_train_batch_size: 2
output_dir: out
`,
    },
    read: {
      task_name: "out",
      base_model_path: "org/model",
      lora_rank: 16,
      lora_alpha: 32,
      batch_size: 2,
      epochs: 1,
      data_dir: "org/set",
      output_dir: "out",
      network_algo: "qlora",
    },
    defaults: {
      ...llm,
      dropout: 0.05,
      gradient_accumulation_steps: 1,
      optimizer: "adamw_torch",
      scheduler: "linear",
      mixed_precision: "bf16",
      seed: 42,
    },
  },
  {
    trainer: "trl",
    about: "GRPO's YAML as open-r1 has it, for a whole model",
    kind: "full-fine-tune",
    input: {
      text: `
model_name_or_path: Qwen/Qwen2.5-1.5B-Instruct
dtype: bfloat16
dataset_name: open-r1/OpenR1-Math-220k
bf16: true
use_vllm: true
gradient_accumulation_steps: 4
learning_rate: 2.0e-05
lr_scheduler_type: cosine_with_min_lr
max_steps: -1
num_generations: 16
num_train_epochs: 1
output_dir: data/Qwen2.5-1.5B-Open-R1-GRPO
per_device_train_batch_size: 16
reward_funcs: [accuracy, format]
seed: 42
`,
    },
    read: {
      task_name: "Qwen2.5-1.5B-Open-R1-GRPO",
      base_model_path: "Qwen/Qwen2.5-1.5B-Instruct",
      batch_size: 16,
      gradient_accumulation_steps: 4,
      epochs: 1,
      learning_rate: 2e-5,
      scheduler: "cosine_with_min_lr",
      mixed_precision: "bf16",
      data_dir: "open-r1/OpenR1-Math-220k",
      output_dir: "data/Qwen2.5-1.5B-Open-R1-GRPO",
      seed: 42,
    },
    defaults: { ...llm, optimizer: "adamw_torch" },
  },
  {
    trainer: "trl",
    about: "GRPO's YAML with an adapter, DoRA and no rate",
    input: {
      command: "trl grpo --config grpo.yaml --learning_rate 5e-6",
      text: `
model_name_or_path: Qwen/Qwen3-4B
datasets:
  - path: org/math
  - path: org/code
use_peft: true
use_dora: true
lora_r: 64
lora_dropout: 0.0
run_name: grpo/a
bf16: false
save_strategy: epoch
logging_dir: tb
reward_funcs: [accuracy_reward]
output_dir: out/
`,
    },
    read: {
      task_name: "grpo/a",
      base_model_path: "Qwen/Qwen3-4B",
      lora_rank: 64,
      dropout: 0,
      learning_rate: 5e-6,
      mixed_precision: "no",
      data_dir: "org/math, org/code",
      output_dir: "out/",
      log_dir: "tb",
      save_every_n_epochs: 1,
      network_algo: "dora",
    },
    defaults: {
      ...llm,
      lora_alpha: 32,
      batch_size: 8,
      gradient_accumulation_steps: 1,
      epochs: 3,
      optimizer: "adamw_torch",
      scheduler: "linear",
      seed: 42,
    },
  },
];

const unsloth: Case[] = [
  {
    trainer: "unsloth",
    about: "the YAML of its command",
    input: {
      path: "train.yaml",
      text: `
model: unsloth/Qwen2.5-0.5B
data:
  dataset: tatsu-lab/alpaca
  format_type: auto
training:
  training_type: lora
  max_seq_length: 2048
  load_in_4bit: false
  output_dir: outputs/alpaca
  num_epochs: 1
  learning_rate: 0.0002
  batch_size: 4
  gradient_accumulation_steps: 2
  max_steps: 0
  random_seed: 3407
lora:
  lora_r: 32
  lora_alpha: 64
  lora_dropout: 0.05
logging:
  enable_tensorboard: true
  tensorboard_dir: runs
`,
    },
    read: {
      task_name: "alpaca",
      base_model_path: "unsloth/Qwen2.5-0.5B",
      lora_rank: 32,
      lora_alpha: 64,
      dropout: 0.05,
      batch_size: 4,
      gradient_accumulation_steps: 2,
      epochs: 1,
      learning_rate: 2e-4,
      data_dir: "tatsu-lab/alpaca",
      output_dir: "outputs/alpaca",
      log_dir: "runs",
      network_algo: "lora",
      seed: 3407,
    },
    defaults: { ...llm, optimizer: "adamw_8bit", scheduler: "linear" },
  },
  {
    trainer: "unsloth",
    about: "its command with options alone, whose defaults are others than PEFT's",
    input: {
      text: "",
      command:
        "unsloth train --model unsloth/Llama-3.2-1B --dataset yahma/alpaca-cleaned --max-steps 60 --lora-r 16",
    },
    read: {
      base_model_path: "unsloth/Llama-3.2-1B",
      lora_rank: 16,
      max_steps: 60,
      data_dir: "yahma/alpaca-cleaned",
    },
    defaults: {
      ...llm,
      lora_alpha: 16,
      dropout: 0,
      batch_size: 2,
      gradient_accumulation_steps: 4,
      learning_rate: 2e-4,
      optimizer: "adamw_8bit",
      scheduler: "linear",
      network_algo: "qlora",
      seed: 3407,
      output_dir: "./outputs",
    },
  },
  {
    trainer: "unsloth",
    about: "the script of its repository",
    input: {
      text: "",
      command: `python unsloth-cli.py --model_name unsloth/llama-3-8b --max_seq_length 8192 --load_in_4bit --r 64
        --lora_alpha 128 --lora_dropout 0.1 --use_rslora --per_device_train_batch_size 8
        --gradient_accumulation_steps 8 --max_steps 400 --learning_rate 2e-6 --optim adamw_8bit
        --lr_scheduler_type cosine --seed 1 --save_model --save_path model`,
    },
    read: {
      base_model_path: "unsloth/llama-3-8b",
      lora_rank: 64,
      lora_alpha: 128,
      dropout: 0.1,
      batch_size: 8,
      gradient_accumulation_steps: 8,
      max_steps: 400,
      learning_rate: 2e-6,
      optimizer: "adamw_8bit",
      scheduler: "cosine",
      network_algo: "qlora",
      seed: 1,
    },
    defaults: { ...llm, data_dir: "yahma/alpaca-cleaned", output_dir: "outputs" },
  },
  {
    trainer: "unsloth",
    about: "the adapter's config of a notebook",
    input: {
      path: "adapter_config.json",
      text: `{"alpha_pattern": {}, "auto_mapping": {"base_model_class": "LlamaForCausalLM",
        "parent_library": "transformers.models.llama.modeling_llama", "unsloth_fixed": true},
        "base_model_name_or_path": "unsloth/meta-llama-3.1-8b-unsloth-bnb-4bit", "bias": "none", "lora_alpha": 16,
        "lora_dropout": 0, "peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM", "use_dora": false}`,
    },
    read: {
      base_model_path: "unsloth/meta-llama-3.1-8b-unsloth-bnb-4bit",
      lora_rank: 16,
      lora_alpha: 16,
      dropout: 0,
      network_algo: "lora",
    },
    defaults: { ...llm },
  },
];

export const transformersCases: Case[] = [...swift, ...trl, ...unsloth];
