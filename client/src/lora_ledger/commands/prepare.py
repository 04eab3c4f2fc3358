"""What an agent brings to the box before a claimed run starts: its configuration, and what it goes on from."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TypeVar

from ..core import terminal
from ..core.api import Api
from ..core.errors import CancelledError, CommandError, DeniedError, IncompleteFileError, RetryLaterError
from ..core.language import join_texts, t
from ..core.output import put
from ..core.redact import MARK
from ..core.safetensors import read_header
from ..core.terminal import printable
from ..core.transport import Ledger, backoff
from ..core.types import StrPath, section
from ..recording.guard import read_guard
from .downloads import fetch, local_path
from .filling import Filling
from .kept_files import KeptFile
from .template import KINDS

# A run has fewer files than this; a list that goes on and on is none.
MOST_FILES = 20_000
# A larger text is no part of a training state.
TEXT_LIMIT = 64 * 1024 * 1024


def number_in(value: Any, default: float, least: float, most: float) -> float:
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
    served_by: int | None
    config: Any
    dataset_file: Any
    interval: float
    dialect: str | None = None
    # So many lost losses in a row end the run; None: none do.
    stop_on_nan: int | None = None

    @classmethod
    def read(cls, answer: dict[str, Any], interval: float) -> Claim:
        """Raises CommandError for an answer that is no claim: its numbers become names of folders."""
        task = answer.get("task")
        number, attempt = (task or {}).get("id") if isinstance(task, dict) else None, answer.get("attempt")
        if type(number) is not int or type(attempt) is not int or not 0 < number < 1 << 53 or not 0 < attempt < 1 << 53:
            raise CommandError(t("the ledger's answer to a claim names no task and attempt; is LEDGER_URL right?"))
        served_by = answer.get("served_by")
        try:
            stop_on_nan = read_guard(section(answer, "task").get("guard"))
        except ValueError as error:
            terminal.warn(t("task {number} runs without its guard: {error}", number=number, error=error))
            stop_on_nan = None
        return cls(
            number,
            attempt,
            str(section(answer, "task").get("task_name"))[:300],
            answer.get("own") is True,
            served_by if type(served_by) is int else None,
            answer.get("config"),
            answer.get("dataset_file"),
            number_in(answer.get("heartbeat_interval_sec"), interval, 0.2, interval),
            answer["dialect"] if isinstance(answer.get("dialect"), str) else None,
            stop_on_nan,
        )


class KeepAlive:
    """Heartbeats while files are fetched, so that the claimed run does not count as lost. A context manager.

    The run goes on counting from `seq`. `gone` is the exception that ended it: SupersededError, RefusedError or
    CancelledError.
    """

    def __init__(self, ledger: Ledger, task: int, attempt: int, interval: float) -> None:
        self.seq = 0
        self.gone = None
        self._ledger, self._task, self._attempt, self._interval = ledger, task, attempt, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ledger-claimed", daemon=True)

    def __enter__(self) -> KeepAlive:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises what ended the claim, if anything did."""
        if self.gone:
            raise self.gone

    def _beat(self) -> None:
        wait = self._interval
        while not self._stop.wait(wait):
            body = {"attempt": self._attempt, "seq": self.seq + 1, "progress": {}, "logs": []}
            try:
                answer = self._ledger.ask("POST", f"/api/tasks/{self._task}/heartbeat", body)
            except (RetryLaterError, DeniedError):
                # Whoever reports next says it again; the number is given only once it was taken.
                wait = min(2.0, self._interval)
                continue
            except Exception as error:
                self.gone = error
                return
            self.seq += 1
            wait = number_in(answer.get("heartbeat_interval_sec"), self._interval, 0.2, self._interval)
            if answer.get("cancel_requested"):
                self.gone = CancelledError(t("cancelled in the ledger before it began"))
                return


T = TypeVar("T")


def insist(alive: KeepAlive, ask: Callable[[], T]) -> T:
    """What `ask()` gives, asked again while the ledger is out of reach and the claim holds. Raises CommandError and
    what ended it."""
    tries = 0
    while True:
        alive.check()
        try:
            return ask()
        except CommandError as error:
            # None: no answer came. A refusal has its status, and a plain mistake none at all.
            if not error.unanswered:
                raise
            time.sleep(backoff(tries, 10.0))
            tries += 1


def write_files(claim: Claim, folder: Path, with_dataset: bool, filling: Filling) -> dict[str, Path | None]:
    """({placeholder: path}) of the configuration and, if wanted, of the separate dataset file. Raises CommandError or
    OSError."""
    if not claim.config:
        raise CommandError(t("the task has no configuration file to train with; register it with `config`"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = {"config": KeptFile("config", claim.config)}
    if with_dataset and claim.dataset_file:
        kept["dataset"] = KeptFile("dataset_file", claim.dataset_file)
    for file in kept.values():
        file.write(folder)
        filling.look(file.name, file.marks, file.data.count(MARK.encode()))
    if filling.refused or filling.unset:
        names = join_texts(" and ", (printable(file.name) for file in kept.values() if file.marks))
        raise CommandError(
            t(
                "{names} lacks secrets that no ledger keeps: {explain} (of the agent)",
                names=names,
                explain=join_texts("; ", filling.explain()),
            )
        )
    for line in filling.left:
        terminal.notice(t("task {task}: {line}", task=claim.task, line=line))
    filling.know()
    files: dict[str, Path | None] = {"config": None, "dataset": None}
    for name, file in kept.items():
        files[name] = file.fill(filling) if any(filling.fills(mark) for mark in file.marks) else file.written
    return files


# What loads as data alone, by its name and by its content. Everything else may be a pickle, which runs code when
# loaded.
PLAIN = (".safetensors", ".json", ".txt", ".md")


def is_plain_name(name: str) -> bool:
    """Whether a file of this name is loaded as tensors or text, by any trainer."""
    return str(name).lower().endswith(PLAIN)


def is_plain_file(path: StrPath) -> bool:
    """Whether a file's content is what its name says: tensors or text. Raises OSError."""
    name = str(path).lower()
    if name.endswith(".safetensors"):
        try:
            read_header(path)
        except IncompleteFileError:
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


def readable(weights: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
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


def of_this_owner(weights: list[dict[str, Any]], claim: Claim) -> tuple[list[dict[str, Any]], list[int]]:
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


def newest(
    weights: list[dict[str, Any]],
    attempt: int,
    kinds: Sequence[str],
    usable: Callable[[list[dict[str, Any]]], bool] = lambda files: True,
) -> tuple[list[dict[str, Any]], int | None]:
    """(the weights to fetch, their step) that the attempt can go on from: of the first of the kinds that earlier
    attempts
    left, the newest that is usable, with all that lay in one folder with it; ([], None) where there is none."""
    earlier = [w for w in weights if w["attempt"] < attempt]

    def place(weight: dict[str, Any]) -> Any:
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


def fetch_earlier(
    api: Api, claim: Claim, folder: Path, names: list[str], alive: KeepAlive, trusted: bool = False
) -> tuple[dict[str, Any], int | None]:
    """({placeholder: path to go on from, or None}, the furthest of their steps or None). Raises CommandError or
    OSError.

    Only files of this owner's boxes are taken, and pickles only with `trusted` (--trust-state).
    """
    if claim.attempt < 2 or not names:
        return dict.fromkeys(names), None
    listed = insist(alive, lambda: list(api.pages("/api/weights", MOST_FILES, task_id=claim.task, state="complete")))
    weights, others = of_this_owner(list(readable(listed)), claim)
    if others:
        terminal.warn(
            t(
                "task {task}: what attempt {attempts} left is not known to be from a box of this box's owner, and is "
                "not resumed from",
                task=claim.task,
                attempts=join_texts(", ", others),
            )
        )
    found, steps = {}, []
    for name in names:
        found[name], step = _fetch_newest(api, claim, weights, folder / name, KINDS[name], alive, trusted)
        if step:
            steps.append(step)
    return found, max(steps, default=None)


def _fetch_newest(
    api: Api,
    claim: Claim,
    weights: list[dict[str, Any]],
    top: Path,
    kinds: Sequence[str],
    alive: KeepAlive,
    trusted: bool,
) -> tuple[Path | str | None, int | None]:
    """(path to go on from or None, its step or None)."""

    def is_plain(files: list[dict[str, Any]]) -> bool:
        return all(is_plain_name(weight["filename"]) for weight in files)

    chosen, step = newest(weights, claim.attempt, kinds)
    if chosen and not trusted and not is_plain(chosen):
        pickle = next(weight for weight in chosen if not is_plain_name(weight["filename"]))
        left = _called(chosen[0])
        chosen, step = newest(weights, claim.attempt, kinds, is_plain)
        terminal.warn(
            t(
                "task {task}: {left} holds {filename}, and loading such a file can run code; {outcome}. "
                "`--trust-state` on the agent resumes from it",
                task=claim.task,
                left=left,
                filename=pickle["filename"],
                outcome=t("the run goes on from an earlier place") if chosen else t("the run begins anew"),
            )
        )
    if not chosen:
        return None, None
    terminal.notice(t("task {task} goes on from {called}", task=claim.task, called=_called(chosen[0])))
    paths = [local_path(top, weight["filename"]) for weight in chosen]
    for weight, path in zip(chosen, paths):
        alive.check()
        put(t("{path}: {outcome}", path=path, outcome=fetch(api, weight, path)))
    odd = [path for path in paths if not trusted and not is_plain_file(path)]
    if odd:
        shutil.rmtree(top, ignore_errors=True)
        terminal.warn(
            t(
                "task {task}: {name} is not what its name says, and loading it could run code; the run begins anew. "
                "`--trust-state` on the agent resumes from it",
                task=claim.task,
                name=odd[0].name,
            )
        )
        return None, None
    alone = len(paths) == 1 and paths[0].parent == top
    return paths[0] if alone else os.path.commonpath([path.parent for path in paths]), step


def _called(weight: dict[str, Any]) -> str:
    return t("{group} of attempt {attempt}", group=weight.get("group") or weight["filename"], attempt=weight["attempt"])
