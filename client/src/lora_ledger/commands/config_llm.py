"""Configurations for trainers of language models.

Sources: axolotl's configuration reference, LLaMA-Factory's examples, PEFT tuners/lora/config.py, ms-swift
arguments/tuner_args.py, TRL trainer/model_config.py, unsloth-cli.py, torchtune's recipes, mlx-lm lora.py.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import CommandError
from ..core.language import t
from .config_draft import DEFAULT, FILL, READ, Draft, scheduler_for, short

_LLM = {"llm": True}
# What transformers' Trainer calls schedulers and optimizers, which most of these hand on.
_SCHEDULERS = {
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
}  # fmt: skip
_OPTIMIZERS = {
    "adamw": "adamw_torch", "adamw8bit": "adamw_bnb_8bit", "pagedadamw8bit": "paged_adamw_8bit",
    "adafactor": "adafactor", "lion": "lion_32bit", "lion8bit": "lion_8bit", "sgd": "sgd",
}  # fmt: skip


def _optim(name: str) -> str | None:
    plain = str(name).lower()
    return plain if "_" in plain else _OPTIMIZERS.get(plain)


def _start(draft: Draft, trainer: str, allowed: tuple[str, ...]) -> str:
    """Refuses what is no language model's, or of another algorithm. The algorithm. Raises CommandError."""
    draft.choose(trainer, _LLM)
    return draft.algo(trainer, allowed)


def _targets(draft: Draft, path: str) -> None:
    """The layers that were trained, where the tensors tell them; else they are the trainer's own."""
    if draft.facts.targets:
        draft.set(path, draft.facts.targets, READ, "the tensors")


def _adapter(draft: Draft, prefix: str, rank: str, alpha: str, dropout: str, rslora: str | None) -> None:
    draft.rank(prefix + rank)
    draft.alpha(prefix + alpha, rslora=rslora is not None)
    if draft.facts.rslora and rslora:
        draft.set(prefix + rslora, True, READ, "adapter_config.json")
    draft.take(prefix + dropout, "dropout")


def _hugging_face(
    draft: Draft, prefix: str = "", optimizer: str = "optim", scheduler: str = "lr_scheduler_type"
) -> None:
    """What transformers' TrainingArguments are called."""
    draft.take_all(
        prefix,
        ("per_device_train_batch_size", "batch_size", 8),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("learning_rate", "learning_rate", 5e-5),
        (optimizer, "optimizer", None, _optim),
        (scheduler, "scheduler", None, scheduler_for(_SCHEDULERS)),
        ("seed", "seed"),
    )
    draft.length(prefix + "num_train_epochs", prefix + "max_steps", 1000)
    precision = draft.facts.fields.get("mixed_precision")
    if precision in ("bf16", "fp16"):
        draft.set(prefix + precision, True, READ, draft.facts.seen("mixed_precision"))
    draft.take(prefix + "output_dir", "output_dir", fill="where the weights go")


def _data(draft: Draft, path: str, what: str) -> None:
    value = draft.facts.fields.get("data_dir")
    if value and ", " not in str(value):
        draft.set(path, value, READ, f"{draft.facts.seen('data_dir')}; as it was called there")
    else:
        draft.fill(path, what)


def axolotl(draft: Draft) -> str:
    """axolotl: YAML."""
    algo = _start(draft, "axolotl", ("lora", "qlora", "dora"))
    draft.base("base_model")
    draft.set("adapter", "qlora" if algo == "qlora" else "lora", *draft.algo_note())
    if algo == "qlora":
        draft.set("load_in_4bit", True, *draft.algo_note())
    if algo == "dora":
        draft.set("peft_use_dora", True, *draft.algo_note())
    _adapter(draft, "", "lora_r", "lora_alpha", "lora_dropout", "peft_use_rslora")
    if draft.facts.targets:
        _targets(draft, "lora_target_modules")
    else:
        draft.set("lora_target_linear", True, FILL, "check it: nothing tells which layers were trained")
    _data(draft, "datasets/0/path", "a dataset's name or path")
    draft.set("datasets/0/type", "alpaca", FILL, "check it: the form of the dataset")
    draft.take_all(
        "",
        ("micro_batch_size", "batch_size", 1),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 1),
        ("learning_rate", "learning_rate", None, None, "a number, such as 2e-4"),
        ("optimizer", "optimizer", "adamw_torch_fused", _optim),
        ("lr_scheduler", "scheduler", "cosine", scheduler_for(_SCHEDULERS)),
        ("seed", "seed"),
    )
    draft.length("num_epochs", "max_steps", 1000)
    precision = draft.facts.fields.get("mixed_precision")
    for key in ("bf16", "fp16"):
        if precision:
            draft.set(key, precision == key, READ, draft.facts.seen("mixed_precision"))
    draft.take("output_dir", "output_dir", "./model-out")
    return "axolotl train THIS_FILE"


def llama_factory(draft: Draft) -> str:
    """LLaMA-Factory: YAML."""
    algo = _start(draft, "LLaMA-Factory", ("lora", "qlora", "dora"))
    draft.base("model_name_or_path")
    draft.set("stage", "sft", FILL, "check it: nothing tells what it was trained for")
    draft.set("do_train", True, DEFAULT, "what trains")
    draft.set("finetuning_type", "lora", *draft.algo_note())
    if algo == "qlora":
        draft.set("quantization_bit", 4, *draft.algo_note())
    if algo == "dora":
        draft.set("use_dora", True, *draft.algo_note())
    _adapter(draft, "", "lora_rank", "lora_alpha", "lora_dropout", "use_rslora")
    if draft.facts.targets:
        draft.set("lora_target", ",".join(draft.facts.targets), READ, "the tensors")
    draft.fill("dataset", "a name of dataset_info.json")
    draft.fill("template", "the model's template, such as qwen or llama3")
    _hugging_face(draft)
    return "llamafactory-cli train THIS_FILE"


def ms_swift(draft: Draft) -> str:
    """ms-swift: YAML for `swift sft`."""
    algo = _start(draft, "ms-swift", ("lora", "qlora", "dora"))
    draft.base("model")
    draft.set("tuner_type", "lora", READ, "it is an adapter; before version 4 the key was train_type")
    if algo == "qlora":
        draft.set("quant_method", "bnb", *draft.algo_note())
        draft.set("quant_bits", 4, *draft.algo_note())
    if algo == "dora":
        draft.set("use_dora", True, *draft.algo_note())
    _adapter(draft, "", "lora_rank", "lora_alpha", "lora_dropout", "use_rslora")
    _targets(draft, "target_modules")
    _data(draft, "dataset", "a dataset's name or path")
    _hugging_face(draft)
    return "swift sft THIS_FILE"


def trl(draft: Draft) -> str:
    """TRL: YAML for `trl sft`."""
    algo = _start(draft, "TRL", ("lora", "qlora", "dora"))
    draft.base("model_name_or_path")
    _data(draft, "dataset_name", "a dataset's name or path")
    draft.set("use_peft", True, READ, "it is an adapter")
    if algo == "qlora":
        draft.set("load_in_4bit", True, *draft.algo_note())
    if algo == "dora":
        draft.set("use_dora", True, *draft.algo_note())
    _adapter(draft, "", "lora_r", "lora_alpha", "lora_dropout", "use_rslora")
    _targets(draft, "lora_target_modules")
    _hugging_face(draft)
    return "trl sft --config THIS_FILE"


def unsloth(draft: Draft) -> str:
    """Unsloth: the command of its unsloth-cli.py."""
    algo = _start(draft, "unsloth-cli", ("lora", "qlora"))
    draft.base("--model_name")
    if algo == "qlora":
        draft.set("--load_in_4bit", True, *draft.algo_note())
    _adapter(draft, "--", "r", "lora_alpha", "lora_dropout", "use_rslora")
    _data(draft, "--dataset", "a dataset's name")
    draft.take_all(
        "--",
        ("per_device_train_batch_size", "batch_size", 2),
        ("gradient_accumulation_steps", "gradient_accumulation_steps", 4),
        ("learning_rate", "learning_rate", 2e-4),
        ("optim", "optimizer", "adamw_8bit", _optim),
        ("lr_scheduler_type", "scheduler", "linear", scheduler_for(_SCHEDULERS)),
        ("seed", "seed"),
    )
    draft.steps("--max_steps", 400)
    draft.take("--output_dir", "output_dir", "outputs")
    return "python unsloth-cli.py"


def torchtune(draft: Draft) -> str:
    """torchtune: the command of its recipe, over one of its own configurations."""
    algo = _start(draft, "torchtune", ("lora", "dora"))
    draft.fill("--config", "its configuration for the model, such as llama3_1/8B_lora_single_device")
    _adapter(draft, "", "model.lora_rank", "model.lora_alpha", "model.lora_dropout", None)
    if algo == "dora":
        draft.set("model.use_dora", "True", *draft.algo_note())
    if draft.facts.targets:
        attention = [{"o_proj": "output_proj"}.get(name, name) for name in draft.facts.targets]
        known = [name for name in attention if name in ("q_proj", "k_proj", "v_proj", "output_proj")]
        mlp = any(name in ("gate_proj", "up_proj", "down_proj") for name in draft.facts.targets)
        draft.set("model.lora_attn_modules", "[" + ",".join(known) + "]", READ, "the tensors")
        draft.set("model.apply_lora_to_mlp", str(mlp), READ, "the tensors")
    draft.take_all(
        "",
        ("batch_size", "batch_size"),
        ("gradient_accumulation_steps", "gradient_accumulation_steps"),
        ("optimizer.lr", "learning_rate"),
        ("epochs", "epochs", None, lambda v: max(1, int(v))),
        ("seed", "seed"),
        ("dtype", "mixed_precision", None, {"bf16": "bf16", "no": "fp32"}.get),
        ("output_dir", "output_dir"),
    )
    return "tune run lora_finetune_single_device"


def mlx_lm(draft: Draft) -> str:
    """mlx-lm: YAML; its scale is alpha by rank."""
    algo = _start(draft, "mlx-lm", ("lora", "dora"))
    draft.base("model")
    draft.set("train", True, DEFAULT, "what trains")
    draft.set("fine_tune_type", algo, *draft.algo_note())
    _data(draft, "data", "the folder of train.jsonl and valid.jsonl")
    facts = draft.facts
    rank, alpha = facts.fields.get("lora_rank"), facts.fields.get("lora_alpha")
    draft.rank("lora_parameters/rank")
    if rank and alpha is not None:
        scale = alpha / (rank**0.5 if facts.rslora else rank)
        draft.set(
            "lora_parameters/scale", short(scale), READ, f"{facts.seen('lora_alpha')}: alpha {short(alpha)} by rank"
        )
    else:
        draft.fill("lora_parameters/scale", "alpha divided by rank")
    draft.take("lora_parameters/dropout", "dropout", 0.0)
    draft.set("num_layers", -1, FILL, "check it: how many layers from the last one on; -1 is all")
    draft.take_all(
        "",
        ("batch_size", "batch_size", 4),
        ("grad_accumulation_steps", "gradient_accumulation_steps", 1),
        ("learning_rate", "learning_rate", 1e-5),
        ("optimizer", "optimizer", "adam", lambda v: v if v in ("adam", "adamw", "muon", "sgd", "adafactor") else None),
        ("seed", "seed", 0),
    )
    draft.steps("iters", 1000)
    draft.take("adapter_path", "output_dir", "adapters")
    return "mlx_lm.lora --config THIS_FILE"


def peft(draft: Draft) -> str:
    """PEFT: adapter_config.json; that of the file's own folder as it is, where there is one."""
    facts = draft.facts
    own: dict[str, Any] = facts.extra.get("peft") or {}
    if own:
        for key, value in own.items():
            draft.set(str(key), value, READ, "adapter_config.json")
        return "LoraConfig.from_pretrained(the folder of this file)"
    algo = draft.algo("PEFT", ("lora", "dora", "qlora", "loha", "lokr"))
    if facts.fields.get("conv_lora_rank"):
        draft.one_rank("PEFT")
    if algo in ("loha", "lokr") and facts.dora:
        raise CommandError(t("PEFT decomposes no weights of {algo}", algo=algo))
    draft.set("peft_type", algo.upper() if algo in ("loha", "lokr") else "LORA", *draft.algo_note())
    if facts.fields.get("base_arch") == "llm":
        draft.set("task_type", "CAUSAL_LM", READ, draft.facts.seen("base_arch"))
    draft.base("base_model_name_or_path")
    if algo in ("loha", "lokr"):
        draft.rank("r")
        draft.alpha("alpha")
        if algo == "lokr" and facts.factor:
            draft.set("decompose_factor", facts.factor, READ, "the tensors")
        draft.take("module_dropout", "dropout")
    else:
        _adapter(draft, "", "r", "lora_alpha", "lora_dropout", "use_rslora")
        if algo == "dora":
            draft.set("use_dora", True, *draft.algo_note())
    if facts.targets:
        draft.set("target_modules", facts.targets, READ, "the tensors")
    else:
        draft.fill("target_modules", "the names of the layers")
    return "LoraConfig.from_pretrained(the folder of this file)"
