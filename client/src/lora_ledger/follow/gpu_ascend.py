"""Huawei's Ascend NPUs, by npu-smi."""

from __future__ import annotations

import os
import re

from .cards import MOST_CARDS, Card, card, chosen, number, run

TOOL = "npu-smi"
_PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")


def parse_table(text: str) -> list[Card]:
    """The chips of `npu-smi info`, numbered as programs number them: in the table's order.

    Two lines belong to a chip: `NPU Name | Health | Power Temp …` and `Chip … | Bus-Id | AICore Memory [HBM]`. The
    second chip of an NPU shows `-` for the power that both take.
    """
    version = re.search(r"Version:\s*(\S+)", text)
    found: list[Card] = []
    upper: list[str] | None = None
    for line in text.splitlines():
        if "Process id" in line:
            break
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 3 or not re.match(r"\d", cells[0]):
            continue
        if ":" not in cells[1]:
            upper = cells
            continue
        words = cells[2].split()
        if upper is None or len(found) >= MOST_CARDS or not words:
            continue
        name, measured = upper[0].partition(" ")[2].strip(), upper[2].split()
        one = card(len(found), name if name.startswith("Ascend") else f"Ascend {name}")
        one["driver"] = version[1] if version else None
        one["power_w"] = number(measured[0]) if measured else None
        one["temp_c"] = number(measured[1]) if len(measured) > 1 else None
        one["util"] = number(words[0])
        # The chip's own memory comes last, and is 0 / 0 where it has none.
        sizes = [(float(used[:9]), float(total[:9])) for used, total in _PAIR.findall(cells[2]) if int(total[:9])]
        if sizes:
            one["mem_mb"], one["memory_mb"] = sizes[-1]
        found.append(one)
        upper = None
    return found


def parse_map(text: str) -> dict[tuple[str, str], tuple[int, str]]:
    """(number, name) of each chip by its NPU and its place there, out of `npu-smi info -m`; without the controllers."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for line in text.splitlines()[: 4 * MOST_CARDS]:
        words = line.split()
        if len(words) >= 4 and words[0].isdigit() and words[1].isdigit() and words[2].isdigit():
            name = " ".join(word for word in words[3:] if not word.isdigit())
            found[words[0], words[1]] = (int(words[2]), name or "Ascend NPU")
    return found


def parse_usages(text: str) -> dict[str, dict[str, float]]:
    """{chip: {name: value}} of `npu-smi info -t usages -i NPU`: each chip's lines end with its `Chip ID`."""
    found: dict[str, dict[str, float]] = {}
    values: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "Chip ID":
            found[value] = values
            values = {}
        elif name:
            read = number(value)
            if read is not None:
                values[re.sub(r"\s+", " ", name).lower()] = read
    return found


def _by_usages() -> list[Card]:
    """What is known of the chips where the table has become another: no temperature and no power."""
    chips = parse_map(run(TOOL, "info", "-m") or "")
    found: list[Card] = []
    usages = {npu: parse_usages(run(TOOL, "info", "-t", "usages", "-i", npu) or "") for npu, _ in list(chips)[:16]}
    for (npu, chip), (index, name) in chips.items():
        values = usages.get(npu, {}).get(chip)
        if not values:
            continue
        one = card(index, name)
        one["util"] = values.get("aicore usage rate(%)")
        for kind in ("hbm", "ddr"):
            total, share = values.get(f"{kind} capacity(mb)"), values.get(f"{kind} usage rate(%)")
            if total and share is not None:
                one["memory_mb"], one["mem_mb"] = total, round(total * share / 100, 1)
                break
        found.append(one)
    return found


def cards() -> list[Card]:
    """The NPUs that ASCEND_RT_VISIBLE_DEVICES leaves, with their load."""
    text = run(TOOL, "info")
    if text is None:
        return []
    found = parse_table(text) or _by_usages()
    named = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    return [found[at] for at in chosen(named, [(str(one["index"]),) for one in found])]
