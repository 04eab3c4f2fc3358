"""Collects metric values until a heartbeat takes them, as the contract's log entries."""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timezone
from typing import Any, Callable

from ..core import terminal
from ..core.language import t
from ..core.text import metric_name
from ..follow.machine import is_system
from .guard import Guard

# Steps beyond this, and series beyond so many, are none of a trainer's: the ledger takes no heartbeat that holds them.
MOST_STEP = 9_999_999_999
MOST_SERIES = 500
# Figures of the machine have a bound of their own: those of 32 GPUs take no place from the user's.
MOST_FIGURES = 200


def iso(seconds: float) -> str:
    """A Unix time as ISO 8601 UTC with milliseconds."""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError, ValueError):
        moment = None
    if moment is None or moment.year < 1970:
        moment = datetime.now(timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def age(text: str) -> float:
    """Seconds since an ISO 8601 UTC time by this machine's clock; infinite for what is none."""
    try:
        then = datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return math.inf
    return (datetime.now(timezone.utc) - then).total_seconds()


def number(value: Any) -> int | float | str:
    """A value as JSON can carry it: non-finite numbers become "NaN", "Infinity", "-Infinity"."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


class Points:
    """Rows by step. Values of one series at one step are averaged, as they come with gradient accumulation.

    `loss` itself is the best series of `loss_tag` (a series' name, or {name: rank} with 0 the best) that has the step;
    where none has, the value that lines and bars tell, which is held back for `hold` seconds first while a better
    source may still bring it.
    """

    LIMIT = 50_000
    # A heartbeat stays well below the ledger's limit of 1 MB.
    VALUES = 10_000
    # What a progress bar shows ranks behind what a line says, and both behind files.
    LINE, BAR = 8, 9
    # A row waits so long for further series of its step, where their files have fallen silent.
    SILENCE = 60.0

    def waiting(self) -> int:
        """How many rows have come together."""
        return len(self._rows)

    def __init__(
        self,
        loss_tag: str | dict[str, int] | None = "loss/current",
        hold: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loss_tags = loss_tag if isinstance(loss_tag, dict) else {loss_tag: 0}
        self.hold = hold
        self.held_any = False
        # Ends the run where its loss is lost; None: nothing does.
        self.guard: Guard | None = None
        self._clock = clock
        self._lock = threading.Lock()
        # Counts what has come, so that nobody looks twice at the same.
        self.changes = 0
        self._rows = {}
        self._open = {}
        self._held = {}
        # By rank, the furthest step that has its loss from there.
        self._covered = [-1] * (self.BAR + 1)
        self._newest = -1
        self._before = -1
        # The series' own names, and those that the ledger takes.
        self._names = {"loss": "loss"}
        self._figures = 0

    def _named(self, name: str) -> str | None:
        """The name by which the ledger takes the series; None beyond the bound on their number."""
        known = self._names.get(name)
        if known is None and is_system(name):
            if self._figures < MOST_FIGURES:
                self._figures += 1
                known = self._names[name] = name
        elif known is None and len(self._names) - self._figures < MOST_SERIES:
            known = self._names[name] = metric_name(name)
        elif known is None:
            terminal.warn_once(
                "series",
                t(
                    "there are more than {most_series} different metrics; further ones are left out",
                    most_series=MOST_SERIES,
                ),
            )
        return known

    def put(self, step: int, metrics: Any, when: float | None = None, epoch: float | None = None) -> None:
        """Adds values to the step's row as they are."""
        with self._lock:
            self._set(step, metrics, when, epoch)

    def _set(self, step: int, metrics: Any, when: float | None, epoch: float | None, is_seen: bool = False) -> None:
        named = ((self._named(name), value) for name, value in metrics.items())
        metrics = {name: value for name, value in named if name is not None}
        if not metrics or not 0 <= step <= MOST_STEP:
            return
        self.changes += 1
        if self.guard and not is_seen:
            self.guard.see(step, metrics)
        row = self._rows.get(step)
        if row is None:
            if len(self._rows) >= self.LIMIT:
                terminal.warn_once("points", t("metrics come faster than they can be kept; some are left out"))
                return
            row = self._rows[step] = [epoch, when if when is not None else time.time(), {}, self._clock()]
        elif row[0] is None:
            row[0] = epoch
        row[2].update(metrics)

    def add(self, series: str, step: int, value: Any, when: float | None, epoch: float | None = None) -> None:
        """Adds one value of a series.

        A step's row is given out once two newer steps have shown, so that all its series are in one row.
        """
        if not 0 <= step <= MOST_STEP:
            return
        with self._lock:
            if self._named(series) is None:
                return
            self.changes += 1
            if step > self._newest:
                self._before, self._newest = self._newest, step
                for name in [n for n, current in self._open.items() if current[0] < self._before]:
                    self._close(name)
            current = self._open.get(series)
            if current and current[0] != step:
                self._close(series)
                current = None
            if current is None:
                self._open[series] = [step, value, 1, when, epoch]
            else:
                current[1] += value
                current[2] += 1

    def _close(self, series: str) -> None:
        step, total, count, when, epoch = self._open.pop(series)
        mean = total / count
        rank = self.loss_tags.get(series)
        metrics = {series: mean}
        if rank is not None:
            self.held_any = True
            if self._is_covered(step, rank):
                if series == "loss":
                    return
            else:
                metrics["loss"] = mean
            self._covered[rank] = max(self._covered[rank], step)
        self._set(step, metrics, when, epoch)

    def _is_covered(self, step: int, rank: int) -> bool:
        return any(covered >= step for covered in self._covered[:rank])

    def loss(
        self,
        step: int,
        value: Any,
        when: float | None,
        epoch: float | None = None,
        rank: int = BAR,
        more: dict[str, Any] | None = None,
    ) -> None:
        """The loss that a line (rank LINE) or the progress bar (rank BAR) shows after the given step, with `more` that
        it shows, which counts only where nothing better tells the loss."""
        if not 0 <= step <= MOST_STEP:
            return
        with self._lock:
            self.held_any = True
            self.changes += 1
            if not self._is_covered(step, rank) and len(self._held) < self.LIMIT:
                # Where no file may bring a better one, this is the loss: its guard waits for no heartbeat. `drain`
                # would show it once more, behind newer ones.
                is_seen = self.guard is not None and self.hold <= 0
                self._held[step, rank] = (value, when, epoch, self._clock(), more or {}, is_seen)
                if self.guard and is_seen:
                    self.guard.see(step, {"loss": value})

    def drain(self, limit: int = 1000, final: bool = False) -> list[dict[str, Any]]:
        """At most `limit` log entries in order of step; `final` also gives what is still open or held back."""
        with self._lock:
            if final:
                for series in list(self._open):
                    self._close(series)
            now = self._clock()
            for step, rank in sorted(self._held):
                value, when, epoch, since, more, is_seen = self._held[step, rank]
                if self._is_covered(step, rank):
                    del self._held[step, rank]
                elif final or now - since >= self.hold:
                    del self._held[step, rank]
                    if rank == self.LINE:
                        self._covered[rank] = max(self._covered[rank], step)
                    self._set(step, {**more, "loss": value}, when, epoch, is_seen)
            entries = []
            values = 0
            patience = max(self.hold, self.SILENCE)
            ready = sorted(
                step
                for step, row in self._rows.items()
                if final or self._newest < 0 or step < self._before or now - row[3] >= patience
            )
            for step in ready[:limit]:
                values += len(self._rows[step][2])
                if entries and values > self.VALUES:
                    break
                epoch, when, metrics, _ = self._rows.pop(step)
                entries.append(_entry(step, epoch, when, metrics))
            return entries

    def snapshot(self) -> list[dict[str, Any]]:
        """What `drain` would give if the run ended now: at most VALUES values. It takes none."""
        with self._lock:
            twin = Points(None, self.hold, self._clock)
            twin.loss_tags = self.loss_tags
            twin._rows = {
                step: [epoch, when, {**metrics}, at] for step, (epoch, when, metrics, at) in self._rows.items()
            }
            twin._open = {series: [*current] for series, current in self._open.items()}
            twin._held = {**self._held}
            twin._covered = [*self._covered]
            twin._newest, twin._before = self._newest, self._before
            twin._names, twin._figures = {**self._names}, self._figures
        return twin.drain(self.LIMIT, final=True)


def _entry(step: int, epoch: float | None, when: float, metrics: dict[str, Any]) -> dict[str, Any]:
    entry = {"step": step, "time": iso(when), "metrics": {k: number(v) for k, v in metrics.items()}}
    if epoch is not None:
        entry["epoch"] = epoch
    return entry
