"""`lora-ledger log`: one point by hand, for trainers and scripts that only a shell can reach."""

import time
import uuid

from ..core import terminal
from .points import iso, number
from .recorder import ledger_of
from .sender import Sender
from ..core.spool import Busy, Spool

BY_HAND = "by-hand-"
WAIT_SECONDS = 10.0


def read_metrics(words):
    """{name: value} from `name=value` words. Raises ValueError naming the first that is none."""
    metrics = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            if not (name and equals):
                raise ValueError
            metrics[name] = number(float(value))
        except ValueError:
            raise ValueError(f"{word!r} is not of the form name=number, such as loss=0.1") from None
    return metrics


def log_point(settings, task_id, step, epoch, metrics):
    """Sends one log entry, or keeps it for `sync`. The exit code: 0 also when it was only kept."""
    entry = {"step": step, "time": iso(time.time()), "metrics": metrics}
    if epoch is not None:
        entry["epoch"] = epoch
    folder = settings.spool / f"{BY_HAND}{task_id}"
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            spool = Spool.lasting(folder)
            break
        except Busy:
            if time.monotonic() > deadline:
                terminal.warn(f"another process is sending points of task {task_id}; try again when it has ended")
                return 1
            time.sleep(0.1)
    spool.append("point", {"id": str(uuid.uuid4()), "task_id": task_id, "entry": entry})
    sender = Sender(spool, ledger_of(settings))
    refused = spool.refused
    sender.start()
    sent = sender.wait_empty(min(WAIT_SECONDS, settings.flush_timeout))
    sender.stop()
    spool.close()
    if not sent and sender.ledger is not None and not sender.denied:
        terminal.warn(
            f"the point is kept in {folder} ({sender.trouble or 'the ledger did not answer'}); `lora-ledger sync` sends it"
        )
    return 1 if spool.refused > refused else 0
