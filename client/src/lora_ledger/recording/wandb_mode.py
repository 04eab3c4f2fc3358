"""Whether a trainer's W&B is to write its runs on this machine alone: where nobody has given it a key."""

from __future__ import annotations

import configparser
import netrc
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.reading import read_start
from ..core.types import as_object
from ..trainers.generic import Generic

MODES = ("auto", "offline", "off")
CLOUD = "https://api.wandb.ai"
SCRIPT_LIMIT = 1_000_000
SETTINGS_LIMIT = 100_000
_KEY_SETTING = re.compile(r"wandb\w*(?:key|token)", re.I)
# How a script gives W&B a key by itself.
_IN_SCRIPT = re.compile(r"WANDB_API_KEY|wandb\W{1,3}login\b")
_NAME = re.compile(r"wandb|weights.{0,3}biases", re.I)


def offline(mode: str, environment: Mapping[str, str], trainer: Generic) -> bool:
    """Whether WANDB_MODE=offline is to be set for the trainer, by `--wandb` MODE.

    `auto` sets it where W&B has no key, and so could send nothing. That changes nothing for a trainer that does not use
    W&B, so nobody has to know whether it does.
    """
    if mode == "off":
        return False
    if mode == "offline":
        return True
    return not environment.get("WANDB_MODE") and not has_key(environment, trainer)


def has_key(environment: Mapping[str, str], trainer: Generic) -> bool:
    """Whether W&B finds a key: in the environment, the trainer's settings, its script, W&B's settings or netrc."""
    if environment.get("WANDB_API_KEY") or environment.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if any(_KEY_SETTING.search(name) and value for name, value in _settings(trainer.launch.settings)):
        return True
    if any(_IN_SCRIPT.search(text) for text in _scripts(trainer)):
        return True
    base = environment.get("WANDB_BASE_URL")
    for path in _settings_files(environment, trainer):
        found = _read_settings(path)
        if found.get("api_key"):
            return True
        base = base or found.get("base_url")
    return _in_netrc(environment, urllib.parse.urlsplit(base or CLOUD).hostname or "")


def is_named(trainer: Generic) -> bool:
    """Whether the command, or the script that it starts, speaks of W&B."""
    words = (str(word) for word in trainer.command)
    return any(map(_NAME.search, words)) or any(map(_NAME.search, _scripts(trainer)))


def _settings(settings: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, value in (as_object(settings) or {}).items():
        yield str(name), value
        if depth < 6:
            yield from _settings(value, depth + 1)
            for one in value[:100] if isinstance(value, list) else ():
                yield from _settings(one, depth + 1)


def _scripts(trainer: Generic) -> Iterator[str]:
    for word in trainer.command[:20]:
        if str(word).endswith((".py", ".sh", ".bash", ".bat")):
            yield read_start(trainer.cwd / str(word), SCRIPT_LIMIT)


def _settings_files(environment: Mapping[str, str], trainer: Generic) -> list[Path]:
    home = Path(environment.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    root = trainer.cwd / Path(environment.get("WANDB_DIR") or ".").expanduser()
    return [root / "wandb" / "settings", root / ".wandb" / "settings", home / "settings"]


def _read_settings(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_start(path, SETTINGS_LIMIT))
        return dict(parser.items("default"))
    except configparser.Error:
        return {}


def _in_netrc(environment: Mapping[str, str], host: str) -> bool:
    named = environment.get("NETRC")
    for name in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = os.path.expanduser(name)
        try:
            found = netrc.netrc(path).authenticators(host) if os.path.isfile(path) else None
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        if found and found[2]:
            return True
    return False
