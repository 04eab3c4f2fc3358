"""What the trainer printed: passed on, kept compressed, and read for what its last lines say."""

from __future__ import annotations

import os
import queue
import re
import threading
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Callable

from ..core import terminal, withhold
from ..core.redact import redact_bytes, redact_text

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|CUDNN_STATUS_ALLOC_FAILED|HIP out of memory"
    r"|MPS backend out of memory|DefaultCPUAllocator: (?:can't|not enough)|^MemoryError"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w]*\.)*[A-Za-z_]\w*(?:: .*|:)?$")
TAIL_LINES = 40
TAIL_BYTES = 8000
LONGEST_LINE = 16_384


class Lines:
    """Splits one stream on `\\n` and `\\r`. A line that a `\\r` overwrites is a state of a bar, not a line to keep.

    `on_state(text, whole)` gets every line and state; `whole` is false for one that has no end yet.
    """

    def __init__(self, on_line: Callable[[str], None], on_state: Callable[[str, bool], None]) -> None:
        self.on_line = on_line
        self.on_state = on_state
        self.rest = b""
        self.state = ""
        self.carriage = False

    def feed(self, data: bytes) -> None:
        """Takes the stream's next bytes."""
        if self.carriage and data[:1] == b"\n":
            # A `\r\n` cut in two by the pipe.
            data = data[1:]
            self.on_line(self.state)
            self.state = ""
        self.carriage = data[-1:] == b"\r"
        pieces = re.split(rb"(\r\n|\n|\r)", self.rest + data)
        for text, end in zip(pieces[0::2], pieces[1::2]):
            line = _clean(text) if text else ""
            if end == b"\r":
                if line:
                    self.state = line
                    self.on_state(line, True)
            else:
                if not line and self.state:
                    line = self.state
                elif line:
                    self.on_state(line, True)
                self.state = ""
                self.on_line(line)
        rest = pieces[-1]
        self.rest = rest if len(rest) <= LONGEST_LINE else withhold.from_bytes(rest)[-LONGEST_LINE:]

    def flush(self, ended: bool = False) -> None:
        """Reads what stands there without a line end. tqdm writes `\\r` first, so its newest state is always here.

        `ended`: nothing more will come.
        """
        line = _clean(self.rest)
        if line and line != self.state:
            self.on_state(line, ended)

    def current(self) -> str:
        """The unfinished line."""
        return _clean(self.rest) or self.state


def _clean(data: bytes) -> str:
    # Before anything is cut off: a part of a secret would be known as none.
    text = withhold.from_bytes(data)[:LONGEST_LINE].decode("utf-8", "replace")
    if "\x1b" in text:
        text = withhold.from_text(_ESCAPES.sub("", text))
    return text.rstrip()


def is_out_of_memory(text: str) -> bool:
    """Whether a line says that the memory of the GPU or the machine is used up."""
    return bool(_OUT_OF_MEMORY.search(text))


class Failure:
    """Looks for the reason of a failure in the lines: running out of memory, and the last exception."""

    def __init__(self) -> None:
        self.out_of_memory = False
        self.message = None
        self._in_traceback = False

    def line(self, line: str) -> None:
        """Takes the next line of a stream."""
        if "emory" in line or "ALLOC_FAILED" in line:
            if is_out_of_memory(line):
                self.out_of_memory = True
        if "Traceback (most recent call last)" in line:
            self._in_traceback = True
        elif self._in_traceback and line and not line.startswith((" ", "\t", "|", "+")) and _EXCEPTION.match(line):
            self._in_traceback = False
            # A launcher's own complaint that its child failed says nothing about why.
            if not (self.message and ("CalledProcessError" in line or "ChildFailedError" in line)):
                self.message = line[:2000]


class Console:
    """Takes both streams' chunks. `on_state(line, whole)` gets every line and every state of a bar, as in Lines.

    The trainer's pipe is never kept waiting for the reading here: when that lags by more than 8 MB, chunks are
    passed on to the terminal and left out of the record.
    """

    LAG = 8 * 1024 * 1024
    PAUSE = 0.1
    KEEP = 256 * 1024 * 1024

    def __init__(self, path: Path, on_state: Callable[[str, bool], None]) -> None:
        self.path = path
        self.failure = {"stdout": Failure(), "stderr": Failure()}
        self.left_out = 0
        self._on_state = on_state
        self._tail = deque(maxlen=TAIL_LINES)
        self._lines = {name: Lines(self._line_of(name), self._state) for name in self.failure}
        self._queue = queue.Queue()
        self._waiting = 0
        self._guard = threading.Lock()
        self._kept = dict.fromkeys(self.failure, b"")
        self._zip = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._written = 0
        self._file = None
        try:
            self._file = open(path, "wb")
        except OSError as error:
            terminal.trouble(error)
        self._thread = threading.Thread(target=self._read, name="ledger-console", daemon=True)
        self._thread.start()

    def _state(self, line: str, whole: bool) -> None:
        try:
            self._on_state(line, whole)
        except Exception as error:
            # One line that cannot be understood hides none of those behind it.
            terminal.trouble(error)

    def _line_of(self, name: str) -> Callable[[str], None]:
        def line(text: str) -> None:
            self.failure[name].line(text)
            with self._guard:
                self._tail.append(text)

        return line

    def feed(self, name: str, data: bytes) -> None:
        """Takes a chunk of "stdout" or "stderr"; returns at once."""
        if self._waiting > self.LAG:
            self.left_out += len(data)
            return
        with self._guard:
            self._waiting += len(data)
        self._queue.put((name, data))

    def _read(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=0.5)
            except queue.Empty:
                self._sync()
                continue
            if item is None:
                return
            name, data = item
            try:
                self._lines[name].feed(data)
                if self._queue.empty():
                    self._lines[name].flush()
                self._keep(name, data)
            except Exception as error:
                terminal.trouble(error)
            with self._guard:
                self._waiting -= len(data)
            if self._queue.empty():
                # What comes meanwhile is read together: each time that this wakes costs the trainer's core a little.
                time.sleep(self.PAUSE)

    def _keep(self, name: str, data: bytes) -> None:
        # Cut at line ends, so that a token is never torn in two and missed.
        data = self._kept[name] + data
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        # Nor is a private key, which takes several lines.
        begun = data.rfind(b"-----BEGIN ", 0, cut)
        if begun >= 0 and data.find(b"-----END ", begun, cut) < 0:
            cut = max(data.rfind(b"\n", 0, begun), data.rfind(b"\r", 0, begun)) + 1
        if not cut and len(data) > 65_536:
            data = withhold.from_bytes(data)
            cut = len(data) - min(len(data), withhold.longest())
        self._kept[name] = data[cut:]
        self._write(self._clean(data[:cut]))

    @staticmethod
    def _clean(data: bytes) -> bytes:
        return redact_bytes(withhold.from_bytes(data))

    def _write(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        if self._written > self.KEEP:
            self.left_out += len(data)
            return
        try:
            packed = self._zip.compress(data)
            self._written += len(packed)
            self._file.write(packed)
        except OSError as error:
            terminal.trouble(error)
            self._file = None

    def _sync(self) -> None:
        for lines in self._lines.values():
            lines.flush()

    def tail(self) -> str:
        """The last 40 lines, at most 8 kB, bars in their last state, secrets replaced."""
        with self._guard:
            lines = list(self._tail)
        lines += [text for text in (self._lines[n].current() for n in ("stdout", "stderr")) if text]
        text = redact_text("\n".join(lines[-TAIL_LINES:]))
        return text.encode("utf-8", "replace")[-TAIL_BYTES:].decode("utf-8", "ignore")

    def out_of_memory(self) -> bool:
        """Whether either stream showed a known out-of-memory message."""
        return any(f.out_of_memory for f in self.failure.values())

    def last_exception(self) -> str | None:
        """The last exception's line, stderr first; None without a traceback."""
        message = self.failure["stderr"].message or self.failure["stdout"].message
        return redact_text(message) if message else None

    def close(self) -> Path | None:
        """Reads the rest and ends the compressed file. Its path, or None when there is no such file."""
        self._queue.put(None)
        self._thread.join(30.0)
        for name, lines in self._lines.items():
            lines.flush(ended=True)
            last = lines.current()
            if last:
                self._line_of(name)(last)
            lines.rest, lines.state = b"", ""
            self._write(self._clean(self._kept[name]))
        if self.left_out:
            self._written = 0
            self._write(f"\n[ledger] {self.left_out} bytes of output were left out of this file\n".encode())
        if self._file is None:
            return None
        try:
            self._file.write(self._zip.flush())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            return self.path if os.path.getsize(self.path) else None
        except OSError as error:
            terminal.trouble(error)
            return None
