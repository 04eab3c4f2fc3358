"""What an agent brings to the box before a claimed run starts: its configuration, and what it goes on from."""

import json
import os
import shutil
import threading
import time
from dataclasses import dataclass

from ..core import terminal
from ..core.redact import MARK
from ..core.safetensors import Incomplete, read_header
from ..core.transport import Denied, Later, backoff
from ..core.api import Plain, printable, put
from .pull import fetch, local_path
from .reproduce import Kept

# A run has fewer files than this; a list that goes on and on is none.
MOST_FILES = 20_000
# A larger text is no part of a training state.
TEXT_LIMIT = 64 * 1024 * 1024


class Cancelled(Exception):
    """Someone cancelled the run before it began."""


def number_in(value, default, least, most):
    """A number of the ledger's within bounds; the default for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return default
    return float(min(most, max(least, value)))


@dataclass(frozen=True)
class Claim:
    """A claimed task as the ledger answered, its parts checked. `own`: it is of the user whose key this box has."""

    task: int
    attempt: int
    name: str
    own: bool
    served_by: object
    config: object
    dataset_file: object
    interval: float

    @classmethod
    def read(cls, answer, interval):
        """Raises Plain for an answer that is no claim: its numbers become names of folders."""
        task = answer.get("task")
        number, attempt = (task or {}).get("id") if isinstance(task, dict) else None, answer.get("attempt")
        if type(number) is not int or type(attempt) is not int or not 0 < number < 1 << 53 or not 0 < attempt < 1 << 53:
            raise Plain("the ledger's answer to a claim names no task and attempt; is LEDGER_URL right?")
        served_by = answer.get("served_by")
        return cls(
            number,
            attempt,
            str(task.get("task_name"))[:300],
            answer.get("own") is True,
            served_by if type(served_by) is int else None,
            answer.get("config"),
            answer.get("dataset_file"),
            number_in(answer.get("heartbeat_interval_sec"), interval, 0.2, interval),
        )


class KeepAlive:
    """Heartbeats while files are fetched, so that the claimed run does not count as lost. A context manager.

    The run goes on counting from `seq`. `gone` is the exception that ended it: Superseded, Refused or Cancelled.
    """

    def __init__(self, ledger, task, attempt, interval):
        self.seq = 0
        self.gone = None
        self._ledger, self._task, self._attempt, self._interval = ledger, task, attempt, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ledger-claimed", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def check(self):
        """Raises what ended the claim, if anything did."""
        if self.gone:
            raise self.gone

    def _beat(self):
        wait = self._interval
        while not self._stop.wait(wait):
            body = {"attempt": self._attempt, "seq": self.seq + 1, "progress": {}, "logs": []}
            try:
                answer = self._ledger.ask("POST", f"/api/tasks/{self._task}/heartbeat", body)
            except (Later, Denied):
                # Whoever reports next says it again; the number is given only once it was taken.
                wait = min(2.0, self._interval)
                continue
            except Exception as error:
                self.gone = error
                return
            self.seq += 1
            wait = number_in(answer.get("heartbeat_interval_sec"), self._interval, 0.2, self._interval)
            if answer.get("cancel_requested"):
                self.gone = Cancelled("cancelled in the ledger before it began")
                return


def insist(alive, ask):
    """What `ask()` gives, asked again while the ledger is out of reach and the claim holds. Raises Plain and what ended it."""
    tries = 0
    while True:
        alive.check()
        try:
            return ask()
        except Plain as error:
            # None: no answer came. A refusal has its status, and a plain mistake none at all.
            if getattr(error, "status", 0) is not None:
                raise
            time.sleep(backoff(tries, 10.0))
            tries += 1


def write_files(claim, folder, with_dataset, filling):
    """({placeholder: path}) of the configuration and, if wanted, of the separate dataset file. Raises Plain or OSError."""
    if not claim.config:
        raise Plain("the task has no configuration file to train with; register it with `config`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = {"config": Kept("config", claim.config)}
    if with_dataset and claim.dataset_file:
        kept["dataset"] = Kept("dataset_file", claim.dataset_file)
    for file in kept.values():
        file.write(folder)
        filling.look(file.name, file.marks, file.data.count(MARK.encode()))
    if filling.refused or filling.unset:
        names = " and ".join(printable(file.name) for file in kept.values() if file.marks)
        raise Plain(f"{names} lacks secrets that no ledger keeps: {'; '.join(filling.explain())} (of the agent)")
    for line in filling.left:
        terminal.notice(f"task {claim.task}: {line}")
    filling.know()
    files = {"config": None, "dataset": None}
    for name, file in kept.items():
        files[name] = file.fill(filling) if any(filling.fills(mark) for mark in file.marks) else file.written
    return files


# What each placeholder takes of an earlier attempt, the first kind that there is.
KINDS = {"resume": ("state", "checkpoint"), "state": ("state",), "checkpoint": ("checkpoint",)}


# What loads as data alone, by its name and by its content. Everything else may be a pickle, which runs code when loaded.
PLAIN = (".safetensors", ".json", ".txt", ".md")


def is_plain_name(name):
    """Whether a file of this name is loaded as tensors or text, by any trainer."""
    return str(name).lower().endswith(PLAIN)


def is_plain_file(path):
    """Whether a file's content is what its name says: tensors or text. Raises OSError."""
    name = str(path).lower()
    if name.endswith(".safetensors"):
        try:
            read_header(path)
        except Incomplete:
            return False
        return True
    if not name.endswith(PLAIN) or os.path.getsize(path) > TEXT_LIMIT:
        return False
    with open(path, "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8")
        if name.endswith(".json"):
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return "\0" not in text


def readable(weights):
    """The files of a list whose parts are what they have to be: they become paths and are compared."""
    for weight in weights:
        texts = ("kind", "filename", "sha256")
        if all(type(weight.get(n)) is int for n in ("id", "attempt", "size")) and all(
            type(weight.get(n)) is str for n in texts
        ):
            group, step, epoch = (weight.get(n) for n in ("group", "step", "epoch"))
            yield {
                **weight,
                "group": group if isinstance(group, str) else None,
                "step": step if type(step) is int else None,
                "epoch": epoch if type(epoch) in (int, float) and epoch == epoch else None,
            }


def of_this_owner(weights, claim):
    """(the files that a box of this box's owner has uploaded, the attempts of the others).

    Of a ledger that does not say who uploaded what only the files of the owner's own task are taken.
    """
    mine, others = [], set()
    for weight in weights:
        uploader = weight.get("uploaded_by")
        if uploader is None or claim.served_by is None:
            good = claim.own
        else:
            good = uploader == claim.served_by
        if good:
            mine.append(weight)
        elif weight["attempt"] < claim.attempt:
            others.add(weight["attempt"])
    return mine, sorted(others)


def newest(weights, attempt, kinds, usable=lambda files: True):
    """(the weights to fetch, their step) that the attempt can go on from: of the first of the kinds that earlier attempts
    left, the newest that is usable, with all that lay in one folder with it; ([], None) where there is none."""
    earlier = [w for w in weights if w["attempt"] < attempt]

    def place(weight):
        return weight.get("step") or 0, weight.get("epoch") or 0, weight["attempt"], weight["id"]

    for kind in kinds:
        # The console is kept as state, too; what can be resumed from has its folder in its name.
        found = [w for w in earlier if w["kind"] == kind and (kind != "state" or "/" in w["filename"])]
        for best in sorted(found, key=place, reverse=True):
            if not best.get("group"):
                same, step = [best], best.get("step")
            else:
                same = [w for w in earlier if w.get("group") == best["group"] and w["attempt"] == best["attempt"]]
                step = max((w.get("step") or 0 for w in same), default=0) or None
            if usable(same):
                return same, step
    return [], None


def fetch_earlier(api, claim, folder, names, alive, trusted=False):
    """({placeholder: path to go on from, or None}, the furthest of their steps or None). Raises Plain or OSError.

    Only files of this owner's boxes are taken, and pickles only with `trusted` (--trust-state).
    """
    if claim.attempt < 2 or not names:
        return dict.fromkeys(names), None
    listed = insist(alive, lambda: list(api.pages("/api/weights", MOST_FILES, task_id=claim.task, state="complete")))
    weights, others = of_this_owner(list(readable(listed)), claim)
    if others:
        terminal.warn(
            f"task {claim.task}: what attempt {', '.join(map(str, others))} left is not known to be from a box of this box's "
            "owner, and is not resumed from"
        )
    found, steps = {}, []
    for name in names:
        found[name], step = _fetch_newest(api, claim, weights, folder / name, KINDS[name], alive, trusted)
        if step:
            steps.append(step)
    return found, max(steps, default=None)


def _fetch_newest(api, claim, weights, top, kinds, alive, trusted):
    """(path to go on from or None, its step or None)."""

    def is_plain(files):
        return all(is_plain_name(weight["filename"]) for weight in files)

    chosen, step = newest(weights, claim.attempt, kinds)
    if chosen and not trusted and not is_plain(chosen):
        pickle = next(weight for weight in chosen if not is_plain_name(weight["filename"]))
        left = _called(chosen[0])
        chosen, step = newest(weights, claim.attempt, kinds, is_plain)
        terminal.warn(
            f"task {claim.task}: {left} holds {pickle['filename']}, and loading such a file can run code; the run "
            f"{'goes on from an earlier place' if chosen else 'begins anew'}. `--trust-state` on the agent resumes from it"
        )
    if not chosen:
        return None, None
    terminal.notice(f"task {claim.task} goes on from {_called(chosen[0])}")
    paths = [local_path(top, weight["filename"]) for weight in chosen]
    for weight, path in zip(chosen, paths):
        alive.check()
        put(f"{path}: {fetch(api, weight, path)}")
    odd = [path for path in paths if not trusted and not is_plain_file(path)]
    if odd:
        shutil.rmtree(top, ignore_errors=True)
        terminal.warn(
            f"task {claim.task}: {odd[0].name} is not what its name says, and loading it could run code; the run begins anew. "
            "`--trust-state` on the agent resumes from it"
        )
        return None, None
    alone = len(paths) == 1 and paths[0].parent == top
    return paths[0] if alone else os.path.commonpath([path.parent for path in paths]), step


def _called(weight):
    return f"{weight.get('group') or weight['filename']} of attempt {weight['attempt']}"
