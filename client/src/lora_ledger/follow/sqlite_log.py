"""Follows ai-toolkit's loss_log.db: SQLite in WAL mode, metrics(step, key, value_real, value_text)."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from ..core.types import StrPath

# So many rows of older runs are remembered: a resumed run writes over the last of them.
REMEMBERED = 100_000
PAGE = 5000
# So many pages are read in one look; the next one goes on.
MOST_PAGES = 400
LONGEST_VALUE = 1_000_000
QUERY_SECONDS = 5.0
COLUMNS = "rowid, step, substr(key, 1, 300), value_real"
LOOK_BACK_SECONDS = 15.0


class LossDatabase:
    """Reads rows that are written after it was made. Opens read-only for each look, so that no writer ever waits.

    `path` need not exist yet. A file that is no such database, or is locked, gives nothing.
    """

    loss_tags = ("loss/loss", "loss")

    def __init__(
        self, path: StrPath, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._clock = clock
        self._monotonic = monotonic
        self._last = 0
        self._old = {}
        self._next_look_back = 0.0
        self._inode = self._file()
        for row, step, key, value in self._query(
            f"select {COLUMNS} from metrics order by rowid desc limit ?", (REMEMBERED,)
        ):
            self._last = max(self._last, row)
            self._old[row] = (step, key, value)

    def _file(self) -> int | None:
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return None

    def _query(self, sql: str, values: Any) -> list[Any]:
        if not os.path.isfile(self.path):
            return []
        try:
            base = Path(self.path).absolute().as_uri()
            connection = sqlite3.connect(f"{base}?mode=ro", uri=True, timeout=0.2)
        except (sqlite3.Error, ValueError):
            return []
        try:
            return connection.execute(sql, values).fetchall() if self._trusted(connection) else []
        except (sqlite3.Error, OverflowError):
            return []
        finally:
            connection.close()

    def _trusted(self, connection: sqlite3.Connection) -> bool:
        """Bounds what the file can make SQLite do, and tells whether `metrics` is a plain table, which computes
        nothing."""
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        # Python 3.11 and newer.
        bound: Any = getattr(connection, "setlimit", None)
        if bound:
            bound(getattr(sqlite3, "SQLITE_LIMIT_LENGTH", 0), LONGEST_VALUE)
        deadline = self._monotonic() + QUERY_SECONDS
        connection.set_progress_handler(lambda: self._monotonic() > deadline, 10_000)
        for pragma in ("trusted_schema=off", "query_only=on", "cell_size_check=on", "mmap_size=0"):
            connection.execute(f"pragma {pragma}")
        row = connection.execute("select type, sql from sqlite_master where name = 'metrics' collate nocase").fetchall()
        plain = len(row) == 1 and row[0][0] == "table" and str(row[0][1]).lower().startswith("create table")
        # Columns from 1 on in `hidden` are a virtual table's or generated.
        return plain and not any(column[6] for column in connection.execute("pragma table_xinfo(metrics)"))

    def read(self, final: bool = False) -> Iterator[Sequence[Any]]:
        """Yields (time, step, series, value, None) of new rows, and of an older run's rows that were written over."""
        inode = self._file()
        if self._inode is not None and inode not in (None, self._inode):
            # Deleted and made anew: its rows count from 1 again.
            self._last, self._old = 0, {}
        self._inode = inode or self._inode
        if self._old and (final or self._monotonic() >= self._next_look_back):
            self._next_look_back = self._monotonic() + LOOK_BACK_SECONDS
            for row, step, key, value in self._query(
                f"select {COLUMNS} from metrics where rowid >= ? and rowid <= ? order by rowid limit ?",
                (min(self._old), max(self._old), 2 * REMEMBERED),
            ):
                if row in self._old and self._old[row] != (step, key, value):
                    self._old[row] = (step, key, value)
                    yield from self._point(step, key, value)
        for _ in range(MOST_PAGES):
            rows = self._query(
                f"select {COLUMNS} from metrics where rowid > ? order by rowid limit ?",
                (self._last, PAGE),
            )
            for row, step, key, value in rows:
                self._last = row
                yield from self._point(step, key, value)
            if len(rows) < PAGE:
                return

    def _point(self, step: int, key: str, value: Any) -> Iterator[tuple[float, int, str, int | float, None]]:
        if isinstance(step, int) and isinstance(key, str) and isinstance(value, (int, float)):
            yield self._clock(), step, key, value, None
