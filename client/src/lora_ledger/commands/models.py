"""`lora-ledger pull model` and `push`: a model version's file, with what the person's tools show beside it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from ..core.uploads import sha256_of
from . import sidecars
from .downloads import fetch, local_path


def split(text: str) -> tuple[str, str]:
    """(name, alias or number) of NAME:REF; without REF it is production. Raises CommandError."""
    name, _, ref = text.partition(":")
    if not name or "/" in text or (":" in text and not ref):
        raise CommandError(
            t("{text!r} is no model; write NAME:ALIAS or NAME:NUMBER, such as anime-style:production", text=text)
        )
    return name, ref or "production"


class Version:
    """A version of a model, as the ledger knows it."""

    def __init__(self, api: Api, text: str) -> None:
        name, self.ref = split(text)
        self.api = api
        self.about = api.get(f"/api/models/{quote(name)}/{quote(self.ref)}")
        self.name, self.number = self.about["model"], self.about["version"]
        # By its number from here on: an alias may move, or go, while the file comes.
        self.path = f"/api/models/{quote(self.name)}/versions/{self.number}"
        self.download = f"/api/models/{quote(self.name)}/{self.number}/download"

    def filename(self) -> str:
        """The name on disk. An alias has one name for all versions, so that prompts that use it stay as they are."""
        ending = Path(self.about["filename"]).suffix.lower()
        if not re.fullmatch(r"\.[a-z0-9]{1,12}", ending):
            ending = ".bin"
        return f"{self.name}-v{self.number}{ending}" if self.ref.isdigit() else f"{self.name}{ending}"

    def card(self) -> dict[str, Any]:
        """Its model card for a folder that holds the images, with trigger words and the images' links."""
        return self.api.get(f"{self.path}/card", images="relative", format="json")


def pull_model(settings: Settings, options: argparse.Namespace) -> int:
    """Brings a version's file and its sidecars into a folder, or leaves alone what is there already."""
    api = Api(settings)
    if not options.model:
        raise CommandError(t("name the model: lora-ledger pull model NAME:ALIAS"))
    if options.kind:
        raise CommandError(t("--kind is for the files of a run; a model version is one file"))
    version = Version(api, options.model)
    target = local_path(Path(options.output or ".").expanduser(), version.filename())
    try:
        done = fetch(api, version.about, target, link=version.download, replace=_ours(target))
        put(t("{target}: {name} {number}, {done}", target=target, name=version.name, number=version.number, done=done))
        if not options.no_sidecars:
            for path in sidecars.write(version, target):
                put(t("{path}: written", path=path))
    except OSError as error:
        raise CommandError(
            t("{target} cannot be written ({error})", target=target, error=error.strerror or error)
        ) from error
    return 0


def _ours(target: Path) -> bool:
    """Whether what is there is a version that was pulled before and that nobody changed since."""
    pulled = sidecars.pulled_sha256(target)
    return bool(pulled) and target.is_file() and sha256_of(target) == pulled
