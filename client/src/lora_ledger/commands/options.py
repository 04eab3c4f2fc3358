"""What the parsers of the commands share: the form of their help, the flags of every command, and kinds of values."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.language import t
from ..recording.guard import MOST_OVER
from ..recording.wandb_mode import MODES
from .parser import refusal

ENVIRONMENT = t("""
environment:
  LEDGER_URL     address of the ledger, such as https://ledger.example.workers.dev   (flag: --url)
  LEDGER_KEY     your key; the trainer gets it only for a tracker that logs here       (flag: --key)
  LEDGER_SECRET_NAME   what fills [redacted] of a key (wandb_api_key: LEDGER_SECRET_WANDB_API_KEY); never passed on
  LEDGER_ENROL   a box's one-time token, which `agent` exchanges for a key when it has none
  LEDGER_SPOOL   where unsent records wait (default: ~/.cache/lora-ledger/spool)       (flag: --spool)
  LEDGER_LOGIN   where `lora-ledger login` keeps URL and key (default: ~/.config/lora-ledger/login.json)
  LEDGER_FLUSH_TIMEOUT, LEDGER_HOURLY_PRICE              (flags: --flush-timeout, --hourly-price)
  LORA_LEDGER_LANG   en or zh, the language of messages and help (default: the locale's)
  LEDGER_DEBUG   1 shows the details of what went wrong inside the client
""")


def add_command(
    commands: argparse._SubParsersAction[Any], name: str, short: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A sub-command with examples and the environment in its help."""
    return commands.add_parser(
        name,
        help=short,
        description=description,
        epilog=t("examples:\n{examples}\n{environment}", examples=examples, environment=ENVIRONMENT),
    )


def add_ledger_options(parser: argparse.ArgumentParser) -> None:
    """The flags that every command has."""
    group = parser.add_argument_group(t("the ledger"))
    group.add_argument("--url", metavar="URL", help=t("address of the ledger"))
    group.add_argument(
        "--key", metavar="KEY", help=t("your key (LEDGER_KEY is safer: other users of a machine can see flags)")
    )
    group.add_argument("--spool", metavar="DIR", help=t("where unsent records wait"))
    group.add_argument(
        "--flush-timeout",
        metavar="SECONDS",
        type=float,
        help=t("at the end, give up sending after so long without progress (default: 120)"),
    )
    group.add_argument("--quiet", action="store_true", help=t("show warnings only"))


def add_allow_secret(parser: argparse.ArgumentParser) -> None:
    """--allow-secret, of the commands that run what others wrote."""
    parser.add_argument(
        "--allow-secret",
        metavar="NAME",
        action="append",
        default=[],
        help=t("a variable that another user's run may have, such as HF_TOKEN; may be repeated (default: none)"),
    )


def add_guard(parser: argparse.ArgumentParser) -> None:
    """--stop-on-nan, of the commands that run or queue a training."""
    parser.add_argument(
        "--stop-on-nan",
        metavar="N",
        type=lost_losses,
        nargs="?",
        const=1,
        help=t("end the run once N losses in a row are NaN or infinite (default without a number: 1)"),
    )


def add_trackers(parser: argparse.ArgumentParser) -> None:
    """--wandb and --trackers, of the commands that run a training."""
    parser.add_argument(
        "--wandb",
        choices=MODES,
        default="auto",
        help=t(
            "offline: W&B writes on this machine alone, and its run is followed there; off: W&B's settings stay as "
            "they are; auto (default): offline where W&B has no key"
        ),
    )
    parser.add_argument(
        "--trackers",
        action="store_true",
        help=t("point MLflow, Trackio and SwanLab of the trainer at this ledger, so that they log into this run"),
    )


def lost_losses(text: str) -> int:
    """The number of a guard."""
    value = count(text)
    if value > MOST_OVER:
        raise refusal(t("{text!r} is over {most}", text=text, most=MOST_OVER))
    return value


def tag(text: str) -> tuple[str, str]:
    """(name, value) of name=value."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise refusal(t("{text!r} is not of the form name=value", text=text))
    return name, value


def count(text: str) -> int:
    """A whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise refusal(t("{text!r} is no whole number above 0", text=text))
    return value
