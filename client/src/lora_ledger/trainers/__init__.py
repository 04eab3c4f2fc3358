"""What the client knows of each trainer: one module a trainer, the first that recognises the run is taken.

A trainer has: `name`; `bar_desc` (the progress bar's description, None for any) and `bar_loss` (names in its
postfix, best first); `loss_tag` (the TensorBoard series that is the loss); `log_folder()`; `output_folder()`;
`classify(path)`; `success_marker`; `epoch_line(line)`; `resume_step()`; `dataset_folders()`; `extra_configs()`.
"""

from .generic import Generic
from .kohya import Kohya

ALL = [Kohya]


def recognise(command, config_text, cwd, output_dir=None):
    """The trainer behind a command and its configuration file's text (None without a file)."""
    for trainer in ALL:
        found = trainer.recognise(command, config_text, cwd, output_dir)
        if found:
            return found
    return Generic(command, cwd, output_dir)
