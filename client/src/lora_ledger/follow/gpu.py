"""GPU facts and load from nvidia-smi, where there is one."""

from __future__ import annotations

import os
import shutil
from typing import Any

from ..core.reading import output

_FIELDS = [
    "index",
    "name",
    "memory.total",
    "driver_version",
    "utilization.gpu",
    "memory.used",
    "power.draw",
    "temperature.gpu",
]


# Between two samples of a run.
SECONDS = 15.0


def nvidia_smi(arguments: list[str], timeout: float = 10.0) -> str | None:
    """nvidia-smi's standard output, or None where it is missing, fails, or hangs."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return None
    return output([tool, *arguments], timeout)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def visible(index: Any) -> bool:
    """Whether CUDA_VISIBLE_DEVICES lets this process use the GPU; names that are no plain numbers count as all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None or not named.replace(",", "").replace(" ", "").isdigit():
        return True
    return str(index) in [part.strip() for part in named.split(",")]


def read_gpus() -> list[dict[str, Any]]:
    """A dict a visible GPU: index, name, memory_mb, driver, util (percent), mem_mb, power_w, temp_c; None where unknown."""
    text = nvidia_smi([f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"])
    gpus = []
    for line in (text or "").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(_FIELDS) or not cells[0].isdigit() or not visible(cells[0]):
            continue
        gpus.append(
            {
                "index": int(cells[0]),
                "name": cells[1],
                "memory_mb": _number(cells[2]),
                "driver": cells[3],
                "util": _number(cells[4]),
                "mem_mb": _number(cells[5]),
                "power_w": _number(cells[6]),
                "temp_c": _number(cells[7]),
            }
        )
    return gpus


def sample() -> dict[str, Any]:
    """The load now as metrics: gpu.0.util (percent), gpu.0.mem_mb (MiB), gpu.0.power_w (watts), gpu.0.temp_c (°C)."""
    return {
        f"gpu.{gpu['index']}.{name}": gpu[name]
        for gpu in read_gpus()
        for name in ("util", "mem_mb", "power_w", "temp_c")
        if gpu[name] is not None
    }
