"""The secret values that this process knows, taken out of everything that leaves the machine.

One place for all of the client: who fills a secret in, or hands one on to a trainer, makes its value known here. Values
are found as they are and in the forms that programs write them in: JSON-escaped, percent-encoded, base64.
"""

import base64
import functools
import json
import os
import re
import threading
import urllib.parse

from .redact import MARK

# Shorter values are in every second word; no secret is so short.
LEAST = 4
# Below this length a value counts only where no letter or digit touches it, and its encoded forms are not looked for.
SHORT = 8
_BLOCK = 1024 * 1024

# Names of variables and keys that hold secrets. PATH, KEYBOARD and the like hold none.
_SECRET_NAME = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|WEBHOOK|AUTH|COOKIE|CONNECTION_STRING"
    r"|(?:API|ACCESS|PRIVATE|SIGNING|ACCOUNT)_?KEY|(?:^|_)(?:KEYS?|PASS|PAT|DSN)(?:_|$)|PWD$"
)
_LOGIN_IN_URL = re.compile(r"://[^/@\s:]*:[^/@\s]+@")

_guard = threading.Lock()
_values = {}
_pattern = None
_longest = 0
_filled = False


def is_secret_name(name):
    """Whether a variable of this name holds a secret, by its name alone."""
    name = name.upper()
    return name not in ("PWD", "OLDPWD") and _SECRET_NAME.search(name) is not None


def is_secret_variable(name, value):
    """Whether an environment variable holds a secret, by its name or by a login in an address."""
    return is_secret_name(name) or _LOGIN_IN_URL.search(value) is not None


def value_of(name):
    """LEDGER_SECRET_<NAME>, else <NAME> itself, as trainers' own variables are called (WANDB_API_KEY, HF_TOKEN)."""
    return os.environ.get(f"LEDGER_SECRET_{name}") or os.environ.get(name) or None


def know(values, filled=False):
    """Makes secrets known: {name: value}. Empty values and those of three letters or less are left out.

    `filled`: they were put into a configuration, and so into the hands of whoever wrote that.
    """
    global _filled
    with _guard:
        _filled = _filled or (filled and bool(values))
        for name, value in values.items():
            for part in {value, *value.splitlines()}:
                if len(part.strip()) >= LEAST:
                    _values.setdefault(part.strip(), name)
        _compile()


def know_environment(environment):
    """Makes the secrets known that a trainer gets with its environment; words of prose and paths are no secrets."""
    know(
        {
            name: value
            for name, value in environment.items()
            if is_secret_variable(name, value)
            and len(value) >= SHORT
            and re.search(r"[A-Za-z]", value)
            and re.search(r"\d", value)
            and not value.startswith(("/", "~", "."))
        }
    )


def forget():
    """Forgets all values; for tests."""
    global _filled
    with _guard:
        _values.clear()
        _filled = False
        _compile()


def _escaped(text):
    return json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]


def _base64_of(data):
    """What base64 of any text that holds the bytes has in common, for each of the three places they may begin at."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        sure = (before + len(data)) * 8 // 6
        part = whole[(0, 2, 3)[before] : sure]
        yield part
        yield part.replace(b"+", b"-").replace(b"/", b"_")


def _forms(value):
    """The bytes that programs write for a value, in names of files as well."""
    bases = {value, *_escaped(value), value.replace("/", "_"), re.sub(r"[^\w.-]", "_", value)}
    for base in bases:
        data = base.encode("utf-8", "surrogateescape")
        yield data
        for again in _escaped(base):
            yield again.encode("utf-8", "surrogateescape")
        for safe in ("", "/"):
            quoted = urllib.parse.quote(data, safe=safe)
            for text in (quoted, quoted.replace("%20", "+")):
                yield text.encode()
                yield re.sub("%..", lambda match: match[0].lower(), text).encode()
        yield from _base64_of(data)


def _compile():
    global _pattern, _longest
    parts = set()
    for value in _values:
        if len(value) < SHORT:
            plain = re.escape(value.encode("utf-8", "surrogateescape"))
            parts.add(rb"(?<![A-Za-z0-9])" + plain + rb"(?![A-Za-z0-9])")
        else:
            parts.update(re.escape(form) for form in _forms(value) if len(form) >= SHORT)
    # The longest form first, so that no part of one stays.
    ordered = sorted(parts, key=len, reverse=True)
    _pattern = re.compile(b"|".join(ordered)) if ordered else None
    _longest = max(map(len, ordered), default=0)
    _short_text.cache_clear()


def has_filled():
    """Whether a value was put into a configuration."""
    return _filled


def longest():
    """The length of the longest form: so much of a stream's end may be the beginning of one."""
    return _longest


def from_bytes(data):
    """The bytes with each known value replaced by `[redacted]`."""
    return _pattern.sub(MARK.encode(), data) if _pattern else data


def from_text(text):
    """Like `from_bytes`, for a string."""
    if not _pattern:
        return text
    # Names of metrics come again with every point.
    return _short_text(text) if len(text) < 100 else _any_text(text)


def _any_text(text):
    data = text.encode("utf-8", "surrogatepass")
    clean = from_bytes(data)
    return text if clean == data else clean.decode("utf-8", "surrogatepass")


_short_text = functools.lru_cache(4096)(_any_text)


def from_value(value):
    """A JSON value with each known value replaced in its strings and in its objects' names."""
    if not _pattern:
        return value
    if isinstance(value, str):
        return from_text(value)
    if isinstance(value, dict):
        return {from_value(name): from_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [from_value(item) for item in value]
    return value


def with_stars(data):
    """The bytes with as many `*` in the place of each known value, so that nothing else moves."""
    return _pattern.sub(lambda match: b"*" * len(match[0]), data) if _pattern else data


def are_in_bytes(data):
    """Whether the bytes hold a known value."""
    return _pattern is not None and _pattern.search(data) is not None


def are_in_file(path):
    """Whether a file holds a known value, read in blocks. Raises OSError."""
    if not _pattern:
        return False
    with open(path, "rb") as file:
        kept = b""
        while True:
            block = file.read(_BLOCK)
            if not block:
                return False
            if are_in_bytes(kept + block):
                return True
            kept = (kept + block)[-_longest:]


def trainer_environment(own=True, allowed=()):
    """(the environment for a trainer, the names of the secrets that are kept from it).

    The ledger's key, an enrolment token and what is meant for marks alone (LEDGER_SECRET_…) reach no trainer. For
    another user's run the box's other secrets and all of LEDGER_… stay here too, but for the names that were allowed.
    """
    environment, kept = {}, []
    for name, value in os.environ.items():
        if name in ("LEDGER_KEY", "LEDGER_ENROL") or name.startswith("LEDGER_SECRET_"):
            continue
        if not own and name.startswith("LEDGER_"):
            continue
        if not own and name not in allowed and is_secret_variable(name, value):
            kept.append(name)
            continue
        environment[name] = value
    environment["PYTHONUNBUFFERED"] = "1"
    return environment, sorted(kept)
