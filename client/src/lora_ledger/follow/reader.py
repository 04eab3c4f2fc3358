"""What reads a trainer's files while they grow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Reader(Protocol):
    """Reads one file or folder; `loss_tags` are the series in it that tell the loss, best first."""

    @property
    def loss_tags(self) -> Sequence[str]:
        """Names of series, as `read` gives them."""
        ...

    def read(self, final: bool = False) -> Iterable[Sequence[Any]]:
        """(time, step, series, value[, epoch]) of what is new; `final` says that nothing more will be written."""
        ...
