"""`lora-ledger login`: asks for the ledger's address and a key, checks them, and keeps them for later commands."""

import getpass
import os
import sys

from ..core import terminal, settings
from ..core.transport import Denied, Later, Ledger, Refused
from . import credentials
from ..core.api import Plain, put


def _asked(prompt, secret=False):
    if not sys.stdin or not sys.stdin.isatty():
        line = sys.stdin.readline() if sys.stdin else ""
        return line.strip()
    try:
        return (getpass.getpass(prompt) if secret else input(prompt)).strip()
    except EOFError:
        return ""


def login(options):
    """Stores URL and key once the ledger has answered to them. Returns the exit code; raises Plain."""
    url = options.url or os.environ.get("LEDGER_URL") or _asked("Address of the ledger (https://…): ")
    key = options.key or os.environ.get("LEDGER_KEY") or _asked("Key (not shown): ", secret=True)
    if not url or not key:
        raise Plain("login needs the address and the key: --url and LEDGER_KEY, or two lines on standard input")
    found = settings.resolve(url, key, options.spool, None, options.quiet)
    who = check(found)
    try:
        path = credentials.store(found.url, found.key)
    except OSError as error:
        raise Plain(f"the login cannot be stored in {credentials.place()}: {error.strerror}") from error
    put(f"logged in at {found.url} {who}; stored in {path}")
    return 0


def check(found):
    """Who the key is, in words. Raises Plain when the ledger is not there or does not know the key."""
    try:
        answer = Ledger(found.url, found.key).ask("GET", "/api/me")
    except Denied as error:
        if error.status == 403:
            # Box keys may not ask who they are; that they are not told 401 is all there is to check.
            return "with a box key"
        raise Plain(f"the ledger at {found.url} does not know this key ({error}); nothing was stored") from error
    except Later as error:
        raise Plain(f"the ledger at {found.url} did not answer ({error}); nothing was stored") from error
    except Refused as error:
        raise Plain(f"{found.url} is no LoRA Ledger ({error}); nothing was stored") from error
    user = answer.get("user") if isinstance(answer.get("user"), dict) else answer
    name = user.get("name")
    if not name:
        raise Plain(f"{found.url} answers, but not as a LoRA Ledger does; nothing was stored")
    return f"as {terminal.scrub(str(name))}" + (f" ({user['role']})" if user.get("role") else "")
