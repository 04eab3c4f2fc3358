"""`lora-ledger enrol`, and what a box does with the token: a key of its own that can be taken from it with one call."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError, DeniedError, RefusedError, RetryLaterError
from ..core.output import moment, put
from ..core.settings import Settings
from ..core.transport import Ledger
from ..recording import host
from . import credentials
from .options import add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "enrol",
        "make the line that lets a rented box pull work",
        "Prints one line for a box's start script. Its token is good once and for minutes; the box exchanges it for a "
        "key of "
        "its own, which reads nothing but the runs that it pulled and can be revoked with one call. The box runs your "
        "own runs; "
        "an admin's --shared makes one that runs everyone's.",
        "  lora-ledger enrol --labels sdxl,24gb --hourly-price 0.44\n  lora-ledger enrol --shared --labels sdxl",
    )
    parser.add_argument("--name", metavar="NAME", help="the box's name (default: what it calls itself)")
    parser.add_argument("--exec", metavar="COMMAND", help="what the line's agent runs (see `lora-ledger agent --help`)")
    parser.add_argument("--labels", metavar="A,B", help="what the box offers")
    parser.add_argument("--hourly-price", metavar="PRICE", type=float, help="what the box costs an hour")
    parser.add_argument("--shared", action="store_true", help="it runs everyone's runs, not your own alone; for admins")
    parser.add_argument("--days", metavar="N", type=float, help="life of the box's key (default: 3)")
    parser.add_argument("--minutes", metavar="N", type=float, help="life of the token (default: 15)")
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints the line for a box's start script. Raises CommandError."""
    body = {
        "name": options.name,
        "hourly_price": options.hourly_price,
        "shared": True if options.shared else None,
        "days": options.days,
        "minutes": options.minutes,
    }
    answer = Api(settings).ask("POST", "/api/boxes/enrol", {k: v for k, v in body.items() if v is not None})
    command = options.exec or "accelerate launch train_network.py --config_file {config}"
    labels = f" --labels {shlex.quote(options.labels)}" if options.labels else ""
    terminal.notice(
        f"good once, until {moment(answer['expires_at'])}; the box's key lasts {answer['days']:g} days, and "
        f"it runs {'everyone’s' if answer['shared'] else 'your own'} runs"
    )
    url = settings.url or ""
    for warning in answer.get("warnings") or []:
        terminal.warn(warning)
    put(
        f"curl -fsS {url}/client.py -o ledger.py && LEDGER_URL={shlex.quote(settings.url or '')} "
        f"LEDGER_ENROL={answer['token']} python3 ledger.py agent --exec {shlex.quote(command)}{labels}"
    )
    return 0


def join(settings: Settings, options: argparse.Namespace) -> None:
    """Exchanges the token in LEDGER_ENROL for a key and stores it, unless this box has a key already. Raises
    CommandError."""
    token = os.environ.get("LEDGER_ENROL")
    if settings.key or not token:
        return
    terminal.configure(options.quiet, [token])
    if not settings.url:
        raise CommandError("LEDGER_URL is not set: it says which ledger the token in LEDGER_ENROL is for")
    facts = host.facts([], os.getcwd())
    body = {"token": token, "name": socket.gethostname()[:100] or None}
    body.update(gpu_info=facts.get("gpu_info"), hourly_price=options.hourly_price)
    try:
        answer = Ledger(settings.url, None).ask("POST", "/api/boxes/exchange", body, keep=("token",))
    except DeniedError as error:
        raise CommandError(f"the token in LEDGER_ENROL was not taken: {error}") from error
    except RetryLaterError as error:
        raise CommandError(
            f"the ledger at {settings.url} did not answer ({error}); start again while the token is good"
        ) from error
    except RefusedError as error:
        raise CommandError(f"{settings.url} does not enrol boxes ({error})") from error
    settings.key = answer["key"]
    terminal.configure(options.quiet, [settings.key])
    terminal.notice(f"enrolled as {answer['name']}; the key lasts until {moment(answer['expires_at'])}")
    try:
        credentials.store(settings.url, settings.key)
    except OSError as error:
        terminal.warn(
            f"the key cannot be stored in {credentials.place()} ({error.strerror}): an agent that starts again needs "
            "a new token"
        )
