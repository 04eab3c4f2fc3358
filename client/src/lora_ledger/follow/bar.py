"""Reads tqdm progress lines.

steps:  26%|█▎   | 1985/7650 [33:07<1:34:33,  1.00s/it, avr_loss=0.0928]

In a locale that is not UTF-8 the bar is drawn with `#` and digits, so the glyphs are never looked at.
"""

from __future__ import annotations

import re

# Everything is bounded: a line of a trainer may be any 16 kB. `left` is negative where the clock was set back.
_REST = re.compile(
    r"\|[^|]*\|\s{0,8}(?P<step>\d{1,15})/(?P<total>\d{1,15})\s{0,8}"
    r"\[(?P<elapsed>-?[\d:]{1,40})<(?P<left>-?[\d:?]{1,40}(?: days?, [\d:]{1,40})?),\s{0,8}(?P<rate>[^,\]]*)"
    r"(?:,\s{0,8}(?P<postfix>[^\]]*))?\]"
)
_VALUE = re.compile(
    r"\s{0,8}[=:]\s{0,8}([-+]?(?:nan|inf(?:inity)?|(?:\d[\d.]{0,40}|\.\d{1,40})(?:e[-+]?\d{1,5})?))(?=[,\s]|$)", re.I
)
_NAME = re.compile(r"[A-Za-z_]")
LONGEST_NAME = 80
LONGEST_DESC = 300
# So many places of a line are looked at where a bar might begin.
MOST_SIGNS = 8


class Bar:
    """One state of a progress bar. `eta` is in seconds or None; `values` are the numbers of its postfix."""

    __slots__ = ("desc", "step", "total", "eta", "values")

    def __init__(self, desc: str | None, step: int, total: int, eta: float | None, values: dict[str, float]) -> None:
        self.desc = desc
        self.step = step
        self.total = total
        self.eta = eta
        self.values = values


def _seconds(text: str) -> int | None:
    total = 0
    for part in text.split(":"):
        if not part.isdigit():
            return None
        total = total * 60 + int(part)
    return total


def _desc(text: str) -> str | None:
    """What stands before the percentage at the text's end, or None where there is none."""
    bare = text[:-1].rstrip("0123456789")
    if not 0 < len(text) - 1 - len(bare) <= 15:
        return None
    bare = bare.rstrip()
    return (bare[:-1] if bare.endswith(":") else bare).strip()


def _values(text: str) -> dict[str, float]:
    """{name: number} of a postfix such as `lr: 1.0e-04 loss: 0.341` or `loss=0.34, lr=1e-4`."""
    found, before = {}, 0
    for match in _VALUE.finditer(text):
        start = at = match.start()
        while start > before and at - start < LONGEST_NAME and (text[start - 1].isalnum() or text[start - 1] in "_./ "):
            start -= 1
        before = match.end()
        name = _NAME.search(text, start, at)
        try:
            if name:
                found[text[name.start() : at].strip()] = float(match[1])
        except ValueError:
            # 1.2.3
            continue
    return found


def read_bar(line: str) -> Bar | None:
    """The bar that the line shows, or None when it shows none."""
    at = line.find("%|")
    for _ in range(MOST_SIGNS):
        if at < 0:
            return None
        # A description, such as a run's name, may hold the sign itself.
        desc = _desc(line[: at + 1].strip())
        match = _REST.match(line, at + 1) if desc is not None else None
        if match:
            values = _values(match["postfix"] or "")
            return Bar(desc, int(match["step"]), int(match["total"]), _seconds(match["left"]), values)
        at = line.find("%|", at + 1)
    return None


def read_desc(desc: str) -> dict[str, float]:
    """{name: number} of a bar's description, such as `Epoch 1/3, loss: 0.12` or torchtune's `1|10|Loss: 1.23`."""
    return _values(desc) if len(desc) <= LONGEST_DESC else {}
