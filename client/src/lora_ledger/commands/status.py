"""`lora-ledger status`: who asks which ledger, what runs now, and what waits in this machine's spool."""

from __future__ import annotations

import argparse
from typing import Any

from ..core.api import Api
from ..core.errors import CommandError, DeniedError, RefusedError, RetryLaterError
from ..core.language import t
from ..core.output import put, table
from ..core.settings import Settings
from ..core.terminal import printable
from ..core.transport import Ledger
from ..core.types import section
from . import spool_report
from .ls import HEADS, row_of
from .options import add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "status",
        t("the login, what runs now, and what waits on this machine"),
        t("Shows the ledger and the user, the running tasks, and what has not been sent from this machine."),
        "  lora-ledger status",
    )
    add_ledger_options(parser)


def run(settings: Settings, _options: argparse.Namespace) -> int:
    """Prints the state of ledger, login and spool. The exit code: 1 when the ledger or the key does not answer."""
    put(t("ledger: {url}", url=settings.url or t("not set (LEDGER_URL, or `lora-ledger login`)")))
    code = 0 if settings.url and settings.key else 1
    if code:
        put(t("key: given") if settings.key else t("key: not set (LEDGER_KEY, or `lora-ledger login`)"))
    else:
        try:
            me = Ledger(settings.url or "", settings.key).ask("GET", "/api/me")
            user = section(me, "user") or me
            put(
                t("user: {name}", name=user.get("name"))
                + (t(" ({role})", role=user["role"]) if user.get("role") else "")
            )
            _used(Ledger(settings.url or "", settings.key))
            _running(Api(settings))
        except DeniedError as error:
            if error.status == 403:
                put(t("user: a box key"))
            else:
                put(t("key: not accepted ({error})", error=error))
                code = 1
        except (RetryLaterError, RefusedError, CommandError) as error:
            put(t("no answer: {error}", error=error))
            code = 1
    found = [spool_report.read(folder) for folder in spool_report.folders(settings.spool)]
    waiting = [spool for spool in found if spool.running or spool.problems]
    if not waiting:
        put(t("spool: nothing waits in {spool}", spool=settings.spool))
    for spool in waiting:
        told = t("being sent by a running process") if spool.running else spool.problems[0]
        more = (
            t(" ({refused} item{s} refused in all)", refused=spool.refused, s="s" if spool.refused > 1 else "")
            if spool.refused
            else ""
        )
        put(t("spool: {name}: {told}{more}", name=spool.name, told=printable(told), more=more))
    return code


def _used(ledger: Ledger) -> None:
    """A line for each bound of the user that comes near; a ledger of before knows none."""
    try:
        items = ledger.ask("GET", "/api/me/use").get("items") or []
    except RefusedError:
        return
    for item in items:
        used, most = item.get("used"), item.get("most")
        if used and most and used >= 0.8 * most:
            put(
                t(
                    "used: {used:,} of at most {most:,} {bound}",
                    used=used,
                    most=most,
                    bound=str(item.get("bound")).replace("_", " "),
                )
            )


def _running(api: Api) -> None:
    rows = [row_of(task) for task in api.pages("/api/tasks", 50, status="running")]
    put(t("running: {count}", count=len(rows) if len(rows) < 50 else t("50 or more")))
    for line in table(HEADS, rows) if rows else ():
        put("  " + line)
