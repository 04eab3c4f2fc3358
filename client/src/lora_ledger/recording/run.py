"""`lora-ledger run`: starts a trainer that knows nothing about the ledger, and has it recorded."""

from __future__ import annotations

import argparse
import os
from typing import Any, Callable

from ..core import terminal, withhold
from ..core.language import join_texts, t
from ..core.settings import Settings
from ..trainers import Generic, recognise
from ..trainers.launch import fault_of, find_config
from . import trackers, wandb_mode
from .config_file import read_config
from .process import Process, shell_code
from .recorder import Recorder
from .stopping import Stopping
from .supervision import Launch, Supervision, from_step_of, readers_of
from .watch import Watch

# So long a trainer waits for the number of its run, which its own tracker needs to log into it.
NUMBER_SECONDS = 30.0


class RunCommand:
    """One run from launch to exit code. `options` are those of `lora-ledger run`; `extra` are fields to register
    with."""

    def __init__(
        self,
        settings: Settings,
        options: argparse.Namespace,
        command: list[str],
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.options = options
        self.command = command
        self.extra = extra or {}
        self.stopping = Stopping(options.stop_grace)
        self._trainer: Generic | None = None
        self._supervision: Supervision | None = None

    @property
    def process(self) -> Process | None:
        """The trainer's process, once it was started."""
        return self.stopping.process

    @property
    def recorder(self) -> Recorder | None:
        """The record, once the trainer was started."""
        return self._supervision.recorder if self._supervision else None

    @property
    def trainer(self) -> Generic | None:
        """The trainer, once it was recognised; another one once a wrapping command has started it."""
        return self._supervision.trainer if self._supervision else self._trainer

    def run(self) -> int:
        """Runs the trainer and returns the exit code to end with."""
        environment = self._environment()
        config_path = self.options.config or find_config(self.command)
        config, text = read_config(config_path)
        fault = fault_of(text or "", config_path) if config_path else None
        if fault:
            terminal.warn(t("no setting is read from {config_path}: {fault}", config_path=config_path, fault=fault))
        trainer = recognise(self.command, text, os.getcwd(), self.options.output_dir, self.options.table)
        launch = Launch(self.options, self.command, trainer, self.extra)
        launch.config_path, launch.config, launch.text = config_path, config, text or ""
        launch.environment = environment
        self._trainer = trainer
        launch.wandb_offline = wandb_mode.offline(self.options.wandb, environment, trainer)
        if launch.wandb_offline:
            environment["WANDB_MODE"] = "offline"
        try:
            watch = Watch(trainer, self.options.upload_state)
            readers = readers_of(trainer, self.stopping, launch)
            resumed_at, from_step = trainer.resume_step()[0] or 0, from_step_of(self.options, trainer)
        except Exception as error:
            # Settings that nobody expects keep no trainer from starting.
            terminal.trouble(error)
            self._trainer = launch.trainer = trainer = Generic(self.command, launch.cwd, self.options.output_dir)
            watch = Watch(trainer, self.options.upload_state)
            readers = readers_of(trainer, self.stopping, launch)
            resumed_at, from_step = 0, self.options.from_step

        def supervise() -> Supervision:
            supervision = Supervision(self.settings, launch, self.stopping, watch, readers, resumed_at, from_step)
            self._supervision = supervision
            return supervision

        # Signals that come while the trainer is being started wait for it.
        self.stopping.catch_signals()
        self._join_trackers(environment, supervise)
        try:
            process = Process(self.command, self._feed, environment)
        except FileNotFoundError:
            return self._unstarted(127, t("{command}: there is no such command", command=self.command[0]))
        except OSError as error:
            return self._unstarted(
                126, t("{command} cannot be started: {error}", command=self.command[0], error=error.strerror)
            )
        self.stopping.process = process
        supervision = self._supervision or supervise()
        supervision.run(process)
        return shell_code(process.returncode or 0)

    def _unstarted(self, code: int, why: str) -> int:
        terminal.warn(why)
        if self._supervision:
            # Registered already, for the sake of the number.
            self._supervision.recorder.finish("failed", exit_code=code, failure_reason="error", error_message=why)
            self._supervision.recorder.flush()
        return code

    def _join_trackers(self, environment: dict[str, str], supervise: Callable[[], Supervision]) -> None:
        """Gives the trainer the number of its run, and trackers that log to this ledger a token with it.

        Such a trainer starts once the run is registered; any other starts at once.
        """
        url, key = self.settings.url, self.settings.key
        claimed = self.options.claimed
        if claimed:
            environment[trackers.TASK] = str(claimed["task_id"])
        own = url and key and not self.options.not_own
        if own and self.options.trackers:
            trackers.point_here(environment, url or "")
        here = trackers.pointed_here(environment, url) if url else []
        if not here:
            return
        names = join_texts(", ", [one.name for one in here])
        if not own:
            terminal.warn(
                t("{names} cannot log into this run: another user's run gets no key of this box", names=names)
                if self.options.not_own
                else t("{names} cannot log into this run: LEDGER_KEY is not set", names=names)
            )
            return
        number = claimed["task_id"] if claimed else supervise().open_early(NUMBER_SECONDS)
        if number is None:
            terminal.warn(
                t(
                    "{names} cannot log into this run: the ledger has not registered it yet; training goes on",
                    names=names,
                )
            )
            return
        environment[trackers.TASK] = str(number)
        trackers.join(environment, key or "", here, number)

    def _feed(self, name: str, data: bytes) -> None:
        if self._supervision:
            self._supervision.feed(name, data)

    def _environment(self) -> dict[str, str]:
        """The trainer's environment. Which secrets are in it, or in its files, is known from here on."""
        options = self.options
        environment, kept = withhold.trainer_environment(not options.not_own, options.allow_secret)
        withhold.know({name: withhold.value_of(name) or "" for name in options.filled}, filled=True)
        withhold.know_environment(environment)
        if kept:
            terminal.notice(
                t(
                    "this is another user's run, so these variables are kept from the trainer: {kept}; `--allow-secret "
                    "NAME` gives it one",
                    kept=", ".join(kept),
                )
            )
        return environment
