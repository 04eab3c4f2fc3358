"""`lora-ledger log`: one point by hand, for trainers and scripts that only a shell can reach."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ..core import terminal
from ..core.errors import SpoolBusyError
from ..core.language import t
from ..core.settings import Settings
from ..core.spool import Spool
from .points import iso, number
from .recorder import ledger_of
from .sender import Sender

BY_HAND = "by-hand-"
WAIT_SECONDS = 10.0


def read_metrics(words: list[str]) -> dict[str, Any]:
    """{name: value} from `name=value` words. Raises ValueError naming the first that is none."""
    metrics = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            if not (name and equals):
                raise ValueError
            metrics[name] = number(float(value))
        except ValueError:
            raise ValueError(t("{word!r} is not of the form name=number, such as loss=0.1", word=word)) from None
    return metrics


def log_point(settings: Settings, task_id: int, step: int, epoch: float | None, metrics: dict[str, Any]) -> int:
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
        except SpoolBusyError:
            if time.monotonic() > deadline:
                terminal.warn(
                    t(
                        "another process is sending points of task {task_id}; try again when it has ended",
                        task_id=task_id,
                    )
                )
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
            t(
                "the point is kept in {folder} ({trouble}); `lora-ledger sync` sends it",
                folder=folder,
                trouble=sender.trouble or t("the ledger did not answer"),
            )
        )
    return 1 if spool.refused > refused else 0
