"""`lora-ledger diff`: what differs between two runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from ..core.api import Api
from ..core.language import t
from ..core.output import figure, length, put, table
from ..core.settings import Settings
from ..core.terminal import printable
from ..core.types import section
from ..follow.machine import is_system
from .options import add_command, add_ledger_options

# What every run has of its own, and what is compared elsewhere.
_OWN = {
    "id", "user_id", "version", "created_at", "updated_at", "started_at", "finished_at", "heartbeat_at", "deleted_at",
    "progress", "attempts", "attempt", "config_snapshot", "node_info", "command", "weights_path", "import_source",
    "cancel_requested", "defaulted_fields", "additional_args", "queue", "tags",
}  # fmt: skip
_RESULTS = (
    "status",
    "final_loss",
    "convergence_step",
    "total_duration_sec",
    "cost",
    "exit_code",
    "failure_reason",
    "error_message",
)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a.b[0].c": leaf} of nested dicts and lists, as the filter language writes paths."""
    if isinstance(value, dict) and value:
        result = {}
        for key, inner in value.items():
            result.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
        return result
    if isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        result = {}
        for n, inner in enumerate(value):
            result.update(flatten(inner, f"{prefix}[{n}]"))
        return result
    return {prefix: value} if prefix else {}


def _unlike(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Rows (name, first, second) of keys that differ; a missing key is None."""
    for name in sorted(set(first) | set(second)):
        a, b = first.get(name), second.get(name)
        if a != b and not (a in (None, "", [], {}) and b in (None, "", [], {})):
            yield name, a, b


def _software(task: dict[str, Any]) -> dict[str, Any]:
    node = section(task, "node_info")
    packages = section(node, "packages")
    return {**packages, "python": node.get("python")}


def _data(api: Api, task: int) -> dict[Any, str]:
    facts = api.get(f"/api/tasks/{task}/datasets").get("datasets") or []
    return {
        f["name"]: t(
            "{image_count} images, repeats {repeats}, {content_hash}",
            image_count=f.get("image_count"),
            repeats=f.get("repeats"),
            content_hash=(f.get("content_hash") or "")[:12] or t("no hash"),
        )
        for f in facts
    }


def _metrics(api: Api, task: int) -> dict[str, Any]:
    """{"loss lowest": …} of the loss and the other recorded series, from their curves."""
    answer = api.get(f"/api/tasks/{task}/logs", metric="loss", max_points=1000)
    names = [
        "loss",
        *[n for n in answer.get("metrics") or [] if n != "loss" and not is_system(n) and not n.startswith("lr")][:7],
    ]
    result = {}
    for name in names:
        curve = answer if name == "loss" else api.get(f"/api/tasks/{task}/logs", metric=name, max_points=1000)
        values = [p[3] for p in curve.get("points") or [] if isinstance(p[3], (int, float))]
        if values:
            result.update(
                {f"{name} lowest": min(values), f"{name} last": values[-1], f"{name} points": curve.get("total")}
            )
    return result


def differences(api: Api, a: int, b: int) -> dict[str, list[tuple[str, Any, Any]]]:
    """{section: [(name, value of a, value of b), …]}. Raises CommandError."""
    first, second = api.get(f"/api/tasks/{a}"), api.get(f"/api/tasks/{b}")
    sections = {
        "results": _unlike({n: first.get(n) for n in _RESULTS}, {n: second.get(n) for n in _RESULTS}),
        "metrics": _unlike(_metrics(api, a), _metrics(api, b)),
        "fields": _unlike(
            *({k: v for k, v in t.items() if k not in _OWN and k not in _RESULTS} for t in (first, second))
        ),
        "tags": _unlike(first.get("tags") or {}, second.get("tags") or {}),
        "config": _unlike(flatten(first.get("config_snapshot")), flatten(second.get("config_snapshot"))),
        "data": _unlike(_data(api, a), _data(api, b)),
        "software": _unlike(_software(first), _software(second)),
        "command": _unlike(*({"command": " ".join(map(str, t.get("command") or []))} for t in (first, second))),
    }
    return {name: list(rows) for name, rows in sections.items()}


def _cell(name: str, value: Any) -> Any:
    if name == "total_duration_sec":
        return length(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return figure(value)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "diff",
        t("what differs between two runs"),
        t("Compares results, metrics, fields, the trainer's own settings, data, software and command of two runs."),
        "  lora-ledger diff 42 57",
    )
    parser.add_argument("first", type=int, metavar="A")
    parser.add_argument("second", type=int, metavar="B")
    parser.add_argument("--json", action="store_true", help=t("as one JSON object"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints what differs, section by section; with --json as one object. Raises CommandError."""
    api = Api(settings)
    found = differences(api, options.first, options.second)
    if options.json:
        put(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    rows = []
    for part, unlike in found.items():
        for name, a, b in unlike:
            rows.append((part, name, _cell(name, a), _cell(name, b)))
    if not rows:
        put(
            t(
                "tasks {first} and {second} do not differ in what was recorded",
                first=options.first,
                second=options.second,
            )
        )
        return 0
    for line in table(
        ("", "WHAT", f"TASK {options.first}", f"TASK {options.second}"), [tuple(map(printable, r)) for r in rows], 2
    ):
        put(line)
    return 0
