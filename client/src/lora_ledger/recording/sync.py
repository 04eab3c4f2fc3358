"""`lora-ledger sync`: sends what earlier runs could not."""

import threading
import time

from ..core import terminal
from .by_hand import BY_HAND
from .recorder import ledger_of
from .sender import Events, Sender
from ..core.spool import Busy, Spool
from ..core.transport import Denied, Later, Refused, backoff


class _Opened(Events):
    def __init__(self):
        self.task_id = None

    def opened(self, task_id, attempt):
        self.task_id = task_id


def _left(spool):
    return f"{spool.size('messages') + spool.size('finish')} messages, {spool.size('uploads')} files"


def _refused(spool, again):
    """What is to be said of the items that the ledger refused; empty where there are none."""
    if not spool.refused:
        return ""
    n, aside = spool.refused, spool.folder / "refused.jsonl"
    text = f"{n} item{'s' if n > 1 else ''} refused, see {aside}"
    if spool.aside and not again:
        return f"{text}: `lora-ledger sync --again` sends them once more"
    return f"{text}: delete the folder when you have read it"


def sync_one(settings, ledger, folder, again=False):
    """Sends one spool, with `again` also what was refused before. Returns "sent", "left", "busy" or "empty"."""
    try:
        spool = Spool.lasting(folder) if folder.name.startswith(BY_HAND) else Spool.open(folder)
    except Busy:
        terminal.notice(f"{folder.name}: being sent by a running process")
        return "busy"
    except OSError as error:
        terminal.warn(f"{folder}: cannot be read ({error.strerror})")
        return "left"
    known = spool.state.get("url")
    foreign = known and known != ledger.url
    try:
        if again and spool.aside and not foreign:
            spool.take_back()
    except OSError as error:
        terminal.warn(f"{folder}: what was refused cannot be taken up again ({error.strerror or error})")
    if not spool.pending():
        if spool.refused:
            terminal.warn(f"{folder.name}: {_refused(spool, again)}")
        spool.close()
        return "empty"
    if foreign:
        terminal.warn(f"{folder.name}: belongs to the ledger at {known}, not {ledger.url}; set LEDGER_URL to that one")
        spool.close()
        return "left"
    terminal.notice(f"{folder.name}: sending {_left(spool)}")
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
        told = f"sent as task {task}" if task else "nothing could be recorded"
        (terminal.warn if aside else terminal.notice)(f"{folder.name}: {told}{', ' if aside else ''}{aside}")
    else:
        why = sender.denied or sender.trouble or "interrupted"
        terminal.warn(f"{folder.name}: {_left(spool)} left ({why}); run `lora-ledger sync` again later")
    spool.close()
    return "sent" if sent else "left"


def unreachable(ledger):
    """Why the ledger does not answer at all, after a few tries; None when it does."""
    reason = None
    for tries in range(3):
        try:
            ledger.ask("GET", "/healthz", timeout=10.0)
            return None
        except (Refused, Denied):
            return None
        except Later as error:
            reason = str(error)
            time.sleep(backoff(tries))
    return reason


def sync(settings, again=False):
    """Sends all spooled runs, oldest first. The exit code: 0 when nothing is left, 1 otherwise."""
    try:
        folders = [f for f in settings.spool.iterdir() if (f / "lock").exists()]
    except OSError:
        folders = []
    if not folders:
        terminal.notice(f"nothing to send in {settings.spool}")
        return 0
    ledger = ledger_of(settings)
    if ledger is None:
        return 1
    trouble = unreachable(ledger)
    if trouble:
        terminal.warn(
            f"the ledger at {ledger.url} cannot be reached ({trouble}); {len(folders)} runs wait in {settings.spool}"
        )
        return 1
    folders.sort(key=lambda f: f.stat().st_mtime)
    results = [sync_one(settings, ledger, folder, again) for folder in folders]
    return 1 if "left" in results else 0
