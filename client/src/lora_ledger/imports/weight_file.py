"""A past run as its weight file tells it: the canonical fields, and for each where it was read.

Sources: sd-scripts library/train_util.py and train_network.py (`ss_*`), Stability's ModelSpec (`modelspec.*`),
OneTrainer
(`ot_config`), ai-toolkit (`training_info`), diffusers (`lora_adapter_metadata`), PEFT's adapter_config.json beside the
file.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..core.architectures import model_type_of
from ..core.errors import TooMuchError
from ..core.language import t
from ..core.reading import read_file
from ..core.run_fields import RUN_FIELDS
from ..core.types import StrPath, section
from ..recording.points import iso
from ..trainers.files import ADAPTER
from .adapter import Adapter, flag, loads, number, whole

MAX_TAGS = 20_000
# The ledger takes so many of one task.
MAX_DATASETS = 50
_FULL_RANK = 10_000
# What these train is no language model.
_IMAGE_TRAINERS = ("kohya", "musubi-tuner", "ai-toolkit", "onetrainer", "diffusers")


class WeightFileRun:
    """`fields` (columns by name), `read` ({column: where it stands}), `datasets`, `started`, `finished` (Unix times),
    `final_loss`, `steps`, `epoch`, and `extra` (settings that have no column, under the trainer's own names)."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.fields: dict[str, Any] = {}
        self.read: dict[str, str] = {}
        self.extra: dict[str, Any] = {}
        self.datasets: list[dict[str, Any]] = []
        self.started: float | None = None
        self.finished: float | None = None
        self.final_loss: float | None = None
        self.steps: int | None = None
        self.epoch: float | None = None
        metadata = adapter.metadata
        for name, value, where in (
            ("lora_rank", adapter.rank, t("the tensors")),
            ("lora_alpha", adapter.alpha, t("the tensors")),
            ("conv_lora_rank", adapter.conv_rank, t("the tensors")),
            ("conv_alpha", adapter.conv_alpha, t("the tensors")),
            ("network_algo", adapter.algorithm, t("the tensors")),
            ("base_arch", adapter.arch, adapter.arch_read),
        ):
            self.put(name, value, where)
        if "ot_config" in metadata or "ot_branch" in metadata:
            self._onetrainer(metadata)
        elif "training_info" in metadata or "ai-toolkit" in metadata.get("software", ""):
            self._ai_toolkit(metadata)
        elif any(key.startswith("ss_") for key in metadata):
            self._kohya(metadata)
        elif "lora_adapter_metadata" in metadata:
            self._diffusers(metadata)
        else:
            self._peft()
        self._modelspec(metadata)
        self.fields.setdefault("task_name", _name_of(Path(adapter.path).absolute()))
        kind = model_type_of(self.fields.get("base_arch"))
        if kind is None and self.fields.get("trainer") in _IMAGE_TRAINERS:
            kind = "stable-diffusion"
        self.put("model_type", kind, "the architecture")
        if self.finished is None:
            self.finished = _mtime(adapter.path)

    def put(self, name: str, value: Any, where: str) -> None:
        """Sets a field unless something better did already or there is no value."""
        if value is None or value == "" or name in self.fields:
            return
        self.fields[name] = value
        self.read[name] = where

    def _kohya(self, m: dict[str, Any]) -> None:
        musubi = "ss_num_train_items" in m
        self.put("trainer", "musubi-tuner" if musubi else "kohya", "ss_*")
        self.put("task_name", m.get("ss_output_name"), "ss_output_name")
        args = loads(m.get("ss_network_args"))
        args = args if isinstance(args, dict) else {}
        self.put("dropout", _unit(m.get("ss_network_dropout")) or _unit(args.get("dropout")), "ss_network_dropout")
        if self.adapter.rank is not None:
            self.put("conv_lora_rank", _bounded(whole(args.get("conv_dim"))), "ss_network_args")
            self.put("conv_alpha", number(args.get("conv_alpha")), "ss_network_args")
        if self.adapter.algorithm is None:
            # What the tensors tell is all there is: OFT, IA³ and whole matrices have no rank, whatever stands here.
            rank = whole(m.get("ss_network_dim"))
            self.put("lora_rank", rank if rank and 0 < rank < _FULL_RANK else None, "ss_network_dim")
            self.put("lora_alpha", number(m.get("ss_network_alpha")), "ss_network_alpha")
            self.put("network_algo", args.get("algo") if isinstance(args.get("algo"), str) else None, "ss_network_args")
        total, each = whole(m.get("ss_total_batch_size")), whole(m.get("ss_batch_size_per_device"))
        self.put("batch_size", _positive(each or total), "ss_batch_size_per_device")
        if "batch_size" not in self.fields:
            sets = loads(m.get("ss_datasets"))
            if isinstance(sets, list) and sets and isinstance(sets[0], dict):
                self.put("batch_size", _positive(whole(sets[0].get("batch_size_per_device"))), "ss_datasets")
        accumulate = _positive(whole(m.get("ss_gradient_accumulation_steps")))
        self.put("gradient_accumulation_steps", accumulate, "ss_gradient_accumulation_steps")
        self.put("epochs", _not_negative(number(m.get("ss_num_epochs"))), "ss_num_epochs")
        self.put("max_steps", _not_negative(whole(m.get("ss_max_train_steps"))), "ss_max_train_steps")
        rate = _not_negative(number(m.get("ss_learning_rate")))
        if not rate:
            rate = _not_negative(number(m.get("ss_unet_lr"))) or rate
        self.put("learning_rate", rate, "ss_learning_rate")
        optimizer, arguments = optimizer_of(m.get("ss_optimizer"))
        self.put("optimizer", optimizer, "ss_optimizer")
        self.put("scheduler", m.get("ss_lr_scheduler"), "ss_lr_scheduler")
        precision = m.get("ss_mixed_precision")
        self.put("mixed_precision", precision if precision in ("no", "fp16", "bf16") else None, "ss_mixed_precision")
        self.put("seed", whole(m.get("ss_seed")), "ss_seed")
        self.put("resolution", (m.get("ss_resolution") or "").strip("()").replace(" ", "") or None, "ss_resolution")
        self.put("base_model_path", m.get("ss_sd_model_name") or m.get("ss_base_model"), "ss_sd_model_name")
        self.put("git_commit", m.get("ss_sd_scripts_commit_hash"), "ss_sd_scripts_commit_hash")
        self.put("notes", m.get("ss_training_comment"), "ss_training_comment")
        self.started = _time(m.get("ss_training_started_at"))
        self.finished = _time(m.get("ss_training_finished_at"))
        self.steps, self.epoch = whole(m.get("ss_steps")), number(m.get("ss_epoch"))
        self.extra = {
            name: value
            for name, value in (
                ("network_module", m.get("ss_network_module")),
                ("network_args", [f"{k}={v}" for k, v in args.items()] or None),
                ("unet_lr", number(m.get("ss_unet_lr"))),
                ("text_encoder_lr", _rates(m.get("ss_text_encoder_lr"))),
                ("optimizer_args", arguments or None),
                ("lr_warmup_steps", whole(m.get("ss_lr_warmup_steps"))),
                ("max_grad_norm", number(m.get("ss_max_grad_norm"))),
                ("gradient_checkpointing", flag(m.get("ss_gradient_checkpointing"))),
                ("full_fp16", flag(m.get("ss_full_fp16"))),
                ("fp8_base", flag(m.get("ss_fp8_base"))),
                ("cache_latents", flag(m.get("ss_cache_latents"))),
                ("clip_skip", whole(m.get("ss_clip_skip"))),
                ("max_token_length", whole(m.get("ss_max_token_length"))),
                ("noise_offset", number(m.get("ss_noise_offset"))),
                ("min_snr_gamma", number(m.get("ss_min_snr_gamma"))),
                ("prior_loss_weight", number(m.get("ss_prior_loss_weight"))),
                ("scale_weight_norms", number(m.get("ss_scale_weight_norms"))),
                ("shuffle_caption", flag(m.get("ss_shuffle_caption"))),
                ("keep_tokens", whole(m.get("ss_keep_tokens"))),
                ("caption_dropout_rate", number(m.get("ss_caption_dropout_rate"))),
                ("v2", flag(m.get("ss_v2"))),
                ("base_model_sha256", m.get("ss_new_sd_model_hash")),
            )
            if value is not None
        }
        self._kohya_data(m)

    def _kohya_data(self, m: dict[str, Any]) -> None:
        """`ss_dataset_dirs` {dir: {n_repeats, img_count}} and `ss_tag_frequency` {dir: {tag: count}}."""
        tags = loads(m.get("ss_tag_frequency"))
        tags = tags if isinstance(tags, dict) else {}
        for key in ("ss_dataset_dirs", "ss_reg_dataset_dirs"):
            dirs = loads(m.get(key))
            for name, facts in dirs.items() if isinstance(dirs, dict) else ():
                facts = facts if isinstance(facts, dict) else {}
                self._dataset(name, facts.get("img_count"), facts.get("n_repeats"), tags.get(name))
        # Newer files keep the folders within ss_datasets, with the tags of each.
        sets = loads(m.get("ss_datasets"))
        if not self.datasets and isinstance(sets, list):
            for one in sets:
                one = one if isinstance(one, dict) else {}
                frequency = one.get("tag_frequency")
                own = frequency if isinstance(frequency, dict) else tags
                subsets = one.get("subsets")
                for subset in subsets if isinstance(subsets, list) else ():
                    if isinstance(subset, dict):
                        name = os.path.basename(str(subset.get("image_dir") or subset.get("metadata_file") or "data"))
                        self._dataset(name, subset.get("img_count"), subset.get("num_repeats"), own.get(name))
        if not self.datasets:
            for name, counts in tags.items():
                self._dataset(name, None, None, counts)

    def _dataset(self, name: str, count: Any, repeats: Any, tags: Any) -> None:
        if len(self.datasets) >= MAX_DATASETS:
            return
        fact: dict[str, Any] = {"name": str(name).strip()[:300] or "data"}
        if any(known["name"] == fact["name"] for known in self.datasets):
            return
        if _positive(count) or count == 0:
            fact["image_count"] = count
        if _positive(repeats) or repeats == 0:
            fact["repeats"] = repeats
        if isinstance(tags, dict):
            good = {
                str(t).strip()[:500]: n
                for t, n in tags.items()
                if isinstance(n, (int, float)) and not isinstance(n, bool) and 0 <= n < 2**53 and str(t).strip()
            }
            fact["tag_distribution"] = dict(sorted(good.items(), key=lambda pair: -pair[1])[:MAX_TAGS])
        self.datasets.append(fact)

    def _ai_toolkit(self, m: dict[str, Any]) -> None:
        # Its ss_tag_frequency is made up, so it is not taken.
        self.put("trainer", "ai-toolkit", "software")
        self.put("task_name", m.get("ss_output_name") or m.get("name"), "ss_output_name")
        info = loads(m.get("training_info"))
        info = info if isinstance(info, dict) else {}
        self.steps, self.epoch = whole(info.get("step")), number(info.get("epoch"))
        if self.steps is not None:
            self.put("max_steps", _not_negative(self.steps), "training_info")

    def _onetrainer(self, m: dict[str, Any]) -> None:
        self.put("trainer", "onetrainer", "ot_config")
        config = loads(m.get("ot_config"))
        config = config if isinstance(config, dict) else {}
        self.extra = config
        optimizer = section(config, "optimizer")
        for name, value in (
            ("base_model_path", config.get("base_model_name")),
            ("dropout", _unit(config.get("dropout_probability"))),
            ("batch_size", _positive(whole(config.get("batch_size")))),
            ("gradient_accumulation_steps", _positive(whole(config.get("gradient_accumulation_steps")))),
            ("epochs", _not_negative(number(config.get("epochs")))),
            ("learning_rate", _not_negative(number(config.get("learning_rate")))),
            ("optimizer", optimizer.get("optimizer")),
            ("scheduler", config.get("learning_rate_scheduler")),
            ("resolution", config.get("resolution")),
            ("data_dir", config.get("concept_file_name")),
            (
                "mixed_precision",
                {"FLOAT_16": "fp16", "BFLOAT_16": "bf16", "FLOAT_32": "no"}.get(str(config.get("train_dtype"))),
            ),
        ):
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                self.put(name, value, "ot_config")
        self.put("git_commit", m.get("ot_revision"), "ot_revision")

    def _diffusers(self, m: dict[str, Any]) -> None:
        self.put("trainer", "diffusers", "lora_adapter_metadata")
        parts = loads(m.get("lora_adapter_metadata"))
        parts = parts if isinstance(parts, dict) else {}
        self.extra = parts
        # Keys are flat with the component before them: transformer.r, unet.lora_dropout.
        found = (_unit(v) for k, v in sorted(parts.items(), reverse=True) if k.rpartition(".")[2] == "lora_dropout")
        self.put("dropout", next((value for value in found if value is not None), None), "lora_adapter_metadata")

    def _peft(self) -> None:
        """adapter_config.json beside the file, which PEFT, LLaMA-Factory, axolotl and diffusion-pipe write."""
        path = Path(self.adapter.path).with_name("adapter_config.json")
        try:
            config = loads(read_file(path, 1 << 20).decode("utf-8", "replace"))
        except (OSError, TooMuchError):
            return
        if not isinstance(config, dict):
            return
        self.extra = config
        where = "adapter_config.json"
        # mlx-lm's has the same name: its scale is alpha by rank.
        mlx = section(config, "lora_parameters")
        scale, rank = number(mlx.get("scale")), self.fields.get("lora_rank")
        self.put("trainer", "mlx-lm" if mlx else "peft", where)
        alpha = scale * rank if scale is not None and rank else number(config.get("lora_alpha"))
        if alpha is not None and rank:
            # It is the trainer's own figure, where the file alone only implies one.
            self.fields["lora_alpha"], self.read["lora_alpha"] = alpha, where
        self.put("dropout", _unit(config.get("lora_dropout", mlx.get("dropout"))), where)
        base = config.get("base_model_name_or_path") or config.get("model")
        self.put("base_model_path", base if isinstance(base, str) else None, where)
        if config.get("task_type"):
            self.put("base_arch", "llm", where)
        if config.get("use_dora") is True:
            self.fields["network_algo"], self.read["network_algo"] = "dora", where

    def _modelspec(self, m: dict[str, Any]) -> None:
        self.put("task_name", m.get("modelspec.title"), "modelspec.title")
        self.put("resolution", m.get("modelspec.resolution"), "modelspec.resolution")
        self.put("notes", m.get("modelspec.description"), "modelspec.description")
        if self.finished is None:
            self.finished = _iso_time(m.get("modelspec.date"))

    def registration(self, source: str) -> dict[str, Any]:
        """The body that registers the run as imported; `source` says from where."""
        body: dict[str, Any] = {k: _cut(k, v) for k, v in self.fields.items()}
        settings: dict[str, Any] = {
            k: v for k, v in self.adapter.metadata.items() if len(v) <= 20_000 and k != "ss_tag_frequency"
        }
        settings = {k: v for k, v in settings.items() if "thumbnail" not in k}
        if self.extra:
            settings["adapter"] = self.extra
        if len(json.dumps(settings)) < 1_000_000:
            body["config_snapshot"] = settings
        imported: dict[str, Any] = {"source": source, "status": "success"}
        if self.started:
            imported["started_at"] = iso(self.started)
        if self.finished:
            imported["finished_at"] = iso(max(self.finished, self.started or 0))
        if self.final_loss is not None:
            imported["final_loss"] = self.final_loss
        body["import"] = imported
        if self.datasets:
            body["datasets"] = self.datasets
        return body


def _name_of(path: Path) -> str:
    """A run's name by its file; the folder's where every run's file is called the same."""
    if not ADAPTER.match(path.name):
        return path.stem or "imported"
    folder = path.parent
    return (
        folder.parent if re.fullmatch(r"checkpoint-\d+|epoch\d+|step\d+", folder.name) else folder
    ).name or path.stem


def _cut(name: str, value: Any) -> Any:
    return value[: RUN_FIELDS[name].get("longest")] if isinstance(value, str) else value


LONGEST_OPTIMIZER = 20_000


def optimizer_of(text: Any) -> tuple[str | None, list[str]]:
    """(type, ["name=value", …]) of ss_optimizer: `bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9,
    0.99))`."""
    if not text or len(text) > LONGEST_OPTIMIZER:
        return None, []
    name, bracket, rest = text.partition("(")
    parts, depth, word = [], 0, ""
    for c in rest[: rest.rfind(")")] if bracket and ")" in rest else "":
        depth += c in "([{"
        depth -= c in ")]}"
        if c == "," and depth == 0:
            parts.append(word.strip())
            word = ""
        else:
            word += c
    parts.append(word.strip())
    return name.strip().rpartition(".")[2] or None, [p for p in parts if "=" in p]


def _rates(text: Any) -> Any:
    one = number(text)
    if one is not None:
        return one
    many = loads(text)
    return many if isinstance(many, list) and all(isinstance(v, (int, float)) for v in many) else None


def _bounded(value: Any) -> Any:
    line = RUN_FIELDS["lora_rank"]
    return value if value is not None and line["min"] <= value <= line["max"] else None


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**53 else None


def _not_negative(value: Any) -> Any:
    return value if value is not None and value >= 0 else None


def _unit(value: Any) -> Any:
    value = number(value)
    return value if value is not None and 0 <= value <= 1 else None


def _time(text: Any) -> float | None:
    """A Unix time that lies between 2015 and 2100, or None."""
    value = number(text)
    return value if value is not None and 1.42e9 < value < 4.1e9 else None


def _iso_time(text: Any) -> float | None:
    match = re.match(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d))?", text or "")
    if not match:
        return None
    try:
        moment = datetime.strptime(f"{match[1]} {match[2] or '00:00:00'}", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return _time(moment.replace(tzinfo=timezone.utc).timestamp())


def _mtime(path: StrPath) -> float | None:
    try:
        return os.path.getmtime(path)
    except OSError:
        return None
