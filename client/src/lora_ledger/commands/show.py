"""`lora-ledger show`: one run on one screen."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.language import join_texts, t
from ..core.output import figure, length, moment, put
from ..core.settings import Settings
from ..core.terminal import printable
from ..core.types import section
from .options import add_command, add_ledger_options

FIELDS = (
    "experiment_group", "trainer", "base_arch", "base_model_path", "network_algo", "lora_rank", "lora_alpha",
    "conv_lora_rank", "conv_alpha", "dropout", "learning_rate", "optimizer", "scheduler", "batch_size",
    "gradient_accumulation_steps", "epochs", "max_steps", "mixed_precision", "resolution", "seed", "data_dir",
    "output_dir", "gpu_info", "cuda_version", "git_commit", "parent_task_id", "import_source", "images_seen",
    "cost", "notes",
)  # fmt: skip

# Where a column can have been read from, as the ledger names it.
PLACES = {"file": t("file"), "argument": t("argument"), "launcher": t("launcher")}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "show",
        t("all about one run"),
        t("Shows a run's state, settings, attempts, data and files."),
        "  lora-ledger show 42\n  lora-ledger show 42 --json",
    )
    parser.add_argument("task", type=int, metavar="ID")
    parser.add_argument("--json", action="store_true", help=t("everything as one JSON object"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints a run's state, settings, attempts, datasets and files; with --json all of it as one object."""
    api = Api(settings)
    task = api.get(f"/api/tasks/{options.task}")
    datasets = api.get(f"/api/tasks/{options.task}/datasets").get("datasets") or []
    weights = list(api.pages("/api/weights", task_id=options.task))
    if options.json:
        put(json.dumps({"task": task, "datasets": datasets, "weights": weights}, ensure_ascii=False, indent=2))
        return 0
    put(t("task {id}: {task_name}", id=task.get("id"), task_name=printable(task.get("task_name"))))
    put(t("  {state}", state=_state(task)))
    for name in FIELDS:
        if task.get(name) not in (None, "", [], {}):
            put(t("  {name:<28}{value}{source}", name=name, value=figure(task[name]), source=_source(task, name)))
    if task.get("tags"):
        put(
            t(
                "  {name:<28}{value}",
                name="tags",
                value=printable(", ".join(f"{k}={v}" for k, v in task["tags"].items())),
            )
        )
    if task.get("command"):
        put(t("  {name:<28}{value}", name="command", value=printable(" ".join(map(str, task["command"])))))
    if task.get("error_message"):
        put(t("  {name:<28}{value}", name="error", value=printable(task["error_message"])))
    for attempt in task.get("attempts") or []:
        put(
            t(
                "  attempt {attempt}: {status}, {start}, {time}, {points} points, {gpu}",
                attempt=attempt.get("attempt"),
                status=attempt.get("status"),
                start=moment(attempt.get("started_at")),
                time=length(attempt.get("duration_sec")),
                points=figure(attempt.get("points")),
                gpu=printable(attempt.get("gpu_info") or t("no GPU known")),
            )
        )
    for fact in datasets:
        put(
            t(
                "  data {name}: {image_count} images, repeats {repeats}, hash {content_hash}",
                name=printable(fact.get("name")),
                image_count=figure(fact.get("image_count")),
                repeats=figure(fact.get("repeats")),
                content_hash=printable((fact.get("content_hash") or "-")[:12]),
            )
        )
    for weight in weights:
        where = ", ".join(f"{k} {figure(weight[k])}" for k in ("epoch", "step", "rank") if weight.get(k) is not None)
        put(
            t(
                "  file {id}: {filename} ({kind}, {size}, {state}{where})",
                id=weight.get("id"),
                filename=printable(weight.get("filename")),
                kind=weight.get("kind"),
                size=terminal.size_text(weight.get("size") or 0),
                state=weight.get("state"),
                where=", " + where if where else "",
            )
        )
    return 0


def _source(task: dict[str, Any], name: str) -> object:
    """Where a column was read from, in brackets; nothing where whoever registered the run stated it."""
    source = section(section(task, "field_sources"), name)
    if source.get("from") == "default" or name in (task.get("defaulted_fields") or []):
        return t("   (the default)")
    if source.get("from") in PLACES:
        key = printable(str(source.get("key") or source.get("name")))
        return t("   ({place}: {key})", place=PLACES[source["from"]], key=key)
    return ""


def _state(task: dict[str, Any]) -> str:
    parts: list[object] = [task.get("status")]
    if task.get("failure_reason"):
        parts[0] = f"{parts[0]} ({task['failure_reason']})"
    if task.get("cancel_requested"):
        parts.append(t("asked to cancel"))
    progress = section(task, "progress")
    if progress.get("step") is not None:
        parts.append(
            t("step {step}", step=progress["step"])
            + (t(" of {total_steps}", total_steps=progress["total_steps"]) if progress.get("total_steps") else "")
        )
    if task.get("final_loss") is not None:
        parts.append(t("final loss {loss}", loss=figure(task["final_loss"])))
    if task.get("total_duration_sec") is not None:
        parts.append(t("took {time}", time=length(task["total_duration_sec"])))
    parts.append(t("begun {started_at}", started_at=moment(task.get("started_at") or task.get("created_at"))))
    return join_texts(", ", parts)
