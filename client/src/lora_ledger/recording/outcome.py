"""What became of a run: success, failed or cancelled, and why."""

from __future__ import annotations

import signal
from typing import Any

from ..core.language import t
from ..core.redact import redact_text
from ..follow.follower import Seen
from ..trainers import Generic
from .console import Console, is_out_of_memory
from .process import shell_code
from .stopping import Stopping


def outcome_of(code: int, stopping: Stopping, trainer: Generic, console: Console, seen: Seen) -> dict[str, Any]:
    """The fields of a finish, by the trainer's exit code (negative for a signal) and all that it has shown."""
    result: dict[str, Any] = {"exit_code": shell_code(code)}
    if stopping.cancelled:
        return {**result, "status": "cancelled", "error_message": stopping.cancelled}
    if stopping.preempted:
        return {
            **result,
            "status": "failed",
            "failure_reason": "preempted",
            "urgent": True,
            "error_message": t("the box was reclaimed (SIGTERM)"),
        }
    if code == 0:
        fault = trainer.fault(seen)
        if fault is None:
            return {**result, "status": "success"}
        message = console.last_exception()
        if message:
            fault += f" ({message})"
        # A message of memory somewhere is no reason by itself: ai-toolkit skips steps that lack some.
        reason = "oom" if is_out_of_memory(seen.stopped or "") or is_out_of_memory(message or "") else "error"
        return {**result, "status": "failed", "failure_reason": reason, "error_message": redact_text(fault)}
    message = console.last_exception()
    if console.out_of_memory():
        return {
            **result,
            "status": "failed",
            "failure_reason": "oom",
            "error_message": message or t("out of memory"),
        }
    if code in (-9, 137):
        return {
            **result,
            "status": "failed",
            "failure_reason": "oom",
            "error_message": message or t("the trainer was killed (SIGKILL), mostly for using too much memory"),
        }
    if not message:
        message = (
            t("ended by {name}", name=signal.Signals(-code).name)
            if code < 0
            else t("ended with exit code {code}", code=code)
        )
    return {**result, "status": "failed", "failure_reason": "error", "error_message": message}
