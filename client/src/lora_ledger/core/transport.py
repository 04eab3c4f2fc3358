"""Calls to the ledger and to signed upload URLs, on http.client alone.

urllib is avoided on purpose: it forwards Authorization across redirects and reads whole bodies
into memory when they have no length.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import re
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, Callable

from .. import __version__
from . import terminal
from .errors import DeniedError, FileChangedError, RefusedError, RetryLaterError, SupersededError
from .language import t
from .reading import loads
from .redact import redact_body
from .text import clean
from .types import as_list, as_object

BLOCK = 256 * 1024
ANSWER_LIMIT = 16 * 1024 * 1024
USER_AGENT = f"lora-ledger-client/{__version__}"


class Answer:
    """Status, headers (lower-case names) and body of one HTTP response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> dict[str, Any]:
        """The body as a dict; empty when it is none."""
        try:
            return as_object(loads(self.body or b"{}")) or {}
        except (ValueError, RecursionError):
            return {}

    def reason(self) -> str:
        """The problem in the server's own words, short."""
        problem = self.json()
        text = problem.get("detail") or problem.get("title") or http.client.responses.get(self.status, "")
        errors = [as_object(error) for error in (as_list(problem.get("errors")) or [])[:10]]
        fields = "; ".join(f"{e.get('path')}: {e.get('message')}" for e in errors if e is not None)
        return f"{self.status} {text}{' (' + fields + ')' if fields else ''}"[:1000]


def retry_after(headers: dict[str, str]) -> float | None:
    """Seconds from Retry-After (a number or an HTTP date), or None."""
    value = (headers.get("retry-after") or "").strip()
    if not value:
        return None
    try:
        return max(0.0, min(3600.0, float(value)))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, min(3600.0, (when - datetime.now(timezone.utc)).total_seconds()))


def backoff(tries: int, cap: float = 30.0) -> float:
    """Seconds to wait after the given number of failures: doubling from 0.5 s, with full jitter above half."""
    return min(cap, 0.5 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)


def proxy_of(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    """The proxy that the environment names for an address, or None."""
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    named = urllib.request.getproxies().get(parts.scheme)
    if not named:
        return None
    return urllib.parse.urlsplit(named if "://" in named else "http://" + named)


def connect(url: str, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    """A connection for the URL and the request target to use on it, through the environment's proxy if any."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
        given = parts.port
    except ValueError:
        parts, host, given = None, None, None
    if not parts or not host:
        raise RefusedError(t("{url!r} is no http(s) address", url=url[:200]))
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    secure = parts.scheme == "https"
    port = given or (443 if secure else 80)
    proxy = proxy_of(parts)
    context = ssl.create_default_context() if secure else None
    if proxy is None:
        if secure:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context), target
        return http.client.HTTPConnection(host, port, timeout=timeout), target
    credentials: dict[str, str] = {}
    if proxy.username:
        pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        credentials["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    proxy_host, proxy_port = proxy.hostname or "", proxy.port or 8080
    if secure:
        connection = http.client.HTTPSConnection(proxy_host, proxy_port, timeout=timeout, context=context)
        connection.set_tunnel(host, port, credentials)
        return connection, target
    return http.client.HTTPConnection(proxy_host, proxy_port, timeout=timeout), url


def _read(response: http.client.HTTPResponse) -> Answer:
    body = response.read(ANSWER_LIMIT + 1)
    if len(body) > ANSWER_LIMIT:
        raise RetryLaterError(t("the answer is larger than anything a ledger sends"))
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


_FAULTS = (OSError, http.client.HTTPException, ssl.SSLError, socket.timeout)


def _why(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return f"{type(error).__name__}: {text}"


@contextmanager
def stream(url: str, headers: dict[str, str], timeout: float) -> Generator[http.client.HTTPResponse, None, None]:
    """The open answer to a GET, to be read piece by piece. Raises OSError, HTTPException or RefusedError."""
    connection, target = connect(url, timeout)
    try:
        connection.request("GET", target, headers=headers)
        yield connection.getresponse()
    finally:
        connection.close()


def _warn_of_age(url: str, theirs: str | None) -> None:
    """Says once that the ledger has a newer client to give. An older one keeps working."""
    mine, newest = _numbers(__version__), _numbers(theirs)
    if mine and newest and newest > mine:
        terminal.warn_once(
            "version",
            t(
                "this client is {version}, the ledger is {theirs}: everything works on; the new client is at "
                "{url}/client.py, or `pip install -U --index-url {url}/simple lora-ledger`",
                version=__version__,
                theirs=theirs,
                url=url,
            ),
        )


def _numbers(version: str | None) -> tuple[int, ...] | None:
    """A version such as 1.2.3 as numbers that can be compared, or None where it is none."""
    return tuple(map(int, version.split("."))) if version and re.fullmatch(r"\d{1,6}(\.\d{1,6}){2}", version) else None


class Ledger:
    """The API of one ledger under one key. Every call has a timeout; none follows redirects."""

    def __init__(self, url: str, key: str | None, timeout: float = 30.0) -> None:
        self.url = url
        self.key = key
        self.timeout = timeout

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        keep: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Sends JSON and returns the answer's JSON object. No secret leaves the machine but in the fields `keep` names.

        Raises RetryLaterError (network, 408, 425, 429, 5xx), DeniedError (401, 403), SupersededError, or RefusedError
        (any other).
        """
        data = None if body is None else json.dumps(redact_body(clean(body), keep)).encode()
        send = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
        if self.key:
            if not self.key.isascii() or not self.key.isprintable():
                # A line end, or quotes that an editor has curled: no header can carry them.
                raise DeniedError(t("it holds characters that no key has"), 401)
            send["Authorization"] = f"Bearer {self.key}"
        if data is not None:
            send["Content-Type"] = "application/json"
        try:
            connection, target = connect(self.url + path, timeout or self.timeout)
        except RefusedError as error:
            # The address is what is wrong, and nothing of what was to be sent there.
            raise RetryLaterError(str(error)) from error
        try:
            connection.request(method, target, body=data, headers=send)
            answer = _read(connection.getresponse())
        except (*_FAULTS, ValueError) as error:
            raise RetryLaterError(_why(error)) from error
        finally:
            connection.close()
        _warn_of_age(self.url, answer.headers.get("ledger-version"))
        return self._judge(answer)

    def _judge(self, answer: Answer) -> dict[str, Any]:
        status = answer.status
        if 200 <= status < 300:
            return answer.json()
        if status in (408, 425, 429) or status >= 500:
            raise RetryLaterError(answer.reason(), retry_after(answer.headers), status)
        if status in (401, 403):
            full = answer.json().get("type") == "urn:lora-ledger:over-limit"
            raise DeniedError(answer.reason(), status, full)
        if 300 <= status < 400:
            raise RetryLaterError(
                t(
                    "the address redirects to {location}: name that one in LEDGER_URL",
                    location=answer.headers.get("location"),
                )
            )
        if status == 409 and "superseded" in json.dumps(answer.json()):
            raise SupersededError(answer.reason())
        raise RefusedError(answer.reason(), status, answer.json())


def put_range(
    url: str,
    headers: dict[str, str],
    file: BinaryIO,
    offset: int,
    length: int,
    report: Callable[[int], None] | None = None,
    timeout: float = 120.0,
) -> tuple[Answer, str]:
    """Streams `length` bytes of the open file from `offset` to a signed URL, with exactly the given headers.

    `report(count)` is called after each block. Returns (Answer, MD5 of the bytes as hex).
    Raises RetryLaterError on network faults and FileChangedError when the file ends too early.
    """
    digest = hashlib.md5(usedforsecurity=False)
    connection, target = connect(url, timeout)
    try:
        connection.putrequest("PUT", target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        file.seek(offset)
        left = length
        broken = None
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                raise FileChangedError(t("the file became shorter while it was sent"))
            digest.update(block)
            try:
                connection.send(block)
            except OSError as error:
                # A server that refuses early (412, 403) may answer and close before the body's end.
                broken = error
                break
            left -= len(block)
            if report:
                report(len(block))
        try:
            answer = _read(connection.getresponse())
        except _FAULTS:
            if broken:
                raise broken from None
            raise
        return answer, digest.hexdigest()
    except _FAULTS as error:
        raise RetryLaterError(_why(error)) from error
    finally:
        connection.close()
