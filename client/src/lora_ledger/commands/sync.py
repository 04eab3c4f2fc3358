"""`lora-ledger sync`: sends what is left in the spool, and notes what `safe` needs to know of it."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.language import t
from ..core.settings import Settings
from ..recording import sync
from . import safe
from .options import ENVIRONMENT, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser(
        "sync",
        help=t("send what could not be sent before"),
        epilog=ENVIRONMENT,
        description=t("Sends the records of all runs that are still in the spool. Nothing is ever recorded twice."),
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help=t("also send once more what the ledger refused, such as after an update of it"),
    )
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Sends all spooled runs, with --again also what was refused before, and notes the tasks of those that were
    registered by it. Returns the exit code."""
    waiting = safe.unregistered(settings)
    code = sync.sync(settings, options.again)
    safe.learn(settings, waiting)
    return code
