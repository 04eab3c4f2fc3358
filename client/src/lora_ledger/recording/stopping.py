"""How a run is ended early: by Ctrl-C, by the cloud, by the ledger; and how its trainer is asked to end."""

from __future__ import annotations

import signal
import threading
from typing import Any

from ..core import terminal
from ..core.language import t
from .process import Process

# What Windows lacks.
KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)


class Stopping:
    """Knows why a run ends early, and asks its trainer to. `process` is set once the trainer was started."""

    def __init__(self, grace: float) -> None:
        # Seconds between two signals.
        self.grace = grace
        self.process: Process | None = None
        # Why, in words; None while nobody has cancelled the run.
        self.cancelled: str | None = None
        self.preempted = False
        self.superseded = False
        # Nobody waits any more for what is still to be sent.
        self.hurried = False
        self._interrupts = 0

    @property
    def early(self) -> bool:
        """Whether something has ended the run, or wants to."""
        return bool(self.cancelled or self.preempted or self.superseded)

    def catch_signals(self) -> None:
        """Takes over the signals that ask this process to end. Those that come before the trainer wait for it."""
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_terminate)
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            signal.signal(hangup, self._on_hangup)

    def _running(self) -> Process | None:
        process = self.process
        return process if process and (process.returncode is None or process.outlasting) else None

    def _on_interrupt(self, *_: Any) -> None:
        self._interrupts += 1
        process = self._running()
        if not process:
            self.hurried = self.process is not None
            return
        self.cancelled = t("interrupted by Ctrl-C")
        process.send(signal.SIGINT if self._interrupts == 1 else KILL)

    def _on_terminate(self, *_: Any) -> None:
        process = self._running()
        if not process:
            self.hurried = True
            return
        if not self.cancelled:
            self.preempted = True
        process.stop([signal.SIGTERM, KILL], self.grace)

    def _on_hangup(self, number: int, *_: Any) -> None:
        process = self._running()
        if process:
            self.cancelled = self.cancelled or t("the terminal was closed")
            process.send(number)

    def cancel(self) -> None:
        """The ledger asks for the run's end."""
        self._cancel(t("cancelled in the ledger"), t("the ledger asks to cancel this run; stopping the trainer"))

    def end_lost(self, why: str) -> None:
        """The run's guard asks for its end."""
        if not self.early:
            self._cancel(why, t("{why}; stopping the trainer", why=why))

    def _cancel(self, why: str, notice: str) -> None:
        process = self._running()
        if process:
            self.cancelled = why
            terminal.notice(notice)
            process.stop([signal.SIGINT, signal.SIGTERM, KILL], self.grace)

    def give_up(self) -> None:
        """Another attempt holds the task."""
        self.superseded = True
        process = self._running()
        if process:
            process.stop([signal.SIGINT, signal.SIGTERM, KILL], self.grace)
