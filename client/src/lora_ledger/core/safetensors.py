"""Reads safetensors headers: 8 bytes of little-endian length, that much JSON, then the tensors' bytes."""

from __future__ import annotations

import os
import struct
from typing import Any

from .errors import IncompleteFileError, TooMuchError
from .language import t
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
            raise IncompleteFileError(t("no header yet"))
        length = struct.unpack("<Q", start)[0]
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            longer = (
                t("the file")
                if length > size - 8
                else t("{header_limit}, which is no adapter's", header_limit=size_text(HEADER_LIMIT))
            )
            raise IncompleteFileError(t("the header is longer than {longer}", longer=longer))
        try:
            header = as_object(loads(file.read(length)))
        except TooMuchError as error:
            raise IncompleteFileError(t("of the header: {error}", error=error)) from error
        except ValueError as error:
            raise IncompleteFileError(t("the header is no JSON")) from error
    if header is None:
        raise IncompleteFileError(t("the header is no JSON object"))
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            try:
                end = max(end, int(tensor["data_offsets"][1]))
            except (TypeError, KeyError, IndexError, ValueError, OverflowError) as error:
                raise IncompleteFileError(t("tensor {name} has no offsets", name=name[:200])) from error
    if 8 + length + end != size:
        raise IncompleteFileError(t("{size} bytes where the header says {named}", size=size, named=8 + length + end))
    return header


def read_metadata(path: StrPath) -> dict[str, Any]:
    """The trainer's `__metadata__` (strings); empty where it is missing or cannot be read."""
    try:
        return section(read_header(path), "__metadata__")
    except (OSError, ValueError):
        return {}
