"""The spool: everything a run has to say, on disk before it is sent.

One folder a run: `journal.jsonl` (append-only, one item a line, in order), `state.json` (what the ledger has
acknowledged; replaced atomically), `refused.jsonl` (what it refused for good, and why), `points.json` (points that no
heartbeat holds yet), `lock`. Losing the last state is harmless, since every item can be sent twice without doing
anything twice. See core/journal.py for the lines.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from . import terminal
from .errors import SpoolBusyError
from .journal import (
    FINISH,
    MESSAGES,
    UPLOADS,
    Heartbeat,
    Refusal,
    SpoolItem,
    done_of,
    read_journal,
    read_refused,
    read_state,
)
from .language import t
from .locks import lock_file
from .reading import loads
from .text import clean
from .types import as_list, as_object

MEMORY_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class _Entry:
    """An unsent item: where its line begins in the journal, or the line itself where the disk took none."""

    n: int
    place: int | None
    length: int
    line: bytes = b""


class Spool:
    """A run's unsent items in three lanes: messages (in order), uploads, and the finish that closes both."""

    def __init__(self, folder: Path, fresh: bool, keep: bool = False) -> None:
        self.keep = keep
        self.folder = folder
        self.state: dict[str, Any] = {}
        self.refused = 0
        # Those of the refused that still can be sent, unlike files that are gone.
        self.aside = 0
        self.dropped = 0
        self._refused_beats: set[Any] = set()
        self._guard = threading.RLock()
        self._lanes: dict[str, deque[_Entry]] = {MESSAGES: deque(), UPLOADS: deque(), FINISH: deque()}
        self._next = 1
        self._seq = 0
        self._memory = 0
        self._journal: BinaryIO | None = None
        self._lock: BinaryIO | None = None
        try:
            if fresh:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = open(folder / "lock", "a+b")
            try:
                lock_file(self._lock)
            except SpoolBusyError:
                self._lock.close()
                raise
            if not fresh:
                self._load()
            self._journal = open(folder / "journal.jsonl", "a+b")
            _end_torn_line(self._journal)
            if not fresh:
                self._take_points()
        except OSError as error:
            if not fresh:
                raise
            self._to_memory(error)

    def keep_points(self, entries: list[dict[str, Any]]) -> None:
        """Has points survive whatever kills this process before a heartbeat holds them. A failure is silent: the
        heartbeat tells of a full disk."""
        with self._guard:
            temporary = self.folder / "points.json.new"
            try:
                temporary.write_text(json.dumps({"logs": clean(entries)}))
                os.replace(temporary, self.folder / "points.json")
            except OSError:
                pass

    def drop_points(self) -> None:
        """Forgets what `keep_points` has kept: a heartbeat holds it now. Kept twice, a point is the same point."""
        try:
            (self.folder / "points.json").unlink(missing_ok=True)
        except OSError:
            pass

    def _take_points(self) -> None:
        """Journals the points that a killed run has left."""
        path = self.folder / "points.json"
        try:
            with open(path, encoding="utf-8") as file:
                kept = as_object(loads(file.read(MEMORY_LIMIT))) or {}
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError):
            kept = {}
        logs = as_list(kept.get("logs"))
        # Without its registration nobody would know whose they are.
        if logs and self._next > 1:
            self.append("heartbeat", Heartbeat(logs=logs).body())
        self.drop_points()

    @classmethod
    def create(cls, root: Path) -> Spool:
        """A new run's spool. When its folder cannot be made, everything stays in memory, with one warning."""
        while True:
            try:
                return cls(root / str(uuid.uuid4()), fresh=True)
            except SpoolBusyError:
                # A `sync` looked into the folder in the moment it appeared.
                continue

    @classmethod
    def lasting(cls, folder: Path) -> Spool:
        """A spool that keeps its state when it is empty, made when it is new. Raises SpoolBusyError."""
        exists = (folder / "journal.jsonl").exists()
        return cls(folder, fresh=not exists, keep=True)

    @classmethod
    def open(cls, folder: Path) -> Spool:
        """An earlier run's spool. Raises SpoolBusyError while another process has it, OSError when it cannot be
        read."""
        return cls(folder, fresh=False)

    def _to_memory(self, error: OSError) -> None:
        terminal.warn_once(
            "spool-disk",
            t(
                "the spool in {folder} cannot be written ({error}); unsent records stay in memory until it can: free "
                "some disk space or set LEDGER_SPOOL to another folder",
                folder=self.folder,
                error=error.strerror or error,
            ),
        )

    def _load(self) -> None:
        try:
            self.state = read_state(self.folder)
        except (OSError, ValueError):
            self.state = {}
        acked, numbers = done_of(self.state)
        done = set(numbers)
        self._next = max([acked, *done]) + 1
        self._seq = self.state.get("seq", 0)
        for refusal, _ in self._refusals():
            self.refused += 1
            self._count_refused(refusal)
        try:
            for line in read_journal(self.folder):
                item = line.item
                if item is None:
                    continue
                self._next = max(self._next, item.n + 1)
                if item.kind == "heartbeat":
                    self._seq = max(self._seq, item.body.get("seq", 0))
                if item.n in done or (item.lane == MESSAGES and item.n <= acked):
                    continue
                self._lanes[item.lane].append(_Entry(item.n, line.start, line.length))
        except FileNotFoundError:
            # Nothing but what was refused is left of a run that was sent.
            if not self.refused:
                raise

    def _refusals(self) -> Iterator[tuple[Refusal | None, bytes]]:
        try:
            yield from read_refused(self.folder)
        except OSError:
            return

    def _count_refused(self, refusal: Refusal | None) -> None:
        if refusal is None or not refusal.can_be_sent:
            return
        self.aside += 1
        if refusal.item.kind == "heartbeat":
            self._refused_beats.add(refusal.item.body.get("seq"))

    def take_back(self) -> int:
        """Puts what was refused back among the unsent; how many items. What cannot be sent any more stays. Raises
        OSError."""
        with self._guard:
            back = 0
            rest: list[bytes] = []
            for refusal, line in self._refusals():
                if refusal is None or not refusal.can_be_sent:
                    rest.append(line)
                else:
                    self._add(refusal.item.kind, refusal.item.body)
                    back += 1
            # A crash before this sends some items twice, which does nothing twice.
            temporary = self.folder / "refused.jsonl.new"
            temporary.write_bytes(b"".join(rest))
            if rest:
                os.replace(temporary, self.folder / "refused.jsonl")
            else:
                os.unlink(temporary)
                (self.folder / "refused.jsonl").unlink(missing_ok=True)
            self.refused, self.aside, self._refused_beats = len(rest), 0, set()
            return back

    def append(self, kind: str, body: dict[str, Any]) -> int | None:
        """Adds an item: on disk, or in memory (at most 16 MB in all) while the disk takes nothing.

        Heartbeats get their `seq` here. Returns the item's number, or None when it could not be kept at all.
        """
        with self._guard:
            if kind == "heartbeat":
                body = {**body, "seq": self._seq + 1}
            return self._add(kind, body)

    def beat(self) -> Heartbeat:
        """Adds an empty heartbeat, and gives it."""
        with self._guard:
            self.append("heartbeat", Heartbeat().body())
            return Heartbeat(seq=self._seq)

    def _add(self, kind: str, body: dict[str, Any]) -> int | None:
        with self._guard:
            # A file's path has to stay what it is on this disk; all else is as the ledger takes it.
            own = {"path": body["path"]} if kind == "weight" and "path" in body else {}
            item = SpoolItem(self._next, kind, {**clean(body), **own})
            line = item.line()
            try:
                entry = _Entry(item.n, self._write(line), len(line))
            except OSError as error:
                self._to_memory(error)
                if self._memory + len(line) > MEMORY_LIMIT and kind == "heartbeat":
                    self.dropped += 1
                    return None
                self._memory += len(line)
                entry = _Entry(item.n, None, len(line), line)
            self._next += 1
            if kind == "heartbeat":
                self._seq = max(self._seq, body["seq"])
            self._lanes[item.lane].append(entry)
            return item.n

    def count_from(self, seq: int) -> None:
        """Has the first heartbeat follow `seq`, which was sent from elsewhere."""
        with self._guard:
            self._seq = max(self._seq, seq)

    def _write(self, line: bytes) -> int:
        if self._journal is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._journal = open(self.folder / "journal.jsonl", "a+b")
        journal = self._journal
        journal.seek(0, os.SEEK_END)
        start = journal.tell()
        try:
            # Unbuffered, so that a full disk shows here and leaves nothing in a buffer to fail later.
            view = memoryview(line)
            while view:
                view = view[os.write(journal.fileno(), view) :]
            os.fsync(journal.fileno())
        except OSError:
            try:
                journal.truncate(start)
            except OSError:
                pass
            raise
        return start

    @property
    def last_seq(self) -> int:
        """The highest heartbeat number given out; 0 before the first."""
        return self._seq

    def peek(self, lane: str) -> SpoolItem | None:
        """The lane's oldest unsent item, or None."""
        with self._guard:
            while self._lanes[lane]:
                entry = self._lanes[lane][0]
                try:
                    line = entry.line if entry.place is None else self._read(entry.place, entry.length)
                    item = SpoolItem.read(line)
                    if item is None:
                        raise ValueError(t("its line in the journal is damaged"))
                    return item
                except (OSError, ValueError) as error:
                    self._lanes[lane].popleft()
                    terminal.trouble(error)
                    terminal.warn_once(
                        "spool-read",
                        t("an item of the spool in {folder} cannot be read back and is skipped", folder=self.folder),
                    )
            return None

    def _read(self, start: int, length: int) -> bytes:
        with open(self.folder / "journal.jsonl", "rb") as journal:
            journal.seek(start)
            return journal.read(length)

    def find_heartbeats(self, ranges: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        """Bodies of journaled heartbeats whose `seq` lies in the given [from, to] ranges, one at a time."""
        try:
            for line in read_journal(self.folder):
                item = line.item
                seq = item.body.get("seq") if item and item.kind == "heartbeat" else None
                # What was set aside would be refused once more.
                if item is None or seq is None or seq in self._refused_beats:
                    continue
                if any(low <= seq <= high for low, high in ranges):
                    yield item.body
        except OSError:
            return

    def size(self, lane: str) -> int:
        """How many items of the lane are unsent."""
        return len(self._lanes[lane])

    def pending(self) -> int:
        """How many items are unsent in all."""
        return sum(len(lane) for lane in self._lanes.values())

    def done(self, lane: str, n: int) -> None:
        """Marks an item as taken by the ledger."""
        with self._guard:
            if not self._lanes[lane] or self._lanes[lane][0].n != n:
                return
            entry = self._lanes[lane].popleft()
            if entry.place is None:
                self._memory -= entry.length
            if lane == MESSAGES:
                self.state["acked"] = n
            else:
                self.state.setdefault("done", []).append(n)
                self.state.get("uploads", {}).pop(str(n), None)
            self.state.get("failures", {}).pop(str(n), None)
            self.save()

    def failed(self, n: int) -> tuple[int, float]:
        """Notes that the ledger failed at an item; (how often it has, Unix time of the first)."""
        with self._guard:
            noted: list[Any] = self.state.setdefault("failures", {}).setdefault(str(n), [0, time.time()])
            noted[0] += 1
            self.save()
            return noted[0], noted[1]

    def failures(self, n: int) -> int:
        """How often the ledger has failed at an item."""
        return self.state.get("failures", {}).get(str(n), (0,))[0]

    def rotate(self, lane: str) -> None:
        """Puts the lane's oldest item last, so that one file that cannot be sent now holds up no other."""
        with self._guard:
            self._lanes[lane].rotate(-1)

    def refuse(self, item: SpoolItem, reason: str) -> None:
        """Sets an item aside with the reason, so that it blocks nothing behind it."""
        with self._guard:
            self.refused += 1
            refusal = Refusal(item, terminal.scrub(reason), time.time())
            self._count_refused(refusal)
            try:
                with open(self.folder / "refused.jsonl", "ab") as refused:
                    refused.write(refusal.line())
            except OSError as error:
                self._to_memory(error)
            self.done(item.lane, item.n)

    def drop_all(self, reason: str) -> None:
        """Sets everything unsent aside: nothing of this attempt will ever be taken."""
        with self._guard:
            for lane in self._lanes:
                item = self.peek(lane)
                while item:
                    self.refuse(item, reason)
                    item = self.peek(lane)

    def save(self) -> None:
        """Writes the state file. A failure costs nothing but sending some items twice."""
        with self._guard:
            self.state["seq"] = self._seq
            temporary = self.folder / "state.json.new"
            try:
                temporary.write_text(json.dumps(self.state))
                os.replace(temporary, self.folder / "state.json")
            except (OSError, RuntimeError):
                # RuntimeError: an upload changed its memo meanwhile; it saves again right after.
                pass

    def close(self) -> None:
        """Lets go of the spool; removes it when nothing is left in it but what was refused."""
        with self._guard:
            empty = self.pending() == 0
            if self.keep and self._journal is not None:
                self.save()
                if empty:
                    self._journal.truncate(0)
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            if self.keep:
                pass
            elif empty and not self.refused:
                shutil.rmtree(self.folder, ignore_errors=True)
            elif empty:
                for name in ("journal.jsonl", "points.json", "console.log.gz"):
                    try:
                        os.unlink(self.folder / name)
                    except OSError:
                        pass
            if self._lock is not None:
                self._lock.close()
                self._lock = None


def _end_torn_line(journal: BinaryIO) -> None:
    """Has a line that a crash cut off end, so that the next one begins on its own."""
    journal.seek(0, os.SEEK_END)
    if journal.tell():
        journal.seek(-1, os.SEEK_END)
        if journal.read(1) != b"\n":
            journal.write(b"\n")
            journal.flush()
