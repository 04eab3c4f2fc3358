"""Where the ledger is and where unsent records are kept: flags first, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import terminal, withhold
from .language import t
from .types import StrPath

FLUSH_TIMEOUT = 120.0


@dataclass
class Settings:
    """url and key are None when nothing names them: the run is then kept in the spool for later."""

    url: str | None
    key: str | None
    spool: Path
    flush_timeout: float = FLUSH_TIMEOUT


def default_spool() -> Path:
    """LEDGER_SPOOL, or the user's cache folder."""
    named = os.environ.get("LEDGER_SPOOL")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "lora-ledger" / "spool"


def resolve(
    url: str | None = None,
    key: str | None = None,
    spool: StrPath | None = None,
    flush_timeout: float | None = None,
    quiet: bool = False,
) -> Settings:
    """Settings from flags, with LEDGER_URL, LEDGER_KEY, LEDGER_SPOOL and LEDGER_FLUSH_TIMEOUT behind them."""
    if flush_timeout is None:
        try:
            flush_timeout = float(os.environ.get("LEDGER_FLUSH_TIMEOUT") or FLUSH_TIMEOUT)
        except ValueError:
            terminal.warn_once(
                "flush-timeout",
                t(
                    "LEDGER_FLUSH_TIMEOUT is no number of seconds; {flush_timeout:.0f} is taken",
                    flush_timeout=FLUSH_TIMEOUT,
                ),
            )
            flush_timeout = FLUSH_TIMEOUT
    url = (url or os.environ.get("LEDGER_URL") or "").strip().rstrip("/") or None
    if url and "://" not in url:
        url = ("http://" if url.startswith(("localhost", "127.")) else "https://") + url
    key = (key or os.environ.get("LEDGER_KEY") or "").strip() or None
    terminal.configure(quiet=quiet, secrets=[key] if key else [])
    withhold.know({"LEDGER_KEY": key or ""})
    return Settings(
        url=url,
        key=key,
        spool=Path(spool).expanduser() if spool else default_spool(),
        flush_timeout=flush_timeout,
    )
