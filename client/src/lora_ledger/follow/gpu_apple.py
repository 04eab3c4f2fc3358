"""The GPU of an Apple computer, by ioreg: utilisation and memory in use. Power needs the rights of root."""

from __future__ import annotations

import re
import sys

from .cards import MOST_CARDS, Card, card, number, run

TOOL = "ioreg"


def parse(text: str) -> list[Card]:
    """The accelerators that tell statistics, out of `ioreg -r -d 1 -w 0 -c IOAccelerator`."""
    found: list[Card] = []
    for part in text.split("+-o ")[1:]:
        statistics = re.search(r'"PerformanceStatistics" = \{([^}]*)\}', part)
        if not statistics or len(found) >= MOST_CARDS:
            continue
        values = {name: number(value) for name, value in re.findall(r'"([^"]+)"=(\d+)', statistics[1])}
        one = card(len(found), "Apple GPU" if part.startswith("AGX") else "GPU")
        one["util"] = values.get("Device Utilization %", values.get("GPU Activity(%)"))
        used = re.search(r'"In use system memory"=(\d{1,15})', statistics[1])
        one["mem_mb"] = round(int(used[1]) / 1024**2, 1) if used else None
        if one["util"] is not None or one["mem_mb"] is not None:
            found.append(one)
    return found


def cards() -> list[Card]:
    """The GPUs of this computer with their load; none on another system."""
    return parse(run(TOOL, "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator") or "") if sys.platform == "darwin" else []


def with_facts(found: list[Card]) -> list[Card]:
    """The cards by the name of the chip that they are a part of ("Apple M1 Pro GPU")."""
    chip = (run("sysctl", "-n", "machdep.cpu.brand_string") or "").strip()
    for one in found:
        if chip.startswith("Apple") and one["name"].startswith("Apple"):
            one["name"] = f"{chip[:60]} GPU"
    return found
