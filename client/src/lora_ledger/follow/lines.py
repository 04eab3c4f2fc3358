"""Reads the loss from plain lines that trainers print.

{'loss': 1.2345, 'grad_norm': 0.91, 'learning_rate': 9.8e-05, 'epoch': 0.12}            transformers 4
{'loss': '1.234', 'grad_norm': '0.91', 'learning_rate': '9.8e-05', 'epoch': '0.12'}     transformers 5
steps: 120 loss: 0.0713 iter time (s): 2.105 samples/sec: 0.475                         DeepSpeed
"""

from __future__ import annotations

import re
from typing import Any

_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|(?:\d[\d.]{0,40}|\.\d{1,40})(?:e[-+]?\d{1,5})?)"
_PAIR = re.compile(
    r"""['"]([A-Za-z_][\w./ -]{0,80})['"]:\s{0,8}(['"]?)(NUMBER)\2(?=\s{0,8}[,}])""".replace("NUMBER", _NUMBER), re.I
)
_DEEPSPEED = re.compile(r"\bsteps: (\d{1,15}) loss: (NUMBER)\b".replace("NUMBER", _NUMBER), re.I)
LONGEST = 4000
# Numbers in transformers' dicts that describe the machine's speed and no step.
SUMMARY = ("_runtime", "_per_second", "total_flos")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_dict(line: str) -> dict[Any, float] | None:
    """{name: number} of a dict that transformers' Trainer prints, or None; a bar may stand before it on the line."""
    start = line.find("{'")
    if start < 0:
        start = line.find('{"')
    if start < 0 or len(line) > LONGEST or not line.rstrip().endswith("}"):
        return None
    found = {name: _float(value) for name, _, value in _PAIR.findall(line, start)}
    found = {name: value for name, value in found.items() if value is not None}
    # Other dicts are printed too (settings, versions): a report of progress always tells the epoch.
    return found if "epoch" in found and len(found) > 1 else None


def read_deepspeed(line: str) -> tuple[int, float] | None:
    """(step, loss) of DeepSpeed's report, or None."""
    if "steps: " not in line:
        return None
    match = _DEEPSPEED.search(line)
    value = _float(match[2]) if match else None
    return None if match is None or value is None else (int(match[1]), value)
