"""tdrussell's diffusion-pipe. Sources: train.py (run folder, DeepSpeed's lines), utils/saver.py, utils/dataset.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.language import t
from ..core.reading import read_start
from . import files
from .datasets import Source
from .files import Saved
from .generic import Generic
from .launch import Launch, read_document

_RUN = re.compile(r"\d{8}_\d\d-\d\d-\d\d$")
_SAVE = re.compile(r"(epoch|step)(\d+)$")
TEXT_LIMIT = 1_000_000


class DiffusionPipe(Generic):
    """Makes a folder named by the UTC time in its output folder; the last epochN or stepN in it is the final
    adapter."""

    name = "diffusion-pipe"
    bar_desc = "Steps"
    bar_loss = ("loss",)
    loss_tags = ("train/loss",)
    success_markers = ("TRAINING COMPLETE!",)
    # Touching `save_quit` in the run's folder ends it early with exit code 0.
    last_is_final = True

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        self.expects_weights = True

    @classmethod
    def recognise(cls, launch: Launch) -> DiffusionPipe | None:
        """A DiffusionPipe for the launch, or None."""
        document = launch.document
        if isinstance(document.get("model"), dict) and "type" in document["model"] and "dataset" in document:
            return cls(launch)
        return None

    def scan(self) -> list[tuple[Path, Saved]]:
        folder = self.output_folder()
        found = []
        if folder is None:
            return []
        for run in files.entries(folder):
            if not (_RUN.match(run.name) and run.is_dir()):
                continue
            for path in files.entries(run):
                match = _SAVE.match(path.name)
                if match and path.is_dir():
                    place: dict[str, Any] = {match[1]: int(match[2])}
                    found += files.adapter_files(path, folder, "checkpoint", group=f"{run.name}/{path.name}", **place)
                elif path.name.startswith("global_step") and path.is_dir():
                    found += files.state_folder(path, folder)
        return found

    def fault(self, seen: Any) -> str | None:
        if seen.marker:
            return None
        return t("the trainer ended with exit code 0 without `TRAINING COMPLETE!`: it was stopped before its end")

    def task_name(self) -> str:
        folder = self.output_folder()
        return folder.name if folder else super().task_name()

    def dataset_file(self) -> Path | None:
        value = self.launch.document.get("dataset")
        return self.path(value) if isinstance(value, str) and value else None

    def datasets(self) -> list[Source]:
        path = self.dataset_file()
        document = read_document(read_start(path, TEXT_LIMIT)) if path else {}
        found = []
        for directory in document.get("directory") or []:
            value = directory.get("path") if isinstance(directory, dict) else None
            if isinstance(value, str):
                folder = self.path(value)
                repeats = directory.get("num_repeats", document.get("num_repeats", 1))
                found.append(Source(folder, repeats=repeats, captions_file=folder / "captions.json"))
        return found
