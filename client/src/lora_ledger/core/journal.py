"""What a run's spool holds on disk, and the one reader of it.

`journal.jsonl` has one SpoolItem a line, in order; `refused.jsonl` one Refusal a line; `state.json` what the ledger has
acknowledged. Clients of other versions read and write the same lines: a field that is not known here is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .language import t
from .text import storable_name
from .types import as_list, as_object

MESSAGES, UPLOADS, FINISH = "messages", "uploads", "finish"
_LANES = {"weight": UPLOADS, "finish": FINISH}
# Why a file was refused that its trainer had removed.
REMOVED = t("the file was removed before it was sent")
# How people have something sent once more.
AGAIN = t("`lora-ledger sync --again` sends it once more")
# How people call what the journal holds.
_WORDS = {
    "open": t("the registration"),
    "datasets": t("the data facts"),
    "finish": t("the run's end"),
    "heartbeat": t("a heartbeat"),
    "point": t("a point"),
}


@dataclass
class Heartbeat:
    """Progress, log entries and the console's last lines. `seq` is given when it is journalled, from 1 on."""

    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    logs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tail: str | None = None
    seq: int | None = None

    def body(self) -> dict[str, Any]:
        """As the journal keeps it. Progress that is not told stays what it was, so an empty one is none."""
        body: dict[str, Any] = {"progress": self.progress} if self.progress else {}
        body["logs"] = self.logs
        if self.tail:
            body["tail"] = self.tail
        if self.seq is not None:
            body["seq"] = self.seq
        return body


@dataclass
class Upload:
    """A file to store: where it is here, its name in the ledger, its kind, and what is known of its origin.

    `kind` is final, checkpoint, state, sample or config; `group` joins files of one folder; `more` are fields that
    another version of the client journalled.
    """

    path: str
    filename: str
    kind: str | None = None
    epoch: float | None = None
    step: int | None = None
    group: str | None = None
    prompt: str | None = None
    seed: int | None = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, body: dict[str, Any]) -> Upload:
        """The file of a journalled body. Raises KeyError."""
        known = {name: body[name] for name in ("kind", "epoch", "step", "group", "prompt", "seed") if name in body}
        more = {k: v for k, v in body.items() if k not in known and k not in ("path", "filename")}
        return cls(body["path"], body["filename"], **known, more=more)

    def fields(self) -> dict[str, Any]:
        """What the ledger takes of it: all but where it is here."""
        known = {
            "filename": storable_name(self.filename),
            "kind": self.kind,
            "epoch": self.epoch,
            "step": self.step,
            "group": self.group,
            "prompt": self.prompt,
            "seed": self.seed,
            **self.more,
        }
        return {k: v for k, v in known.items() if v is not None}

    def body(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {"path": self.path, **self.fields()}


@dataclass(frozen=True)
class SpoolItem:
    """One thing that a run has to say. `n` is its number in the journal, `kind` what the sender does with it."""

    n: int
    kind: str
    body: dict[str, Any]

    @property
    def lane(self) -> str:
        """Which lane it waits in."""
        return lane_of(self.kind)

    @property
    def called(self) -> str:
        """What people call it."""
        return called(self.kind, self.body)

    def line(self) -> bytes:
        """As the journal keeps it."""
        item = {"n": self.n, "kind": self.kind, "body": self.body}
        return json.dumps(item, ensure_ascii=True).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> SpoolItem | None:
        """The item of a line, or None where that is damaged."""
        try:
            item = json.loads(line)
            n, kind, body = item["n"], item["kind"], as_object(item["body"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not isinstance(n, int) or isinstance(n, bool) or not isinstance(kind, str) or body is None:
            return None
        return cls(n, kind, body)


@dataclass(frozen=True)
class Refusal:
    """An item that the ledger refused, why, and when (Unix time)."""

    item: SpoolItem
    reason: str | None
    time: float | None = None

    @property
    def can_be_sent(self) -> bool:
        """Whether it still can be sent, unlike a file that is gone."""
        return self.reason != REMOVED

    def line(self) -> bytes:
        """As refused.jsonl keeps it."""
        item = self.item
        record = {"n": item.n, "kind": item.kind, "reason": self.reason, "time": self.time, "body": item.body}
        return json.dumps(record).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Refusal | None:
        """The refusal of a line, or None where that is damaged."""
        try:
            record = json.loads(line)
            kind, body = record["kind"], as_object(record["body"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not isinstance(kind, str) or body is None:
            return None
        n = record.get("n")
        return cls(SpoolItem(n if isinstance(n, int) else 0, kind, body), record.get("reason"), record.get("time"))


@dataclass(frozen=True)
class Line:
    """A line of the journal: its first byte, its length, its item or None where it is damaged, whether it has its
    end."""

    start: int
    length: int
    item: SpoolItem | None
    whole: bool


def lane_of(kind: str) -> str:
    """Which lane items of a kind wait in."""
    return _LANES.get(kind, MESSAGES)


def called(kind: str, body: dict[str, Any]) -> str:
    """What people call an item of the journal."""
    return (
        t("the file {filename}", filename=body.get("filename")) if kind == "weight" else _WORDS.get(kind, f"a {kind}")
    )


def read_journal(folder: Path) -> Iterator[Line]:
    """The lines of a spool folder's journal, empty ones left out. Raises OSError."""
    with open(folder / "journal.jsonl", "rb") as journal:
        offset = 0
        for line in journal:
            start, offset = offset, offset + len(line)
            if line.strip():
                yield Line(start, len(line), SpoolItem.read(line), line.endswith(b"\n"))


def read_refused(folder: Path) -> Iterator[tuple[Refusal | None, bytes]]:
    """(refusal or None where it is damaged, its line) of each refused item. Raises OSError."""
    with open(folder / "refused.jsonl", "rb") as refused:
        for line in refused:
            if line.strip():
                yield Refusal.read(line), line


def read_state(folder: Path) -> dict[str, Any]:
    """What the ledger has acknowledged. Raises OSError, and ValueError where it is damaged."""
    try:
        state = as_object(json.loads((folder / "state.json").read_bytes()))
    except RecursionError as error:
        raise ValueError(t("it nests too deeply")) from error
    if state is None:
        raise ValueError(t("it is no object"))
    return state


def done_of(state: dict[str, Any]) -> tuple[int, list[int]]:
    """(the number up to which messages are acknowledged, the numbers of files and ends that are)."""
    acked, done = state.get("acked", 0), as_list(state.get("done")) or []
    numbers = [n for n in done if isinstance(n, int) and not isinstance(n, bool)]
    return (acked if isinstance(acked, int) and not isinstance(acked, bool) else 0), numbers
