"""Calls to the ledger and to signed upload URLs, on http.client alone.

urllib is avoided on purpose: it forwards Authorization across redirects and reads whole bodies
into memory when they have no length.
"""

import base64
import hashlib
import http.client
import json
import random
import socket
import ssl
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .reading import loads
from .redact import redact_body
from .text import clean

BLOCK = 256 * 1024
ANSWER_LIMIT = 16 * 1024 * 1024
USER_AGENT = "lora-ledger-client"


class Later(Exception):
    """Nothing is known to be wrong with what was sent; try again, after `delay` seconds if that is known.

    `status` is the ledger's own answer, where there was one: at 500 it failed, which what was sent may be the cause of.
    """

    def __init__(self, reason, delay=None, status=None):
        super().__init__(reason)
        self.delay = delay
        self.status = status


class Denied(Exception):
    """401 or 403: the key is missing, expired, revoked, or may not do this; or its user is `full`, at a bound."""

    def __init__(self, reason, status, full=False):
        super().__init__(reason)
        self.status = status
        self.full = full


class Refused(Exception):
    """The ledger will never take this as it is. `status` and `body` are its answer, where there was one."""

    def __init__(self, reason, status=None, body=None):
        super().__init__(reason)
        self.status = status
        self.body = body or {}


class Superseded(Exception):
    """409 superseded: another attempt holds the task now."""


class FileChanged(Exception):
    """The file on disk is not the one whose size and hash were announced."""


class Answer:
    """Status, headers (lower-case names) and body of one HTTP response."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        """The body as a dict; empty when it is none."""
        try:
            value = loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def reason(self):
        """The problem in the server's own words, short."""
        problem = self.json()
        text = problem.get("detail") or problem.get("title") or http.client.responses.get(self.status, "")
        errors = problem.get("errors")
        fields = "; ".join(
            f"{e.get('path')}: {e.get('message')}"
            for e in (errors[:10] if isinstance(errors, list) else [])
            if isinstance(e, dict)
        )
        return f"{self.status} {text}{' (' + fields + ')' if fields else ''}"[:1000]


def retry_after(headers):
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


def backoff(tries, cap=30.0):
    """Seconds to wait after the given number of failures: doubling from 0.5 s, with full jitter above half."""
    return min(cap, 0.5 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)


def _proxy(parts):
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    named = urllib.request.getproxies().get(parts.scheme)
    if not named:
        return None
    return urllib.parse.urlsplit(named if "://" in named else "http://" + named)


def _connect(url, timeout):
    """A connection for the URL and the request target to use on it, through the environment's proxy if any."""
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname
        given = parts.port
    except ValueError:
        known = None
    if not known:
        raise Refused(f"{url[:200]!r} is no http(s) address")
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    secure = parts.scheme == "https"
    port = given or (443 if secure else 80)
    proxy = _proxy(parts)
    context = ssl.create_default_context() if secure else None
    if proxy is None:
        if secure:
            return http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context), target
        return http.client.HTTPConnection(parts.hostname, port, timeout=timeout), target
    credentials = {}
    if proxy.username:
        pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        credentials["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    proxy_port = proxy.port or 8080
    if secure:
        connection = http.client.HTTPSConnection(proxy.hostname, proxy_port, timeout=timeout, context=context)
        connection.set_tunnel(parts.hostname, port, credentials)
        return connection, target
    return http.client.HTTPConnection(proxy.hostname, proxy_port, timeout=timeout), url


def _read(response):
    body = response.read(ANSWER_LIMIT + 1)
    if len(body) > ANSWER_LIMIT:
        raise Later("the answer is larger than anything a ledger sends")
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)


_FAULTS = (OSError, http.client.HTTPException, ssl.SSLError, socket.timeout)


def _why(error):
    text = str(error) or type(error).__name__
    return f"{type(error).__name__}: {text}"


class Ledger:
    """The API of one ledger under one key. Every call has a timeout; none follows redirects."""

    def __init__(self, url, key, timeout=30.0):
        self.url = url
        self.key = key
        self.timeout = timeout

    def ask(self, method, path, body=None, headers=None, timeout=None, keep=()):
        """Sends JSON and returns the answer's JSON object. No secret leaves the machine but in the fields `keep` names.

        Raises Later (network, 408, 425, 429, 5xx), Denied (401, 403), Superseded, or Refused (any other).
        """
        data = None if body is None else json.dumps(redact_body(clean(body), keep)).encode()
        send = {"Accept": "application/json", "User-Agent": USER_AGENT, **(headers or {})}
        if self.key:
            if not self.key.isascii() or not self.key.isprintable():
                # A line end, or quotes that an editor has curled: no header can carry them.
                raise Denied("it holds characters that no key has", 401)
            send["Authorization"] = f"Bearer {self.key}"
        if data is not None:
            send["Content-Type"] = "application/json"
        try:
            connection, target = _connect(self.url + path, timeout or self.timeout)
        except Refused as error:
            # The address is what is wrong, and nothing of what was to be sent there.
            raise Later(str(error)) from error
        try:
            connection.request(method, target, body=data, headers=send)
            answer = _read(connection.getresponse())
        except (*_FAULTS, ValueError) as error:
            raise Later(_why(error)) from error
        finally:
            connection.close()
        return self._judge(answer)

    def _judge(self, answer):
        status = answer.status
        if 200 <= status < 300:
            return answer.json()
        if status in (408, 425, 429) or status >= 500:
            raise Later(answer.reason(), retry_after(answer.headers), status)
        if status in (401, 403):
            full = answer.json().get("type") == "urn:lora-ledger:over-limit"
            raise Denied(answer.reason(), status, full)
        if 300 <= status < 400:
            raise Later(f"the address redirects to {answer.headers.get('location')}: name that one in LEDGER_URL")
        if status == 409 and "superseded" in json.dumps(answer.json()):
            raise Superseded(answer.reason())
        raise Refused(answer.reason(), status, answer.json())


def put_range(url, headers, file, offset, length, report=None, timeout=120.0):
    """Streams `length` bytes of the open file from `offset` to a signed URL, with exactly the given headers.

    `report(count)` is called after each block. Returns (Answer, MD5 of the bytes as hex).
    Raises Later on network faults and FileChanged when the file ends too early.
    """
    digest = hashlib.md5(usedforsecurity=False)
    connection, target = _connect(url, timeout)
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
                raise FileChanged("the file became shorter while it was sent")
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
                raise broken
            raise
        return answer, digest.hexdigest()
    except _FAULTS as error:
        raise Later(_why(error)) from error
    finally:
        connection.close()
