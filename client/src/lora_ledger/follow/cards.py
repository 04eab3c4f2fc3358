"""What every reader of GPUs gives: cards with their facts and their load, of the ones that this process may use."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from typing import Any, TypedDict

from ..core.reading import output

# More than any machine has.
MOST_CARDS = 64
# Longer than any of the tools takes on a machine that is busy.
TIMEOUT = 10.0
# Their whole output is a few kB for each card.
MOST_BYTES = 1_000_000
# In the order in which they are recorded.
LOADS = ("util", "mem_mb", "power_w", "temp_c")


class Card(TypedDict):
    """A GPU: its number, name, memory in MiB and driver, and its load now: percent, MiB, watts, °C. None: unknown."""

    index: int
    name: str
    memory_mb: float | None
    driver: str | None
    util: float | None
    mem_mb: float | None
    power_w: float | None
    temp_c: float | None


def card(index: int, name: str) -> Card:
    """A card of which nothing else is known."""
    return {
        "index": index,
        "name": name,
        "memory_mb": None,
        "driver": None,
        "util": None,
        "mem_mb": None,
        "power_w": None,
        "temp_c": None,
    }


def load(found: Card) -> dict[str, float]:
    """The part of a card that is measured again and again, without what is unknown."""
    values = {"util": found["util"], "mem_mb": found["mem_mb"], "power_w": found["power_w"], "temp_c": found["temp_c"]}
    return {name: value for name, value in values.items() if value is not None}


def run(tool: str, *arguments: str) -> str | None:
    """A tool's standard output; None where it is missing, fails, hangs, or prints far more than it should."""
    path = shutil.which(tool)
    return output([path, *arguments], TIMEOUT, MOST_BYTES) if path else None


def number(value: Any) -> float | None:
    """The number that a text begins with (`41 C`, `97`), or that a JSON value is; None of `N/A`, `[Unknown Error]`,
    and of what no card can measure."""
    if isinstance(value, str):
        found = re.match(r"\s*(-?\d+(?:\.\d+)?)(?![\d.])", value[:40])
        value = float(found[1]) if found else None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and 0 <= value < 1e9 else None


def chosen(named: str | None, names: Sequence[Sequence[str]]) -> list[int]:
    """Which cards a variable such as CUDA_VISIBLE_DEVICES leaves, as positions in `names` (each card's own names).

    A name may be cut short while it stays unique. As for CUDA, a name that no card has ends the list, and an empty
    list leaves none.
    """
    if named is None:
        return list(range(len(names)))
    found: list[int] = []
    for part in named.split(","):
        word = part.strip().lower()
        if not word:
            break
        if word.isdigit():
            matching = [at for at, own in enumerate(names) if word in own]
        else:
            matching = [at for at, own in enumerate(names) if any(name.lower().startswith(word) for name in own)]
        if len(matching) != 1 or matching[0] in found:
            break
        found += matching
    return sorted(found)
