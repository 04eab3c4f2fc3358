import type { Case } from "./case.ts";

const video = { model_type: "stable-diffusion" } as const;

const ltx: Case[] = [
  {
    trainer: "ltx-trainer",
    about: "a YAML file for LTX-2",
    input: {
      path: "ltx2_lora.yaml",
      text: `
model:
  model_path: /m/ltx-2-19b-dev.safetensors
  text_encoder_path: /m/gemma
  training_mode: lora
lora:
  rank: 32
  alpha: 16
  target_modules: [to_k, to_q]
training_strategy:
  name: text_to_video
optimization:
  learning_rate: 1e-4
  steps: 2000
  batch_size: 1
  gradient_accumulation_steps: 2
  optimizer_type: adamw8bit
  scheduler_type: cosine
acceleration:
  mixed_precision_mode: bf16
data:
  preprocessed_data_root: /d/pre
validation:
  prompts: [a cat, a dog]
  video_dims: [576, 576, 89]
checkpoints:
  interval: 250
seed: 7
output_dir: outputs/ltx2_lora
`,
    },
    read: {
      task_name: "ltx2_lora",
      base_model_path: "/m/ltx-2-19b-dev.safetensors",
      lora_rank: 32,
      lora_alpha: 16,
      batch_size: 1,
      gradient_accumulation_steps: 2,
      max_steps: 2000,
      learning_rate: 1e-4,
      optimizer: "adamw8bit",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/d/pre",
      output_dir: "outputs/ltx2_lora",
      sample_prompts: "a cat\na dog",
      seed: 7,
    },
    defaults: { ...video, base_arch: "ltx-2", dropout: 0, network_algo: "lora" },
  },
  {
    trainer: "ltx-trainer",
    about: "a file of its predecessor that says little",
    input: {
      text: "model: {model_source: LTXV_13B_097_DEV, training_mode: lora}\nlora: {}\noptimization: {steps: 1500}\ndata: {preprocessed_data_root: /d}\n",
    },
    read: {
      base_arch: "ltx-video",
      base_model_path: "LTXV_13B_097_DEV",
      max_steps: 1500,
      data_dir: "/d",
    },
    defaults: {
      ...video,
      lora_rank: 64,
      lora_alpha: 64,
      dropout: 0,
      batch_size: 2,
      gradient_accumulation_steps: 1,
      learning_rate: 5e-4,
      optimizer: "adamw",
      scheduler: "linear",
      mixed_precision: "bf16",
      output_dir: "outputs",
      network_algo: "lora",
      seed: 42,
    },
  },
  {
    trainer: "ltx-trainer",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: "model: {model_path: /m/x.safetensors, training_mode: full}\noptimization: {learning_rate: 1e-5, steps: 100}\ndata: {preprocessed_data_root: /d}\noutput_dir: /o/full\nacceleration: {mixed_precision_mode: null}\n",
    },
    read: {
      task_name: "full",
      base_model_path: "/m/x.safetensors",
      max_steps: 100,
      learning_rate: 1e-5,
      data_dir: "/d",
      output_dir: "/o/full",
    },
    defaults: {
      ...video,
      base_arch: "ltx-2",
      batch_size: 2,
      gradient_accumulation_steps: 1,
      optimizer: "adamw",
      scheduler: "linear",
      mixed_precision: "bf16",
      seed: 42,
    },
  },
];

const finetrainers: Case[] = [
  {
    trainer: "finetrainers",
    about: "a script of its examples, whose arguments are in lists",
    input: {
      path: "train.sh",
      text: `#!/bin/bash
set -e -x
export WANDB_MODE="offline"
BACKEND="ptd"
NUM_GPUS=2
TRAINING_DATASET_CONFIG="examples/wan/training.json"
DDP_2="--parallel_backend $BACKEND --pp_degree 1 --dp_degree 2"
parallel_cmd=(
  $DDP_2
)
model_cmd=(
  --model_name "wan"
  --pretrained_model_name_or_path "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
)
dataset_cmd=(
  --dataset_config $TRAINING_DATASET_CONFIG
)
training_cmd=(
  --training_type "lora"
  --seed 42
  --batch_size 1
  --train_steps 3000
  --rank 32
  --lora_alpha 16
  --target_modules "blocks.*(to_q|to_k|to_v|to_out.0)"
  # --resume_from_checkpoint 3000
  --gradient_accumulation_steps 1
)
optimizer_cmd=(
  --optimizer "adamw"
  --lr 5e-5
  --lr_scheduler "constant_with_warmup"
)
miscellaneous_cmd=(
  --output_dir "/raid/wan"
)
if [ "$BACKEND" == "accelerate" ]; then
  accelerate launch --config_file "a.yaml" train.py "\${parallel_cmd[@]}" "\${model_cmd[@]}" \\
    "\${dataset_cmd[@]}" "\${training_cmd[@]}" "\${optimizer_cmd[@]}" "\${miscellaneous_cmd[@]}"
fi
`,
    },
    read: {
      task_name: "wan",
      base_arch: "wan",
      base_model_path: "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
      lora_rank: 32,
      lora_alpha: 16,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      max_steps: 3000,
      learning_rate: 5e-5,
      optimizer: "adamw",
      scheduler: "constant_with_warmup",
      data_dir: "examples/wan/training.json",
      output_dir: "/raid/wan",
      network_algo: "lora",
      seed: 42,
    },
    defaults: { ...video, log_dir: "/raid/wan/logs" },
  },
  {
    trainer: "finetrainers",
    about: "a short command",
    input: {
      text: "",
      command: `accelerate launch train.py --model_name ltx_video --pretrained_model_name_or_path a-r-r-o-w/LTX
        --training_type lora --dataset_config t.json --train_steps 500`,
    },
    read: {
      base_arch: "ltx-video",
      base_model_path: "a-r-r-o-w/LTX",
      max_steps: 500,
      data_dir: "t.json",
      network_algo: "lora",
    },
    defaults: {
      ...video,
      lora_rank: 64,
      lora_alpha: 64,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      learning_rate: 1e-4,
      optimizer: "adam",
      scheduler: "constant",
      log_dir: "logs",
    },
  },
  {
    trainer: "finetrainers",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: "",
      command: `torchrun train.py --parallel_backend ptd --model_name hunyuan_video
        --pretrained_model_name_or_path hv --training_type full-finetune --lr 1e-5 --output_dir /o/hv`,
    },
    read: {
      task_name: "hv",
      base_arch: "hunyuan-video",
      base_model_path: "hv",
      learning_rate: 1e-5,
      output_dir: "/o/hv",
    },
    defaults: {
      ...video,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      max_steps: 1000,
      optimizer: "adam",
      scheduler: "constant",
      log_dir: "/o/hv/logs",
    },
  },
  {
    trainer: "finetrainers",
    about: "the list of its data",
    kind: "dataset",
    input: {
      text: `{"datasets": [{"data_root": "org/images", "dataset_type": "image", "id_token": "PXL4RT",
        "image_resolution_buckets": [[1024, 1024], [768, 768]]}, {"data_root": "/d/clips", "dataset_type": "video"}]}`,
    },
    read: { data_dir: "org/images, /d/clips" },
    defaults: video,
  },
];

const fastVideo: Case[] = [
  {
    trainer: "fastvideo",
    about: "the arguments of its pipeline for Wan",
    input: {
      text: "",
      command: `torchrun --nnodes 1 --nproc_per_node 4 fastvideo/training/wan_training_pipeline.py
        --model_path Wan-AI/Wan2.1-T2V-1.3B-Diffusers --inference_mode False
        --pretrained_model_name_or_path Wan-AI/Wan2.1-T2V-1.3B-Diffusers --data_path data/crush_smol
        --train_batch_size 1 --num_latent_t 20 --num_height 480 --num_width 832 --num_frames 77
        --gradient_accumulation_steps 8 --max_train_steps 5000 --learning_rate 5e-5 --mixed_precision bf16
        --lora_training True --lora_rank 32 --seed 1000 --output_dir checkpoints/wan_t2v_lora
        --tracker_project_name wan --wandb_run_name wan-1 --num_train_epochs 3`,
    },
    read: {
      task_name: "wan-1",
      base_arch: "wan",
      base_model_path: "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
      lora_rank: 32,
      batch_size: 1,
      gradient_accumulation_steps: 8,
      max_steps: 5000,
      learning_rate: 5e-5,
      mixed_precision: "bf16",
      data_dir: "data/crush_smol",
      output_dir: "checkpoints/wan_t2v_lora",
      seed: 1000,
      resolution: "832,480",
    },
    defaults: {
      ...video,
      lora_alpha: 32,
      optimizer: "AdamW",
      scheduler: "constant",
      network_algo: "lora",
    },
  },
  {
    trainer: "fastvideo",
    about: "a YAML file with sections",
    input: {
      text: `
engine:
  precision: {dit: fp32}
training:
  data:
    num_height: 704
    num_width: 1280
    num_frames: 77
    train_batch_size: 1
    num_latent_t: 20
  optimizer:
    learning_rate: 0.0001
  loop:
    max_train_steps: 5000
    gradient_accumulation_steps: 8
  checkpoint:
    output_dir: checkpoints/t2w_lora
  lora:
    enabled: true
    rank: 32
`,
    },
    read: {
      task_name: "t2w_lora",
      lora_rank: 32,
      batch_size: 1,
      gradient_accumulation_steps: 8,
      max_steps: 5000,
      learning_rate: 1e-4,
      output_dir: "checkpoints/t2w_lora",
      resolution: "1280,704",
    },
    defaults: {
      ...video,
      lora_alpha: 32,
      optimizer: "AdamW",
      scheduler: "constant",
      network_algo: "lora",
      seed: 0,
    },
  },
  {
    trainer: "fastvideo",
    about: "its first version's script, with a rank it does not use",
    kind: "full-fine-tune",
    input: {
      path: "finetune_hunyuan.sh",
      text: `export WANDB_MODE=online
torchrun --nnodes 1 --nproc_per_node 4 \\
    fastvideo/train.py \\
    --seed 1024 \\
    --pretrained_model_name_or_path /data/hunyuan_diffusers \\
    --model_type hunyuan_hf \\
    --data_json_path data/videos2caption.json \\
    --train_batch_size 1 \\
    --gradient_accumulation_steps 2 \\
    --max_train_steps 2000 \\
    --learning_rate 5e-6 \\
    --mixed_precision bf16 \\
    --output_dir /data/outputs/HSH \\
    --lora_rank 128
`,
    },
    read: {
      task_name: "HSH",
      base_model_path: "/data/hunyuan_diffusers",
      batch_size: 1,
      gradient_accumulation_steps: 2,
      max_steps: 2000,
      learning_rate: 5e-6,
      mixed_precision: "bf16",
      data_dir: "data/videos2caption.json",
      output_dir: "/data/outputs/HSH",
      seed: 1024,
    },
    defaults: { ...video, optimizer: "AdamW", scheduler: "constant" },
  },
];

const audio: Case[] = [
  {
    trainer: "ace-step",
    about: "the command of its instructions",
    input: {
      text: "",
      command: `python trainer.py --dataset_path ./zh_lora_dataset --exp_name chinese_rap_lora
        --lora_config_path config/zh_rap_lora_config.json --learning_rate 1e-4 --max_steps 20000
        --every_n_train_steps 500 --precision bf16-mixed --checkpoint_dir /m/ace --logger_dir ./exps`,
    },
    read: {
      task_name: "chinese_rap_lora",
      base_model_path: "/m/ace",
      max_steps: 20000,
      learning_rate: 1e-4,
      mixed_precision: "bf16",
      data_dir: "./zh_lora_dataset",
      output_dir: "./exps",
      log_dir: "./exps",
    },
    defaults: {
      ...video,
      base_arch: "ace-step",
      batch_size: 1,
      gradient_accumulation_steps: 1,
      optimizer: "AdamW",
      network_algo: "lora",
    },
  },
  {
    trainer: "ace-step",
    about: "its silent defaults",
    input: {
      text: "",
      command:
        "python trainer.py --dataset_path ./d --exp_name x --lora_config_path c.json --epochs 5 --accumulate_grad_batches 4",
    },
    read: {
      task_name: "x",
      gradient_accumulation_steps: 4,
      epochs: 5,
      data_dir: "./d",
    },
    defaults: {
      ...video,
      base_arch: "ace-step",
      batch_size: 1,
      max_steps: 2_000_000,
      learning_rate: 1e-4,
      optimizer: "AdamW",
      mixed_precision: "no",
      output_dir: "./exps/logs/",
      log_dir: "./exps/logs/",
      network_algo: "lora",
    },
  },
  {
    trainer: "ace-step",
    about: "a script that starts it",
    input: {
      path: "train.sh",
      text: `NAME="jazz"
CUDA_VISIBLE_DEVICES=0 python trainer.py --dataset_path "data/$NAME" --exp_name "\${NAME}_lora" \\
  --every_plot_step 500 --epochs -1 --max_steps 3000 --precision 32 --learning_rate 5e-5
`,
    },
    read: {
      task_name: "jazz_lora",
      max_steps: 3000,
      learning_rate: 5e-5,
      mixed_precision: "no",
      data_dir: "data/jazz",
    },
    defaults: {
      ...video,
      base_arch: "ace-step",
      batch_size: 1,
      gradient_accumulation_steps: 1,
      optimizer: "AdamW",
      output_dir: "./exps/logs/",
      log_dir: "./exps/logs/",
      network_algo: "lora",
    },
  },
  {
    trainer: "side-step",
    about: "a LoRA for ACE-Step 1.5",
    input: {
      text: "",
      command: `python train.py fixed --checkpoint-dir ./checkpoints --model-variant base --dataset-dir ./tensors
        --output-dir ./lora_output/jazz --rank 32 --alpha 64 --lr 3e-4 --epochs 200 --batch-size 2
        --gradient-accumulation 2 --precision bf16 --optimizer-type adamw8bit --save-every 25 --log-dir tb`,
    },
    read: {
      task_name: "jazz",
      base_model_path: "base",
      lora_rank: 32,
      lora_alpha: 64,
      batch_size: 2,
      gradient_accumulation_steps: 2,
      epochs: 200,
      learning_rate: 3e-4,
      optimizer: "adamw8bit",
      mixed_precision: "bf16",
      data_dir: "./tensors",
      output_dir: "./lora_output/jazz",
      log_dir: "tb",
      save_every_n_epochs: 25,
    },
    defaults: {
      ...video,
      base_arch: "ace-step",
      dropout: 0.1,
      scheduler: "cosine",
      network_algo: "lora",
      seed: 42,
    },
  },
  {
    trainer: "side-step",
    about: "its silent defaults",
    input: {
      text: "",
      command:
        "python -m acestep.training_v2.cli.train_fixed --checkpoint-dir c --dataset-dir d --output-dir o",
    },
    read: { task_name: "o", data_dir: "d", output_dir: "o" },
    defaults: {
      ...video,
      base_arch: "ace-step",
      base_model_path: "turbo",
      lora_rank: 64,
      lora_alpha: 128,
      dropout: 0.1,
      batch_size: 1,
      gradient_accumulation_steps: 4,
      epochs: 100,
      learning_rate: 1e-4,
      optimizer: "adamw",
      scheduler: "cosine",
      save_every_n_epochs: 10,
      network_algo: "lora",
      seed: 42,
    },
  },
  {
    trainer: "side-step",
    about: "a LoKr, whose rank is another setting",
    input: {
      text: "",
      command: `python train.py --plain fixed --checkpoint-dir c --dataset-dir d --output-dir o/lokr --adapter-type lokr
        --rank 8 --lokr-factor 8 --precision auto --seed 3 --scheduler-type constant`,
    },
    read: {
      task_name: "lokr",
      scheduler: "constant",
      data_dir: "d",
      output_dir: "o/lokr",
      network_algo: "lokr",
      seed: 3,
    },
    defaults: {
      ...video,
      base_arch: "ace-step",
      base_model_path: "turbo",
      batch_size: 1,
      gradient_accumulation_steps: 4,
      epochs: 100,
      learning_rate: 1e-4,
      optimizer: "adamw",
      save_every_n_epochs: 10,
    },
  },
];

export const videoAndAudioCases: Case[] = [...ltx, ...finetrainers, ...fastVideo, ...audio];
