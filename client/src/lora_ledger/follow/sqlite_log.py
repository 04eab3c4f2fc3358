"""Follows ai-toolkit's loss_log.db: SQLite in WAL mode, metrics(step, key, value_real, value_text)."""

import os
import sqlite3
import time
from pathlib import Path

# So many rows of older runs are remembered: a resumed run writes over the last of them.
REMEMBERED = 100_000
PAGE = 5000
LOOK_BACK_SECONDS = 15.0


class LossDatabase:
    """Reads rows that are written after it was made. Opens read-only for each look, so that no writer ever waits.

    `path` need not exist yet. A file that is no such database, or is locked, gives nothing.
    """

    loss_tags = ("loss/loss", "loss")

    def __init__(self, path, clock=time.time, monotonic=time.monotonic):
        self.path = path
        self._clock = clock
        self._monotonic = monotonic
        self._last = 0
        self._old = {}
        self._next_look_back = 0.0
        self._inode = self._file()
        for row, step, key, value in self._query(
            "select rowid, step, key, value_real from metrics order by rowid desc limit ?", (REMEMBERED,)
        ):
            self._last = max(self._last, row)
            self._old[row] = (step, key, value)

    def _file(self):
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return None

    def _query(self, sql, values):
        if not os.path.isfile(self.path):
            return []
        try:
            base = Path(self.path).absolute().as_uri()
            connection = sqlite3.connect(f"{base}?mode=ro", uri=True, timeout=0.2)
        except (sqlite3.Error, ValueError):
            return []
        try:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error:
            return []
        finally:
            connection.close()

    def read(self, final=False):
        """Yields (time, step, series, value, None) of new rows, and of an older run's rows that were written over."""
        inode = self._file()
        if self._inode is not None and inode not in (None, self._inode):
            # Deleted and made anew: its rows count from 1 again.
            self._last, self._old = 0, {}
        self._inode = inode or self._inode
        if self._old and (final or self._monotonic() >= self._next_look_back):
            self._next_look_back = self._monotonic() + LOOK_BACK_SECONDS
            for row, step, key, value in self._query(
                "select rowid, step, key, value_real from metrics where rowid >= ? and rowid <= ? order by rowid",
                (min(self._old), max(self._old)),
            ):
                if row in self._old and self._old[row] != (step, key, value):
                    self._old[row] = (step, key, value)
                    yield from self._point(step, key, value)
        while True:
            rows = self._query(
                "select rowid, step, key, value_real from metrics where rowid > ? order by rowid limit ?",
                (self._last, PAGE),
            )
            for row, step, key, value in rows:
                self._last = row
                yield from self._point(step, key, value)
            if len(rows) < PAGE:
                return

    def _point(self, step, key, value):
        if isinstance(step, int) and isinstance(key, str) and isinstance(value, (int, float)):
            yield self._clock(), step, key, value, None
