"""The stored login: URL and key in the user's configuration folder, readable by this user alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..core import terminal
from ..core.language import t


def place() -> Path:
    """The file: LEDGER_LOGIN, else login.json below XDG_CONFIG_HOME (~/.config) or, on Windows, APPDATA."""
    named = os.environ.get("LEDGER_LOGIN")
    if named:
        return Path(named).expanduser()
    if os.name == "nt" and os.environ.get("APPDATA"):
        return Path(os.environ["APPDATA"]) / "lora-ledger" / "login.json"
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "lora-ledger" / "login.json"


def store(url: str | None, key: str | None) -> Path:
    """Writes both with mode 0600, replacing the file atomically; returns its path. Raises OSError."""
    path = place()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass
    # The mode is given at creation: there is no moment in which others could read it.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": url, "key": key}, file)
    os.replace(temporary, path)
    return path


def load() -> tuple[str, str] | tuple[None, None]:
    """(url, key) of the stored login; (None, None) without one. A file that others can read is said so, once."""
    path = place()
    try:
        with open(path, encoding="utf-8") as file:
            if os.name != "nt" and os.fstat(file.fileno()).st_mode & 0o077:
                terminal.warn_once("login-mode", t("{path} can be read by other users: chmod 600 {path}", path=path))
            stored = json.load(file)
        url, key = stored["url"], stored["key"]
        return (url, key) if isinstance(url, str) and isinstance(key, str) else (None, None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, None


def complete(url: str | None, key: str | None) -> tuple[str, str] | tuple[str | None, str | None]:
    """(url, key) as flags and environment give them, completed by the stored login.

    A stored key goes to the ledger it was stored for and to no other address.
    """
    url = url or os.environ.get("LEDGER_URL") or None
    key = key or os.environ.get("LEDGER_KEY") or None
    if url and key:
        return url, key
    stored_url, stored_key = load()
    if not url:
        url = stored_url
    if not key and stored_key and url and _same(url, stored_url):
        key = stored_key
    return url, key


def _same(first: str | None, second: str | None) -> bool:
    def bare(url: str) -> str:
        return url.strip().rstrip("/").partition("://")[2] or url.strip().rstrip("/")

    return bare(first or "") == bare(second or "")
