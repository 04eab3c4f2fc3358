"""A stand-in for TRL, whose arguments and trainer are transformers' with more."""

import dataclasses

from transformers import Trainer, TrainingArguments


@dataclasses.dataclass
class SFTConfig(TrainingArguments):
    learning_rate: float = 2e-5
    packing: bool = False


class SFTTrainer(Trainer):
    pass
