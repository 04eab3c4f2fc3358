"""The command that a box's owner lets queued runs start: words with placeholders, filled without a shell between."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ..core.errors import CommandError
from ..core.language import join_texts, t

PLACEHOLDERS = {
    "config": t("the run's configuration, written to a file"),
    "dataset": t("the run's separate dataset file, where it has one"),
    "resume": t("the training state that an earlier attempt left, or else its newest checkpoint"),
    "state": t("the training state alone"),
    "checkpoint": t("the newest checkpoint alone"),
    "task": t("the task's number"),
    "attempt": t("the attempt's number"),
    "gpu": t("the GPU's number (with --gpus)"),
    "work": t("a folder of this attempt's own"),
}
# What each placeholder takes of an earlier attempt, the first kind that there is.
KINDS = {"resume": ("state", "checkpoint"), "state": ("state",), "checkpoint": ("checkpoint",)}
# Splitting takes time with the square of the longest word.
LONGEST = 20_000
_NAMED = re.compile(r"\{([A-Za-z_]\w*)\}")


def split(text: str) -> list[str]:
    """The words of a command line as a POSIX shell would split them. Raises CommandError."""
    if len(text) > LONGEST:
        raise CommandError(t("the command has more than {longest} characters", longest=LONGEST), 2)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CommandError(
            t("the command {text!r} cannot be split into words ({error}); check its quotes", text=text, error=error), 2
        ) from error
    if not words:
        raise CommandError(t("the command is empty"), 2)
    return words


class Template:
    """A checked command. What fills it comes from the ledger, so that a value is one word or part of one, never
    more."""

    def __init__(self, text: str) -> None:
        self.words = split(text)
        named = {name for word in self.words for name in _NAMED.findall(word)}
        unknown = sorted(named - set(PLACEHOLDERS))
        if unknown:
            raise CommandError(
                t(
                    "--exec names {unknown}, which is no placeholder; there are {known}",
                    unknown=f"{{{unknown[0]}}}",
                    known=join_texts(", ", (f"{{{name}}}" for name in PLACEHOLDERS)),
                ),
                2,
            )
        if _NAMED.search(self.words[0]):
            raise CommandError(
                t("--exec must begin with the program itself, not with a placeholder: this box decides what runs"), 2
            )
        if "config" not in named:
            raise CommandError(t("--exec must hold {{config}}, where the run's configuration goes"), 2)
        self.earlier = sorted(named & set(KINDS))
        self.dataset = "dataset" in named

    def fill(self, values: dict[str, Any]) -> list[str]:
        """The command's words. A word whose value is None is left out, with the option before it."""
        filled = []
        for word in self.words:
            named = _NAMED.findall(word)
            if any(values.get(name) is None for name in named):
                if word == f"{{{named[0]}}}" and re.fullmatch(r"--?[^=]+", filled[-1]):
                    filled.pop()
                continue
            filled.append(_NAMED.sub(lambda match: str(values[match[1]]), word))
        return filled
