"""What the client tells the person at the terminal: one line each, in plain words, on stderr."""

import os
import sys
import threading
import traceback

_lock = threading.RLock()
_warned = set()
_secrets = set()
_quiet = False
_at_line_start = True


def configure(quiet=False, secrets=()):
    """`quiet` silences notices (warnings stay); no string in `secrets` is ever printed."""
    global _quiet
    _quiet = quiet
    _secrets.update(s for s in secrets if s)


def debugging():
    return os.environ.get("LEDGER_DEBUG") == "1"


def scrub(text):
    """The text without the ledger key, wherever it came from."""
    for secret in _secrets:
        text = text.replace(secret, "[redacted]")
    return text


def printable(value):
    """The value on one line, without control characters that could steer a terminal."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)


def note_stderr(last_byte):
    """Tells where the trainer's own output left the cursor, so that a notice starts on a fresh line."""
    global _at_line_start
    _at_line_start = last_byte in (b"\n", b"\r")


def write_stderr(data):
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


def _line(text):
    text = " ".join(printable(scrub(str(text))).split())
    with _lock:
        start = "" if _at_line_start else "\n"
        try:
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            pass
        write_stderr(f"{start}[ledger] {text}\n".encode("utf-8", "replace"))


def notice(text):
    """Something good to know."""
    if not _quiet:
        _line(text)


def warn(text):
    """Something that went wrong, and what to do next."""
    _line(text)


def warn_once(topic, text):
    """Like `warn`, but once per topic and process."""
    with _lock:
        if topic in _warned:
            return
        _warned.add(topic)
    _line(text)


def trouble(error):
    """Shows an unexpected fault of the client's own, and only to who asked for it by LEDGER_DEBUG=1."""
    if debugging():
        text = scrub("".join(traceback.format_exception(type(error), error, error.__traceback__)))
        with _lock:
            write_stderr(text.encode("utf-8", "replace"))


class Progress:
    """A bar on one terminal line; elsewhere a plain line every tenth of the way."""

    def __init__(self, label, total):
        self.label = label
        self.total = max(1, total)
        self.terminal = sys.stderr.isatty() if sys.stderr else False
        self.last_tenth = -1
        self.last_drawn = None

    def show(self, done):
        """`done` and the total are bytes."""
        if _quiet:
            return
        part = min(1.0, done / self.total)
        text = f"{printable(self.label)} {part * 100:3.0f}% of {size_text(self.total)}"
        if self.terminal:
            filled = int(part * 24)
            drawn = f"\r[ledger] {text} [{'#' * filled}{'.' * (24 - filled)}]"
            if drawn != self.last_drawn:
                self.last_drawn = drawn
                with _lock:
                    write_stderr(drawn.encode("utf-8", "replace"))
                    note_stderr(b" ")
        elif int(part * 10) > self.last_tenth and self.total > 50_000_000:
            self.last_tenth = int(part * 10)
            _line(text)

    def end(self, text):
        """Replaces the bar by a closing line."""
        if _quiet:
            return
        if self.terminal and self.last_drawn:
            with _lock:
                write_stderr(b"\r" + b" " * (len(self.last_drawn) + 1) + b"\r")
        _line(text)


def size_text(size):
    """Bytes as people write them: 37.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
