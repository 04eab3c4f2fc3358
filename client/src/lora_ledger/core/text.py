"""Text as every JSON reader and database takes it, whatever a console, a file name or a configuration holds.

Names on disk that are no UTF-8 come into Python as lone surrogates, and console output holds control characters; a
service may refuse either, or fail at it. What is journalled and what is sent passes `clean`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, cast

from .types import as_object

_SURROGATE = re.compile("[\ud800-\udfff]")
# Line ends and tabs belong into texts of several lines.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINE_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Fields that are one line each.
_LINES = {"filename", "task_name", "experiment_group", "group", "name", "source_path", "path"}
# Files that are kept byte for byte.
_FILES = {"config", "dataset_file"}
LONGEST_METRIC = 128
DEPTH = 60


def repaired(text: str) -> str:
    """The text with pairs of surrogates joined and lone ones replaced by U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def one_line(text: str) -> str:
    """The text without surrogates, control characters and line ends."""
    return _LINE_CONTROL.sub("\ufffd", repaired(text))


def storable_name(name: str) -> str:
    """A file's name as the ledger takes it: relative, with forward slashes and without control characters, at most 255
    UTF-16 units. On Linux a backslash may be part of a name, as trainers with settings of Windows leave it.
    """
    parts = one_line(name).replace("\ufffd", "_").replace("\\", "/").split("/")
    name = "/".join(part for part in parts if part not in ("", ".", ".."))
    if re.match("[A-Za-z]:", name):
        name = f"{name[0]}_{name[2:]}"
    while len(name.encode("utf-16-le")) > 2 * 255:
        name = name[1:].lstrip("/")
    return name or "file"


def clean(value: Any, within: str | None = None, depth: int = 0) -> Any:
    """A copy that JSON can carry: texts and names repaired, numbers finite, other types as numbers or texts.

    `within` is the name of the field that the value stands in; files that are kept byte for byte are only repaired.
    """
    if isinstance(value, str):
        if within in _FILES:
            return repaired(value)
        return one_line(value) if within in _LINES else _CONTROL.sub("\ufffd", repaired(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**1000) < value < 2**1000 else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth > DEPTH:
        return None
    inside = as_object(value)
    if inside is not None:
        names = [(_name(name), inner) for name, inner in inside.items()]
        return {name: clean(inner, within if within in _FILES else name, depth + 1) for name, inner in names}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [clean(inner, within, depth + 1) for inner in cast("Iterable[Any]", value)]
    return clean(_plain(value), within, depth + 1)


def _name(name: object) -> str:
    return one_line(name) if isinstance(name, str) else str(name)


def _plain(value: Any) -> Any:
    """A number out of numpy or torch as Python's own; anything else as its text."""
    try:
        return value.item()
    except Exception:
        # Whatever a foreign type raises: its text is all there is to say of it.
        return str(value)


def metric_name(name: str) -> str:
    """A series' name as the ledger takes it."""
    return re.sub(r'["\\]', "_", one_line(str(name))).replace("\ufffd", "_")[:LONGEST_METRIC] or "_"
