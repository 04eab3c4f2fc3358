"""Sends one file to the ledger: announce, PUT to the signed URLs, complete.

What has arrived is remembered in `memo` (kept in the spool), so that a broken upload goes on with the missing parts.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, BinaryIO, Callable

from .errors import DeniedError, FileChangedError, RefusedError, RetryLaterError
from .journal import REMOVED, Upload
from .language import t
from .transport import BLOCK, Answer, Ledger, put_range
from .types import StrPath

PAGE = 32
MAX_BAD_PUTS = 8


def fingerprint(path: StrPath) -> list[int]:
    """[size in bytes, mtime in ns, inode] of the file: what tells one version of it from the next."""
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def sha256_of(path: StrPath, stopping: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of the file as hex, read in blocks. Raises RetryLaterError when `stopping()` turns true."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            block = file.read(BLOCK * 4)
            if not block:
                return digest.hexdigest()
            digest.update(block)
            if stopping():
                raise RetryLaterError(t("the client is stopping"))


class FileUpload:
    """One file on its way. `report(sent, total)` gets bytes; `save()` keeps the memo; `stopping()` ends it early."""

    def __init__(
        self,
        ledger: Ledger,
        task_id: int,
        attempt: int,
        item: Upload,
        memo: dict[str, Any],
        save: Callable[[], None],
        report: Callable[[int, int], None],
        stopping: Callable[[], bool],
    ) -> None:
        self.ledger = ledger
        self.task_id = task_id
        self.attempt = attempt
        self.item = item
        self.memo = memo
        self.save = save
        self.report = report
        self.stopping = stopping

    def run(self) -> str:
        """Returns what the ledger checked ("sha256", "parts", "size").

        Raises RetryLaterError (go on later with what is missing), RefusedError, DeniedError or SupersededError.
        """
        try:
            for _ in range(5):
                self._prepare()
                try:
                    verified = self._send()
                except FileChangedError:
                    verified = None
                if verified is not None:
                    return verified
                self._restart()
            raise RetryLaterError(t("the file keeps changing while it is sent"), 10.0)
        except FileNotFoundError as error:
            raise RefusedError(REMOVED) from error
        except IsADirectoryError as error:
            raise RefusedError(t("this is a folder, not a file")) from error
        except PermissionError as error:
            raise RefusedError(t("the file cannot be read: {error}", error=error.strerror)) from error

    def _restart(self) -> None:
        self.memo.clear()
        self.save()

    def _prepare(self) -> None:
        now = fingerprint(self.item.path)
        if self.memo.get("fingerprint") == now and self.memo.get("sha256"):
            return
        self.memo.clear()
        digest = sha256_of(self.item.path, self.stopping)
        if fingerprint(self.item.path) != now:
            raise RetryLaterError(t("the file is still being written"), 3.0)
        self.memo.update(fingerprint=now, sha256=digest)
        self.save()

    def _unchanged(self) -> bool:
        return fingerprint(self.item.path) == self.memo["fingerprint"]

    def _announce(self) -> dict[str, Any]:
        size = self.memo["fingerprint"][0]
        body = {**self.item.fields(), "size": size, "sha256": self.memo["sha256"], "attempt": self.attempt}
        answer = self.ledger.ask("POST", f"/api/tasks/{self.task_id}/weights", body)
        if "weight_id" not in answer:
            raise RetryLaterError(t("the answer names no weight_id"))
        self.memo["weight_id"] = answer["weight_id"]
        self.save()
        return answer

    def _urls(self, start: int) -> dict[str, Any] | None:
        """Fresh URLs for what is missing from part `start` on; None when the ledger no longer waits for this upload."""
        path = f"/api/weights/{self.memo['weight_id']}/upload?from={start}&limit={PAGE}"
        try:
            answer = self.ledger.ask("GET", path)
        except RefusedError as error:
            if error.status in (404, 409, 410):
                return None
            raise
        return answer["upload"] if "upload" in answer else answer

    def _send(self) -> str | None:
        """The check's name once complete, None when the upload must start over."""
        if self.memo.get("put"):
            return self._complete()
        if "weight_id" in self.memo:
            upload = self._urls(1)
            if upload is None:
                return self._held() or None
        else:
            answer = self._announce()
            upload = answer.get("upload")
            if upload is None:
                return answer.get("verified") or "sha256"
        with open(self.item.path, "rb") as file:
            if "parts" in upload:
                self._put_parts(file, upload)
            else:
                self._put_whole(file, upload)
        if not self._unchanged():
            return None
        self.memo["put"] = True
        self.save()
        return self._complete()

    def _held(self) -> str | None:
        """What was verified, when an earlier `complete` of ours arrived but its answer did not."""
        try:
            weight = self.ledger.ask("GET", f"/api/weights/{self.memo['weight_id']}")
        except (RefusedError, DeniedError):
            return None
        weight = weight.get("weight", weight)
        return (weight.get("verified") or "size") if weight.get("state") == "complete" else None

    def _put_whole(self, file: BinaryIO, upload: dict[str, Any]) -> None:
        size = self.memo["fingerprint"][0]
        sent = [0]

        def count(n: int) -> None:
            sent[0] += n
            self.report(sent[0], size)
            if self.stopping():
                raise RetryLaterError(t("the client is stopping"))

        answer, _ = put_range(upload["url"], upload.get("headers") or {}, file, 0, size, count)
        # 412: If-None-Match found an object, so an earlier try of ours did arrive.
        if answer.status != 412:
            self._judge_put(answer)
        self.memo.pop("bad_puts", None)

    def _put_parts(self, file: BinaryIO, upload: dict[str, Any]) -> None:
        size = self.memo["fingerprint"][0]
        part_size = upload["part_size"]
        count = max(1, -(-size // part_size))
        parts = self.memo.setdefault("parts", {})
        last = 0
        sent = [0]
        page: dict[str, Any] | None = upload
        while page and page.get("parts"):
            missing = page["parts"]
            if last == 0:
                # Parts that are not asked for have arrived; only an estimate while more pages follow.
                sent[0] = min(size, len(parts) * part_size)
            for part in missing:
                number = part["number"]
                offset = (number - 1) * part_size
                length = min(part_size, size - offset)
                if length <= 0:
                    raise RefusedError(
                        t("the ledger asks for part {number} of a file with {count} parts", number=number, count=count)
                    )
                before = sent[0]

                def tell(n: int) -> None:
                    sent[0] += n
                    self.report(sent[0], size)
                    if self.stopping():
                        raise RetryLaterError(t("the client is stopping"))

                try:
                    answer, md5 = put_range(part["url"], part.get("headers") or {}, file, offset, length, tell)
                    self._judge_put(answer)
                except RetryLaterError:
                    sent[0] = before
                    raise
                self.memo.pop("bad_puts", None)
                parts[str(number)] = [answer.headers.get("etag", ""), md5]
                self.save()
                last = max(last, number)
            if last >= count:
                # A last look from the start: a part may have been lost on the ledger's side.
                page = self._urls(1)
                if page and page.get("parts") and all(str(p["number"]) in parts for p in page["parts"]):
                    self.memo["resent"] = self.memo.get("resent", 0) + 1
                    if self.memo["resent"] > 3:
                        raise RefusedError(t("the ledger keeps asking for parts that it confirmed"))
            else:
                page = self._urls(last + 1)

    def _judge_put(self, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            return
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise RetryLaterError(t("storage answered {status}", status=answer.status))
        bad = self.memo["bad_puts"] = self.memo.get("bad_puts", 0) + 1
        self.save()
        if bad >= MAX_BAD_PUTS:
            raise RefusedError(t("storage refuses this file: {reason}", reason=answer.reason()), answer.status)
        # Mostly an expired signature: the next try asks for fresh URLs.
        raise RetryLaterError(t("storage answered {status}", status=answer.status), 1.0)

    def _complete(self) -> str | None:
        parts = [
            {"number": int(number), "etag": etag, "md5": md5}
            for number, (etag, md5) in sorted(self.memo.get("parts", {}).items(), key=lambda p: int(p[0]))
        ]
        body = {"parts": parts} if parts else {}
        try:
            answer = self.ledger.ask("POST", f"/api/weights/{self.memo['weight_id']}/complete", body, timeout=300.0)
        except RefusedError as error:
            if error.status == 409 and self._held():
                return self._held()
            failures = self.item_failures()
            if error.status in (404, 409, 410, 422) and failures < 3:
                return None
            raise
        return answer.get("verified") or answer.get("weight", {}).get("verified") or "size"

    def item_failures(self) -> int:
        """How often `complete` refused this item in this process; survives starting the memo over."""
        self._failures = getattr(self, "_failures", 0) + 1
        return self._failures
