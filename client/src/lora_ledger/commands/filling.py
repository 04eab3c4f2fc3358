"""Which `[redacted]` of a run's files and command get their secret back, and from which variable of this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..core import withhold
from ..core.language import t
from ..core.redact import MARK

_NAME = re.compile(r"[A-Za-z][\w.-]{0,99}")
_MARK = MARK.encode()


@dataclass(frozen=True)
class Mark:
    """A mark that is the whole value of a secret key: its first byte (or the word of a command), and the variable."""

    at: int
    variable: str
    typed: bool


def variable_of(name: str) -> str:
    """The variable that fills a key: WANDB_API_KEY for wandb_api_key, hf-token's is HF_TOKEN."""
    return re.sub(r"\W", "_", name.rpartition(".")[2].lstrip("-")).upper()


def _marks(listed: Any) -> Iterator[Mark]:
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict):
            continue
        at, name = item.get("at"), item.get("name")
        if type(at) is int and at >= 0 and isinstance(name, str) and _NAME.fullmatch(name):
            yield Mark(at, variable_of(name), item.get("typed") is not None)


def marks_in_file(listed: Any, data: bytes) -> list[Mark]:
    """The marks that the ledger lists of a file, in order, where they are in its bytes indeed."""
    found = {mark.at: mark for mark in _marks(listed) if data[mark.at : mark.at + len(_MARK)] == _MARK}
    return [found[at] for at in sorted(found)]


def marks_in_command(listed: Any, command: list[str]) -> list[Mark]:
    """The same of a command, whose marks are the ends of words."""
    found = {mark.at: mark for mark in _marks(listed) if mark.at < len(command) and command[mark.at].endswith(MARK)}
    return [found[at] for at in sorted(found)]


@dataclass
class Filling:
    """What may be filled. `own`: the run is the key's own user's; `allowed`: names that the owner of this box allowed.

    `values` are the variables' values, `unset` the variables that are not set here, `refused` those that another user's
    run asks for and that nobody allowed it, `left` a line for each mark that stays as it is.
    """

    own: bool
    allowed: frozenset
    key: str | None
    values: dict = field(default_factory=dict)
    unset: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    left: list = field(default_factory=list)

    def look(self, name: str, marks: Iterable[Mark], count: int) -> None:
        """Looks at the marks of a file or command, in which `[redacted]` stands `count` times in all."""
        filled = 0
        for variable in dict.fromkeys(mark.variable for mark in marks):
            mine = [mark for mark in marks if mark.variable == variable]
            # What the submitter typed may ask for anything: only the ledger's own marks count in another user's run.
            made = mine if self.own else [mark for mark in mine if not mark.typed]
            if variable.startswith("LEDGER_") or not withhold.is_secret_name(variable) or not made:
                continue
            filled += len(made)
            if not self.own and variable not in self.allowed:
                _add(self.refused, variable)
            elif not withhold.value_of(variable):
                _add(self.unset, variable)
            elif self.key and self.key in (withhold.value_of(variable) or ""):
                self.left.append(t("{variable} holds the key of this box, which no trainer gets", variable=variable))
            else:
                self.values[variable] = withhold.value_of(variable)
        if count > filled:
            self.left.append(
                t(
                    "{name} keeps [redacted] in {count} place{s}, where it was typed or is no whole value of a secret "
                    "key",
                    name=name,
                    count=count - filled,
                    s="s" if count - filled > 1 else "",
                )
            )

    def fills(self, mark: Mark) -> bool:
        """Whether a mark gets its value."""
        return mark.variable in self.values and (self.own or not mark.typed)

    def know(self) -> None:
        """Makes the values known, so that none leaves this machine again."""
        withhold.know(self.values, filled=True)

    def explain(self) -> Iterator[str]:
        """What has to be typed before all is filled, as lines."""
        if self.refused:
            options = " ".join(f"--allow-secret {name}" for name in self.refused)
            yield t(
                "another user's run asks for {refused}, and only `{options}` here allows that",
                refused=", ".join(self.refused),
                options=options,
            )
        for name in self.unset:
            yield t("set {name} (or LEDGER_SECRET_{name}) in the environment", name=name)


def _add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def allowed_names(names: list[str]) -> frozenset[str]:
    """The names of --allow-secret. Raises ValueError for one that no run may have."""
    for name in names or []:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(t("--allow-secret takes a variable's name such as HF_TOKEN, not {name!r}", name=name))
        if name.upper().startswith("LEDGER_"):
            raise ValueError(t("--allow-secret {name}: what begins with LEDGER_ is given to no run", name=name))
    return frozenset(names or [])


def fill_file(data: bytes, marks: Iterable[Mark], filling: Filling) -> bytes:
    """The bytes with the values put in, written as the quotes around each mark ask for."""
    parts, last = [], 0
    for mark in marks:
        if not filling.fills(mark):
            continue
        value = filling.values[mark.variable]
        start, end = mark.at, mark.at + len(_MARK)
        quote = data[start - 1 : start] if data[start - 1 : start] == data[end : end + 1] else b""
        if quote == b'"':
            text = json.dumps(value, ensure_ascii=False)[1:-1]
        elif quote == b"'" and re.fullmatch(r"[^'\n\r]*", value):
            text = value
        else:
            # No quotes, or such as cannot hold this value.
            text = json.dumps(value, ensure_ascii=False)
            start, end = (start - 1, end + 1) if quote == b"'" else (start, end)
        parts += [data[last:start], text.encode("utf-8", "surrogateescape")]
        last = end
    return b"".join(parts) + data[last:]


def fill_command(command: list[str], marks: Iterable[Mark], filling: Filling) -> list[str]:
    """The command with the values put in."""
    words = list(command)
    for mark in marks:
        if filling.fills(mark):
            words[mark.at] = words[mark.at][: -len(MARK)] + filling.values[mark.variable]
    return words
