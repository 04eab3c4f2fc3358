"""`lora-ledger safe`: may this box be destroyed? Yes only when the ledger itself confirms every part of every run.

Three witnesses are heard and have to agree: the spool (nothing unsent), the ledger (runs ended, every heartbeat there,
files complete and checked), and the disk (every result file has the hash of a file that the ledger holds). Whatever
cannot be told counts as missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import join_texts, t
from ..core.locks import is_locked
from ..core.output import length, put
from ..core.settings import Settings
from ..core.types import StrPath
from ..core.uploads import sha256_of
from ..recording.run import RunCommand
from . import box_records, spool_report
from .options import add_command, add_ledger_options
from .spool_report import Found

ENDED = {"success", "failed", "cancelled"}
CHECKED = {"sha256", "parts"}
# A file changed so few seconds ago may still be written to.
SETTLED = 2.0
# At the end of a run no more than this is read of the files of all runs on the box: that would take minutes.
MOST_AT_END = 8 << 30


class Check:
    """One answer in the making: `missing` has a sentence for each thing that is not known to be safe."""

    def __init__(
        self,
        settings: Settings,
        folders: Iterable[StrPath] = (),
        tasks: Iterable[int] = (),
        settled: float | None = None,
        most_bytes: int | None = None,
        own_only: bool = False,
    ) -> None:
        self.settings = settings
        # More than this to read is left to a person's own call; None: whatever there is.
        self.most_bytes = most_bytes
        self.too_much = False
        self.settled = SETTLED if settled is None else settled
        self.named = [Path(f).expanduser().absolute() for f in folders]
        self.tasks: dict[int, tuple[int, int] | None] = dict.fromkeys(tasks)
        self.missing: list[str] = []
        # Addresses of other ledgers that have runs here. A wrong yes is the worst answer, so that theirs count as
        # missing unless the answer is said to be of this ledger's runs alone.
        self.others: set[str] = set()
        self.own_only = own_only
        self.states = 0
        self.files = 0
        self.runs = 0
        self._folders: dict[Path, list[dict[str, Any] | None]] = {}
        self._to_read: dict[Path, list[int]] = {}
        self._known: set[Any] = set()

    def run(self) -> int:
        """Hears all witnesses; True when nothing is missing."""
        try:
            found = [spool_report.read(folder) for folder in spool_report.folders(self.settings.spool)]
            kept = box_records.all_of(self.settings.spool)
        except OSError as error:
            self.missing.append(
                t(
                    "{filename} cannot be read ({error}); look into it by hand",
                    filename=error.filename,
                    error=error.strerror,
                )
            )
            return False
        for spool in found:
            self.missing += [f"{spool_report.name_of(spool)}: {problem}" for problem in spool.problems]
            self._hear_spool(spool)
        for path, record in kept:
            self._hear_record(path, record, {spool.name: spool for spool in found})
        for folder in self.named:
            self._folders.setdefault(folder, []).append({})
        self.runs = len(self.tasks)
        if not self.tasks:
            if not self.missing:
                self.missing.append(
                    t(
                        "no run is recorded in {spool}: name the spool that was used (--spool), or the runs (--task "
                        "ID)",
                        spool=self.settings.spool,
                    )
                )
            return False
        try:
            api = Api(self.settings, timeout=20.0)
            for task, attempt in sorted(self.tasks.items()):
                self._ask(api, task, attempt)
        except CommandError as error:
            self.missing.append(t("the ledger could not be asked: {error}", error=error))
            return False
        for folder, before in self._folders.items():
            self._look(folder, before)
        if self.most_bytes is not None and sum(state[0] for state in self._to_read.values()) > self.most_bytes:
            self.too_much = True
            return False
        for path, state in self._to_read.items():
            self._compare(path, state)
        return not self.missing

    def _note_other(self, url: str, name: str) -> None:
        self.others.add(url)
        if not self.own_only:
            self.missing.append(
                t("{name}: belongs to the ledger at {url}; set LEDGER_URL to that one", name=name, url=url)
            )

    def counted(self) -> str:
        """What was found safe, in words."""
        return t(
            "{runs} run{s} and {files} file{s2}",
            runs=self.runs,
            s="s" if self.runs != 1 else "",
            files=self.files,
            s2="s" if self.files != 1 else "",
        )

    def _hear_spool(self, spool: Found) -> None:
        if spool.task_id is None:
            return
        url = spool.state.get("url")
        if url and self.settings.url and url != self.settings.url:
            self._note_other(url, spool_report.name_of(spool))
            return
        self.tasks.setdefault(spool.task_id, None)
        for item in spool.files:
            path = Path(str(item.get("path")))
            # What lies in the spool itself, such as the console, goes with it.
            if (
                spool.folder not in path.parents
                and path.parent.is_dir()
                and item.get("kind") in ("final", "checkpoint", "sample")
            ):
                self._folders.setdefault(path.parent, []).append(None)

    def _hear_record(self, path: Path, record: dict[str, Any] | None, by_name: dict[str, Found]) -> None:
        if record is None:
            self.missing.append(
                t("the record {path} is damaged, so one run is not known; look for its files by hand", path=path)
            )
            return
        what = t("task {task}", task=record["task_id"]) if record.get("task_id") else t("a run")
        name = what + t(
            " begun {time} ago in {cwd}", time=length(time.time() - record["started"]), cwd=record.get("cwd")
        )
        try:
            running = is_locked(path.with_suffix(".lock"))
        except OSError:
            running = record.get("ended") is None
        spool = by_name.get(str(record.get("spool")))
        if running:
            self.missing.append(t("{name}: is still going; wait for its end", name=name))
        elif record.get("ended") is None and not (spool and spool.problems):
            self.missing.append(
                t(
                    "{name}: its client was killed before its end; look at its files by hand, then delete {path}",
                    name=name,
                    path=path,
                )
            )
        if record.get("lost"):
            self.missing.append(
                t(
                    "{name}: {lost} heartbeats were lost to a full disk; delete {path} when you know",
                    name=name,
                    lost=record["lost"],
                    path=path,
                )
            )
        task = record.get("task_id") or (spool.task_id if spool else None)
        # What no ledger has registered yet belongs to none: `sync` sends it to any.
        if task is not None and record.get("url") and self.settings.url and record["url"] != self.settings.url:
            self._note_other(record["url"], name)
            return
        if task is None:
            if not (spool and spool.problems):
                self.missing.append(
                    t(
                        "{name}: was never registered, and its spool is gone; look at its files, then delete {path}",
                        name=name,
                        path=path,
                    )
                )
        else:
            self.tasks[task] = max(
                self.tasks.get(task) or (0, 0), (record.get("attempt") or 1, record.get("last_seq") or 0)
            )
        for folder in record.get("folders") or []:
            self._folders.setdefault(Path(folder), []).append(record.get("before") or {})
        if not record.get("folders") and not self.named:
            self.missing.append(
                t("{name}: where it wrote its files is not known; name the folder: lora-ledger safe FOLDER", name=name)
            )

    def _ask(self, api: Api, task: int, expected: tuple[int, int] | None) -> None:
        """What the ledger says of one task."""
        try:
            answer = api.get(f"/api/tasks/{task}")
            weights = list(api.pages("/api/weights", task_id=task))
        except CommandError as error:
            if error.status in (403, 404):
                self.missing.append(t("task {task}: the ledger does not show it ({error})", task=task, error=error))
                return
            raise
        if expected and (answer.get("attempt") or 0) > expected[0]:
            # Another box has taken the task over; only what this one's attempt left behind counts.
            pass
        elif answer.get("status") not in ENDED:
            self.missing.append(
                t(
                    "task {task}: is {status} in the ledger; its end has not arrived",
                    task=task,
                    status=answer.get("status"),
                )
            )
        elif answer.get("failure_reason") == "lost":
            self.missing.append(t("task {task}: the ledger lost it; its end has not arrived", task=task))
        if expected is None:
            # A run that is only named here: at least the numbers that the ledger has seen must be without gaps.
            newest = (answer.get("attempts") or [{}])[0]
            expected = (newest.get("attempt") or 0, newest.get("last_seq") or 0)
        if expected[0]:
            self._ask_points(api, task, answer, *expected)
        whole = {}
        for weight in sorted(weights, key=lambda w: w.get("id") or 0):
            name = weight.get("filename")
            if weight.get("state") == "complete" and weight.get("verified") in CHECKED:
                whole[name] = weight
                self._known.add((weight.get("sha256"), weight.get("size")))
            else:
                whole.setdefault(name, None)
                if weight.get("state") == "complete":
                    whole[name] = weight
                elif whole[name] and whole[name].get("sha256") != weight.get("sha256"):
                    whole[name] = None
        for name, weight in whole.items():
            if weight is None:
                self.missing.append(
                    t(
                        "task {task}: {name} has not arrived whole; `lora-ledger sync` goes on with it",
                        task=task,
                        name=name,
                    )
                )
            elif weight.get("verified") not in CHECKED:
                self.missing.append(
                    t(
                        "task {task}: of {name} the ledger checked only the {verified}; pull it and compare",
                        task=task,
                        name=name,
                        verified=weight.get("verified"),
                    )
                )

    def _ask_points(self, api: Api, task: int, answer: dict[str, Any], attempt: int, last_seq: int) -> None:
        """Whether every heartbeat of the attempt is there. The repeated finish changes nothing and names the gaps."""
        shown = next((a for a in answer.get("attempts") or [] if a.get("attempt") == attempt), None)
        if shown is None:
            if (answer.get("attempt") or 0) < attempt:
                self.missing.append(
                    t("task {task}: the ledger does not know attempt {attempt}", task=task, attempt=attempt)
                )
            return
        if shown.get("status") not in ENDED:
            self.missing.append(
                t(
                    "task {task}: attempt {attempt} is {status} in the ledger; its end has not arrived",
                    task=task,
                    attempt=attempt,
                    status=shown.get("status"),
                )
            )
            return
        if isinstance(shown.get("last_seq"), int) and shown["last_seq"] < last_seq:
            self.missing.append(
                t(
                    "task {task}: log points are missing in the ledger ({there} of {all} heartbeats)",
                    task=task,
                    there=shown["last_seq"],
                    all=last_seq,
                )
            )
            return
        if (
            answer.get("attempt") != attempt
            or answer.get("status") not in ENDED
            or answer.get("failure_reason") == "lost"
        ):
            return
        body = {"attempt": attempt, "status": answer["status"], "last_seq": last_seq}
        gaps = api.ask("POST", f"/api/tasks/{task}/finish", body).get("missing") or []
        if gaps:
            spans = join_texts(", ", (t("{first} to {last}", first=g.get("from"), last=g.get("to")) for g in gaps[:5]))
            self.missing.append(t("task {task}: heartbeats {spans} never reached the ledger", task=task, spans=spans))

    def _look(self, folder: Path, before: list[dict[str, Any] | None]) -> None:
        """Every result file below the folder has to be one that the ledger holds; `before` are older runs' files."""
        if not spool_report.exists(folder):
            if folder in self.named:
                self.missing.append(t("{folder}: there is no such folder", folder=folder))
            return
        try:
            paths, states = box_records.produced(folder) if folder.is_dir() else ([folder], 0)
        except OSError as error:
            self.missing.append(
                t("{folder} cannot be looked through ({error})", folder=folder, error=error.strerror or error)
            )
            return
        self.states += states
        # A file is an older one only when every run that wrote here found it there, unchanged until now.
        lists = [seen for seen in before if seen is not None]
        for path in paths:
            state = box_records.state_of(path)
            if state is None:
                continue
            if lists and all(seen.get(str(path)) == state for seen in lists):
                continue
            self._to_read[path] = state

    def _compare(self, path: Path, state: list[int]) -> None:
        self.files += 1
        age = abs(time.time() - state[1] / 1e9)
        if age < self.settled:
            time.sleep(self.settled - age)
            if box_records.state_of(path) != state:
                self.missing.append(t("{path}: is still being written", path=path))
                return
        try:
            digest = sha256_of(path)
        except OSError as error:
            self.missing.append(
                t("{path}: cannot be read ({error}), so it cannot be compared", path=path, error=error.strerror)
            )
            return
        if box_records.state_of(path) != state:
            self.missing.append(t("{path}: is still being written", path=path))
        elif (digest, state[0]) not in self._known:
            self.missing.append(
                t(
                    "{path}: the ledger does not hold this file as it is now; `lora-ledger sync`, or copy it away by "
                    "hand",
                    path=path,
                )
            )


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "safe",
        t("may this box be destroyed?"),
        t(
            "Answers whether all that this box produced is stored and checked: no run still going, nothing unsent or "
            "refused, every heartbeat there, and every weight and sample in the output folders held by the ledger with "
            "the same hash. Exit code 0 with one line, or 1 with what is missing. When the ledger cannot be asked, the "
            "answer is no."
        ),
        t(
            "  lora-ledger safe && shutdown-the-box\n"
            "  lora-ledger safe ~/output --task 42      (also check this folder and this run)"
        ),
    )
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help=t("more folders whose files have to be stored"))
    parser.add_argument(
        "--task", type=int, action="append", metavar="ID", help=t("a run to check besides; may be repeated")
    )
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints one line and returns 0 when this box may be destroyed; else 1 and what is missing, a line each."""
    check = Check(settings, options.folders, options.task or ())
    try:
        good = check.run()
    except Exception as error:
        # Whatever went wrong, the answer is no.
        terminal.trouble(error)
        check.missing.append(t("the check itself failed ({kind}: {error})", kind=type(error).__name__, error=error))
        good = False
    if good and not check.missing:
        put(t("SAFE: {counted} are stored and checked at {url}", counted=check.counted(), url=settings.url))
        if check.states:
            terminal.notice(
                t(
                    "{states} files that only serve to resume training (optimizer states) are not kept by the ledger",
                    states=check.states,
                )
            )
        return 0
    put(
        t(
            "NOT SAFE: {count} thing{s} missing",
            count=len(check.missing),
            s="s" if len(check.missing) != 1 else "",
        )
    )
    for text in check.missing:
        put(t("  - {text}", text=text))
    return 1


def tell_at_end(settings: Settings, runner: RunCommand) -> None:
    """What `run` says at its end: whether this box may go now. Asks the ledger only when nothing is left unsent."""
    recorder = runner.recorder
    if recorder is None:
        return
    left = spool_report.exists(recorder.spool.folder)
    if left:
        what = t("the ledger refused") if recorder.spool.aside and not recorder.spool.pending() else t("was not sent")
        how = "`lora-ledger sync --again`" if recorder.spool.aside else "`lora-ledger sync`"
        terminal.notice(
            t(
                "NOT safe to destroy this box yet: {folder} holds what {what}; {how}, then `lora-ledger safe`",
                folder=recorder.spool.folder,
                what=what,
                how=how,
            )
        )
        return
    try:
        # The trainer has just ended, so its files need no time to settle.
        check = Check(settings, settled=0.0, most_bytes=MOST_AT_END, own_only=True)
        good = check.run()
    except Exception as error:
        terminal.trouble(error)
        return
    if check.too_much and not check.missing:
        terminal.notice(
            t(
                "all of this run was sent; `lora-ledger safe` compares the files of all runs on this box and says "
                "whether it may be destroyed"
            )
        )
    elif good and not check.others:
        terminal.notice(t("safe to destroy this box: {counted} are stored and checked", counted=check.counted()))
    elif good:
        terminal.notice(
            t(
                "{counted} are stored and checked at {url}; the runs on this box of {others} are not part of this "
                "answer (`lora-ledger safe`)",
                counted=check.counted(),
                url=settings.url,
                others=join_texts(" and ", sorted(check.others)),
            )
        )
    else:
        terminal.notice(
            t("NOT safe to destroy this box yet: {missing} (`lora-ledger safe` shows all)", missing=check.missing[0])
        )


# (the record's path, the record, the body of the run's registration).
Waiting = list[tuple[Path, dict[str, Any], dict[str, Any]]]


def unregistered(settings: Settings) -> Waiting:
    """The runs that no ledger has registered yet: `learn` asks for them later."""
    try:
        opens = {f.name: spool_report.read(f).open for f in spool_report.folders(settings.spool)}
        kept = box_records.all_of(settings.spool)
    except OSError:
        return []
    waiting: Waiting = []
    for path, record in kept:
        body = opens.get(str(record.get("spool"))) if record else None
        if record and body and not record.get("task_id"):
            waiting.append((path, record, body))
    return waiting


def learn(settings: Settings, waiting: Waiting) -> None:
    """After `sync`: notes the tasks of runs that it registered. The same registration finds its task again."""
    for path, record, body in waiting:
        if spool_report.exists(settings.spool / record["spool"]) or body.get("resume"):
            continue
        try:
            answer = Api(settings).ask("POST", "/api/tasks", body["register"], {"Idempotency-Key": body["key"]})
        except (CommandError, KeyError) as error:
            terminal.trouble(error)
            continue
        if answer.get("task_id"):
            record.update(task_id=answer["task_id"], attempt=1, url=settings.url)
            box_records.save(path, record)
