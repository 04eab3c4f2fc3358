"""AMD's GPUs, by amd-smi, and by the rocm-smi of older machines."""

from __future__ import annotations

import os
import re
from typing import Any

from ..core.reading import loads
from ..core.types import as_list, as_object
from .cards import MOST_CARDS, Card, card, chosen, number, run

TOOLS = ("amd-smi", "rocm-smi")
_METRICS = ("--usage", "--power", "--temperature", "--mem-usage", "--json")
_FACTS = ("--asic", "--vram", "--driver", "--json")
_ROCM = ("--showproductname", "--showdriverversion", "--showuse", "--showmeminfo", "vram", "--showtemp", "--showpower")
_MIB = {"b": 1 / 1024**2, "kb": 1 / 1024, "mb": 1.0, "gb": 1024.0}


def _json(text: str | None) -> Any:
    """The JSON of an output that may have warnings before it; None where there is none."""
    start = re.search(r"^\s*[\[{]", text or "", re.MULTILINE)
    try:
        return loads(text[start.start() :]) if text and start else None
    except ValueError:
        return None


def _entries(text: str | None) -> list[dict[str, Any]]:
    """amd-smi's objects, one a GPU: a list, from version 26 on within `gpu_data`."""
    document = _json(text)
    outer = as_object(document)
    found = as_list(outer.get("gpu_data") if outer else document) or []
    return [entry for entry in map(as_object, found[:MOST_CARDS]) if entry and number(entry.get("gpu")) is not None]


def _at(entry: dict[str, Any], group: str, *names: str) -> float | None:
    """The first of some values of a group that is a number, memory in MiB. A value is `{value, unit}`, a number or a
    text with its unit."""
    inside = as_object(entry.get(group)) or {}
    for name in names:
        value = inside.get(name)
        pair = as_object(value)
        found = number(pair.get("value") if pair else value)
        if found is None:
            continue
        text = str(pair.get("unit", "")) if pair else value if isinstance(value, str) else ""
        unit = re.search(r"([KMG]?B)\s*$", text, re.IGNORECASE)
        return found * (_MIB[unit[1].lower()] if unit else 1.0)
    return None


def parse_metric(text: str) -> list[Card]:
    """The cards of `amd-smi metric --json`; the hottest place of a card is its temperature where it is measured."""
    found: list[Card] = []
    for entry in _entries(text):
        one = card(int(entry["gpu"]), "AMD GPU")
        one["util"] = _at(entry, "usage", "gfx_activity")
        one["mem_mb"] = _at(entry, "mem_usage", "used_vram")
        one["memory_mb"] = _at(entry, "mem_usage", "total_vram")
        one["temp_c"] = _at(entry, "temperature", "hotspot", "edge", "mem")
        one["power_w"] = _at(entry, "power", "socket_power", "current_socket_power", "average_socket_power")
        found.append(one)
    return found


def parse_static(text: str) -> dict[int, tuple[str | None, float | None, str | None]]:
    """(name, memory in MiB, driver) of each card by its number, out of `amd-smi static --json`."""
    found: dict[int, tuple[str | None, float | None, str | None]] = {}
    for entry in _entries(text):
        name = (as_object(entry.get("asic")) or {}).get("market_name")
        driver = as_object(entry.get("driver")) or {}
        version = driver.get("version", driver.get("driver_version"))
        found[int(entry["gpu"])] = (
            name if isinstance(name, str) and name not in ("", "N/A") else None,
            _at(entry, "vram", "size", "vram_size_mb"),
            version if isinstance(version, str) else None,
        )
    return found


def parse_rocm(text: str) -> list[Card]:
    """The cards of `rocm-smi --json`, whose keys have changed their case and their words over the years."""
    document = as_object(_json(text)) or {}
    found: list[Card] = []
    driver = None
    for name, value in document.items():
        entry = {str(key).lower().strip(": "): inner for key, inner in (as_object(value) or {}).items()}
        if name == "system":
            version = entry.get("driver version")
            driver = version if isinstance(version, str) else None
        at = re.fullmatch(r"card(\d{1,3})", name)
        if not at or len(found) >= MOST_CARDS:
            continue

        def first(*keys: str, entry: dict[str, Any] = entry) -> Any:
            return next((entry[key] for key in keys if entry.get(key) not in (None, "", "N/A")), None)

        title = first("card series", "device name", "card model")
        one = card(int(at[1]), title if isinstance(title, str) else "AMD GPU")
        one["util"] = number(first("gpu use (%)"))
        total, used = _mib(first("vram total memory (b)")), _mib(first("vram total used memory (b)"))
        one["memory_mb"], one["mem_mb"] = total, used
        one["temp_c"] = number(first("temperature (sensor junction) (c)", "temperature (sensor edge) (c)"))
        one["power_w"] = number(
            first("average graphics package power (w)", "current socket graphics package power (w)")
        )
        found.append(one)
    for one in found:
        one["driver"] = driver
    return sorted(found, key=lambda one: one["index"])


def _mib(value: Any) -> float | None:
    """Bytes, as a text, in MiB."""
    found = re.fullmatch(r"\s*(\d{1,16})\s*", value) if isinstance(value, str) else None
    return int(found[1]) / 1024**2 if found else None


def _visible(found: list[Card]) -> list[Card]:
    """What ROCR_VISIBLE_DEVICES leaves, and of that what HIP_VISIBLE_DEVICES leaves; HIP heeds CUDA's too."""
    for named in (
        os.environ.get("ROCR_VISIBLE_DEVICES"),
        os.environ.get("HIP_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")),
    ):
        # A card's UUID is in neither tool's short output: whoever names one gets all.
        if named is not None and not re.search(r"[g-z]", named.lower()):
            found = [found[at] for at in chosen(named, [(str(at),) for at in range(len(found))])]
    return found


def cards() -> list[Card]:
    """The GPUs that this process may use, with their load, as metrics need them: amd-smi gives no names here."""
    found = parse_metric(run("amd-smi", "metric", *_METRICS) or "")
    found = found or parse_metric(run("amd-smi", "metric", "--json") or "")
    return _visible(found or parse_rocm(run("rocm-smi", *_ROCM, "--json") or ""))


def with_facts(found: list[Card]) -> list[Card]:
    """The cards with their names, which amd-smi tells in a second call."""
    known = parse_static(run("amd-smi", "static", *_FACTS) or "") if any(not one["driver"] for one in found) else {}
    for one in found:
        name, memory, driver = known.get(one["index"], (None, None, None))
        one["name"] = name or one["name"]
        one["memory_mb"] = one["memory_mb"] or memory
        one["driver"] = one["driver"] or driver
    return found
