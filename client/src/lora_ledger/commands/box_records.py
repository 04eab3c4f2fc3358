"""What this box ran, kept after a run's spool is gone: `safe` has to know it until the box is destroyed.

One JSON file a run beside the spool folder, made before the trainer starts, with a lock held while it runs.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.errors import SpoolBusyError
from ..core.language import t
from ..core.locks import lock_file
from ..core.types import StrPath
from ..recording.run import RunCommand
from ..trainers.files import ADAPTER

MOST_FILES = 50_000
WEIGHTS = {".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".npz", ".onnx"}
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm"}
# The whole model beside an adapter of the same checkpoint: accelerate's and transformers' state, no result.
WHOLE_MODEL = re.compile(r"(?:pytorch_)?model(?:-\d+-of-\d+)?\.(?:safetensors|bin)$")
# Training states (optimizer, random numbers) are for resuming; the ledger keeps results.
STATES = ("optimizer", "scheduler", "random_states", "rng_state", "training_args", "scaler", "sampler")


def root_of(spool: Path) -> Path:
    """Where the records lie for a spool folder."""
    return spool.with_name(spool.name + "-runs")


def is_state(path: Path, top: Path) -> bool:
    """Whether a file only serves to resume training."""
    inside = path.relative_to(top).parts[:-1]
    named = path.name.lower()
    return named.startswith(STATES) or any(part.endswith("-state") or part.startswith("global_step") for part in inside)


def is_sample(path: Path, top: Path) -> bool:
    """Whether an image or video lies where trainers put samples."""
    return any(
        part.lower().startswith("sample") for part in path.relative_to(top).parts[:-1]
    ) or top.name.lower().startswith("sample")


def produced(top: Path) -> tuple[list[Path], int]:
    """(files that are results, how many training-state files there are) below the folder. Raises OSError."""
    results, states, looked = [], 0, 0

    def fail(error: Exception) -> None:
        raise error

    # A folder that cannot be listed may hold the very file that is missing: that is an error, not an empty folder.
    # Links are followed, as results are often kept on another disk; each folder is looked into once.
    visited = set()
    for folder, below, names in os.walk(top, onerror=fail, followlinks=True):
        here = os.path.realpath(folder)
        if here in visited:
            below.clear()
            continue
        visited.add(here)
        beside_adapter = any(ADAPTER.match(name) for name in names)
        for name in names:
            looked += 1
            if looked > MOST_FILES:
                raise OSError(7, t("there are more than {most_files} files", most_files=MOST_FILES))
            path = Path(folder) / name
            ending = path.suffix.lower()
            if ending in WEIGHTS or (ending in IMAGES and is_sample(path, top)):
                if is_state(path, top) or (beside_adapter and WHOLE_MODEL.match(name)):
                    states += 1
                else:
                    results.append(path)
    return sorted(results), states


def state_of(path: Path) -> list[int] | None:
    """[size in bytes, mtime in ns] of a file; None when it is gone."""
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def snapshot(folders: Iterable[Path]) -> dict[str, list[int] | None]:
    """{path: [size, mtime]} of the results that are there before a run."""
    found: dict[str, list[int] | None] = {}
    for folder in folders:
        try:
            found.update((str(path), state_of(path)) for path in produced(folder)[0])
        except OSError:
            # What is not known to be older counts as the run's own.
            continue
    return found


class Record:
    """The record of a run that this process is about to start. Nothing here raises: recording a run comes first."""

    def __init__(self, spool: Path, command: list[str], folders: Iterable[StrPath]) -> None:
        self.path = root_of(spool) / f"{uuid.uuid4()}.json"
        self.data = {
            "command": command,
            "cwd": os.getcwd(),
            "started": time.time(),
            "ended": None,
            "folders": [str(Path(folder).absolute()) for folder in folders],
            "before": snapshot([Path(folder).absolute() for folder in folders]),
        }
        self._lock = None
        self._over = threading.Event()
        self._watcher = None

    def begin(self, runner: RunCommand) -> None:
        """Writes the record, holds its lock, and notes task and spool as soon as the runner has them."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = open(self.path.with_suffix(".lock"), "a+b")
            lock_file(self._lock)
        except (OSError, SpoolBusyError) as error:
            terminal.trouble(error)
        self._save()
        self._watcher = threading.Thread(target=self._watch, args=(runner,), name="ledger-record", daemon=True)
        self._watcher.start()

    def _watch(self, runner: RunCommand) -> None:
        while not self._over.wait(0.5):
            if self._take(runner):
                self._save()

    def _take(self, runner: RunCommand) -> bool:
        recorder = runner.recorder
        trainer = runner.trainer
        new = {}
        if trainer is not None:
            new["folders"] = [str(Path(folder).absolute()) for folder in trainer.folders()]
        if recorder is not None:
            new["spool"] = recorder.spool.folder.name
            new["url"] = recorder.settings.url
            new["last_seq"] = recorder.spool.last_seq
            new["lost"] = recorder.spool.dropped
            if recorder.task_id:
                new["task_id"], new["attempt"] = recorder.task_id, recorder.attempt
        changed = any(self.data.get(k) != v for k, v in new.items())
        self.data.update(new)
        return changed

    def end(self, runner: RunCommand) -> None:
        """Notes that the run is over, and lets go of the lock."""
        self._over.set()
        if self._watcher:
            self._watcher.join(2.0)
        try:
            self._take(runner)
        except Exception as error:
            terminal.trouble(error)
        started = runner.process is not None
        if not started:
            # The command did not start, so there is nothing to keep safe.
            self._remove()
            return
        self.data["ended"] = time.time()
        self._save()
        if self._lock:
            self._lock.close()

    def _remove(self) -> None:
        if self._lock:
            self._lock.close()
        for path in (self.path, self.path.with_suffix(".lock")):
            try:
                os.unlink(path)
            except OSError:
                pass

    def _save(self) -> None:
        save(self.path, self.data)


def save(path: Path, data: Any) -> None:
    """Replaces a record; a failure is only told when asked for, since `safe` says no without it."""
    temporary = path.with_suffix(".new")
    try:
        temporary.write_text(json.dumps(data))
        os.replace(temporary, path)
    except OSError as error:
        terminal.trouble(error)


def all_of(spool: Path) -> list[tuple[Path, dict[str, Any] | None]]:
    """[(path, the record or None where it is damaged)], oldest first. Raises OSError."""
    root = root_of(spool)
    try:
        paths = [p for p in root.iterdir() if p.suffix in (".json", ".lock")]
    except FileNotFoundError:
        return []
    found = []
    for stem in sorted({p.with_suffix("") for p in paths}):
        path = stem.with_name(stem.name + ".json")
        try:
            data = json.loads(path.read_bytes())
            if not isinstance(data, dict) or not isinstance(data.get("started"), (int, float)):
                raise ValueError
        except (OSError, ValueError, RecursionError):
            data = None
        found.append((path, data))
    return sorted(found, key=lambda pair: pair[1]["started"] if pair[1] else 0.0)
