"""One run's record: opens it, beats in the background, and closes it. Shared by `run` and `track()`.

The threads of a recorded run, by their names. Each waits for what stands behind it, and for nothing else; a trainer
waits for none but the two that read its output, and a training loop for none.

    main              the trainer's end, or the training loop itself; signals arrive here. At the end of a run it waits
                      until all is sent, as long as something moves (--flush-timeout)
    ledger-wait       the trainer's end (process.py)
    ledger-stdout,    the trainer's output, and this process's own: they pass it on, and lay it into the console's queue
    ledger-stderr     (process.py)
    ledger-console    that queue: reads lines and bars, follows steps, packs console.log.gz. Chunks are left out where
                      it is more than 8 MB behind (console.py)
    ledger-follow     two of them: log and weight files; the data folders (supervision.py)
    ledger-machine    processor, memory, disks and network on the heartbeat's rhythm (machine_watch.py)
    ledger-gpu        nvidia-smi, amd-smi, rocm-smi, npu-smi or ioreg, on the same rhythm (machine_watch.py)
    ledger-describe   git, nvidia-smi and the packages' versions; then it journals the registration (here)
    ledger-heartbeat  the registration, then its interval: it journals the points that came together (here)
    ledger-messages   the ledger's answers: sends the journal's messages in order (sender.py)
    ledger-uploads    the storage's answers: reads, hashes and sends files (sender.py)
    ledger-stop       the time between two signals to a trainer that has to end (process.py)
    ledger-record     half a second: notes for `safe` what this run has become (commands/box_records.py)

An agent has one `ledger-slot-N` for each place where a run can be, and `ledger-claimed` while it fetches files. All are
daemons: whatever hangs, the process ends, and the journal on disk has what was said until then.
Locks: the points', the spool's and the terminal's are each held for memory or one write, never over a call of the
ledger.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any, Callable

from ..core import terminal, withhold
from ..core.journal import UPLOADS, Heartbeat, Upload
from ..core.language import join_texts, t
from ..core.settings import Settings
from ..core.spool import Spool
from ..core.transport import Ledger
from . import outgoing
from .delivery import LONGEST_AGO
from .disk_watch import DiskWatch
from .events import Events
from .points import Points
from .sender import Sender

# So many rows are written to the spool before the next heartbeat is due, to keep memory small.
MANY_POINTS = 4000
# So long points may be in memory alone.
KEEP_SECONDS = 5.0
# Everything else of a run goes behind its registration, which every look at this machine has to end for.
DESCRIBE_SECONDS = 180.0


def ledger_of(settings: Settings) -> Ledger | None:
    """The ledger that the settings name, or None with a warning about what is missing."""
    missing = [name for name, value in (("LEDGER_URL", settings.url), ("LEDGER_KEY", settings.key)) if not value]
    if missing:
        terminal.warn_once(
            "unset",
            t(
                "{missing} {be} not set: the run is recorded in {spool}; set them and run `lora-ledger sync` to send "
                "it",
                missing=join_texts(" and ", missing),
                be="is" if len(missing) == 1 else "are",
                spool=settings.spool,
            ),
        )
        return None
    return Ledger(settings.url or "", settings.key)


class Recorder(Events):
    """Everything here returns at once and raises nothing; sending happens in threads of its own."""

    def __init__(self, settings: Settings, points: Points | None = None) -> None:
        self.settings = settings
        self.points = points if points is not None else Points(loss_tag=None)
        self.spool = Spool.create(settings.spool)
        self.sender = Sender(self.spool, ledger_of(settings), self)
        # What is None is not told. `disk` is there from the beginning, so that the dict keeps its size.
        self.progress: dict[str, Any] = {"disk": None}
        self.disk = DiskWatch()
        self.task_id: int | None = None
        self.attempt: int | None = None
        self.on_cancel: Callable[[], None] = lambda: None
        self.on_superseded: Callable[[], None] = lambda: None
        self.on_guarded: Callable[[Any], None] = lambda _: None
        self.tail: Callable[[], str | None] = lambda: None
        self._described = threading.Event()
        self._stop = threading.Event()
        self._cancelled = False
        self._begun = time.monotonic()
        self._beats = threading.Thread(target=self._beat_on, name="ledger-heartbeat", daemon=True)

    def _keep(self, kind: str, body: dict[str, Any]) -> None:
        """Puts an item into the spool without the secrets that are known here; only paths on this machine keep
        theirs."""
        path = {"path": body["path"]} if kind == "weight" else {}
        self.spool.append(kind, {**withhold.from_value(body), **path})

    def begin(
        self, describe: Callable[[], tuple[dict[str, Any], dict[str, Any]]], resume: dict[str, Any] | None = None
    ) -> None:
        """Starts recording. `describe()` gives the fields to register with; it may take its time, in the background.

        `resume` is {"task_id", "body"} when this is the next attempt of a task, or {"task_id", "attempt", "seq"} when
        it is
        one that was opened already, whose heartbeats up to `seq` have come from elsewhere.
        """
        threading.Thread(target=self._describe, args=(describe, resume), name="ledger-describe", daemon=True).start()
        self.sender.start()
        self._beats.start()

    def _describe(
        self, describe: Callable[[], tuple[dict[str, Any], dict[str, Any]]], resume: dict[str, Any] | None
    ) -> None:
        try:
            register, more = describe()
        except Exception as error:
            terminal.trouble(error)
            register, more = {"task_name": t("unnamed run")}, {}
        body = {"key": str(uuid.uuid4()), "register": register}
        if resume and "attempt" in resume:
            body["claimed"] = resume
            self.spool.count_from(resume["seq"])
        elif resume:
            body["resume"] = {"task_id": resume["task_id"], "body": {**resume["body"], **more}}
        self._keep("open", body)
        self._described.set()
        self.sender.wake()

    def _beat_on(self) -> None:
        self._described.wait()
        last = kept = float("-inf")
        seen = 0
        while not self._stop.wait(min(0.5, self.sender.interval / 3)):
            # Asked anew each time: the answer to any heartbeat may change the interval.
            now = time.monotonic()
            try:
                if now - last >= self.sender.interval or self.points.waiting() >= MANY_POINTS:
                    last = kept = now
                    self._beat()
                    seen = -1
                elif now - kept >= KEEP_SECONDS and self.points.changes != seen:
                    kept, seen = now, self.points.changes
                    self.spool.keep_points(withhold.from_value(self.points.snapshot()))
            except Exception as error:
                terminal.trouble(error)

    def _beat(self, final: bool = False) -> None:
        while True:
            entries = self.points.drain(1000, final)
            progress = {k: v for k, v in self.progress.items() if v is not None}
            self._keep("heartbeat", Heartbeat(progress, entries, self.tail()).body())
            self.spool.drop_points()
            self.sender.wake()
            if not entries or not self.points.waiting():
                return

    def add_file(self, item: Upload) -> None:
        """Has a file uploaded.

        One that holds a secret's value goes without it, or stays here with a warning; of a configuration with secrets
        goes a copy without them.
        """
        self.disk.saved(item)
        ready = outgoing.make_ready(item, self.spool.folder)
        if ready:
            self._keep("weight", ready.body())
            self.sender.wake()

    def add_datasets(self, facts: list[dict[str, Any]]) -> None:
        """Has dataset facts recorded, behind the registration; call from a thread that may wait for that."""
        if facts and self._described.wait(DESCRIBE_SECONDS):
            self._keep("datasets", {"datasets": facts})
            self.sender.wake()

    def finish(self, status: str, **details: Any) -> None:
        """Ends the record; call once. Details: error_message, exit_code, failure_reason, urgent."""
        self._described.wait(DESCRIBE_SECONDS)
        self._stop.set()
        if self._beats.ident:
            self._beats.join(10.0)
        if self.sender.superseded:
            return
        try:
            self._beat(final=True)
        except Exception as error:
            terminal.trouble(error)
        self.sender.show_progress = True
        # What is sent long after its end says how long it took, and when that was.
        took = min(LONGEST_AGO, time.monotonic() - self._begun)
        self._keep("finish", {"status": status, **details, "duration_sec": took, "ended": time.time()})
        self.sender.wake()

    def flush(self, stop_waiting: Callable[[], bool] = lambda: False) -> bool:
        """Waits for everything to be sent, as long as something moves, then says what is left. True when nothing is."""
        if self.sender.ledger is not None and self.spool.pending():
            started = time.monotonic()
            told = False

            def waiting() -> bool:
                nonlocal told, started
                if self.sender.uploading:
                    started = time.monotonic()
                if not told and time.monotonic() - started > 3.0:
                    told = True
                    terminal.notice(
                        t(
                            "sending what is left ({left}); gives up after {flush_timeout:.0f} s without progress, "
                            "Ctrl-C leaves it to `lora-ledger sync`",
                            left=self._left(),
                            flush_timeout=self.settings.flush_timeout,
                        )
                    )
                return stop_waiting()

            self.sender.wait_empty(self.settings.flush_timeout, waiting)
        left = self.spool.pending()
        if left:
            terminal.warn(
                t(
                    "not everything reached the ledger: {left} left in {folder}; `lora-ledger sync` sends it",
                    left=self._left(),
                    folder=self.spool.folder,
                )
            )
        if self.spool.aside:
            n = self.spool.aside
            terminal.warn(
                t(
                    "the ledger refused {n} item{s} of this run, see {folder}; `lora-ledger sync --again` sends them "
                    "once more",
                    n=n,
                    s="s" if n > 1 else "",
                    folder=self.spool.folder / "refused.jsonl",
                )
            )
        if self.spool.dropped:
            terminal.warn(
                t(
                    "{dropped} heartbeats were lost, since neither the ledger nor the disk could take them",
                    dropped=self.spool.dropped,
                )
            )
        self.close()
        return left == 0

    def close(self) -> None:
        """Ends the threads; what is unsent stays in the spool."""
        self.sender.stop()
        self.spool.close()

    def _left(self) -> str:
        files = self.spool.size(UPLOADS)
        messages = self.spool.pending() - files
        parts = []
        if messages:
            parts.append(t("{messages} message{s}", messages=messages, s="s" if messages > 1 else ""))
        if files:
            parts.append(t("{files} file{s}", files=files, s="s" if files > 1 else ""))
        return join_texts(" and ", parts) if parts else t("nothing")

    def opened(self, task_id: int, attempt: int) -> None:
        self.task_id = task_id
        self.attempt = attempt
        more = t(", attempt {attempt}", attempt=attempt) if attempt > 1 else ""
        terminal.notice(
            t(
                "recording as task {task_id}{more}: {url}/runs/{task_id}",
                task_id=task_id,
                more=more,
                url=self.settings.url,
            )
        )

    def cancel_requested(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self.on_cancel()

    def guarded(self, guard: Any) -> None:
        self.on_guarded(guard)

    def superseded(self) -> None:
        self.on_superseded()
