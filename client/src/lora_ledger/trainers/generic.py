"""A trainer nobody here knows: only what is plainly visible is recorded.

Also the base of all trainers: what the client asks of each, with answers that hold for most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.language import t
from ..core.types import StrPath
from ..follow.reader import Reader
from . import files
from .datasets import Source
from .files import SAVED, Saved
from .launch import Launch

__all__ = ["Generic", "SAVED", "Saved"]


class Generic:
    """Knows the output folder where the command line or the client's `--output-dir` names it."""

    name = None
    # The progress bar's description (None: any) and the names of the loss in its postfix, best first.
    bar_desc = None
    bar_loss = ("avr_loss", "loss", "train_loss", "step_loss")
    # A bar around the steps' bar that counts epochs.
    outer_bar = None
    # Series of event files that are the loss, best first.
    loss_tags = ("loss/current", "train/loss", "loss/train_step", "train_loss", "loss", "loss/average")
    # Lines that say that the run came to its end; that it was stopped or failed, whatever the exit code.
    success_markers = ()
    stop_markers = ()
    # Whether an interrupted run saves to the final file and ends with exit code 0: then a final file proves nothing.
    saves_when_interrupted = False
    # Whether the newest checkpoint of a complete run is its final weights.
    last_is_final = False

    def __init__(
        self, command: Sequence[str], cwd: StrPath, output_dir: str | None = None, launch: Launch | None = None
    ) -> None:
        self.launch = launch or Launch(command, None, cwd, output_dir)
        self.command = command
        self.cwd = Path(cwd)
        self.expects_weights = bool(output_dir)
        self._output = output_dir or self.launch.options.get("output_dir") or self.launch.document.get("output_dir")

    def path(self, value: Any) -> Path:
        """A path as the trainer would see it from its working folder."""
        try:
            # No name on a disk holds a NUL.
            return self.cwd / Path(str(value).replace("\0", "")).expanduser()
        except RuntimeError:
            # `~name` of a user that there is not.
            return self.cwd / str(value)

    def setting(self, name: str) -> Any:
        """A setting of the command line, else of the file's top level."""
        for source in (self.launch.options, self.launch.assignments, self.launch.document):
            if source.get(name) not in (None, ""):
                return source[name]
        return None

    def output_folder(self) -> Path | None:
        """Where weights will appear, or None."""
        return self.path(self._output) if isinstance(self._output, str) and self._output else None

    def folders(self) -> list[Path]:
        """All folders in which this run's results appear."""
        folder = self.output_folder()
        return [folder] if folder else []

    def log_folder(self) -> Path | None:
        """Where TensorBoard event files will appear, or None."""
        value = self.setting("logging_dir")
        if isinstance(value, str):
            return self.path(value)
        return self.output_folder()

    def readers(self) -> list[Reader]:
        """Readers of the loss that are better than event files, best first; made before the trainer starts."""
        return []

    def scan(self) -> list[tuple[Path, Saved]]:
        """[(path, Saved), …] of each file in the output folder that belongs to the record, as it is now."""
        folder = self.output_folder()
        if not folder:
            return []
        found = (self.scan_flat(folder), files.adapter_folders(folder), files.run_folders(folder))
        return list({path: saved for part in found for path, saved in part}.items())

    def scan_flat(self, folder: Path) -> list[tuple[Path, Saved]]:
        """The weight files that lie in the folder itself."""
        found = []
        for path in files.entries(folder):
            saved = self.classify(path.name) if path.suffix in SAVED else None
            if saved and not (saved.kind == "final" and path.name in files.TRAINING_STATE):
                found.append((path, saved))
        return found

    def classify(self, name: str) -> Saved | None:
        """What the file of that name is, or None when it is none of this run's."""
        stem = name.rsplit(".", 1)[0]
        step = re.search(r"[-_.]step[-_]?(\d+)$", stem)
        if step:
            return Saved("checkpoint", step=int(step[1]))
        if re.search(r"[-_](?:epoch)?\d{2,}$", stem):
            return Saved("checkpoint")
        return Saved("final")

    def epoch_line(self, line: str) -> tuple[int, int] | None:
        """(epoch, total epochs) when the line announces an epoch, else None."""
        return None

    def says_success(self, line: str) -> bool:
        """Whether the line says that training came to its end."""
        for marker in self.success_markers:
            if marker in line:
                return True
        return False

    def line_values(self, line: str) -> dict[str, float] | None:
        """The values that one line or state of a bar tells, or None where the trainer's own forms are none of it.

        `step` and `total` are the trainer's own count, `loss` the training loss, `epoch` and `total_epochs` where the
        run stands; any other name is a series of its own. The follower asks this before its general rules; `{}` keeps
        it from asking those.
        """
        return None

    def resume_step(self) -> tuple[int | None, str | None]:
        """(step, source) that the trainer goes on from; (None, None) when that cannot be known."""
        return None, None

    def total_steps(self) -> int | None:
        """The steps that the settings ask for, or None."""
        for name in ("max_train_steps", "max_steps", "train_steps", "train_iters", "iters"):
            value = str(self.setting(name) or "")
            if re.fullmatch("[1-9][0-9]{0,14}", value):
                return int(value)
        return None

    def logging_steps(self) -> int | None:
        """After how many steps the trainer prints a line with the loss; None when unknown."""
        value = self.setting("logging_steps")
        try:
            steps = float(value)
        except (TypeError, ValueError):
            return None
        return int(steps) if steps >= 1 else None

    def fault(self, seen: Any) -> str | None:
        """Why a run that ended with exit code 0 is no success, or None when it is one. `seen` is a run's Seen."""
        if seen.stopped:
            return t("the trainer ended with exit code 0, but said: {stopped}", stopped=seen.stopped)
        if seen.marker:
            return None
        complete = seen.total and seen.step is not None and seen.step >= seen.total
        if self.saves_when_interrupted and seen.total and seen.step is not None and not complete:
            return t("the trainer ended with exit code 0 at step {step} of {total}", step=seen.step, total=seen.total)
        # What an unknown trainer calls its last file is not known, so there all steps are enough.
        if seen.final or not self.expects_weights or (complete and self.name is None):
            return None
        where = t(" after all {total} steps", total=seen.total) if complete else ""
        return t("the trainer ended with exit code 0{where} but wrote no final weights", where=where)

    def datasets(self) -> list[Source]:
        """The training data's folders and files, as `datasets.Source`."""
        return []

    def dataset_file(self) -> Path | None:
        """The separate configuration file that lists the training data, or None."""
        return None

    def extra_configs(self) -> list[Path]:
        """Further files that the settings name and that a repeat needs, such as prompts."""
        return []

    def task_name(self) -> str:
        """A name for the run when nothing else gives one."""
        for argument in self.command:
            if argument.endswith(".py"):
                return Path(argument).stem
        return Path(self.command[0]).name if self.command else "run"
