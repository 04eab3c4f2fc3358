"""Output folders that `track()` looks into for weights."""

from __future__ import annotations

import os
from pathlib import Path

from ..trainers import Generic, files
from ..trainers.files import Saved
from .watch import Watch


class AdapterFolder(Generic):
    """An output folder of transformers' layout."""

    def scan(self) -> list[tuple[Path, Saved]]:
        """Adapters in the folder and in its `checkpoint-N` folders."""
        folder = self.output_folder()
        return files.adapter_folders(folder) if folder else []


def watch_folder(folder: str, adapters_only: bool) -> Watch:
    """A Watch of the folder; what lies there already is an older run's."""
    kind = AdapterFolder if adapters_only else Generic
    return Watch(kind([], os.getcwd(), folder))
