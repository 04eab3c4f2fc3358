"""The command line's parser: argparse, in the reader's language and for terminals of any encoding."""

from __future__ import annotations

import argparse
import sys
from typing import IO, Any

from ..core.language import can_show, is_chinese, known, shown
from ..core.output import width_of


def _encoding() -> str:
    """The poorer encoding of where help and errors are printed to."""
    for stream in (sys.stdout, sys.stderr):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        if not can_show(encoding):
            return encoding
    return "utf-8"


def _say(text: Any) -> Any:
    return shown(text, _encoding()) if isinstance(text, str) else text


def _gettext(english: str) -> str:
    return _say(known(english))


def _ngettext(one: str, many: str, n: int) -> str:
    return _gettext(one if n == 1 else many)


class Form(argparse.RawDescriptionHelpFormatter):
    """Help with descriptions as they are laid out, in the reader's language."""

    def add_usage(self, usage: Any, *rest: Any, **more: Any) -> None:
        super().add_usage(_say(usage), *rest, **more)

    def add_text(self, text: Any) -> None:
        super().add_text(_say(text))

    def start_section(self, heading: Any) -> None:
        super().start_section(_say(heading))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return _say(action.help)

    def _split_lines(self, text: str, width: int) -> list[str]:
        if text.isascii():
            return super()._split_lines(text, width)
        # Chinese has no blanks to break at, and its characters take two columns.
        lines = [""]
        for word in _words(" ".join(text.split())):
            if width_of(lines[-1] + word.rstrip()) > width and lines[-1]:
                lines[-1] = lines[-1].rstrip()
                lines.append("")
            lines[-1] += word
        return lines


def _words(text: str) -> list[str]:
    """What a line may be broken between: words with their blank, and wide characters, each with what closes it."""
    words: list[str] = []
    for c in text:
        is_wide = width_of(c) == 2
        if not words or (c not in "，。；：、）！？”" and c != " " and (is_wide or width_of(words[-1][-1]) == 2)):
            words.append(c)
        elif words[-1].endswith(" ") and c != " ":
            words.append(c)
        else:
            words[-1] += c
    return words


class Parser(argparse.ArgumentParser):
    """A parser whose own words, too, are in the reader's language."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # What gettext would do with a catalogue of files, which a client of one file does not have.
        for name, function in (("_", _gettext), ("ngettext", _ngettext)):
            setattr(argparse, name, function)
        options.setdefault("formatter_class", Form)
        super().__init__(*arguments, **options)

    def error(self, message: str) -> Any:
        message = _say(message)
        if is_chinese() and message.startswith("argument "):
            # Before 3.11 these words of argparse pass no gettext.
            message = _gettext("argument %(argument_name)s: %(message)s").split("%")[0] + message[len("argument ") :]
        super().error(message)

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        stream = file or sys.stderr
        if not message or stream is None:
            return
        try:
            stream.write(message)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(message.encode(encoding, "replace").decode(encoding))


def refusal(text: str) -> argparse.ArgumentTypeError:
    """The error of a value that a flag does not take, in the reader's language: argparse would forget it."""
    return argparse.ArgumentTypeError(_say(text))
