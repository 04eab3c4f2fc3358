"""Reads a trainer's configuration, as the ledger takes it and as text."""

from __future__ import annotations

import base64
from typing import Any

from ..core import terminal, withhold
from ..core.language import t
from ..core.reading import decoded, open_file
from ..core.types import StrPath

# The ledger takes 4 MB for both files together; larger ones are uploaded like weights.
CONFIG_LIMIT = 3 * 1024 * 1024


def read_config(path: StrPath | None) -> tuple[dict[str, Any] | None, str | None]:
    """(the `config` field for the ledger, the text for recognising); (None, None) when there is nothing to read."""
    if not path:
        return None, None
    try:
        with open_file(path) as file:
            data = file.read(CONFIG_LIMIT + 1)
    except (OSError, ValueError) as error:
        terminal.warn(
            t(
                "the configuration {path} cannot be read ({error}); the run is recorded without it",
                path=path,
                error=getattr(error, "strerror", None) or error,
            )
        )
        return None, None
    if len(data) > CONFIG_LIMIT:
        terminal.warn(
            t(
                "the configuration {path} is larger than 3 MB; it is stored as a file, and no setting is read from it",
                path=path,
            )
        )
        return None, None
    data = withhold.from_bytes(data)
    try:
        text = data.decode("utf-8")
        return {"text": text, "path": str(path)}, text
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode(), "path": str(path)}, decoded(data)
