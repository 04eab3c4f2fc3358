"""Follows a file of JSON objects, one a line, such as LLaMA-Factory's trainer_log.jsonl
(src/llamafactory/train/callbacks.py).

{"current_steps": 10, "total_steps": 375, "loss": 1.2345, "lr": 4.8e-05, "epoch": 0.08, "percentage": 2.67, …}
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from ..core.reading import loads, open_file
from ..core.types import StrPath

LONGEST_LINE = 65_536
CHUNK = 1 << 20


class JsonLines:
    """Reads what is appended after it was made: what is there then is an older run's.

    The file grows over several runs unless the trainer empties it. `step` and `steps` are the names of the step and
    of the total in it, `loss` those of the loss, best first. `total` is the newest total.
    """

    def __init__(
        self,
        path: StrPath,
        step: str = "current_steps",
        steps: str | None = "total_steps",
        loss: Sequence[str] = ("loss",),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.loss_tags = tuple(loss)
        self.total = None
        self._step, self._steps = step, steps
        self._clock = clock
        self._inode, self._offset = self._stat()
        self._rest = b""
        self._cut = False

    def _stat(self) -> tuple[int, int] | tuple[None, int]:
        try:
            stat = os.stat(self.path)
            return stat.st_ino, stat.st_size
        except OSError:
            return None, 0

    def read(self, final: bool = False) -> Iterator[Sequence[Any]]:
        """Yields (time, step, series, value, epoch) of complete new lines; half a line waits."""
        inode, size = self._stat()
        if inode is None:
            self._inode, self._offset, self._rest = None, 0, b""
            return
        if size < self._offset or (self._inode is not None and inode != self._inode):
            self._offset, self._rest, self._cut = 0, b"", False
        self._inode = inode
        while True:
            try:
                with open_file(self.path) as file:
                    file.seek(self._offset)
                    data = file.read(CHUNK)
            except OSError:
                return
            if not data:
                return
            self._offset += len(data)
            *lines, rest = (self._rest + data).split(b"\n")
            for line in lines:
                if len(line) <= LONGEST_LINE and not self._cut:
                    yield from self._row(line)
                self._cut = False
            # Of a line that is too long nothing is read.
            self._cut = self._cut or len(rest) > LONGEST_LINE
            self._rest = b"" if self._cut else rest

    def _row(self, line: bytes) -> Iterator[tuple[float, int, Any, int | float, int | float | None]]:
        if not line.lstrip().startswith(b"{"):
            return
        try:
            row = loads(line.decode("utf-8", "replace"))
        except ValueError:
            return
        if not isinstance(row, dict):
            return
        step, epoch, total = row.get(self._step), row.get("epoch"), row.get(self._steps) if self._steps else None
        if isinstance(total, int) and total > 0:
            self.total = total
        if not isinstance(step, int) or isinstance(step, bool):
            return
        epoch = epoch if isinstance(epoch, (int, float)) else None
        for name, value in row.items():
            if name in (self._step, self._steps, "epoch", "percentage"):
                continue
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield self._clock(), step, name, value, epoch
