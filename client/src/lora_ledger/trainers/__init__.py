"""What the client knows of each trainer: one module a trainer, the first that recognises the launch is taken.

`generic.Generic` is the base of all and says what a trainer answers: its bar and lines, its readers and event files,
its weights, samples and state, when its exit code 0 is no success, and where its training data lie.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import terminal
from ..core.types import StrPath
from . import declared
from .ai_toolkit import AiToolkit
from .declared import Declared, Table
from .diffusers import Diffusers
from .diffusion_pipe import DiffusionPipe
from .generic import Generic
from .kohya import Kohya
from .launch import Launch
from .onetrainer import OneTrainer
from .transformers import Axolotl, LlamaFactory

__all__ = ["Generic", "Table", "recognise"]

ALL = [AiToolkit, OneTrainer, DiffusionPipe, Axolotl, LlamaFactory, Diffusers, Kohya]


def recognise(
    command: Sequence[str],
    config_text: str | None,
    cwd: StrPath,
    output_dir: str | None = None,
    dialect: Table | None = None,
) -> Generic:
    """The trainer behind a command and its configuration file's text (None without a file); a person's own `dialect`
    goes before all others."""
    launch = Launch(command, config_text, cwd, output_dir)
    if dialect is not None:
        return Declared(launch, dialect)
    for recognises in (declared.recognise, *(trainer.recognise for trainer in ALL), declared.recognise_script):
        try:
            found = recognises(launch)
        except Exception as error:
            # Settings of types that nobody expects: such a run is followed by what is plainly visible.
            terminal.trouble(error)
            continue
        if found:
            return found
    return Generic(launch.command, launch.cwd, output_dir, launch)
