"""`lora-ledger pull`: downloads the files of a run, or a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core import terminal
from ..core.api import Api
from ..core.errors import CommandError
from ..core.language import t
from ..core.output import put
from ..core.settings import Settings
from .downloads import fetch, local_path
from .models import pull_model
from .options import add_command, add_ledger_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the command line."""
    parser = add_command(
        commands,
        "pull",
        t("download a run's files, or a model"),
        t(
            "Downloads the files of a run, or a model's version, into a folder and checks each one's SHA-256. What is "
            "there already is left alone, and a download that was cut off goes on where it stopped. A model brings its "
            "trigger words and a preview image with it, in the files that AUTOMATIC1111, Forge, Civitai Helper and "
            "ComfyUI's LoRA manager read; pulled again after its alias moved, it takes the place of the version "
            "before."
        ),
        "  lora-ledger pull 42 --kind final -o ~/loras\n"
        "  lora-ledger pull model anime-style:production -o ~/loras\n"
        "  lora-ledger pull model anime-style:3",
    )
    parser.add_argument("what", metavar="ID|model", help=t("a task's number, or the word model"))
    parser.add_argument(
        "model", nargs="?", metavar="NAME:ALIAS", help=t("the model, and its alias or version's number")
    )
    parser.add_argument(
        "--no-sidecars", action="store_true", help=t("only the model's file, nothing for other tools beside it")
    )
    parser.add_argument(
        "--kind", choices=("final", "checkpoint", "state", "sample", "config"), help=t("only files of this kind")
    )
    parser.add_argument("-o", "--output", metavar="DIR", help=t("where to (default: task-ID, or here for a model)"))
    add_ledger_options(parser)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Downloads a model, or all complete files of a task, or of one kind. The exit code: 1 when one could not be had
    whole."""
    if options.what == "model":
        return pull_model(settings, options)
    api = Api(settings)
    task = _task(options)
    weights = list(api.pages("/api/weights", task_id=task, kind=options.kind, state="complete"))
    if not weights:
        api.get(f"/api/tasks/{task}")
        raise CommandError(
            t(
                "task {task} has no {kind}files in the ledger",
                task=task,
                kind=options.kind + " " if options.kind else "",
            )
        )
    folder = Path(options.output or f"task-{task}").expanduser()
    newest = {}
    for weight in sorted(weights, key=lambda w: w["id"]):
        newest[weight["filename"]] = weight
    failed = 0
    for weight in newest.values():
        try:
            target = local_path(folder, weight["filename"])
            put(t("{target}: {fetch}", target=target, fetch=fetch(api, weight, target)))
        except CommandError as error:
            terminal.warn(t("{filename}: {error}", filename=weight["filename"], error=error))
            failed += 1
        except OSError as error:
            terminal.warn(
                t("{filename}: cannot be written ({error})", filename=weight["filename"], error=error.strerror or error)
            )
            failed += 1
    return 1 if failed else 0


def _task(options: argparse.Namespace) -> int:
    """The number of the task that is meant. Raises CommandError."""
    if options.model or not options.what.isdigit():
        raise CommandError(
            t("name a task's number (lora-ledger pull 42) or a model (lora-ledger pull model NAME:ALIAS)")
        )
    return int(options.what)
