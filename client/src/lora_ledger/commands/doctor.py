"""`lora-ledger doctor`: looks at what recording needs, a line for each, and says what to do about what is wrong."""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import shutil
import socket
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..core.errors import DeniedError, LedgerError, RefusedError, RetryLaterError
from ..core.language import join_texts, t
from ..core.output import moment, put
from ..core.settings import Settings
from ..core.terminal import printable, size_text
from ..core.transport import USER_AGENT, Ledger, proxy_of, stream
from ..follow.gpu import TOOLS, read_gpus
from ..recording.host import gpu_text, versions
from ..trainers import recognise
from ..trainers.launch import find_config
from . import credentials, spool_report
from .options import add_command, add_ledger_options

# Seconds that this machine's clock may be off: signed URLs end after minutes, and times of log points are this clock's.
CLOCK_OFF = 60.0
# Less room than this for records that wait; a run of a day has some megabytes.
LEAST_ROOM = 500_000_000
CONFIG_LIMIT = 4_000_000


class Finding(NamedTuple):
    """One line of the answer. `advice` is None where nothing is wrong."""

    subject: str
    text: str
    advice: str | None = None
    # Whether recording cannot work like this; else it is only worth knowing.
    broken: bool = False


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "doctor",
        t("looks at what recording needs, and says what is wrong"),
        t(
            "Checks the address, the key, this machine's clock, where unsent records wait, the disk, proxies, the GPU, "
            "and, behind --, which trainer a command is. It changes nothing and prints no secret. Exit code 1: "
            "something keeps runs from being recorded."
        ),
        "  lora-ledger doctor\n  lora-ledger doctor -- accelerate launch train_network.py --config_file my_lora.toml",
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND…", help=t("the command that would train")
    )
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Prints a line a finding. The exit code: 1 where something keeps runs from being recorded."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    put(f"lora-ledger {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}")
    broken = 0
    for finding in examine(settings, command):
        mark = "  ok" if finding.advice is None else "FAIL" if finding.broken else "note"
        put(t("{mark}  {subject}: {text}", mark=mark, subject=finding.subject, text=printable(finding.text)))
        if finding.advice:
            put(t("      → {advice}", advice=finding.advice))
        broken += finding.broken
    put(
        t("Nothing keeps runs from being recorded.")
        if not broken
        else t("{broken} to mend before runs can be recorded.", broken=broken)
    )
    return 1 if broken else 0


def examine(settings: Settings, command: list[str]) -> Iterator[Finding]:
    """All findings, each as soon as it is known."""
    yield _address(settings)
    if settings.url:
        yield _proxy(settings.url)
        yield from _service(settings.url)
        yield _key(settings)
    yield _login()
    yield from _spool(settings)
    yield from _room(settings)
    yield _gpu()
    if command:
        yield from _trainer(command)


def _address(settings: Settings) -> Finding:
    if not settings.url:
        return Finding(t("address"), t("not set"), t("run `lora-ledger login`, or set LEDGER_URL"), True)
    parts = urllib.parse.urlsplit(settings.url)
    here = (parts.hostname or "") in ("localhost", "127.0.0.1", "::1")
    if parts.username or parts.password:
        return Finding(
            t("address"),
            t("holds a user's name"),
            t("leave out the part before the @, and put the key into LEDGER_KEY"),
            True,
        )
    if parts.scheme == "http" and not here:
        return Finding(
            t("address"),
            t("{url} is not encrypted", url=settings.url),
            t("whoever is between can read the key: use https://"),
        )
    return Finding(t("address"), settings.url)


def _proxy(url: str) -> Finding:
    proxy = proxy_of(urllib.parse.urlsplit(url))
    if proxy is None:
        return Finding(t("proxy"), t("none is used for this address"))
    return Finding(
        t("proxy"),
        t(
            "{scheme}://{hostname}:{port}, named by the environment",
            scheme=proxy.scheme,
            hostname=proxy.hostname,
            port=proxy.port or 8080,
        ),
    )


def _service(url: str) -> Iterator[Finding]:
    """Whether the service answers, is healthy, and has the time that this machine has."""
    begun = time.time()
    try:
        with stream(url + "/healthz", {"User-Agent": USER_AGENT}, 15.0) as response:
            body = response.read(10_000).decode("utf-8", "replace")
            status, headers = response.status, response.headers
    except (OSError, http.client.HTTPException, LedgerError) as error:
        yield Finding(t("service"), t("does not answer ({reason})", reason=_reason(error)), _advice(error), True)
        return
    took = time.time() - begun
    if status == 200 and '"database":true' in body:
        yield Finding(t("service"), t("answers in {took:.0f} ms", took=took * 1000))
    elif '"database"' in body:
        yield Finding(
            t("service"),
            t("answers, but is not healthy: {body}", body=body[:200]),
            t("wait, or tell who runs the ledger"),
        )
    else:
        yield Finding(
            t("service"),
            t("something else answers there (HTTP {status})", status=status),
            t("check the address; a login page of a network?"),
            True,
        )
        return
    told = headers.get("Date")
    try:
        there = parsedate_to_datetime(told).timestamp() if told else None
    except (TypeError, ValueError):
        there = None
    if there is None:
        yield Finding(t("clock"), t("the service does not tell its time"))
        return
    # Of the time that the answer took, half is the way back; the header has whole seconds.
    off = begun + took / 2 - there - 0.5
    if abs(off) > CLOCK_OFF:
        ahead = t("ahead of") if off > 0 else t("behind")
        yield Finding(
            t("clock"),
            t("this machine's is {off:.0f} s {ahead} the ledger's", off=abs(off), ahead=ahead),
            t("set it: `sudo timedatectl set-ntp true`"),
        )
    else:
        yield Finding(t("clock"), t("right"))


def _key(settings: Settings) -> Finding:
    if not settings.key:
        return Finding(t("key"), t("not set"), t("run `lora-ledger login`, or set LEDGER_KEY"), True)
    try:
        me = Ledger(settings.url or "", settings.key, 15.0).ask("GET", "/api/me")
    except DeniedError as error:
        if error.status == 403:
            return Finding(t("key"), t("a box's: it records its own runs"))
        return Finding(
            t("key"), str(error), t("make another on the page Settings → Keys, then `lora-ledger login`"), True
        )
    except RetryLaterError as error:
        return Finding(t("key"), t("could not be checked ({error})", error=error), t("see the service above"), True)
    except LedgerError as error:
        return Finding(t("key"), t("could not be checked ({error})", error=error), t("check the address"), True)
    scopes = me.get("scopes")
    who = f"{me.get('name')} ({me.get('role')})"
    if isinstance(scopes, list) and "tasks:write" not in scopes:
        return Finding(
            t("key"),
            t("{who}, without the scope tasks:write", who=who),
            t("it can record no run: make one that can"),
            True,
        )
    ends = me.get("expires_at")
    if isinstance(ends, str):
        left = _seconds_until(ends)
        text = t("{who}, good until {ends}", who=who, ends=moment(ends))
        if left is not None and left < 86_400:
            return Finding(
                t("key"), text, t("it ends within a day; runs that go on longer wait on this disk from then on")
            )
        return Finding(t("key"), text)
    return Finding(t("key"), who)


def _login() -> Finding:
    path = credentials.place()
    folder = next((parent for parent in path.parents if parent.exists()), path.parent)
    if not path.exists():
        if os.access(folder, os.W_OK):
            return Finding(t("login"), t("none is stored in {path}", path=path))
        return Finding(
            t("login"),
            t("{folder} cannot be written", folder=folder),
            t("set LEDGER_URL and LEDGER_KEY, or LEDGER_LOGIN to another file"),
        )
    if os.name != "nt" and path.stat().st_mode & 0o077:
        return Finding(t("login"), t("other users can read {path}", path=path), f"chmod 600 {path}")
    return Finding(t("login"), t("stored in {path}", path=path))


def _spool(settings: Settings) -> Iterator[Finding]:
    root = settings.spool
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".doctor-"):
            pass
    except OSError as error:
        yield Finding(
            t("spool"),
            t("{root} cannot be written ({error})", root=root, error=error.strerror),
            t("set LEDGER_SPOOL to a folder on a disk that stays"),
            True,
        )
        return
    try:
        found = [spool_report.read(folder) for folder in spool_report.folders(root)]
    except OSError as error:
        yield Finding(
            t("spool"),
            t("{filename} cannot be read ({error})", filename=error.filename, error=error.strerror),
            t("look into it by hand"),
        )
        return
    waiting = [one for one in found if one.problems and not one.running]
    others = [one for one in waiting if settings.url and one.state.get("url") not in (None, settings.url)]
    own = len(waiting) - len(others)
    running = sum(one.running for one in found)
    text = t("{root}: {running} recording now, {own} not sent whole", root=root, running=running, own=own)
    yield Finding(t("spool"), text, t("`lora-ledger status` says what, `lora-ledger sync` sends it") if own else None)
    for url in sorted({str(one.state.get("url")) for one in others}):
        count = sum(one.state.get("url") == url for one in others)
        yield Finding(
            t("spool"), t("{count} of the ledger at {url} wait too; they are not this ledger's", count=count, url=url)
        )


def _room(settings: Settings) -> Iterator[Finding]:
    for name, folder in ((t("disk of the spool"), settings.spool), (t("disk of this folder"), Path.cwd())):
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Finding(name, t("cannot be looked at ({error})", error=error.strerror))
            continue
        short = free < LEAST_ROOM
        yield Finding(
            name,
            t("{free} free", free=size_text(free)),
            t("make room: records and checkpoints would be lost") if short else None,
        )


def _gpu() -> Finding:
    gpus = read_gpus()
    if gpus:
        return Finding(
            t("GPU"),
            t("{gpu_text}, driver {driver}", gpu_text=gpu_text(gpus), driver=gpus[0].get("driver") or t("unknown")),
        )
    tool = next((name for name in TOOLS if shutil.which(name)), None)
    if tool:
        return Finding(
            t("GPU"), t("{tool} finds none", tool=tool), t("check the driver; the run is recorded without its figures")
        )
    return Finding(
        t("GPU"), t("none that {tools} know; the run is recorded without its figures", tools=join_texts(", ", TOOLS))
    )


def _trainer(command: list[str]) -> Iterator[Finding]:
    program = shutil.which(command[0])
    if program is None:
        yield Finding(
            t("command"),
            t("there is no program {command}", command=command[0]),
            t("check the name, or activate its environment"),
            True,
        )
    config = find_config(command)
    text = None
    if config is not None:
        try:
            with open(config, encoding="utf-8-sig", errors="replace") as file:
                text = file.read(CONFIG_LIMIT)
            yield Finding(t("settings"), t("{config}", config=config))
        except OSError as error:
            yield Finding(
                t("settings"),
                t("{config} cannot be read ({error})", config=config, error=error.strerror),
                t("check the path"),
                True,
            )
    trainer = recognise(command, text, os.getcwd())
    if trainer.name is None:
        yield Finding(
            t("trainer"),
            t("not recognised"),
            t("what it prints is recorded; name its settings (run --config FILE) and results (--output-dir DIR)"),
        )
    else:
        yield Finding(t("trainer"), trainer.name)
    folder = trainer.output_folder()
    yield Finding(
        t("results"),
        t("looked for in {folder}", folder=folder) if folder else t("nothing tells where they will be"),
        None if folder else t("name the folder: lora-ledger run --output-dir DIR"),
    )
    found = versions(command)
    named = ", ".join(f"{name} {found[name]}" for name in ("python", "torch", "accelerate") if found.get(name))
    yield Finding(t("software"), named or t("unknown"))


def _seconds_until(text: str) -> float | None:
    try:
        then = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return then.timestamp() - time.time()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _advice(error: Exception) -> str:
    """What a person can do about an address that does not answer."""
    if isinstance(error, socket.gaierror):
        return t("the name is unknown here: check it, and this machine's DNS")
    if isinstance(error, ssl.SSLCertVerificationError):
        return t("its certificate is not trusted here: a wrong clock, or a proxy that looks inside (SSL_CERT_FILE)?")
    if isinstance(error, ConnectionRefusedError):
        return t(
            "nothing listens there: does the ledger run, and is the port right? A box reaches no `localhost` of yours"
        )
    if isinstance(error, (socket.timeout, TimeoutError)):
        return t("a firewall may keep it away; runs are recorded on this disk until `lora-ledger sync` can send them")
    if isinstance(error, RefusedError):
        return t("write it as https://name")
    return t("check the address and the network; runs are recorded on this disk meanwhile")
