"""Facts and load of the machine's GPUs, from whichever tool knows them."""

from __future__ import annotations

import time
from typing import Callable

from . import gpu_amd, gpu_apple, gpu_ascend, gpu_nvidia
from .cards import Card, load

# A run trains on the GPUs of one maker: the first whose tool shows any.
READERS: dict[str, Callable[[], list[Card]]] = {
    "nvidia": gpu_nvidia.cards,
    "amd": gpu_amd.cards,
    "ascend": gpu_ascend.cards,
    "apple": gpu_apple.cards,
}
TOOLS = (gpu_nvidia.TOOL, *gpu_amd.TOOLS, gpu_ascend.TOOL)
_WITH_FACTS = {"amd": gpu_amd.with_facts, "apple": gpu_apple.with_facts}
# A reading that took a second is followed by so many seconds without one, so that it takes a hundredth of a core at
# most; a slow tool still gives a figure every few minutes.
REST, MOST_REST = 99.0, 300.0
# Seconds until a tool that failed is asked again; twice as long after each further failure.
PATIENCE, MOST_PATIENCE = 30.0, 3600.0


def read_gpus() -> list[Card]:
    """The GPUs that this process may use: number, name, memory, driver and load. Empty where no tool shows any."""
    for maker, read in READERS.items():
        found = read()
        if found:
            return _WITH_FACTS.get(maker, list)(found)
    return []


def read() -> dict[int, dict[str, float]]:
    """{number: {util, mem_mb, power_w, temp_c}} of the GPUs now, in percent, MiB, watts and °C; what is unknown is left
    out."""
    for reader in READERS.values():
        found = reader()
        if found:
            return {one["index"]: load(one) for one in found}
    return {}


def as_metrics(loads: dict[int, dict[str, float]]) -> dict[str, float]:
    """The load under the names by which it is recorded: gpu.0.util and so on."""
    return {f"gpu.{index}.{name}": value for index, one in loads.items() for name, value in one.items()}


def sample() -> dict[str, float]:
    """The load now as metrics."""
    return as_metrics(read())


class Meter:
    """Reads the load as often as is cheap, and ever less often from a tool that fails."""

    def __init__(
        self,
        reader: Callable[[], dict[int, dict[str, float]]] = read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = reader
        self._clock = clock
        self._next = float("-inf")
        self._failures = 0

    def sample(self) -> dict[str, float]:
        """The load as metrics; empty while it is too early to ask, and where nothing answers."""
        begun = self._clock()
        if begun < self._next:
            return {}
        metrics = as_metrics(self._read())
        took = self._clock() - begun
        if metrics:
            self._failures = 0
            rest = min(took * REST, MOST_REST)
        else:
            rest = min(PATIENCE * 2**self._failures, MOST_PATIENCE)
            # The exponent stays small: a run may take weeks.
            self._failures = min(self._failures + 1, 16)
        self._next = begun + took + rest
        return metrics
