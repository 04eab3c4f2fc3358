"""Configurations for trainers over diffusers' and the models' own pipelines.

Sources: diffusers' DreamBooth LoRA scripts, SimpleTuner's OPTIONS.md, DiffSynth-Studio diffusion/parsers.py, LTX-2's
configuration reference, flymyai-lora-trainer train.py.
"""

from __future__ import annotations

from typing import Any

from .config_draft import DEFAULT, READ, Draft, folder_of, optimizer_for, resolution_of, scheduler_for

# (what follows train_dreambooth_lora, whether the script has --lora_alpha).
_DIFFUSERS: dict[str, Any] = {
    "sd15": ("", False), "sdxl": ("_sdxl", False), "sd3": ("_sd3", False), "flux": ("_flux", True),
    "flux/kontext": ("_flux_kontext", True), "flux2/dev": ("_flux2", True), "flux2/klein": ("_flux2_klein", True),
    "lumina2": ("_lumina2", False), "hidream": ("_hidream", False), "sana": ("_sana", True),
    "qwen-image": ("_qwen_image", True), "qwen-image/edit": None, "z-image": ("_z_image", True),
}  # fmt: skip
_SIMPLETUNER: dict[str, Any] = {
    "sd15": "sd1x", "sd2": "sd2x", "sdxl": "sdxl", "sd3": "sd3", "flux": "flux", "flux/kontext": None, "flux2": "flux2",
    "chroma": "chroma", "lumina2": "lumina2", "wan": "wan", "ltx-video": "ltxvideo", "ltx-2": "ltxvideo2",
    "hidream": "hidream", "qwen-image": "qwen_image", "qwen-image/edit": None, "kolors": "kolors", "sana": "sana",
    "auraflow": "auraflow",
}  # fmt: skip
# (folder below examples/, the part that is trained).
_DIFFSYNTH: dict[str, Any] = {
    "flux": ("flux", "dit"), "flux/kontext": None, "flux2": ("flux2", "dit"), "qwen-image": ("qwen_image", "dit"),
    "qwen-image/edit": None, "wan": ("wanvideo", "dit"), "z-image": ("z_image", "dit"),
}  # fmt: skip


def _folder(draft: Draft, path: str, what: str) -> None:
    """The one folder of its data, where the facts tell one."""
    known = [folder for folder in map(folder_of, draft.facts.datasets) if folder]
    if len(known) == 1:
        draft.set(path, known[0], READ, f"{draft.facts.origin}'s data facts")
    else:
        draft.fill(path, what)


def _side(draft: Draft, path: str) -> None:
    sizes = resolution_of(draft.facts.fields.get("resolution"))
    if sizes:
        draft.set(path, max(sizes), READ, draft.facts.seen("resolution"))
    else:
        draft.fill(path, "the longer side, such as 1024")


def diffusers(draft: Draft) -> str:
    """diffusers: the command of a DreamBooth LoRA script."""
    name, alpha = draft.choose("diffusers", _DIFFUSERS)
    draft.algo("diffusers", ("lora",))
    draft.base("--pretrained_model_name_or_path")
    _folder(draft, "--instance_data_dir", "the folder of images")
    draft.fill("--instance_prompt", "the prompt of all images")
    draft.rank("--rank")
    if alpha:
        draft.alpha("--lora_alpha", int)
        draft.take("--lora_dropout", "dropout")
    else:
        draft.alpha_is_rank()
    _side(draft, "--resolution")
    draft.take_all(
        "--",
        ("train_batch_size", "batch_size", 4),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("learning_rate", "learning_rate", 1e-4),
        ("lr_scheduler", "scheduler", "constant", scheduler_for({"constant", "linear", "cosine", "polynomial"})),
        ("mixed_precision", "mixed_precision"),
        ("seed", "seed"),
    )
    draft.length("--num_train_epochs", "--max_train_steps", 1000)
    if str(draft.facts.fields.get("optimizer") or "").lower().endswith("8bit"):
        draft.set("--use_8bit_adam", True, READ, draft.facts.seen("optimizer"))
    draft.take("--output_dir", "output_dir", fill="where the weights go")
    return f"accelerate launch train_dreambooth_lora{name}.py"


def simpletuner(draft: Draft) -> str:
    """SimpleTuner: config.json; its data backends are a file of their own."""
    family = draft.choose("SimpleTuner", _SIMPLETUNER)
    draft.algo("SimpleTuner's standard LoRA", ("lora",))
    draft.set("model_type", "lora", READ, "it is an adapter")
    draft.set("model_family", family, READ, draft.arch_note())
    draft.set("lora_type", "standard", *draft.algo_note())
    draft.rank("lora_rank")
    draft.alpha("lora_alpha")
    draft.take("lora_dropout", "dropout")
    draft.base("pretrained_model_name_or_path")
    draft.fill("data_backend_config", "path of its multidatabackend.json")
    _side(draft, "resolution")
    draft.take_all(
        "",
        ("train_batch_size", "batch_size", 4),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("learning_rate", "learning_rate", 4e-7),
        ("lr_scheduler", "scheduler", None, scheduler_for({"constant", "linear", "cosine", "sine", "polynomial"})),
        ("mixed_precision", "mixed_precision", "bf16", {"bf16": "bf16", "fp16": "fp16", "no": "no"}.get),
        ("seed", "seed"),
    )
    draft.fill("optimizer", "such as adamw_bf16; it spells them in its own way")
    draft.set("num_train_epochs", 0, DEFAULT, "the steps say how long it trains")
    draft.steps("max_train_steps", 1000)
    draft.take("output_dir", "output_dir", fill="where the weights go")
    return "simpletuner train, with this file as config/config.json"


def diffsynth(draft: Draft) -> str:
    """DiffSynth-Studio: the command of an architecture's train.py."""
    folder, part = draft.choose("DiffSynth-Studio", _DIFFSYNTH)
    draft.algo("DiffSynth-Studio", ("lora",))
    _folder(draft, "--dataset_base_path", "the folder of images or videos")
    draft.fill("--dataset_metadata_path", "its CSV or JSON of prompts")
    draft.fill("--model_id_with_origin_paths", f"the models, as in examples/{folder}/model_training/lora")
    draft.set("--lora_base_model", part, READ, draft.arch_note())
    draft.fill("--lora_target_modules", "the layers, such as to_q,to_k,to_v")
    draft.rank("--lora_rank")
    draft.alpha_is_rank()
    draft.take_all(
        "--", ("learning_rate", "learning_rate", 1e-4), ("num_epochs", "epochs", 1, lambda v: max(1, int(v))),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
    )  # fmt: skip
    draft.take("--output_path", "output_dir", fill="where the weights go")
    draft.set("--remove_prefix_in_ckpt", f"pipe.{part}.", DEFAULT, "as in its examples")
    return f"accelerate launch examples/{folder}/model_training/train.py"


def ltx(draft: Draft) -> str:
    """LTX-2's trainer: YAML."""
    draft.choose("ltx-trainer", {"ltx-2": "ltx-2"})
    draft.algo("ltx-trainer", ("lora",))
    draft.base("model/model_path")
    draft.fill("model/text_encoder_path", "path of the Gemma model")
    draft.set("model/training_mode", "lora", READ, "it is an adapter")
    draft.rank("lora/rank")
    draft.alpha("lora/alpha")
    draft.take("lora/dropout", "dropout", 0.0)
    if draft.facts.targets:
        draft.set("lora/target_modules", draft.facts.targets, READ, "the tensors")
    else:
        draft.fill("lora/target_modules", 'a list, such as ["to_k", "to_q", "to_v", "to_out.0"]')
    draft.set("training_strategy/name", "flexible", DEFAULT, "as in its examples")
    draft.set("training_strategy/video/is_generated", True, DEFAULT, "as in its examples")
    draft.set("training_strategy/video/latents_dir", "latents", DEFAULT, "as in its examples")
    o = "optimization/"
    draft.take(o + "learning_rate", "learning_rate", fill="a number, such as 1e-4")
    draft.steps(o + "steps", 2000)
    draft.take_all(
        o,
        ("batch_size", "batch_size", 1),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("optimizer_type", "optimizer", "adamw", optimizer_for(2)),
        ("scheduler_type", "scheduler", "linear", scheduler_for({"constant", "linear", "cosine"})),
    )  # fmt: skip
    draft.take(
        "acceleration/mixed_precision_mode", "mixed_precision", "bf16", {"bf16": "bf16", "fp16": "fp16", "no": "no"}.get
    )
    draft.fill("data/preprocessed_data_root", "the folder that its preprocessing made")
    draft.take("seed", "seed")
    draft.take("output_dir", "output_dir", fill="where the weights go")
    return "uv run python scripts/train.py THIS_FILE"


def flymyai(draft: Draft) -> str:
    """flymyai-lora-trainer: YAML for its train.py, which trains Qwen-Image."""
    draft.choose("flymyai-lora-trainer", {"qwen-image": "qwen-image", "qwen-image/edit": None})
    draft.algo("flymyai-lora-trainer", ("lora",))
    draft.base("pretrained_model_name_or_path")
    data = "data_config/"
    draft.take(data + "train_batch_size", "batch_size", 1)
    draft.set(data + "num_workers", 4, DEFAULT, "as in its examples")
    _side(draft, data + "img_size")
    draft.set(data + "caption_dropout_rate", 0.1, DEFAULT, "as in its examples")
    _folder(draft, data + "img_dir", "the folder of images")
    draft.set(data + "random_ratio", False, DEFAULT, "as in its examples")
    draft.set(data + "caption_type", "txt", DEFAULT, "as in its examples")
    draft.set("report_to", None, DEFAULT, "no tracker")
    draft.take("train_batch_size", "batch_size", 1)
    draft.take("output_dir", "output_dir", fill="where the weights go")
    draft.steps("max_train_steps", 3000)
    draft.take("learning_rate", "learning_rate", fill="a number, such as 3e-4")
    draft.take("lr_scheduler", "scheduler", "constant", scheduler_for({"constant", "linear", "cosine", "polynomial"}))
    for key, value in (
        ("lr_warmup_steps", 10), ("adam_beta1", 0.9), ("adam_beta2", 0.999), ("adam_weight_decay", 0.01),
        ("adam_epsilon", 1e-8), ("max_grad_norm", 1.0), ("logging_dir", "logs"), ("checkpointing_steps", 250),
        ("checkpoints_total_limit", 10), ("tracker_project_name", "lora"), ("resume_from_checkpoint", "latest"),
    ):  # fmt: skip
        draft.set(key, value, DEFAULT, "as in its examples")
    draft.take("mixed_precision", "mixed_precision", "bf16")
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.rank("rank")
    draft.alpha_is_rank()
    return "accelerate launch train.py --config THIS_FILE"
