"""The files that the ledger keeps of a run, byte for byte but for its secrets: written again, and filled."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

from ..core.errors import CommandError
from ..core.language import t
from .filling import Filling, fill_file, marks_in_file


class KeptFile:
    """A file that the ledger kept of a run. `role` is config or dataset_file, `path` where the trainer looked for
    it."""

    def __init__(self, role: str, answer: dict[str, Any]) -> None:
        self.role = role
        if not isinstance(answer, dict) or not isinstance(answer.get("base64"), str):
            raise CommandError(t("the ledger's {role} is no file", role=role))
        self.path = str(answer.get("path") or "")
        try:
            self.data = base64.b64decode(answer["base64"], validate=True)
        except ValueError as error:
            raise CommandError(t("the ledger's {role} cannot be read ({error})", role=role, error=error)) from error
        self.text = self.data.decode("utf-8", "replace")
        self.marks = marks_in_file(answer.get("secrets"), self.data)
        # A name that begins with a dash would be an option of the trainer's.
        name = re.sub(r"^-|[\x00-\x1f\x7f-\x9f]", "_", re.split(r"[\\/]", self.path)[-1])
        form = answer.get("format") if re.fullmatch(r"[a-z]{1,8}", str(answer.get("format"))) else "txt"
        self.name = name if name not in ("", ".", "..") and len(os.fsencode(name)) <= 200 else f"{role}.{form}"
        self._written: Path | None = None

    @property
    def written(self) -> Path:
        """Where it was written to."""
        if self._written is None:
            raise CommandError(t("{name} was not written", name=self.name))
        return self._written

    def write(self, folder: Path) -> None:
        """Writes it byte for byte into the new folder."""
        path = folder / self.name
        if path.exists():
            path = folder / f"{self.role}-{self.name}"
        try:
            path.write_bytes(self.data)
        except OSError as error:
            raise CommandError(t("{path} cannot be written ({error})", path=path, error=error.strerror)) from error
        self._written = path

    def fill(self, filling: Filling) -> Path:
        """Writes a copy with the secrets put in, for this user alone; returns its path."""
        filled = self.written.with_name(f"{self.written.stem}-with-secrets{self.written.suffix}")
        with os.fdopen(os.open(filled, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(fill_file(self.data, self.marks, filling))
        self._written = filled
        return filled
