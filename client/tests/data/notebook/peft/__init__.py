"""A stand-in for PEFT: a configuration, and a model that holds it."""

import dataclasses
import enum


class PeftType(str, enum.Enum):
    LORA = "LORA"


@dataclasses.dataclass
class LoraConfig:
    peft_type: PeftType = None
    base_model_name_or_path: str = None
    task_type: str = None
    r: int = 8
    target_modules: set = None
    lora_alpha: int = 8
    lora_dropout: float = 0.0
    use_dora: bool = False

    def __post_init__(self):
        self.peft_type = PeftType.LORA

    def to_dict(self):
        return dataclasses.asdict(self)


class Config:
    _name_or_path = "org/Llama-3B"


class PeftModel:
    peft_type = PeftType.LORA
    config = Config()

    def __init__(self, config):
        self.peft_config = {"default": dataclasses.replace(config, base_model_name_or_path="org/Llama-3B")}


def get_peft_model(_model, config):
    return PeftModel(config)
