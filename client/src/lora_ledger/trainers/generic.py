"""A trainer nobody here knows: only what is plainly visible is recorded."""

import re
from pathlib import Path

SAVED = (".safetensors", ".ckpt", ".pt")


class Saved:
    """What a file in the output folder is: kind (final, checkpoint, state, sample), and where in training it belongs."""

    def __init__(self, kind, epoch=None, step=None, group=None):
        self.kind = kind
        self.epoch = epoch
        self.step = step
        self.group = group


class Generic:
    """Knows the output folder only where the command line names it."""

    name = None
    bar_desc = None
    bar_loss = ("avr_loss", "loss", "train_loss", "step_loss")
    loss_tag = None
    success_marker = None

    def __init__(self, command, cwd, output_dir=None):
        self.command = command
        self.cwd = Path(cwd)
        self._output = output_dir

    def path(self, value):
        """A path as the trainer would see it from its working folder."""
        return self.cwd / Path(str(value)).expanduser()

    def output_folder(self):
        """Where weights will appear, or None."""
        return self.path(self._output) if self._output else None

    def log_folder(self):
        """Where TensorBoard event files will appear, or None."""
        return None

    def scan(self):
        """(path, Saved) of each weight file in the output folder now."""
        folder = self.output_folder()
        try:
            names = sorted(folder.iterdir()) if folder else []
        except OSError:
            return []
        found = []
        for path in names:
            saved = self.classify(path.name) if path.suffix in SAVED else None
            if saved:
                found.append((path, saved))
        return found

    def classify(self, name):
        """What the file of that name is, or None when it is none of this run's."""
        stem = name.rsplit(".", 1)[0]
        step = re.search(r"[-_.]step[-_]?(\d+)$", stem)
        if step:
            return Saved("checkpoint", step=int(step[1]))
        if re.search(r"[-_](?:epoch)?\d{2,}$", stem):
            return Saved("checkpoint")
        return Saved("final")

    def epoch_line(self, line):
        """(epoch, total epochs) when the line announces an epoch, else None."""
        return None

    def resume_step(self):
        """(step, source) that the trainer goes on from; (None, None) when that cannot be known."""
        return None, None

    def dataset_folders(self):
        """[(folder, repeats, name, caption extension), …] of the training data."""
        return []

    def extra_configs(self):
        """Further configuration files that belong to the run."""
        return []

    def task_name(self):
        """A name for the run when nothing else gives one."""
        for argument in self.command:
            if argument.endswith(".py"):
                return Path(argument).stem
        return Path(self.command[0]).name if self.command else "run"
