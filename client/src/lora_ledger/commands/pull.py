"""`lora-ledger pull`: downloads files, goes on with what is half there, and checks each hash."""

import http.client
import os
import re
import shutil
import ssl
import time
from pathlib import Path

from ..core import terminal
from ..core.transport import USER_AGENT, Later, Refused, _connect, backoff
from ..core.uploads import sha256_of
from ..core.api import Api, Plain, put

BLOCK = 256 * 1024
TRIES = 5
RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def local_path(folder, name):
    """Where a file of the given name goes: always inside the folder. Raises Plain for a name that leads out."""
    parts = str(name).replace("\\", "/").split("/")
    if any(part in ("", ".", "..") or ":" in part or _CONTROLS.search(part) for part in parts):
        raise Plain(f"the ledger names a file {name!r}, which leads out of the folder; it is not written")
    if os.name == "nt":
        parts = [f"_{p}" if p.split(".")[0].lower() in RESERVED else p for p in parts]
    return folder.joinpath(*parts)


def pull(settings, options):
    """Downloads all complete files of a task, or of one kind. The exit code: 1 when one could not be had whole."""
    api = Api(settings)
    task = _task(options)
    weights = list(api.pages("/api/weights", task_id=task, kind=options.kind, state="complete"))
    if not weights:
        api.get(f"/api/tasks/{task}")
        raise Plain(f"task {task} has no {options.kind + ' ' if options.kind else ''}files in the ledger")
    folder = Path(options.output or f"task-{task}").expanduser()
    newest = {}
    for weight in sorted(weights, key=lambda w: w["id"]):
        newest[weight["filename"]] = weight
    failed = 0
    for weight in newest.values():
        try:
            target = local_path(folder, weight["filename"])
            put(f"{target}: {fetch(api, weight, target)}")
        except Plain as error:
            terminal.warn(f"{weight['filename']}: {error}")
            failed += 1
        except OSError as error:
            terminal.warn(f"{weight['filename']}: cannot be written ({error.strerror or error})")
            failed += 1
    return 1 if failed else 0


def _task(options):
    """The number of the task that is meant. Raises Plain."""
    if options.model or not options.what.isdigit():
        raise Plain("name a task's number (lora-ledger pull 42) or a model (lora-ledger pull model NAME:ALIAS)")
    return int(options.what)


def fetch(api, weight, target, link=None, replace=False):
    """Brings one file; returns what was done, in words. Raises Plain or OSError.

    `link` is the path that gives its address; with `replace` it takes the place of another file.
    """
    link = link or f"/api/weights/{weight['id']}/download"
    return _bring(lambda: api.get(link, redirect="false").get("url"), weight, target, replace)


def fetch_link(url, file, target):
    """Brings a file from its signed address; `file` tells size and sha256. Raises Plain or OSError."""
    return _bring(lambda: url, file, target, False)


def _bring(address, weight, target, replace):
    size, sha256 = weight.get("size"), weight.get("sha256")
    if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        raise Plain(f"the ledger names no size and SHA-256 of {target.name}; it is not brought")
    if target.is_file() and target.stat().st_size == size and sha256_of(target) == sha256:
        return "already here, hash checked"
    if target.exists() and not replace:
        raise Plain(f"{target} is there already with other content; move it away, or choose another folder with -o")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named after the hash, so that a half file of another version is never gone on with.
    partial = target.with_name(f"{target.name}.{sha256[:12]}.part")
    free = shutil.disk_usage(target.parent).free
    if size > free + (partial.stat().st_size if partial.exists() else 0):
        raise Plain(
            f"{target.name} has {terminal.size_text(size)}, and only {terminal.size_text(free)} are free in {target.parent}"
        )
    bar = terminal.Progress(f"pulling {target.name}", size)
    reason = None
    furthest, tries = -1, 0
    while tries < TRIES:
        try:
            _go_on(str(address()), partial, size, bar)
            break
        except Refused as error:
            raise Plain(f"the ledger gives no address for {target.name}: {error}") from error
        except (OSError, http.client.HTTPException, ssl.SSLError, Later) as error:
            if isinstance(error, OSError) and error.errno in (28, 13, 30, 122):
                raise
            reason = error
            reached = partial.stat().st_size if partial.exists() else 0
            tries = 0 if reached > furthest else tries + 1
            furthest = max(furthest, reached)
            time.sleep(backoff(tries, 8.0))
    else:
        raise Plain(f"stopped half way ({reason}); the same command goes on from there")
    digest = sha256_of(partial)
    if digest != sha256 or partial.stat().st_size != size:
        os.unlink(partial)
        raise Plain("what arrived has another hash than the ledger says; it was removed, pull again")
    os.replace(partial, target)
    bar.end(f"{target.name}: {terminal.size_text(size)}, hash checked")
    return "pulled, hash checked"


def _go_on(url, partial, size, bar):
    """Appends what is missing of the file. Signed URLs get no key. Raises Later, OSError or HTTPException."""
    have = partial.stat().st_size if partial.exists() else 0
    if have > size:
        os.unlink(partial)
        have = 0
    if have == size and have:
        return
    connection, target = _connect(url, 60.0)
    try:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status not in (200, 206):
            raise Later(f"storage answered {response.status}")
        if response.status == 206 and not (response.getheader("Content-Range") or "").startswith(f"bytes {have}-"):
            raise Later("storage answered with another part than was asked for")
        with open(partial, "ab" if response.status == 206 else "wb") as file:
            at = file.tell() if response.status == 206 else 0
            while at < size:
                block = response.read(min(BLOCK, size - at))
                if not block:
                    raise Later(f"the connection ended after {at} of {size} bytes")
                file.write(block)
                at += len(block)
                bar.show(at)
    finally:
        connection.close()
