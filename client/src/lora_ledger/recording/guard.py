"""Ends a run by itself once its loss is lost: NaN or infinite so many times in a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Callable

from ..core.language import t

# The ledger's bound of `guard.over` (src/runs/fields.ts).
MOST_OVER = 1_000_000
# The series that is the loss, the best name first: lossNames of src/metrics/read.ts.
LOSS_NAMES = ("loss", "loss/average", "loss/current", "train/loss", "train_loss")


def read_guard(value: Any) -> int | None:
    """How many lost losses in a row end the run, of a guard as the ledger keeps it ({"nan": "stop", "over": 5}), a
    number of them, or True for one. None: there is no guard. Raises ValueError for anything else."""
    if value is None or value is False:
        return None
    over = 1 if value is True else value
    if isinstance(value, Mapping):
        if value.get("nan") != "stop" or set(value) - {"nan", "over"}:
            raise ValueError(t("{value!r} is no guard; write {{'nan': 'stop', 'over': 5}}", value=value))
        over = value.get("over", 1)
    if type(over) is not int or not 1 <= over <= MOST_OVER:
        raise ValueError(t("a guard counts 1 to {most} losses in a row, not {over!r}", most=MOST_OVER, over=over))
    return over


class Guard:
    """Counts the losses in a row that are NaN or infinite, and calls `on_lost(why)` once, at the `over`-th of them.

    Several values of one step count once; a finite loss begins the count anew. Call it under one lock.
    """

    def __init__(self, over: int, on_lost: Callable[[str], None]) -> None:
        self.over = over
        self.on_lost = on_lost
        self.lost = False
        self._steps: set[int] = set()
        self._from = 0
        # Of the series seen so far, the place of the best among the names: the others do not count.
        self._best = len(LOSS_NAMES) - 1

    def see(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Takes the values that a step has got."""
        if self.lost:
            return
        for place, name in enumerate(LOSS_NAMES[: self._best + 1]):
            if name in metrics:
                self._best = place
                self._count(step, metrics[name])
                return

    def _count(self, step: int, value: Any) -> None:
        if isinstance(value, int) or math.isfinite(float(value)):
            self._steps.clear()
            return
        if not self._steps:
            self._from = step
        self._steps.add(step)
        if len(self._steps) < self.over:
            return
        self.lost = True
        self.on_lost(
            t("the loss was NaN or infinite at step {step}: its guard ended the run", step=step)
            if self.over == 1
            else t(
                "the loss was NaN or infinite {over} times in a row, from step {step} on: its guard ended the run",
                over=self.over,
                step=self._from,
            )
        )
