"""The dialects that are tables, the same as for the service, whose src/trainers/declarations/form.ts says what the words mean.

Made by `node scripts/run.mjs declarations`; change nothing here.
"""

from __future__ import annotations

from typing import Any

DECLARATIONS: list[dict[str, Any]] = [
    {
        "name": "mlx-lm",
        "recognise": {"commands": ["mlx_lm.lora", "mlx_lm lora", "mlx_lm.lora.py"], "keys": ["model"], "any": ["lora_parameters", "adapter_path", "num_layers"], "where": [{"key": "train", "given": True}]},
        "console": {"lines": ["Iter {step}: Train loss {loss}, Learning Rate {learning_rate},"]},
        "files": {"output": ["adapter_path"], "default_output": "adapters", "final": ["adapters.safetensors"], "checkpoints": ["{step}_adapters.safetensors"], "data": ["data"], "steps": ["iters"]},
    },
    {
        "name": "torchtune",
        "recognise": {"commands": ["tune run"], "where": [{"key": "model._component_", "has": "torchtune."}]},
        "console": {"lines": ["Step {step} | loss:{loss} lr:{lr}"]},
        "files": {"output": ["output_dir"], "final": ["epoch_{epoch}/adapter_model.safetensors", "epoch_{epoch}/adapter_model.pt"], "last_is_final": True, "logs": ["metric_logger.log_dir"]},
    },
]
