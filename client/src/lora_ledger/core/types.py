"""Types that many modules name, and how parts of JSON are taken whose kind nobody has checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Union, cast

# A path as open() takes it.
StrPath = Union[str, "os.PathLike[str]"]


def as_object(value: Any) -> dict[str, Any] | None:
    """The value where it is a JSON object, else None."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """The value where it is a JSON list, else None."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def section(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of that name in a JSON object; empty where it is none."""
    return as_object(value.get(name)) or {}
