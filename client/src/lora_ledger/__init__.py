"""Records LoRA training runs in a LoRA Ledger.

`lora-ledger run -- COMMAND` records a trainer that knows nothing about the ledger;
`track()` records a training loop of your own:

    with lora_ledger.track(config="my_lora.toml") as run:
        for step in range(1, 301):
            run.log(step=step, loss=train_one_step())

In a notebook, `%load_ext lora_ledger` adds the cell magic `%%ledger`, which records what the cell trains.
"""

from __future__ import annotations

__version__ = "0.1.0"

from typing import Any

from .recording.callback import Callback
from .recording.track import Run, track

__all__ = ["Callback", "Run", "track", "load_ipython_extension", "__version__"]


def load_ipython_extension(ipython: Any) -> None:
    """Adds the cell magic `%%ledger`; IPython calls this for `%load_ext`."""
    from .commands import notebook

    notebook.register(ipython)
