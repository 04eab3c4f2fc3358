"""What a LoRA file says of itself: its header, the trainer's metadata, and rank, alpha and algorithm of its tensors.

Format: https://github.com/huggingface/safetensors (8 bytes of little-endian length, JSON, tensor bytes). Only the
header
and a few scalars are read, whatever the file's size.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

from ..core.errors import NoAdapterError, TooMuchError
from ..core.language import t
from ..core.reading import loads as loads_json
from ..core.reading import open_file
from .base_arch import base_arch_of
from .tensor_names import (
    LONGEST_NAME,
    Shapes,
    alpha_in_metadata,
    implies_rank,
    rank_stabilised,
    refine_algorithm,
)

# Headers of LoRA files are some 100 kB; larger than this is no adapter.
MAX_HEADER = 32 * 1024 * 1024
_SCALARS = {"F16": ("<e", 2), "F32": ("<f", 4), "F64": ("<d", 8), "BF16": (None, 2)}


class Adapter:
    """`metadata` (strings), `rank`, `conv_rank`, `alpha`, `conv_alpha`, `algorithm`, `arch` (read at `arch_read`); None
    where nothing tells. `notes` are sentences about what the file holds, `shapes` what its tensors' names and shapes
    tell. Raises NoAdapterError for what is no adapter: another file, a model's own weights, embeddings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size, start, header = read_header(path)
        raw = header.pop("__metadata__", None)
        self.metadata = {
            k: v
            for k, v in (raw if isinstance(raw, dict) else {}).items()
            if isinstance(v, str) and v not in ("None", "")
        }
        named = ((n, tensor) for n, tensor in header.items() if len(n) <= LONGEST_NAME)
        self.tensors = {n: tensor for n, tensor in named if _well_formed(tensor, self.size - start)}
        self._start = start
        self.shapes = shapes = Shapes(self.tensors)
        self.rank, self.conv_rank, self.notes = shapes.rank, shapes.conv_rank, shapes.notes
        self.algorithm = refine_algorithm(shapes.algorithm, self.metadata)
        self.alpha = self._alpha(shapes.linear, self.rank, number(self.metadata.get("ss_network_alpha")))
        self.conv_alpha = self._alpha(shapes.conv, self.conv_rank, None, exact=True)
        self.arch, self.arch_read = base_arch_of(self.tensors, self.metadata, shapes.algorithm is not None)
        if self.algorithm is None and self.notes:
            raise NoAdapterError(self.notes[0])

    def _alpha(self, modules: set[str], rank: int | None, stated: float | None, exact: bool = False) -> float | None:
        """The scalar `<module>.alpha` of one of these modules. A file without any alpha has the metadata's, or the
        rank, where that is what such files mean."""
        if rank is None:
            return None
        names = [n for n in self.tensors if n.endswith(".alpha")]
        if not names and stated is None:
            found = None if exact else alpha_in_metadata(self.metadata)
            return found if found is not None else float(rank) if implies_rank(self.tensors) else None
        chosen = next((n for n in names if n[: -len(".alpha")] in modules), None if exact else next(iter(names), None))
        value = self._scalar(chosen) if chosen else None
        if value is None:
            return stated
        # Half precision rounds: the trainer's own figure is the exact one.
        scaled = stated * rank**0.5 if stated is not None and rank_stabilised(self.metadata) else stated
        return stated if _about(value, stated) or _about(value, scaled) else value

    def _scalar(self, name: str) -> float | None:
        tensor = self.tensors[name]
        form, size = _SCALARS.get(tensor["dtype"], (None, 0))
        begin, end = tensor["data_offsets"]
        if not size or end - begin != size:
            return None
        try:
            with open(self.path, "rb") as file:
                file.seek(self._start + begin)
                data = file.read(size)
        except OSError:
            return None
        if len(data) < size:
            return None
        # bfloat16 is the upper half of a float32.
        value = struct.unpack(form, data)[0] if form else struct.unpack("<f", b"\0\0" + data)[0]
        return value if math.isfinite(value) else None


def read_header(path: Path) -> tuple[int, int, dict[str, Any]]:
    """(file size, where the tensors begin, the header's dict). Raises NoAdapterError; reads at most 32 MB."""
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(8)
            if len(head) < 8:
                raise NoAdapterError(t("no safetensors file: it has {size} bytes", size=size))
            length = struct.unpack("<Q", head)[0]
            if length > size - 8:
                raise NoAdapterError(
                    t("no safetensors file: its header would have {length} bytes, more than the file", length=length)
                )
            if length > MAX_HEADER:
                raise NoAdapterError(
                    t(
                        "its header has {length} bytes; more than {max_header} are not read",
                        length=length,
                        max_header=MAX_HEADER,
                    )
                )
            data = file.read(length)
    except OSError as error:
        raise NoAdapterError(t("it cannot be read ({reason})", reason=error.strerror or error)) from error
    try:
        header = loads_json(data.decode("utf-8"))
    except TooMuchError as error:
        raise NoAdapterError(
            t("no safetensors file: its header is no JSON of an adapter's ({error})", error=error)
        ) from error
    except (ValueError, MemoryError) as error:
        raise NoAdapterError(t("no safetensors file: its header is no JSON")) from error
    if not isinstance(header, dict):
        raise NoAdapterError(t("no safetensors file: its header is no JSON object"))
    return size, 8 + length, header


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _well_formed(tensor: Any, room: int) -> bool:
    if not isinstance(tensor, dict):
        return False
    shape, offsets = tensor.get("shape"), tensor.get("data_offsets")
    return (
        isinstance(tensor.get("dtype"), str)
        and isinstance(shape, list)
        and len(shape) <= 16
        and all(map(_count, shape))
        and isinstance(offsets, list)
        and len(offsets) == 2
        and all(map(_count, offsets))
        and offsets[0] <= offsets[1] <= room
    )


def _about(value: float, other: float | None) -> bool:
    return other is not None and abs(value - other) <= max(abs(value), abs(other)) / 200


def number(value: Any) -> float | None:
    """A finite float of a metadata string, or None ("None", "", words, NaN)."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if math.isfinite(result) else None


def whole(value: Any) -> int | None:
    """A whole number of a metadata string ("16", "16.0"), or None."""
    result = number(value)
    return int(result) if result is not None and result == int(result) and abs(result) < 2**53 else None


def flag(value: Any) -> bool | None:
    """True or False of a metadata string, or None."""
    return {"True": True, "False": False, "true": True, "false": False}.get(value)


def loads(text: Any) -> Any:
    """The JSON of a metadata string, or None where it is none (or nests deeper than any trainer writes)."""
    try:
        return loads_json(text) if text else None
    except ValueError:
        return None
