"""Looks into the spool without changing it: which runs still go on, and what of each has not reached the ledger."""

import os

from ..recording.by_hand import BY_HAND
from ..core.reading import loads
from ..core.spool import AGAIN, FINISH, MESSAGES, UPLOADS, Busy, _lock_file, called
from ..core.uploads import REMOVED

_LANES = {"weight": UPLOADS, "finish": FINISH}
_SEND = "`lora-ledger sync` sends it"


class Found:
    """What one spool folder holds. `problems` are plain sentences; none means that all of it was acknowledged."""

    def __init__(self, folder):
        self.folder = folder
        self.name = folder.name
        self.running = False
        # How many items the ledger refused.
        self.refused = 0
        self.problems = []
        self.state = {}
        self.files = []
        self.open = None

    @property
    def task_id(self):
        """The task that the run was registered as, or None."""
        value = self.state.get("task_id")
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def folders(root):
    """Spool folders below the root, oldest first. Raises OSError when the root is there but cannot be read."""
    try:
        found = [entry for entry in root.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda folder: (folder.stat().st_mtime, folder.name))


def is_locked(path):
    """Whether a process holds the lock file. Raises OSError when that cannot be told."""
    # Opened for writing, since some network disks lock nothing else.
    with open(path, "r+b") as file:
        try:
            _lock_file(file)
        except Busy:
            return True
    return False


def read(folder):
    """A `Found` of the folder. Whatever cannot be read or understood is a problem, never left out."""
    found = Found(folder)
    by_hand = folder.name.startswith(BY_HAND)
    try:
        found.running = is_locked(folder / "lock")
    except OSError as error:
        found.problems.append(
            f"its lock cannot be looked at ({error.strerror}), so nobody can tell whether it still runs"
        )
    state_known = _read_state(found)
    _read_refused(found)
    _read_journal(found, by_hand, state_known)
    if found.running:
        found.problems.insert(0, "a process still records this run: wait for its end")
    return found


def _read_state(found):
    try:
        state = loads((found.folder / "state.json").read_bytes())
        if not isinstance(state, dict):
            raise ValueError
        found.state = state
        return True
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        found.problems.append(f"its state.json is damaged, so what was acknowledged is not known; {_SEND} again")
        return False


def _read_refused(found):
    path = found.folder / "refused.jsonl"
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.strip():
                    found.refused += 1
                    if found.refused <= 20:
                        _tell_refused(found, line)
    except FileNotFoundError:
        return
    except OSError as error:
        found.problems.append(f"{path} cannot be read ({error.strerror})")
        return
    if found.refused > 20:
        found.problems.append(f"{found.refused - 20} more items were refused, see {path}")


def _tell_refused(found, line):
    try:
        record = loads(line)
        body = record.get("body") or {}
        what = called(record.get("kind"), body)
        reason = record.get("reason")
    except (ValueError, KeyError, TypeError, AttributeError):
        what, reason = "an item", "its record is damaged"
    found.problems.append(
        f"{what} was removed from this disk before it was sent; if its trainer did that, as many keep only their newest "
        f"checkpoints, delete {found.folder}"
        if reason == REMOVED
        else f"the ledger refused {what}: {reason}; {AGAIN}; else copy what matters by hand, then delete {found.folder}"
    )


def _numbers(value):
    """The whole numbers of a list; anything else counts for nothing."""
    values = value if isinstance(value, list) else []
    return {n for n in values if isinstance(n, int) and not isinstance(n, bool)}


def _read_journal(found, by_hand, state_known):
    done = _numbers(found.state.get("done"))
    acked = found.state.get("acked", 0)
    if not isinstance(acked, int) or isinstance(acked, bool):
        acked = 0
    unsent = {MESSAGES: 0, FINISH: 0, UPLOADS: []}
    seen, damaged, finished, items = set(), 0, False, 0
    path = found.folder / "journal.jsonl"
    try:
        with open(path, "rb") as journal:
            for line in journal:
                if not line.strip():
                    continue
                try:
                    item = loads(line)
                    n, kind, body = item["n"], item["kind"], item["body"]
                    if not isinstance(n, int) or not isinstance(body, dict) or not line.endswith(b"\n"):
                        raise ValueError
                except (ValueError, KeyError, TypeError):
                    damaged += 1
                    continue
                items += 1
                seen.add(n)
                finished = finished or kind == "finish"
                if kind == "open":
                    found.open = body
                if kind == "weight":
                    found.files.append(body)
                lane = _LANES.get(kind, MESSAGES)
                if n in done or (lane == MESSAGES and n <= acked):
                    continue
                if lane == UPLOADS:
                    unsent[UPLOADS].append(str(body.get("filename")))
                else:
                    unsent[lane] += 1
    except FileNotFoundError:
        refused = (found.folder / "refused.jsonl").exists()
        if not (refused and found.problems):
            found.problems.append("its journal is missing, so what it recorded is not known")
        return
    except OSError as error:
        found.problems.append(f"its journal cannot be read ({error.strerror})")
        return
    if damaged:
        found.problems.append(
            f"{damaged} damaged record{'s' if damaged > 1 else ''} in its journal; `lora-ledger sync` sends the rest"
        )
    highest = max([*seen, *done, acked, 0])
    lost = [n for n in range(1, highest + 1) if n not in seen and n not in done and n > acked]
    if lost and not by_hand:
        found.problems.append(f"{len(lost)} records were never written to disk (a full disk?)")
    if unsent[MESSAGES]:
        n = unsent[MESSAGES]
        found.problems.append(f"{n} message{'s' if n > 1 else ''} (log points, facts) not sent; {_SEND}")
    for name in unsent[UPLOADS][:20]:
        found.problems.append(f"the file {name} is not uploaded whole; `lora-ledger sync` goes on with it")
    if len(unsent[UPLOADS]) > 20:
        found.problems.append(f"{len(unsent[UPLOADS]) - 20} more files are not uploaded; {_SEND}")
    if unsent[FINISH]:
        found.problems.append(f"its end was not told to the ledger; {_SEND}")
    if by_hand:
        return
    if not items:
        found.problems.append("its journal is empty: the client ended before it had recorded anything")
    elif not finished:
        found.problems.append(
            "it never recorded its end: the client was killed, and files it had not seen yet may be missing"
        )
    elif not state_known and not found.problems:
        found.problems.append(f"nothing tells that it was sent; {_SEND} again")


def name_of(found):
    """How people know the run."""
    task = found.task_id
    register = (found.open or {}).get("register") or {}
    named = register.get("task_name") if isinstance(register, dict) else None
    return (
        (f"task {task}" if task else "an unregistered run") + (f" ({named})" if named else "") + f" in {found.folder}"
    )


def exists(path):
    """True unless the path is surely not there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
