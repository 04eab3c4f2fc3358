"""What lies in an output folder: weights, the files of a checkpoint's folder, samples, training state."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

SAVED = (".safetensors", ".ckpt", ".pt")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".mp4", ".gif")
ADAPTER = re.compile(r"(?:adapter_model|pytorch_lora_weights|lora)\.(?:safetensors|bin)$")
RUN_FOLDER = re.compile(r"(?:^|[-_.])(?:\d{8}|\d{4}-\d\d-\d\d)[-_T]?\d\d[-_:.]?\d\d(?:[-_:.]?\d\d)?$")
# Files that training scripts leave beside the weights and that are none.
TRAINING_STATE = {"optimizer.pt", "scheduler.pt", "rng_state.pt", "training_args.pt", "scaler.pt"}
MOST_ENTRIES = 20_000
LONGEST_NAME = 255


class Saved:
    """What a file is: kind (final, checkpoint, state, sample, config), and where in training it belongs.

    `filename` is the name it is recorded by where that is not its own; `prompt` and `seed` are a sample's.
    """

    def __init__(
        self,
        kind: str,
        epoch: int | None = None,
        step: int | None = None,
        group: str | None = None,
        filename: str | None = None,
        prompt: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.kind = kind
        self.epoch = epoch
        self.step = step
        self.group = group
        self.filename = filename
        self.prompt = prompt
        self.seed = seed


def entries(folder: Path) -> list[Path]:
    """The folder's entries as sorted paths; empty where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name for _, entry in zip(range(MOST_ENTRIES), found)]
    except OSError:
        return []
    return [Path(folder) / name for name in sorted(names)]


def below(folder: Path, depth: int = 3, found: Any = None) -> Any:
    """All files below the folder, within the bound on entries."""
    found = [] if found is None else found
    for path in entries(folder):
        if len(found) >= MOST_ENTRIES:
            break
        if path.is_dir():
            if depth and not path.is_symlink():
                below(path, depth - 1, found)
        else:
            found.append(path)
    return found


def relative(path: Path, root: Path) -> str:
    """The path below the root with forward slashes, as the ledger takes file names; the bare name where it cannot."""
    try:
        name = Path(path).relative_to(root).as_posix()
    except ValueError:
        return Path(path).name
    return name if len(name) <= LONGEST_NAME and "\\" not in name and name.isprintable() else Path(path).name


def state_folder(
    folder: Path, root: Path, epoch: int | None = None, step: int | None = None
) -> list[tuple[Path, Saved]]:
    """(path, Saved) of every file of a folder that training can be resumed from."""
    return [(path, Saved("state", epoch, step, folder.name[:200], relative(path, root))) for path in below(folder)]


def adapter_files(
    folder: Path, root: Path, kind: str, epoch: int | None = None, step: int | None = None, group: str | None = None
) -> list[tuple[Path, Saved]]:
    """(path, Saved) of the adapter's weights and configuration in one folder."""
    found = []
    for path in entries(folder):
        if ADAPTER.match(path.name):
            found.append((path, Saved(kind, epoch, step, group, relative(path, root))))
        elif path.name == "adapter_config.json":
            found.append((path, Saved("config", epoch, step, group, relative(path, root))))
    return found


def adapter_folders(folder: Path, root: Path | None = None) -> list[tuple[Path, Saved]]:
    """transformers' and diffusers' layout: `checkpoint-N/` with an adapter and training state, the final pair above.

    Files are named by their path below `root`, which is the folder itself unless another is given.
    """
    root = root or folder
    found = adapter_files(folder, root, "final")
    for path in entries(folder):
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if not match or not path.is_dir():
            continue
        step = int(match[1])
        adapter = adapter_files(path, root, "checkpoint", step=step, group=relative(path, root))
        taken = {item for item, _ in adapter}
        found += adapter
        found += [item for item in state_folder(path, root, step=step) if item[0] not in taken]
    return found


def run_folders(folder: Path) -> list[tuple[Path, Saved]]:
    """The same layout in folders that are named by when a run began, such as ms-swift's `v0-20250526-162705/`."""
    runs = (path for path in entries(folder) if RUN_FOLDER.search(path.name) and path.is_dir())
    return [item for path in runs for item in adapter_folders(path, folder)]
