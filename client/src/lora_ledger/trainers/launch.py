"""How a run was started: its command line, and its configuration file as a document."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from ..core.reading import loads, too_deep
from ..core.toml_reader import read_toml
from ..core.types import StrPath
from ..core.yaml_reader import parse_yaml, scalar
from .declarations import DECLARATIONS

CONFIG_ENDINGS = (".yaml", ".yml", ".toml", ".json")
CONFIG_OPTIONS = ("--config_file", "--config", "--config-path", "--config_path")
LAUNCHERS = {"llamafactory-cli", "lmf", "axolotl", "lora-scripts"}


def program_of(named: str) -> str | None:
    """The program's name in a text that `Launch.is_program` takes; None where that is a path or a script."""
    first = named.split(" ")[0]
    return None if "/" in first or first.endswith(".py") else first


LAUNCHERS |= {
    name for table in DECLARATIONS for name in map(program_of, table["recognise"].get("commands", ())) if name
}


def read_document(text: str | None) -> dict[str, Any]:
    """The text as JSON, TOML or YAML, whichever it is; {} for what is none of them or no mapping."""
    document = None
    for read in _readers(text or ""):
        try:
            document = read(text)
        except ValueError:
            continue
        if isinstance(document, dict):
            break
    return document if isinstance(document, dict) and not too_deep(document) else {}


def _readers(text: str) -> list[Callable[..., Any]]:
    if not text:
        return []
    # JSON with comments or a comma too many is YAML.
    return [_json, parse_yaml] if text.lstrip("\ufeff \t\r\n").startswith("{") else [_toml, parse_yaml]


def _json(text: str) -> Any:
    return loads(text.lstrip("\ufeff"))


def _toml(text: str) -> Any:
    return read_toml(text.lstrip("\ufeff"))


def fault_of(text: str, path: StrPath) -> str | None:
    """Why no setting can be read from a file of settings that holds the text, in plain words; None where some can, or
    the file's name promises none."""
    read = {".yaml": parse_yaml, ".yml": parse_yaml, ".toml": _toml, ".json": _json}.get(Path(path).suffix.lower())
    if read is None or read_document(text):
        return None
    try:
        document = read(text)
    except ValueError as error:
        return str(error)
    return None if document is None or document == {} else "it holds no settings with names"


def program_index(command: Sequence[str]) -> int:
    """Where the trainer's own script or module stands: what comes before it belongs to launchers."""
    for index, argument in enumerate(command):
        if argument == "-m" and index + 1 < len(command) and "accelerate" not in command[index + 1]:
            return index + 1
        if argument.endswith(".py") or Path(argument).name in LAUNCHERS:
            return index
    return 0


def find_config(command: Sequence[str]) -> str | None:
    """The configuration file that a trainer's command names, or None. A launcher's own `--config_file` is not meant."""
    start = program_index(command)
    own = command[start:]
    for index, argument in enumerate(own):
        for option in CONFIG_OPTIONS:
            if argument == option and index + 1 < len(own):
                return _existing(own[index + 1])
            if argument.startswith(option + "="):
                return _existing(argument[len(option) + 1 :])
    for index in range(1, len(own)):
        if (
            own[index].endswith(CONFIG_ENDINGS)
            and not own[index].startswith("-")
            and not own[index - 1].startswith("--")
        ):
            return own[index]
    return None


def _existing(path: str | None) -> str | None:
    """sd-scripts adds `.toml` to a name without it."""
    if path and not os.path.exists(path) and os.path.isfile(path + ".toml"):
        return path + ".toml"
    return path


def options_of(command: Sequence[str]) -> dict[str, Any]:
    """Options of the command line: `--name value`, `--name=value`, `--flag`, with `-` read as `_` in names."""
    options = {}
    name = None
    for argument in command:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            name = name.replace("-", "_")
            options[name] = value if equals else True
            if equals:
                name = None
        elif name:
            options[name] = argument
            name = None
    return options


def assignments_of(command: Sequence[str]) -> dict[str, Any]:
    """Trailing `key=value` arguments, as LLaMA-Factory takes them over its file."""
    pairs = (argument.partition("=") for argument in command if not argument.startswith("-"))
    return {name: scalar(value) for name, equals, value in pairs if equals and name.isidentifier()}


class Launch:
    """`command`, `cwd`, the client's own `output_dir` (or None), the file's `document` and `text`, the `options`."""

    def __init__(
        self, command: Sequence[str], config_text: str | None, cwd: StrPath, output_dir: str | None = None
    ) -> None:
        self.command = [str(argument) for argument in command]
        self.cwd = Path(cwd)
        self.output_dir = output_dir
        self.text = config_text
        self.document = read_document(config_text)
        own = self.command[program_index(self.command) :]
        self.options = options_of(own)
        self.assignments = assignments_of(own[1:])
        self.program = own[0].replace("\\", "/") if own else ""
        self.words = [word for word in own[1:3] if not word.startswith("-")]
        # The file with the command's arguments over it.
        self.settings = {**self.document, **self.assignments, **self.options}

    def names(self, *parts: Any) -> bool:
        """Whether the program's name or module contains one of the parts."""
        return any(part in self.program for part in parts)

    def is_program(self, named: str) -> bool:
        """Whether the launch is the named one: `swift sft` is a program and its first words, `pkg.train` a module or
        program of that whole name, `dir/train.py` the end of a script's path."""
        first, *words = named.split(" ")
        if self.words[: len(words)] != words:
            return False
        path, program = (re.sub(r"(?i)\.(?:py|exe|cmd)$", "", text) for text in (first, self.program))
        if "/" in path:
            return f"/{program}".endswith(f"/{path}")
        return path in (program, program.rpartition("/")[2])
