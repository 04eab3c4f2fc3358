"""What the commands share: calls whose failures are one plain line, pages of a list, tables and figures."""

import os
import re
import shutil
import sys
import unicodedata
from datetime import datetime, timezone
from urllib.parse import urlencode

from . import terminal
from .terminal import printable
from .text import clean
from .transport import Denied, Later, Ledger, Refused, Superseded


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Plain(Exception):
    """Ends a command with this one line for the person at the terminal; `code` is the exit code."""

    def __init__(self, text, code=1):
        super().__init__(text)
        self.code = code


class Api:
    """The ledger, asked by a person: every failure is a `Plain` that says what to do about it."""

    def __init__(self, settings, timeout=30.0):
        missing = [n for n, v in (("LEDGER_URL", settings.url), ("LEDGER_KEY", settings.key)) if not v]
        if missing:
            raise Plain(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: "
                "`lora-ledger login` stores them, or set them in the environment"
            )
        self.ledger = Ledger(settings.url, settings.key, timeout)
        self.url = settings.url

    def ask(self, method, path, body=None, headers=None, keep=()):
        """The answer's JSON object; `keep` as for `Ledger.ask`. Raises Plain; its `status` is the HTTP status where there was one."""
        try:
            return self.ledger.ask(method, path, body, headers, keep=keep)
        except Later as error:
            raise _with_status(Plain(f"the ledger at {self.url} did not answer: {error}"), None) from error
        except Denied as error:
            hint = (
                "the key is wrong, expired or revoked; `lora-ledger login` stores another"
                if error.status == 401
                else "this key may not do that (box keys see only their own runs)"
            )
            raise _with_status(Plain(f"{error}: {hint}"), error.status) from error
        except Superseded as error:
            raise _with_status(Plain(str(error)), 409) from error
        except Refused as error:
            raise _with_status(Plain(str(error)), error.status) from error

    def get(self, path, **query):
        """GET with the query's values that are not None."""
        given = {k: v for k, v in query.items() if v is not None}
        return self.ask("GET", path + ("?" + query_of(given) if given else ""))

    def pages(self, path, limit=None, **query):
        """Items of a list, page after page, at most `limit`."""
        cursor = None
        while limit is None or limit > 0:
            size = 200 if limit is None else min(200, limit)
            answer = self.get(path, limit=size, cursor=cursor, **query)
            items = answer.get("items")
            if not isinstance(items, list):
                raise Plain("the ledger's answer is no list; is the address right?")
            if not all(isinstance(item, dict) for item in items):
                raise Plain("the ledger's answer is no list of objects; is the address right?")
            yield from items[:limit]
            if limit is not None:
                limit -= len(items)
            cursor = answer.get("next_cursor")
            if not cursor:
                return


def query_of(values):
    """A URL's query. Words of a command line that are no UTF-8 would break it."""
    return urlencode({name: clean(value) for name, value in values.items()})


def _with_status(plain, status):
    plain.status = status
    return plain


def put(text="", file=None):
    """Prints a line; characters that the terminal's encoding lacks become `?`. The key is never printed.

    Control characters other than tabs and line ends, which could steer a terminal, become blanks.
    """
    stream = file or sys.stdout
    text = _CONTROLS.sub(" ", terminal.scrub(str(text)))
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def figure(value):
    """A number as people read it: 0.0931, 1e-04, 32; None is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return printable(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def length(seconds):
    """Seconds as 1h05m, 3m20s, 12s; None is a dash."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def moment(text):
    """An ISO 8601 UTC time in this machine's own zone, to the minute; a dash for none."""
    try:
        then = datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        return then.astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "-"


def width_of(text):
    """Columns that the text takes in a terminal; East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text, width):
    """The text cut or filled to exactly `width` columns."""
    if width_of(text) > width:
        kept = ""
        for c in text:
            if width_of(kept + c) > width - 1:
                break
            kept += c
        text = kept + "~"
    return text + " " * max(0, width - width_of(text))


def table(heads, rows, flexible=1):
    """Lines of an aligned table. Column `flexible` is cut where the whole would be wider than the terminal."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max([width_of(head), *(width_of(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    terminal = shutil.get_terminal_size((120, 24)).columns if _wide_known() else None
    if terminal:
        over = sum(widths) + 2 * (len(widths) - 1) - terminal
        if over > 0:
            widths[flexible] = max(8, widths[flexible] - over)
        over = sum(widths) + 2 * (len(widths) - 1) - terminal
    lines = []
    for row in [list(heads), *cells]:
        line = "  ".join(fit(cell, width) for cell, width in zip(row, widths)).rstrip()
        lines.append(fit(line, terminal).rstrip() if terminal and width_of(line) > terminal else line)
    return lines


def _wide_known():
    """Piped output is never cut, unless COLUMNS says how wide it may be."""
    return bool(os.environ.get("COLUMNS")) or (sys.stdout is not None and sys.stdout.isatty())
