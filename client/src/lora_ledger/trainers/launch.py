"""How a run was started: its command line, and its configuration file as a document."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from ..core.language import t
from ..core.reading import loads, too_deep
from ..core.toml_reader import read_toml
from ..core.types import StrPath
from ..core.yaml_reader import parse_yaml, scalar
from .declarations import DECLARATIONS

CONFIG_ENDINGS = (".yaml", ".yml", ".toml", ".json")
CONFIG_OPTIONS = ("--config_file", "--config", "--config-path", "--config_path")
LAUNCHERS = {"llamafactory-cli", "lmf", "axolotl", "lora-scripts"}
# Modules that start another script or module: what follows their own options is the trainer.
_STARTERS = ("accelerate", "torch.distributed", "deepspeed", "torchrun")
# Commands that run the words behind them, with those of their options that take a value.
_RUNNERS: dict[str, tuple[str, ...]] = {
    "uv run": ("--with", "--project", "--directory", "-p", "--python", "--extra", "--group", "--env-file"),
    "conda run": ("-n", "--name", "-p", "--prefix", "--cwd"),
    "mamba run": ("-n", "--name", "-p", "--prefix", "--cwd"),
    "micromamba run": ("-n", "--name", "-p", "--prefix", "--cwd"),
    "poetry run": (), "pipenv run": (), "pixi run": ("-e", "--environment", "--manifest-path"), "hatch run": (),
    "env": ("-u", "--unset", "-C", "--chdir"), "nohup": (), "time": (), "exec": (), "command": (), "sudo": ("-u", "-g"),
    "nice": ("-n",), "ionice": ("-c", "-n"), "stdbuf": ("-i", "-o", "-e"), "setsid": (), "xvfb-run": ("-n", "-s"),
}  # fmt: skip
_SHELLS = {"bash", "sh", "zsh", "dash", "ksh"}
_BETWEEN = re.compile(r"(?:&&|\|\|?|;|&)+")
# Words of a shell's line that train nothing.
_ASIDE = {
    "source", ".", "export", "set", "unset", "ulimit", "echo", "mkdir", "module", "eval", "true", "wait", "tee", "pip",
}  # fmt: skip
LONGEST_SCRIPT = 20_000


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
    return None if document is None or document == {} else t("it holds no settings with names")


def inner_command(command: Sequence[str], depth: int = 0) -> tuple[list[str], str]:
    """(the command that trains, the folder that it is started in, relative to the typed command's) of one that only
    starts it, such as `uv run …`, `conda run -n env …` or `bash -lc "cd x && …"`; the command itself and "" of any
    other."""
    words = [str(word) for word in command]
    while words and depth < 8:
        depth += 1
        name = os.path.basename(words[0])
        pair = f"{name} {words[1]}" if len(words) > 1 else name
        if re.match(r"[A-Za-z_]\w*=", words[0]) and len(words) > 1:
            words = words[1:]
        elif pair in _RUNNERS or name in _RUNNERS:
            at = 2 if pair in _RUNNERS else 1
            valued = _RUNNERS.get(pair, _RUNNERS.get(name, ()))
            while at < len(words) and words[at].startswith("-"):
                last = words[at] == "--"
                at += 2 if words[at] in valued else 1
                if last:
                    break
            if at >= len(words):
                break
            words = words[at:]
        elif name in _SHELLS:
            at = next((n for n, word in enumerate(words[1:], 1) if re.fullmatch(r"-[a-z]*c[a-z]*", word)), 0)
            script = words[at + 1] if 0 < at < len(words) - 1 else ""
            if not script or len(script) > LONGEST_SCRIPT:
                break
            found, folder = _of_script(script)
            if not found:
                break
            inner, below = inner_command(found, depth)
            return inner, os.path.join(folder, below) if below else folder
        else:
            break
    return words, ""


def _of_script(script: str) -> tuple[list[str], str]:
    """(the last command of a shell's line that may train, the folder it changed into)."""
    lexer = shlex.shlex(script.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    try:
        for word in lexer:
            if _BETWEEN.fullmatch(word):
                commands.append([])
            else:
                commands[-1].append(os.path.expandvars(word) if "$" in word else word)
    except ValueError:
        # A quote that is not closed.
        return [], ""
    found: list[str] = []
    folder = before = ""
    for words in commands:
        # What stands behind `>` is a file.
        words = words[: next((n for n, word in enumerate(words) if word[:1] in "<>(" or word == ")"), len(words))]
        words = words[:-1] if words[-1:] in (["1"], ["2"]) else words
        if words[:1] == ["cd"] and len(words) > 1:
            before = os.path.join(before, os.path.expanduser(words[1]))
        elif words and words[0] not in _ASIDE and words[:2] != ["conda", "activate"]:
            found, folder = words, before
    return found, folder


def program_index(command: Sequence[str]) -> int:
    """Where the trainer's own script or module stands: what comes before it belongs to launchers."""
    for index, argument in enumerate(command):
        if argument in ("-m", "--module") and index + 1 < len(command):
            if command[index + 1].startswith(_STARTERS):
                continue
            return index + 1
        if argument.endswith(".py") or Path(argument).name in LAUNCHERS:
            return index
    return 0


def find_config(command: Sequence[str]) -> str | None:
    """The configuration file that a trainer's command names, or None. A launcher's own `--config_file` is not meant."""
    words, folder = inner_command(command)
    found = _named_config(words[program_index(words) :], folder)
    return os.path.join(folder, found) if found and folder else found


def _named_config(own: Sequence[str], folder: str) -> str | None:
    for index, argument in enumerate(own):
        for option in CONFIG_OPTIONS:
            if argument == option and index + 1 < len(own):
                return _existing(own[index + 1], folder)
            if argument.startswith(option + "="):
                return _existing(argument[len(option) + 1 :], folder)
    for index in range(1, len(own)):
        if (
            own[index].endswith(CONFIG_ENDINGS)
            and not own[index].startswith("-")
            and not own[index - 1].startswith("--")
        ):
            return own[index]
    return None


def _existing(path: str | None, folder: str) -> str | None:
    """sd-scripts adds `.toml` to a name without it."""
    if path and not os.path.exists(os.path.join(folder, path)) and os.path.isfile(os.path.join(folder, path + ".toml")):
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
        # The command that trains, and where; the typed one may only start it.
        self.command, folder = inner_command(command)
        self.cwd = Path(cwd) / folder
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
