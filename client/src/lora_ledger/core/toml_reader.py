"""Reads the part of TOML that trainers' configuration files use, for Pythons without tomllib (before 3.11).

Only used to find folders and names; the file itself always goes to the ledger as it is.
"""

# Builds values of any kind, whose parts have no type that a checker could know.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import importlib
import re
from re import Match
from typing import Any

from .errors import NoTomlError
from .language import t
from .types import as_object

try:
    # Python 3.11 and newer.
    tomllib: Any = importlib.import_module("tomllib")
except ImportError:
    tomllib = None

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_WORD = re.compile(r"[^\s,\]\}#]+")
_TOKEN = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'|[ \t]+|.""", re.S)
_SPACES = re.compile(r"[ \t]*")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\", "e": "\x1b"}


# Configurations are far below these. Python's own reader takes time with the square of a name's parts.
LIMIT = 1_000_000
DEPTH = 60
MOST_PARTS = 64
LONGEST_WORD = 200


def read_toml(text: str) -> dict[str, Any]:
    """The document as nested dicts. Raises NoTomlError."""
    if len(text) > LIMIT:
        raise NoTomlError(t("it has more than {limit} characters", limit=LIMIT))
    if tomllib is None:
        return read_subset(text)
    text = text.replace("\r\n", "\n")
    for line in text.split("\n"):
        if line.count(".") > MOST_PARTS and _long_name(line):
            raise NoTomlError(t("a name has more than {most_parts} parts", most_parts=MOST_PARTS))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoTomlError(str(error)) from error


def _long_name(line: str) -> bool:
    """Whether the line holds a dotted name of more parts than any has."""
    parts, in_name = 0, False
    for token in _TOKEN.finditer(line):
        text = token[0]
        if text == "." and in_name:
            parts, in_name = parts + 1, False
            if parts > MOST_PARTS:
                return True
        elif text == "." or not (text.isspace() or text[0] in "\"'-_" or text[0].isalnum()):
            parts, in_name = 0, False
        elif not text.isspace():
            parts, in_name = (0 if in_name else parts), True
    return False


def read_subset(text: str) -> dict[str, Any]:
    """Tables, arrays of tables, strings of all four kinds, numbers, booleans, arrays, inline tables, comments."""
    text = text.replace("\r\n", "\n")
    document = {}
    table = document
    at = _skip(text, 0)
    while at < len(text):
        if text[at] == "[":
            is_array = text.startswith("[[", at)
            close = "]]" if is_array else "]"
            parts, at = _key(text, at + len(close))
            if not text.startswith(close, at):
                raise _wrong(text, at)
            at = _line_end(text, at + len(close))
            table = _open_table(document, parts, is_array)
        else:
            parts, at = _key(text, at)
            at = _put(table, parts, text, at, 0)
            at = _line_end(text, at)
    return document


def _wrong(text: str, at: int) -> NoTomlError:
    line = text.count("\n", 0, at) + 1
    return NoTomlError(t("line {line}: {reason}", line=line, reason=text[at : at + 80].partition("\n")[0]))


def _key(text: str, at: int) -> tuple[list[str], int]:
    """(the parts of a dotted name, where it ends with its spaces). Raises NoTomlError."""
    parts = []
    while True:
        at = _past_spaces(text, at)
        if text[at : at + 1] == '"':
            match = _BASIC.match(text, at)
            part = _unescape(match[1]) if match else None
        elif text[at : at + 1] == "'":
            match = _LITERAL.match(text, at)
            part = match[1] if match else None
        else:
            match = _BARE.match(text, at)
            part = match[0] if match else None
        if match is None or part is None or len(parts) >= MOST_PARTS:
            raise _wrong(text, at)
        parts.append(part)
        at = _past_spaces(text, match.end())
        if text[at : at + 1] != ".":
            return parts, at
        at += 1


def _put(table: dict[str, Any], parts: list[str], text: str, at: int, depth: int) -> Any:
    """Reads `= value` into the table under the name; where it ends."""
    if text[at : at + 1] != "=":
        raise _wrong(text, at)
    value, end = _value(text, at + 1, depth)
    for part in parts[:-1]:
        inner = as_object(table.setdefault(part, {}))
        if inner is None:
            raise NoTomlError(t("{name} is no table", name=part))
        table = inner
    table[parts[-1]] = value
    return end


def _open_table(document: dict[str, Any], parts: list[str], is_array: bool) -> Any:
    target = document
    for part in parts[:-1] if is_array else parts:
        target = target.setdefault(part, {})
        if isinstance(target, list):
            target = target[-1]
        if not isinstance(target, dict):
            raise NoTomlError(t("{name} is no table", name=part))
    if not is_array:
        return target
    rows = target.setdefault(parts[-1], [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows[-1:]):
        raise NoTomlError(t("{parts} is both a table and an array", parts=parts[-1]))
    rows.append({})
    return rows[-1]


def _skip(text: str, at: int) -> int:
    """Where something other than spaces, line ends and comments begins; the text's end where nothing does."""
    while at < len(text):
        if text[at] in " \t\n":
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            return at
    return at


def _past_spaces(text: str, at: int) -> int:
    """Where the spaces that begin at `at` end."""
    match = _SPACES.match(text, at)
    return match.end() if match else at


def _line_end(text: str, at: int) -> int:
    """Where the next line with something on it begins; only a comment may stand before. Raises NoTomlError."""
    at = _past_spaces(text, at)
    if at < len(text) and text[at] not in "#\n":
        raise _wrong(text, at)
    return _skip(text, at)


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    """(value, where it ends). Raises NoTomlError."""
    if depth > DEPTH:
        raise NoTomlError(t("nested too deeply"))
    at = _past_spaces(text, at)
    for quote in ('"' * 3, "'" * 3):
        if text.startswith(quote, at):
            end = text.find(quote, at + 3)
            if end < 0:
                raise NoTomlError(t("the value never ends"))
            inner = text[at + 3 : end]
            inner = inner[1:] if inner.startswith("\n") else inner
            return (_unescape(inner) if quote[0] == '"' else inner), end + 3
    first = text[at : at + 1]
    if first in ('"', "'"):
        match = (_BASIC if first == '"' else _LITERAL).match(text, at)
        if not match:
            raise NoTomlError(t("a string without an end"))
        return (_unescape(match[1]) if first == '"' else match[1]), match.end()
    if first == "[":
        values = []
        at = _skip(text, at + 1)
        while text[at : at + 1] != "]":
            value, at = _value(text, at, depth + 1)
            values.append(value)
            at = _next(text, at, "]")
        return values, at + 1
    if first == "{":
        table = {}
        at = _skip(text, at + 1)
        while text[at : at + 1] != "}":
            parts, at = _key(text, at)
            at = _put(table, parts, text, at, depth + 1)
            at = _next(text, at, "}")
        return table, at + 1
    match = _WORD.match(text, at)
    if not match:
        raise NoTomlError(t("a value is missing"))
    return _plain(match[0]), match.end()


def _next(text: str, at: int, close: str) -> int:
    """Where the next part of an array or inline table begins, or its end stands. Raises NoTomlError."""
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != close:
        raise NoTomlError(t("the value never ends") if at >= len(text) else t("an array or table without commas"))
    return at


def _plain(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    if len(word) > LONGEST_WORD:
        raise NoTomlError(t("{word!r} is no value", word=word[:80]))
    digits = word.replace("_", "")
    try:
        return int(digits, 0) if not re.match(r"^[-+]?0\d", digits) else int(digits)
    except ValueError:
        pass
    try:
        return float(digits)
    except ValueError:
        pass
    if re.match(r"^\d{4}-\d\d-\d\d|^\d\d:\d\d", word):
        return word
    raise NoTomlError(t("{word!r} is no value", word=word[:80]))


def _unescape(text: str) -> str:
    def one(match: Match[str]) -> str:
        code = match[1]
        if code[0] in "uU" and len(code) > 1:
            number = int(code[1:], 16)
            if number > 0x10FFFF:
                raise NoTomlError(t("\\{code} is no character", code=code))
            return chr(number)
        if code in _ESCAPES:
            return _ESCAPES[code]
        raise NoTomlError(t("\\{code} is no escape", code=code))

    text = re.sub(r"\\[ \t]*\n\s*", "", text)
    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", one, text, flags=re.S)
