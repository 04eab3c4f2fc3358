"""kohya's sd-scripts, lora-scripts that drive them, and musubi-tuner, which share files and output.

Sources: sd-scripts library/train_util.py (file names, arguments) and train_network.py (progress line, log tags).
"""

import json
import re

from ..safetensors import read_metadata
from ..toml_reader import Unreadable, read_toml
from .generic import SAVED, Generic, Saved

_EPOCH = re.compile(r"^epoch (\d+)/(\d+)\s*$")
_FOLDER = re.compile(r"^(\d+)_(.+)$")
_SCRIPTS = re.compile(r"(?:^|[/\\])\w*train_network\w*\.py$")
_KEYS = (
    "network_module",
    "network_dim",
    "train_data_dir",
    "pretrained_model_name_or_path",
    "dataset_config",
    "dit",
)
_FLAGS = {"save_state", "skip_until_initial_step", "save_state_on_train_end"}


def _flatten(document):
    """Section names mean nothing to sd-scripts: every table's keys are arguments."""
    flat = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat.update(value)
        else:
            flat[name] = value
    return flat


def _arguments(command):
    """Options of the command line: `--name value`, `--name=value`, `--flag`."""
    options = {}
    name = None
    for argument in command:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            options[name] = value if equals else True
            if equals:
                name = None
        elif name:
            options[name] = argument
            name = None
    return options


class Kohya(Generic):
    """One sd-scripts run: its settings are the configuration file's, with the command line's over them."""

    name = "kohya"
    bar_desc = "steps"
    bar_loss = ("avr_loss", "loss")
    loss_tag = "loss/current"
    success_marker = "model saved."

    def __init__(self, command, cwd, options, output_dir=None):
        super().__init__(command, cwd, output_dir or options.get("output_dir") or None)
        self.options = options

    @classmethod
    def recognise(cls, command, config_text, cwd, output_dir=None):
        """A Kohya for the run, or None when it is no sd-scripts run."""
        document = {}
        if config_text is not None:
            try:
                document = _flatten(read_toml(config_text.lstrip("\ufeff")))
            except Unreadable:
                document = {}
        script = any(_SCRIPTS.search(argument) for argument in command)
        keys = sum(key in document for key in _KEYS)
        if not script and keys < 2:
            return None
        return cls(command, cwd, {**document, **_arguments(command)}, output_dir)

    def _text(self, name):
        value = self.options.get(name)
        return value if isinstance(value, str) and value else None

    def log_folder(self):
        value = self._text("logging_dir")
        return self.path(value) if value else None

    def _output_name(self):
        return self._text("output_name")

    def task_name(self):
        return self._output_name() or super().task_name()

    def classify(self, name):
        stem, dot, ending = name.rpartition(".")
        if f"{dot}{ending}" not in SAVED:
            return None
        named = self._output_name()
        if stem == (named or "last"):
            return Saved("final")
        rest = stem[len(named) + 1 :] if named and stem.startswith(f"{named}-") else stem if not named else ""
        epoch = re.fullmatch(r"(?:epoch-)?(\d{6})", rest)
        if epoch:
            return Saved("checkpoint", epoch=int(epoch[1]))
        step = re.fullmatch(r"(?:at-)?step(\d{8})", rest)
        if step:
            return Saved("checkpoint", step=int(step[1]))
        return None

    def epoch_line(self, line):
        match = _EPOCH.match(line)
        return (int(match[1]), int(match[2])) if match else None

    def resume_step(self):
        """The step that `--resume`'s state, or the weights that `--network_weights` goes on from, were saved at.

        0 when the command resumes from nothing, since sd-scripts never picks up a state by itself.
        """
        state = self._text("resume")
        if state:
            try:
                saved = json.loads((self.path(state) / "train_state.json").read_text())
                return int(saved["current_step"]), state
            except (OSError, ValueError, KeyError, TypeError):
                return None, None
        weights = self._text("network_weights")
        if weights:
            steps = read_metadata(self.path(weights)).get("ss_steps", "")
            return (int(steps), weights) if str(steps).isdigit() else (None, None)
        return 0, None

    def extra_configs(self):
        value = self._text("dataset_config")
        return [self.path(value)] if value else []

    def dataset_folders(self):
        extension = self._text("caption_extension") or ".caption"
        configs = self.extra_configs()
        if configs:
            return self._dataset_config(configs[0], extension)
        found = []
        for key in ("train_data_dir", "reg_data_dir"):
            root = self._text(key)
            try:
                folders = sorted(self.path(root).iterdir()) if root else []
            except OSError:
                continue
            for folder in folders:
                match = _FOLDER.match(folder.name)
                if match and folder.is_dir():
                    found.append((folder, int(match[1]), folder.name, extension))
        return found

    def _dataset_config(self, path, extension):
        """Folders of a separate dataset file (docs/config_README-en.md); with it, train_data_dir is not read."""
        try:
            text = path.read_text("utf-8-sig")
            document = json.loads(text) if path.suffix == ".json" else read_toml(text)
        except (OSError, ValueError):
            return []
        found = []
        general = document.get("general") if isinstance(document.get("general"), dict) else {}
        for dataset in document.get("datasets") or []:
            if not isinstance(dataset, dict):
                continue
            for subset in dataset.get("subsets") or [dataset]:
                if not isinstance(subset, dict):
                    continue
                layers = {**general, **dataset, **subset}
                named = (
                    layers.get("image_dir") or layers.get("image_directory") or layers.get("video_directory")
                )
                if named:
                    folder = self.path(named)
                    repeats = layers.get("num_repeats", 1)
                    found.append((folder, repeats, folder.name, layers.get("caption_extension", extension)))
        return found
