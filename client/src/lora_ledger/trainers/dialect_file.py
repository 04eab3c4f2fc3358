"""A dialect that a person wrote (docs/dialects.md): read, and every mistake in it told by its line.

The ledger checks it once more, by src/trainers/dialect-file.ts, and reads the settings by it; here it says what lines
and files look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Union

from ..core import terminal
from ..core.errors import CommandError, NoTomlError
from ..core.language import join_texts, t
from ..core.reading import read_file
from ..core.run_fields import RUN_FIELDS
from ..core.toml_reader import read_toml
from ..core.types import StrPath
from .templates import FIELD

MOST = 20_000
_TEXTS = [str]
_CONDITIONS = [{"key": (str, list), "is": list, "not": list, "has": str, "given": bool}]
_CASES = [{"where": _CONDITIONS, "value": object}]
_RULE: dict[str, Any] = {
    **dict.fromkeys(("keys", "joined"), _TEXTS),
    **dict.fromkeys(("launcher", "default_of", "after", "below"), str),
    **dict.fromkeys(("known", "arch"), bool),
    **dict.fromkeys(("words", "flags"), dict),
    **dict.fromkeys(("cases", "defaults"), _CASES),
    "unless": _CONDITIONS,
    "unset": list,
    "default": object,
}
_RULE["or"] = _RULE
# What each word holds: a type, a list of one kind, or a table of words. Whether a value fits its column is for the
# ledger to say.
_FORM: dict[str, Any] = {
    "name": str,
    "recognise": {
        **dict.fromkeys(("commands", "keys", "any", "none", "imports"), _TEXTS),
        "where": _CONDITIONS,
        "list": bool,
    },
    "kinds": [{"kind": str, "where": _CONDITIONS}],
    "within": str,
    "columns": dict.fromkeys((name for name, field in RUN_FIELDS.items() if field["by"] == "trainer"), _RULE),
    "console": {"lines": _TEXTS, "bar": str, "bar_loss": _TEXTS, "done": _TEXTS, "stopped": _TEXTS},
    "files": {
        "output": _TEXTS,
        "default_output": str,
        "layout": str,
        "final": _TEXTS,
        "checkpoints": _TEXTS,
        "samples": _TEXTS,
        "last_is_final": bool,
        "logs": _TEXTS,
        "metrics": {"file": str, "step": str, "loss": _TEXTS, "total": str},
        "data": _TEXTS,
        "dataset_file": _TEXTS,
        "configs": _TEXTS,
        "name": _TEXTS,
        "steps": _TEXTS,
    },
}
_KINDS = {str: t("text"), bool: t("true or false"), list: t("list"), dict: t("table")}
_HEADER = re.compile(r"\[\[?\s*([^\[\]]{1,400})\]")
_KEY = re.compile(r'("[^"]{1,200}"|[\w.-]{1,200})\s*=')
_PART = re.compile(r'"[^"]*"|[^.\s]+')
Path = tuple[Union[str, int], ...]


def line_of(text: str, path: Path) -> int:
    """The line (from 1) of a TOML text where the value at a path is, or the nearest table around it."""
    header: list[str] = []
    best, most = 1, 0
    counts: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        table = _HEADER.match(line)
        key = None if table else _KEY.match(line)
        if table:
            header = [part.strip('"') for part in _PART.findall(table[1])]
            if line.startswith("[["):
                header.append(str(counts.get(table[1], 0)))
                counts[table[1]] = counts.get(table[1], 0) + 1
        here = [*header, *([part.strip('"') for part in _PART.findall(key[1])] if key else [])]
        if (table or key) and here == [str(part) for part in path[: len(here)]] and len(here) > most:
            best, most = number, len(here)
    return best


def _faults(value: Any, form: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """(where, what is wrong) of a value."""
    kind = type(form) if isinstance(form, (dict, list)) else form
    if not isinstance(value, kind) or (kind is str and not value):
        yield path, t("is no {kind}", kind=_KINDS.get(kind, t("text or list")))
    elif isinstance(form, list):
        for index, item in enumerate(value):
            yield from _faults(item, form[0], (*path, index))
    elif isinstance(form, dict):
        for name, item in value.items():
            if name in form:
                yield from _faults(item, form[name], (*path, name))
            else:
                yield (*path, name), t("is no word of this form")


def _template_faults(table: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    files = table.get("files", {})
    found: list[tuple[Path, str]] = [
        *((("console", "lines", i), text) for i, text in enumerate(table.get("console", {}).get("lines", ()))),
        *(
            (("files", w, i), text)
            for w in ("final", "checkpoints", "samples")
            for i, text in enumerate(files.get(w, ()))
        ),
    ]
    for path, text in found:
        fields = FIELD.findall(text)
        if fields.count("") > 2:
            yield path, t("holds more than two `{{}}`")
        if "}{" in text:
            yield path, t("has two fields with nothing between them")
        if path[1] == "lines" and not any(fields):
            yield path, t("holds no field such as {{loss}}")
        if path[0] == "files" and (text.startswith("/") or "\\" in text or ".." in text.split("/")):
            yield path, t("is no path below the output folder, with forward slashes")


def faults_of(text: str) -> tuple[dict[str, Any], list[str]]:
    """(the table, what is wrong with it, each with its line)."""
    try:
        table = read_toml(text)
    except NoTomlError as error:
        return {}, [str(error)]
    faults = list(_faults(table, _FORM, ()))
    if not faults:
        marks = table.get("recognise", {})
        if not table.get("name"):
            faults.append((("name",), t("is missing: it names the trainer")))
        if not any(marks.get(word) for word in ("commands", "keys", "any", "where")):
            faults.append((("recognise",), t("recognises nothing: give `commands`, `keys`, `any` or `where`")))
        faults += _template_faults(table)
    lines = sorted((line_of(text, path), ".".join(map(str, path)), what) for path, what in faults)
    return table, [t("line {line}: {path} {what}", line=line, path=path, what=what) for line, path, what in lines]


def read_dialect(path: StrPath) -> tuple[dict[str, Any], str]:
    """(the table, its text). Says every mistake by its line. Raises CommandError where there is one, or OSError."""
    try:
        text = read_file(path, MOST).decode("utf-8-sig")
    except ValueError as error:
        raise CommandError(t("the dialect {path} cannot be read: {error}", path=path, error=error), 2) from error
    table, faults = faults_of(text)
    if faults:
        for fault in faults[:20]:
            terminal.warn(join_texts(": ", [str(path), fault]))
        raise CommandError(t("the dialect {path} has mistakes: nothing was started", path=path), 2)
    return table, text
