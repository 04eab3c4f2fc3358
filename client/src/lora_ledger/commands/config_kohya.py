"""Configurations for sd-scripts and the trainers that hand its arguments on.

Sources: sd-scripts library/train_util.py, LyCORIS lycoris/kohya.py, lora-scripts (the same keys), kohya_ss
kohya_gui/lora_gui.py, musubi-tuner's documentation, LoRA_Easy_Training_scripts_Backend utils/validation.py.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import CommandError
from ..core.language import t
from .config_draft import (
    DEFAULT,
    FILL,
    RANKLESS,
    READ,
    Draft,
    as_toml,
    folder_of,
    kohya_root,
    one_line,
    optimizer_for,
    resolution_of,
    short,
    toml_value,
)

# Settings without a column that sd-scripts takes under these very names.
KOHYA_EXTRAS = (
    "unet_lr", "text_encoder_lr", "optimizer_args", "lr_warmup_steps", "max_grad_norm", "gradient_checkpointing",
    "full_fp16", "fp8_base", "cache_latents", "clip_skip", "max_token_length", "noise_offset", "min_snr_gamma",
    "prior_loss_weight", "scale_weight_norms", "shuffle_caption", "keep_tokens", "caption_dropout_rate", "v2",
    "v_parameterization",
)  # fmt: skip
# What each architecture is trained by: the script, the network module, the parts beside the base model.
_SCRIPTS: dict[str, Any] = {
    "sd15": ("train_network.py", "networks.lora", ()),
    "sd2": ("train_network.py", "networks.lora", ()),
    "sdxl": ("sdxl_train_network.py", "networks.lora", ()),
    "sd3": ("sd3_train_network.py", "networks.lora_sd3", ("clip_l", "clip_g", "t5xxl")),
    "flux": ("flux_train_network.py", "networks.lora_flux", ("clip_l", "t5xxl", "ae")),
    "flux/kontext": None,
    "chroma": ("flux_train_network.py", "networks.lora_flux", ("t5xxl", "ae")),
    "lumina2": ("lumina_train_network.py", "networks.lora_lumina", ("gemma2", "ae")),
    "hunyuan-image": ("hunyuan_image_train_network.py", "networks.lora_hunyuan_image", ("text_encoder", "byt5", "vae")),
    "anima": ("anima_train_network.py", "networks.lora_anima", ("qwen3", "vae")),
}
_TRAIN_TYPES = {
    "sd15": "sd-lora", "sd2": "sd-lora", "sdxl": "sdxl-lora", "flux": "flux-lora", "sd3": "sd3-lora",
    "lumina2": "lumina-lora", "chroma": "flux-lora",
}  # fmt: skip
_MUSUBI: dict[str, Any] = {
    "hunyuan-video": ("hv", "lora"),
    "hunyuan-video-1.5": ("hv_1_5", "lora_hv_1_5"),
    "wan": ("wan", "lora_wan"),
    "framepack": ("fpack", "lora_framepack"),
    "flux": None,
    "flux/kontext": ("flux_kontext", "lora_flux"),
    "flux2/dev": ("flux_2", "lora_flux_2"),
    "flux2/klein-4b": ("flux_2", "lora_flux_2"),
    "flux2/klein-9b": ("flux_2", "lora_flux_2"),
    "qwen-image": ("qwen_image", "lora_qwen_image"),
    "z-image": ("zimage", "lora_zimage"),
    "kandinsky5": ("kandinsky5", "lora_kandinsky"),
}
_GUI_TYPES = {
    "lora": "Standard", "locon": "LyCORIS/LoCon", "dora": "LyCORIS/LoCon", "loha": "LyCORIS/LoHa",
    "lokr": "LyCORIS/LoKr", "diag-oft": "LyCORIS/Diag-OFT", "boft": "LyCORIS/BOFT", "glora": "LyCORIS/GLoRA",
    "ia3": "LyCORIS/iA3", "full": "LyCORIS/Native Fine-Tuning",
}  # fmt: skip
LYCORIS = (
    "lora", "locon", "dora", "loha", "lokr", "full lokr", "glora", "diag-oft", "boft", "ia3", "full", "tlora", "oft",
    "dylora", "lora-fa",
)  # fmt: skip


def _network(draft: Draft, module: str, trainer: str) -> tuple[str, list[str], str]:
    """(network module, its arguments, where they are from). Raises CommandError where they are not certain."""
    facts = draft.facts
    algo = draft.algo(trainer, LYCORIS)
    own, args = facts.extra.get("network_module"), facts.extra.get("network_args")
    if own:
        return own, list(args or []), facts.origin
    if algo in ("oft", "dylora", "lora-fa"):
        raise CommandError(
            t(
                "{algo} is of several network modules, and nothing tells which; {trainer} needs to know",
                algo=algo,
                trainer=trainer,
            )
        )
    if algo == "lora" and not facts.fields.get("conv_lora_rank"):
        return module, [], draft.arch_note()
    args = [f"algo={'lora' if algo in ('lora', 'dora') else algo}"]
    if facts.full:
        args.append("full_matrix=True")
    if algo == "lokr" and facts.factor:
        args.append(f"factor={facts.factor}")
    if facts.dora or algo == "dora":
        args.append("dora_wd=True")
    for key, name in (("conv_dim", "conv_lora_rank"), ("conv_alpha", "conv_alpha")):
        if facts.fields.get(name) and algo not in RANKLESS:
            args.append(f"{key}={short(facts.fields[name])}")
    return "lycoris.kohya", args, facts.seen("network_algo")


def _rank_and_alpha(draft: Draft, args: list[str]) -> None:
    """network_dim and network_alpha, where the algorithm has them."""
    facts, algo = draft.facts, draft.facts.algorithm
    if facts.full:
        draft.set(
            "network_dim",
            100_000,
            READ,
            f"{facts.seen('network_algo')}: no rank, but LyCORIS's sign of the full matrix",
        )
        return
    if algo in ("ia3", "full"):
        draft.set("#", f"{algo} has no rank and no alpha", READ, facts.seen("network_algo"))
        return
    if algo in RANKLESS:
        size = facts.extra.get("network_dim")
        if size is None:
            draft.fill("network_dim", f"{algo}'s block size or number of blocks")
        else:
            draft.set("network_dim", size, READ, "ss_network_dim: no rank, but the factor of the blocks")
        return
    draft.rank("network_dim")
    draft.alpha("network_alpha", rslora=any(str(arg).lower() == "rs_lora=true" for arg in args))


def _training(draft: Draft, batch: str | None = "train_batch_size") -> None:
    draft.take("learning_rate", "learning_rate", 2e-6)
    draft.take("optimizer_type", "optimizer", "AdamW", optimizer_for(0))
    draft.take("lr_scheduler", "scheduler", "constant", lambda name: str(name).rpartition(".")[2].lower())
    if batch:
        draft.take(batch, "batch_size", 1)
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.length("max_train_epochs", "max_train_steps", 1600)
    draft.take_all(
        "",
        ("save_every_n_epochs", "save_every_n_epochs"),
        ("mixed_precision", "mixed_precision", "no"),
        ("seed", "seed"),
    )


def _resolution(draft: Draft, path: str) -> None:
    if resolution_of(draft.facts.fields.get("resolution")):
        draft.take(path, "resolution", convert=lambda v: ",".join(map(str, resolution_of(v) or ())))
    else:
        draft.fill(path, "such as 1024,1024")


def _extras(draft: Draft) -> None:
    for name in KOHYA_EXTRAS:
        value = draft.facts.extra.get(name)
        if value is not None and (name,) not in {row[0] for row in draft.rows}:
            draft.set(name, value, READ, draft.facts.origin)


def _data_dir(draft: Draft) -> None:
    facts = draft.facts
    root = kohya_root(facts.datasets)
    if root:
        draft.set("train_data_dir", root, READ, f"{facts.origin}'s data facts")
    else:
        draft.fill(
            "train_data_dir",
            "the folder that holds " + (", ".join(d["name"] for d in facts.datasets[:5]) or "your N_name folders"),
        )
    for data in facts.datasets[:20]:
        said = f"{data['name']}, {data.get('image_count', '?')} images, repeats {data.get('repeats', '?')}"
        draft.set("#", f"data read: {said}", READ)


def _caption(draft: Draft) -> None:
    draft.take("caption_separator", "caption_tag_delim", ",")
    if isinstance(draft.facts.extra.get("caption_extension"), str):
        draft.set("caption_extension", draft.facts.extra["caption_extension"], READ, draft.facts.origin)
    else:
        draft.set("caption_extension", ".txt", FILL, "check it: .txt is the usual one, .caption the trainer's default")


def kohya(draft: Draft, scripts: bool = False) -> str:
    """sd-scripts (and lora-scripts, which hands the same keys to it): one flat TOML file."""
    name = "lora-scripts" if scripts else "sd-scripts"
    archs = {k: v for k, v in _SCRIPTS.items() if not scripts or k in _TRAIN_TYPES or v is None}
    script, module, parts = draft.choose(name, archs)
    arch, note = draft.arch, draft.arch_note()
    module, args, told = _network(draft, module, name)
    if scripts:
        draft.set("model_train_type", _TRAIN_TYPES[arch], READ, note)
    draft.base("pretrained_model_name_or_path")
    for part in parts:
        draft.fill(part, f"path of the {part} model")
    if arch == "chroma":
        draft.set("model_type", "chroma", READ, note)
    if arch == "sd2":
        draft.set("v2", True, READ, note)
    _data_dir(draft)
    draft.take("output_name", "task_name", "last")
    draft.take("output_dir", "output_dir", fill="where the weights go")
    draft.set("network_module", module, READ, told)
    _rank_and_alpha(draft, args)
    draft.take("network_dropout", "dropout")
    if args:
        draft.set("network_args", args, READ, told)
    _training(draft)
    _resolution(draft, "resolution")
    _caption(draft)
    _extras(draft)
    folder = ("scripts/dev/" if parts else "scripts/stable/") if scripts else ""
    launch = f"accelerate launch {folder}{script} --config_file THIS_FILE"
    return f"import it in the GUI, or: {launch}" if scripts else launch


def lora_scripts(draft: Draft) -> str:
    """lora-scripts: sd-scripts' keys, and the GUI's own."""
    return kohya(draft, scripts=True)


def kohya_gui(draft: Draft) -> str:
    """kohya_ss: the JSON that its GUI loads."""
    facts = draft.facts
    draft.choose(
        "kohya_ss", {k: v for k, v in _SCRIPTS.items() if k in ("sd15", "sd2", "sdxl", "flux", "sd3", "flux/kontext")}
    )
    algo = draft.algo("kohya_ss", _GUI_TYPES)
    if draft.arch in ("flux", "sd3") and algo == "lora" and not facts.fields.get("conv_lora_rank"):
        kind = "Flux1" if draft.arch == "flux" else "Standard"
    else:
        kind = "Kohya LoCon" if algo == "locon" else _GUI_TYPES[algo]
    draft.set("LoRA_type", kind, READ, f"{facts.seen('network_algo')} and {draft.arch_note()}")
    for key, arch in (("sdxl", "sdxl"), ("flux1_checkbox", "flux"), ("sd3_checkbox", "sd3"), ("v2", "sd2")):
        draft.set(key, draft.arch == arch, READ, draft.arch_note())
    draft.base("pretrained_model_name_or_path")
    _data_dir(draft)
    draft.take("output_name", "task_name", "last")
    draft.take("output_dir", "output_dir", fill="where the weights go")
    _rank_and_alpha(draft, [])
    if algo == "lokr":
        draft.set(
            "factor",
            facts.factor or -1,
            READ if facts.factor else DEFAULT,
            "the tensors" if facts.factor else "the trainer's own",
        )
    if facts.dora or algo == "dora":
        draft.set("dora_wd", True, READ, facts.seen("network_algo"))
    if algo not in RANKLESS and facts.fields.get("conv_lora_rank"):
        draft.take_all("", ("conv_dim", "conv_lora_rank"), ("conv_alpha", "conv_alpha", None, short))
    draft.take("network_dropout", "dropout")
    draft.take("learning_rate", "learning_rate", 2e-6)
    draft.take("optimizer", "optimizer", "AdamW", optimizer_for(0))
    draft.take("lr_scheduler", "scheduler", "constant", lambda name: str(name).rpartition(".")[2].lower())
    draft.take("train_batch_size", "batch_size", 1)
    draft.take("gradient_accumulation_steps", "gradient_accumulation_steps", 1)
    draft.length("epoch", "max_train_steps", 1600)
    draft.take_all("", ("mixed_precision", "mixed_precision", "no"), ("seed", "seed"))
    _resolution(draft, "max_resolution")
    _caption(draft)
    for name in ("unet_lr", "clip_skip", "noise_offset", "min_snr_gamma", "keep_tokens", "caption_dropout_rate"):
        if isinstance(facts.extra.get(name), (int, float)):
            draft.set(name, facts.extra[name], READ, facts.origin)
    return "load it in the GUI's LoRA tab"


def easy(draft: Draft) -> str:
    """LoRA_Easy_Training_Scripts: TOML in groups, which its backend flattens."""
    draft.choose("LoRA_Easy_Training_Scripts", {k: _SCRIPTS[k] for k in ("sd15", "sd2", "sdxl")})
    module, args, told = _network(draft, "networks.lora", "LoRA_Easy_Training_Scripts")
    if module not in ("networks.lora", "lycoris.kohya"):
        raise CommandError(
            t("LoRA_Easy_Training_Scripts chooses its network module itself, and not {module}", module=module)
        )
    flat = Draft(draft.facts)
    flat.arch = draft.arch
    _rank_and_alpha(flat, args)
    draft.set("train_mode/train_mode", "lora", READ, "it is an adapter")
    general = "general_args/args/"
    draft.base(general + "pretrained_model_name_or_path")
    if draft.arch in ("sdxl", "sd2"):
        draft.set(general + ("sdxl" if draft.arch == "sdxl" else "v2"), True, READ, draft.arch_note())
    draft.take_all(
        general, ("mixed_precision", "mixed_precision", "no"), ("seed", "seed"),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
    )  # fmt: skip
    draft.length(general + "max_train_epochs", general + "max_train_steps", 1600)
    sizes = resolution_of(draft.facts.fields.get("resolution"))
    if sizes:
        draft.set(
            "general_args/dataset_args/resolution", sizes * (3 - len(sizes)), READ, draft.facts.seen("resolution")
        )
    else:
        draft.fill("general_args/dataset_args/resolution", "such as [ 1024, 1024 ]")
    draft.take("general_args/dataset_args/batch_size", "batch_size", 1)
    for path, value, note in flat.rows:
        draft.rows.append((path if path[0] == "#" else ("network_args", "args", *path), value, note))
    draft.take("network_args/args/network_dropout", "dropout")
    for arg in args:
        key, _, value = arg.partition("=")
        draft.set(f"network_args/args/network_args/{key}", value, READ, told)
    optimizer = "optimizer_args/args/"
    draft.take(optimizer + "optimizer_type", "optimizer", "AdamW", optimizer_for(0))
    draft.take(optimizer + "lr_scheduler", "scheduler", "constant", lambda name: str(name).rpartition(".")[2].lower())
    draft.take(optimizer + "learning_rate", "learning_rate", 2e-6)
    draft.take("saving_args/args/output_name", "task_name", "last")
    draft.take("saving_args/args/output_dir", "output_dir", fill="a folder that exists")
    return "load it in the UI; its subsets are added there"


def musubi(draft: Draft) -> str:
    """musubi-tuner: a flat TOML file, and the dataset's own behind it."""
    script, module = draft.choose("musubi-tuner", _MUSUBI)
    facts = draft.facts
    module, args, told = _network(draft, f"networks.{module}", "musubi-tuner")
    draft.base("dit", "path of the DiT model")
    if draft.arch == "wan":
        draft.fill("task", "which model: t2v-14B, t2v-1.3B, i2v-14B, t2v-A14B, i2v-A14B …")
    if draft.arch.startswith("flux2/"):
        draft.set("model_version", draft.arch.partition("/")[2], READ, draft.arch_note())
    draft.set("dataset_config", "dataset.toml", DEFAULT, "the second file, below")
    draft.take("output_name", "task_name", "last")
    draft.take("output_dir", "output_dir", fill="where the weights go")
    draft.set("network_module", module, READ, told)
    _rank_and_alpha(draft, args)
    draft.take("network_dropout", "dropout")
    if args:
        draft.set("network_args", args, READ, told)
    _training(draft, None)
    draft.set("sdpa", True, DEFAULT, "one kind of attention has to be named; this one needs no other package")
    for name in ("optimizer_args", "max_grad_norm", "gradient_checkpointing", "fp8_base", "scale_weight_norms"):
        if facts.extra.get(name) is not None:
            draft.set(name, facts.extra[name], READ, facts.origin)
    draft.second = musubi_dataset(draft)
    return f"accelerate launch src/musubi_tuner/{script}_train_network.py --config_file THIS_FILE"


def musubi_dataset(draft: Draft) -> str:
    """The text of musubi-tuner's dataset file."""
    facts = draft.facts
    general = Draft(facts)
    sizes = resolution_of(facts.fields.get("resolution"))
    if sizes:
        general.set("general/resolution", sizes * (3 - len(sizes)), READ, facts.seen("resolution"))
    else:
        general.fill("general/resolution", "such as [960, 544]")
    general.set("general/caption_extension", ".txt", DEFAULT, "as in its documentation")
    general.take("general/batch_size", "batch_size", 1)
    lines = [as_toml(general.rows).strip(), ""]
    for data in facts.datasets[:50] or [{"name": "your images or videos"}]:
        known, repeats = folder_of(data), data.get("repeats")
        told = f"read: {one_line(facts.origin)}'s data facts" if known else "FILL IN"
        lines += [
            "[[datasets]]",
            f"image_directory = {toml_value(known or 'FILL IN: folder of ' + data['name'])}  # {told}",
            f"num_repeats = {repeats or 1}  # {'read: the dataset facts' if repeats else 'default'}",
            "",
        ]
    return "\n".join(lines)
