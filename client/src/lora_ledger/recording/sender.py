"""Brings a spool's items to the ledger: messages in order, files beside them, the finish after both."""

import random
import re
import threading
import time
from collections import Counter

from ..core import terminal
from .points import age
from ..core.spool import AGAIN, FINISH, MESSAGES, UPLOADS, called
from ..core.transport import Denied, Later, Refused, Superseded, backoff
from ..core.uploads import REMOVED, Upload

# A finish waits for uploads as long as they move, so that `success` means that the weights are safe: so many seconds
# without a new byte, or half the time after which the client gives up, end that.
UPLOAD_STALL = 30.0
# A point by hand goes into an attempt that others report on only after they were quiet for so many seconds.
HAND_QUIET = 300.0
FAR = 400_000_000
# The pause after 401 and 403, which only a person can mend.
DENIED_PAUSE = 60.0
# So often the ledger may fail at an item (500) before that is set aside; a ledger that fails at everything is waited for
# instead, a day at most.
MOST_FAILURES = 3
FAILING_SECONDS = 86_400.0


UNNAMED = "unnamed run"


def _named(error):
    """The fields of a registration that a refusal names."""
    errors = getattr(error, "body", {}).get("errors")
    paths = [e.get("path") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    return {re.split(r"\W", str(path))[0] for path in paths}


class Sender:
    """Two background threads over one spool. `events` is told what the ledger says (see `Events`)."""

    def __init__(self, spool, ledger, events=None):
        self.spool = spool
        self.ledger = ledger
        self.events = events or Events()
        self.interval = 15.0
        self.upload_stall = UPLOAD_STALL
        self.denied = None
        self.trouble = None
        self.moved = time.monotonic()
        self.upload_moved = time.monotonic()
        self.uploading = None
        self.show_progress = False
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._threads = []
        self._last_beat = time.monotonic()
        self._furthest = {}
        self._hurried = 0.0
        # The empty heartbeat that shows whether the ledger takes anything, while it has not been taken.
        self._trial = None
        self._failed_before = 0
        # Items that the ledger failed at while it took others.
        self._singled_out = set()

    def start(self):
        """Starts sending in the background."""
        if self.ledger is None:
            return
        for target, name in ((self._messages, "ledger-messages"), (self._uploads, "ledger-uploads")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout=2.0):
        """Ends both threads; what is unsent stays in the spool."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout)

    def wake(self):
        """Says that the spool has something new."""
        with self._wake:
            self._wake.notify_all()

    @property
    def superseded(self):
        """True once another attempt holds the task."""
        return bool(self.spool.state.get("superseded"))

    def wait_empty(self, still, stop_waiting=lambda: False):
        """Waits until nothing is unsent; gives up when nothing moved for `still` seconds.

        True when all is sent.
        """
        self.moved = self.upload_moved = self._hurried = time.monotonic()
        self.wake()
        self.upload_stall = min(UPLOAD_STALL, still / 2)
        while self.spool.pending():
            if self.ledger is None or self.denied or stop_waiting():
                return False
            if time.monotonic() - self.moved > still:
                return False
            with self._wake:
                self._wake.wait(0.2)
        return True

    def _pause(self, seconds):
        """Waits for the time out. A new item does not shorten a back-off; that the run has ended does."""
        start = time.monotonic()
        end = start + seconds
        with self._wake:
            while not self._stop.is_set() and time.monotonic() < end and self._hurried < start:
                self._wake.wait(min(1.0, max(0.01, end - time.monotonic())))

    def _idle(self, seconds):
        with self._wake:
            if not self._stop.is_set():
                self._wake.wait(seconds)

    def _advanced(self):
        self.moved = time.monotonic()
        self.denied = None
        self.trouble = None
        self.wake()

    def _messages(self):
        tries = 0
        while not self._stop.is_set():
            item = self.spool.peek(MESSAGES)
            lane = MESSAGES
            if item is None and self._finish_due():
                item = self.spool.peek(FINISH)
                lane = FINISH
            if item is None:
                self._keep_alive()
                self._idle(0.2 if self.spool.size(FINISH) else 1.0)
                continue
            n, kind, body = item
            self._failed_before = self.spool.failures(n)
            try:
                getattr(self, f"_send_{kind}")(body)
                self.spool.done(lane, n)
                tries = 0
                # A heartbeat that only keeps the run alive brings the end no nearer.
                if kind != "heartbeat" or body["logs"] or not self.spool.size(FINISH):
                    self._advanced()
            except Superseded as error:
                self._lose_task(error)
            except Refused as error:
                self._set_aside(lane, n, kind, body, error)
                tries = 0
            except Denied as error:
                self._deny(error)
                self._pause(DENIED_PAUSE)
            except Later as error:
                if self._hopeless(n, kind, error):
                    self._set_aside(lane, n, kind, body, error)
                    tries = 0
                else:
                    self._postpone(error, tries)
                    tries += 1
            except Exception as error:
                terminal.trouble(error)
                self._set_aside(lane, n, kind, body, error)

    def _uploads(self):
        tries = Counter()
        while not self._stop.is_set():
            item = self.spool.peek(UPLOADS) if "task_id" in self.spool.state else None
            if item is None:
                self.uploading = None
                self._idle(1.0)
                continue
            n, kind, body = item
            before = self._reached(n)
            try:
                self._upload(n, body)
                self.spool.done(UPLOADS, n)
                self._advanced()
            except Superseded as error:
                self._lose_task(error)
            except Refused as error:
                self._set_aside(UPLOADS, n, kind, body, error)
            except Denied as error:
                self._deny(error)
                self._pause(DENIED_PAUSE)
            except Later as error:
                if self._hopeless(n, kind, error):
                    self._set_aside(UPLOADS, n, kind, body, error)
                    continue
                if self._reached(n) > before:
                    tries[n] = 0
                self.spool.rotate(UPLOADS)
                self._postpone(error, tries[n])
                tries[n] += 1
            except Exception as error:
                terminal.trouble(error)
                self._set_aside(UPLOADS, n, kind, body, error)

    def _reached(self, n):
        """How far an upload has come: more of it means that trying again at once is worth it."""
        memo = self.spool.state.get("uploads", {}).get(str(n), {})
        return len(memo) + len(memo.get("parts", ()))

    def _hopeless(self, n, kind, error):
        """Whether the ledger keeps failing at this item and not at everything: then the item is what it cannot take."""
        if error.status != 500:
            return False
        times, since = self.spool.failed(n)
        if n in self._singled_out and times >= MOST_FAILURES:
            return True
        # One more try follows what the ledger took, as it may have come back only now.
        if times >= MOST_FAILURES - 1 and self._takes_others(kind):
            self._singled_out.add(n)
        return times >= MOST_FAILURES and time.time() - since > FAILING_SECONDS

    def _failing(self, error):
        """Whether the ledger has failed (500) at the item under way as often as it may."""
        return getattr(error, "status", None) == 500 and self._failed_before >= MOST_FAILURES - 1

    def _takes_others(self, kind):
        if kind == "open":
            # A registration tries itself with less, until the ledger would take none at all.
            return False
        if kind == "point" or "task_id" not in self.spool.state:
            return True
        self._trial = self._trial or self.spool.beat()
        try:
            self._send_heartbeat(self._trial)
        except Later:
            return False
        except Superseded as error:
            self._lose_task(error)
            return False
        except (Refused, Denied):
            pass
        self._trial = None
        return True

    def _postpone(self, error, tries):
        self.trouble = str(error)
        if terminal.debugging():
            terminal.warn(f"will try again: {error}")
        if tries == 3:
            terminal.warn_once(
                "away",
                f"the ledger cannot be reached ({error}); the record waits in {self.spool.folder} until it is back",
            )
        self._pause(error.delay if error.delay is not None else backoff(tries))

    def _deny(self, error):
        self.denied = str(error)
        self.wake()
        if error.full:
            terminal.warn_once(
                "full",
                f"the ledger takes no more for now ({error}); the record is kept in {self.spool.folder} and tried "
                "again every minute, or later by `lora-ledger sync`",
            )
            return
        terminal.warn_once(
            "denied",
            f"the ledger does not accept the key ({error}); the record is kept in {self.spool.folder}: "
            "set LEDGER_KEY to a valid key and run `lora-ledger sync`",
        )

    def _set_aside(self, lane, n, kind, body, error):
        reason = str(error) or type(error).__name__
        self.spool.refuse(lane, n, kind, body, reason)
        text = f"the ledger refused {called(kind, body)}: {reason}; it is set aside in {self.spool.folder / 'refused.jsonl'}"
        if reason != REMOVED:
            text += f", and {AGAIN}"
        if kind == "open":
            terminal.warn(
                f"this run cannot be recorded: {reason}; what it has to say is kept in {self.spool.folder / 'refused.jsonl'}, "
                f"and {AGAIN}"
            )
            self.spool.drop_all("the run could not be registered")
        elif kind in ("weight", "finish"):
            terminal.warn(text)
        else:
            terminal.warn_once(f"refused-{kind}", text)
        self._advanced()

    def _lose_task(self, error):
        if not self.superseded:
            self.spool.state["superseded"] = True
            self.spool.save()
            terminal.warn(
                f"another attempt has taken over task {self.spool.state.get('task_id')}; this one stops and records nothing more"
            )
            self.events.superseded()
        self.spool.drop_all(str(error))
        self._advanced()

    @property
    def _task(self):
        if "task_id" not in self.spool.state:
            raise Refused("the run was never registered")
        return f"/api/tasks/{self.spool.state['task_id']}"

    def _send_open(self, body):
        """Opens the next attempt of a task, or registers a new one."""
        state = self.spool.state
        if "task_id" in state:
            return
        if "claimed" in body:
            self._opened(body["claimed"]["task_id"], body["claimed"]["attempt"], {})
            return
        resume = body.get("resume")
        if resume:
            try:
                answer = self.ledger.ask(
                    "POST",
                    f"/api/tasks/{resume['task_id']}/attempts",
                    resume["body"],
                    {"Idempotency-Key": body["key"]},
                )
                self._opened(resume["task_id"], answer["attempt"], answer)
                return
            except (Refused, KeyError, Later) as error:
                if isinstance(error, Later) and not self._failing(error):
                    raise
                terminal.warn(
                    f"task {resume['task_id']} cannot be resumed ({error}); this run is recorded as a new task"
                )
                if getattr(error, "status", None) == 409:
                    body = {**body, "register": {**body["register"], "parent_task_id": resume["task_id"]}}
        self._register(body)

    def _register(self, body):
        """Registers with everything; where the ledger refuses a field, without it: a run is never lost for a detail."""
        register = dict(body["register"])
        key = body["key"]
        told = []
        for retry in range(4):
            try:
                answer = self.ledger.ask(
                    "POST",
                    "/api/tasks",
                    register,
                    {"Idempotency-Key": key if not retry else f"{key}-{retry}"},
                )
                break
            except (Refused, Later) as error:
                refused = isinstance(error, Refused) and error.status in (400, 413, 422)
                if retry == 3 or not (refused or self._failing(error)):
                    raise
                named = _named(error) & set(register)
                config = register.get("config") if named == {"config"} else None
                if isinstance(config, dict) and config.get("format") != "text":
                    told.append(f"{error}; the configuration is kept as it is, and no setting was read from it")
                    register = {**register, "config": {**config, "format": "text"}}
                    continue
                kept = {k: v for k, v in register.items() if k not in named} if named and retry < 2 else {}
                if not kept:
                    kept = {"task_name": register.get("task_name") or UNNAMED, "command": register.get("command") or []}
                if kept == register:
                    kept = {"task_name": UNNAMED, "command": []}
                left_out = ", ".join(sorted(k for k in register if register[k] != kept.get(k))) or "it"
                told.append(f"the ledger refused part of this run ({error}); it is recorded without {left_out}")
                register = kept
        for text in told:
            terminal.warn(text)
        if "task_id" not in answer:
            raise Later("the answer names no task_id")
        for text in answer.get("warnings") or []:
            terminal.notice(f"note on the settings: {text if isinstance(text, str) else text.get('message', text)}")
        self._opened(answer["task_id"], 1, answer)

    def _opened(self, task_id, attempt, answer):
        self.spool.state.update(task_id=task_id, attempt=attempt, url=self.ledger.url)
        self.spool.save()
        self._take_interval(answer)
        self.events.opened(task_id, attempt)

    def _take_interval(self, answer):
        value = answer.get("heartbeat_interval_sec")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.interval = min(300.0, max(0.2, float(value)))

    def _send_heartbeat(self, body):
        try:
            answer = self.ledger.ask(
                "POST", f"{self._task}/heartbeat", {"attempt": self.spool.state["attempt"], **body}
            )
        except Refused as error:
            # Points that there is no room for are set aside; the run lives on, and may be cancelled.
            self._last_beat = time.monotonic()
            self._take_interval(error.body)
            if error.body.get("cancel_requested"):
                self.events.cancel_requested()
            raise
        self._last_beat = time.monotonic()
        self._take_interval(answer)
        for warning in answer.get("warnings") or []:
            terminal.warn_once(f"near-{warning.get('code')}", warning.get("message"))
        if answer.get("cancel_requested"):
            self.events.cancel_requested()

    def _send_point(self, body):
        """One log entry by hand, as a heartbeat of the task's current attempt with the next free number."""
        state = self.spool.state
        task_id = body["task_id"]
        pending = state.get("point")
        if not pending or pending["id"] != body["id"]:
            task = self.ledger.ask("GET", f"/api/tasks/{task_id}")
            attempt = task.get("attempt") or 1
            seq = 1 + state.get("seqs", {}).get(str(attempt), 0)
            others = next((a for a in task.get("attempts") or [] if a.get("attempt") == attempt), None)
            if seq == 1 and others:
                if others.get("status") == "running" and age(others.get("heartbeat_at")) < HAND_QUIET:
                    raise Refused(
                        f"a running client reports on task {task_id}; log from there, or wait until it has ended"
                    )
                # Numbers that are taken would be ignored: without knowing the last one, start far above.
                seq = others["last_seq"] + 1 if others.get("last_seq") is not None else random.randrange(FAR, 2 * FAR)
            pending = state["point"] = {"id": body["id"], "attempt": attempt, "seq": seq}
            self.spool.save()
        send = {"attempt": pending["attempt"], "seq": pending["seq"], "progress": {}, "logs": [body["entry"]]}
        self.ledger.ask("POST", f"/api/tasks/{task_id}/heartbeat", send)
        state.setdefault("seqs", {})[str(pending["attempt"])] = pending["seq"]

    def _send_datasets(self, body):
        try:
            self.ledger.ask("PUT", f"{self._task}/datasets", body)
        except Denied as error:
            if error.status == 403:
                # A key that may do all but this must not hold up the run's end.
                raise Refused(str(error), 403) from error
            raise

    def _finish_due(self):
        if not self.spool.size(FINISH) or self.spool.size(MESSAGES):
            return False
        if not self.spool.size(UPLOADS) or "task_id" not in self.spool.state:
            return True
        item = self.spool.peek(FINISH)
        if item and item[2].get("urgent"):
            return True
        return time.monotonic() - self.upload_moved > self.upload_stall

    def _keep_alive(self):
        """Heartbeats while only uploads are left, so that the run does not count as lost meanwhile."""
        if self.spool.size(FINISH) and time.monotonic() - self._last_beat > self.interval:
            self._last_beat = time.monotonic()
            self.spool.append("heartbeat", {"progress": {}, "logs": []})

    def _send_finish(self, body):
        send = {k: v for k, v in body.items() if k != "urgent" and v is not None}
        send.update(
            attempt=self.spool.state["attempt"] if "task_id" in self.spool.state else 1,
            last_seq=self.spool.last_seq,
        )
        try:
            answer = self.ledger.ask("POST", f"{self._task}/finish", send)
        except Refused as error:
            if error.status != 409 or self.spool.state.get("revived"):
                raise
            # The run may have been taken for lost while the ledger was away: a heartbeat revives it.
            self.spool.state["revived"] = True
            self.spool.append("heartbeat", {"progress": {}, "logs": []})
            raise Later(str(error), 0.0) from error
        missing = [(r["from"], r["to"]) for r in answer.get("missing") or []]
        for beat in self.spool.find_heartbeats(missing) if missing else ():
            try:
                self._send_heartbeat(beat)
            except Refused as error:
                # The end is taken; what was set aside before stays so.
                terminal.warn_once("refused-heartbeat", f"the ledger refused log points again: {error}")
                break
        self.events.finished(answer)

    def _upload(self, n, body):
        memos = self.spool.state.setdefault("uploads", {})
        memo = memos.setdefault(str(n), {})
        self.uploading = (body["filename"], 0, 0)
        bar = None

        def report(sent, total):
            nonlocal bar
            # Only bytes beyond the furthest so far count: sending the same part again and again gets nowhere.
            if sent > self._furthest.get(n, 0):
                self._furthest[n] = sent
                self.moved = self.upload_moved = time.monotonic()
            self.uploading = (body["filename"], sent, total)
            if self.show_progress:
                bar = bar or terminal.Progress(f"uploading {body['filename']}", total)
                bar.show(sent)

        upload = Upload(
            self.ledger,
            self.spool.state["task_id"],
            self.spool.state["attempt"],
            body,
            memo,
            self.spool.save,
            report,
            self._stop.is_set,
        )
        verified = upload.run()
        size = memo["fingerprint"][0]
        text = f"{body['filename']}: {terminal.size_text(size)} stored, checked by {verified}"
        if bar:
            bar.end(text)
        else:
            terminal.notice(text)
        self.events.uploaded(body, verified)


class Events:
    """What a sender tells its owner; called from its threads, so keep each short. Override what you need."""

    def opened(self, task_id, attempt):
        """The task and attempt now have their numbers."""

    def cancel_requested(self):
        """Someone asked the ledger to cancel this run."""

    def superseded(self):
        """Another attempt holds the task."""

    def uploaded(self, item, verified):
        """A file is stored and checked."""

    def finished(self, answer):
        """The finish was taken."""
