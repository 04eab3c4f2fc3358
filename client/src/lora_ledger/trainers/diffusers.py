"""diffusers' example scripts. Source: examples/*/train_*_lora*.py."""

import re

from .datasets import Source
from . import files
from .generic import Generic

_SCRIPT = re.compile(
    r"(?:^|/)train_(?:dreambooth|text_to_image|control|custom|lcm|instruct|unconditional|kandinsky|wuerstchen|cogvideox)\w*\.py$"
)


class Diffusers(Generic):
    """One example script: settings are command-line arguments alone."""

    name = "diffusers"
    bar_desc = "Steps"
    bar_loss = ("loss", "step_loss")
    loss_tags = ("train_loss", "loss")

    def __init__(self, launch):
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        # Scripts for whole models leave a pipeline's folders and no adapter.
        self.expects_weights = "lora" in launch.program

    @classmethod
    def recognise(cls, launch):
        """A Diffusers for the launch, or None."""
        return cls(launch) if _SCRIPT.search(launch.program) and "network_module" not in launch.document else None

    def task_name(self):
        folder = self.output_folder()
        return folder.name if folder and folder.name else super().task_name()

    def log_folder(self):
        folder = self.output_folder()
        return folder / str(self.setting("logging_dir") or "logs") if folder else None

    def scan(self):
        folder = self.output_folder()
        return files.adapter_folders(folder) if folder else []

    def total_steps(self):
        value = str(self.setting("max_train_steps") or "")
        return int(value) if re.fullmatch("[0-9]{1,15}", value) else None

    def resume_step(self):
        value = self.setting("resume_from_checkpoint")
        steps = [saved.step for _, saved in self.scan() if saved.step is not None]
        if not value:
            return 0, None
        named = re.search(r"checkpoint-(\d{1,15})", str(value))
        if named:
            return int(named[1]), str(value)
        return (max(steps), f"checkpoint-{max(steps)}") if steps else (0, None)

    def datasets(self):
        for key in ("instance_data_dir", "train_data_dir", "dataset_name"):
            value = self.setting(key)
            folder = self.path(value) if isinstance(value, str) else None
            # A data set's name may be a folder here, or one of a hub, which cannot be looked into.
            if folder and (key != "dataset_name" or folder.is_dir()):
                prompt = self.setting("instance_prompt")
                fallback = prompt if isinstance(prompt, str) else None
                rows = folder / "metadata.jsonl"
                if rows.is_file():
                    return [Source(rows, name=folder.name, repeats=self.setting("repeats") or 1, is_file=True)]
                return [Source(folder, repeats=self.setting("repeats") or 1, extension="", fallback=fallback)]
        return []
