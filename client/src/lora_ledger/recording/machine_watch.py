"""Samples the machine while a run is recorded: its figures become series of the run, a disk that fills up an alert."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from ..core import terminal
from ..core.language import t
from ..follow.gpu import Meter
from ..follow.machine import Machine

if TYPE_CHECKING:
    from .recorder import Recorder

# However short the heartbeat's interval is.
LEAST_SECONDS = 5.0


class MachineWatch:
    """Two threads that sample on the heartbeat's rhythm: a tool for GPUs that hangs holds back nothing else.

    `place()` is the step to keep figures at. The first come one interval after the start, and none before the first
    step: a later attempt's points count from its first one on.
    """

    def __init__(self, recorder: Recorder, place: Callable[[], int], output: Callable[[], Path | None]) -> None:
        self._recorder = recorder
        self._place = place
        self._output = output
        self._over = threading.Event()
        # What it counted until now is where the first rates begin.
        self._machine = Machine()
        self._meter = Meter()
        self._warned = False
        # What each thread measures, once it has shown that: names of figures.
        self._measured: dict[str, set[str]] = {}

    def not_measured(self, figures: dict[str, float]) -> dict[str, float]:
        """Those of another's figures that are not measured here; of GPUs all or none. None before the first sample."""
        gpus = self._measured.get("gpu")
        own = self._measured.get("sys")
        return {
            name: value
            for name, value in figures.items()
            if (gpus is not None and not gpus if name.startswith("gpu.") else own is not None and name not in own)
        }

    def start(self) -> None:
        """Begins to sample, in the background."""
        for name, work in (("ledger-machine", self._sample_machine), ("ledger-gpu", self._sample_gpus)):
            threading.Thread(target=self._repeat, args=(work,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Ends sampling, without waiting for a sample that is under way."""
        self._over.set()

    def _repeat(self, work: Callable[[], None]) -> None:
        last = time.monotonic()
        while not self._over.wait(min(1.0, LEAST_SECONDS / 3)):
            # Asked anew each time, as the heartbeat does.
            if time.monotonic() - last < max(LEAST_SECONDS, self._recorder.sender.interval):
                continue
            last = time.monotonic()
            try:
                work()
            except Exception as error:
                terminal.trouble(error)

    def _put(self, source: str, figures: dict[str, float]) -> None:
        step = self._place()
        self._measured[source] = self._measured.get(source, set()) | set(figures)
        if figures and step and not self._over.is_set():
            self._recorder.points.put(step, figures, epoch=self._recorder.progress.get("epoch"))

    def _sample_gpus(self) -> None:
        self._put("gpu", self._meter.sample())

    def _sample_machine(self) -> None:
        disk = self._recorder.disk
        output = disk.folder or self._output() or os.getcwd()
        self._put("sys", self._machine.sample(output, self._recorder.settings.spool))
        low = disk.look()
        # The key exists from the beginning, because another thread iterates over the dict for each heartbeat.
        self._recorder.progress["disk"] = low
        if low and not self._warned:
            self._warned = True
            terminal.warn(
                t(
                    "the disk of {folder} has {free} left, and the next checkpoint needs about {needed}: make room, "
                    "or the run fails when it saves",
                    folder=disk.folder,
                    free=terminal.size_text(low["free_bytes"]),
                    needed=terminal.size_text(low["needed_bytes"]),
                )
            )


def watch_machine(
    recorder: Recorder, place: Callable[[], int], output: Callable[[], Path | None]
) -> MachineWatch | None:
    """A MachineWatch that has begun to sample. Raises nothing: a fault costs figures of the machine, not the record."""
    watch = None
    try:
        watch = MachineWatch(recorder, place, output)
        watch.start()
    except Exception as error:
        terminal.trouble(error)
        terminal.warn(t("the figures of the machine are not recorded, or not all: {error}", error=error))
    return watch
