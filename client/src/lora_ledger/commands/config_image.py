"""Configurations for OneTrainer, ai-toolkit and diffusion-pipe.

Sources: OneTrainer TrainConfig.py and ModelType.py, ai-toolkit config_modules.py, diffusion-pipe
examples/main_example.toml.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import CommandError
from ..core.language import t
from .config_draft import (
    DEFAULT,
    FILL,
    READ,
    Draft,
    Facts,
    file_name,
    folder_of,
    one_line,
    optimizer_for,
    resolution_of,
    scheduler_for,
    toml_value,
)

_ONETRAINER: dict[str, Any] = {
    "sd15": "STABLE_DIFFUSION_15", "sd2/2.0": "STABLE_DIFFUSION_20", "sd2/2.0-base": "STABLE_DIFFUSION_20_BASE",
    "sd2/2.1": "STABLE_DIFFUSION_21", "sd2/2.1-base": "STABLE_DIFFUSION_21_BASE",
    "sdxl": "STABLE_DIFFUSION_XL_10_BASE", "sd3/3": "STABLE_DIFFUSION_3", "sd3/3.5": "STABLE_DIFFUSION_35",
    "flux": "FLUX_DEV_1", "flux/kontext": None, "flux2": "FLUX_2", "chroma": "CHROMA_1",
    "hunyuan-video": "HUNYUAN_VIDEO", "hidream": "HI_DREAM_FULL", "qwen-image": "QWEN", "qwen-image/edit": None,
    "z-image": "Z_IMAGE", "sana": "SANA", "anima": "ANIMA", "pixart/alpha": "PIXART_ALPHA",
    "pixart/sigma": "PIXART_SIGMA",
}  # fmt: skip
_AI_TOOLKIT: dict[str, Any] = {
    "sd15": "sd1", "sd2": "sd2", "sdxl": "sdxl", "sd3": "sd3", "flux": "flux", "flux/kontext": "flux_kontext",
    "flux2/dev": "flux2", "flux2/klein-4b": "flux2_klein_4b", "flux2/klein-9b": "flux2_klein_9b", "lumina2": "lumina2",
    "chroma": "chroma", "hidream": "hidream", "wan/2.1-1.3b": "wan21:1b", "wan/2.1-14b": "wan21:14b",
    "wan/2.1-i2v-14b": "wan21_i2v:14b", "wan/2.2-14b": "wan22_14b:t2v", "wan/2.2-i2v-14b": "wan22_14b_i2v",
    "wan/2.2-5b": "wan22_5b", "qwen-image": "qwen_image", "qwen-image/edit": "qwen_image_edit",
    "z-image/turbo": "zimage:turbo", "z-image/base": "zimage",
}  # fmt: skip
_DIFFUSION_PIPE: dict[str, Any] = {
    "sdxl": ("sdxl", ("checkpoint_path",)),
    "sd3": ("sd3", ("diffusers_path",)),
    "flux": ("flux", ("diffusers_path",)),
    "flux/kontext": None,
    "chroma": ("chroma", ("diffusers_path", "transformer_path")),
    "lumina2": ("lumina_2", ("transformer_path", "llm_path", "vae_path")),
    "wan": ("wan", ("ckpt_path",)),
    "hunyuan-video": ("hunyuan-video", ("transformer_path", "vae_path", "llm_path", "clip_path")),
    "qwen-image": ("qwen_image", ("diffusers_path",)),
    "qwen-image/edit": None,
}
_PRECISION = {"fp16": "float16", "bf16": "bfloat16", "no": "float32"}


def onetrainer(draft: Draft) -> str:
    """OneTrainer: JSON over its defaults."""
    facts = draft.facts
    kind = draft.choose("OneTrainer", _ONETRAINER)
    algo = draft.algo("OneTrainer", ("lora", "locon", "dora", "loha", "lokr", "full lokr", "oft"))
    if algo != "lokr" and algo != "oft":
        draft.one_rank("OneTrainer")
    if algo == "oft" and not facts.oft_block:
        raise CommandError(t("OneTrainer trains OFT of the second kind (oft_R), and not these blocks"))
    if facts.dora and algo == "loha":
        raise CommandError(t("OneTrainer decomposes no weights of LoHa"))
    draft.set("training_method", "LORA", READ, "it is an adapter")
    draft.set("model_type", kind, READ, draft.arch_note())
    draft.base("base_model_name")
    draft.set("peft_type", {"loha": "LOHA", "lokr": "LOKR", "oft": "OFT_2"}.get(algo, "LORA"), *draft.algo_note())
    if algo == "dora" or facts.dora:
        draft.set("lokr_weight_decompose" if algo == "lokr" else "lora_decompose", True, *draft.algo_note())
    if algo == "oft":
        draft.set("oft_block_size", facts.oft_block, READ, "the tensors")
    elif algo == "lokr":
        if facts.full:
            draft.set("lokr_full_matrix", True, *draft.algo_note())
        else:
            draft.rank("lokr_dim")
            draft.set("lokr_full_matrix", False, *draft.algo_note())
        if facts.factor:
            draft.set("lokr_decompose_factor", facts.factor, READ, "the tensors")
    else:
        draft.rank("lora_rank")
    if algo != "oft" and not facts.full:
        draft.alpha("lora_alpha", float)
    draft.take_all(
        "",
        ("dropout_probability", "dropout", 0.0, float),
        ("learning_rate", "learning_rate", 3e-6),
        ("optimizer/optimizer", "optimizer", "ADAMW", optimizer_for(1)),
    )
    known = {"constant", "linear", "cosine", "cosine_with_restarts", "cosine_with_hard_restarts"}
    draft.take("learning_rate_scheduler", "scheduler", "CONSTANT", scheduler_for(known, str.upper))
    draft.take_all(
        "",
        ("batch_size", "batch_size", 1),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("epochs", "epochs", 100, lambda v: max(1, int(v))),
        ("resolution", "resolution", "512", lambda v: next(map(str, resolution_of(v) or ()), None)),
        ("train_dtype", "mixed_precision", "FLOAT_16",
         {"fp16": "FLOAT_16", "bf16": "BFLOAT_16", "no": "FLOAT_32"}.get),
    )  # fmt: skip
    concepts = [
        {
            "name": d["name"],
            "path": folder_of(d) or f"FILL IN: folder of {d['name']}",
            "balancing": float(d.get("repeats") or 1),
            "balancing_strategy": "REPEATS",
            "text": {"prompt_source": "sample"},
            "enabled": True,
        }
        for d in facts.datasets[:50]
    ]
    empty = {"name": "data", "path": "FILL IN: folder of images with captions", "text": {"prompt_source": "sample"}}
    told = all(folder_of(d) for d in facts.datasets) and facts.datasets
    draft.set(
        "concepts",
        concepts or [{**empty, "enabled": True}],
        READ if told else FILL,
        f"{facts.origin}'s data facts" if told else "the folders; names and repeats were read where they are given",
    )
    draft.set("workspace_dir", "workspace/run", DEFAULT, "the trainer's own")
    name = facts.fields.get("task_name") or "model"
    draft.set("output_model_destination", f"models/{file_name(name)}.safetensors", READ, "the name")
    return "python scripts/train.py --config-path THIS_FILE"


def ai_toolkit(draft: Draft) -> str:
    """ai-toolkit: YAML with one process."""
    facts = draft.facts
    kind = draft.choose("ai-toolkit", _AI_TOOLKIT)
    algo = draft.algo("ai-toolkit", ("lora", "locon", "lokr", "full lokr", "dora"))
    if facts.dora and algo == "lokr":
        raise CommandError(t("ai-toolkit decomposes no weights of LoKr"))
    unet = draft.arch in ("sd15", "sd2", "sdxl")
    p = "config/process/0/"
    draft.set("job", "extension", DEFAULT, "what runs a training")
    draft.take("config/name", "task_name", "my_lora", file_name)
    draft.set(p + "type", "sd_trainer", DEFAULT, "what trains adapters")
    draft.set(p + "training_folder", "output", DEFAULT, "as in its examples")
    draft.set(p + "device", "cuda:0", DEFAULT, "as in its examples")
    draft.set(p + "network/type", "lora" if algo == "locon" else algo, *draft.algo_note())
    if algo == "lokr":
        # Newer versions train the full matrix where nothing is said.
        draft.set(p + "network/lokr_full_rank", facts.full, *draft.algo_note())
        if facts.factor:
            draft.set(p + "network/lokr_factor", facts.factor, READ, "the tensors")
    if not facts.full:
        draft.rank(p + "network/linear")
        draft.alpha(p + "network/linear_alpha")
        if not unet and algo != "lokr":
            draft.set("#", "the trainer takes alpha = rank for this architecture, whatever linear_alpha says", DEFAULT)
        draft.take_all(p + "network/", ("conv", "conv_lora_rank"), ("conv_alpha", "conv_alpha"))
    draft.take(p + "network/dropout", "dropout")
    draft.set(p + "save/dtype", "float16", DEFAULT, "as in its examples")
    draft.set(p + "save/save_every", 1000, DEFAULT, "the trainer's own")
    for n, data in enumerate(facts.datasets[:50] or [{"name": "your images"}]):
        if folder_of(data):
            draft.set(f"{p}datasets/{n}/folder_path", folder_of(data), READ, f"{facts.origin}'s data facts")
        else:
            draft.fill(f"{p}datasets/{n}/folder_path", f"folder of {data['name']}")
        draft.set(f"{p}datasets/{n}/caption_ext", "txt", DEFAULT, "the trainer's own")
        if data.get("repeats"):
            draft.set(f"{p}datasets/{n}/num_repeats", data["repeats"], READ, "the dataset facts")
        sizes = resolution_of(facts.fields.get("resolution"))
        draft.set(
            f"{p}datasets/{n}/resolution",
            [max(sizes)] if sizes else [512],
            READ if sizes else DEFAULT,
            facts.seen("resolution") if sizes else "the trainer's own",
        )
    draft.take(p + "train/batch_size", "batch_size", 1)
    draft.steps(p + "train/steps", 1000)
    draft.take_all(
        p + "train/",
        ("gradient_accumulation", "gradient_accumulation_steps", 1),
        ("lr", "learning_rate", 1e-6),
        ("optimizer", "optimizer", "adamw", optimizer_for(2)),
        ("lr_scheduler", "scheduler", "constant",
         scheduler_for({"constant", "linear", "cosine", "cosine_with_restarts", "constant_with_warmup"})),
        ("dtype", "mixed_precision", "fp32", {"fp16": "fp16", "bf16": "bf16", "no": "fp32"}.get),
    )  # fmt: skip
    draft.set(p + "train/noise_scheduler", "ddpm" if unet else "flowmatch", READ, draft.arch_note())
    draft.set(p + "train/train_unet", True, DEFAULT, "the trainer's own")
    draft.take(p + "training_seed", "seed")
    draft.base(p + "model/name_or_path")
    draft.set(p + "model/arch", kind, READ, draft.arch_note())
    return "python run.py THIS_FILE"


def diffusion_pipe(draft: Draft) -> str:
    """diffusion-pipe: a main TOML file; the dataset's own follows behind it."""
    facts = draft.facts
    kind, paths = draft.choose("diffusion-pipe", _DIFFUSION_PIPE)
    algo = draft.algo("diffusion-pipe", ("lora", "lokr"))
    if facts.dora:
        raise CommandError(t("diffusion-pipe decomposes no weights"))
    draft.take("output_dir", "output_dir", fill="where the runs go")
    draft.set("dataset", "dataset.toml", DEFAULT, "the second file, below")
    draft.take_all(
        "",
        ("epochs", "epochs", 1000, lambda v: max(1, int(v))),
        ("micro_batch_size_per_gpu", "batch_size", 1),
    )
    draft.set("pipeline_stages", 1, DEFAULT, "the trainer's own")
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.take("lr_scheduler", "scheduler", "constant", scheduler_for({"constant", "linear"}))
    warmup = facts.extra.get("lr_warmup_steps")
    whole = isinstance(warmup, int)
    draft.set(
        "warmup_steps",
        warmup if whole else 0,
        READ if whole else DEFAULT,
        facts.origin if whole else "the trainer's own",
    )
    draft.take("save_every_n_epochs", "save_every_n_epochs", 1, lambda v: v or None)
    draft.set("activation_checkpointing", True, DEFAULT, "as in its examples")
    draft.set("model/type", kind, READ, draft.arch_note())
    draft.base("model/" + paths[0])
    for path in paths[1:]:
        draft.fill("model/" + path, f"the {path.replace('_', ' ')}")
    draft.take("model/dtype", "mixed_precision", "bfloat16", _PRECISION.get)
    draft.set("adapter/type", algo, *draft.algo_note())
    draft.rank("adapter/rank")
    if algo == "lokr" and facts.factor:
        draft.set("adapter/decompose_factor", facts.factor, READ, "the tensors")
    draft.alpha_is_rank()
    draft.take("adapter/dtype", "mixed_precision", "bfloat16", _PRECISION.get)
    draft.take("adapter/dropout", "dropout")
    draft.take("optimizer/type", "optimizer", "adamw_optimi", optimizer_for(3))
    draft.take("optimizer/lr", "learning_rate", fill="a number, such as 2e-5")
    draft.second = pipe_dataset(facts)
    return "deepspeed --num_gpus=1 train.py --deepspeed --config THIS_FILE"


def pipe_dataset(facts: Facts) -> str:
    """The text of diffusion-pipe's dataset file."""
    sizes = resolution_of(facts.fields.get("resolution"))
    lines = [
        f"resolutions = [{max(sizes)}]  # read: {one_line(facts.seen('resolution'))}"
        if sizes
        else "resolutions = [512]  # FILL IN: check it",
        "enable_ar_bucket = true  # default: as in its examples",
        "",
    ]
    for data in facts.datasets[:50] or [{"name": "your images"}]:
        known = folder_of(data)
        told = f"read: {one_line(facts.origin)}'s data facts" if known else "FILL IN"
        lines += ["[[directory]]", f"path = {toml_value(known or 'FILL IN: folder of ' + data['name'])}  # {told}"]
        known = data.get("repeats")
        lines += [f"num_repeats = {known or 1}  # {'read: the dataset facts' if known else 'default'}", ""]
    return "\n".join(lines)
