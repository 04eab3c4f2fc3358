"""`lora-ledger sync`: sends what earlier runs could not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ..core import terminal
from ..core.errors import DeniedError, RefusedError, RetryLaterError, SpoolBusyError
from ..core.journal import FINISH, MESSAGES, UPLOADS
from ..core.language import t
from ..core.settings import Settings
from ..core.spool import Spool
from ..core.transport import Ledger, backoff
from .by_hand import BY_HAND
from .events import Events
from .recorder import ledger_of
from .sender import Sender


class _Opened(Events):
    def __init__(self) -> None:
        self.task_id = None

    def opened(self, task_id: int, attempt: int) -> None:
        self.task_id = task_id


def _left(spool: Spool) -> str:
    return t(
        "{messages} messages, {files} files",
        messages=spool.size(MESSAGES) + spool.size(FINISH),
        files=spool.size(UPLOADS),
    )


def _refused(spool: Spool, again: bool) -> str:
    """What is to be said of the items that the ledger refused; empty where there are none."""
    if not spool.refused:
        return ""
    n, aside = spool.refused, spool.folder / "refused.jsonl"
    text = t("{n} item{s} refused, see {aside}", n=n, s="s" if n > 1 else "", aside=aside)
    if spool.aside and not again:
        return t("{text}: `lora-ledger sync --again` sends them once more", text=text)
    return t("{text}: delete the folder when you have read it", text=text)


def sync_one(settings: Settings, ledger: Ledger, folder: Path, again: bool = False) -> str:
    """Sends one spool, with `again` also what was refused before. Returns "sent", "left", "busy" or "empty"."""
    try:
        spool = Spool.lasting(folder) if folder.name.startswith(BY_HAND) else Spool.open(folder)
    except SpoolBusyError:
        terminal.notice(t("{name}: being sent by a running process", name=folder.name))
        return "busy"
    except OSError as error:
        terminal.warn(t("{folder}: cannot be read ({error})", folder=folder, error=error.strerror))
        return "left"
    known = spool.state.get("url")
    foreign = known and known != ledger.url
    try:
        if again and spool.aside and not foreign:
            spool.take_back()
    except OSError as error:
        terminal.warn(
            t(
                "{folder}: what was refused cannot be taken up again ({error})",
                folder=folder,
                error=error.strerror or error,
            )
        )
    if not spool.pending():
        if spool.refused:
            terminal.warn(t("{name}: {refused}", name=folder.name, refused=_refused(spool, again)))
        spool.close()
        return "empty"
    if foreign:
        terminal.warn(
            t(
                "{name}: belongs to the ledger at {known}, not {url}; set LEDGER_URL to that one",
                name=folder.name,
                known=known,
                url=ledger.url,
            )
        )
        spool.close()
        return "left"
    terminal.notice(t("{name}: sending {left}", name=folder.name, left=_left(spool)))
    events = _Opened()
    sender = Sender(spool, ledger, events)
    sender.show_progress = True
    interrupted = threading.Event()
    sender.start()
    try:
        sent = sender.wait_empty(settings.flush_timeout, interrupted.is_set)
    except KeyboardInterrupt:
        sent = False
    sender.stop()
    task = spool.state.get("task_id") or events.task_id
    if sent:
        aside = _refused(spool, again)
        told = t("sent as task {task}", task=task) if task else t("nothing could be recorded")
        (terminal.warn if aside else terminal.notice)(
            t("{name}: {told}{aside}", name=folder.name, told=told, aside=", " + aside if aside else "")
        )
    else:
        why = sender.denied or sender.trouble or t("interrupted")
        terminal.warn(
            t(
                "{name}: {left} left ({why}); run `lora-ledger sync` again later",
                name=folder.name,
                left=_left(spool),
                why=why,
            )
        )
    spool.close()
    return "sent" if sent else "left"


def unreachable(ledger: Ledger) -> str | None:
    """Why the ledger does not answer at all, after a few tries; None when it does."""
    reason = None
    for tries in range(3):
        try:
            ledger.ask("GET", "/healthz", timeout=10.0)
            return None
        except (RefusedError, DeniedError):
            return None
        except RetryLaterError as error:
            reason = str(error)
            time.sleep(backoff(tries))
    return reason


def sync(settings: Settings, again: bool = False) -> int:
    """Sends all spooled runs, oldest first. The exit code: 0 when nothing is left, 1 otherwise."""
    try:
        folders = [f for f in settings.spool.iterdir() if (f / "lock").exists()]
    except OSError:
        folders = []
    if not folders:
        terminal.notice(t("nothing to send in {spool}", spool=settings.spool))
        return 0
    ledger = ledger_of(settings)
    if ledger is None:
        return 1
    trouble = unreachable(ledger)
    if trouble:
        terminal.warn(
            t(
                "the ledger at {url} cannot be reached ({trouble}); {count} runs wait in {spool}",
                url=ledger.url,
                trouble=trouble,
                count=len(folders),
                spool=settings.spool,
            )
        )
        return 1
    folders.sort(key=lambda f: f.stat().st_mtime)
    results = [sync_one(settings, ledger, folder, again) for folder in folders]
    return 1 if "left" in results else 0
