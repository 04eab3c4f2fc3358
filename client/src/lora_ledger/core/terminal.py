"""What the client tells the person at the terminal: one line each, in plain words, on stderr."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import unicodedata
from collections.abc import Iterable
from typing import TextIO

from .language import Sentence, shown, t

_lock = threading.RLock()
_warned: set[str] = set()
_secrets: set[str] = set()
_quiet = False
_at_line_start = True


def configure(quiet: bool = False, secrets: Iterable[str | None] = ()) -> None:
    """`quiet` silences notices (warnings stay); no string in `secrets` is ever printed."""
    global _quiet
    _quiet = quiet
    _secrets.update(s for s in secrets if s)


def debugging() -> bool:
    return os.environ.get("LEDGER_DEBUG") == "1"


def scrub(text: str) -> str:
    """The text without the ledger key, wherever it came from."""
    for secret in _secrets:
        text = text.replace(secret, "[redacted]")
    return text


def printable(value: object) -> str:
    """The value on one line, without control characters that could steer a terminal."""
    if isinstance(value, Sentence):
        return value.map(printable)
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)


def width_of(text: str) -> int:
    """Columns that the text takes in a terminal; East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def note_stderr(last_byte: bytes) -> None:
    """Tells where the trainer's own output left the cursor, so that a notice starts on a fresh line."""
    global _at_line_start
    _at_line_start = last_byte in (b"\n", b"\r")


def write_stderr(data: bytes) -> bool:
    """Writes bytes to stderr whole; False once nobody reads it any more."""
    global _at_line_start
    with _lock:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(2, view) :]
        except OSError:
            return False
        if data:
            _at_line_start = data[-1:] in (b"\n", b"\r")
        return True


def _cell() -> TextIO | None:
    """What writes into a notebook's cell, where file descriptor 2 leads elsewhere; None at a terminal."""
    stream = sys.stderr
    return stream if type(stream).__module__.partition(".")[0] == "ipykernel" else None


def _encoding() -> str:
    return getattr(sys.stderr, "encoding", None) or "utf-8"


def _line(text: object) -> None:
    text = " ".join(printable(scrub(shown(text, _encoding()))).split())
    cell = _cell()
    if cell:
        cell.write(f"[ledger] {text}\n")
        return
    with _lock:
        start = "" if _at_line_start else "\n"
        try:
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            pass
        write_stderr(f"{start}[ledger] {text}\n".encode(_encoding(), "replace"))


def notice(text: str) -> None:
    """Something good to know."""
    if not _quiet:
        _line(text)


def warn(text: str) -> None:
    """Something that went wrong, and what to do next."""
    _line(text)


def warn_once(topic: str, text: str) -> None:
    """Like `warn`, but once per topic and process."""
    with _lock:
        if topic in _warned:
            return
        _warned.add(topic)
    _line(text)


def trouble(error: BaseException) -> None:
    """Shows an unexpected fault of the client's own, and only to who asked for it by LEDGER_DEBUG=1."""
    if debugging():
        text = scrub("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        with _lock:
            write_stderr(text.encode("utf-8", "replace"))


def count(at: int, total: int) -> None:
    """Shows how many of a number of things are done, over and over on one line of the terminal."""
    text = shown(t("{at} of {total}", at=at, total=total), _encoding())
    write_stderr(f"\r[ledger] {text} ".encode(_encoding(), "replace"))


class Progress:
    """A bar on one terminal line; elsewhere a plain line every tenth of the way."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(1, total)
        self.terminal = sys.stderr.isatty() if sys.stderr else False
        self.last_tenth = -1
        self.last_drawn = ""

    def show(self, done: int) -> None:
        """`done` and the total are bytes."""
        if _quiet:
            return
        part = min(1.0, done / self.total)
        text = t("{label} {percent:3.0f}% of {size}", label=self.label, percent=part * 100, size=size_text(self.total))
        if self.terminal:
            filled = int(part * 24)
            line = printable(scrub(shown(text, _encoding())))
            drawn = f"\r[ledger] {line} [{'#' * filled}{'.' * (24 - filled)}]"
            if drawn != self.last_drawn:
                self.last_drawn = drawn
                with _lock:
                    write_stderr(drawn.encode(_encoding(), "replace"))
                    note_stderr(b" ")
        elif int(part * 10) > self.last_tenth and self.total > 50_000_000:
            self.last_tenth = int(part * 10)
            _line(text)

    def end(self, text: str) -> None:
        """Replaces the bar by a closing line."""
        if _quiet:
            return
        if self.terminal and self.last_drawn:
            with _lock:
                write_stderr(b"\r" + b" " * width_of(self.last_drawn) + b"\r")
        _line(text)


def size_text(size: float) -> str:
    """Bytes as people write them: 37.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
