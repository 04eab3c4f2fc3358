"""What YAML's scalars mean: the values of plain words, the escapes of quoted texts, and tags.

Words are those of YAML 1.1 as PyYAML's safe_load reads them (yaml.org/type), which trainers use, but for two things
that trainers add to it: a number may be written `1e-4` or `-.5` as in YAML 1.2 (OmegaConf and ai-toolkit read it so,
axolotl turns the text into a number afterwards), and a date stays the text that it is, since no setting is one.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import NoYamlError
from .language import t
from .text import repaired

_INT = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*(?::[0-5]?[0-9])*)", re.ASCII
)  # 0b101, 0xff, 017, 1_000, 1:30
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*(?:(?::[0-5]?[0-9])*\.[0-9_]*(?:e[-+]?[0-9]+)?|e[-+]?[0-9]+)"
    r"|[-+]?\.[0-9][0-9_]*(?:e[-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    re.ASCII,
)
_EXPONENT = re.compile(r"(?<=[0-9._])E(?=[-+0-9])")
_BOOL = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_WORDS: dict[str, Any] = {"": None, "~": None}
for _word, _value in {**_BOOL, "null": None}.items():
    _WORDS.update(dict.fromkeys((_word, _word.capitalize(), _word.upper()), _value))
# No setting has a longer number, and reading one takes more than linear time.
LONGEST_NUMBER = 1000
TAG = "tag:yaml.org,2002:"

_ESCAPED = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "\\": "\\", "/": "/", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})"
    r"|([\n\u2028\u2029])[ \t]*((?:[\n\u2028\u2029][ \t]*)*)|(.))",
    re.S,
)
_FOLD = re.compile(r"(?<![ \t])[ \t]*([\n\u2028\u2029])[ \t]*((?:[\n\u2028\u2029][ \t]*)*)")
_BLANKS = re.compile(r"[ \t]+")


def plain(text: str) -> Any:
    """The value of a plain scalar: null, a boolean, a number or the text. Raises NoYamlError."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "-+."):
        return text
    if len(text) > LONGEST_NUMBER:
        if text.strip("+-_0123456789.") == "":
            raise NoYamlError(t("a number has more than {longest_number} characters", longest_number=LONGEST_NUMBER))
        return text
    if _INT.fullmatch(text):
        return _whole(text)
    exact = _EXPONENT.sub("e", text)
    return _real(exact) if _FLOAT.fullmatch(exact) else text


def _sixties(text: str, number: type) -> Any:
    value: Any = 0
    for part in text.split(":"):
        value = value * 60 + number(part)
    return value


def _whole(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits[:1] == "-" else 1
    digits = digits.lstrip("+-") if digits[:1] in ("-", "+") else digits
    try:
        if digits[:2] in ("0b", "0x"):
            return sign * int(digits[2:], 2 if digits[1] == "b" else 16)
        if ":" in digits:
            return sign * _sixties(digits, int)
        return sign * int(digits, 8 if digits[:1] == "0" and digits != "0" else 10)
    except ValueError:
        raise NoYamlError(t("a number has no digits, or some that its base does not have")) from None


def _real(text: str) -> float:
    digits = text.replace("_", "").lower()
    sign = -1.0 if digits[:1] == "-" else 1.0
    digits = digits[1:] if digits[:1] in ("-", "+") else digits
    try:
        if digits in (".inf", ".nan"):
            return sign * float(digits[1:])
        return sign * (_sixties(digits, float) if ":" in digits else float(digits))
    except ValueError:
        raise NoYamlError(t("a number cannot be read")) from None


def tagged(tag: str, text: str) -> Any:
    """The value of a scalar with a tag. Raises NoYamlError for tags that make no text, number, boolean or null."""
    kind = tag[len(TAG) :] if tag.startswith(TAG) else None
    if tag == "!":
        return plain(text)
    if kind in ("str", "timestamp"):
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOL:
        return _BOOL[text.lower()]
    if kind in ("int", "float") and 0 < len(text) <= LONGEST_NUMBER:
        return _whole(text) if kind == "int" else _real(text)
    if kind in ("bool", "int", "float"):
        raise NoYamlError(t("what the tag !!{kind} stands before is none", kind=kind))
    raise NoYamlError(unknown(tag))


def unknown(tag: str) -> str:
    """Why a tag is refused."""
    if tag.startswith(TAG + "python/"):
        return t(
            "the tag !!{tag} would run Python code or build its objects, and is not read", tag=tag[len(TAG) :][:60]
        )
    name = f"!!{tag[len(TAG) :]}" if tag.startswith(TAG) else tag
    return t("the tag {name} is none that settings have", name=name[:60])


def _folded(match: re.Match[str]) -> str:
    """Line breaks within a quoted text: one is a space, of several the first is dropped."""
    more = _BLANKS.sub("", match[2])
    if match[1] != "\n":
        return match[1] + more
    return more or " "


def single(text: str) -> str:
    """The text between single quotes."""
    text = text.replace("''", "'")
    return text if not _breaks(text) else _FOLD.sub(_folded, text)


def _breaks(text: str) -> bool:
    return "\n" in text or "\u2028" in text or "\u2029" in text


def double(text: str) -> str:
    """The text between double quotes, its escapes resolved. Raises NoYamlError for one that is none."""
    if "\\" not in text:
        return text if not _breaks(text) else _FOLD.sub(_folded, text)
    parts: list[str] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        before = text[at : match.start()]
        parts.append(_FOLD.sub(_folded, before) if _breaks(before) else before)
        parts.append(_escape(match))
        at = match.end()
    rest = text[at:]
    parts.append(_FOLD.sub(_folded, rest) if _breaks(rest) else rest)
    # JSON writes a character beyond U+FFFF as two escapes.
    return repaired("".join(parts))


def _escape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code:
        if int(code, 16) > 0x10FFFF:
            raise NoYamlError(t("there is no character \\U{code}", code=code))
        return chr(int(code, 16))
    if match[4]:
        return _BLANKS.sub("", match[5])
    if match[6] not in _ESCAPED:
        raise NoYamlError(
            t(
                "\\{letter} is no escape (in double quotes write paths with / or \\\\, or use single quotes)",
                letter=match[6],
            )
        )
    return _ESCAPED[match[6]]
