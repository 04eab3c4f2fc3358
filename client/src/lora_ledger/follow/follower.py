"""Turns what a trainer prints and writes into points and progress."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from .bar import Bar, read_bar, read_desc
from .lines import SUMMARY, read_deepspeed, read_dict
from .reader import Reader
from .steps import Epochs, Offset, Seen, regular, whole
from .told import best_loss, epoch_of, is_rate, is_report, read_told

# torch's SummaryWriter flushes every 120 seconds: so long a line's loss waits for the exact one.
FILES_DELAY = 150.0
# So long after the first loss on the console, a file that would bring it better must have shown itself.
FIRST_FILE = 20.0
# A line without a step of its own takes the step of the bar that is drawn after it, within so many seconds.
BAR_FOLLOWS = 1.0
# A bar that lies further from the counted step than this means that lines were missed.
BAR_DRIFT = 50
# Where nothing says after how many steps a line comes, so many first lines wait, or for so many seconds, until their
# distance shows: a single bar may be read a step or two too early or too late, since it comes through another pipe.
EARLY_LINES = 6
EARLY_SECONDS = 3.0
# Dicts without a loss among them may be many.
MOST_EARLY = 100
# torchtune's bar says `1|10|Loss: 1.23`: the epoch, the step of the whole run, the loss.
_TUNE = re.compile(r"(\d{1,9})\|(\d{1,15})\|Loss: ")
# A bar of transformers' Trainer has no description; some who build on it name it.
_PLAIN = ("", "train", "training")
# Far above the number of series that a run may have.
MOST_SOURCES = 10_000
# Where epochs began, for points that come late.
MOST_EPOCHS = 1000


def ranks(readers: Sequence[Reader]) -> dict[str, int]:
    """{series: rank} of the loss in all readers, best first, as Points takes it."""
    names = [tag for reader in readers for tag in reader.loss_tags]
    return {name: rank for rank, name in reversed(list(enumerate(dict.fromkeys(names))))}


def first_hold(readers: Sequence[Reader]) -> float:
    """How long the console's loss waits at first: not at all where no file is likely to bring it."""
    return FIRST_FILE if any(getattr(reader, "is_likely", True) for reader in readers) else 0.0


class Follower:
    """Follows one trainer. `readers` read files, best first: each yields (time, step, series, value[, epoch]).

    `resumed_at` is the trainer's own step that it goes on from, `from_step` the task's.
    """

    def __init__(
        self,
        trainer: Any,
        points: Any,
        progress: dict[str, Any],
        from_step: int | None,
        readers: Sequence[Reader] = (),
        resumed_at: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.points = points
        self.progress = progress
        self.started = threading.Event()
        self.seen = Seen()
        self._clock = clock
        self.follow(trainer, readers, from_step, resumed_at)
        self._bar_point = None
        self._epochs = []
        self._outer = None
        self._first_loss = None
        # Set once a loss came whose step nobody knows: from then on, reports are kept by time alone.
        self.by_time = False
        self._newest_time = 0
        # The undescribed bar of transformers' Trainer: (step, total), and the dicts that wait for their step.
        self._plain = None
        self._waiting = []
        self._last_line = None
        # First dicts that wait until the distance between two of them is known: (values, when, drawn step).
        self._early = []
        self._early_since = None
        self._guard = threading.Lock()

    def follow(self, trainer: Any, readers: Sequence[Reader], from_step: int | None, resumed_at: int) -> None:
        """Takes what is known of the trainer; once more where a wrapping command has only now started it."""
        self.trainer = trainer
        self.readers = list(readers)
        self._epoch_steps = Epochs()
        self._from_step = from_step
        self._bar_offset = Offset(from_step)
        self._offsets = [Offset(from_step) for _ in self.readers]
        self._line_offset = Offset(from_step)
        self._gave = [False for _ in self.readers]
        # Which reader brought a series first: of what two files tell, one is recorded.
        self._sources: dict[str, int] = {}
        self._last_dict = self._start = resumed_at
        self._every = trainer.logging_steps()

    def line(self, line: str, whole_line: bool = True) -> None:
        """Takes a line or a state of a bar; with `whole_line` false, what stands there so far of either."""
        bar = read_bar(line) if "%|" in line else None
        told = self.trainer.line_values(line) if whole_line or bar else None
        if told is not None:
            # A bar is read once as it stands there without its end, and again with it.
            if told and line != self._last_line:
                self._last_line = line
                self._tell(dict(told))
        else:
            self._read(line, bar, whole_line)
        if bar is None:
            self._says(line)

    def _read(self, line: str, bar: Bar | None, whole_line: bool) -> None:
        """Reads a line by the rules that hold for any trainer."""
        if bar is not None:
            self._bar(bar)
        values = read_dict(line) if line.endswith("}") else None
        if values is not None:
            if line != self._last_line:
                self._last_line = line
                self._dict(values)
        elif bar is None and whole_line and ("oss" in line or "OSS" in line):
            values = self._told(line)
            if values:
                self._tell(values)

    def _says(self, line: str) -> None:
        """Looks for what a line says of the run's end and its epochs."""
        if self.trainer.says_success(line):
            self.seen.marker = True
        for marker in self.trainer.stop_markers:
            if marker in line:
                self.seen.stopped = line.strip()[:300]
        epoch = self.trainer.epoch_line(line.strip())
        if epoch:
            step = self.progress.get("step") or 0
            self._epochs.append((step, epoch[0]))
            del self._epochs[:-MOST_EPOCHS]
            self.progress["epoch"], self.progress["total_epochs"] = epoch

    def _told(self, line: str) -> dict[str, float] | None:
        """The values of a line by rules that hold for any trainer."""
        report = read_deepspeed(line)
        if report is not None:
            return {"step": report[0], "loss": report[1]}
        values = read_told(line)
        if values and "epoch" in values:
            step, total = int(values["step"]), whole(values.pop("total", None))
            values["step"], total = self._epoch_steps.count(
                step, total, values["epoch"], whole(values.get("total_epochs"))
            )
            if total:
                values["total"] = total
        return values

    def _bar(self, bar: Bar) -> None:
        if not bar.values and self.trainer.bar_desc in (None, "") and (bar.desc or "").lower() in _PLAIN:
            self._plain_bar(bar)
            return
        if self.trainer.outer_bar and bar.desc == self.trainer.outer_bar:
            self._outer = bar.step, bar.total
            self.progress["epoch"], self.progress["total_epochs"] = bar.step, bar.total
            return
        if self.trainer.bar_desc is None:
            self._any_bar(bar)
            return
        if bar.desc != self.trainer.bar_desc:
            return
        name = next((name for name in self.trainer.bar_loss if name in bar.values), None)
        if name is None and bar.step == 0:
            return
        own, total = bar.step, bar.total
        eta = bar.eta
        if self._outer:
            own, total = own + self._outer[0] * total, total * self._outer[1]
            eta = None
        self._bar_at(own, total, eta, name, bar.values)

    def _any_bar(self, bar: Bar) -> None:
        """A bar of a trainer that nobody knows: one that tells a training loss is the steps'."""
        desc = bar.desc or ""
        values = {**read_desc(desc), **bar.values}
        name = best_loss(values, self.trainer.bar_loss)
        if name is None or is_report(desc):
            return
        own, total, (epoch, epochs) = bar.step, bar.total, epoch_of(desc)
        tune = _TUNE.match(desc)
        if tune:
            epoch, own, epochs = int(tune[1]), int(tune[2]), whole(self.trainer.setting("epochs"))
            total = bar.total * epochs if epochs else None
        else:
            own, total = self._epoch_steps.count(own, total, epoch, epochs)
        if epoch is not None:
            self.progress["epoch"] = epoch
            if epochs:
                self.progress["total_epochs"] = epochs
        self._bar_at(own, total, bar.eta if total == bar.total else None, name, values)

    def _bar_at(self, own: int, total: int | None, eta: float | None, name: str | None, values: dict[str, Any]) -> None:
        """Takes the steps' bar at the trainer's own step; `name` is its loss, or None where it shows none."""
        self.started.set()
        known = name is not None or self._bar_offset.value is not None
        step = self._bar_offset.step(own) if known else own
        self._progress(step, total + (self._bar_offset.value or 0) if total else None, eta)
        if name is None:
            return
        self._lost()
        if self._bar_point and self._bar_point[0] != step:
            self._give_bar()
        # tqdm shows a new step with the old loss first: only the last state of a step counts.
        rates = {other: value for other, value in values.items() if other != name and is_rate(other)}
        self._bar_point = (step, values[name], time.time(), self.progress.get("epoch"), rates)

    def _give_bar(self) -> None:
        if self._bar_point:
            step, loss, when, epoch, rates = self._bar_point
            self.points.loss(step, loss, when, epoch, more=rates)
            self._bar_point = None

    def _progress(self, step: int, total: int | None, eta: float | None = None) -> None:
        self.seen.step, self.seen.total = step, total
        self.progress.update(
            step=step,
            total_steps=total or None,
            percent=round(100 * step / total, 2) if total else None,
            eta_sec=eta,
        )

    def _lost(self) -> None:
        """Notes when the console first told a loss."""
        self.started.set()
        if self._first_loss is None:
            self._first_loss = self._clock()

    def _plain_bar(self, bar: Bar) -> None:
        total = self.trainer.total_steps() if self.trainer.bar_desc == "" else None
        if total is None:
            # Evaluation draws bars of the same form within: the first one is training's.
            total = self._plain[1] if self._plain else bar.total
        if bar.total != total or bar.step < (self._plain[0] if self._plain else 0):
            return
        with self._guard:
            self._plain = bar.step, bar.total
        # A trainer that nobody knows is followed by such a bar only once it has printed a dict with a loss.
        if bar.step and (self.trainer.bar_desc == "" or self._first_loss is not None):
            self.started.set()
            step = self._line_offset.step(bar.step)
            self._progress(step, bar.total + (self._line_offset.value or 0), bar.eta)
        self._settle()

    def _dict(self, values: dict[str, Any]) -> None:
        if "step" in values:
            self._tell(values)
            return
        with self._guard:
            self._waiting.append((values, self._clock(), time.time()))
        if "loss" in values:
            self._lost()
        if len(self._waiting) > 1:
            self._settle(keep=1)

    def _tell(self, values: dict[str, Any]) -> None:
        """Takes the values of a line that tells its own step; those of one that does not take the bar's."""
        own = whole(values.pop("step", None))
        if own is None:
            values.pop("total", None)
            if values:
                self._dict(values)
            return
        epoch, epochs = values.pop("epoch", None), whole(values.pop("total_epochs", None))
        self._last_dict = max(self._last_dict, own)
        step = self._line_offset.step(own)
        total = whole(values.pop("total", None)) or self.trainer.total_steps() or 0
        offset = self._line_offset.value or 0
        known = self.progress.get("total_steps") or 0
        self._progress(step, total + offset if total >= own else known if known >= step else None)
        if epoch is not None:
            self.progress["epoch"] = epoch
            if epochs:
                self.progress["total_epochs"] = epochs
        self._put(step, values, time.time(), epoch)

    def _put(self, step: int, values: dict[str, Any], when: float | None, epoch: float | None) -> None:
        loss = values.pop("loss", None)
        if loss is not None:
            self._lost()
            self.points.loss(step, loss, when, epoch, self.points.LINE)
        more = {name: value for name, value in values.items() if not name.endswith(SUMMARY)}
        if more:
            self.points.put(step, more, when, epoch)

    def _settle(self, keep: int = 0) -> None:
        """Gives the dicts that wait, but for the last `keep`, their step."""
        with self._guard:
            ready, self._waiting = (
                self._waiting[: len(self._waiting) - keep],
                self._waiting[len(self._waiting) - keep :],
            )
            for values, _, when in ready:
                drawn = self._plain[0] if self._plain else None
                if self._every is None and drawn is not None:
                    self._early.append((values, when, drawn))
                    self._early_since = self._early_since or self._clock()
                    losses = sum("loss" in values for values, *_ in self._early)
                    if losses >= EARLY_LINES or len(self._early) >= MOST_EARLY:
                        self._settle_early()
                else:
                    self._give(values, when, drawn)

    def _settle_early(self) -> None:
        """Gives the first dicts their steps, once enough of them have come."""
        early, self._early = self._early, []
        bars = [drawn for values, _, drawn in early if "loss" in values]
        epochs = [values.get("epoch") for values, *_ in early if "loss" in values]
        first, every = regular(bars, self._start, epochs)
        # 0: they come at no regular distance, so each has its bar's step.
        self._every = every or 0
        for values, when, drawn in early:
            self._give(values, when, first if first is not None and "loss" in values else drawn)
            first = None if "loss" in values else first

    def _give(self, values: dict[str, Any], when: float | None, drawn: int | None) -> None:
        own = self._step_of_dict(values, drawn)
        epoch = values.pop("epoch", None)
        if epoch is not None:
            self.progress["epoch"] = epoch
        if own is None:
            self._put(self._time_key(when), values, when, epoch)
            return
        step = self._line_offset.step(own) if own else own
        self._put(step, values, when, epoch)
        self.progress["step"] = max(self.progress.get("step") or 0, step)
        if self.seen.step is None or self._plain is None:
            self.seen.step = self.progress["step"]

    def _time_key(self, when: float | None) -> int:
        """Where a report whose step nobody knows is kept: its Unix time in seconds, each one later than the last.

        The ledger keeps points by a whole number; `unstepped` in the progress says that these are no steps.
        """
        if not self.by_time:
            self.by_time = self.progress["unstepped"] = True
        self._newest_time = max(self._newest_time + 1, int(when or time.time()))
        return self._newest_time

    def place(self) -> int:
        """Where a measurement of the machine is kept now: at the newest step, or the newest time where there are no
        steps."""
        return self._newest_time if self.by_time else self.progress.get("step") or 0

    def _step_of_dict(self, values: dict[str, Any], drawn: int | None) -> int | None:
        """The trainer's own step of a dict: the bar's, set right by the known distance between two dicts; None where
        neither is known."""
        every = self._every
        if self.by_time or (drawn is None and every is None and self._last_dict == self._start):
            return None
        if "loss" not in values:
            return drawn or self._last_dict
        # The next multiple: the first line may have come at step 1 (logging_first_step).
        following = (self._last_dict // (every or 1) + 1) * (every or 1)
        if drawn is None or (every and abs(drawn - following) < max(2 * every, BAR_DRIFT)):
            # Counting is exact; the bar comes through another pipe and may be read some steps early or late.
            step = 1 if drawn == 1 and not self._last_dict else following
        elif every:
            step = max(following, round(drawn / every) * every)
        else:
            step = max(self._last_dict + 1, drawn)
        if self._plain and self._plain[1] > self._last_dict:
            step = min(step, self._plain[1])
        self._last_dict = max(step, self._last_dict)
        return step

    def poll(self, final: bool = False) -> None:
        """Reads what the files have got since the last call."""
        if self._waiting and (final or self._clock() - self._waiting[0][1] > BAR_FOLLOWS):
            self._settle()
        if self._early and (final or self._clock() - (self._early_since or 0.0) > EARLY_SECONDS):
            with self._guard:
                self._settle_early()
        for index, reader in enumerate(self.readers):
            offset = self._offsets[index]
            for when, step, tag, value, *epoch in reader.read(final):
                if tag.startswith(("hparam", "_hparams_")) or not self._is_source(index, tag):
                    continue
                self._gave[index] = True
                self.started.set()
                step = offset.step(step) if step > 0 or offset.value is not None else step
                if not tag.startswith("loss/epoch"):
                    self.progress["step"] = max(self.progress.get("step") or 0, step)
                if epoch and epoch[0] is not None:
                    epoch = self.progress["epoch"] = epoch[0]
                else:
                    epoch = self._epoch_of(step)
                if self._first_loss is not None and getattr(reader, "counts_calls", False):
                    # Steps that are none of the trainer's: the loss on the console has those.
                    self.points.put(step, {tag: value}, when, epoch)
                else:
                    self.points.add(tag, step, value, when or time.time(), epoch)
            total = getattr(reader, "total", None)
            if total:
                self._progress(self.progress.get("step") or 0, total + (offset.value or 0))
        self._set_hold()

    def _is_source(self, index: int, tag: str) -> bool:
        """Whether the series is taken from that reader."""
        if len(self._sources) < MOST_SOURCES:
            self._sources.setdefault(tag, index)
        return self._sources.get(tag) == index

    def _set_hold(self) -> None:
        """How long the console's loss waits: not at all once it is clear that no file brings it."""
        delays = [getattr(reader, "delay", FILES_DELAY) for reader in self.readers if getattr(reader, "files", None)]
        if not first_hold(self.readers) and not delays:
            self.points.hold = 0.0
        elif delays:
            self.points.hold = max(delays)
        elif any(self._gave):
            self.points.hold = FIRST_FILE
        elif self._first_loss is not None and self._clock() - self._first_loss > FIRST_FILE:
            self.points.hold = 0.0

    def _epoch_of(self, step: int) -> float | None:
        for start, epoch in reversed(self._epochs):
            if step > start:
                return epoch
        return self._epochs[0][1] if self._epochs else None

    def history(self, rows: Iterable[Sequence[Any]]) -> None:
        """Takes what a checkpoint's file says of a run that told no loss otherwise: [(step, epoch, {name: value}),
        …]."""
        for step, epoch, values in rows:
            if step > max(self._from_step or 0, self._start):
                self.points.put(step, values, epoch=epoch)

    def end(self) -> None:
        """The last reading, after the trainer ended."""
        self.poll(final=True)
        self._give_bar()
        if self._outer and self.trainer.outer_bar:
            # The steps' bar of the last epoch is cleared before the outer one is full.
            self.seen.step, self.seen.total = self._outer

    @property
    def offset(self) -> int:
        """How far the trainer's own steps lie behind the task's."""
        offsets = [self._bar_offset, self._line_offset, *self._offsets]
        return next((offset.value for offset in offsets if offset.value), 0)
