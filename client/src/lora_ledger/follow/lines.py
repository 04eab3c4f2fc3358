"""Reads the loss from plain lines that trainers print.

{'loss': 1.2345, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.12}            transformers 4
{'loss': '1.234', 'grad_norm': '0.91', 'learning_rate': '9.8e-05', 'epoch': '0.12'}     transformers 5
{'loss': 1.95, …, 'epoch': 0.25, 'global_step/max_steps': '5/60', …}                    ms-swift
{"step": 10, "total_steps": 60, "loss": 1.95, "lr": 1e-4}                               many own loops
steps: 120 loss: 0.0713 iter time (s): 2.105 samples/sec: 0.475                         DeepSpeed
"""

from __future__ import annotations

import re
from typing import Any

from .told import NUMBER, is_training_loss

_PAIR = re.compile(
    r"""['"]([A-Za-z_][\w./ -]{0,80})['"]:\s{0,8}(['"]?)(NUMBER)\2(?=\s{0,8}[,}])""".replace("NUMBER", NUMBER), re.I
)
_DEEPSPEED = re.compile(r"\bsteps: (\d{1,15}) loss: (NUMBER)\b".replace("NUMBER", NUMBER), re.I)
_RATIO = re.compile(r"""['"]\w{0,20}step\w{0,20}/\w{0,40}['"]:\s{0,8}['"](\d{1,15})/(\d{1,15})['"]""")
# Where a dict tells the step and the number of all, the first of each counts.
_STEP = ("step", "global_step", "current_steps", "iteration", "iter")
_TOTAL = ("total_steps", "max_steps", "total_iterations", "total_iters")
LONGEST = 4000
# Numbers in transformers' dicts that describe the machine's speed and no step.
SUMMARY = ("_runtime", "_per_second", "total_flos")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_dict(line: str) -> dict[Any, float] | None:
    """{name: number} of a dict that reports progress, such as transformers' Trainer prints, or None.

    A bar may stand before it on the line. `step` and `total` are there where the dict tells them.
    """
    start = line.find("{'")
    if start < 0:
        start = line.find('{"')
    if start < 0 or len(line) > LONGEST or not line.rstrip().endswith("}"):
        return None
    read = {name: _float(value) for name, _, value in _PAIR.findall(line, start)}
    found = {name: value for name, value in read.items() if value is not None}
    step, total = _take(found, _STEP), _take(found, _TOTAL)
    ratio = _RATIO.search(line, start)
    if ratio:
        step, total = float(ratio[1]), float(ratio[2])
    # Other dicts are printed too (settings, versions): a report tells the epoch, or a step with its loss.
    if "epoch" not in found:
        loss = "loss" if "loss" in found else next((name for name in found if is_training_loss(name)), None)
        if step is None or loss is None:
            return None
        found["loss"] = found.pop(loss)
    if not found.keys() - {"epoch"}:
        return None
    if step is not None:
        found["step"] = step
        if total is not None:
            found["total"] = total
    return found


def _take(found: dict[Any, float], names: tuple[str, ...]) -> float | None:
    values = [found.pop(name) for name in names if name in found]
    return values[0] if values else None


def read_deepspeed(line: str) -> tuple[int, float] | None:
    """(step, loss) of DeepSpeed's report, or None."""
    if "steps: " not in line:
        return None
    match = _DEEPSPEED.search(line)
    value = _float(match[2]) if match else None
    return None if match is None or value is None else (int(match[1]), value)
