"""Reads tqdm progress lines.

steps:  26%|█▎   | 1985/7650 [33:07<1:34:33,  1.00s/it, avr_loss=0.0928]

In a locale that is not UTF-8 the bar is drawn with `#` and digits, so the glyphs are never looked at.
"""

import re

_LINE = re.compile(
    r"^(?P<desc>[^|]*?):?\s*(?P<percent>\d+)%\|[^|]*\|\s*(?P<step>\d+)/(?P<total>\d+)\s*"
    # Negative where the clock was set back meanwhile.
    r"\[(?P<elapsed>-?[\d:]+)<(?P<left>-?[\d:?]+(?: day[s]?, [\d:]+)?),\s*(?P<rate>[^,\]]*)(?:,\s*(?P<postfix>[^\]]*))?\]"
)
_VALUE = re.compile(
    r"([A-Za-z_][\w./ ]*?)\s*[=:]\s*([-+]?(?:nan|inf(?:inity)?|\d[\d.]*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?))(?=[,\s]|$)",
    re.I,
)


class Bar:
    """One state of a progress bar. `eta` is in seconds or None; `values` are the numbers of its postfix."""

    __slots__ = ("desc", "step", "total", "eta", "values")

    def __init__(self, desc, step, total, eta, values):
        self.desc = desc
        self.step = step
        self.total = total
        self.eta = eta
        self.values = values


def _seconds(text):
    total = 0
    for part in text.split(":"):
        if not part.isdigit():
            return None
        total = total * 60 + int(part)
    return total


def read_bar(line):
    """The bar that the line shows, or None when it shows none."""
    if "%|" not in line:
        return None
    match = _LINE.match(line.strip())
    if not match:
        return None
    values = {}
    for name, value in _VALUE.findall(match["postfix"] or ""):
        values[name.strip()] = float(value)
    return Bar(
        match["desc"].strip(), int(match["step"]), int(match["total"]), _seconds(match["left"]), values
    )
