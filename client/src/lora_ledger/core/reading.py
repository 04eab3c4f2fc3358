"""Reading what others wrote, within bounds: files, lines, JSON, folders, the output of commands.

Each bound is far above what any trainer or tracker writes; what lies beyond is refused or left out, never read whole.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from .errors import TooMuchError
from .language import t
from .terminal import size_text
from .text import repaired
from .types import StrPath, as_list, as_object

# Deeper than any settings nest, and well within what Python's own recursion bears.
DEPTH = 100
# Lists and objects of one JSON text. Each costs Python some 60 to 200 bytes, for two bytes of text.
MOST_CONTAINERS = 2_000_000
_DIGITS = 4300
# A process that was killed is gone at once, or hangs in a driver.
KILL_SECONDS = 2.0


def open_file(path: StrPath) -> BinaryIO:
    """A regular file opened for reading bytes. Raises OSError also for a pipe, socket or device, which might never
    end."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, t("it is no regular file"), str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: StrPath, most: int) -> Any:
    """The file's bytes, at most `most`. Raises TooMuchError or OSError."""
    with open_file(path) as file:
        # Python sets as many bytes aside as are asked for.
        data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > most:
        raise TooMuchError(t("it is larger than {most}", most=size_text(most)))
    return data


def read_start(path: StrPath, most: int) -> str:
    """The first `most` bytes of a file as text, without a byte order mark; empty where it cannot be read."""
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            text = decoded(file.read(min(most, size)), cut=size > most)
    except OSError:
        return ""
    return text[1:] if text.startswith("\ufeff") else text


def decoded(data: bytes, cut: bool = False) -> str:
    """A trainer's file as text: UTF-16 by its mark, UTF-8, else GB18030, which Chinese Windows machines write.

    What is none of these has U+FFFD in its place. `cut`: the bytes end somewhere within the text.
    """
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(name, "replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut)
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace")


def lines(file: IO[bytes], most: int) -> Iterator[bytes | None]:
    """Lines of a file of bytes, with their ends; None in the place of each that is longer than `most`."""
    while True:
        line = file.readline(most + 1)
        if not line:
            return
        if len(line) <= most:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(most)
        yield None


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise TooMuchError(t("a number has more than {digits} digits", digits=_DIGITS))
    return int(digits)


# Before Python 3.11, reading a whole number takes time with the square of its length.
_NUMBERS: dict[str, Any] = {} if hasattr(sys, "set_int_max_str_digits") else {"parse_int": _whole}


def loads(text: str | bytes, most: int = MOST_CONTAINERS) -> Any:
    """JSON out of text or bytes, its texts repaired. Raises ValueError for whatever is wrong with it, too deep and too
    large.

    `most` bounds its lists and objects.
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode(json.detect_encoding(text))
    containers = text.count("[") + text.count("{")
    if containers > most:
        raise TooMuchError(t("it holds more than {most} lists and objects", most=most))
    try:
        value = json.loads(text, **_NUMBERS)
    except RecursionError:
        raise TooMuchError(t("it nests deeper than {depth} levels", depth=DEPTH)) from None
    if containers > DEPTH and too_deep(value):
        raise TooMuchError(t("it nests deeper than {depth} levels", depth=DEPTH))
    return _repaired(value) if "\\ud" in text or "\\uD" in text else value


def too_deep(value: Any, most: int = DEPTH) -> bool:
    """Whether lists and dicts nest deeper than `most` levels."""
    level: list[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in cast("Iterable[Any]", outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return repaired(value)
    inside = as_object(value)
    if inside is not None:
        return {repaired(name): _repaired(inner) for name, inner in inside.items()}
    items = as_list(value)
    return value if items is None else [_repaired(inner) for inner in items]


def folders(top: Path, most: int, depth: int = 64) -> Iterator[tuple[str, list[str], list[str]]]:
    """(path, names of folders, names of files) of each folder from `top` down, as os.walk gives them, sorted.

    The caller may take names out of the list of folders. Links are not followed, what cannot be listed is left out, and
    after `most` entries it raises TooMuchError.
    """
    waiting = [(os.fspath(top), 0)]
    seen = 0
    while waiting:
        path, level = waiting.pop()
        below: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    seen += 1
                    if seen > most:
                        raise TooMuchError(
                            t("there are more than {most} files and folders; name a folder further down", most=most)
                        )
                    (below if _is_folder(entry) else names).append(entry.name)
        except OSError:
            continue
        below.sort()
        yield path, below, sorted(names)
        if level < depth:
            waiting += [(os.path.join(path, name), level + 1) for name in reversed(below)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def output(command: list[str], timeout: float, most: int = 4_000_000, cwd: StrPath | None = None) -> str | None:
    """A command's standard output as text; None where it fails, takes longer than `timeout` seconds or prints more than
    `most` bytes.

    What it started ends with it. A command that hangs in a driver, where no signal reaches it, is left behind.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            start_new_session=os.name == "posix",
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    killer = threading.Timer(timeout, _kill, (process,))
    killer.daemon = True
    killer.start()
    data = None
    try:
        stream = process.stdout
        if stream is not None:
            with stream:
                data = _read_until(stream, most, time.monotonic() + timeout)
        if data is not None and len(data) <= most:
            # The timer still runs: it ends what closed its output and went on.
            code = process.wait(timeout + KILL_SECONDS)
            return data.decode("utf-8", "replace") if code == 0 else None
        _kill(process)
        process.wait(KILL_SECONDS)
    except (OSError, subprocess.SubprocessError):
        _kill(process)
    finally:
        killer.cancel()
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and what it started, as long as it has not been waited for."""
    try:
        if os.name == "posix":
            # Its group has its number, which no other process gets while one of the group lives.
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:
        pass


def _read_until(stream: IO[bytes], most: int, deadline: float) -> bytes | None:
    """What a pipe gives until its end, or one byte more than `most`; None where the deadline comes first."""
    if os.name != "posix":
        # Pipes there cannot be waited for: the timer ends the process, and with it the pipe.
        return stream.read(most + 1)
    data = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        while len(data) <= most:
            if not waiting.select(max(0.0, deadline - time.monotonic())):
                return None
            part = os.read(stream.fileno(), min(65536, most + 1 - len(data)))
            if not part:
                break
            data += part
    return data
