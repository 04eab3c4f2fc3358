"""The command that a box's owner lets queued runs start: words with placeholders, filled without a shell between."""

import re
import shlex

from ..core.api import Plain
from .prepare import KINDS

PLACEHOLDERS = {
    "config": "the run's configuration, written to a file",
    "dataset": "the run's separate dataset file, where it has one",
    "resume": "the training state that an earlier attempt left, or else its newest checkpoint",
    "state": "the training state alone",
    "checkpoint": "the newest checkpoint alone",
    "task": "the task's number",
    "attempt": "the attempt's number",
    "gpu": "the GPU's number (with --gpus)",
    "work": "a folder of this attempt's own",
}
# Splitting takes time with the square of the longest word.
LONGEST = 20_000
_NAMED = re.compile(r"\{([A-Za-z_]\w*)\}")


def split(text):
    """The words of a command line as a POSIX shell would split them. Raises Plain."""
    if len(text) > LONGEST:
        raise Plain(f"the command has more than {LONGEST} characters", 2)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Plain(f"the command {text!r} cannot be split into words ({error}); check its quotes", 2) from error
    if not words:
        raise Plain("the command is empty", 2)
    return words


class Template:
    """A checked command. What fills it comes from the ledger, so that a value is one word or part of one, never more."""

    def __init__(self, text):
        self.words = split(text)
        named = {name for word in self.words for name in _NAMED.findall(word)}
        unknown = sorted(named - set(PLACEHOLDERS))
        if unknown:
            raise Plain(
                f"--exec names {{{unknown[0]}}}, which is no placeholder; there are "
                + ", ".join(f"{{{name}}}" for name in PLACEHOLDERS),
                2,
            )
        if _NAMED.search(self.words[0]):
            raise Plain(
                "--exec must begin with the program itself, not with a placeholder: this box decides what runs", 2
            )
        if "config" not in named:
            raise Plain("--exec must hold {config}, where the run's configuration goes", 2)
        self.earlier = sorted(named & set(KINDS))
        self.dataset = "dataset" in named

    def fill(self, values):
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
