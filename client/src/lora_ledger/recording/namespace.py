"""The settings of a run that is recorded from within Python, found in its variables and objects.

Nothing of another package is imported: objects are known by the names of their classes and attributes. The ledger reads
the result as `src/trainers/notebook.ts` says:

    {"form": "notebook", "library": "trl", "training_arguments": {…}, "peft_config": {…}, "variables": {…},
     "model": {"class": …, "name_or_path": …}, "several": {"peft_config": {NAME: {…}, …}}}
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..core import terminal, withhold
from ..core.redact import MARK, redact_json

FORM = "notebook"
# Longer texts and lists are data; the ledger reads settings of 256 kB at most.
LONGEST_TEXT = 500
LONGEST_NAME = 100
MOST_ITEMS = 200
MOST_KEYS = 400
MOST_DEPTH = 5
MOST_VARIABLES = 200
MOST_BYTES = 200_000
MOST_NAMES = 20_000
MOST_VALUES = 20_000

# A class is transformers' TrainingArguments, or one of these where a library has its own.
_ARGUMENTS = re.compile(r"(?:TrainingArguments|(?:SFT|DPO|GRPO|KTO|ORPO|CPO|RLOO|PPO|Reward)Config)\Z")
# Variables that hold settings: constants in capitals, names whose last word is one of these, and names like these.
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\Z")
_LAST_WORD = re.compile(
    r"(?:lr|rate|rank|r|dim|alphas?|dropout|epochs|steps|accumulation|batch|seed|decay|warmup|ratio|length|len|size"
    r"|optim|optimizer|scheduler|precision|dtype|bits|modules|norm|resolution|repeats|momentum|betas?|beta[12]|eps|epsilon"
    r"|gamma|temperature|arch|algo|bf16|fp16|tf32|packing|strategy|quantization|interval|workers)\Z"
)
_NAME = re.compile(
    r"(?:load_in_|use_|num_).+"
    r"|(?:base_|pretrained_)?model_(?:name|id|path|name_or_path)|(?:base|pretrained)_model"
    r"|dataset(?:_name|_id|_path)?|(?:train_|instance_)?data_(?:dir|path)"
    r"|(?:output|save|logging|log)_dir|output_path|(?:run|task|project|experiment)_name|instance_prompt|trigger_word"
)
# What people call an object of settings.
_GROUP = re.compile(r"(?:config|cfg|args|arguments|h?params|hyperparams|hyperparameters|settings|kwargs|options)\Z")


class _Nothing:
    """What has no place in JSON."""


NOTHING = _Nothing()


def _classes(value: Any) -> Iterator[str]:
    return (cls.__name__ for cls in type(value).__mro__)


def _own(value: Any) -> dict[str, Any]:
    """An object's own attributes, without a call of its code."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except Exception:
        # Objects without one, and those whose class has a property of that name.
        return {}
    return own if isinstance(own, dict) else {}


def _has(value: Any, name: str) -> bool:
    return inspect.getattr_static(value, name, NOTHING) is not NOTHING


def is_arguments(value: Any) -> bool:
    """Whether this is transformers' TrainingArguments, or another library's object of that kind."""
    return not isinstance(value, type) and any(map(_ARGUMENTS.search, _classes(value))) and _has(value, "learning_rate")


def is_adapter(value: Any) -> bool:
    """Whether this is one of PEFT's configurations, such as LoraConfig. A model with an adapter is none."""
    return not isinstance(value, type) and _has(value, "peft_type") and _has(type(value), "to_dict")


def _is_trainer(value: Any) -> bool:
    return not isinstance(value, type) and "Trainer" in _classes(value) and is_arguments(_own(value).get("args"))


class Reader:
    """Turns settings into JSON, within a bound on how much in all."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def plain(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON where it is a setting: a number, a short text, or a small list or object of these.

        Else `NOTHING`. Numbers that JSON lacks become texts.
        """
        self._left -= 1
        if self._left < 0:
            return NOTHING
        if isinstance(value, enum.Enum):
            value = value.value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if abs(value) < 2**53 else NOTHING
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        # torch.bfloat16 and the like.
        if type(value).__name__ == "dtype":
            value = str(value)
        if isinstance(value, str):
            return str(value) if len(value) <= LONGEST_TEXT else NOTHING
        if depth >= MOST_DEPTH:
            return NOTHING
        if isinstance(value, (list, tuple, set, frozenset)):
            if len(value) > MOST_ITEMS:
                return NOTHING
            items = [self.plain(item, depth + 1) for item in value]
            if any(item is NOTHING for item in items):
                return NOTHING
            return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
        inside = _inside(value)
        if inside is None or len(inside) > MOST_KEYS:
            return NOTHING
        found = {
            name: self.plain(item, depth + 1)
            for name, item in inside.items()
            if isinstance(name, str) and len(name) <= LONGEST_NAME and not name.startswith("_")
        }
        return {name: item for name, item in found.items() if item is not NOTHING}

    def setting(self, value: Any) -> Any:
        """Like `plain`, and `NOTHING` for an object whose own code fails."""
        try:
            return self.plain(value)
        except Exception as error:
            terminal.trouble(error)
            return NOTHING

    def object(self, value: Any) -> dict[str, Any]:
        """The settings of an object; empty for what has none."""
        found = self.setting(value)
        return found if isinstance(found, dict) else {}


def _inside(value: Any) -> dict[Any, Any] | None:
    """What an object of settings holds; None of any other object."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if type(value).__name__ in ("Namespace", "SimpleNamespace"):
        return dict(_own(value))
    if is_arguments(value) or is_adapter(value):
        told = value.to_dict() if _has(type(value), "to_dict") else _own(value)
        return dict(told) if isinstance(told, Mapping) else None
    return None


def _is_setting(name: str, value: Any) -> bool:
    """Whether a variable is plainly a setting, by its name and kind."""
    if name.startswith("_") or len(name) > LONGEST_NAME or inspect.ismodule(value) or isinstance(value, type):
        return False
    lower = name.lower()
    last = lower.rpartition("_")[2]
    if isinstance(value, (str, int, float, bool, os.PathLike, enum.Enum)) or type(value).__name__ == "dtype":
        in_capitals = len(name) > 1 and _CONSTANT.match(name) is not None
        return in_capitals or bool(_LAST_WORD.match(last) or _NAME.fullmatch(lower))
    if isinstance(value, (list, tuple, set, frozenset)):
        return bool(_LAST_WORD.match(last))
    return bool(_GROUP.match(last))


def unwrap(model: Any) -> Iterator[Any]:
    """The model, and those that it wraps (DistributedDataParallel, torch.compile)."""
    for _ in range(4):
        if model is None:
            return
        yield model
        own = _own(model)
        inner = own.get("_modules") if isinstance(own.get("_modules"), dict) else own
        model = (inner or {}).get("module") or (inner or {}).get("_orig_mod")


def adapters_of(model: Any) -> dict[str, Any]:
    """{name: configuration} of a model's PEFT adapters."""
    for layer in unwrap(model):
        found = _ask(layer, "peft_config")
        if isinstance(found, Mapping):
            return {str(name): config for name, config in found.items() if is_adapter(config)}
    return {}


def _ask(value: Any, name: str) -> Any:
    """An attribute as the object's own code gives it; None where it fails."""
    try:
        return getattr(value, name, None)
    except Exception as error:
        terminal.trouble(error)
        return None


def _about_model(model: Any) -> dict[str, Any]:
    about: dict[str, Any] = {}
    for layer in unwrap(model):
        about["class"] = type(layer).__name__[:LONGEST_NAME]
        told = _ask(_ask(layer, "config"), "_name_or_path") or _ask(layer, "name_or_path")
        if isinstance(told, str) and told and len(told) <= LONGEST_TEXT:
            about["name_or_path"] = told
            break
    return about


def _library(arguments: Any) -> str | None:
    """The library whose trainer takes the arguments; Unsloth changes those of the others where it is loaded."""
    if arguments is None:
        return None
    if "unsloth" in sys.modules:
        return "unsloth"
    modules = (cls.__module__.partition(".")[0] for cls in type(arguments).__mro__)
    return next((module for module in modules if module in ("trl", "transformers", "sentence_transformers")), None)


def collect(
    namespace: Mapping[str, Any],
    arguments: Any = None,
    model: Any = None,
    with_variables: bool = True,
    every: bool = False,
) -> dict[str, Any]:
    """The settings as JSON, without secrets. `arguments` and `model` are those that a Trainer trains with, where one
    does; else the only ones among the variables count, and several are listed under `several`. `every` takes each
    plain variable, whatever its name: somebody gave them as settings."""
    reader = Reader()
    names = dict(namespace)
    found: dict[str, Any] = {"form": FORM}
    secrets = {name: value for name, value in names.items() if isinstance(name, str) and isinstance(value, str)}
    withhold.know_environment({n: v for n, v in secrets.items() if len(v) <= LONGEST_TEXT})
    values = (
        [] if len(names) > MOST_NAMES else [(n, v) for n, v in names.items() if isinstance(n, str) and n[:1] != "_"]
    )

    trainers = [value for _, value in values if _is_trainer(value)]
    if arguments is None and len({id(trainer) for trainer in trainers}) == 1:
        arguments, model = _own(trainers[0]).get("args"), model or _own(trainers[0]).get("model")
    if arguments is None:
        all_arguments = {n: reader.object(v) for n, v in values if is_arguments(v)}
    else:
        all_arguments = {"": reader.object(arguments)}
    library = _library(arguments if arguments is not None else next((v for _, v in values if is_arguments(v)), None))
    if library:
        found["library"] = library
    if model is not None:
        adapters = adapters_of(model)
    else:
        models = [(n, v) for n, v in values if "PeftModel" in _classes(v)]
        adapters = {f"{n}.{name}": config for n, v in models for name, config in adapters_of(v).items()}
        adapters = adapters or {n: v for n, v in values if is_adapter(v)}
    all_adapters = {name: reader.object(config) for name, config in adapters.items()}
    several: dict[str, Any] = {}
    for kind, objects in (("training_arguments", all_arguments), ("peft_config", all_adapters)):
        different = {json.dumps(value, sort_keys=True): name for name, value in objects.items() if value}
        if len(different) == 1:
            found[kind] = objects[next(iter(different.values()))]
        elif different:
            several[kind] = {name: objects[name] for name in list(different.values())[:10]}
    if model is not None:
        found["model"] = _about_model(model)
    if with_variables:
        found["variables"] = _variables(reader, values, every)
    if several:
        found["several"] = several
    clean = redact_json(found)
    for name in ("several", "variables", "peft_config", "training_arguments"):
        if len(json.dumps(clean).encode("utf-8", "surrogatepass")) > MOST_BYTES:
            clean.pop(name, None)
    return clean


def _variables(reader: Reader, values: list[tuple[str, Any]], every: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values:
        if len(found) >= MOST_VARIABLES:
            break
        if not (every or _is_setting(name, value)) or is_arguments(value) or is_adapter(value):
            continue
        setting = reader.setting(value)
        if setting is not NOTHING and setting not in ({}, []) and redact_json({name: setting}) != {name: MARK}:
            found[name] = setting
    return found
