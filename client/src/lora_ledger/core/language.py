"""The language of what people read: English, as the code says it, or Chinese where the locale is Chinese.

`t` makes a sentence. As a text it is English, so that journals, JSON and the ledger hold the same everywhere; what
prints for people (core/output.py, core/terminal.py, the help of commands) shows it by `shown`.
"""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Iterable
from typing import Any, Callable

# Chinese text has these; an encoding without them cannot show it.
_SAMPLE = "训练，。：“”（）"


class Sentence(str):
    """A text in English that can say itself in Chinese."""

    _say: Callable[[], str] | None

    def __new__(cls, english: str, say: Callable[[], str] | None = None) -> Sentence:
        sentence = super().__new__(cls, english)
        sentence._say = say
        return sentence

    def __str__(self) -> str:
        # Without this, str() of an exception would give a text that has forgotten its Chinese.
        return self

    def chinese(self) -> str:
        return self._say() if self._say else self[:]

    def __add__(self, other: str) -> Sentence:
        return join_texts("", (self, other))

    def __radd__(self, other: str) -> Sentence:
        return join_texts("", (other, self))

    def map(self, change: Callable[[str], str]) -> Sentence:
        """The sentence changed in both languages."""
        return Sentence(change(self[:]), lambda: change(self.chinese()))


def t(english: str, **fields: Any) -> Sentence:
    """A sentence for people with its {fields} filled in. Its Chinese is in lora_ledger/chinese, under `english`."""
    return Sentence(
        english.format(**fields),
        lambda: _translation(english).format(**{name: _chinese(value) for name, value in fields.items()}),
    )


def known(text: str) -> str:
    """A text that may be a sentence of this client without fields, such as one read back from a journal."""
    return Sentence(text, lambda: _translation(text))


def join_texts(separator: str, parts: Iterable[object]) -> Sentence:
    """Sentences and other texts in a row. In Chinese the separator is the Chinese one: "; " → "；"."""
    kept = list(parts)
    return Sentence(
        separator.join(str(part) for part in kept),
        lambda: _translation(separator).join(str(_chinese(part)) for part in kept),
    )


def shown(text: object, encoding: str | None = None) -> str:
    """The text in the reader's language, as far as `encoding`, that of what it is printed to, has its characters."""
    if isinstance(text, BaseException):
        text = str(text)
    if isinstance(text, Sentence):
        return text.chinese() if is_chinese() and can_show(encoding) else text[:]
    return str(text)


def is_chinese() -> bool:
    """Whether people here read Chinese: LORA_LEDGER_LANG says it, or the locale as gettext reads it, or Windows."""
    own = os.environ.get("LORA_LEDGER_LANG", "").strip().lower()
    if own:
        return own.startswith("zh")
    named = next((value for value in map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG")) if value), None)
    # A script that sets LC_ALL=C to read what a command prints gets English, whatever LANGUAGE says.
    if named in ("C", "POSIX"):
        return False
    for choice in os.environ.get("LANGUAGE", "").split(":"):
        if choice.lower().startswith(("zh", "en")):
            return choice.lower().startswith("zh")
    if named or sys.platform != "win32":
        return (named or "").lower().startswith("zh")
    return _windows_language().startswith("zh")


def _windows_language() -> str:
    """The language of this user's Windows, such as zh_CN; empty where Windows does not say it."""
    try:
        import ctypes

        number = int(ctypes.windll.kernel32.GetUserDefaultUILanguage())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
    except (ImportError, AttributeError, OSError):
        return ""
    return locale.windows_locale.get(number, "").lower()


def can_show(encoding: str | None) -> bool:
    """Whether an encoding has Chinese characters."""
    try:
        _SAMPLE.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _translation(english: str, system: bool = False) -> str:
    """The Chinese of a sentence, or of the operating `system`'s words for an error; else the text itself."""
    try:
        # Read at the first sentence that is shown in Chinese, and never by those who read English.
        from ..chinese import SENTENCES, SYSTEM
    except ImportError:
        return english
    return (SYSTEM if system else SENTENCES).get(english, english)


def _chinese(value: Any) -> Any:
    if isinstance(value, BaseException):
        value = str(value)
    if isinstance(value, Sentence):
        return value.chinese()
    return _translation(value, system=True) if isinstance(value, str) else value
