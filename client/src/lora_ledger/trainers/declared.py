"""Trainers that are tables: the built-in ones of declarations.py, and those that a person gives with `--dialect`.

The service's src/trainers/declarations/form.ts says what each word of a table means; docs/dialects.md is for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.reading import read_start
from ..core.types import section
from ..follow.jsonl import JsonLines
from ..follow.reader import Reader
from . import files
from .datasets import Source
from .declarations import DECLARATIONS
from .files import SAVED, Saved
from .generic import Generic
from .launch import Launch
from .templates import FileName, Line

Table = Mapping[str, Any]
MOST_ITEMS = 1000
SCRIPT_LIMIT = 1_000_000
_IMPORT = re.compile(r"^[ \t]{0,40}(?:from|import)[ \t]{1,8}(\w{1,60})", re.M)


def value_at(source: Any, path: str) -> Any:
    """The value at a path such as `network.rank` or `datasets[].path`; None where it leads nowhere."""
    head, _, rest = path.partition("[].")
    if isinstance(source, dict):
        for name in (head, f"--{head}"):
            if name in source:
                found = source[name]
                break
        else:
            found = source
            for part in head.split("."):
                if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                    found = found[int(part)]
                else:
                    found = found.get(part) if isinstance(found, dict) else None
    else:
        found = None
    if not rest:
        return found
    items = [value_at(item, rest) for item in found[:MOST_ITEMS]] if isinstance(found, list) else []
    return [item for item in items if item is not None] or None


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return ",".join(map(_spelled, value))
    return str(value if value is not None else "").lower()


def holds(source: Any, condition: Table) -> bool:
    """Whether what a condition says of one setting is so."""
    keys = condition["key"]
    named = [value_at(source, key) for key in ([keys] if isinstance(keys, str) else keys)]
    value = next((value for value in named if value not in (None, "")), None)
    there, spelled = value not in (None, ""), _spelled(value)
    if condition.get("given", there) != there:
        return False
    if "is" in condition and spelled not in map(_spelled, condition["is"]):
        return False
    if there and spelled in map(_spelled, condition.get("not", ())):
        return False
    return str(condition.get("has", "")).lower() in spelled


def is_of(table: Table, launch: Launch) -> bool:
    """Whether a launch is of the table's trainer: by its command, or by its file."""
    marks = section(table, "recognise")
    if any(launch.is_program(named) for named in marks.get("commands", ())):
        return True
    keys, some, where = marks.get("keys", ()), marks.get("any", ()), marks.get("where", ())
    if not (keys or some or where) or marks.get("list"):
        return False
    top = launch.settings
    return (
        all(value_at(top, key) is not None for key in keys)
        and (not some or any(value_at(top, key) is not None for key in some))
        and not any(value_at(top, key) is not None for key in marks.get("none", ()))
        and all(holds(top, condition) for condition in where)
    )


class Declared(Generic):
    """One run of a trainer that a table describes."""

    bar_loss = ()

    def __init__(self, launch: Launch, table: Table) -> None:
        super().__init__(launch.command, launch.cwd, launch.output_dir, launch)
        self.name = table["name"]
        # Known by what its script imports, which the ledger does not see.
        self.by_script = False
        self._settings = launch.settings
        within = table.get("within")
        if within:
            self._settings = {**self._settings, **(value_at(self._settings, within) or {})}
        console, self._files = section(table, "console"), section(table, "files")
        self._lines = [Line(template) for template in console.get("lines", ())]
        self.bar_desc = console.get("bar")
        self.bar_loss = tuple(console.get("bar_loss", Generic.bar_loss))
        self.success_markers = tuple(console.get("done", ()))
        self.stop_markers = tuple(console.get("stopped", ()))
        self.last_is_final = bool(self._files.get("last_is_final"))
        self._output = launch.output_dir or self._first("output") or self._files.get("default_output")
        self.expects_weights = bool(self._output and (self._files.get("final") or self._is_like_transformers))
        texts = {"name": self._first("name") or ""}
        self._names = [
            (kind, FileName(template, texts))
            for kind, names in (("final", "final"), ("checkpoint", "checkpoints"), ("sample", "samples"))
            for template in self._files.get(names, ())
        ]

    @property
    def _is_like_transformers(self) -> bool:
        return self._files.get("layout") == "transformers"

    def _values(self, rule: str) -> list[Any]:
        """The values of the settings that a rule names, lists taken apart."""
        found = []
        for key in self._files.get(rule, ()):
            value = value_at(self._settings, key)
            found += value if isinstance(value, list) else [value]
        return [value for value in found if value not in (None, "")]

    def _first(self, rule: str) -> str | None:
        return next((str(value) for value in self._values(rule) if isinstance(value, (str, int, float))), None)

    def line_values(self, line: str) -> dict[str, float] | None:
        for template in self._lines:
            found = template.values(line)
            if found is not None:
                return found
        return None

    def readers(self) -> list[Reader]:
        metrics, folder = section(self._files, "metrics"), self.output_folder()
        if not metrics or not folder:
            return []
        return [JsonLines(folder / metrics["file"], metrics["step"], metrics.get("total"), metrics["loss"])]

    def log_folder(self) -> Path | None:
        named = self._first("logs")
        return self.path(named) if named else super().log_folder()

    def scan(self) -> list[tuple[Path, Saved]]:
        folder = self.output_folder()
        if not folder:
            return []
        found: dict[Path, Saved] = {}
        if self._is_like_transformers:
            # ms-swift makes a folder of each run's own, `v0-…`, in the one that is named.
            runs = [path for path in files.entries(folder) if path.is_dir() and not path.name.startswith("checkpoint")]
            for run in (folder, *runs):
                found.update(files.adapter_folders(run, folder))
        if self._names:
            for path in files.below(folder, max(name.depth for _, name in self._names)):
                saved = self._saved(files.relative(path, folder))
                if saved:
                    found[path] = saved
        elif not found:
            found.update(super().scan())
        return list(found.items())

    def _saved(self, path: str) -> Saved | None:
        for kind, name in self._names:
            values = name.values(path)
            if values is not None:
                group = path.rpartition("/")[0] or None
                return Saved(kind, values.get("epoch"), values.get("step"), group, filename=path)
        return None

    def classify(self, name: str) -> Saved | None:
        return Saved("final") if name.endswith(SAVED) else None

    def fault(self, seen: Any) -> str | None:
        # A table may not know how the newest release of its trainer calls its files: all steps are enough.
        if not seen.stopped and seen.total and seen.step is not None and seen.step >= seen.total:
            return None
        return super().fault(seen)

    def total_steps(self) -> int | None:
        try:
            steps = int(float(self._first("steps") or ""))
        except (ValueError, OverflowError):
            return None
        return steps if steps > 0 else None

    def datasets(self) -> list[Source]:
        found = []
        for value in self._values("data"):
            path = self.path(value)
            if path.is_file():
                found.append(Source(path, name=path.name, is_file=True))
            elif path.is_dir():
                rows = [one for one in files.entries(path) if one.suffix in (".jsonl", ".json", ".csv", ".parquet")]
                found += [Source(one, name=f"{path.name}/{one.name}", is_file=True) for one in rows]
                if not rows:
                    found.append(Source(path, recursive=True))
        return found

    def dataset_file(self) -> Path | None:
        named = self._first("dataset_file")
        return self.path(named) if named else None

    def extra_configs(self) -> list[Path]:
        return [self.path(value) for value in self._values("configs")]

    def task_name(self) -> str:
        folder = self.output_folder()
        return self._first("name") or (folder.name if folder and folder.name else super().task_name())


def recognise(launch: Launch) -> Declared | None:
    """The built-in table that the launch is of, or None."""
    return next((Declared(launch, table) for table in DECLARATIONS if is_of(table, launch)), None)


def recognise_script(launch: Launch) -> Declared | None:
    """The built-in table whose packages the launch's own script imports, or None."""
    tables = [table for table in DECLARATIONS if section(table, "recognise").get("imports")]
    if not (tables and launch.program.endswith(".py")):
        return None
    text = read_start(launch.cwd / launch.program, SCRIPT_LIMIT)
    imported = {match[1] for match in _IMPORT.finditer(text)}
    for table in tables:
        if imported.intersection(table["recognise"]["imports"]):
            found = Declared(launch, table)
            found.by_script = True
            return found
    return None
