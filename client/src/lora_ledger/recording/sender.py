"""Brings a spool's items to the ledger: messages in order, files beside them, the finish after both."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Callable

from ..core import terminal
from ..core.errors import ApiError, DeniedError, RefusedError, RetryLaterError, SupersededError
from ..core.journal import AGAIN, FINISH, MESSAGES, REMOVED, UPLOADS, Heartbeat, SpoolItem, Upload
from ..core.language import t
from ..core.spool import Spool
from ..core.transport import Ledger, backoff
from ..core.uploads import FileUpload
from .delivery import MOST_FAILURES, Delivery
from .events import Events

# A finish waits for uploads as long as they move, so that `success` means that the weights are safe: so many seconds
# without a new byte, or half the time after which the client gives up, end that.
UPLOAD_STALL = 30.0
# The pause after 401 and 403, which only a person can mend.
DENIED_PAUSE = 60.0
# A ledger that fails (500) at everything is waited for, a day at most.
FAILING_SECONDS = 86_400.0


class Sender:
    """Two background threads over one spool. `events` is told what the ledger says (see `Events`)."""

    def __init__(self, spool: Spool, ledger: Ledger | None, events: Events | None = None) -> None:
        self.spool = spool
        self.ledger = ledger
        self.events = events or Events()
        self.upload_stall = UPLOAD_STALL
        self.denied: str | None = None
        self.trouble: str | None = None
        self.moved = time.monotonic()
        self.upload_moved = time.monotonic()
        # (name, bytes sent, bytes in all) of the file under way.
        self.uploading: tuple[str, int, int] | None = None
        self.show_progress = False
        self._delivery = Delivery(spool, ledger, self.events) if ledger else None
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._furthest: dict[int, int] = {}
        self._hurried = 0.0
        # The empty heartbeat that shows whether the ledger takes anything, while it has not been taken.
        self._trial: Heartbeat | None = None
        # Items that the ledger failed at while it took others.
        self._singled_out: set[int] = set()

    def start(self) -> None:
        """Starts sending in the background."""
        if self._delivery is None or self.ledger is None:
            return
        for target, name, what in (
            (self._messages, "ledger-messages", self._delivery),
            (self._uploads, "ledger-uploads", self._delivery),
        ):
            thread = threading.Thread(target=target, args=(what,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float = 2.0) -> None:
        """Ends both threads; what is unsent stays in the spool."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout)

    def wake(self) -> None:
        """Says that the spool has something new."""
        with self._wake:
            self._wake.notify_all()

    @property
    def interval(self) -> float:
        """Seconds between two heartbeats, as the ledger wants them."""
        return self._delivery.interval if self._delivery else 15.0

    @property
    def superseded(self) -> bool:
        """True once another attempt holds the task."""
        return bool(self.spool.state.get("superseded"))

    def wait_empty(self, still: float, stop_waiting: Callable[[], bool] = lambda: False) -> bool:
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

    def _pause(self, seconds: float) -> None:
        """Waits for the time out. A new item does not shorten a back-off; that the run has ended does."""
        start = time.monotonic()
        end = start + seconds
        with self._wake:
            while not self._stop.is_set() and time.monotonic() < end and self._hurried < start:
                self._wake.wait(min(1.0, max(0.01, end - time.monotonic())))

    def _idle(self, seconds: float) -> None:
        with self._wake:
            if not self._stop.is_set():
                self._wake.wait(seconds)

    def _advanced(self) -> None:
        self.moved = time.monotonic()
        self.denied = None
        self.trouble = None
        self.wake()

    def _messages(self, delivery: Delivery) -> None:
        """The thread that tells the ledger everything but files."""
        tries = 0
        while not self._stop.is_set():
            item = self.spool.peek(MESSAGES)
            if item is None and self._finish_due():
                item = self.spool.peek(FINISH)
            if item is None:
                self._keep_alive(delivery)
                self._idle(0.2 if self.spool.size(FINISH) else 1.0)
                continue
            delivery.failed_before = self.spool.failures(item.n)
            try:
                delivery.send(item.kind, item.body)
                self.spool.done(item.lane, item.n)
                tries = 0
                # A heartbeat that only keeps the run alive brings the end no nearer.
                if item.kind != "heartbeat" or item.body["logs"] or not self.spool.size(FINISH):
                    self._advanced()
            except SupersededError as error:
                self._lose_task(error)
            except RefusedError as error:
                self._set_aside(item, error)
                tries = 0
            except DeniedError as error:
                self._deny(error)
                self._pause(DENIED_PAUSE)
            except RetryLaterError as error:
                if self._hopeless(delivery, item, error):
                    self._set_aside(item, error)
                    tries = 0
                else:
                    self._postpone(error, tries)
                    tries += 1
            except Exception as error:
                terminal.trouble(error)
                self._set_aside(item, error)

    def _uploads(self, delivery: Delivery) -> None:
        """The thread that sends files."""
        tries: Counter[int] = Counter()
        while not self._stop.is_set():
            item = self.spool.peek(UPLOADS) if "task_id" in self.spool.state else None
            if item is None:
                self.uploading = None
                self._idle(1.0)
                continue
            before = self._reached(item.n)
            try:
                self._upload(delivery.ledger, item)
                self.spool.done(UPLOADS, item.n)
                self._advanced()
            except SupersededError as error:
                self._lose_task(error)
            except RefusedError as error:
                self._set_aside(item, error)
            except DeniedError as error:
                self._deny(error)
                self._pause(DENIED_PAUSE)
            except RetryLaterError as error:
                if self._hopeless(delivery, item, error):
                    self._set_aside(item, error)
                    continue
                if self._reached(item.n) > before:
                    tries[item.n] = 0
                self.spool.rotate(UPLOADS)
                self._postpone(error, tries[item.n])
                tries[item.n] += 1
            except Exception as error:
                terminal.trouble(error)
                self._set_aside(item, error)

    def _reached(self, n: int) -> int:
        """How far an upload has come: more of it means that trying again at once is worth it."""
        memo = self.spool.state.get("uploads", {}).get(str(n), {})
        return len(memo) + len(memo.get("parts", ()))

    def _hopeless(self, delivery: Delivery, item: SpoolItem, error: RetryLaterError) -> bool:
        """Whether the ledger keeps failing at this item and not at everything: then the item is what it cannot take."""
        if error.status != 500:
            return False
        times, since = self.spool.failed(item.n)
        if item.n in self._singled_out and times >= MOST_FAILURES:
            return True
        # One more try follows what the ledger took, as it may have come back only now.
        if times >= MOST_FAILURES - 1 and self._takes_others(delivery, item.kind):
            self._singled_out.add(item.n)
        return times >= MOST_FAILURES and time.time() - since > FAILING_SECONDS

    def _takes_others(self, delivery: Delivery, kind: str) -> bool:
        if kind == "open":
            # A registration tries itself with less, until the ledger would take none at all.
            return False
        if kind == "point" or "task_id" not in self.spool.state:
            return True
        self._trial = self._trial or self.spool.beat()
        try:
            delivery.send_heartbeat(self._trial.body())
        except RetryLaterError:
            return False
        except SupersededError as error:
            self._lose_task(error)
            return False
        except (RefusedError, DeniedError):
            pass
        self._trial = None
        return True

    def _postpone(self, error: RetryLaterError, tries: int) -> None:
        self.trouble = str(error)
        if terminal.debugging():
            terminal.warn(t("will try again: {error}", error=error))
        if tries == 3:
            terminal.warn_once(
                "away",
                t(
                    "the ledger cannot be reached ({error}); the record waits in {folder} until it is back",
                    error=error,
                    folder=self.spool.folder,
                ),
            )
        self._pause(error.delay if error.delay is not None else backoff(tries))

    def _deny(self, error: DeniedError) -> None:
        self.denied = str(error)
        self.wake()
        if error.full:
            terminal.warn_once(
                "full",
                t(
                    "the ledger takes no more for now ({error}); the record is kept in {folder} and tried again every "
                    "minute, or later by `lora-ledger sync`",
                    error=error,
                    folder=self.spool.folder,
                ),
            )
            return
        terminal.warn_once(
            "denied",
            t(
                "the ledger does not accept the key ({error}); the record is kept in {folder}: set LEDGER_KEY to a "
                "valid key and run `lora-ledger sync`",
                error=error,
                folder=self.spool.folder,
            ),
        )

    def _set_aside(self, item: SpoolItem, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.spool.refuse(item, reason)
        aside = self.spool.folder / "refused.jsonl"
        text = t(
            "the ledger refused {called}: {reason}; it is set aside in {aside}",
            called=item.called,
            reason=reason,
            aside=aside,
        )
        if reason != REMOVED:
            text = t("{text}, and {again}", text=text, again=AGAIN)
        if item.kind == "open":
            terminal.warn(
                t(
                    "this run cannot be recorded: {reason}; what it has to say is kept in {aside}, and {again}",
                    reason=reason,
                    aside=aside,
                    again=AGAIN,
                )
            )
            self.spool.drop_all(t("the run could not be registered"))
        elif item.kind in ("weight", "finish"):
            terminal.warn(text)
        else:
            terminal.warn_once(f"refused-{item.kind}", text)
        self._advanced()

    def _lose_task(self, error: ApiError) -> None:
        if not self.superseded:
            self.spool.state["superseded"] = True
            self.spool.save()
            terminal.warn(
                t(
                    "another attempt has taken over task {task_id}; this one stops and records nothing more",
                    task_id=self.spool.state.get("task_id"),
                )
            )
            self.events.superseded()
        self.spool.drop_all(str(error))
        self._advanced()

    def _finish_due(self) -> bool:
        if not self.spool.size(FINISH) or self.spool.size(MESSAGES):
            return False
        if not self.spool.size(UPLOADS) or "task_id" not in self.spool.state:
            return True
        item = self.spool.peek(FINISH)
        if item and item.body.get("urgent"):
            return True
        return time.monotonic() - self.upload_moved > self.upload_stall

    def _keep_alive(self, delivery: Delivery) -> None:
        """Heartbeats while only uploads are left, so that the run does not count as lost meanwhile."""
        if self.spool.size(FINISH) and time.monotonic() - delivery.last_beat > delivery.interval:
            delivery.last_beat = time.monotonic()
            self.spool.append("heartbeat", Heartbeat().body())

    def _upload(self, ledger: Ledger, item: SpoolItem) -> None:
        memo = self.spool.state.setdefault("uploads", {}).setdefault(str(item.n), {})
        file = Upload.of(item.body)
        self.uploading = (file.filename, 0, 0)
        bar: terminal.Progress | None = None

        def report(sent: int, total: int) -> None:
            nonlocal bar
            # Only bytes beyond the furthest so far count: sending the same part again and again gets nowhere.
            if sent > self._furthest.get(item.n, 0):
                self._furthest[item.n] = sent
                self.moved = self.upload_moved = time.monotonic()
            self.uploading = (file.filename, sent, total)
            if self.show_progress:
                bar = bar or terminal.Progress(t("uploading {filename}", filename=file.filename), total)
                bar.show(sent)

        task, attempt = self.spool.state["task_id"], self.spool.state["attempt"]
        upload = FileUpload(ledger, task, attempt, file, memo, self.spool.save, report, self._stop.is_set)
        verified = upload.run()
        size = memo["fingerprint"][0]
        text = t(
            "{filename}: {size} stored, checked by {verified}",
            filename=file.filename,
            size=terminal.size_text(size),
            verified=verified,
        )
        if bar:
            bar.end(text)
        else:
            terminal.notice(text)
        self.events.uploaded(file, verified)
