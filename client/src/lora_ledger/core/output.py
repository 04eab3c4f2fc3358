"""What commands print: lines, tables, figures, for people and for pipes."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, TextIO

from . import terminal
from .language import shown
from .terminal import printable, width_of

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def put(text: str = "", file: TextIO | None = None) -> None:
    """Prints a line in the reader's language; characters that the terminal's encoding lacks become `?`. The key is
    never printed.

    Control characters other than tabs and line ends, which could steer a terminal, become blanks.
    """
    stream = file or sys.stdout
    text = _CONTROLS.sub(" ", terminal.scrub(shown(text, stream.encoding)))
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")


def prompt_for(prompt: str) -> str:
    """What the person types after a prompt in their language. Raises EOFError where nothing comes."""
    return input(shown(prompt, sys.stdout.encoding))


def figure(value: Any) -> str:
    """A number as people read it: 0.0931, 1e-04, 32; None is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return printable(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def length(seconds: float | None) -> str:
    """Seconds as 1h05m, 3m20s, 12s; None is a dash."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def moment(text: Any) -> str:
    """An ISO 8601 UTC time in this machine's own zone, to the minute; a dash for none."""
    try:
        then = datetime.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        return then.astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "-"


def fit(text: str, width: int) -> str:
    """The text cut or filled to exactly `width` columns."""
    if width_of(text) > width:
        kept = ""
        for c in text:
            if width_of(kept + c) > width - 1:
                break
            kept += c
        text = kept + "~"
    return text + " " * max(0, width - width_of(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], flexible: int = 1) -> list[str]:
    """Lines of an aligned table. Column `flexible` is cut where the whole would be wider than the terminal."""
    encoding = getattr(sys.stdout, "encoding", None)
    heads = [shown(head, encoding) for head in heads]
    cells = [[shown(printable(cell), encoding) for cell in row] for row in rows]
    widths = [max([width_of(head), *(width_of(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    terminal = shutil.get_terminal_size((120, 24)).columns if _wide_known() else None
    if terminal:
        over = sum(widths) + 2 * (len(widths) - 1) - terminal
        if over > 0:
            widths[flexible] = max(8, widths[flexible] - over)
        over = sum(widths) + 2 * (len(widths) - 1) - terminal
    lines: list[str] = []
    for row in [list(heads), *cells]:
        line = "  ".join(fit(cell, width) for cell, width in zip(row, widths)).rstrip()
        lines.append(fit(line, terminal).rstrip() if terminal and width_of(line) > terminal else line)
    return lines


def _wide_known() -> bool:
    """Piped output is never cut, unless COLUMNS says how wide it may be."""
    return bool(os.environ.get("COLUMNS")) or (sys.stdout is not None and sys.stdout.isatty())
