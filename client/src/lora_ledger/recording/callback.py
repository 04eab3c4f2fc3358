"""The callback that tells a run what transformers' Trainer does; TRL's and Unsloth's trainers are such Trainers.

transformers' CallbackHandler calls each event by its name (`getattr(callback, event)`), and asks for no base class.
Source: transformers trainer_callback.py, TrainerState and CallbackHandler.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..core import terminal
from ..core.language import t
from ..follow.lines import SUMMARY
from . import attach

if TYPE_CHECKING:
    from .track import Run


def _nothing(*_: Any, **__: Any) -> None:
    """An event that says nothing about the run."""


class Callback:
    """Reports a Trainer's training to a run; without `run` to the one that is open when training begins.

    Within `%%ledger` and `track()` Trainers get one by themselves; `Trainer(…, callbacks=[run.callback()])` names one.
    It raises nothing into training, and once its run has ended it does nothing.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._run = run
        self._process = os.getpid()
        # Added to a Trainer's steps: a second training within one run goes on behind the first.
        self._offset = 0
        self._last_step = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    def __deepcopy__(self, _memo: Any) -> Callback:
        return self

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # A copy for another process has no run.
        return Callback, ()

    def is_among(self, callbacks: Iterable[Any]) -> bool:
        """Whether one of a Trainer's callbacks reports to this run already."""
        return any(isinstance(one, Callback) and one._run in (None, self._run) for one in callbacks)

    def _active(self, state: Any) -> Run | None:
        run = self._run
        if run is None or run.ended or not getattr(state, "is_world_process_zero", True):
            return None
        if os.getpid() != self._process:
            terminal.warn_once(
                "forked",
                t(
                    "training runs in another process than the notebook, where its loss is not recorded; "
                    "put `lora-ledger run --` before a script instead"
                ),
            )
            return None
        return run

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Training begins: its settings are known from here on."""
        try:
            if self._run is None:
                current = attach.current()
                self._run = current._run if current else None
            run = self._active(state)
            if run is None:
                return
            step = int(getattr(state, "global_step", 0) or 0)
            self._offset = self._last_step if step < self._last_step else 0
            if self._offset:
                terminal.notice(
                    t("another training in the same run: its steps are counted on from {offset}", offset=self._offset)
                )
            run.training_begins(args, more.get("model"))
            self._progress(run, state)
            if run.guarded and getattr(args, "logging_nan_inf_filter", False):
                # The Trainer would log the average so far in place of each loss that the guard looks for.
                args.logging_nan_inf_filter = False
                terminal.notice(
                    t(
                        "logging_nan_inf_filter is off for this training, so that the run's guard sees losses that are "
                        "NaN or infinite"
                    )
                )
        except Exception as error:
            terminal.trouble(error)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A step is done. Stops the Trainer once somebody has cancelled the run."""
        try:
            run = self._active(state)
            if run is None:
                return
            self._progress(run, state)
            if run.cancel_requested:
                control.should_training_stop = True
        except Exception as error:
            terminal.trouble(error)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """Numbers of a step: loss, learning_rate, grad_norm, eval_loss, rewards …"""
        try:
            run = self._active(state)
            if run is None:
                return
            values: dict[str, float] = {}
            for name, value in dict(logs or {}).items():
                if name == "epoch" or str(name).endswith(SUMMARY):
                    continue
                try:
                    values[str(name)] = float(value)
                except (TypeError, ValueError):
                    continue
            self._progress(run, state)
            run.record(self._last_step, values, _number(getattr(state, "epoch", None)))
        except Exception as error:
            terminal.trouble(error)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint is written."""
        try:
            run = self._active(state)
            if run is not None:
                run.look_for_files()
        except Exception as error:
            terminal.trouble(error)

    on_train_end = on_save

    def _progress(self, run: Run, state: Any) -> None:
        step = self._offset + int(getattr(state, "global_step", 0) or 0)
        self._last_step = step
        total = int(getattr(state, "max_steps", 0) or 0)
        run.progress(
            step=step,
            total_steps=self._offset + total if total > 0 else None,
            epoch=_number(getattr(state, "epoch", None)),
            total_epochs=_number(getattr(state, "num_train_epochs", None)),
        )


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def make_callback(run: Run) -> Callback:
    """A callback for the run, which is a TrainerCallback too where transformers is loaded."""
    base = getattr(sys.modules.get(attach.MODULE), "TrainerCallback", None)
    made = type("Callback", (Callback, base), {}) if isinstance(base, type) else Callback
    return made(run)
