"""Reads safetensors headers: 8 bytes of little-endian length, that much JSON, then the tensors' bytes."""

import json
import os
import struct

HEADER_LIMIT = 100 * 1000 * 1000


class Incomplete(ValueError):
    """The file is shorter or longer than its header says, or has no readable header (yet)."""


def read_header(path):
    """The header's JSON. Raises Incomplete unless the file is exactly as long as the header says; OSError."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise Incomplete("no header yet")
        length = struct.unpack("<Q", start)[0]
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise Incomplete("the header is longer than the file")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise Incomplete("the header is no JSON") from error
    if not isinstance(header, dict):
        raise Incomplete("the header is no JSON object")
    end = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            try:
                end = max(end, int(tensor["data_offsets"][1]))
            except (TypeError, KeyError, IndexError, ValueError) as error:
                raise Incomplete(f"tensor {name} has no offsets") from error
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
