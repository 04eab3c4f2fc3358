"""The spool: everything a run has to say, on disk before it is sent.

One folder a run: `journal.jsonl` (append-only, one item a line, in order), `state.json` (what the ledger has
acknowledged; replaced atomically), `refused.jsonl` (what it refused for good, and why), `lock`. Losing the last
state is harmless, since every item can be sent twice without doing anything twice.
"""

import json
import os
import shutil
import threading
import time
import uuid
from collections import deque

from . import terminal
from .text import clean
from .uploads import REMOVED

MEMORY_LIMIT = 16 * 1024 * 1024
MESSAGES, UPLOADS, FINISH = "messages", "uploads", "finish"
_LANES = {"weight": UPLOADS, "finish": FINISH}


class Busy(Exception):
    """Another process is sending this run."""


def _lock_file(file):
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Busy from error


# How people have it sent once more.
AGAIN = "`lora-ledger sync --again` sends it once more"


# How people call what the journal holds.
WORDS = {
    "open": "the registration",
    "datasets": "the data facts",
    "finish": "the run's end",
    "heartbeat": "a heartbeat",
    "point": "a point",
}


def called(kind, body):
    """An item of the journal in words."""
    return f"the file {body['filename']}" if kind == "weight" else WORDS.get(kind, f"a {kind}")


class Spool:
    """A run's unsent items in three lanes: messages (in order), uploads, and the finish that closes both."""

    def __init__(self, folder, fresh, keep=False):
        self.keep = keep
        self.folder = folder
        self.state = {}
        self.refused = 0
        # Those of the refused that still can be sent, unlike files that are gone.
        self.aside = 0
        self.dropped = 0
        self._refused_beats = set()
        self._guard = threading.RLock()
        self._lanes = {MESSAGES: deque(), UPLOADS: deque(), FINISH: deque()}
        self._next = 1
        self._seq = 0
        self._memory = 0
        self._journal = None
        self._lock = None
        try:
            if fresh:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = open(folder / "lock", "a+b")
            try:
                _lock_file(self._lock)
            except Busy:
                self._lock.close()
                raise
            if not fresh:
                self._load()
            self._journal = open(folder / "journal.jsonl", "a+b")
            self._end_torn_line()
        except OSError as error:
            if not fresh:
                raise
            self._to_memory(error)

    @classmethod
    def create(cls, root):
        """A new run's spool. When its folder cannot be made, everything stays in memory, with one warning."""
        while True:
            try:
                return cls(root / str(uuid.uuid4()), fresh=True)
            except Busy:
                # A `sync` looked into the folder in the moment it appeared.
                continue

    @classmethod
    def lasting(cls, folder):
        """A spool that keeps its state when it is empty, made when it is new. Raises Busy."""
        exists = (folder / "journal.jsonl").exists()
        return cls(folder, fresh=not exists, keep=True)

    @classmethod
    def open(cls, folder):
        """An earlier run's spool. Raises Busy while another process has it, OSError when it cannot be read."""
        return cls(folder, fresh=False)

    def _to_memory(self, error):
        terminal.warn_once(
            "spool-disk",
            f"the spool in {self.folder} cannot be written ({getattr(error, 'strerror', None) or error}); unsent records "
            "stay in memory until it can: free some disk space or set LEDGER_SPOOL to another folder",
        )

    def _end_torn_line(self):
        self._journal.seek(0, os.SEEK_END)
        if self._journal.tell():
            self._journal.seek(-1, os.SEEK_END)
            if self._journal.read(1) != b"\n":
                self._journal.write(b"\n")
                self._journal.flush()

    def _load(self):
        try:
            self.state = json.loads((self.folder / "state.json").read_bytes())
        except (OSError, ValueError):
            self.state = {}
        done = set(self.state.get("done", []))
        acked = self.state.get("acked", 0)
        self._next = max([acked, *done]) + 1
        self._seq = self.state.get("seq", 0)
        self._load_refused()
        try:
            journal = open(self.folder / "journal.jsonl", "rb")
        except FileNotFoundError:
            # Nothing but what was refused is left of a run that was sent.
            if self.refused:
                return
            raise
        offset = 0
        with journal:
            for line in journal:
                start, offset = offset, offset + len(line)
                try:
                    item = json.loads(line)
                    n, kind = item["n"], item["kind"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                self._next = max(self._next, n + 1)
                if kind == "heartbeat":
                    self._seq = max(self._seq, item["body"].get("seq", 0))
                lane = _LANES.get(kind, MESSAGES)
                if n in done or (lane == MESSAGES and n <= acked):
                    continue
                self._lanes[lane].append((n, kind, start, len(line)))

    def _load_refused(self):
        for record, _ in self._refusals():
            self.refused += 1
            self._count_refused(record)

    def _refusals(self):
        """(record or None where it is damaged, its line) of each refused item."""
        try:
            with open(self.folder / "refused.jsonl", "rb") as refused:
                for line in refused:
                    try:
                        record = json.loads(line)
                        known = isinstance(record["kind"], str) and isinstance(record["body"], dict)
                    except (ValueError, KeyError, TypeError, RecursionError):
                        known = False
                    yield record if known else None, line
        except OSError:
            return

    def _count_refused(self, record):
        if record is None or record.get("reason") == REMOVED:
            return
        self.aside += 1
        if record["kind"] == "heartbeat":
            self._refused_beats.add(record["body"].get("seq"))

    def take_back(self):
        """Puts what was refused back among the unsent; how many items. What cannot be sent any more stays. Raises OSError."""
        with self._guard:
            back, rest = 0, []
            for record, line in self._refusals():
                if record is None or record.get("reason") == REMOVED:
                    rest.append(line)
                else:
                    self._add(record["kind"], record["body"])
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

    def append(self, kind, body):
        """Adds an item: on disk, or in memory (at most 16 MB in all) while the disk takes nothing.

        Heartbeats get their `seq` here. Returns the item's number, or None when it could not be kept at all.
        """
        with self._guard:
            if kind == "heartbeat":
                body = {**body, "seq": self._seq + 1}
            return self._add(kind, body)

    def beat(self):
        """Adds an empty heartbeat; its body."""
        with self._guard:
            self.append("heartbeat", {"progress": {}, "logs": []})
            return {"progress": {}, "logs": [], "seq": self._seq}

    def _add(self, kind, body):
        with self._guard:
            n = self._next
            # A file's path has to stay what it is on this disk; all else is as the ledger takes it.
            own = {"path": body["path"]} if kind == "weight" and "path" in body else {}
            body = {**clean(body), **own}
            line = json.dumps({"n": n, "kind": kind, "body": body}, ensure_ascii=True).encode() + b"\n"
            try:
                entry = (n, kind, self._write(line), len(line))
            except OSError as error:
                self._to_memory(error)
                if self._memory + len(line) > MEMORY_LIMIT and kind == "heartbeat":
                    self.dropped += 1
                    return None
                self._memory += len(line)
                entry = (n, kind, line, len(line))
            self._next += 1
            if kind == "heartbeat":
                self._seq = max(self._seq, body["seq"])
            self._lanes[_LANES.get(kind, MESSAGES)].append(entry)
            return n

    def count_from(self, seq):
        """Has the first heartbeat follow `seq`, which was sent from elsewhere."""
        with self._guard:
            self._seq = max(self._seq, seq)

    def _write(self, line):
        if self._journal is None:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._journal = open(self.folder / "journal.jsonl", "a+b")
        self._journal.seek(0, os.SEEK_END)
        start = self._journal.tell()
        try:
            # Unbuffered, so that a full disk shows here and leaves nothing in a buffer to fail later.
            view = memoryview(line)
            while view:
                view = view[os.write(self._journal.fileno(), view) :]
            os.fsync(self._journal.fileno())
        except OSError:
            try:
                self._journal.truncate(start)
            except OSError:
                pass
            raise
        return start

    @property
    def last_seq(self):
        """The highest heartbeat number given out; 0 before the first."""
        return self._seq

    def peek(self, lane):
        """(number, kind, body) of the lane's oldest unsent item, or None."""
        with self._guard:
            while self._lanes[lane]:
                n, kind, place, length = self._lanes[lane][0]
                try:
                    line = place if isinstance(place, bytes) else self._read(place, length)
                    return n, kind, json.loads(line)["body"]
                except (OSError, ValueError, KeyError, RecursionError) as error:
                    self._lanes[lane].popleft()
                    terminal.trouble(error)
                    terminal.warn_once(
                        "spool-read",
                        f"an item of the spool in {self.folder} cannot be read back and is skipped",
                    )
            return None

    def _read(self, start, length):
        with open(self.folder / "journal.jsonl", "rb") as journal:
            journal.seek(start)
            return journal.read(length)

    def find_heartbeats(self, ranges):
        """Bodies of journaled heartbeats whose `seq` lies in the given [from, to] ranges, one at a time."""
        try:
            journal = open(self.folder / "journal.jsonl", "rb")
        except OSError:
            return
        with journal:
            for line in journal:
                try:
                    item = json.loads(line)
                    seq = item["body"]["seq"] if item["kind"] == "heartbeat" else None
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                # What was set aside would be refused once more.
                if (
                    seq is not None
                    and seq not in self._refused_beats
                    and any(low <= seq <= high for low, high in ranges)
                ):
                    yield item["body"]

    def size(self, lane):
        """How many items of the lane are unsent."""
        return len(self._lanes[lane])

    def pending(self):
        """How many items are unsent in all."""
        return sum(len(lane) for lane in self._lanes.values())

    def done(self, lane, n):
        """Marks an item as taken by the ledger."""
        with self._guard:
            if not self._lanes[lane] or self._lanes[lane][0][0] != n:
                return
            entry = self._lanes[lane].popleft()
            if isinstance(entry[2], bytes):
                self._memory -= entry[3]
            if lane == MESSAGES:
                self.state["acked"] = n
            else:
                self.state.setdefault("done", []).append(n)
                self.state.get("uploads", {}).pop(str(n), None)
            self.state.get("failures", {}).pop(str(n), None)
            self.save()

    def failed(self, n):
        """Notes that the ledger failed at an item; (how often it has, Unix time of the first)."""
        with self._guard:
            noted = self.state.setdefault("failures", {}).setdefault(str(n), [0, time.time()])
            noted[0] += 1
            self.save()
            return tuple(noted)

    def failures(self, n):
        """How often the ledger has failed at an item."""
        return self.state.get("failures", {}).get(str(n), (0,))[0]

    def rotate(self, lane):
        """Puts the lane's oldest item last, so that one file that cannot be sent now holds up no other."""
        with self._guard:
            self._lanes[lane].rotate(-1)

    def refuse(self, lane, n, kind, body, reason):
        """Sets an item aside with the reason, so that it blocks nothing behind it."""
        with self._guard:
            self.refused += 1
            record = {"n": n, "kind": kind, "reason": terminal.scrub(reason), "time": time.time(), "body": body}
            self._count_refused(record)
            try:
                with open(self.folder / "refused.jsonl", "ab") as refused:
                    refused.write(json.dumps(record).encode() + b"\n")
            except OSError as error:
                self._to_memory(error)
            self.done(lane, n)

    def drop_all(self, reason):
        """Sets everything unsent aside: nothing of this attempt will ever be taken."""
        with self._guard:
            for lane in self._lanes:
                item = self.peek(lane)
                while item:
                    self.refuse(lane, *item, reason)
                    item = self.peek(lane)

    def save(self):
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

    def close(self):
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
                for name in ("journal.jsonl", "console.log.gz"):
                    try:
                        os.unlink(self.folder / name)
                    except OSError:
                        pass
            if self._lock is not None:
                self._lock.close()
                self._lock = None
