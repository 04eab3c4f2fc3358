"""Notices files that this run wrote (weights, samples, training state), each once it is complete on disk."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

from ..core import terminal
from ..core.errors import IncompleteFileError
from ..core.journal import Upload
from ..core.language import t
from ..core.safetensors import read_header
from ..trainers.files import Saved
from ..trainers.generic import Generic
from .points import MOST_STEP

STABLE_SECONDS = 3.0


class Watch:
    """Polls a trainer's output folder. Make it before the trainer starts: what is there then is an older run's.

    Training state is given only with `upload_state`, since it is large and of use to none but the same trainer.
    """

    def __init__(
        self,
        trainer: Generic,
        upload_state: bool = False,
        clock: Callable[[], float] = time.monotonic,
        since: float | None = None,
    ) -> None:
        self.trainer = trainer
        self.found_final = self.found_samples = False
        self.newest_checkpoint = []
        self._upload_state = upload_state
        self._clock = clock
        self._before = {path: self._state(path) for path, _ in trainer.scan()}
        if since is not None:
            # Made while the trainer runs already: what was written since (a Unix time) is its own.
            self._before = {p: state for p, state in self._before.items() if state and state[1] < since * 1e9}
        self._given = dict(self._before)
        self._seen = {}

    @staticmethod
    def _state(path: Path) -> tuple[int, int] | None:
        try:
            stat = os.stat(path)
            return stat.st_size, stat.st_mtime_ns
        except OSError:
            return None

    def poll(self, ended: bool = False) -> list[Upload]:
        """The weight items that became complete since the last call. `ended` says that no trainer writes any more."""
        items = []
        for path, saved in self.trainer.scan():
            if saved.kind == "state" and not self._upload_state:
                continue
            state = self._state(path)
            if state is None or state == self._given.get(path):
                continue
            if not ended:
                since = self._seen.get(path)
                if since is None or since[0] != state:
                    self._seen[path] = (state, self._clock())
                    continue
                if self._clock() - since[1] < STABLE_SECONDS:
                    continue
            item = self._item(path, saved, ended)
            if item is None:
                continue
            self._given[path] = state
            if saved.kind == "final":
                self.found_final = True
            elif saved.kind == "sample":
                self.found_samples = True
            elif saved.kind == "checkpoint":
                same = [i for i in self.newest_checkpoint if saved.group and i.group == saved.group]
                self.newest_checkpoint = [*same, item]
            items.append(item)
        return items

    def _item(self, path: Path, saved: Saved, ended: bool) -> Upload | None:
        metadata = {}
        if path.suffix == ".safetensors":
            try:
                metadata = read_header(path).get("__metadata__") or {}
            except IncompleteFileError as error:
                if ended:
                    terminal.warn(
                        t("{name} is not complete ({error}) and is not uploaded", name=path.name, error=error)
                    )
                    self._given[path] = self._state(path)
                return None
            except OSError:
                return None

        def whole(value: Any, key: str) -> int | None:
            """A number within bounds, else the one that the trainer wrote into the file."""
            if value is None or value > MOST_STEP:
                written = metadata.get(key)
                value = int(written) if isinstance(written, str) and re.fullmatch("[0-9]{1,10}", written) else None
            return value

        return Upload(
            str(path.absolute()),
            saved.filename or path.name,
            saved.kind,
            epoch=whole(saved.epoch, "ss_epoch"),
            step=whole(saved.step, "ss_steps"),
            group=saved.group,
            prompt=saved.prompt,
            seed=saved.seed if saved.seed is None or saved.seed <= MOST_STEP else None,
        )

    def is_new(self, path: Path) -> bool:
        """Whether this run wrote the file."""
        return self._state(path) != self._before.get(path)

    def promote(self) -> list[Upload]:
        """The newest checkpoint's files as final weights, for trainers whose last checkpoint that is."""
        self.found_final = bool(self.newest_checkpoint)
        return [replace(item, kind="final") for item in self.newest_checkpoint]
