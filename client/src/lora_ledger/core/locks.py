"""Locks on files, which end with the process that holds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from .errors import SpoolBusyError


def lock_file(file: BinaryIO) -> None:
    """Locks the open file until it is closed. Raises SpoolBusyError while another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SpoolBusyError from error


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file. Raises OSError when that cannot be told."""
    # Opened for writing, since some network disks lock nothing else.
    with open(path, "r+b") as file:
        try:
            lock_file(file)
        except SpoolBusyError:
            return True
    return False
