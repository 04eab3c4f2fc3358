"""`lora-ledger log`: one point of a task by hand."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.errors import UsageError
from ..core.language import t
from ..core.settings import Settings
from ..recording.by_hand import log_point, read_metrics
from .options import ENVIRONMENT, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser(
        "log",
        help=t("record one point of a task by hand"),
        epilog=t("example:\n  lora-ledger log 42 --step 100 loss=0.093 lr=1e-4\n") + ENVIRONMENT,
        description=t("Adds metrics at one step to the current attempt of a task that no running client reports on."),
    )
    parser.add_argument("task", type=int, metavar="TASK", help=t("the task's number"))
    parser.add_argument("--step", type=int, required=True, metavar="N")
    parser.add_argument("--epoch", type=float, metavar="E")
    parser.add_argument("metrics", nargs="+", metavar="NAME=VALUE", help=t("such as loss=0.1"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Sends the point, or keeps it for `sync`. The exit code. Raises UsageError."""
    try:
        metrics = read_metrics(options.metrics)
    except ValueError as error:
        raise UsageError(str(error)) from error
    epoch = options.epoch
    whole = int(epoch) if epoch is not None and epoch == int(epoch) else epoch
    return log_point(settings, options.task, options.step, whole, metrics)
