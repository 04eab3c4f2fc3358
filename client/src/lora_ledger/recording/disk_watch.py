"""Foresees a full disk: whether the next checkpoint still finds room where the checkpoints are."""

from __future__ import annotations

import os
import re
import statistics
import threading
import time
from typing import Any, Callable

from ..core.journal import Upload
from ..follow.machine import free_space

# The next checkpoint may be somewhat larger than the largest before.
SPARE = 1.2
# Fewer samples, or a shorter stretch, tell nothing of how fast room is going.
LEAST_SAMPLES, LEAST_SECONDS = 3, 60.0
# Two samples have to agree, since a trainer may remove an old checkpoint right after it wrote a new one.
AGREE = 2
# Files of one checkpoint's folder that are counted, and checkpoints whose times are remembered.
MOST_FILES, MOST_SAVES = 1000, 20


class DiskWatch:
    """Compares the room that is left with the room that the next checkpoint needs.

    It needs 1.2 times the largest checkpoint so far, and what training itself writes until then: how fast room went
    since the last checkpoint, over the time until the next, which comes after the median of the times between those
    before. Before the first checkpoint nothing is known, and after the final weights nothing is to come.
    """

    def __init__(
        self,
        free: Callable[[str], tuple[int, int] | None] = free_space,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._clock = clock
        self._guard = threading.Lock()
        self._times = [clock()]
        self._sizes: dict[tuple[Any, Any], dict[str, int]] = {}
        self._largest = 0
        self._samples: list[tuple[float, int]] = []
        self._low = 0
        self._ended = False
        # Where checkpoints are written, once one was.
        self.folder: str | None = None

    def saved(self, item: Upload) -> None:
        """A file of a checkpoint, or the final weights, has appeared."""
        if item.kind not in ("checkpoint", "state", "final"):
            return
        place, size = _size_of(item)
        with self._guard:
            self.folder = os.path.dirname(os.path.abspath(item.path))
            self._ended = item.kind == "final"
            # What is of no step is a checkpoint of its own.
            key = (item.step, item.epoch) if item.step is not None or item.epoch is not None else (None, place)
            if key not in self._sizes:
                self._sizes = {**dict(list(self._sizes.items())[-MOST_SAVES:]), key: {}}
                self._times = [*self._times[-MOST_SAVES:], self._clock()]
                self._samples = []
            self._sizes[key][place] = size
            self._largest = max(self._largest, sum(self._sizes[key].values()))

    def look(self) -> dict[str, int] | None:
        """{free_bytes, needed_bytes} where the next checkpoint will probably find too little room, else None."""
        with self._guard:
            folder = None if self._ended else self.folder
        # A file system that hangs must not hold back who saves.
        found = self._free(folder) if folder else None
        if found is None:
            return None
        with self._guard:
            now, free = self._clock(), found[1]
            first = self._samples[0] if self._samples else (now, free)
            self._samples = [first, *self._samples[1:][-LEAST_SAMPLES:], (now, free)]
            needed = int(SPARE * self._largest + self._going(now, free))
            self._low = self._low + 1 if free < needed else 0
            return {"free_bytes": free, "needed_bytes": needed} if self._low >= AGREE else None

    def _going(self, now: float, free: int) -> float:
        """Bytes that training writes until the next checkpoint, at the pace since the last one."""
        since, before = self._samples[0]
        if len(self._samples) < LEAST_SAMPLES or now - since < LEAST_SECONDS or free >= before:
            return 0.0
        between = statistics.median(after - first for first, after in zip(self._times, self._times[1:]))
        return (before - free) / (now - since) * max(0.0, self._times[-1] + between - now)


def _size_of(item: Upload) -> tuple[str, int]:
    """What a checkpoint takes: its file, or the whole folder that is named by its step, where states lie beside the
    weights that are sent."""
    path = os.path.abspath(item.path)
    folder = os.path.dirname(path)
    try:
        if item.step and re.search(rf"(?<!\d)0*{item.step}(?!\d)", os.path.basename(folder)):
            with os.scandir(folder) as entries:
                files = [entry for _, entry in zip(range(MOST_FILES), entries) if entry.is_file(follow_symlinks=False)]
                return folder, sum(entry.stat(follow_symlinks=False).st_size for entry in files)
        return path, os.stat(path).st_size
    except OSError:
        return path, 0
