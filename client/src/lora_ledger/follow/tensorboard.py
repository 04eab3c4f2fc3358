"""Reads scalars from TensorBoard event files while they are written.

A file is a row of TFRecords (little-endian length, its masked CRC-32C, data, its masked CRC-32C; see
tensorflow/core/lib/io/record_writer.h), each an Event message (tensorflow/core/util/event.proto).
"""

import os
import re
import struct
import time
from pathlib import Path

from ..core.reading import open_file

_CRC = []
# Of longer names the beginning is kept.
LONGEST_TAG = 512


def _crc_table():
    if not _CRC:
        for n in range(256):
            value = n
            for _ in range(8):
                value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
            _CRC.append(value)
    return _CRC


def masked_crc32c(data):
    """The CRC-32C of the bytes, rotated and shifted as TFRecord files hold it."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _fields(data):
    """(number, wire type, value) of each protobuf field; length-delimited values as bytes."""
    at = 0
    end = len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 1:
            value, at = data[at : at + 8], at + 8
        elif wire == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif wire == 5:
            value, at = data[at : at + 4], at + 4
        else:
            raise ValueError(f"wire type {wire}")
        if at > end:
            raise ValueError("field runs over the end")
        yield number, wire, value


def _tensor_scalar(data):
    """The single float of a TensorProto (DT_FLOAT 1, DT_DOUBLE 2), or None."""
    dtype = 0
    for number, wire, value in _fields(data):
        if number == 1 and wire == 0:
            dtype = value
        elif number in (4, 5) and wire == 2 and len(value) == 4 and dtype == 1:
            return struct.unpack("<f", value)[0]
        elif number in (4, 6) and wire == 2 and len(value) == 8 and dtype == 2:
            return struct.unpack("<d", value)[0]
        elif number == 5 and wire == 5:
            return struct.unpack("<f", value)[0]
    return None


def _read_value(data):
    """(tag, value) of a Summary.Value; value None where it is no scalar."""
    tag, result = "", None
    for number, wire, value in _fields(data):
        if number == 1 and wire == 2:
            tag = value[:LONGEST_TAG].decode("utf-8", "replace")
        elif number == 2 and wire == 5:
            result = struct.unpack("<f", value)[0]
        elif number == 8 and wire == 2 and result is None:
            result = _tensor_scalar(value)
    return tag, result


def read_event(data):
    """(wall time, step, [(tag, value), …]) of an Event message. Raises ValueError, IndexError or struct.error."""
    when, step, scalars = 0.0, 0, []
    for number, wire, value in _fields(data):
        if number == 1 and wire == 1:
            when = struct.unpack("<d", value)[0]
        elif number == 2 and wire == 0:
            step = value if value < 1 << 63 else value - (1 << 64)
        elif number == 5 and wire == 2:
            for inner, inner_wire, summary in _fields(value):
                if inner == 1 and inner_wire == 2:
                    tag, scalar = _read_value(summary)
                    if scalar is not None:
                        scalars.append((tag, scalar))
    return when, step, scalars


class EventFile:
    """One event file, read on from where the last call ended."""

    # Larger records are passed over.
    CHUNK = 1 << 20

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.broken = False

    def read(self):
        """Yields (time, step, tag, value) of complete new records; half a record waits for the next call."""
        if self.broken:
            return
        try:
            size = os.path.getsize(self.path)
            if size < self.offset + 16:
                return
            file = open_file(self.path)
        except OSError:
            return
        with file:
            while True:
                file.seek(self.offset)
                buffer = file.read(self.CHUNK)
                used = 0
                while len(buffer) - used >= 12:
                    head = buffer[used : used + 8]
                    length = struct.unpack("<Q", head)[0]
                    if struct.unpack_from("<I", buffer, used + 8)[0] != masked_crc32c(head):
                        # Zeros at the end are a block that a network disk has not filled yet.
                        self.broken = any(buffer[used:])
                        break
                    whole = 12 + length + 4
                    if whole > self.CHUNK:
                        # Images and graphs: nothing in them is a metric.
                        if self.offset + used + whole <= size:
                            used += whole
                        break
                    if len(buffer) - used < whole:
                        break
                    data = buffer[used + 12 : used + 12 + length]
                    crc = struct.unpack_from("<I", buffer, used + 12 + length)[0]
                    used += whole
                    if crc != masked_crc32c(data):
                        continue
                    try:
                        when, step, scalars = read_event(data)
                    except (ValueError, IndexError, struct.error):
                        continue
                    for tag, value in scalars:
                        yield when, step, tag, value
                if used == 0:
                    return
                self.offset += used


_NAME = re.compile(r"^events\.out\.tfevents\.\d+\.(?P<host>.+?)\.(?P<pid>\d+)\.\d+$")


# So many entries are looked through at most: an output folder may be a whole disk.
MOST_ENTRIES = 20_000


def _find(folder, depth=4, seen=None):
    """Event files below the folder; add_hparams' folders, named by a Unix time, are left out."""
    found = []
    seen = seen if seen is not None else [0]
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                seen[0] += 1
                if seen[0] > MOST_ENTRIES:
                    break
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth and not re.match(r"^\d{9,11}\.\d+$", entry.name):
                            found += _find(entry.path, depth - 1, seen)
                    elif "tfevents" in entry.name:
                        found.append(entry.path)
                except OSError:
                    continue
    except OSError:
        return found
    return found


class EventFolder:
    """Follows the event files that one trainer writes below a logging folder, and no other run's.

    `owned(pid)` says whether a process belongs to the trainer: True, False, or None when nobody can tell any more.
    Make it before the trainer starts: files that exist then are an older run's. `pause` seconds lie between two looks
    for new files.
    """

    def __init__(self, folder, owned=lambda pid: None, pause=0.0, loss_tags=()):
        self.loss_tags = loss_tags
        self.pause = pause
        self._looked = None
        self.folder = Path(folder)
        self.owned = owned
        self.old = set(_find(self.folder))
        self.files = {}
        self.foreign = set()
        self.run_folder = None

    def _look(self):
        for path in sorted(_find(self.folder)):
            if path in self.old or path in self.files or path in self.foreign:
                continue
            match = _NAME.match(os.path.basename(path))
            verdict = self.owned(int(match["pid"])) if match else None
            parent = os.path.dirname(path)
            if verdict is False:
                self.foreign.add(path)
                continue
            if verdict is None and self.run_folder not in (None, parent):
                continue
            self.run_folder = self.run_folder or parent
            self.files[path] = EventFile(path)

    def read(self, final=False):
        """Yields (time, step, tag, value) of everything new; `final` looks for new files whatever the pause."""
        now = time.monotonic()
        if final or self._looked is None or now - self._looked >= self.pause:
            self._looked = now
            self._look()
        for file in list(self.files.values()):
            yield from file.read()
