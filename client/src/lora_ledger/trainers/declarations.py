"""The dialects that are tables, the same as for the service, whose src/trainers/declarations/form.ts says what the words mean.

Made by `node scripts/run.mjs declarations`; change nothing here.
"""

from __future__ import annotations

from typing import Any

DECLARATIONS: list[dict[str, Any]] = [
    {
        "name": "ms-swift",
        "recognise": {"commands": ["megatron sft", "megatron pt", "megatron rlhf", "megatron_sft.py", "swift.cli._megatron.sft", "swift.cli._megatron.pt", "swift.cli._megatron.rlhf", "cli/_megatron/sft.py", "cli/_megatron/pt.py", "cli/_megatron/rlhf.py"], "any": ["micro_batch_size", "global_batch_size", "mcore_model", "tensor_model_parallel_size"], "none": ["base_model", "model_name_or_path", "datasets"], "where": [{"key": ["tuner_type", "train_type", "sft_type"], "is": ["lora", "full", "lora_llm"]}]},
        "console": {"bar": "Train", "lines": ["iteration {step}/ {total} | {} | learning rate: {learning_rate} | {} | loss: {loss} |", "'loss': {loss}, {} 'iteration': '{step}/{total}'"]},
        "files": {"output": ["output_dir", "save"], "default_output": "megatron_output", "checkpoints": ["v{}/checkpoint-{step}/adapter_model.safetensors", "checkpoint-{step}/adapter_model.safetensors", "v{}/iter_{step}-hf/adapter_model.safetensors"], "last_is_final": True, "logs": ["tensorboard_dir"], "data": ["dataset"], "name": ["wandb_exp_name"], "steps": ["train_iters"]},
    },
    {
        "name": "ms-swift",
        "recognise": {"commands": ["swift sft", "swift pt", "swift rlhf", "swift.cli.sft", "swift.cli.pt", "swift.cli.rlhf", "swift/cli/sft.py", "swift/cli/pt.py", "swift/cli/rlhf.py"], "any": ["model", "model_id_or_path", "model_type"], "none": ["model_name_or_path", "base_model", "pretrained_model_name_or_path"], "where": [{"key": ["tuner_type", "train_type", "sft_type"], "is": ["lora", "longlora", "adalora", "lora_llm", "full", "llamapro", "adapter", "vera", "boft", "fourierft", "reft", "bone", "ia3"]}]},
        "console": {"bar": "Train"},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "default_output": "output", "checkpoints": ["{}/v{}/checkpoint-{step}/adapter_model.safetensors"], "last_is_final": True, "data": ["dataset", "custom_train_dataset_path"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl sft", "trl.scripts.sft", "trl/scripts/sft.py", "examples/scripts/sft.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl dpo", "trl.scripts.dpo", "trl/scripts/dpo.py", "examples/scripts/dpo.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl grpo", "trl.scripts.grpo", "trl/scripts/grpo.py", "examples/scripts/grpo.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl kto", "trl.scripts.kto", "trl/scripts/kto.py", "examples/scripts/kto.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl rloo", "trl.scripts.rloo", "trl/scripts/rloo.py", "examples/scripts/rloo.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"commands": ["trl reward", "trl.scripts.reward", "trl/scripts/reward.py", "examples/scripts/reward.py"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "trl",
        "recognise": {"keys": ["model_name_or_path"], "imports": ["trl"], "any": ["use_peft", "dataset_text_field", "reward_funcs", "assistant_only_loss"], "none": ["finetuning_type", "stage", "bits", "double_quant", "lora_rank", "peft_config"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "data": ["dataset_name"]},
    },
    {
        "name": "unsloth",
        "recognise": {"commands": ["unsloth train"], "imports": ["unsloth"], "keys": ["model", "training"], "any": ["training.training_type", "training.max_seq_length", "lora.lora_r", "data.format_type"], "none": ["trainer", "config", "job"]},
        "console": {"lines": ["Num examples = {} | Num Epochs = {total_epochs} | Total steps = {total}"]},
        "files": {"output": ["output_dir", "training.output_dir"], "layout": "transformers", "logs": ["tensorboard_dir", "logging.tensorboard_dir"], "name": ["run_name"], "steps": ["max_steps", "training.max_steps"], "data": ["local_dataset", "data.local_dataset"]},
    },
    {
        "name": "unsloth",
        "recognise": {"commands": ["unsloth-cli.py", "unsloth_cli.py"]},
        "console": {"lines": ["Num examples = {} | Num Epochs = {total_epochs} | Total steps = {total}"]},
        "files": {"output": ["output_dir"], "layout": "transformers", "logs": ["logging_dir"], "name": ["run_name"], "steps": ["max_steps"], "default_output": "outputs", "data": ["dataset"]},
    },
    {
        "name": "unsloth",
        "recognise": {"keys": ["peft_type", "auto_mapping.unsloth_fixed"]},
        "console": {"lines": ["Num examples = {} | Num Epochs = {total_epochs} | Total steps = {total}"]},
    },
    {
        "name": "mlx-lm",
        "recognise": {"commands": ["mlx_lm.lora", "mlx_lm lora", "mlx_lm.lora.py"], "keys": ["model"], "any": ["lora_parameters", "adapter_path", "num_layers"], "where": [{"key": "train", "given": True}]},
        "console": {"lines": ["Iter {step}: Train loss {loss}, Learning Rate {learning_rate},", "{step} {loss} ▼", "{step} {loss} ▲"]},
        "files": {"output": ["adapter_path"], "default_output": "adapters", "final": ["adapters.safetensors"], "checkpoints": ["{step}_adapters.safetensors"], "data": ["data"], "steps": ["iters"]},
    },
    {
        "name": "torchtune",
        "recognise": {"commands": ["tune run"], "where": [{"key": "model._component_", "has": "torchtune."}]},
        "console": {"lines": ["Step {step} | loss:{loss} lr:{lr}"]},
        "files": {"output": ["output_dir"], "final": ["epoch_{epoch}/adapter_model.safetensors", "epoch_{epoch}/adapter_model.pt"], "last_is_final": True, "logs": ["metric_logger.log_dir"]},
    },
    {
        "name": "nemo-automodel",
        "recognise": {"keys": ["step_scheduler", "model"], "any": ["model.pretrained_model_name_or_path", "model._target_"], "where": [{"key": "step_scheduler.local_batch_size", "given": True}]},
        "files": {"output": ["checkpoint.checkpoint_dir"], "checkpoints": ["epoch_{epoch}_step_{step}/model/adapter_model.safetensors"], "last_is_final": True, "steps": ["step_scheduler.max_steps"]},
    },
    {
        "name": "simpletuner",
        "recognise": {"commands": ["simpletuner train", "SimpleTuner/train.py", "simpletuner/train.py"], "any": ["data_backend_config", "model_family"], "none": ["network_module", "finetuning_type"], "where": [{"key": "model_type", "is": ["lora", "full", "deepfloyd-lora", "deepfloyd-full", "embedding"]}]},
        "console": {"bar": "Epoch {epoch}/{total_epochs}, Steps", "bar_loss": ["step_loss"]},
        "files": {"output": ["output_dir"], "default_output": "simpletuner-results", "final": ["pytorch_lora_weights.safetensors"], "checkpoints": ["checkpoint-{step}/pytorch_lora_weights.safetensors"], "samples": ["validation_images/step_{step}_{}.png", "validation_images/step_{step}_{}.mp4"], "metrics": {"file": "training_metrics.jsonl", "step": "step", "loss": ["metrics.train_loss", "metrics.optimization_loss"]}, "logs": ["logging_dir"], "dataset_file": ["data_backend_config"], "configs": ["lycoris_config", "user_prompt_library"], "name": ["tracker_run_name"], "steps": ["max_train_steps"]},
    },
    {
        "name": "simpletuner",
        "recognise": {"list": True, "keys": ["id", "type"], "any": ["instance_data_dir", "dataset_name", "dataset_type", "cache_dir_vae", "csv_url_column", "metadata_backend", "caption_strategy", "aws_bucket_name"]},
    },
    {
        "name": "diffsynth-studio",
        "recognise": {"commands": ["model_training/train.py"], "keys": ["dataset_base_path"], "any": ["model_id_with_origin_paths", "model_paths", "lora_base_model", "trainable_models"]},
        "files": {"output": ["output_path"], "default_output": "./models", "checkpoints": ["step-{step}.safetensors", "epoch-{epoch}.safetensors"], "last_is_final": True, "data": ["dataset_base_path"], "dataset_file": ["dataset_metadata_path"]},
    },
    {
        "name": "diffsynth-studio",
        "recognise": {"keys": ["dataset_path"], "any": ["pretrained_dit_path", "pretrained_unet_path", "pretrained_text_encoder_path", "pretrained_text_encoder_2_path", "dit_path"], "where": [{"key": "output_path", "given": True}]},
        "files": {"output": ["output_path"], "checkpoints": ["lightning_logs/version_{}/checkpoints/epoch={epoch}-step={step}.ckpt"], "last_is_final": True, "data": ["dataset_path"]},
    },
    {
        "name": "flymyai",
        "recognise": {"keys": ["pretrained_model_name_or_path", "data_config"], "any": ["data_config.img_dir", "data_config.img_size", "data_config.image_size"], "none": ["network_dim", "network_module"]},
        "console": {"bar": "Steps", "bar_loss": ["step_loss"], "done": ["Training completed!"]},
        "files": {"output": ["output_dir"], "checkpoints": ["checkpoint-{step}/pytorch_lora_weights.safetensors"], "last_is_final": True, "data": ["data_config.img_dir"], "name": ["wandb_run_name"], "steps": ["max_train_steps"]},
    },
    {
        "name": "invoke-training",
        "recognise": {"keys": ["data_loader"], "any": ["base_output_dir", "lora_rank_dim", "optimizer.optimizer_type"], "where": [{"key": "type", "is": ["SD_LORA", "DIFFUSION_DPO_LORA_SD", "SD_TEXTUAL_INVERSION"]}]},
        "files": {"output": ["base_output_dir"], "checkpoints": ["{}/checkpoints/checkpoint_epoch_{epoch}-step_{step}.safetensors", "{}/checkpoints/checkpoint_step_{step}.safetensors"], "last_is_final": True, "data": ["data_loader.dataset.jsonl_path", "data_loader.dataset.dataset_dir"], "steps": ["max_train_steps"]},
    },
    {
        "name": "invoke-training",
        "recognise": {"keys": ["data_loader"], "any": ["base_output_dir", "lora_rank_dim", "optimizer.optimizer_type"], "where": [{"key": "type", "is": ["SDXL_LORA", "SDXL_FINETUNE", "SDXL_LORA_AND_TEXTUAL_INVERSION", "SDXL_TEXTUAL_INVERSION"]}]},
        "files": {"output": ["base_output_dir"], "checkpoints": ["{}/checkpoints/checkpoint_epoch_{epoch}-step_{step}.safetensors", "{}/checkpoints/checkpoint_step_{step}.safetensors"], "last_is_final": True, "data": ["data_loader.dataset.jsonl_path", "data_loader.dataset.dataset_dir"], "steps": ["max_train_steps"]},
    },
    {
        "name": "invoke-training",
        "recognise": {"keys": ["data_loader"], "any": ["base_output_dir", "lora_rank_dim", "optimizer.optimizer_type"], "where": [{"key": "type", "is": ["FLUX_LORA"]}]},
        "files": {"output": ["base_output_dir"], "checkpoints": ["{}/checkpoints/checkpoint_epoch_{epoch}-step_{step}.safetensors", "{}/checkpoints/checkpoint_step_{step}.safetensors"], "last_is_final": True, "data": ["data_loader.dataset.jsonl_path", "data_loader.dataset.dataset_dir"], "steps": ["max_train_steps"]},
    },
    {
        "name": "ltx-trainer",
        "recognise": {"keys": ["model", "optimization", "data.preprocessed_data_root"], "any": ["model.training_mode", "model.model_path", "model.model_source", "lora"]},
        "console": {"lines": ["Step {step}/{total} - Loss: {loss}, LR: {lr}, Time/Step: {}s"]},
        "files": {"output": ["output_dir"], "default_output": "outputs", "checkpoints": ["checkpoints/lora_weights_step_{step}.safetensors", "checkpoints/model_weights_step_{step}.safetensors"], "last_is_final": True, "samples": ["samples/step_{step}_{}.mp4", "samples/step_{step}_{}.png"], "data": ["data.preprocessed_data_root"], "steps": ["optimization.steps"]},
    },
    {
        "name": "finetrainers",
        "recognise": {"keys": ["training_type", "pretrained_model_name_or_path"], "any": ["dataset_config", "train_steps", "parallel_backend", "data_root"], "where": [{"key": "model_name", "given": True}]},
        "console": {"bar": "Training steps", "bar_loss": ["global_avg_loss", "loss"]},
        "files": {"output": ["output_dir"], "checkpoints": ["lora_weights/{step}/pytorch_lora_weights.safetensors"], "last_is_final": True, "logs": ["logging_dir"], "dataset_file": ["dataset_config"], "configs": ["validation_dataset_file"], "steps": ["train_steps"]},
    },
    {
        "name": "finetrainers",
        "recognise": {"keys": ["datasets"], "where": [{"key": "datasets[].data_root", "given": True}, {"key": "datasets[].dataset_type", "given": True}], "none": ["base_model", "model_name_or_path", "model"]},
    },
    {
        "name": "fastvideo",
        "recognise": {"commands": ["fastvideo/train.py", "fastvideo/training/wan_training_pipeline.py", "fastvideo/training/wan_i2v_training_pipeline.py", "fastvideo/training/ltx2_training_pipeline.py", "fastvideo/training/cosmos2_5_training_pipeline.py", "fastvideo/training/matrixgame2_training_pipeline.py", "fastvideo/training/wan_distillation_pipeline.py", "fastvideo/training/wan_i2v_distillation_pipeline.py", "fastvideo/train/entrypoint/train.py", "fastvideo.train.entrypoint.train"], "any": ["training.data.num_latent_t", "training.loop.max_train_steps"], "where": [{"key": "training.data.train_batch_size", "given": True}]},
        "console": {"bar": "Steps", "bar_loss": ["loss", "total_loss"]},
        "files": {"output": ["output_dir", "training.checkpoint.output_dir"], "checkpoints": ["checkpoint-{step}/transformer/diffusion_pytorch_model.safetensors", "lora-checkpoint-{step}/pytorch_lora_weights.safetensors"], "last_is_final": True, "logs": ["logging_dir"], "data": ["data_path", "training.data.data_path"], "configs": ["validation_dataset_file"], "name": ["wandb_run_name", "training.tracker.run_name"], "steps": ["max_train_steps", "training.loop.max_train_steps"]},
    },
    {
        "name": "ace-step",
        "recognise": {"keys": ["dataset_path", "exp_name"], "any": ["lora_config_path", "every_n_train_steps", "every_plot_step"]},
        "files": {"output": ["logger_dir"], "default_output": "./exps/logs/", "checkpoints": ["lightning_logs/{}/checkpoints/epoch={epoch}-step={step}_lora/pytorch_lora_weights.safetensors"], "last_is_final": True, "samples": ["lightning_logs/{}/eval_results/step_{step}/pred_wav_{}.wav"], "logs": ["logger_dir"], "data": ["dataset_path"], "configs": ["lora_config_path"], "name": ["exp_name"], "steps": ["max_steps"]},
    },
    {
        "name": "side-step",
        "recognise": {"commands": ["train.py fixed", "acestep.training_v2.cli.train_fixed"], "keys": ["checkpoint_dir", "dataset_dir", "output_dir"], "none": ["pretrained_model_name_or_path", "model_name_or_path", "network_module", "stage"]},
        "console": {"lines": ["Epoch {epoch}, Step {step}, Loss: {loss}"], "done": ["Training complete!"]},
        "files": {"output": ["output_dir"], "final": ["final/adapter_model.safetensors", "final/lokr_weights.safetensors"], "checkpoints": ["checkpoints/epoch_{epoch}/adapter_model.safetensors"], "logs": ["log_dir"], "data": ["dataset_dir"]},
    },
]
