"""What the client knows of each trainer: one module a trainer, the first that recognises the launch is taken.

`generic.Generic` is the base of all and says what a trainer answers: its bar and lines, its readers and event files,
its weights, samples and state, when its exit code 0 is no success, and where its training data lie.
"""

from ..core import terminal
from .ai_toolkit import AiToolkit
from .diffusers import Diffusers
from .diffusion_pipe import DiffusionPipe
from .generic import Generic
from .kohya import Kohya
from .launch import Launch
from .onetrainer import OneTrainer
from .transformers import Axolotl, LlamaFactory

ALL = [AiToolkit, OneTrainer, DiffusionPipe, Axolotl, LlamaFactory, Diffusers, Kohya]


def recognise(command, config_text, cwd, output_dir=None):
    """The trainer behind a command and its configuration file's text (None without a file)."""
    launch = Launch(command, config_text, cwd, output_dir)
    for trainer in ALL:
        try:
            found = trainer.recognise(launch)
        except Exception as error:
            # Settings of types that nobody expects: such a run is followed by what is plainly visible.
            terminal.trouble(error)
            continue
        if found:
            return found
    return Generic(launch.command, launch.cwd, output_dir, launch)
