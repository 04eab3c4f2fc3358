import type { Case } from "./case.ts";

const image = { model_type: "stable-diffusion" } as const;

const simpleTuner: Case[] = [
  {
    trainer: "simpletuner",
    about: "config.json with dashes, numbers as texts",
    input: {
      path: "config.json",
      text: `{"--model_type": "lora", "--model_family": "flux", "--lora_type": "standard", "--lora_rank": 16,
        "--pretrained_model_name_or_path": "black-forest-labs/FLUX.1-dev",
        "--data_backend_config": "config/multidatabackend.json", "--train_batch_size": 1, "--learning_rate": "1e-4",
        "--max_train_steps": 10000, "--num_train_epochs": 0, "--optimizer": "adamw_bf16",
        "--lr_scheduler": "polynomial", "--mixed_precision": "bf16", "--resolution": 1024, "--seed": 42,
        "--output_dir": "output/models"}`,
    },
    read: {
      task_name: "models",
      base_arch: "flux",
      base_model_path: "black-forest-labs/FLUX.1-dev",
      lora_rank: 16,
      batch_size: 1,
      max_steps: 10000,
      learning_rate: 1e-4,
      optimizer: "adamw_bf16",
      scheduler: "polynomial",
      mixed_precision: "bf16",
      data_dir: "config/multidatabackend.json",
      output_dir: "output/models",
      network_algo: "lora",
      seed: 42,
      resolution: "1024",
    },
    defaults: {
      ...image,
      lora_alpha: 16,
      dropout: 0.1,
      gradient_accumulation_steps: 1,
      log_dir: "output/models/logs",
    },
  },
  {
    trainer: "simpletuner",
    about: "config.json without dashes, of LyCORIS, whose rank stands elsewhere",
    input: {
      path: "config.json",
      text: `{"model_type": "lora", "model_family": "sdxl", "lora_type": "lycoris", "lycoris_config": "config/lycoris.json",
        "lora_rank": 64, "data_backend_config": "config/data.json", "num_train_epochs": 20, "max_train_steps": 0,
        "learning_rate": 0.00005, "optimizer": "optimi-lion", "validation_prompt": "a cat on a mat",
        "logging_dir": "/tb", "tracker_run_name": "cats-3", "output_dir": "/o/cats",
        "checkpoint_epoch_interval": 2, "train_batch_size": 2, "gradient_accumulation_steps": 4}`,
    },
    read: {
      task_name: "cats-3",
      base_arch: "sdxl",
      batch_size: 2,
      gradient_accumulation_steps: 4,
      epochs: 20,
      learning_rate: 5e-5,
      optimizer: "optimi-lion",
      data_dir: "config/data.json",
      output_dir: "/o/cats",
      log_dir: "/tb",
      sample_prompts: "a cat on a mat",
      save_every_n_epochs: 2,
      network_algo: "lycoris",
    },
    defaults: {
      ...image,
      scheduler: "constant_with_warmup",
      mixed_precision: "bf16",
      resolution: "1024",
    },
  },
  {
    trainer: "simpletuner",
    about: "the flags of its first version, some of them abbreviated",
    input: {
      text: "",
      command: `accelerate launch /w/SimpleTuner/train.py --model_type=lora --flux
        --pretrained_model_name_or_path=black-forest-labs/FLUX.1-dev --gradient_accumulation_steps=16
        --data_backend_config=/w/m.json --num_train_epochs=0 --max_train_steps=1500 --learning_rate=1.0
        --lr_scheduler=constant --seed 21325151 --output_dir=/w/o/ --mixed_precision=bf16 --lora_rank=32
        --lora_alpha=64 --train_batch=1 --resolution=1024 --optimizer=prodigy`,
    },
    read: {
      task_name: "o",
      base_arch: "flux",
      base_model_path: "black-forest-labs/FLUX.1-dev",
      lora_rank: 32,
      lora_alpha: 64,
      batch_size: 1,
      gradient_accumulation_steps: 16,
      max_steps: 1500,
      learning_rate: 1,
      optimizer: "prodigy",
      scheduler: "constant",
      mixed_precision: "bf16",
      data_dir: "/w/m.json",
      output_dir: "/w/o/",
      seed: 21325151,
      resolution: "1024",
    },
    defaults: { ...image, dropout: 0.1, log_dir: "/w/o/logs", network_algo: "lora" },
  },
  {
    trainer: "simpletuner",
    about: "a run with its dataset file, and a family of video",
    input: {
      path: "config.json",
      text: `{"model_type": "lora", "model_family": "ltxvideo2", "data_backend_config": "multidatabackend.json",
        "use_dora": true, "max_train_steps": 3000, "num_train_epochs": 0}`,
      dataset: {
        path: "multidatabackend.json",
        text: `[{"id": "clips", "type": "local", "dataset_type": "video", "instance_data_dir": "/d/clips",
          "resolution": 480, "caption_strategy": "textfile", "cache_dir_vae": "cache/vae"},
          {"id": "wide", "type": "local", "dataset_type": "video", "instance_data_dir": "/d/wide", "resolution": 720},
          {"id": "text", "type": "local", "dataset_type": "text_embeds", "default": true, "cache_dir": "cache/t"}]`,
      },
    },
    read: {
      base_arch: "ltx-2",
      max_steps: 3000,
      data_dir: "/d/clips, /d/wide",
      network_algo: "dora",
      resolution: "480,720",
    },
    defaults: {
      ...image,
      lora_rank: 16,
      lora_alpha: 16,
      dropout: 0.1,
      batch_size: 4,
      gradient_accumulation_steps: 1,
      learning_rate: 4e-7,
      optimizer: "adamw_bf16",
      scheduler: "constant_with_warmup",
      mixed_precision: "bf16",
      output_dir: "simpletuner-results",
      log_dir: "simpletuner-results/logs",
    },
  },
  {
    trainer: "simpletuner",
    about: "the list of its data",
    kind: "dataset",
    input: {
      text: `[{"id": "dreambooth-512", "type": "huggingface", "dataset_name": "org/set", "crop": true,
        "resolution": 512, "resolution_type": "pixel", "metadata_backend": "huggingface"},
        {"id": "alt-embed-cache", "dataset_type": "text_embeds", "default": true, "type": "local", "cache_dir": "c"}]`,
    },
    read: { data_dir: "org/set", resolution: "512" },
    defaults: image,
  },
  {
    trainer: "simpletuner",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: `{"model_type": "full", "model_family": "sd3", "data_backend_config": "d.json", "num_train_epochs": 3,
        "output_dir": "o", "learning_rate": 1e-5, "lora_rank": 8}`,
    },
    read: {
      task_name: "o",
      base_arch: "sd3",
      epochs: 3,
      learning_rate: 1e-5,
      data_dir: "d.json",
      output_dir: "o",
    },
    defaults: {
      ...image,
      batch_size: 4,
      gradient_accumulation_steps: 1,
      optimizer: "adamw_bf16",
      scheduler: "constant_with_warmup",
      mixed_precision: "bf16",
      log_dir: "o/logs",
      resolution: "1024",
    },
  },
];

const diffSynth: Case[] = [
  {
    trainer: "diffsynth-studio",
    about: "a shell script of its examples",
    input: {
      path: "Qwen-Image.sh",
      text: `accelerate launch examples/qwen_image/model_training/train.py \\
  --dataset_base_path data/example_image_dataset \\
  --dataset_metadata_path data/example_image_dataset/metadata.csv \\
  --max_pixels 1048576 \\
  --dataset_repeat 50 \\
  --model_id_with_origin_paths "Qwen/Qwen-Image:transformer/*.safetensors,Qwen/Qwen-Image:vae/v.safetensors" \\
  --learning_rate 1e-4 \\
  --num_epochs 5 \\
  --remove_prefix_in_ckpt "pipe.dit." \\
  --output_path "./models/train/Qwen-Image_lora" \\
  --lora_base_model "dit" \\
  --lora_target_modules "to_q,to_k,to_v" \\
  --lora_rank 64 \\
  --use_gradient_checkpointing
`,
    },
    read: {
      task_name: "Qwen-Image_lora",
      base_arch: "qwen-image",
      base_model_path:
        "Qwen/Qwen-Image:transformer/*.safetensors,Qwen/Qwen-Image:vae/v.safetensors",
      lora_rank: 64,
      epochs: 5,
      learning_rate: 1e-4,
      data_dir: "data/example_image_dataset",
      metadata_path: "data/example_image_dataset/metadata.csv",
      output_dir: "./models/train/Qwen-Image_lora",
    },
    defaults: {
      ...image,
      lora_alpha: 64,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      optimizer: "AdamW",
      scheduler: "constant",
      save_every_n_epochs: 1,
      network_algo: "lora",
    },
  },
  {
    trainer: "diffsynth-studio",
    about: "a command with an argument of more than 10,000 characters",
    input: {
      text: "",
      command: `accelerate launch --mixed_precision bf16 examples/wanvideo/model_training/train.py --dataset_base_path /d/v
        --height 480 --width 832 --num_frames 49 --model_paths ["/m/wan2.2/${"a".repeat(1500)}.safetensors"]
        --lora_base_model dit --lora_target_modules ${Array.from({ length: 1500 }, (_, i) => `blocks.${i}.q`).join(",")}
        --num_epochs 2 --save_steps 500 --gradient_accumulation_steps 4 --enable_tensorboard_log
        --customized_optimizer bitsandbytes.optim.Adam8bit --output_path /o/wan`,
    },
    read: {
      task_name: "wan",
      base_arch: "wan",
      base_model_path: `["/m/wan2.2/${"a".repeat(1500)}.safetensors"]`,
      gradient_accumulation_steps: 4,
      epochs: 2,
      optimizer: "Adam8bit",
      mixed_precision: "bf16",
      data_dir: "/d/v",
      output_dir: "/o/wan",
      log_dir: "/o/wan/tensorboard_log",
      resolution: "832,480",
    },
    defaults: {
      ...image,
      lora_rank: 32,
      lora_alpha: 32,
      batch_size: 1,
      learning_rate: 1e-4,
      scheduler: "constant",
      network_algo: "lora",
    },
  },
  {
    trainer: "diffsynth-studio",
    about: "the arguments it saves of a whole model",
    kind: "full-fine-tune",
    input: {
      path: "training_args.json",
      text: `{"dataset_base_path": "/d", "dataset_metadata_path": null, "height": null, "width": null,
        "model_paths": "[\\"/m/flux1-dev.safetensors\\"]", "model_id_with_origin_paths": null, "learning_rate": 1e-05,
        "num_epochs": 2, "trainable_models": "dit", "lora_base_model": null, "lora_rank": 32,
        "output_path": "./models/full", "save_steps": null, "gradient_accumulation_steps": 1}`,
    },
    read: {
      task_name: "full",
      base_arch: "flux",
      base_model_path: '["/m/flux1-dev.safetensors"]',
      gradient_accumulation_steps: 1,
      epochs: 2,
      learning_rate: 1e-5,
      data_dir: "/d",
      output_dir: "./models/full",
    },
    defaults: {
      ...image,
      batch_size: 1,
      optimizer: "AdamW",
      scheduler: "constant",
      save_every_n_epochs: 1,
    },
  },
  {
    trainer: "diffsynth-studio",
    about: "the script for FLUX of its first version",
    input: {
      text: "",
      command: `python examples/train/flux/train_flux_lora.py --pretrained_text_encoder_path t5 --pretrained_dit_path
        models/flux1-dev.safetensors --dataset_path data/dog --output_path ./models --max_epochs 1 --learning_rate 1e-4
        --lora_rank 16 --center_crop --precision bf16`,
    },
    read: {
      task_name: "models",
      base_arch: "flux",
      base_model_path: "models/flux1-dev.safetensors",
      lora_rank: 16,
      epochs: 1,
      learning_rate: 1e-4,
      mixed_precision: "bf16",
      data_dir: "data/dog",
      output_dir: "./models",
    },
    defaults: {
      ...image,
      lora_alpha: 4,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      optimizer: "AdamW",
      network_algo: "lora",
      resolution: "1024,1024",
    },
  },
];

const flyMyAi: Case[] = [
  {
    trainer: "flymyai",
    about: "the YAML for small cards",
    input: {
      path: "train_lora_4090.yaml",
      text: `
pretrained_model_name_or_path: Qwen/Qwen-Image
data_config:
  train_batch_size: 2
  num_workers: 4
  img_size: 1024
  caption_dropout_rate: 0.1
  img_dir: ./your_lora_dataset
wandb_run_name: lora-4090-run
train_batch_size: 2
output_dir: ./test_lora_saves
max_train_steps: 3000
learning_rate: 3e-4
lr_scheduler: constant
lr_warmup_steps: 10
logging_dir: logs
mixed_precision: "bf16"
gradient_accumulation_steps: 1
rank: 16
quantize: true
adam8bit: true
`,
    },
    read: {
      task_name: "lora-4090-run",
      base_arch: "qwen-image",
      base_model_path: "Qwen/Qwen-Image",
      lora_rank: 16,
      batch_size: 2,
      gradient_accumulation_steps: 1,
      max_steps: 3000,
      learning_rate: 3e-4,
      optimizer: "Adam8bit",
      scheduler: "constant",
      mixed_precision: "bf16",
      data_dir: "./your_lora_dataset",
      output_dir: "./test_lora_saves",
      log_dir: "./test_lora_saves/logs",
      resolution: "1024",
    },
    defaults: { ...image, lora_alpha: 16, network_algo: "lora" },
  },
  {
    trainer: "flymyai",
    about: "a file with the command that starts it",
    input: {
      command: "accelerate launch train.py --config ./train_configs/train_lora.yaml",
      text: "pretrained_model_name_or_path: /m/base\ndata_config: {img_size: 512, img_dir: /d}\noutput_dir: /o/x\nrank: 64\nlearning_rate: 1e-4\nmax_train_steps: 500\n",
    },
    read: {
      task_name: "x",
      base_model_path: "/m/base",
      lora_rank: 64,
      max_steps: 500,
      learning_rate: 1e-4,
      data_dir: "/d",
      output_dir: "/o/x",
      resolution: "512",
    },
    defaults: {
      ...image,
      base_arch: "qwen-image",
      lora_alpha: 64,
      optimizer: "AdamW",
      network_algo: "lora",
    },
  },
  {
    trainer: "flymyai",
    about: "a whole model",
    kind: "full-fine-tune",
    input: {
      text: "pretrained_model_name_or_path: Qwen/Qwen-Image\ndata_config: {train_batch_size: 1, img_size: 768, img_dir: /d}\noutput_dir: /o/f\nlearning_rate: 1e-5\nmax_train_steps: 100\nmixed_precision: fp16\n",
    },
    read: {
      task_name: "f",
      base_arch: "qwen-image",
      base_model_path: "Qwen/Qwen-Image",
      batch_size: 1,
      max_steps: 100,
      learning_rate: 1e-5,
      mixed_precision: "fp16",
      data_dir: "/d",
      output_dir: "/o/f",
      resolution: "768",
    },
    defaults: { ...image, optimizer: "AdamW" },
  },
];

const invoke: Case[] = [
  {
    trainer: "invoke-training",
    about: "SDXL with Prodigy",
    input: {
      text: `
type: SDXL_LORA
seed: 1
base_output_dir: output/robo
optimizer:
  optimizer_type: Prodigy
  weight_decay: 0.01
lr_scheduler: cosine
data_loader:
  type: IMAGE_CAPTION_SD_DATA_LOADER
  dataset:
    type: IMAGE_CAPTION_JSONL_DATASET
    jsonl_path: /d/set.jsonl
  resolution: 1024
model: stabilityai/stable-diffusion-xl-base-1.0
lora_rank_dim: 64
max_train_steps: 2000
save_every_n_epochs: 1
validation_prompts: [a robot, a robot at sea]
train_batch_size: 8
mixed_precision: bf16
`,
    },
    read: {
      task_name: "robo",
      base_model_path: "stabilityai/stable-diffusion-xl-base-1.0",
      lora_rank: 64,
      batch_size: 8,
      max_steps: 2000,
      optimizer: "Prodigy",
      scheduler: "cosine",
      mixed_precision: "bf16",
      data_dir: "/d/set.jsonl",
      output_dir: "output/robo",
      sample_prompts: "a robot\na robot at sea",
      save_every_n_epochs: 1,
      seed: 1,
      resolution: "1024",
    },
    defaults: {
      ...image,
      base_arch: "sdxl",
      lora_alpha: 1,
      gradient_accumulation_steps: 1,
      learning_rate: 1,
      network_algo: "lora",
    },
  },
  {
    trainer: "invoke-training",
    about: "FLUX, whose own rate goes before the optimizer's",
    input: {
      text: `
type: FLUX_LORA
base_output_dir: /o/flux
max_train_epochs: 10
optimizer: {optimizer_type: AdamW, learning_rate: 5e-4}
data_loader:
  type: IMAGE_CAPTION_FLUX_DATA_LOADER
  dataset: {type: IMAGE_CAPTION_DIR_DATASET, dataset_dir: /d/imgs}
  resolution: [512, 768]
`,
    },
    read: {
      task_name: "flux",
      epochs: 10,
      optimizer: "AdamW",
      data_dir: "/d/imgs",
      output_dir: "/o/flux",
      resolution: "512,768",
    },
    defaults: {
      ...image,
      base_arch: "flux",
      base_model_path: "black-forest-labs/FLUX.1-dev",
      lora_rank: 4,
      lora_alpha: 1,
      batch_size: 1,
      gradient_accumulation_steps: 1,
      learning_rate: 1e-4,
      scheduler: "constant_with_warmup",
      mixed_precision: "no",
      network_algo: "lora",
    },
  },
  {
    trainer: "invoke-training",
    about: "a textual inversion, which trains no LoRA",
    kind: "unknown",
    input: {
      text: "type: SD_TEXTUAL_INVERSION\nbase_output_dir: /o/ti\nmodel: m\nplaceholder_token: x\nmax_train_steps: 500\ndata_loader: {type: TEXTUAL_INVERSION_SD_DATA_LOADER, dataset: {dataset_dir: /d}}\n",
    },
    read: {
      task_name: "ti",
      base_model_path: "m",
      max_steps: 500,
      data_dir: "/d",
      output_dir: "/o/ti",
    },
    defaults: {
      ...image,
      base_arch: "sd15",
      batch_size: 4,
      gradient_accumulation_steps: 1,
      learning_rate: 1e-4,
      optimizer: "AdamW",
      scheduler: "constant",
      mixed_precision: "no",
      resolution: "512",
    },
  },
];

export const imageCases: Case[] = [...simpleTuner, ...diffSynth, ...flyMyAi, ...invoke];
