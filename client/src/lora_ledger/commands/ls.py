"""`lora-ledger ls`: a table of runs, filtered in the ledger's own language."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..core.api import Api
from ..core.language import t
from ..core.output import figure, length, moment, put, table
from ..core.settings import Settings
from ..core.types import section
from .options import add_command, add_ledger_options, count

HEADS = ("ID", "NAME", "STATUS", "RANK", "ALPHA", "LR", "STEPS", "LOSS", "TOOK", "CREATED")


def row_of(task: dict[str, Any]) -> tuple[Any, ...]:
    """One run's cells."""
    progress = section(task, "progress")
    step, total = progress.get("step"), progress.get("total_steps")
    status = str(task.get("status"))
    if task.get("failure_reason") and task["failure_reason"] != "error":
        status += f" ({task['failure_reason']})"
    return (
        task.get("id"),
        task.get("task_name"),
        status,
        figure(task.get("lora_rank")),
        figure(task.get("lora_alpha")),
        figure(task.get("learning_rate")),
        f"{step}/{total}" if step is not None and total else figure(step),
        figure(task.get("final_loss")),
        length(task.get("total_duration_sec")),
        moment(task.get("created_at")),
    )


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "ls",
        t("list runs"),
        t(
            "A table of runs, newest first. FILTER is the ledger's language: = != < <= > >= like in is null and or not "
            "( ) on columns, config.<path>, metrics.<name>, tags.<key>, user and dates. Quote it, so that the shell "
            "leaves < and > alone."
        ),
        "  lora-ledger ls\n"
        "  lora-ledger ls 'lora_rank = 64 and final_loss < 0.3'\n"
        "  lora-ledger ls \"optimizer in ('adamw', 'lion') or tags.kind = 'style'\" --order-by final_loss\n"
        "  lora-ledger ls 'config.network_args[0] like \"%lokr%\"' --json",
    )
    parser.add_argument("filter", nargs="*", metavar="FILTER", help=t("which runs (default: all)"))
    parser.add_argument(
        "--order-by", metavar="COLUMN", help=t("sort by a column, such as final_loss or 'created_at desc'")
    )
    parser.add_argument("--limit", type=count, default=50, metavar="N", help=t("at most so many (default: 50)"))
    parser.add_argument("--json", action="store_true", help=t("one JSON object a line, all columns"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints the runs, newest first unless ordered otherwise; with --json one JSON object a line."""
    words = " ".join(options.filter).strip() or None
    items = Api(settings).pages("/api/tasks", options.limit, filter=words, order_by=options.order_by)
    if options.json:
        for task in items:
            put(json.dumps(task, ensure_ascii=False))
        return 0
    rows = [row_of(task) for task in items]
    if not rows:
        put(t("no runs match") if words else t("no runs yet"))
        return 0
    for line in table(HEADS, rows):
        put(line)
    return 0
