"""`lora-ledger push`: publishes a model's version on the Hugging Face Hub."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from .downloads import fetch, fetch_link, local_path
from .models import Version
from .options import add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "push",
        t("publish a model on the Hugging Face Hub"),
        t(
            "Sends an approved version's file, its model card and its sample images to a repository of the Hub in one "
            "commit, by the Hub's own client (pip install huggingface_hub) and its login. HF_ENDPOINT names another "
            "hub."
        ),
        "  lora-ledger push anime-style:production --repo anna/anime-style --private",
    )
    parser.add_argument("model", metavar="NAME:ALIAS", help=t("the model, and its alias or version's number"))
    parser.add_argument("--repo", required=True, metavar="USER/NAME", help=t("the repository; made when new"))
    parser.add_argument("--private", action="store_true", help=t("make a new repository private"))
    parser.add_argument("--message", metavar="TEXT", help=t("the commit's message"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Publishes an approved version in a repository of the Hugging Face Hub: file, card and images."""
    api = Api(settings)
    version = Version(api, options.model)
    state = version.about["state"]
    if state not in ("approved", "released"):
        raise CommandError(
            t(
                "version {number} of {name} is {state}: only approved versions are published",
                number=version.number,
                name=version.name,
                state=state,
            )
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise CommandError(
            t("publishing needs the hub's own client: pip install huggingface_hub, then `hf auth login` or HF_TOKEN")
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repo, re.ASCII):
        raise CommandError(t("{repo!r} is no repository; write USER/NAME", repo=options.repo))
    with tempfile.TemporaryDirectory(prefix="lora-ledger-push-") as home:
        folder = Path(home)
        fetch(api, version.about, local_path(folder, version.filename()), link=version.download)
        card = version.card()
        (folder / "README.md").write_text(card["card"], "utf-8")
        for sample in card["samples"]:
            fetch_link(sample["url"], sample, local_path(folder, sample["file"]))
        url = _upload(folder, options, f"{version.name} {version.number} (sha256 {version.about['sha256'][:12]})")
    put(t("{name} {number} is published: {url}", name=version.name, number=version.number, url=url))
    return 0


def _upload(folder: Path, options: argparse.Namespace, message: str) -> str:
    """Sends the folder in one commit; the repository's address. Raises CommandError."""
    # The hub's own progress bars and hints are its own; our key is nothing it should see.
    os.environ.pop("LEDGER_KEY", None)
    hub: Any = importlib.import_module("huggingface_hub").HfApi()
    try:
        repo = hub.create_repo(options.repo, private=options.private or None, exist_ok=True)
        hub.upload_folder(repo_id=options.repo, folder_path=folder, commit_message=options.message or message)
    except Exception as error:
        # The hub's client raises a dozen kinds of its own and of its libraries'.
        terminal.trouble(error)
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CommandError(t("the hub did not take it: {reason}", reason=reason)) from error
    return str(repo)
