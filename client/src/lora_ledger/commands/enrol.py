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
from ..core.language import t
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
        t("make the line that lets a rented box pull work"),
        t(
            "Prints one line for a box's start script. Its token is good once and for minutes; the box exchanges it "
            "for a key of its own, which reads nothing but the runs that it pulled and can be revoked with one call. "
            "The box runs your own runs; an admin's --shared makes one that runs everyone's."
        ),
        "  lora-ledger enrol --labels sdxl,24gb --hourly-price 0.44\n  lora-ledger enrol --shared --labels sdxl",
    )
    parser.add_argument("--name", metavar="NAME", help=t("the box's name (default: what it calls itself)"))
    parser.add_argument(
        "--exec", metavar="COMMAND", help=t("what the line's agent runs (see `lora-ledger agent --help`)")
    )
    parser.add_argument("--labels", metavar="A,B", help=t("what the box offers"))
    parser.add_argument("--hourly-price", metavar="PRICE", type=float, help=t("what the box costs an hour"))
    parser.add_argument(
        "--shared", action="store_true", help=t("it runs everyone's runs, not your own alone; for admins")
    )
    parser.add_argument("--days", metavar="N", type=float, help=t("life of the box's key (default: 3)"))
    parser.add_argument("--minutes", metavar="N", type=float, help=t("life of the token (default: 15)"))
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
        t(
            "good once, until {expires_at}; the box's key lasts {days:g} days, and it runs {whose} runs",
            expires_at=moment(answer["expires_at"]),
            days=answer["days"],
            whose=t("everyone’s") if answer["shared"] else t("your own"),
        )
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
        raise CommandError(t("LEDGER_URL is not set: it says which ledger the token in LEDGER_ENROL is for"))
    facts = host.facts([], os.getcwd())
    body = {"token": token, "name": socket.gethostname()[:100] or None}
    body.update(gpu_info=facts.get("gpu_info"), hourly_price=options.hourly_price)
    try:
        answer = Ledger(settings.url, None).ask("POST", "/api/boxes/exchange", body, keep=("token",))
    except DeniedError as error:
        raise CommandError(t("the token in LEDGER_ENROL was not taken: {error}", error=error)) from error
    except RetryLaterError as error:
        raise CommandError(
            t(
                "the ledger at {url} did not answer ({error}); start again while the token is good",
                url=settings.url,
                error=error,
            )
        ) from error
    except RefusedError as error:
        raise CommandError(t("{url} does not enrol boxes ({error})", url=settings.url, error=error)) from error
    settings.key = answer["key"]
    terminal.configure(options.quiet, [settings.key])
    terminal.notice(
        t(
            "enrolled as {name}; the key lasts until {expires_at}",
            name=answer["name"],
            expires_at=moment(answer["expires_at"]),
        )
    )
    try:
        credentials.store(settings.url, settings.key)
    except OSError as error:
        terminal.warn(
            t(
                "the key cannot be stored in {place} ({error}): an agent that starts again needs a new token",
                place=credentials.place(),
                error=error.strerror,
            )
        )
