"""What the sender tells the owner of a run."""

from __future__ import annotations

from typing import Any

from ..core.journal import Upload


class Events:
    """What a sender tells its owner; called from its threads, so keep each short. Override what you need."""

    def opened(self, task_id: int, attempt: int) -> None:
        """The task and attempt now have their numbers."""

    def guarded(self, guard: Any) -> None:
        """The resumed task has this guard, as the ledger keeps it."""

    def cancel_requested(self) -> None:
        """Someone asked the ledger to cancel this run."""

    def superseded(self) -> None:
        """Another attempt holds the task."""

    def uploaded(self, item: Upload, verified: str) -> None:
        """A file is stored and checked."""

    def finished(self, answer: dict[str, Any]) -> None:
        """The finish was taken."""
