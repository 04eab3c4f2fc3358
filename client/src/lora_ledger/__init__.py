"""Records LoRA training runs in a LoRA Ledger.

`lora-ledger run -- COMMAND` records a trainer that knows nothing about the ledger;
`track()` records a training loop of your own:

    with lora_ledger.track(config="my_lora.toml") as run:
        for step in range(1, 301):
            run.log(step=step, loss=train_one_step())
"""

__version__ = "0.1.0"

from .recording.track import Run, track

__all__ = ["Run", "track", "__version__"]
