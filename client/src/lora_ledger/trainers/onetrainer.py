"""Nerogar's OneTrainer. Sources: modules/trainer/GenericTrainer.py (names, bars, tags), modules/util/config/."""

import re

from .datasets import Source
from ..core.reading import loads, open_file, read_file
from . import files
from .files import Saved
from .generic import Generic

_SAVE = re.compile(r"-save-(\d+)-(\d+)-(\d+)$")
_SAMPLE = re.compile(r"-training-sample-(\d+)-(\d+)-(\d+)$")
_FOLDER = re.compile(r"(\d+) - (.*)$")
LIST_LIMIT = 16_000_000
WEIGHTS = (".safetensors", ".ckpt", ".pt")
# Lists that stand in the configuration, or in a file: their key, the key of the file's name, its default.
_CONCEPTS = ("concepts", "concept_file_name", "training_concepts/concepts.json")
_SAMPLES = ("samples", "sample_definition_file_name", "training_samples/samples.json")


class OneTrainer(Generic):
    """Saves to its final path when it is interrupted, and ends with exit code 0: the bar of epochs must be full."""

    name = "onetrainer"
    bar_desc = "step"
    bar_loss = ("loss",)
    outer_bar = "epoch"
    loss_tags = ("loss/train_step", "smooth_loss/train_step")
    saves_when_interrupted = True

    def __init__(self, launch):
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        self.expects_weights = True

    @classmethod
    def recognise(cls, launch):
        """A OneTrainer for the launch, or None."""
        if "training_method" in launch.document and "base_model_name" in launch.document:
            return cls(launch)
        return None

    def workspace(self):
        """OneTrainer's working folder."""
        return self.path(self.launch.document.get("workspace_dir") or "workspace/run")

    def destination(self):
        """Where the final weights go: a file, or a folder."""
        return self.path(
            self.launch.output_dir or self.launch.document.get("output_model_destination") or "models/model.safetensors"
        )

    def output_folder(self):
        destination = self.destination()
        return destination.parent if destination.suffix in WEIGHTS else destination

    def folders(self):
        return [self.output_folder(), self.workspace() / "save", self.workspace() / "samples"]

    def log_folder(self):
        return self.workspace() / "tensorboard"

    def task_name(self):
        return self.launch.document.get("save_filename_prefix") or self.destination().stem

    def scan(self):
        workspace = self.workspace()
        prefix = str(self.launch.document.get("save_filename_prefix") or "")
        found = []
        destination = self.destination()
        if destination.suffix in WEIGHTS:
            found.append((destination, Saved("final")))
        else:
            for path in files.entries(destination):
                if path.suffix in WEIGHTS and path.name.startswith(prefix) and not _SAVE.search(path.stem):
                    found.append((path, Saved("final")))
        for path in files.entries(workspace / "save"):
            match = _SAVE.search(path.stem)
            if match and path.suffix in WEIGHTS and path.name.startswith(prefix):
                name = files.relative(path, workspace)
                found.append((path, Saved("checkpoint", int(match[2]), int(match[1]), filename=name)))
        prompts = self._prompts()
        for folder in files.entries(workspace / "samples"):
            number = _FOLDER.match(folder.name)
            if not folder.is_dir():
                continue
            for path in files.entries(folder):
                match = _SAMPLE.search(path.stem)
                if match and path.suffix in files.IMAGES:
                    # The folder's name is the prompt with what file names cannot hold left out.
                    prompt = prompts.get(int(number[1])) or number[2] if number else None
                    name = files.relative(path, workspace)
                    saved = Saved("sample", int(match[2]), int(match[1]), filename=name, prompt=prompt)
                    found.append((path, saved))
        for folder in files.entries(workspace / "backup"):
            if folder.is_dir():
                found += files.state_folder(folder, workspace)
        return found

    def _file(self, key, file_key, default_file):
        """The file that holds a list; None where the configuration itself holds it."""
        if isinstance(self.launch.document.get(key), list):
            return None
        return self.path(self.launch.document.get(file_key) or default_file)

    def dataset_file(self):
        return self._file(*_CONCEPTS)

    def extra_configs(self):
        path = self._file(*_SAMPLES)
        return [path] if path else []

    def _list(self, key, file_key, default_file):
        """A list that stands in the configuration, or in a file of its own."""
        found = self.launch.document.get(key)
        path = self._file(key, file_key, default_file)
        if path:
            try:
                found = loads(read_file(path, LIST_LIMIT))
            except (OSError, ValueError):
                found = []
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def _prompts(self):
        samples = self._list(*_SAMPLES)
        return {
            index: sample["prompt"] for index, sample in enumerate(samples) if isinstance(sample.get("prompt"), str)
        }

    def _first_line(self, path):
        try:
            with open_file(self.path(path or "")) as file:
                return file.readline(65_536).decode("utf-8-sig", "replace").strip()
        except OSError:
            return None

    def datasets(self):
        found = []
        for concept in self._list(*_CONCEPTS):
            value = concept.get("path")
            if not isinstance(value, str) or not value or concept.get("enabled") is False:
                continue
            repeats = concept.get("balancing", 1) if concept.get("balancing_strategy", "REPEATS") == "REPEATS" else None
            text = concept.get("text") if isinstance(concept.get("text"), dict) else {}
            # "sample": a .txt beside each image; "concept": one file for all; "filename": the images' names.
            prompts = text.get("prompt_source") or "sample"
            found.append(
                Source(
                    self.path(value),
                    repeats=repeats,
                    extension=".txt" if prompts == "sample" else "",
                    fallback=self._first_line(text.get("prompt_path")) if prompts == "concept" else None,
                    by_name=prompts == "filename",
                    name=concept.get("name") or None,
                    recursive=bool(concept.get("include_subdirectories")),
                    skip=lambda stem: stem.endswith(("-masklabel", "-condlabel")),
                    every_line=True,
                )
            )
        return found
