"""`lora-ledger cancel`: asks the ledger to end a run."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.api import Api
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from .options import add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "cancel",
        t("end a run"),
        t("Cancels a waiting run at once. A running one learns of it by its next heartbeat and stops its trainer."),
        "  lora-ledger cancel 42",
    )
    parser.add_argument("task", type=int, metavar="ID")
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Cancels a pending run at once, a running one by its next heartbeat. Raises CommandError."""
    task = Api(settings).ask("POST", f"/api/tasks/{options.task}/cancel")
    if task.get("cancel_requested"):
        put(t("task {task} will be told at its next heartbeat, and ends as cancelled", task=options.task))
    else:
        put(t("task {task} is {status}", task=options.task, status=task.get("status", "cancelled")))
    return 0
