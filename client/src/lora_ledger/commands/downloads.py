"""Downloads files from the ledger: continues those that are half there, and checks each hash."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import ssl
import time
from pathlib import Path
from typing import Any, Callable

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError, RefusedError, RetryLaterError
from ..core.language import t
from ..core.transport import USER_AGENT, backoff, stream
from ..core.uploads import sha256_of

BLOCK = 256 * 1024
TRIES = 5
RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def local_path(folder: Path, name: str) -> Path:
    """The path of a file of the given name, always inside the folder. Raises CommandError for a name that leads out."""
    parts = str(name).replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part or _CONTROLS.search(part) for part in parts):
        raise CommandError(
            t("the ledger names a file {name!r}, which leads out of the folder; it is not written", name=name)
        )
    if os.name == "nt":
        parts = [f"_{p}" if p.split(".")[0].lower() in RESERVED else p for p in parts]
    return folder.joinpath(*parts)


def fetch(api: Api, weight: dict[str, Any], target: Path, link: str | None = None, replace: bool = False) -> str:
    """Brings one file; returns what was done, in words. Raises CommandError or OSError.

    `link` is the path that gives its address; with `replace` it takes the place of another file.
    """
    link = link or f"/api/weights/{weight['id']}/download"
    return _bring(lambda: api.get(link, redirect="false").get("url"), weight, target, replace)


def fetch_link(url: str, file: dict[str, Any], target: Path) -> str:
    """Brings a file from its signed address; `file` tells size and sha256. Raises CommandError or OSError."""
    return _bring(lambda: url, file, target, False)


def _bring(address: Callable[[], Any], weight: dict[str, Any], target: Path, replace: bool) -> str:
    size, sha256 = weight.get("size"), weight.get("sha256")
    if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        raise CommandError(t("the ledger names no size and SHA-256 of {name}; it is not downloaded", name=target.name))
    if target.is_file() and target.stat().st_size == size and sha256_of(target) == sha256:
        return t("already here, hash checked")
    if target.exists() and not replace:
        raise CommandError(
            t(
                "{target} is there already with other content; move it away, or choose another folder with -o",
                target=target,
            )
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named after the hash, so that a half file of another version is never gone on with.
    partial = target.with_name(f"{target.name}.{str(sha256)[:12]}.part")
    free = shutil.disk_usage(target.parent).free
    if size > free + (partial.stat().st_size if partial.exists() else 0):
        raise CommandError(
            t(
                "{name} has {size}, and only {free} are free in {parent}",
                name=target.name,
                size=terminal.size_text(size),
                free=terminal.size_text(free),
                parent=target.parent,
            )
        )
    bar = terminal.Progress(t("pulling {name}", name=target.name), size)
    reason = None
    furthest, tries = -1, 0
    while tries < TRIES:
        try:
            _go_on(str(address()), partial, size, bar)
            break
        except RefusedError as error:
            raise CommandError(
                t("the ledger gives no address for {name}: {error}", name=target.name, error=error)
            ) from error
        except (OSError, http.client.HTTPException, ssl.SSLError, RetryLaterError) as error:
            if isinstance(error, OSError) and error.errno in (28, 13, 30, 122):
                raise
            reason = error
            reached = partial.stat().st_size if partial.exists() else 0
            tries = 0 if reached > furthest else tries + 1
            furthest = max(furthest, reached)
            time.sleep(backoff(tries, 8.0))
    else:
        raise CommandError(t("stopped half way ({reason}); the same command goes on from there", reason=reason))
    digest = sha256_of(partial)
    if digest != sha256 or partial.stat().st_size != size:
        os.unlink(partial)
        raise CommandError(t("what arrived has another hash than the ledger says; it was removed, pull again"))
    os.replace(partial, target)
    bar.end(t("{name}: {size}, hash checked", name=target.name, size=terminal.size_text(size)))
    return t("pulled, hash checked")


def _go_on(url: str, partial: Path, size: int, bar: terminal.Progress) -> None:
    """Appends what is missing of the file. Signed URLs get no key. Raises RetryLaterError, OSError or HTTPException."""
    have = partial.stat().st_size if partial.exists() else 0
    if have > size:
        os.unlink(partial)
        have = 0
    if have == size and have:
        return
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with stream(url, headers, 60.0) as response:
        if response.status not in (200, 206):
            raise RetryLaterError(t("storage answered {status}", status=response.status))
        if response.status == 206 and not (response.getheader("Content-Range") or "").startswith(f"bytes {have}-"):
            raise RetryLaterError(t("storage answered with another part than was asked for"))
        with open(partial, "ab" if response.status == 206 else "wb") as file:
            at = file.tell() if response.status == 206 else 0
            while at < size:
                block = response.read(min(BLOCK, size - at))
                if not block:
                    raise RetryLaterError(t("the connection ended after {at} of {size} bytes", at=at, size=size))
                file.write(block)
                at += len(block)
                bar.show(at)
