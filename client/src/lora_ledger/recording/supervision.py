"""Accompanies a trainer that runs: what it prints, writes and saves, until all of its processes have ended."""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

from ..core import terminal
from ..core.journal import Upload
from ..core.language import t
from ..core.redact import redact_command
from ..core.settings import Settings
from ..follow.follower import Follower, first_hold, ranks
from ..follow.reader import Reader
from ..follow.state_json import read_history
from ..follow.tensorboard import EventFolder
from ..follow.wandb_runs import WandbRuns, folders_of
from ..trainers import Generic, datasets
from ..trainers.datasets import Source
from ..trainers.declared import Declared
from . import host, wandb_mode
from .config_file import read_config
from .console import Console
from .guard import Guard, read_guard
from .inner_trainer import Scout, wraps
from .machine_watch import MachineWatch, watch_machine
from .outcome import outcome_of
from .points import Points
from .process import Process
from .recorder import Recorder
from .stopping import Stopping
from .watch import Watch

DATASET_LIMIT = 512 * 1024
# So long is registering held back for a trainer that a wrapping script has yet to start.
SCOUT_SECONDS = 60.0
# The settings of a run that has none but those that its trainer gave W&B.
WANDB_CONFIG = "wandb-config.json"
# Between two looks for new event files.
LOOK_SECONDS = 1.0
# A trainer that forked and exited is followed until its processes end, or were silent for so long.
FORK_SILENCE = 300.0


class Launch:
    """What is known of a run before its trainer is started."""

    def __init__(
        self, options: argparse.Namespace, command: list[str], trainer: Generic, extra: dict[str, Any]
    ) -> None:
        self.options = options
        self.command = command
        self.trainer = trainer
        # Fields of the registration that the command line cannot give.
        self.extra = extra
        self.cwd = os.getcwd()
        self.config_path: str | None = None
        self.config: dict[str, Any] | None = None
        self.text = ""
        self.environment: dict[str, str] = {}
        self.wandb_offline = False


class Supervision:
    """One trainer from its start to its end. `run` takes it once it is started; its output comes by `feed`."""

    def __init__(
        self,
        settings: Settings,
        launch: Launch,
        stopping: Stopping,
        watch: Watch,
        readers: Sequence[Reader],
        resumed_at: int,
        from_step: int | None,
    ) -> None:
        self.options = launch.options
        self.command = launch.command
        self.cwd = launch.cwd
        self.trainer = launch.trainer
        self.config_path = launch.config_path
        self.config = launch.config
        self.extra = launch.extra
        self.wandb = next((reader for reader in readers if isinstance(reader, WandbRuns)), None)
        self.stopping = stopping
        self.watch = watch
        # The typed command, where that only wraps the one that trains.
        self.wrapper: list[str] | None = None
        self.begun = time.time()
        self._text = launch.text
        self._wandb_offline = launch.wandb_offline
        self._told_of_wandb = False
        self._machine: MachineWatch | None = None
        # Whether the registration was put together, and with settings.
        self._described = self._has_config = False
        self._opened = threading.Event()
        # Set once the trainer is known, or nothing is left to wait for.
        self._known = threading.Event()
        self._ended = threading.Event()
        self._from_step = from_step
        points = Points(ranks(readers), first_hold(readers))
        self.recorder = Recorder(settings, points)
        self.follower = Follower(self.trainer, points, self.recorder.progress, from_step, readers, resumed_at)
        self.console = Console(self.recorder.spool.folder / "console.log.gz", self.follower.line)
        self.recorder.tail = self.console.tail
        self.recorder.on_cancel = stopping.cancel
        self.recorder.on_superseded = stopping.give_up
        self.recorder.on_guarded = self._guard
        self._guard(self.options.stop_on_nan)
        self.scout: Scout | None = None

    def _guard(self, guard: Any) -> None:
        """Heeds a guard, unless the command line has one."""
        points = self.recorder.points
        try:
            over = read_guard(guard)
        except ValueError as error:
            terminal.warn(t("this run has no guard: {error}", error=error))
            return
        if over and points.guard is None:
            points.guard = Guard(over, self.stopping.end_lost)

    def feed(self, name: str, data: bytes) -> None:
        """Takes a chunk of the trainer's "stdout" or "stderr"."""
        self.console.feed(name, data)

    def open_early(self, seconds: float) -> int | None:
        """Registers the run before its trainer is started; its number, or None where the ledger gives none in time."""
        # A wrapping command's trainer is not there yet, so its settings come as a file.
        self._known.set()
        self._open()
        sender, recorder = self.recorder.sender, self.recorder
        deadline = time.monotonic() + seconds
        while recorder.task_id is None and time.monotonic() < deadline:
            if sender.ledger is None or sender.denied or sender.trouble or self.stopping.hurried:
                break
            time.sleep(0.05)
        return recorder.task_id

    def _open(self) -> None:
        if self._opened.is_set():
            return
        self._opened.set()
        resume = self.options.claimed
        if self.options.resume_task:
            resume = {
                "task_id": self.options.resume_task,
                "body": {"from_step": self._from_step} if self._from_step else {},
            }
        self.recorder.begin(self.describe, resume)

    def run(self, process: Process) -> None:
        """Records until the trainer has ended and what it has to say is sent, or given up on."""
        self.process = process
        process.start_reading()
        nothing_known = self.trainer.name is None and not self.config
        if nothing_known and wraps(self.command):
            self.scout = Scout(self.process.pid, self.command, self.options.output_dir, lambda p: read_config(p)[1])
        elif not (nothing_known and self.wandb and wandb_mode.is_named(self.trainer)):
            # Else its settings may be those that it gives W&B.
            self._known.set()
        self._open()
        self._add_configs()
        waiting: list[threading.Thread] = []
        for work in (self._follow, self._collect_datasets):
            thread = threading.Thread(target=work, name="ledger-follow", daemon=True)
            thread.start()
            waiting.append(thread)
        machine = self._machine = watch_machine(
            self.recorder, self.follower.place, lambda: self.trainer.output_folder()
        )
        while self.process.wait(1.0) is None:
            pass
        self.process.finish_reading()
        self._outlast()
        if machine:
            machine.stop()
        self._ended.set()
        self._known.set()
        for thread in waiting:
            thread.join(20.0)
        self._finish()

    def _finish(self) -> None:
        """Tells the ledger what became of the run, with the last of its files."""
        kept = self.console.close()
        self.follower.end()
        for item in self.watch.poll(ended=True):
            self._add_weight(item)
        self._take_wandb(ended=True)
        self.follower.seen.final = self.watch.found_final
        if not self.recorder.points.held_any:
            self._read_history()
        if kept:
            self.recorder.add_file(Upload(str(kept), "console.log.gz", "state", group="console"))
        code = self.process.returncode or 0
        outcome = outcome_of(code, self.stopping, self.trainer, self.console, self.follower.seen)
        if outcome["status"] == "success" and not self.watch.found_final and self._last_checkpoint_is_final():
            for item in self.watch.promote():
                self._add_weight(item)
        if not self.stopping.superseded:
            self.recorder.finish(**outcome)
        self.recorder.flush(lambda: self.stopping.hurried)
        if not self.stopping.superseded and self.recorder.task_id:
            terminal.notice(
                t("task {task_id}: {status}", task_id=self.recorder.task_id, status=outcome["status"])
                + (
                    t(" ({failure_reason})", failure_reason=outcome["failure_reason"])
                    if outcome.get("failure_reason")
                    else ""
                )
            )

    def _last_checkpoint_is_final(self) -> bool:
        """Whether the newest checkpoint is the run's result: its trainer says so, or it is of the very last step."""
        seen = self.follower.seen
        whole = seen.total and seen.step == seen.total
        steps = {item.step for item in self.watch.newest_checkpoint if item.kind == "checkpoint"}
        return self.trainer.last_is_final or bool(self.trainer.name is None and whole and steps == {seen.total})

    def _adopt(self, command: list[str], cwd: str, config_path: str | None, trainer: Generic) -> None:
        """Takes over what the scout found: the trainer that a wrapping command has started."""
        terminal.notice(
            t(
                "the command has started {task_name} ({name}); following that",
                task_name=trainer.task_name(),
                name=trainer.name,
            )
        )
        self.wrapper, self.command, self.cwd, self.trainer = self.command, command, cwd, trainer
        self.config_path = config_path
        self.config, _ = read_config(config_path)
        self.watch = Watch(trainer, self.options.upload_state, since=self.begun)
        readers = trainer_readers(trainer, self.stopping)
        if self.wandb:
            self.wandb.add_places([Path(cwd), *trainer.folders()], self.begun)
            self.wandb.loss_tags = trainer.loss_tags
            readers.append(self.wandb)
        points = self.recorder.points
        points.loss_tags = ranks(readers)
        points.hold = first_hold(readers)
        self.follower.follow(trainer, readers, from_step_of(self.options, trainer), trainer.resume_step()[0] or 0)
        self._known.set()
        self._add_configs(late=self._described)

    def _add_configs(self, late: bool = False) -> None:
        """Has the files stored that a repeat needs besides those that registering takes; `late`: has taken.

        None of another user's run: its configuration could name any file of this box.
        """
        if self.options.not_own:
            return
        scripts = [os.path.abspath(word) for word in self.wrapper or () if word.endswith((".sh", ".bash"))]
        large = self.config_path if late or not self.config else None
        for path in [*map(str, self.trainer.extra_configs()), _dataset_file(self.trainer)[1], large, *scripts]:
            if path and os.path.isfile(path):
                self.recorder.add_file(Upload(os.path.abspath(path), os.path.basename(path), "config"))

    def _outlast(self) -> None:
        """Goes on following the processes of a trainer that forked and exited without having come to its end."""
        if (
            self.process.returncode != 0
            or self.stopping.cancelled
            or self.stopping.preempted
            or not self.process.left_behind()
        ):
            return
        busy = self.process.quiet_seconds() < 3.0 and self.recorder.progress.get("step")
        if not busy and (self.watch.found_final or self.trainer.fault(self.follower.seen) is None):
            return
        terminal.notice(t("the command has ended, but processes that it started go on; following them until they end"))
        self.process.outlasting = True
        stopping = None
        while self.process.left_behind():
            if self.stopping.early:
                # Until the last of the signals has had its time; what survives that is out of reach.
                stopping = stopping or time.monotonic()
                if time.monotonic() - stopping > 2 * self.stopping.grace + 5.0:
                    break
            elif self.process.quiet_seconds() > FORK_SILENCE:
                terminal.warn(t("the processes left behind say nothing any more; the record ends here"))
                break
            time.sleep(0.2)
        self.process.outlasting = False
        self.process.finish_reading()

    def _read_history(self) -> None:
        """The loss of a run that told it nowhere else, from the newest checkpoint's trainer_state.json."""
        states = [
            (saved.step or 0, path)
            for path, saved in self.trainer.scan()
            if path.name == "trainer_state.json" and self.watch.is_new(path)
        ]
        if states:
            self.follower.history(read_history(max(states)[1]))

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self._known.wait(SCOUT_SECONDS)
        config, dataset_file = self.config or self._wandb_config(), _dataset_file(self.trainer)[0]
        self._has_config = config is not None
        self._described = True
        facts = host.facts(self.command, self.cwd)
        more = {k: v for k, v in facts.items() if k in ("gpu_info", "node_info", "cuda_version")}
        fields: dict[str, Any] = {"command": redact_command(self.command), **facts}
        if self.wrapper:
            fields["started_by"] = redact_command(self.wrapper)
        if config:
            fields["config"] = config
        if dataset_file:
            fields["dataset_file"] = dataset_file
        for name, value in (
            ("task_name", self.options.name),
            ("experiment_group", self.options.group),
            ("notes", self.options.notes),
            ("hourly_price", self.options.hourly_price),
            ("tags", self.options.tags or None),
            ("output_dir", self.options.output_dir),
            ("guard", {"nan": "stop", "over": self.options.stop_on_nan} if self.options.stop_on_nan else None),
        ):
            if value is not None:
                fields[name] = value
        if isinstance(self.trainer, Declared) and self.trainer.by_script:
            fields["trainer"] = self.trainer.name
        if "config" not in fields and "task_name" not in fields:
            fields["task_name"] = self.trainer.task_name()
        if self.options.hourly_price is not None:
            more["hourly_price"] = self.options.hourly_price
        return {**fields, **self.extra}, more

    def _follow(self) -> None:
        next_look = 0.0
        while not self._ended.wait(0.5):
            try:
                self._look_for_trainer()
                self.follower.poll()
                self._take_wandb()
                if time.monotonic() >= next_look:
                    for item in self.watch.poll():
                        self._add_weight(item)
                    next_look = time.monotonic() + 1.0
            except Exception as error:
                terminal.trouble(error)

    def _wandb_config(self) -> dict[str, Any] | None:
        """The settings that the trainer gave W&B, as registering takes them. Another user's stay here."""
        settings = self.wandb.settings() if self.wandb and not self.options.not_own else {}
        return {"text": json.dumps(settings, indent=1), "format": "json", "path": WANDB_CONFIG} if settings else None

    def _take_wandb(self, ended: bool = False) -> None:
        """Takes what a W&B run has besides its curves."""
        runs = self.wandb
        if not runs or not runs.files:
            return
        if not self._told_of_wandb:
            self._told_of_wandb = True
            folder = runs.files[0].parent
            terminal.notice(
                t("W&B writes to {folder}, offline, and its run is followed there", folder=folder)
                if self._wandb_offline
                else t("W&B writes to {folder}, and its run is followed there", folder=folder)
            )
        if runs.run and not self._known.is_set() and not self.scout:
            self._known.set()
        elif runs.run and self._described and not self._has_config:
            self._has_config = True
            self._keep_wandb_config()
        for one in runs.media():
            # Of a picture that the trainer also saves, that file is the sample.
            if not self.watch.found_samples:
                self._add_weight(Upload(str(one.path), one.name, "sample", step=one.step, prompt=one.caption))
        figures = runs.figures()
        if self._machine:
            figures = self._machine.not_measured(figures)
        self.recorder.points.put(self.follower.place(), figures, epoch=self.recorder.progress.get("epoch"))
        if ended:
            self.recorder.points.put(self.follower.place(), runs.only_in_summary())

    def _keep_wandb_config(self) -> None:
        """Has the settings stored as a file: the ledger reads settings when a run is registered, and never again."""
        config = self._wandb_config()
        if config:
            path = self.recorder.spool.folder / WANDB_CONFIG
            path.write_text(config["text"], "utf-8")
            self.recorder.add_file(Upload(str(path), WANDB_CONFIG, "config"))

    def _look_for_trainer(self) -> None:
        if not self.scout:
            return
        found = self.scout.look()
        if found:
            self._adopt(*found)
        if found or self.follower.started.is_set():
            # What trains without being known is followed by what it prints.
            self.scout = None
            self._known.set()

    def _add_weight(self, item: Upload) -> None:
        # A copy: the newest checkpoint comes here again, as the final file.
        if item.step is not None:
            item = replace(item, step=item.step + self.follower.offset)
        if self.options.not_own and str(item.prompt) not in self._text:
            # Read from a file of this box that another user's configuration names.
            item = replace(item, prompt=None)
        self.recorder.add_file(item)

    def _collect_datasets(self) -> None:
        """Once the first step shows: lora-scripts moves images into their folders at launch."""
        self._known.wait(SCOUT_SECONDS)
        deadline = time.monotonic() + 30.0
        while not self.follower.started.wait(0.2) and time.monotonic() < deadline and not self._ended.is_set():
            pass
        try:
            self.recorder.add_datasets(self._dataset_facts(self.trainer.datasets()))
        except Exception as error:
            terminal.trouble(error)

    def _dataset_facts(self, sources: list[Source]) -> list[dict[str, Any]]:
        if not self.options.not_own:
            return datasets.collect(sources, ended=self._ended)
        # A file of captions may be any file that another user's configuration names: its words stay here.
        facts = datasets.collect([source for source in sources if not source.is_file], ended=self._ended)
        listed = datasets.collect([source for source in sources if source.is_file], ended=self._ended)
        return facts + [{k: v for k, v in fact.items() if k != "tag_distribution"} for fact in listed]


def readers_of(trainer: Generic, stopping: Stopping, launch: Launch) -> list[Reader]:
    """What reads the loss from files, best first; made before the start, so that older runs' files are known.

    Only files of the process that `stopping` will know count.
    """
    readers = trainer_readers(trainer, stopping)
    if launch.environment.get("WANDB_MODE") != "disabled":
        places = folders_of(launch.environment, trainer.cwd, *trainer.folders(), trainer.log_folder())
        owned = _owned_by(stopping)
        readers.append(WandbRuns(places, owned, LOOK_SECONDS, trainer.loss_tags))
    return readers


def _owned_by(stopping: Stopping) -> Callable[[int], bool | None]:
    return lambda pid: stopping.process.owns(pid) if stopping.process else None


def trainer_readers(trainer: Generic, stopping: Stopping) -> list[Reader]:
    """Those of the trainer's own files."""
    readers = trainer.readers()
    logs = trainer.log_folder()
    if logs:
        readers.append(EventFolder(logs, _owned_by(stopping), LOOK_SECONDS, loss_tags=trainer.loss_tags))
    return readers


def from_step_of(options: argparse.Namespace, trainer: Generic) -> int | None:
    """The task's step that a resumed run goes on from; None where it is not resumed, or nobody knows."""
    if not (options.resume_task or options.claimed):
        return None
    if options.from_step is not None:
        return options.from_step
    step, source = trainer.resume_step()
    if step:
        terminal.notice(t("the curve goes on from step {step} ({source})", step=step, source=source))
    elif options.claimed:
        pass
    elif step == 0:
        terminal.notice(
            t(
                "the command resumes from no saved state, so the curve starts at step 0 again; --from-step says "
                "otherwise"
            )
        )
    else:
        terminal.notice(t("where the trainer goes on is not known; --from-step N says it"))
    return step


def _dataset_file(trainer: Generic) -> tuple[dict[str, Any] | None, Path | None]:
    """(what registering takes of the separate dataset file, the path where it is too large for that)."""
    path = trainer.dataset_file()
    try:
        if not path or not os.path.isfile(path):
            return None, None
        if os.path.getsize(path) > DATASET_LIMIT:
            return None, path
    except OSError:
        return None, None
    return read_config(path)[0], None
