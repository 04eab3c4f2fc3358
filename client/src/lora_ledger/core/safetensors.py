"""Reads safetensors headers: 8 bytes of little-endian length, that much JSON, then the tensors' bytes."""

from __future__ import annotations

import os
import struct
from typing import Any

from .errors import IncompleteFileError, TooMuchError
from .reading import loads, open_file
from .terminal import size_text
from .types import StrPath, as_object, section

# The format allows 100 MB; those of whole models have a few.
HEADER_LIMIT = 32 * 1000 * 1000


def read_header(path: StrPath) -> dict[str, Any]:
    """The header's JSON. Raises IncompleteFileError unless the file is exactly as long as the header says; OSError."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if len(start) < 8:
            raise IncompleteFileError("no header yet")
        length = struct.unpack("<Q", start)[0]
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            longer = "the file" if length > size - 8 else f"{size_text(HEADER_LIMIT)}, which is no adapter's"
            raise IncompleteFileError(f"the header is longer than {longer}")
        try:
            header = as_object(loads(file.read(length)))
        except TooMuchError as error:
            raise IncompleteFileError(f"of the header: {error}") from error
        except ValueError as error:
            raise IncompleteFileError("the header is no JSON") from error
    if header is None:
        raise IncompleteFileError("the header is no JSON object")
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            try:
                end = max(end, int(tensor["data_offsets"][1]))
            except (TypeError, KeyError, IndexError, ValueError, OverflowError) as error:
                raise IncompleteFileError(f"tensor {name[:200]} has no offsets") from error
    if 8 + length + end != size:
        raise IncompleteFileError(f"{size} bytes where the header says {8 + length + end}")
    return header


def read_metadata(path: StrPath) -> dict[str, Any]:
    """The trainer's `__metadata__` (strings); empty where it is missing or cannot be read."""
    try:
        return section(read_header(path), "__metadata__")
    except (OSError, ValueError):
        return {}
