"""Reads the part of TOML that trainers' configuration files use, for Pythons without tomllib (before 3.11).

Only used to find folders and names; the file itself always goes to the ledger as it is.
"""

import re

try:
    import tomllib
except ImportError:
    tomllib = None

_TABLE = re.compile(r"^\[(\[)?\s*([^\[\]]+?)\s*\](\])?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_.-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=\s*(.*)$""", re.S
)
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\", "e": "\x1b"}


class Unreadable(ValueError):
    """The text is no TOML that this reader knows."""


def read_toml(text):
    """The document as nested dicts. Raises Unreadable."""
    if tomllib is not None:
        try:
            return tomllib.loads(text.replace("\r\n", "\n"))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise Unreadable(str(error)) from error
    return read_subset(text)


def read_subset(text):
    """Tables, arrays of tables, strings of all four kinds, numbers, booleans, arrays, inline tables, comments."""
    document = {}
    table = document
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            match = _TABLE.match(line)
            if not match or bool(match[1]) != bool(match[3]):
                raise Unreadable(f"line {at}: {line[:80]}")
            table = _open_table(document, match[2], bool(match[1]))
            continue
        match = _KEY.match(line)
        if not match:
            raise Unreadable(f"line {at}: {line[:80]}")
        source = match[2]
        while True:
            try:
                value, end = _value(source, 0)
                break
            except EOFError:
                if at >= len(lines):
                    raise Unreadable(f"line {at}: the value never ends") from None
                source += "\n" + lines[at]
                at += 1
            except RecursionError as error:
                raise Unreadable("nested too deeply") from error
        rest = source[end:].strip()
        if rest and not rest.startswith("#"):
            raise Unreadable(f"line {at}: {rest[:80]}")
        parts = _key_parts(match[1])
        target = table
        for part in parts[:-1]:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise Unreadable(f"line {at}: {part} is no table")
        target[parts[-1]] = value
    return document


def _key_parts(text):
    parts = re.findall(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""", text)
    return [a or b or c for a, b, c in parts] or [text]


def _open_table(document, name, is_array):
    target = document
    parts = _key_parts(name)
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if last and is_array:
            rows = target.setdefault(part, [])
            if not isinstance(rows, list):
                raise Unreadable(f"{name} is both a table and an array")
            rows.append({})
            return rows[-1]
        target = target.setdefault(part, {})
        if isinstance(target, list):
            target = target[-1]
        if not isinstance(target, dict):
            raise Unreadable(f"{name} is no table")
    return target


def _skip(text, at):
    while at < len(text):
        if text[at] in " \t\n":
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            return at
    raise EOFError


def _value(text, at):
    """(value, end). EOFError when the text ends before the value does."""
    while at < len(text) and text[at] in " \t":
        at += 1
    if at >= len(text):
        raise Unreadable("a value is missing")
    for quote in ('"' * 3, "'" * 3):
        if text.startswith(quote, at):
            end = text.find(quote, at + 3)
            if end < 0:
                raise EOFError
            inner = text[at + 3 : end]
            inner = inner[1:] if inner.startswith("\n") else inner
            return (_unescape(inner) if quote == '"""' else inner), end + 3
    if text[at] == '"':
        match = re.compile(r'"((?:[^"\\\n]|\\.)*)"').match(text, at)
        if not match:
            raise Unreadable("a string without an end")
        return _unescape(match[1]), match.end()
    if text[at] == "'":
        end = text.find("'", at + 1)
        if end < 0:
            raise Unreadable("a string without an end")
        return text[at + 1 : end], end + 1
    if text[at] == "[":
        values = []
        at = _skip(text, at + 1)
        while text[at] != "]":
            value, at = _value(text, at)
            values.append(value)
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "]":
                raise Unreadable("an array without commas")
        return values, at + 1
    if text[at] == "{":
        table = {}
        at = _skip(text, at + 1)
        while text[at] != "}":
            match = re.compile(r"""([A-Za-z0-9_.-]+|"[^"]*"|'[^']*')\s*=\s*""").match(text, at)
            if not match:
                raise Unreadable("an inline table without keys")
            value, at = _value(text, match.end())
            table[_key_parts(match[1])[-1]] = value
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "}":
                raise Unreadable("an inline table without commas")
        return table, at + 1
    match = re.compile(r"[^\s,\]\}#]+").match(text, at)
    if not match:
        raise Unreadable("a value is missing")
    return _plain(match[0]), match.end()


def _plain(word):
    if word in ("true", "false"):
        return word == "true"
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
    raise Unreadable(f"{word[:80]!r} is no value")


def _unescape(text):
    def one(match):
        code = match[1]
        if code[0] in "uU":
            return chr(int(code[1:], 16))
        if code in _ESCAPES:
            return _ESCAPES[code]
        raise Unreadable(f"\\{code} is no escape")

    text = re.sub(r"\\[ \t]*\n\s*", "", text)
    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", one, text, flags=re.S)
