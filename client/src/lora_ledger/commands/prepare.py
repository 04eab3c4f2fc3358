"""What an agent brings to the box before a claimed run starts: its configuration, and what it goes on from."""

import os
import shutil
import threading
import time

from .. import say
from ..redact import MARK
from ..transport import Denied, Later, backoff
from .common import Plain, put
from .pull import fetch, local_path
from .reproduce import Kept, missing_in_text, value_of


class Cancelled(Exception):
    """Someone cancelled the run before it began."""


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
            wait = min(self._interval, float(answer.get("heartbeat_interval_sec") or self._interval))
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


def write_kept(folder, role, answer):
    """Writes one of a claimed task's files, its secrets filled in from the environment; returns its path. Raises Plain."""
    kept = Kept(role, answer)
    kept.write(folder)
    if MARK not in kept.text:
        return kept.written
    values = {name: value_of(name) for name in dict.fromkeys(missing_in_text(kept.text))}
    lacking = [name for name, value in values.items() if not value]
    if lacking:
        raise Plain(
            f"{kept.name} lacks secrets that no ledger keeps: set {', '.join(lacking)} "
            "(or LEDGER_SECRET_… of the same name) in the agent's environment"
        )
    return kept.fill(values)


def write_files(api, claim, folder, with_dataset, alive):
    """({placeholder: path}) of the configuration and, if wanted, of the separate dataset file. Raises Plain or OSError."""
    if not claim.get("config"):
        raise Plain("the task has no configuration file to train with; register it with `config`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = {"config": write_kept(folder, "config", claim["config"]), "dataset": None}
    if with_dataset:
        found = insist(alive, lambda: api.get(f"/api/tasks/{claim['task']['id']}/reproduce")).get("dataset_file")
        if found:
            files["dataset"] = write_kept(folder, "dataset_file", found)
    return files


# What each placeholder takes of an earlier attempt, the first kind that there is.
KINDS = {"resume": ("state", "checkpoint"), "state": ("state",), "checkpoint": ("checkpoint",)}


def newest(weights, attempt, kinds):
    """(the weights to fetch, their step) that the attempt can go on from: of the first of the kinds that earlier attempts
    left, the newest, with all that lay in one folder with it; ([], None) where there is none."""
    earlier = [w for w in weights if w["attempt"] < attempt]

    def place(weight):
        return weight.get("step") or 0, weight.get("epoch") or 0, weight["attempt"], weight["id"]

    for kind in kinds:
        # The console is kept as state, too; what can be resumed from has its folder in its name.
        usable = [w for w in earlier if w["kind"] == kind and (kind != "state" or "/" in w["filename"])]
        if not usable:
            continue
        best = max(usable, key=place)
        if not best.get("group"):
            return [best], best.get("step")
        same = [w for w in earlier if w.get("group") == best["group"] and w["attempt"] == best["attempt"]]
        return same, max((w.get("step") or 0 for w in same), default=0) or None
    return [], None


def fetch_earlier(api, task, attempt, folder, names, alive):
    """({placeholder: path to go on from, or None}, the furthest of their steps or None). Raises Plain or OSError."""
    if attempt < 2 or not names:
        return dict.fromkeys(names), None
    weights = insist(alive, lambda: list(api.pages("/api/weights", task_id=task, state="complete")))
    found, steps = {}, []
    for name in names:
        chosen, step = newest(weights, attempt, KINDS[name])
        found[name] = None
        if not chosen:
            continue
        say.notice(
            f"task {task} goes on from {chosen[0].get('group') or chosen[0]['filename']} of attempt {chosen[0]['attempt']}"
        )
        top = folder / name
        paths = [local_path(top, weight["filename"]) for weight in chosen]
        for weight, path in zip(chosen, paths):
            alive.check()
            put(f"{path}: {fetch(api, weight, path)}")
        alone = len(paths) == 1 and paths[0].parent == top
        found[name] = paths[0] if alone else os.path.commonpath([path.parent for path in paths])
        if step:
            steps.append(step)
    return found, max(steps, default=None)
