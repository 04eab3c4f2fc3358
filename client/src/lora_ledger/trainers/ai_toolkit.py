"""ostris' ai-toolkit. Sources: jobs/process/BaseSDTrainProcess.py (names, bar), toolkit/logging_aitk.py (the database)."""

import os
import re

from .datasets import Source
from . import files
from .files import Saved
from .generic import Generic

_STEP = re.compile(r"_(\d{9})$")
_SAMPLE = re.compile(r"(\d+)__(\d{9})_(\d+)$")


def _expanded(value):
    """The settings with `${NAME}` taken from the environment, as ai-toolkit reads them (toolkit/config.py)."""
    if isinstance(value, dict):
        return {key: _expanded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner) for inner in value]
    if isinstance(value, str) and "${" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda match: os.environ.get(match[1], match[0]), value)
    return value


class AiToolkit(Generic):
    """One job: `config.name` names its folder, its files and its bar."""

    name = "ai-toolkit"
    bar_loss = ("loss",)
    loss_tags = ("loss",)
    stop_markers = ("Job stopped", "Error running job:")

    def __init__(self, launch):
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        config = launch.document["config"]
        process = config["process"][0]
        self.process = _expanded(process) if isinstance(process, dict) else {}
        name = _expanded(config.get("name"))
        # `--name` fills the `[name]` of a template.
        given = launch.options.get("name") or launch.options.get("n")
        self.job = str(name).replace("[name]", given if isinstance(given, str) else "") if name else "job"
        self.bar_desc = self.job
        self.expects_weights = True

    @classmethod
    def recognise(cls, launch):
        """An AiToolkit for the launch, or None."""
        config = launch.document.get("config")
        if "job" in launch.document and isinstance(config, dict) and isinstance(config.get("process"), list):
            if config["process"]:
                return cls(launch)
        return None

    def _part(self, name):
        value = self.process.get(name)
        return value if isinstance(value, dict) else {}

    def output_folder(self):
        if self.launch.output_dir:
            return self.path(self.launch.output_dir)
        return self.path(str(self.process.get("training_folder") or "output").replace("[name]", self.job)) / self.job

    def log_folder(self):
        value = self.process.get("log_dir")
        return self.path(value.replace("[name]", self.job)) if isinstance(value, str) and value else None

    def readers(self):
        try:
            from ..follow.sqlite_log import LossDatabase
        except ImportError:
            # A Python that was built without sqlite3.
            return []
        return [LossDatabase(self.output_folder() / "loss_log.db")]

    def total_steps(self):
        value = self._part("train").get("steps", 1000)
        return value if isinstance(value, int) else None

    def task_name(self):
        return self.job

    def scan(self):
        folder = self.output_folder()
        found = []
        for path in files.entries(folder):
            if path.name == "optimizer.pt":
                found.append((path, Saved("state")))
            elif path.name == "config.yaml":
                found.append((path, Saved("config")))
            elif path.suffix == ".safetensors":
                saved = self.classify(path.name)
                if saved:
                    found.append((path, saved))
        for path in files.entries(folder / "samples"):
            match = _SAMPLE.match(path.stem)
            if match and path.suffix in files.IMAGES:
                name = files.relative(path, folder)
                prompt = self._prompt(int(match[3]))
                found.append((path, Saved("sample", step=int(match[2]), filename=name, prompt=prompt)))
        return found

    def classify(self, name):
        stem = name.rsplit(".", 1)[0]
        step = _STEP.search(stem)
        base = stem[: step.start()] if step else stem
        # With an adapter beside the network the weights are called `name_LoRA`.
        if base not in (self.job, f"{self.job}_LoRA"):
            return None
        return Saved("checkpoint", step=int(step[1])) if step else Saved("final")

    def _prompt(self, index):
        sample = self._part("sample")
        prompts = sample.get("samples") or sample.get("prompts")
        if not isinstance(prompts, list) or index >= len(prompts):
            return None
        prompt = prompts[index]
        prompt = prompt.get("prompt") if isinstance(prompt, dict) else prompt
        trigger = self.process.get("trigger_word")
        if not isinstance(prompt, str):
            return None
        return prompt.replace("[trigger]", trigger) if isinstance(trigger, str) else prompt

    def resume_step(self):
        """ai-toolkit goes on by itself from the newest file of the same name."""
        steps = [saved.step for _, saved in self.scan() if saved.kind == "checkpoint"]
        return (max(steps), f"{self.job}_{max(steps):09d}") if steps else (0, None)

    def datasets(self):
        found = []
        for dataset in self.process.get("datasets") or []:
            if not isinstance(dataset, dict):
                continue
            value = dataset.get("folder_path") or dataset.get("dataset_path")
            if not isinstance(value, str):
                continue
            path = self.path(value)
            found.append(
                Source(
                    path,
                    repeats=dataset.get("num_repeats", 1),
                    extension=str(dataset.get("caption_ext") or "txt"),
                    recursive=True,
                    is_file=path.suffix in (".json", ".jsonl"),
                )
            )
        return found
