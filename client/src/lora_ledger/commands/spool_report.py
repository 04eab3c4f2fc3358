"""Looks into the spool without changing it: which runs still go on, and what of each has not reached the ledger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..core.journal import (
    AGAIN,
    FINISH,
    MESSAGES,
    UPLOADS,
    Refusal,
    done_of,
    read_journal,
    read_refused,
    read_state,
)
from ..core.language import t
from ..core.locks import is_locked
from ..recording.by_hand import BY_HAND

_SEND = t("`lora-ledger sync` sends it")


class Found:
    """What one spool folder holds. `problems` are plain sentences; none means that all of it was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.running = False
        # How many items the ledger refused.
        self.refused = 0
        self.problems: list[str] = []
        self.state: dict[str, Any] = {}
        # The bodies of the files and of the registration.
        self.files: list[dict[str, Any]] = []
        self.open: dict[str, Any] | None = None

    @property
    def task_id(self) -> int | None:
        """The task that the run was registered as, or None."""
        value = self.state.get("task_id")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def folders(root: Path) -> list[Path]:
    """Spool folders below the root, oldest first. Raises OSError when the root is there but cannot be read."""
    try:
        found = [entry for entry in root.iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        # A file where a folder of the path should be: there is no spool either.
        return []
    return sorted(found, key=lambda folder: (folder.stat().st_mtime, folder.name))


def read(folder: Path) -> Found:
    """A `Found` of the folder. Whatever cannot be read or understood is a problem, never left out."""
    found = Found(folder)
    by_hand = folder.name.startswith(BY_HAND)
    try:
        found.running = is_locked(folder / "lock")
    except OSError as error:
        found.problems.append(
            t("its lock cannot be looked at ({error}), so nobody can tell whether it still runs", error=error.strerror)
        )
    state_known = _read_state(found)
    _read_refused(found)
    _read_journal(found, by_hand, state_known)
    if found.running:
        found.problems.insert(0, t("a process still records this run: wait for its end"))
    return found


def _read_state(found: Found) -> bool:
    try:
        found.state = read_state(found.folder)
        return True
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        found.problems.append(
            t("its state.json is damaged, so what was acknowledged is not known; {send} again", send=_SEND)
        )
        return False


def _read_refused(found: Found) -> None:
    path = found.folder / "refused.jsonl"
    try:
        for refusal, _ in read_refused(found.folder):
            found.refused += 1
            if found.refused <= 20:
                _tell_refused(found, refusal)
    except FileNotFoundError:
        return
    except OSError as error:
        found.problems.append(t("{path} cannot be read ({error})", path=path, error=error.strerror))
        return
    if found.refused > 20:
        found.problems.append(t("{refused} more items were refused, see {path}", refused=found.refused - 20, path=path))


def _tell_refused(found: Found, refusal: Refusal | None) -> None:
    what, reason = (refusal.item.called, refusal.reason) if refusal else (t("an item"), t("its record is damaged"))
    found.problems.append(
        t(
            "{what} was removed from this disk before it was sent; if its trainer did that, as many keep only their "
            "newest checkpoints, delete {folder}",
            what=what,
            folder=found.folder,
        )
        if refusal and not refusal.can_be_sent
        else t(
            "the ledger refused {what}: {reason}; {again}; else copy what matters by hand, then delete {folder}",
            what=what,
            reason=reason,
            again=AGAIN,
            folder=found.folder,
        )
    )


def _read_journal(found: Found, by_hand: bool, state_known: bool) -> None:
    acked, done = done_of(found.state)
    unsent = {MESSAGES: 0, FINISH: 0}
    names: list[str] = []
    seen, damaged, finished = set(done), 0, False
    items = 0
    try:
        for line in read_journal(found.folder):
            item = line.item
            if item is None or not line.whole:
                damaged += 1
                continue
            items += 1
            seen.add(item.n)
            finished = finished or item.kind == "finish"
            if item.kind == "open":
                found.open = item.body
            if item.kind == "weight":
                found.files.append(item.body)
            if item.n in done or (item.lane == MESSAGES and item.n <= acked):
                continue
            if item.lane == UPLOADS:
                names.append(str(item.body.get("filename")))
            else:
                unsent[item.lane] += 1
    except FileNotFoundError:
        refused = (found.folder / "refused.jsonl").exists()
        if not (refused and found.problems):
            found.problems.append(t("its journal is missing, so what it recorded is not known"))
        return
    except OSError as error:
        found.problems.append(t("its journal cannot be read ({error})", error=error.strerror))
        return
    if damaged:
        found.problems.append(
            t(
                "{damaged} damaged record{s} in its journal; `lora-ledger sync` sends the rest",
                damaged=damaged,
                s="s" if damaged > 1 else "",
            )
        )
    highest = max([*seen, acked, 0])
    lost = [n for n in range(1, highest + 1) if n not in seen and n > acked]
    if lost and not by_hand:
        found.problems.append(t("{count} records were never written to disk (a full disk?)", count=len(lost)))
    if unsent[MESSAGES]:
        n = unsent[MESSAGES]
        found.problems.append(
            t("{n} message{s} (log points, facts) not sent; {send}", n=n, s="s" if n > 1 else "", send=_SEND)
        )
    for name in names[:20]:
        found.problems.append(t("the file {name} is not uploaded whole; `lora-ledger sync` goes on with it", name=name))
    if len(names) > 20:
        found.problems.append(t("{count} more files are not uploaded; {send}", count=len(names) - 20, send=_SEND))
    if unsent[FINISH]:
        found.problems.append(t("its end was not told to the ledger; {send}", send=_SEND))
    if by_hand:
        return
    if not items:
        found.problems.append(t("its journal is empty: the client ended before it had recorded anything"))
    elif not finished:
        found.problems.append(
            t("it never recorded its end: the client was killed, and files it had not seen yet may be missing")
        )
    elif not state_known and not found.problems:
        found.problems.append(t("nothing tells that it was sent; {send} again", send=_SEND))


def name_of(found: Found) -> str:
    """How people know the run."""
    task = found.task_id
    register = (found.open or {}).get("register") or {}
    named = register.get("task_name") if isinstance(register, dict) else None
    return (
        (f"task {task}" if task else t("an unregistered run"))
        + (f" ({named})" if named else "")
        + f" in {found.folder}"
    )


def exists(path: Path) -> bool:
    """True unless the path is surely not there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
