"""`lora-ledger login`: asks for the ledger's address and a key, checks them, and keeps them for later commands."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Any

from ..core import settings, terminal
from ..core.errors import CommandError, DeniedError, RefusedError, RetryLaterError
from ..core.language import shown, t
from ..core.output import prompt_for, put
from ..core.settings import Settings
from ..core.transport import Ledger
from ..core.types import section
from . import credentials
from .options import add_command, add_ledger_options


def _asked(prompt: str, secret: bool = False) -> str:
    if not sys.stdin or not sys.stdin.isatty():
        line = sys.stdin.readline() if sys.stdin else ""
        return line.strip()
    try:
        return (getpass.getpass(shown(prompt, sys.stdout.encoding)) if secret else prompt_for(prompt)).strip()
    except EOFError:
        return ""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "login",
        t("store the ledger's address and your key"),
        t(
            "Asks for the address and the key (or takes them from flags and environment), checks them, and stores them "
            "in a file that only you can read. Flags go before the environment, which goes before what is stored."
        ),
        "  lora-ledger login\n  LEDGER_KEY=… lora-ledger login --url https://ledger.example.workers.dev",
    )
    add_ledger_options(parser)


def run(_settings: Settings, options: argparse.Namespace) -> int:
    """Stores URL and key once the ledger has answered to them. Returns the exit code; raises CommandError."""
    url = options.url or os.environ.get("LEDGER_URL") or _asked(t("Address of the ledger (https://…): "))
    key = options.key or os.environ.get("LEDGER_KEY") or _asked(t("Key (not shown): "), secret=True)
    if not url or not key:
        raise CommandError(
            t("login needs the address and the key: --url and LEDGER_KEY, or two lines on standard input")
        )
    found = settings.resolve(url, key, options.spool, None, options.quiet)
    who = check(found)
    try:
        path = credentials.store(found.url, found.key)
    except OSError as error:
        raise CommandError(
            t(
                "the login cannot be stored in {place} ({error}): set LEDGER_LOGIN to a file that you can write, or "
                "LEDGER_URL and LEDGER_KEY in the environment",
                place=credentials.place(),
                error=error.strerror,
            )
        ) from error
    put(t("logged in at {url} {who}; stored in {path}", url=found.url, who=who, path=path))
    return 0


def check(found: Settings) -> str:
    """Who the key is, in words. Raises CommandError when the ledger is not there or does not know the key."""
    try:
        answer = Ledger(found.url or "", found.key).ask("GET", "/api/me")
    except DeniedError as error:
        if error.status == 403:
            # Box keys may not ask who they are; that they are not told 401 is all there is to check.
            return t("with a box key")
        raise CommandError(
            t("the ledger at {url} does not know this key ({error}); nothing was stored", url=found.url, error=error)
        ) from error
    except RetryLaterError as error:
        raise CommandError(
            t("the ledger at {url} did not answer ({error}); nothing was stored", url=found.url, error=error)
        ) from error
    except RefusedError as error:
        raise CommandError(
            t("{url} is no LoRA Ledger ({error}); nothing was stored", url=found.url, error=error)
        ) from error
    user = section(answer, "user") or answer
    name = user.get("name")
    if not name:
        raise CommandError(t("{url} answers, but not as a LoRA Ledger does; nothing was stored", url=found.url))
    return f"as {terminal.scrub(str(name))}" + (f" ({user['role']})" if user.get("role") else "")
