"""Reading what others wrote, within bounds: files, lines, JSON, folders, the output of commands.

Each bound is far above what any trainer or tracker writes; what lies beyond is refused or left out, never read whole.
"""

import errno
import json
import os
import stat
import subprocess
import sys
import threading

from .terminal import size_text
from .text import repaired

# Deeper than any settings nest, and well within what Python's own recursion bears.
DEPTH = 100
# Lists and objects of one JSON text. Each costs Python some 60 to 200 bytes, for two bytes of text.
MOST_CONTAINERS = 2_000_000
_DIGITS = 4300


class TooMuch(ValueError):
    """What was to be read lies beyond a bound; the message is one plain line that names it."""


def open_file(path):
    """A regular file opened for reading bytes. Raises OSError also for a pipe, socket or device, which might never end."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path, most):
    """The file's bytes, at most `most`. Raises TooMuch or OSError."""
    with open_file(path) as file:
        # Python sets as many bytes aside as are asked for.
        data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > most:
        raise TooMuch(f"it is larger than {size_text(most)}")
    return data


def read_start(path, most):
    """The first `most` bytes of a file as text; empty where it cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(min(most, os.fstat(file.fileno()).st_size)).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def lines(file, most):
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


def _whole(digits):
    if len(digits) > _DIGITS:
        raise TooMuch(f"a number has more than {_DIGITS} digits")
    return int(digits)


# Before Python 3.11, reading a whole number takes time with the square of its length.
_NUMBERS = {} if hasattr(sys, "set_int_max_str_digits") else {"parse_int": _whole}


def loads(text, most=MOST_CONTAINERS):
    """JSON out of text or bytes, its texts repaired. Raises ValueError for whatever is wrong with it, too deep and too large.

    `most` bounds its lists and objects.
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode(json.detect_encoding(text))
    containers = text.count("[") + text.count("{")
    if containers > most:
        raise TooMuch(f"it holds more than {most} lists and objects")
    try:
        value = json.loads(text, **_NUMBERS)
    except RecursionError:
        raise TooMuch(f"it nests deeper than {DEPTH} levels") from None
    if containers > DEPTH and too_deep(value):
        raise TooMuch(f"it nests deeper than {DEPTH} levels")
    return _repaired(value) if "\\ud" in text or "\\uD" in text else value


def too_deep(value, most=DEPTH):
    """Whether lists and dicts nest deeper than `most` levels."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


def _repaired(value):
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, dict):
        return {repaired(name): _repaired(inner) for name, inner in value.items()}
    return [_repaired(inner) for inner in value] if isinstance(value, list) else value


def folders(top, most, depth=64):
    """(path, names of folders, names of files) of each folder from `top` down, as os.walk gives them, sorted.

    The caller may take names out of the list of folders. Links are not followed, what cannot be listed is left out, and
    after `most` entries it raises TooMuch.
    """
    waiting = [(os.fspath(top), 0)]
    seen = 0
    while waiting:
        path, level = waiting.pop()
        below, names = [], []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    seen += 1
                    if seen > most:
                        raise TooMuch(f"there are more than {most} files and folders; name a folder further down")
                    (below if _is_folder(entry) else names).append(entry.name)
        except OSError:
            continue
        below.sort()
        yield path, below, sorted(names)
        if level < depth:
            waiting += [(os.path.join(path, name), level + 1) for name in reversed(below)]


def _is_folder(entry):
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def output(command, timeout, most=4_000_000, cwd=None):
    """A command's standard output as text; None where it fails, takes longer than `timeout` seconds or prints more than `most` bytes."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=cwd
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    killer = threading.Timer(timeout, process.kill)
    killer.daemon = True
    killer.start()
    try:
        with process.stdout as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            process.kill()
        code = process.wait(timeout)
    except (OSError, subprocess.SubprocessError):
        process.kill()
        process.wait()
        return None
    finally:
        killer.cancel()
    return data.decode("utf-8", "replace") if code == 0 and len(data) <= most else None
