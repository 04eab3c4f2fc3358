"""Trainers on transformers' Trainer: LLaMA-Factory, axolotl, and scripts that call it themselves.

Sources: transformers trainer_callback.py (bars and dicts), trainer.py (`checkpoint-N/`), PEFT save_and_load.py (the
pair
adapter_model.safetensors and adapter_config.json).
"""

from __future__ import annotations

import re
from pathlib import Path

from ..core.language import t
from ..core.reading import loads, read_file
from ..follow.jsonl import JsonLines
from ..follow.reader import Reader
from ..follow.state_json import LIMIT as STATE_LIMIT
from ..follow.steps import Seen
from . import files
from .datasets import Source
from .files import Saved
from .generic import Generic
from .launch import Launch

INFO_LIMIT = 16_000_000
_STEP_LOSS = re.compile(r"""['"]loss['"]:""")


class Transformers(Generic):
    """What these trainers share: `checkpoint-N/` folders, the final pair above them, dicts on standard output."""

    # The bar has no description and no loss; evaluation's bars look the same but count other totals.
    bar_desc = ""
    bar_loss = ()
    loss_tags = ("train/loss", "loss")
    success_markers = ("'train_runtime':",)
    # Settings with which training may end before its last step and yet as it should.
    early_stopping = ("early_stopping_steps", "early_stopping_patience")

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        self._output = launch.output_dir or self.setting("output_dir") or self.default_output
        self.expects_weights = True

    default_output = None

    def scan(self) -> list[tuple[Path, Saved]]:
        folder = self.output_folder()
        return files.adapter_folders(folder) if folder else []

    def says_success(self, line: str) -> bool:
        # The summary at the end has no loss of a step; with include_num_input_tokens_seen each line tells the time.
        return super().says_success(line) and not _STEP_LOSS.search(line)

    def fault(self, seen: Seen) -> str | None:
        fault = super().fault(seen)
        if fault or self.saves_when_interrupted or not seen.marker or not seen.total or seen.step is None:
            return fault
        # The last bar may have been missed, so a report's distance is allowed for.
        reached = seen.step + (self.logging_steps() or 1) > seen.total
        if reached or any(self.setting(name) for name in self.early_stopping):
            return None
        return t("the trainer ended with exit code 0 at step {step} of {total}", step=seen.step, total=seen.total)

    def total_steps(self) -> int | None:
        value = self.setting("max_steps")
        return value if isinstance(value, int) and value > 0 else None

    def task_name(self) -> str:
        folder = self.output_folder()
        return folder.name if folder and folder.name else super().task_name()

    def resume_step(self) -> tuple[int | None, str | None]:
        """The step of the checkpoint that the settings name, or of the newest one where they say `true`."""
        value = self.setting("resume_from_checkpoint")
        if not value or str(value).lower() in ("false", "null", "none"):
            automatic = str(self.setting("auto_resume_from_checkpoints")).lower() == "true"
            if not automatic:
                return 0, None
            value = True
        if str(value).lower() == "true":
            found = [saved.step or 0 for _, saved in self.scan() if saved.kind == "checkpoint"]
            return (max(found), f"checkpoint-{max(found)}") if found else (0, None)
        try:
            state = loads(read_file(self.path(value) / "trainer_state.json", STATE_LIMIT))
            return int(state["global_step"]), str(value)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None, None


class LlamaFactory(Transformers):
    """LLaMA-Factory: its own log file says everything; the settings are the file's, `key=value` arguments over them."""

    name = "llama-factory"

    @classmethod
    def recognise(cls, launch: Launch) -> LlamaFactory | None:
        """A LlamaFactory for the launch, or None."""
        document = {**launch.document, **launch.assignments}
        version_one = isinstance(document.get("peft_config"), dict) and "model" in document
        if (
            launch.names("llamafactory", "lmf", "llamafactory_cli", "LLaMA-Factory")
            or ("model_name_or_path" in document and ("finetuning_type" in document or "stage" in document))
            or version_one
        ):
            return cls(launch)
        return None

    def readers(self) -> list[Reader]:
        folder = self.output_folder()
        return [JsonLines(folder / "trainer_log.jsonl")] if folder else []

    def datasets(self) -> list[Source]:
        """Each name of `dataset` is looked up in dataset_info.json; only files on this machine can be counted."""
        folder = self.path(self.setting("dataset_dir") or "data")
        named = self.setting("dataset")
        names = [part.strip() for part in named.split(",")] if isinstance(named, str) else named
        try:
            known = loads(read_file(folder / "dataset_info.json", INFO_LIMIT))
        except (OSError, ValueError):
            return []
        found = []
        for name in names if isinstance(names, list) else []:
            entry = known.get(name) if isinstance(known, dict) else None
            file = entry.get("file_name") if isinstance(entry, dict) else None
            if not isinstance(file, str):
                continue
            path = folder / file
            if path.is_dir():
                found += [Source(p, name=f"{name}/{p.name}", is_file=True) for p in files.entries(path) if p.is_file()]
            else:
                found.append(Source(path, name=name, is_file=True))
        return found

    def extra_configs(self) -> list[Path]:
        info = self.path(self.setting("dataset_dir") or "data") / "dataset_info.json"
        return [info] if self.setting("dataset") else []


class Axolotl(Transformers):
    """axolotl: SIGINT makes it save the adapter and end with exit code 0, so a final file alone proves nothing."""

    name = "axolotl"
    success_markers = ("Model successfully saved to", *Transformers.success_markers)
    saves_when_interrupted = True
    default_output = "./model-out"

    @classmethod
    def recognise(cls, launch: Launch) -> Axolotl | None:
        """An Axolotl for the launch, or None."""
        document = launch.document
        if launch.names("axolotl") or (
            "base_model" in document and ("adapter" in document or "micro_batch_size" in document)
        ):
            return cls(launch)
        return None

    def logging_steps(self) -> int | None:
        # transformers reads 0.05 as a part of all steps; axolotl writes a line each step unless told otherwise.
        return super().logging_steps() if self.setting("logging_steps") is not None else None

    def datasets(self) -> list[Source]:
        found = []
        for dataset in self.launch.document.get("datasets") or []:
            value = dataset.get("path") if isinstance(dataset, dict) else None
            path = self.path(value) if isinstance(value, str) else None
            if path is not None and path.is_file():
                found.append(Source(path, name=path.name, is_file=True))
            elif path is not None and path.is_dir():
                found += [
                    Source(p, name=f"{path.name}/{p.name}", is_file=True) for p in files.entries(path) if p.is_file()
                ]
        return found
