"""Looks into each file before it is sent: a secret that this process knows leaves the machine in none.

A safetensors file gets `*` in the place of the value in its header, on the disk too, so that what is stored and what
lies here stay the same bytes (`safe` compares them). Of a text a clean copy is sent. Anything else stays here.
"""

from __future__ import annotations

import os
import struct
import uuid
from dataclasses import replace
from pathlib import Path

from ..core import terminal, withhold
from ..core.errors import IncompleteFileError
from ..core.journal import Upload
from ..core.language import t
from ..core.redact import redact_file
from ..core.safetensors import read_header
from ..core.types import StrPath

# A larger file is searched only where a value was put into the configuration: it takes 3 s a GB.
SEARCH_LIMIT = 256 * 1024 * 1024
# A larger text is no configuration and no prompt.
TEXT_LIMIT = 16 * 1024 * 1024


def make_ready(item: Upload, folder: Path) -> Upload | None:
    """The item to send in the place of `item`, with clean copies in `folder`; None where the file has to stay here."""
    path = item.path
    if item.kind == "config" and os.path.isfile(path):
        copy = folder / f"config-{uuid.uuid4().hex[:12]}"
        try:
            if redact_file(path, copy):
                item, path = replace(item, path=str(copy)), str(copy)
        except OSError as error:
            terminal.warn(
                t(
                    "{filename} cannot be searched for secrets ({error}) and is not uploaded",
                    filename=item.filename,
                    error=error.strerror or error,
                )
            )
            return None
    if not withhold.longest() or not os.path.isfile(path):
        return item
    try:
        told = _tells(path) if str(path).endswith(".safetensors") else None
        if told is None and os.path.getsize(path) > SEARCH_LIMIT and not withhold.has_filled():
            return item
        if told is False or (told is None and not withhold.are_in_file(path)):
            return item
        copy = _clean_copy(path, folder) if told is None else _star_header(path)
    except OSError as error:
        terminal.warn(
            t(
                "{filename} cannot be searched for secrets ({error}) and is not uploaded",
                filename=item.filename,
                error=error.strerror or error,
            )
        )
        return None
    if copy is None:
        terminal.warn(
            t(
                "{filename} holds the value of a secret and is not uploaded; it stays in {dirname}",
                filename=item.filename,
                dirname=os.path.dirname(path),
            )
        )
        return None
    return replace(item, path=str(copy))


def _star_header(path: StrPath) -> StrPath | None:
    """Writes `*` over known values in a safetensors header; the path, or None where they stay. Raises OSError."""
    stat = os.stat(path)
    with open(path, "r+b") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = file.read(length)
        file.seek(8)
        file.write(withhold.with_stars(header))
    done = _tells(path) is False
    if not done:
        # The value was no part of a string, or is written in yet another way: the file stays as it was.
        with open(path, "r+b") as file:
            file.seek(8)
            file.write(header)
    # To whoever has seen it before it is the same file still.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if not done:
        return None
    terminal.notice(
        t("{basename}: a secret's value was replaced by * in its metadata", basename=os.path.basename(path))
    )
    return path


def _tells(path: StrPath) -> bool | None:
    """Whether a safetensors header holds a known value, as bytes or once read; None for another file. Raises
    OSError."""
    try:
        header = read_header(path)
    except IncompleteFileError:
        return None
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        data = file.read(length)
    return withhold.are_in_bytes(data) or withhold.from_value(header) != header


def _clean_copy(path: StrPath, folder: Path) -> Path | None:
    """A copy of a text without known values; None where the file is no text. Raises OSError."""
    if os.path.getsize(path) > TEXT_LIMIT:
        return None
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    target = folder / f"clean-{uuid.uuid4().hex[:12]}"
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(withhold.from_bytes(data))
    return target
