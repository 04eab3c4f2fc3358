"""kohya's sd-scripts, lora-scripts that drive them, and musubi-tuner, which share files and output.

Sources: sd-scripts library/train_util.py (file names, arguments, samples) and train_network.py (progress line, log tags).
"""

import re

from .datasets import IMAGES, Source
from ..core.reading import loads, read_file, read_start
from ..core.safetensors import read_metadata
from ..core.toml_reader import read_toml
from . import files
from .files import SAVED, Saved
from .generic import Generic

_EPOCH = re.compile(r"^epoch (\d{1,9})/(\d{1,9})\s*$")
_FOLDER = re.compile(r"^(\d+)_(.+)$")
# A file, or a module behind `-m` as musubi-tuner's are called.
_SCRIPTS = re.compile(r"(?:^|[/.])\w*train_network(?:\.py)?$")
_SAMPLE = re.compile(
    r"(?:(?P<name>.+)_)?(?:e(?P<epoch>\d{6})|(?P<step>\d{6}))_(?P<index>\d{2,})_\d{14}(?:_(?P<seed>\d+))?$"
)
_PROMPT_OPTION = re.compile(r"\s--[a-z]{1,3}\s", re.I)
_KEYS = (
    "network_module",
    "network_dim",
    "train_data_dir",
    "pretrained_model_name_or_path",
    "dataset_config",
    "dit",
)
PROMPTS_LIMIT = 1_000_000
DATASETS_LIMIT = 4_000_000
STATE_LIMIT = 4_000_000


def _flatten(document):
    """Section names mean nothing to sd-scripts: every table's keys are arguments."""
    flat = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat.update(value)
        else:
            flat[name] = value
    return flat


def read_prompts(path):
    """The prompts of a `sample_prompts` file in order, without their options; [] where it cannot be read.

    A text file has one prompt a line, a TOML file `[[prompt.subset]]`, a JSON file a list of `{"prompt": …}`.
    """
    try:
        text = read_start(path, PROMPTS_LIMIT)
        if path.suffix == ".toml":
            common = read_toml(text).get("prompt")
            common = common if isinstance(common, dict) else {}
            rows = [{**common, **row} for row in common.get("subset") or []]
        elif path.suffix == ".json":
            rows = loads(text)
        else:
            lines = (line.strip() for line in text.splitlines())
            return [_PROMPT_OPTION.split(line, maxsplit=1)[0].strip() for line in lines if line and line[0] != "#"]
    except (OSError, ValueError, TypeError):
        return []
    return [
        str(row.get("prompt") or "") if isinstance(row, dict) else str(row)
        for row in (rows if isinstance(rows, list) else [])
    ]


class Kohya(Generic):
    """One sd-scripts run: its settings are the configuration file's, with the command line's over them."""

    name = "kohya"
    bar_desc = "steps"
    bar_loss = ("avr_loss", "loss")
    loss_tags = ("loss/current", "loss/average")
    success_markers = ("model saved.",)

    def __init__(self, command, cwd, options, output_dir=None, launch=None):
        super().__init__(command, cwd, output_dir or options.get("output_dir") or None, launch)
        self.options = options

    @classmethod
    def recognise(cls, launch):
        """A Kohya for the launch, or None when it is no sd-scripts run."""
        document = _flatten(launch.document)
        keys = sum(key in document for key in _KEYS)
        if not _SCRIPTS.search(launch.program) and keys < 2:
            return None
        # `--output_name=x` and the like win over the file; a flag that a launcher set does not count.
        options = {**document, **launch.options}
        return cls(launch.command, launch.cwd, options, launch.output_dir, launch)

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

    def total_steps(self):
        # With epochs the steps depend on the data; the bar tells them.
        value = None if self.options.get("max_train_epochs") else self.options.get("max_train_steps")
        return int(value) if re.fullmatch("[0-9]{1,15}", str(value or "")) else None

    def scan(self):
        """Weights, samples in `sample/`, and the folders that `--save_state` leaves."""
        folder = self.output_folder()
        if not folder:
            return []
        found = self.scan_flat(folder)
        named = self._output_name()
        for path in files.entries(folder):
            match = re.fullmatch(r"(?:(.+)-)?(?:(\d{6})|step(\d{8}))-state|(.+)-state", path.name)
            if match and (match[1] or match[4] or "last") in (named, "epoch", "at", "last") and path.is_dir():
                epoch, step = (int(part) if part else None for part in match.group(2, 3))
                found += files.state_folder(path, folder, epoch, step)
        prompts = None
        for path in files.entries(folder / "sample"):
            match = _SAMPLE.match(path.stem)
            if not match or path.suffix not in files.IMAGES or (match["name"] or None) != named:
                continue
            prompts = self._prompts() if prompts is None else prompts
            index = int(match["index"])
            found.append(
                (
                    path,
                    Saved(
                        "sample",
                        int(match["epoch"]) if match["epoch"] else None,
                        int(match["step"]) if match["step"] else None,
                        filename=files.relative(path, folder),
                        prompt=prompts[index] if index < len(prompts) else None,
                        seed=int(match["seed"]) if match["seed"] else None,
                    ),
                )
            )
        return found

    def _prompts(self):
        value = self._text("sample_prompts")
        return read_prompts(self.path(value)) if value else []

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
                saved = loads(read_file(self.path(state) / "train_state.json", STATE_LIMIT))
                return int(saved["current_step"]), state
            except (OSError, ValueError, KeyError, TypeError, OverflowError):
                return None, None
        weights = self._text("network_weights")
        if weights:
            steps = read_metadata(self.path(weights)).get("ss_steps", "")
            return (int(steps), weights) if re.fullmatch("[0-9]{1,15}", str(steps)) else (None, None)
        return 0, None

    def dataset_file(self):
        value = self._text("dataset_config")
        return self.path(value) if value else None

    def extra_configs(self):
        value = self._text("sample_prompts")
        return [self.path(value)] if value else []

    def datasets(self):
        extension = self._text("caption_extension") or self._text("caption_extention") or ".caption"
        listed = self.dataset_file()
        if listed:
            return self._dataset_config(listed, extension)
        found = []
        metadata = self._text("in_json")
        if metadata and self._text("train_data_dir"):
            return [Source(self.path(metadata), repeats=self.options.get("dataset_repeats", 1), is_file=True)]
        for key in ("train_data_dir", "reg_data_dir"):
            root = self._text(key)
            for folder in files.entries(self.path(root)) if root else []:
                match = _FOLDER.match(folder.name)
                if match and folder.is_dir():
                    found.append(Source(folder, int(match[1]), extension=extension, fallback=match[2], endings=IMAGES))
        return found

    def _dataset_config(self, path, extension):
        """Folders of a separate dataset file (docs/config_README-en.md); with it, train_data_dir is not read."""
        try:
            text = read_file(path, DATASETS_LIMIT).decode("utf-8-sig")
            document = loads(text) if path.suffix == ".json" else read_toml(text)
            if not isinstance(document, dict):
                return []
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
                repeats = layers.get("num_repeats", 1)
                rows = next(
                    (
                        layers[key]
                        for key in ("metadata_file", "image_jsonl_file", "video_jsonl_file")
                        if layers.get(key)
                    ),
                    None,
                )
                named = layers.get("image_dir") or layers.get("image_directory") or layers.get("video_directory")
                if rows:
                    found.append(Source(self.path(rows), repeats, is_file=True))
                elif named:
                    # musubi-tuner's folders are called `…_directory`, and its captions end in .txt.
                    usual = extension if layers.get("image_dir") else ".txt"
                    given = layers.get("caption_extension", usual)
                    tokens = layers.get("class_tokens")
                    fallback = tokens if isinstance(tokens, str) else None
                    found.append(Source(self.path(named), repeats, extension=str(given), fallback=fallback))
        return found
