"""Which step a report belongs to: after a resume, by the bars around it, and through epochs that count anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Offset:
    """Where one source's own step count stands in the task's: after a resume it may begin anew or go on."""

    def __init__(self, from_step: int | None) -> None:
        self.from_step = from_step or 0
        self.value = None

    def step(self, own: int) -> int:
        """The task's step for the source's own; its first step decides."""
        if self.value is None:
            self.value = 0 if own > self.from_step else self.from_step
        return own + self.value


def whole(value: Any) -> int | None:
    """A step or a number of steps as a whole number; None for what is none."""
    try:
        return int(value) if value >= 0 and value == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def evenly(epochs: list[float | None]) -> bool:
    """Whether reports come at even distances, by the epochs that they tell, which are rounded to hundredths."""
    known = [epoch for epoch in epochs if epoch is not None]
    gaps = [after - before for before, after in zip(known, known[1:])]
    return len(known) == len(epochs) and len(gaps) > 1 and min(gaps) > 0.05 and max(gaps) - min(gaps) < 0.025


def regular(bars: list[int], start: int, epochs: Sequence[float | None] = ()) -> tuple[int, int] | tuple[None, None]:
    """(the first line's step, the distance between two lines) that fit the bars drawn around the first lines of a run
    that goes on from step `start`; (None, None) where the lines come at no regular distance.

    The first line may come at step 1 (transformers' logging_first_step). Where the lines' `epochs` lie at even
    distances, the bars may be read later or earlier.
    """
    best = None
    for first_apart in (False, True):
        count = len(bars) - first_apart
        if count < 1 or (first_apart and len(bars) < 3):
            continue
        distance = max(1, round((bars[-1] - start) / count))
        steps = [start + distance * n for n in range(1, count + 1)]
        steps = [start + 1, *steps] if first_apart else steps
        error = max(abs(step - bar) for step, bar in zip(steps, bars))
        slack = distance // 2 if evenly(list(epochs[first_apart:])) else distance // 4
        if error <= max(2, slack) and (best is None or error < best[0]):
            best = error, steps[0], distance
    return best[1:] if best else (None, None)


class Epochs:
    """Counts the steps of bars or lines through, where they begin anew in each epoch.

    Which they do shows with the second epoch alone. Until then a total that stands beside an epoch may be the epoch's
    or the whole run's, and none is told.
    """

    def __init__(self) -> None:
        self._before = 0
        self._last: tuple[int, float] | None = None
        self._anew: bool | None = None

    def count(
        self, own: int, total: int | None, epoch: float | None, epochs: int | None = None
    ) -> tuple[int, int | None]:
        """(step, total) in the whole run for a report's own ones, its epoch, and the number of epochs if known."""
        if epoch is None:
            return own, total
        if self._last and epoch > self._last[1]:
            self._anew = own <= self._last[0]
            if self._anew:
                self._before += max(total or 0, self._last[0])
        self._last = own, epoch
        if self._anew is False or epochs == 1:
            return own, total
        if self._anew and total and epochs:
            return own + self._before, max(total * epochs, own + self._before)
        return own + self._before, None


class Seen:
    """What a run has shown of its end: the last step and the total, a final file, a success line, a line of
    stopping."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.total: int | None = None
        self.final = False
        self.marker = False
        self.stopped: str | None = None
