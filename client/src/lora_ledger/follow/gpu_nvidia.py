"""NVIDIA's GPUs, by nvidia-smi."""

from __future__ import annotations

import os
import re

from .cards import MOST_CARDS, Card, card, chosen, number, run

TOOL = "nvidia-smi"
_FIELDS = (
    "index",
    "name",
    "memory.total",
    "driver_version",
    "utilization.gpu",
    "memory.used",
    "power.draw",
    "temperature.gpu",
    "uuid",
)


def parse(text: str) -> list[tuple[Card, str]]:
    """(card, UUID) of each line of nvidia-smi's CSV; what is no such line, as of a GPU that fell off its bus, is left
    out. With MIG, utilisation is `[N/A]`."""
    found: list[tuple[Card, str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(_FIELDS) or not cells[0].isdigit() or len(found) >= MOST_CARDS:
            continue
        one = card(int(cells[0]), cells[1])
        one["memory_mb"] = number(cells[2])
        one["driver"] = cells[3]
        one["util"], one["mem_mb"] = number(cells[4]), number(cells[5])
        one["power_w"], one["temp_c"] = number(cells[6]), number(cells[7])
        found.append((one, cells[8]))
    return found


def parse_slices(text: str) -> dict[str, str]:
    """The GPU's UUID by that of each of its MIG devices, out of `nvidia-smi -L`."""
    owner, found = "", {}
    for line in text.splitlines():
        named = re.search(r"\(UUID: ((?:MIG-)?\S+)\)", line)
        if named and not named[1].startswith("MIG-"):
            owner = named[1]
        elif named:
            found[named[1]] = owner
    return found


def _without_slices(named: str) -> str | None:
    """CUDA_VISIBLE_DEVICES with the GPU in the place of a MIG device, each once; None where nobody knows it."""
    parts = [part.strip() for part in named.split(",")]
    slices = parse_slices(run(TOOL, "-L") or "") if any(re.match(r"MIG-(?!GPU-)", part) for part in parts) else {}
    # Older drivers name the GPU in the name of its part: MIG-GPU-<uuid>/<instance>/<instance>.
    owners = [part[4:].split("/")[0] if part.startswith("MIG-GPU-") else slices.get(part, part) for part in parts]
    return None if any(owner.startswith("MIG-") for owner in owners) else ",".join(dict.fromkeys(owners))


def cards() -> list[Card]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, with their load."""
    text = run(TOOL, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")
    found = parse(text or "")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None and "MIG-" in named:
        named = _without_slices(named)
    places = chosen(named, [(str(one["index"]), uuid) for one, uuid in found])
    return [found[at][0] for at in places]


def cuda_version() -> str | None:
    """The newest CUDA that the driver supports ("12.4")."""
    shown = re.search(r"CUDA Version:\s*([\d.]+)", run(TOOL) or "")
    return shown[1] if shown else None
