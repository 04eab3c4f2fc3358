"""Reads the file that W&B writes beside a run, `run-ID.wandb`, also while it grows.

It is a header of 7 bytes and LevelDB's log format (blocks of 32 kB; records of CRC-32, length, type and data, in
pieces), each record a `Record` of wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from ..core.reading import MOST_CONTAINERS, loads, open_file
from ..core.types import StrPath
from .tensorboard import _fields

BLOCK = 32_768
HEADER = 7
MOST_RECORD = 16_000_000
# A key nested deeper is joined.
DEPTH = 32
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Fields of `Record`.
HISTORY, SUMMARY, CONFIG, STATS, RUN, EXIT = 2, 3, 5, 7, 17, 18
# What a message that is cut off or damaged raises.
DAMAGE = (IndexError, ValueError, struct.error)
# Names of the step in rows of those who count W&B's own only by their calls: transformers and Lightning.
_STEPS = ("train/global_step", "trainer/global_step", "global_step")
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class WandbFile:
    """One such file, read on from where the last call ended. What is not there yet is waited for: W&B writes in
    batches, and the end of one may be half a record."""

    def __init__(self, path: StrPath) -> None:
        self.path = path
        self._at = HEADER
        self._pieces: list[bytes] | None = None
        self._length = 0

    def starts_well(self) -> bool:
        """Whether the file begins as W&B's do. Raises OSError."""
        with open_file(self.path) as file:
            return file.read(4) == b":W&B"

    def records(self) -> Iterator[bytes]:
        """The complete new records as bytes. Raises OSError. What is cut off (a killed run) ends it quietly."""
        with open_file(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            while self._at < size:
                room = BLOCK - self._at % BLOCK
                file.seek(self._at)
                block = file.read(room)
                used = 0
                while used + 7 <= len(block):
                    crc, length, kind = struct.unpack_from("<IHB", block, used)
                    piece = block[used + 7 : used + 7 + length]
                    if len(piece) < length or kind == 0 or crc != zlib.crc32(piece, zlib.crc32(bytes([kind]))):
                        break
                    used += 7 + length
                    self._at += 7 + length
                    whole = self._piece(kind, piece)
                    if whole is not None:
                        yield whole
                rest = room - used
                if rest >= 7 or len(block) < room:
                    if self._at + rest >= size:
                        # Half a record, or zeros where a network disk has not written yet.
                        return
                    # Blocks behind it are there, so this one is damaged.
                    self._pieces = None
                # No record begins in the last six bytes of a block.
                self._at += rest

    def _piece(self, kind: int, piece: bytes) -> bytes | None:
        """The record that ends with the piece, or None."""
        if kind == _FULL:
            self._pieces = None
            return piece
        if kind == _FIRST:
            self._pieces, self._length = [piece], len(piece)
        elif self._pieces is not None and kind in (_MIDDLE, _LAST):
            self._pieces.append(piece)
            self._length += len(piece)
            if self._length > MOST_RECORD:
                # A table, of which nothing is recorded here.
                self._pieces = None
            elif kind == _LAST:
                whole, self._pieces = b"".join(self._pieces), None
                return whole
        return None


def parts(record: bytes) -> Iterator[tuple[int, Any]]:
    """(field, message) of a record. Raises one of DAMAGE."""
    return ((number, value) for number, wire, value in _fields(record) if wire == 2)


def first(message: bytes, number: int, wire: int = 0) -> Any:
    """The message's first field of that number and wire type; None without one. Raises one of DAMAGE."""
    return next((value for n, w, value in _fields(message) if n == number and w == wire), None)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def load(raw: Any, most: int = MOST_CONTAINERS) -> Any:
    """JSON, or None for what is none."""
    try:
        return loads(raw, most)
    except ValueError:
        return None


def _item(message: bytes) -> tuple[list[str], Any]:
    """(the nested key's parts, value) of a HistoryItem, ConfigItem, SummaryItem or StatsItem."""
    key, nested, value = "", [], None
    for number, wire, raw in _fields(message):
        if number == 1 and wire == 2:
            key = _text(raw)
        elif number == 2 and wire == 2:
            nested.append(_text(raw))
        elif number == 4 and wire == 0:
            value = bool(raw)
        elif number == 5 and wire == 0:
            value = (raw >> 1) ^ -(raw & 1)
        elif number == 6 and wire == 1:
            value = struct.unpack("<d", raw)[0]
        elif number == 7 and wire == 2:
            value = _text(raw)
        elif number in (8, 16) and wire == 2:
            value = load(raw)
    return (
        [key] if key else [*nested[: DEPTH - 1], ".".join(nested[DEPTH - 1 :])] if nested[DEPTH:] else nested
    ), value


def items(message: bytes, field: int = 1) -> dict[str, Any]:
    """The items of a ConfigRecord, SummaryRecord or HistoryRecord (field 1), or of a StatsRecord (3), nested as they
    were logged. Raises one of DAMAGE."""
    found: dict[str, Any] = {}
    for number, wire, value in _fields(message):
        if number == field and wire == 2:
            path, one = _item(value)
            place = found
            for name in path[:-1]:
                inner = place.get(name)
                if not isinstance(inner, dict):
                    inner = place[name] = {}
                place = inner
            if path:
                place[path[-1]] = one
    return found


def history(message: bytes) -> dict[str, Any]:
    """A HistoryRecord as a row, its own count of calls in `_step`. Raises one of DAMAGE."""
    row = items(message)
    step = first(message, 2, 2)
    if step is not None:
        row.setdefault("_step", first(step, 1) or 0)
    return row


def run_of(message: bytes) -> dict[str, Any]:
    """A RunRecord: id, project, group, name, notes, host, tags, config, started (Unix seconds), commit. Raises one of
    DAMAGE."""
    texts = {1: "id", 3: "project", 6: "group", 8: "name", 9: "notes", 13: "host"}
    run: dict[str, Any] = {"config": {}}
    for number, wire, value in _fields(message):
        if number in texts and wire == 2:
            run[texts[number]] = _text(value)
        elif number == 10 and wire == 2:
            run.setdefault("tags", []).append(_text(value))
        elif number == 4 and wire == 2:
            run["config"].update(items(value))
        elif number == 17 and wire == 2:
            run["started"] = first(value, 1)
        elif number == 21 and wire == 2:
            commit = first(value, 2, 2)
            run["commit"] = None if commit is None else _text(commit)
    return run


def exit_code(message: bytes) -> int:
    """The code of a RunExitRecord; one of 0 is not written at all. Raises one of DAMAGE."""
    return first(message, 1) or 0


def flat(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of a row, nested keys joined by points; a picture or a table stays one value."""
    for key, value in row.items():
        if isinstance(value, dict) and "_type" not in value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value


def number(value: Any) -> float | None:
    """A number of W&B's, whose JSON writes what is no number as a word; None for anything else."""
    if isinstance(value, str):
        return _WORDS.get(value)
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def step_of(row: dict[str, Any]) -> int | None:
    """The row's step: the trainer's own where it logs one, else W&B's; None without either."""
    values = dict(flat(row))
    return next((step for step in (_whole(values.get(name)) for name in (*_STEPS, "_step")) if step is not None), None)


def values_of(row: dict[str, Any]) -> dict[str, float]:
    """The row's numbers by name, without W&B's own and without the step."""
    named = ((key, number(value)) for key, value in flat(row) if not key.startswith("_") and key not in _STEPS)
    return {key: value for key, value in named if value is not None}


def epoch_of(values: dict[str, float]) -> float | None:
    """The epoch among a row's values."""
    epoch = values.get("epoch", values.get("train/epoch"))
    return epoch if epoch is not None and math.isfinite(epoch) and epoch >= 0 else None


def time_of(row: dict[str, Any]) -> float | None:
    """When the row was logged, as a Unix time in seconds."""
    stamp = row.get("_timestamp")
    if isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or stamp <= 0:
        return None
    return stamp / 1000 if stamp > 1e11 else stamp


def settings_of(config: Any) -> dict[str, Any]:
    """A configuration without W&B's own entries; `{"value": …}` around values, as files have it, taken off."""
    plain = {}
    for key, value in config.items() if isinstance(config, dict) else ():
        if key.startswith("_") or key == "wandb_version":
            continue
        plain[key] = (
            value["value"]
            if isinstance(value, dict) and "value" in value and set(value) <= {"value", "desc"}
            else value
        )
    return plain
