"""Turns what a trainer prints and writes into points and progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from .bar import Bar, read_bar
from .lines import SUMMARY, read_deepspeed, read_dict
from .reader import Reader

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
# Where epochs began, for points that come late.
MOST_EPOCHS = 1000


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


def regular(bars: list[int], start: int) -> tuple[int, int] | tuple[None, None]:
    """(the first line's step, the distance between two lines) that fit the bars drawn around the first lines of a run
    that goes on from step `start`; (None, None) where the lines come at no regular distance.

    The first line may come at step 1 (transformers' logging_first_step).
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
        if error <= max(2, distance // 4) and (best is None or error < best[0]):
            best = error, steps[0], distance
    return best[1:] if best else (None, None)


class Seen:
    """What a run has shown of its end: the last step and the total, a final file, a success line, a line of
    stopping."""

    def __init__(self) -> None:
        self.step: int | None = None
        self.total: int | None = None
        self.final = False
        self.marker = False
        self.stopped: str | None = None


def ranks(readers: Sequence[Reader]) -> dict[str, int]:
    """{series: rank} of the loss in all readers, best first, as Points takes it."""
    names = [tag for reader in readers for tag in reader.loss_tags]
    return {name: rank for rank, name in reversed(list(enumerate(names)))}


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
        self._from_step = from_step
        self._bar_offset = Offset(from_step)
        self._offsets = [Offset(from_step) for _ in self.readers]
        self._line_offset = Offset(from_step)
        self._gave = [False for _ in self.readers]
        self._last_dict = self._start = resumed_at
        self._every = trainer.logging_steps()

    def line(self, line: str) -> None:
        """Takes a line or a state of a bar."""
        bar = read_bar(line)
        if bar is not None:
            self._bar(bar)
        if bar is None or line.endswith("}"):
            values = read_dict(line)
            # A line is read once as it stands there without its end, and again with it.
            if values is not None and line != self._last_line:
                self._last_line = line
                self._dict(values)
        if bar is not None:
            return
        report = read_deepspeed(line)
        if report is not None:
            self._report(*report)
        if any(marker in line for marker in self.trainer.success_markers):
            self.seen.marker = True
        elif any(marker in line for marker in self.trainer.stop_markers):
            self.seen.stopped = line.strip()[:300]
        epoch = self.trainer.epoch_line(line.strip())
        if epoch:
            step = self.progress.get("step") or 0
            self._epochs.append((step, epoch[0]))
            del self._epochs[:-MOST_EPOCHS]
            self.progress["epoch"], self.progress["total_epochs"] = epoch

    def _bar(self, bar: Bar) -> None:
        if not bar.desc and not bar.values and self.trainer.bar_desc in (None, ""):
            self._plain_bar(bar)
            return
        if self.trainer.outer_bar and bar.desc == self.trainer.outer_bar:
            self._outer = bar.step, bar.total
            self.progress["epoch"], self.progress["total_epochs"] = bar.step, bar.total
            return
        if self.trainer.bar_desc is not None and bar.desc != self.trainer.bar_desc:
            return
        loss = next((bar.values[name] for name in self.trainer.bar_loss if name in bar.values), None)
        if loss is None and (self.trainer.bar_desc is None or bar.step == 0):
            return
        own, total = bar.step, bar.total
        eta = bar.eta
        if self._outer:
            own, total = own + self._outer[0] * total, total * self._outer[1]
            eta = None
        self.started.set()
        known = loss is not None or self._bar_offset.value is not None
        step = self._bar_offset.step(own) if known else own
        self._progress(step, total + (self._bar_offset.value or 0), eta)
        if loss is None:
            return
        self._lost()
        if self._bar_point and self._bar_point[0] != step:
            self.points.loss(*self._bar_point)
        # tqdm shows a new step with the old loss first: only the last state of a step counts.
        self._bar_point = (step, loss, time.time(), self.progress.get("epoch"))

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
        total = self.trainer.total_steps()
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
        with self._guard:
            self._waiting.append((values, self._clock(), time.time()))
        if "loss" in values:
            self._lost()
        if len(self._waiting) > 1:
            self._settle(keep=1)

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
        first, every = regular(bars, self._start)
        # 0: they come at no regular distance, so each has its bar's step.
        self._every = every or 0
        for values, when, drawn in early:
            self._give(values, when, first if first is not None and "loss" in values else drawn)
            first = None if "loss" in values else first

    def _give(self, values: dict[str, Any], when: float | None, drawn: int | None) -> None:
        own = self._step_of_dict(values, drawn)
        step = self._line_offset.step(own) if own else own
        epoch = values.pop("epoch", None)
        if epoch is not None:
            self.progress["epoch"] = epoch
        loss = values.pop("loss", None)
        if loss is not None:
            self.points.loss(step, loss, when, epoch, self.points.LINE)
        more = {name: value for name, value in values.items() if not name.endswith(SUMMARY)}
        if more:
            self.points.put(step, more, when, epoch)
        self.progress["step"] = max(self.progress.get("step") or 0, step)
        if self.seen.step is None or self._plain is None:
            self.seen.step = self.progress["step"]

    def _step_of_dict(self, values: dict[str, Any], drawn: int | None) -> int:
        """The trainer's own step of a dict: the bar's, set right by the known distance between two dicts."""
        every = self._every
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

    def _report(self, own: int, loss: float) -> None:
        self._lost()
        step = self._line_offset.step(own)
        self.points.loss(step, loss, time.time(), self.progress.get("epoch"), self.points.LINE)
        total = self.trainer.total_steps()
        self._progress(step, total + (self._line_offset.value or 0) if total else None)

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
                if tag.startswith(("hparam", "_hparams_")):
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
                self.points.add(tag, step, value, when or time.time(), epoch)
            total = getattr(reader, "total", None)
            if total:
                self._progress(self.progress.get("step") or 0, total + (offset.value or 0))
        self._set_hold()

    def _set_hold(self) -> None:
        """How long the console's loss waits: not at all once it is clear that no file brings it."""
        if not self.readers:
            self.points.hold = 0.0
        elif any(getattr(reader, "files", None) for reader in self.readers):
            self.points.hold = FILES_DELAY
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
        if self._bar_point:
            self.points.loss(*self._bar_point)
            self._bar_point = None
        if self._outer and self.trainer.outer_bar:
            # The steps' bar of the last epoch is cleared before the outer one is full.
            self.seen.step, self.seen.total = self._outer

    @property
    def offset(self) -> int:
        """How far the trainer's own steps lie behind the task's."""
        offsets = [self._bar_offset, self._line_offset, *self._offsets]
        return next((offset.value for offset in offsets if offset.value), 0)
