"""How each kind of item of the journal is told to the ledger, and what its answers mean. Called by the sender's
threads."""

from __future__ import annotations

import random
import re
import time
from typing import Any

from ..core import terminal
from ..core.errors import ApiError, DeniedError, RefusedError, RetryLaterError
from ..core.journal import Heartbeat
from ..core.language import t
from ..core.spool import Spool
from ..core.transport import Ledger
from .events import Events
from .points import age

# A point by hand goes into an attempt that others report on only after they were quiet for so many seconds.
HAND_QUIET = 300.0
FAR = 400_000_000
# Seconds that the ledger takes; a record waits on a disk for years by a wrong clock alone.
LONGEST_AGO = 400 * 86_400.0
# So often the ledger may fail at an item (500) before that is set aside; a ledger that fails at everything is waited
# for
# instead, a day at most.
MOST_FAILURES = 3
UNNAMED = t("unnamed run")


def _named(error: Exception) -> set[str]:
    """The fields of a registration that a refusal names."""
    errors = getattr(error, "body", {}).get("errors")
    paths = [e.get("path") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    return {re.split(r"\W", str(path))[0] for path in paths}


class Delivery:
    """Sends the items of one spool. `interval` is how often the ledger wants heartbeats, in seconds."""

    def __init__(self, spool: Spool, ledger: Ledger, events: Events) -> None:
        self.spool = spool
        self.ledger = ledger
        self.events = events
        self.interval = 15.0
        # When the ledger last took a heartbeat, or the beginning.
        self.last_beat = time.monotonic()
        # How often the ledger has failed at the item under way.
        self.failed_before = 0

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """Sends an item that is no file. Raises what `Ledger.ask` raises, and KeyError for a body that lacks its
        parts."""
        send = {
            "open": self.send_open,
            "heartbeat": self.send_heartbeat,
            "point": self.send_point,
            "datasets": self.send_datasets,
            "finish": self.send_finish,
        }
        send[kind](body)

    @property
    def _task(self) -> str:
        if "task_id" not in self.spool.state:
            raise RefusedError(t("the run was never registered"))
        return f"/api/tasks/{self.spool.state['task_id']}"

    def send_open(self, body: dict[str, Any]) -> None:
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
                self.events.guarded(answer.get("guard"))
                return
            except (RefusedError, KeyError, RetryLaterError) as error:
                if isinstance(error, RetryLaterError) and not self._failing(error):
                    raise
                terminal.warn(
                    t(
                        "task {task_id} cannot be resumed ({error}); this run is recorded as a new task",
                        task_id=resume["task_id"],
                        error=error,
                    )
                )
                if not isinstance(error, KeyError) and error.status == 409:
                    body = {**body, "register": {**body["register"], "parent_task_id": resume["task_id"]}}
        self._register(body)

    def _register(self, body: dict[str, Any]) -> None:
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
            except (RefusedError, RetryLaterError) as error:
                refused = isinstance(error, RefusedError) and error.status in (400, 413, 422)
                if retry == 3 or not (refused or self._failing(error)):
                    raise
                named = _named(error) & set(register)
                config = register.get("config") if named == {"config"} else None
                if isinstance(config, dict) and config.get("format") != "text":
                    told.append(
                        t("{error}; the configuration is kept as it is, and no setting was read from it", error=error)
                    )
                    register = {**register, "config": {**config, "format": "text"}}
                    continue
                kept = {k: v for k, v in register.items() if k not in named} if named and retry < 2 else {}
                if not kept:
                    kept = {"task_name": register.get("task_name") or UNNAMED, "command": register.get("command") or []}
                if kept == register:
                    kept = {"task_name": UNNAMED, "command": []}
                left_out = ", ".join(sorted(k for k in register if register[k] != kept.get(k)))
                told.append(
                    t(
                        "the ledger refused part of this run ({error}); it is recorded without {left_out}",
                        error=error,
                        left_out=left_out,
                    )
                )
                register = kept
        for text in told:
            terminal.warn(text)
        if "task_id" not in answer:
            raise RetryLaterError(t("the answer names no task_id"))
        for text in answer.get("warnings") or []:
            terminal.notice(
                t("note on the settings: {text}", text=text if isinstance(text, str) else text.get("message", text))
            )
        self._opened(answer["task_id"], 1, answer)

    def _opened(self, task_id: int, attempt: int, answer: dict[str, Any]) -> None:
        self.spool.state.update(task_id=task_id, attempt=attempt, url=self.ledger.url)
        self.spool.save()
        self._take_interval(answer)
        self.events.opened(task_id, attempt)

    def _take_interval(self, answer: dict[str, Any]) -> None:
        value = answer.get("heartbeat_interval_sec")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.interval = min(300.0, max(0.2, float(value)))

    def send_heartbeat(self, body: dict[str, Any]) -> None:
        try:
            answer = self.ledger.ask(
                "POST", f"{self._task}/heartbeat", {"attempt": self.spool.state["attempt"], **body}
            )
        except RefusedError as error:
            # Points that there is no room for are set aside; the run lives on, and may be cancelled.
            self.last_beat = time.monotonic()
            self._take_interval(error.body)
            if error.body.get("cancel_requested"):
                self.events.cancel_requested()
            raise
        self.last_beat = time.monotonic()
        self._take_interval(answer)
        for warning in answer.get("warnings") or []:
            terminal.warn_once(f"near-{warning.get('code')}", warning.get("message"))
        if answer.get("cancel_requested"):
            self.events.cancel_requested()

    def send_point(self, body: dict[str, Any]) -> None:
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
                    raise RefusedError(
                        t(
                            "a running client reports on task {task_id}; log from there, or wait until it has ended",
                            task_id=task_id,
                        )
                    )
                # Numbers that are taken would be ignored: without knowing the last one, start far above.
                seq = others["last_seq"] + 1 if others.get("last_seq") is not None else random.randrange(FAR, 2 * FAR)
            pending = state["point"] = {"id": body["id"], "attempt": attempt, "seq": seq}
            self.spool.save()
        send = {"attempt": pending["attempt"], "seq": pending["seq"], "logs": [body["entry"]]}
        self.ledger.ask("POST", f"/api/tasks/{task_id}/heartbeat", send)
        state.setdefault("seqs", {})[str(pending["attempt"])] = pending["seq"]

    def send_datasets(self, body: dict[str, Any]) -> None:
        try:
            self.ledger.ask("PUT", f"{self._task}/datasets", body)
        except DeniedError as error:
            if error.status == 403:
                # A key that may do all but this must not hold up the run's end.
                raise RefusedError(str(error), 403) from error
            raise

    def send_finish(self, body: dict[str, Any]) -> None:
        send = {k: v for k, v in body.items() if k not in ("urgent", "ended") and v is not None}
        send.update(
            attempt=self.spool.state["attempt"] if "task_id" in self.spool.state else 1,
            last_seq=self.spool.last_seq,
        )
        if "ended" in body:
            send["ended_sec_ago"] = min(LONGEST_AGO, max(0.0, time.time() - body["ended"]))
        try:
            try:
                answer = self.ledger.ask("POST", f"{self._task}/finish", send)
            except RefusedError as error:
                # An older ledger knows neither.
                if error.status != 422 or not _named(error) & {"ended_sec_ago", "duration_sec"}:
                    raise
                send = {k: v for k, v in send.items() if k not in ("ended_sec_ago", "duration_sec")}
                answer = self.ledger.ask("POST", f"{self._task}/finish", send)
        except RefusedError as error:
            if error.status != 409 or self.spool.state.get("revived"):
                raise
            # The run may have been taken for lost while the ledger was away: a heartbeat revives it.
            self.spool.state["revived"] = True
            self.spool.append("heartbeat", Heartbeat().body())
            raise RetryLaterError(str(error), 0.0) from error
        missing = [(r["from"], r["to"]) for r in answer.get("missing") or []]
        for beat in self.spool.find_heartbeats(missing) if missing else ():
            try:
                self.send_heartbeat(beat)
            except RefusedError as error:
                # The end is taken; what was set aside before stays so.
                terminal.warn_once("refused-heartbeat", t("the ledger refused log points again: {error}", error=error))
                break
        self.events.finished(answer)

    def _failing(self, error: ApiError) -> bool:
        """Whether the ledger has failed (500) at the item under way as often as it may."""
        return error.status == 500 and self.failed_before >= MOST_FAILURES - 1
