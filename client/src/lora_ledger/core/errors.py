"""Every exception that the client raises itself; nothing of it reaches a training loop (see recording/track.py).

LedgerError
├── ApiError                 what a call of the ledger or of its storage ended with
│   ├── RetryLaterError      nothing is known to be wrong with what was sent
│   ├── DeniedError          401, 403
│   ├── RefusedError         never as it is
│   └── SupersededError      409: another attempt holds the task
├── CommandError             ends a command with one line
├── UsageError               the words of a command line do not go together
├── CancelledError           someone cancelled a claimed run before it began
├── SpoolBusyError           another process has the spool
├── FileChangedError         a file is not the announced one any more
├── OutOfBoundsError         a folder of data is larger than anyone waits for
└── UnreadableError          what was read is not what it has to be (a ValueError, too)
    ├── TooMuchError         it lies beyond a bound
    ├── NoTomlError          no TOML that the reader here knows
    ├── IncompleteFileError  a safetensors file that is not whole
    ├── NoAdapterError       no safetensors file of an adapter
    └── NoArchiveError       no archive of a run
"""

from __future__ import annotations

from typing import Any


class LedgerError(Exception):
    """The base of all of these."""


class ApiError(LedgerError):
    """A call that did not end well. `status` is the HTTP status of the answer, None where none came."""

    def __init__(self, reason: str = "", status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class RetryLaterError(ApiError):
    """Nothing is known to be wrong with what was sent; try again, after `delay` seconds if that is known.

    `status` is the ledger's own answer, where there was one: at 500 it failed, which what was sent may be the cause of.
    """

    def __init__(self, reason: str = "", delay: float | None = None, status: int | None = None) -> None:
        super().__init__(reason, status)
        self.delay = delay


class DeniedError(ApiError):
    """401 or 403: the key is missing, expired, revoked, or may not do this; or its user is `full`, at a bound."""

    def __init__(self, reason: str, status: int, full: bool = False) -> None:
        super().__init__(reason, status)
        self.full = full


class RefusedError(ApiError):
    """The ledger will never take this as it is. `status` and `body` are its answer, where there was one."""

    def __init__(self, reason: str = "", status: int | None = None, body: dict[str, Any] | None = None) -> None:
        super().__init__(reason, status)
        self.body: dict[str, Any] = body or {}


class SupersededError(ApiError):
    """409 superseded: another attempt holds the task now."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason, 409)


class CommandError(LedgerError):
    """Ends a command with this one line for the person at the terminal; `code` is the exit code.

    Where a call of the ledger failed, `asked` is true and `status` its HTTP status, None where no answer came.
    """

    def __init__(self, text: str, code: int = 1, *, asked: bool = False, status: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.asked = asked
        self.status = status

    @property
    def unanswered(self) -> bool:
        """Whether the ledger gave no answer at all, so that asking again may help."""
        return self.asked and self.status is None


class UsageError(LedgerError):
    """The words of the command line do not go together; the message says how they would."""


class CancelledError(LedgerError):
    """Someone cancelled the run before it began."""


class SpoolBusyError(LedgerError):
    """Another process is sending this run."""


class FileChangedError(LedgerError):
    """The file on disk is not the one whose size and hash were announced."""


class OutOfBoundsError(LedgerError):
    """A folder of training data has more files, or takes longer, than anyone waits for."""


class UnreadableError(LedgerError, ValueError):
    """What was read is not what it has to be; the message is one plain line."""


class TooMuchError(UnreadableError):
    """What was to be read lies beyond a bound; the message is one plain line that names it."""


class NoTomlError(UnreadableError):
    """The text is no TOML that this reader knows."""


class NoYamlError(UnreadableError):
    """The text is no YAML that this reader knows; the message is one plain line that names the text's line."""


class IncompleteFileError(UnreadableError):
    """The file is shorter or longer than its header says, or has no readable header (yet)."""


class NoAdapterError(UnreadableError):
    """The file is no safetensors file that can be read; the message is one plain line."""


class NoArchiveError(UnreadableError):
    """The file is no archive of a run, or one that cannot be read; the message is one plain line."""
