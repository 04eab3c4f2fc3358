"""Reads safetensors headers: 8 bytes of little-endian length, that much JSON, then the tensors' bytes."""

import os
import struct

from .reading import TooMuch, loads, open_file
from .terminal import size_text

# The format allows 100 MB; those of whole models have a few.
HEADER_LIMIT = 32 * 1000 * 1000


class Incomplete(ValueError):
    """The file is shorter or longer than its header says, or has no readable header (yet)."""


def read_header(path):
    """The header's JSON. Raises Incomplete unless the file is exactly as long as the header says; OSError."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if len(start) < 8:
            raise Incomplete("no header yet")
        length = struct.unpack("<Q", start)[0]
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            longer = "the file" if length > size - 8 else f"{size_text(HEADER_LIMIT)}, which is no adapter's"
            raise Incomplete(f"the header is longer than {longer}")
        try:
            header = loads(file.read(length))
        except TooMuch as error:
            raise Incomplete(f"of the header: {error}") from error
        except ValueError as error:
            raise Incomplete("the header is no JSON") from error
    if not isinstance(header, dict):
        raise Incomplete("the header is no JSON object")
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            try:
                end = max(end, int(tensor["data_offsets"][1]))
            except (TypeError, KeyError, IndexError, ValueError, OverflowError) as error:
                raise Incomplete(f"tensor {name[:200]} has no offsets") from error
    if 8 + length + end != size:
        raise Incomplete(f"{size} bytes where the header says {8 + length + end}")
    return header


def read_metadata(path):
    """The trainer's `__metadata__` (strings); empty where it is missing or cannot be read."""
    try:
        metadata = read_header(path).get("__metadata__")
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
