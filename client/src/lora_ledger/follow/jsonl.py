"""Follows LLaMA-Factory's trainer_log.jsonl, one JSON object a line (src/llamafactory/train/callbacks.py).

{"current_steps": 10, "total_steps": 375, "loss": 1.2345, "lr": 4.8e-05, "epoch": 0.08, "percentage": 2.67, …}
"""

import os
import time

from ..core.reading import loads, open_file

LONGEST_LINE = 65_536
CHUNK = 1 << 20


class TrainerLog:
    """Reads what is appended after it was made: what is there then is an older run's.

    The file grows over several runs unless `overwrite_output_dir` empties it. `total` is the newest total_steps.
    """

    loss_tags = ("loss",)

    def __init__(self, path, clock=time.time):
        self.path = path
        self.total = None
        self._clock = clock
        self._inode, self._offset = self._stat()
        self._rest = b""
        self._cut = False

    def _stat(self):
        try:
            stat = os.stat(self.path)
            return stat.st_ino, stat.st_size
        except OSError:
            return None, 0

    def read(self, final=False):
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

    def _row(self, line):
        if not line.lstrip().startswith(b"{"):
            return
        try:
            row = loads(line.decode("utf-8", "replace"))
        except ValueError:
            return
        if not isinstance(row, dict):
            return
        step, epoch, total = (row.get(name) for name in ("current_steps", "epoch", "total_steps"))
        if isinstance(total, int) and total > 0:
            self.total = total
        if not isinstance(step, int) or isinstance(step, bool):
            return
        epoch = epoch if isinstance(epoch, (int, float)) else None
        for name, value in row.items():
            if name in ("current_steps", "total_steps", "epoch", "percentage"):
                continue
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield self._clock(), step, name, value, epoch
