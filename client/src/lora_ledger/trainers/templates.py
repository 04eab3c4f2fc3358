"""Texts with fields in braces: lines that a trainer prints, and names of the files that it writes.

`{step}`, `{total}`, `{epoch}` and any other name in braces stand for a number, `{}` for anything. In a line, one space
stands for any run of spaces. A line is tried at a few places where a template's first words stand, and of a `{}` at a
few where what follows stands, so that no text takes more than linear time; a template holds at most two `{}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FIELD = re.compile(r"\{(\w*)\}")
_NUMBER = re.compile(r"[-+]?(?:nan|inf(?:inity)?|(?:\d[\d.]{0,40}|\.\d{1,40})(?:e[-+]?\d{1,5})?)", re.I)
_COUNT = re.compile(r"\d{1,15}(?![\d.])")
COUNTS = ("step", "total", "total_epochs")
# Lines of trainers are far shorter. Beyond, nothing is read.
LONGEST = 4000
# So many places of a line are tried where a template's first words stand.
MOST_PLACES = 20


class Line:
    """A template of a line. `values(line)` are the numbers of its fields, or None where the line is another."""

    def __init__(self, template: str) -> None:
        parts = FIELD.split(" ".join(template.split()))
        self._first = parts[0]
        # (field, the text behind it); "" is a field of anything.
        self._fields = list(zip(parts[1::2], parts[2::2]))

    def values(self, line: str) -> dict[str, float] | None:
        """{field: number}, or None."""
        if len(line) > LONGEST:
            return None
        line = " ".join(line.split())
        at = line.find(self._first)
        for _ in range(MOST_PLACES):
            if at < 0:
                return None
            found = self._read(line, at + len(self._first))
            if found is not None:
                return found
            at = line.find(self._first, at + 1)
        return None

    def _read(self, line: str, at: int, field: int = 0) -> dict[str, float] | None:
        """The numbers of the fields from the given one on, whose text begins at `at`."""
        found: dict[str, float] = {}
        for index in range(field, len(self._fields)):
            name, behind = self._fields[index]
            if not name:
                for _ in range(MOST_PLACES if behind else 0):
                    at = line.find(behind, at)
                    if at < 0:
                        return None
                    at += len(behind)
                    rest = self._read(line, at, index + 1)
                    if rest is not None:
                        return {**found, **rest}
                return None if behind else found
            while line.startswith(" ", at):
                at += 1
            match = (_COUNT if name in COUNTS else _NUMBER).match(line, at)
            try:
                found[name] = float(match[0]) if match else float("x")
            except ValueError:
                # None, or 1.2.3.
                return None
            at = match.end() if match else at
            # Spaces before what follows count for nothing: `1/ 10`, `loss 0.5 |`.
            at += line.startswith(" " + behind, at) and not line.startswith(behind, at)
            if not line.startswith(behind, at):
                return None
            at += len(behind)
        return found


class FileName:
    """A template of a path below a folder, with forward slashes. `values(path)` are its fields, or None."""

    def __init__(self, template: str, texts: Mapping[str, str]) -> None:
        """`texts` are what fields that are no numbers stand for, such as `{name}`."""
        pattern = ""
        seen: set[str] = set()
        parts = FIELD.split(template)
        for index, part in enumerate(parts):
            if index % 2 == 0:
                pattern += re.escape(part)
            elif part in texts:
                pattern += re.escape(texts[part])
            elif not part or part in seen:
                pattern += "[^/]{0,255}"
            else:
                seen.add(part)
                pattern += rf"(?P<{part}>\d{{1,15}})"
        self._pattern = re.compile(pattern)
        self.depth = template.count("/")

    def values(self, path: str) -> dict[str, int] | None:
        """{field: number}, or None where the path is another."""
        match = self._pattern.fullmatch(path)
        return {name: int(value) for name, value in match.groupdict().items()} if match else None
